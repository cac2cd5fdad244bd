"""The release that answers, and how a new one takes its place.

A release is loaded once. A request takes the one in use and keeps it to its end, so that an answer is wholly of one
version whatever is promoted meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from churnwatch.pipeline import reference, registry, schemas
from churnwatch.pipeline.compiled import Compiled, Original, predictor
from churnwatch.pipeline.errors import ChurnwatchError, ReleaseError
from churnwatch.pipeline.ledger import compiled_forms, customers, profiles
from churnwatch.pipeline.ledger.reader import Reader
from churnwatch.pipeline.records import Model
from churnwatch.pipeline.settings import Home
from churnwatch.serving import changes, fields, sorting
from churnwatch.serving.fields import Field
from churnwatch.serving.sorting import Sorter

_LOOK_EVERY_S = 0.2
_AGAIN_AFTER_S = 5.0  # though nothing seems to have changed: a file that was missing may be back
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Release:
    """A version that answers, with all that it needs to.

    Attributes:
        model: the ledger's row of it.
        amounts: whether it predicts amounts, and not who leaves.
        threshold: the probability from which on it decides that somebody leaves.
        fields: what it looks at, by name, in its order.
        others: further columns of the customers' rows.
        id: the column of the id.
        predictor: what predicts, and says why: the model's compiled form, or the model itself.
        sorter: what sorts into buckets.
    """

    model: Model
    amounts: bool
    threshold: float
    fields: Mapping[str, Field]
    others: frozenset[str]
    id: str | None
    predictor: Compiled | Original
    sorter: Sorter

    @cached_property
    def name(self) -> str:
        """Of the version, such as v7."""
        return self.model.name


def load(home: Home, ledger: Reader) -> Release:
    """Load the release that is deployed now; its model only where the ledger knows its hash.

    Raises:
        ReleaseError: there is none, or something of it is missing or changed.
    """
    folder = registry.released_folder(home.deployment)
    if folder is None:
        raise ReleaseError("no release yet: drop a labelled CSV into the source folder; the first model that can be"
                           " trained is released.")  # fmt: skip
    version = ledger.model(int(folder.name.removeprefix("v")))
    unpickle = home.settings.model_format.unpickles
    model = registry.load(home.deployment, replace(version, folder=folder.name), unpickle=unpickle)
    kept = registry.reference(home.models, version)
    if kept is None:
        raise ReleaseError(f"{home.models / version.folder / registry.REFERENCE}: missing, or not the file that the"
                           " ledger knows. Put it back from a backup.")  # fmt: skip
    known, schema = reference.decode(kept).columns, schemas.current(home, ledger)
    seen = fields.of_model(list(map(str, model.feature_names_in_)), known, schema, profiles.extremes(ledger),
                           home.settings.csv.missing)  # fmt: skip
    amounts = not hasattr(model, "predict_proba")
    others = frozenset(schema.names) - frozenset(seen)
    sorter = sorting.sorter(home.settings, ledger, version.threshold)
    answering = predictor(model, known, compiled_forms.of_version(ledger, version.version))
    if isinstance(answering, Original):
        log.info("%s answers slowly, without a compiled form: %s", version.name, answering.why_not)
    return Release(version, amounts, version.threshold, seen, others, schema.id, answering, sorter)


class Current:
    """The release in use. It is looked for anew a few times a second; one that cannot be loaded changes nothing."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.release: Release | None = None
        self.problem: str | None = None  # why there is none, or why the newest one is not in use
        self._seen: tuple[str | None, int | None] | None = None
        self._glanced: changes.State | None = None
        self._again_at_s = 0.0

    def look(self) -> None:
        """Load what is deployed, where that is something else than what is in use, or customers were sorted anew."""
        glanced = (*changes.of(self.home.deployment / registry.CURRENT), *changes.of_ledger(self.home.ledger))
        if glanced == self._glanced and time.monotonic() < self._again_at_s:
            return
        # Of what is about to change once more, the next glance tells.
        self._glanced, self._again_at_s = glanced, time.monotonic() + _AGAIN_AFTER_S
        self._load()

    def _load(self) -> None:
        try:
            with Reader.open(self.home.ledger) as ledger:
                seen = self._state(ledger)
                if seen == self._seen:
                    return
                self.release, self.problem = load(self.home, ledger), None
        except ChurnwatchError as error:
            self._tell(str(error))
            return
        except Exception as error:  # noqa: BLE001 - the one in use goes on, and so does the looking
            self._tell(f"the newest release cannot be loaded ({type(error).__name__}). See `churnwatch doctor`.")
            return
        self._seen = seen
        log.info("%s answers", self.release.name)

    async def follow(self) -> None:
        """Look again and again, until cancelled. What is loaded is loaded beside the requests."""
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            await asyncio.to_thread(self.look)

    def _state(self, ledger: Reader) -> tuple[str | None, int | None]:
        folder = registry.released_folder(self.home.deployment)
        head = customers.newest(ledger)
        return None if folder is None else folder.name, None if head is None else head.run

    def _tell(self, problem: str) -> None:
        if problem != self.problem:
            log.warning("%s", problem)
        self.problem = problem
