from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from churnwatch.pipeline import learning_curve
from churnwatch.pipeline.features import Rows
from churnwatch.pipeline.learning_curve import SHARES, Point, draw, verdict
from churnwatch.pipeline.overfitting import Estimate
from churnwatch.pipeline.settings import Training
from churnwatch.pipeline.train import Candidate, train

LOGISTIC = Training(estimators=("logistic",), folds=2, threads=1)
SHAPE = {"numeric": ("amount",), "categorical": ()}
pytestmark = pytest.mark.usefixtures("fewer_thresholds")


def _rows(n: int, *, customers: int | None = None, seed: int = 0) -> Rows:
    rng = np.random.default_rng(seed)
    amount = rng.normal(size=n)
    y = (amount + rng.normal(size=n) > 0.5).astype(np.int64)
    ids = pd.Series([f"c{i % (customers or n)}" for i in range(n)], dtype="str")
    dates = pd.Series(pd.Timestamp("2026-01-01"), index=ids.index)
    return Rows(pd.DataFrame({"amount": amount}), y, ids, np.ones(n, dtype=np.int64), dates)


def _measure(rows: Rows, training: Training = LOGISTIC) -> list[Point]:
    candidate = train(rows, training, **SHAPE)
    assert isinstance(candidate, Candidate)
    return list(learning_curve.measure(candidate, rows, _rows(200, seed=1), training, **SHAPE))


# -- which rows ------------------------------------------------------------------------------------------------


def test_customers_are_drawn_as_a_whole_and_each_set_is_part_of_the_next() -> None:
    rows = _rows(600, customers=150)
    drawn = learning_curve._drawn(rows, seed=0)
    assert all(len(set(drawn[np.asarray(rows.ids) == name])) == 1 for name in ("c0", "c7"))
    sizes = [int((drawn < share).sum()) for share in SHARES]
    assert sizes == sorted(sizes)
    assert sizes[-1] == 600
    assert sizes[2] == pytest.approx(0.4 * 600, rel=0.25)


def test_another_seed_draws_other_customers_and_the_same_seed_the_same() -> None:
    rows = _rows(200)
    first, again, other = (learning_curve._drawn(rows, seed=seed) for seed in (0, 0, 1))
    assert (first == again).all()
    assert (first != other).all()


def test_rows_without_an_id_are_customers_of_their_own() -> None:
    rows = _rows(50)
    assert rows.ids is not None
    nameless = Rows(rows.X, rows.y, rows.ids.where(rows.ids == "c0"))
    assert len(set(learning_curve._drawn(nameless, seed=0))) == 50
    assert len(set(learning_curve._drawn(Rows(rows.X, rows.y, None), seed=0))) == 50


# -- the points ------------------------------------------------------------------------------------------------


def test_points_have_more_and_more_rows_and_the_last_is_the_candidate() -> None:
    rows = _rows(400)
    points = _measure(rows)
    assert len(points) == len(SHARES)
    assert [point.rows for point in points] == sorted(point.rows for point in points)
    assert points[-1].rows == 400
    assert points[0].holdout.keys() == {"f1", "roc_auc", "log_loss"}
    for one, two in zip(points, _measure(rows), strict=True):
        assert one.holdout == two.holdout
        assert (one.losses == two.losses).all()


def test_too_few_rows_for_an_estimator_make_no_point() -> None:
    neighbours = "sklearn.neighbors.KNeighborsClassifier"
    training = Training(estimators=(neighbours,), parameters={neighbours: {"n_neighbors": 15}}, folds=2, threads=1)
    points = _measure(_rows(60), training)
    assert 1 < len(points) < len(SHARES)
    assert points[-1].rows == 60


def test_an_ensemble_is_made_of_the_same_parts_at_every_point(monkeypatch: pytest.MonkeyPatch) -> None:
    bayes = "sklearn.naive_bayes.GaussianNB"
    models: list[Candidate] = []

    def point(model: Candidate, learned: Rows, judged: Rows) -> Point:
        models.append(model)
        return Point(len(learned), {}, {}, np.empty(0))

    monkeypatch.setattr(learning_curve, "_point", point)
    _measure(_rows(200), Training(mode="refit", estimators=("voting", "logistic", bayes), folds=2, threads=1))
    parts = [[name for name, _ in each.model.estimator_.estimator.estimators] for each in models]
    assert len(parts) > 1
    assert parts == [["logistic", bayes]] * len(parts)


# -- what it says ----------------------------------------------------------------------------------------------


def _point(rows: int, losses: list[float], f1: float = 0.6) -> Point:
    return Point(rows, {"f1": Estimate(f1, f1 - 0.02, f1 + 0.02)}, {"f1": Estimate(0.6, 0.58, 0.62)}, np.array(losses))


@pytest.mark.parametrize(
    ("last", "begins", "holds"),
    [
        ([0.1, 0.2, 0.3], "More rows would still help: ", "400 to 1,000 rows the log loss on the holdout fell (by"),
        ([0.3, 0.3, 0.4], "The curve is flat, as far as the holdout can tell: ", "hardly changed (by "),
        ([0.5, 0.6, 0.7], "More rows made it no better: ", "rose (by 0."),
    ],
)  # fmt: skip
def test_the_last_model_is_held_against_that_of_at_most_half_its_rows(
    last: list[float], begins: str, holds: str
) -> None:
    far, half, near = _point(100, [9.0] * 3), _point(400, [0.3, 0.4, 0.31]), _point(700, [9.0] * 3)
    told = verdict([far, half, near, _point(1000, last)], most=0.1)
    assert told.startswith(begins)
    assert holds in told
    assert "by heart" not in told


def test_a_large_gap_says_that_the_model_has_learned_by_heart() -> None:
    told = verdict([_point(400, [0.3, 0.4]), _point(1000, [0.3, 0.4], f1=0.9)], most=0.1)
    assert told.endswith("The gap of F1 to the training rows (0.300, 90 % interval 0.272 to 0.328) says that the model"
                         " has learned by heart.")  # fmt: skip


def test_one_point_is_no_curve() -> None:
    assert verdict([_point(1000, [0.3, 0.4])], most=0.1) == "There are too few rows for a learning curve."


def test_the_picture_is_the_same_each_time(tmp_path: Path) -> None:
    points = _measure(_rows(200))
    for name in ("a.svg", "b.svg"):
        draw(points, tmp_path / name, title="e1, logistic")
    text = (tmp_path / "a.svg").read_text()
    assert text == (tmp_path / "b.svg").read_text()
    assert text.count("<!-- rows learned from -->") == 3
    assert "<dc:date>" not in text
