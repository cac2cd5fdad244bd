"""What breaks down while a request is answered: a plain problem outside, the traceback where the operator keeps it."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus

from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from churnwatch.serving.problems import Problem

_GONE = 499  # by the custom of nginx: whoever asked hung up
_SAID = "something broke down here; it was logged. Ask whoever runs this to look at `.churnwatch/error.log`."


class Bugs:
    """ASGI middleware: no error's own words leave the process or enter its log, since they may hold a value."""

    def __init__(self, app: ASGIApp, keep: Callable[[Exception], object]) -> None:
        self.app, self.keep = app, keep

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        begun = False

        async def sent(message: Message) -> None:
            nonlocal begun
            begun = begun or message["type"] == "http.response.start"
            await send(message)

        try:
            await self.app(scope, receive, sent)
        except ClientDisconnect:
            await Response(status_code=_GONE)(scope, receive, send)  # nobody hears it; it is counted
        except Exception as error:
            if scope["type"] != "http":
                raise
            self.keep(error)
            if not begun:
                await Problem(HTTPStatus.INTERNAL_SERVER_ERROR, _SAID).response()(scope, receive, send)
