"""The pages: customers, one customer and what if, the model, the API. They say all without their script."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response

from churnwatch.pipeline.errors import ChurnwatchError, NotFoundError
from churnwatch.pipeline.ledger.reader import Reader
from churnwatch.pipeline.metrics import METRICS
from churnwatch.pipeline.reason_words import NO_PROMISE
from churnwatch.serving import docs_page, list_page, model_page, rendering, what_if
from churnwatch.serving.customer_list import Asked
from churnwatch.serving.predicting import in_use
from churnwatch.serving.problems import Problem
from churnwatch.serving.release import Current
from churnwatch.serving.sessions import cookie_of


def router(current: Current, app: FastAPI) -> APIRouter:
    """Return the routes of all pages; `app` is the one that they describe."""
    made, pages = APIRouter(include_in_schema=False), _Pages(current, app)
    made.add_api_route("/", pages.customers)
    made.add_api_route("/customer", pages.typical)
    made.add_api_route("/customer/{customer:path}", pages.customer)
    made.add_api_route("/model", pages.model)
    made.add_api_route("/docs", pages.docs)
    made.add_api_route("/static/{name}", pages.static)
    return made


@dataclass(frozen=True)
class _Pages:
    """All pages of a home. They are made beside other requests, in threads of their own."""

    current: Current
    app: FastAPI

    def customers(self, request: Request) -> Response:
        """List customers: a sample, a bucket, or those whose id is looked for."""

        def shown() -> Response:
            release, home = in_use(self.current), self.current.home
            if home.settings.id is None:
                return self._page(request, "customers", "nobody.html.j2")
            with Reader.open(home.ledger) as ledger:
                table = list_page.table(home, ledger, release, Asked.of(request.query_params))
            return self._page(request, "customers", "customers.html.j2", table=table, release=release)

        return self._answered(request, "customers", shown)

    def typical(self, request: Request) -> Response:
        """Show the typical customer, whose fields can be changed."""
        return self._answered(request, "customer", lambda: self._one(None, request))

    def customer(self, customer: str, request: Request) -> Response:
        """Show one customer, whose fields can be changed."""
        return self._answered(request, "customer", lambda: self._one(customer, request))

    def model(self, request: Request) -> Response:
        """Show how good the model is, how it came to serve, and how to ask it."""

        def shown() -> Response:
            release, home = in_use(self.current), self.current.home
            with Reader.open(home.ledger) as ledger:
                found = model_page.gather(home, ledger, release, str(request.base_url).rstrip("/"))
            return self._page(request, "model", "model_page.html.j2", found=found, of=METRICS[found.metric])

        return self._answered(request, "model", shown)

    def docs(self, request: Request) -> Response:
        """Describe the API."""
        operations = docs_page.operations(self.app.openapi())
        return self._page(request, "docs", "docs.html.j2", operations=operations, release=self.current.release)

    def static(self, name: str) -> Response:
        """Give what pages load."""
        found = rendering.static(name)
        if found is None:
            raise Problem(HTTPStatus.NOT_FOUND, "no page loads a file of that name.")
        return found

    def _one(self, id_: str | None, request: Request) -> Response:
        release, home = in_use(self.current), self.current.home
        with Reader.open(home.ledger) as ledger:
            known = what_if.customer(home, ledger, release, id_)
        found = what_if.what_if(release, home.settings, known, request.query_params)
        return self._page(request, "customer", "customer.html.j2", found=found, release=release)

    def _answered(self, request: Request, here: str, make: Callable[[], Response]) -> Response:
        """Return a page, or one that says what is wrong and what to do."""
        try:
            return make()
        except Problem as error:
            status, said = error.status, error.detail
        except ChurnwatchError as error:
            missing = isinstance(error, NotFoundError)
            status, said = HTTPStatus.NOT_FOUND if missing else HTTPStatus.SERVICE_UNAVAILABLE, str(error)
        return self._page(request, here, "problem.html.j2", status, problem=said)

    def _page(
        self, request: Request, here: str, template: str, status: HTTPStatus = HTTPStatus.OK, **values: Any
    ) -> Response:
        home, logged_in = self.current.home, cookie_of(request.scope) is not None
        return rendering.page(template, status, here=here, home=home.path.name,
                              logged_in=logged_in, no_promise=NO_PROMISE, **values)  # fmt: skip
