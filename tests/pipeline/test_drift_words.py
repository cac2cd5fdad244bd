from __future__ import annotations

import pytest

from churnwatch.pipeline import drift_words
from churnwatch.pipeline.records import Band, Drift, DriftKind


def drift(
    deviation: float, floor: float, band: Band, kind: DriftKind = DriftKind.COLUMN, name: str = "tenure"
) -> Drift:
    cause = f"{name}: something moved" if deviation else None
    return Drift(7, 1, "v1's training rows", kind, name, 500, 5000, deviation, floor, band, cause)


WATCH = drift(3.1, 2.4, Band.WATCH)
QUIET = drift(0.0, 2.9, Band.NOTHING, name="fee")


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ([WATCH, QUIET], "no column deviates by 5 % or more (largest: tenure, 3.1 %; floor 2.4 %)"),
        ([QUIET], "no column deviates by 5 % or more (floor 2.9 %)"),
        (
            [drift(0.0, 12.4, Band.UNRESOLVED), QUIET],
            "no column deviates by 5 % or more (floor 12 %: too few rows to tell)",
        ),
        (
            [QUIET, drift(0.0, 30.0, Band.UNRESOLVED, DriftKind.CONCEPT)],
            "no column deviates by 5 % or more (floor 2.9 %)",
        ),
    ],
)
def test_where_nothing_reaches_the_band_the_nearest_and_the_floor_are_said(found: list[Drift], said: str) -> None:
    assert drift_words.largest(found, 5.0) == said
    assert drift_words.summary(found, 5.0) == said


def test_what_reaches_the_band_is_said_by_its_cause() -> None:
    found = [drift(11.2, 2.4, Band.SEARCH), drift(5.5, 2.4, Band.RETRAIN, name="fee"), QUIET]
    assert drift_words.summary(found, 5.0) == (
        "tenure: something moved (deviation 11 %, floor 2.4 %); 1 more at 5 % or above"
    )


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (DriftKind.COLUMN, "tenure deviates by 6.0 % (floor 1.0 %)"),
        (DriftKind.TARGET, "the share of leavers deviates by 6.0 % (floor 1.0 %)"),
        (DriftKind.PREDICTION, "the predictions deviate by 6.0 % (floor 1.0 %)"),
        (DriftKind.CONCEPT, "the log loss of the model in use rose by 6.0 % (floor 1.0 %)"),
    ],
)
def test_each_kind_is_named_without_values(kind: DriftKind, said: str) -> None:
    assert drift_words.deviates(drift(6.0, 1.0, Band.RETRAIN, kind)) == said


@pytest.mark.parametrize(("share", "said"), [(0.0, "0.0 %"), (0.0994, "9.9 %"), (0.0996, "10 %"), (0.741, "74 %")])
def test_percent(share: float, said: str) -> None:
    assert drift_words.percent(share) == said
