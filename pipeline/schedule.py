"""When a model is to be trained though no file came: rows wait to be learned from, and the last training is long ago.

Light: the idle daemon asks for it.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from churnwatch.pipeline.clock import from_iso
from churnwatch.pipeline.ledger.reader import Reader
from churnwatch.pipeline.settings import Retrain


def due(ledger: Reader, retrain: Retrain, *, besides: int | None = None) -> datetime | None:
    """Return when the rows that nothing learned from yet are to be learned from; None: not by the clock.

    A run that the clock began counts as a training also where it came to nothing, so that it does not begin again.

    Args:
        ledger: of the home.
        retrain: its settings.
        besides: a run that is taken for not having been yet, so that a further attempt of it finds what the first did.
    """
    if retrain.when == "drop" or retrain.every_days is None:
        return None
    last = ledger.last_training(besides)
    waiting = sum(batch.labelled - batch.holdout for batch in ledger.unlearned_batches(besides))
    return from_iso(last) + timedelta(days=retrain.every_days) if last is not None and waiting else None
