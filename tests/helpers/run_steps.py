"""The steps of a run whose first labelled rows make a model, in their order."""

from __future__ import annotations

RUN_STEPS = (
    "ingest",
    "test champion",
    "drift",
    "train",
    "evaluate",
    "promote",
    "predict",
    "explain",
    "buckets",
    "follow up",
    "compact",
)
