"""The sample is what the demo, other tests and the benchmarks trust: its truth and its counts are exact."""

from __future__ import annotations

import csv
import io
import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score

from churnwatch.pipeline import sample
from churnwatch.pipeline.errors import UsageError
from churnwatch.pipeline.sample import Like, Month

if TYPE_CHECKING:
    import numpy.typing as npt

TARGET = {Like.TELCO: "Churn", Like.ATTRITION: "exited"}
ID = {Like.TELCO: "customerID", Like.ATTRITION: "corporation"}
COLUMNS = {
    Like.TELCO: "customerID month gender SeniorCitizen Partner Dependents tenure PhoneService "
    "InternetService OnlineSecurity TechSupport StreamingTV Contract PaperlessBilling PaymentMethod "
    "MonthlyCharges TotalCharges Churn",
    Like.ATTRITION: "corporation lastmonth_activity lastyear_activity number_of_employees exited",
}

both = pytest.mark.parametrize("like", Like)


def made(like: Like = Like.TELCO, *, months: int = 3, rows: int = 400, seed: int = 7, **options: Any) -> list[Month]:
    return list(sample.generate(like, months=months, rows=rows, seed=seed, **options))


def left(like: Like, rows: pd.DataFrame) -> npt.NDArray[np.bool_]:
    return rows[TARGET[like]].isin(["Yes", 1]).to_numpy()


def lines_of(month: Month) -> list[list[str]]:
    return list(csv.reader(io.StringIO(month.csv())))


def bayes_auc(like: Like, month: Month) -> float:
    chance = sample.probability(like, month.rows, effect=month.effect)
    return float(roc_auc_score(left(like, month.rows), chance))


# --- the same every time


@both
def test_the_same_arguments_give_the_same_bytes(like: Like, tmp_path: Path) -> None:
    extras: dict[str, Any] = {"duplicates": 0.1, "missing": 0.1, "broken": 3, "changes_at": 1}
    for name in ("a", "b"):
        sample.write(tmp_path / name, like, months=3, rows=300, seed=5, **extras)
    assert [path.read_bytes() for path in sorted((tmp_path / "a").iterdir())] == [
        path.read_bytes() for path in sorted((tmp_path / "b").iterdir())
    ]


@both
def test_another_seed_gives_other_customers(like: Like) -> None:
    one, two = made(like, seed=1)[0].rows, made(like, seed=2)[0].rows
    assert set(one[ID[like]]).isdisjoint(two[ID[like]])


@both
def test_a_longer_sample_begins_like_a_shorter_one(like: Like) -> None:
    assert [month.csv() for month in made(like, months=4)[:2]] == [month.csv() for month in made(like, months=2)]


@both
def test_what_comes_on_top_never_changes_the_customers(like: Like) -> None:
    plain = made(like)
    for month, with_more in zip(plain, made(like, duplicates=0.2, broken=4), strict=True):
        pd.testing.assert_frame_equal(month.rows, with_more.rows.iloc[: len(month.rows)])


@both
def test_months_before_the_change_are_as_without_it(like: Like) -> None:
    plain, changed = made(like, rows=2000), made(like, rows=2000, changes_at=2)
    assert [month.csv() for month in plain[:2]] == [month.csv() for month in changed[:2]]
    assert plain[2].csv() != changed[2].csv()
    assert [month.effect for month in changed] == [0.0, 0.0, 1.0]


@both
def test_no_effect_is_no_change(like: Like) -> None:
    assert [month.csv() for month in made(like, changes_at=1, effect=0.0)] == [m.csv() for m in made(like)]


# --- shape


@both
def test_a_month_has_its_columns_its_rows_and_its_name(like: Like) -> None:
    months = made(like, months=13, rows=50)
    assert all(list(month.rows.columns) == COLUMNS[like].split() for month in months)
    assert all(len(month.rows) == 50 for month in months)
    assert [months[0].name, months[11].name, months[12].name] == [
        f"{like}-2026-01.csv",
        f"{like}-2026-12.csv",
        f"{like}-2027-01.csv",
    ]


@both
def test_the_text_reads_back_as_the_rows(like: Like) -> None:
    month = made(like)[0]
    pd.testing.assert_frame_equal(pd.read_csv(io.StringIO(month.csv())), month.rows, check_dtype=False)


@both
def test_ids_are_unique_in_a_month(like: Like) -> None:
    assert all(month.rows[ID[like]].is_unique for month in made(like, rows=20_000))


def test_telco_ids_and_dates_look_as_they_should() -> None:
    months = made()
    assert all(month.rows["customerID"].str.fullmatch(r"\d{4}-[A-Z]{5}").all() for month in months)
    assert [month.rows["month"].unique().tolist() for month in months] == [
        ["2026-01-01"],
        ["2026-02-01"],
        ["2026-03-01"],
    ]


def test_attrition_has_other_corporations_every_month() -> None:
    names = pd.concat([month.rows["corporation"] for month in made(Like.ATTRITION, rows=5000)])
    assert names.is_unique
    assert names.str.fullmatch("[a-z]{6}").all()


def test_telco_rows_make_sense() -> None:
    rows = made(rows=5000)[0].rows
    offline = rows["InternetService"] == "No"
    for extra in ("OnlineSecurity", "TechSupport", "StreamingTV"):
        assert ((rows[extra] == "No internet service") == offline).all()
    assert rows["tenure"].between(1, 72).all()
    newcomers = rows[rows["tenure"] == 1]
    assert (newcomers["TotalCharges"] == newcomers["MonthlyCharges"]).all()
    fibre = rows.loc[rows["InternetService"] == "Fiber optic", "MonthlyCharges"].mean()
    assert fibre > rows.loc[offline, "MonthlyCharges"].mean() + 40
    tenure = rows.groupby("Contract")["tenure"].mean()
    assert tenure["Two year"] > tenure["One year"] > tenure["Month-to-month"]


# --- telco customers return


def test_who_stays_comes_back_a_month_older_and_who_leaves_does_not() -> None:
    months = [month.rows.set_index("customerID") for month in made(months=4, rows=1000)]
    for before, after in itertools.pairwise(months):
        stayed = before[before["Churn"] == "No"]
        back = after.loc[stayed.index]
        assert (back["tenure"] == stayed["tenure"] + 1).all()
        assert np.allclose(back["TotalCharges"], stayed["TotalCharges"] + stayed["MonthlyCharges"])
        same = ["gender", "Contract", "InternetService", "MonthlyCharges"]
        pd.testing.assert_frame_equal(back[same], stayed[same])
        newcomers = after.drop(index=stayed.index)
        assert (newcomers["tenure"] == 1).all()
        assert not newcomers.index.isin(before.index).any()


def test_who_left_never_returns() -> None:
    gone: set[str] = set()
    for month in made(months=6, rows=500):
        assert gone.isdisjoint(month.rows["customerID"])
        gone |= set(month.rows.loc[month.rows["Churn"] == "Yes", "customerID"])


# --- the truth


@both
def test_the_documented_truth_is_the_one_in_the_code(like: Like) -> None:
    documented = (sample.__doc__ or "").split(f"\n{like}\n")[1].split("\n\n")[0]
    assert [line.strip() for line in documented.splitlines() if line] == sample.truth(like).splitlines()


@pytest.mark.parametrize(("like", "share"), [(Like.TELCO, 0.263), (Like.ATTRITION, 0.526)])
def test_the_share_of_churn_is_steady_and_near_the_truth(like: Like, share: float) -> None:
    for month in made(like, months=6, rows=10_000):
        chance = sample.probability(like, month.rows)
        deviation = np.sqrt((chance * (1 - chance)).mean() / len(chance))
        assert abs(left(like, month.rows).mean() - chance.mean()) < 4 * deviation
        assert abs(chance.mean() - share) < 0.01


@both
@pytest.mark.parametrize("changes_at", [None, 0])
def test_the_best_possible_auc_is_that_of_a_hard_but_learnable_problem(like: Like, changes_at: int | None) -> None:
    month = made(like, months=1, rows=20_000, changes_at=changes_at)[0]
    assert 0.79 < bayes_auc(like, month) < 0.86


def test_telco_is_as_hard_as_promised() -> None:
    assert all(0.82 < bayes_auc(Like.TELCO, month) < 0.86 for month in made(months=6, rows=10_000))


@both
def test_probabilities_are_calibrated(like: Like) -> None:
    month = made(like, months=1, rows=50_000)[0]
    chance = sample.probability(like, month.rows)
    for low in np.arange(0.1, 0.9, 0.2):
        there = (chance >= low) & (chance < low + 0.2)
        assert abs(left(like, month.rows)[there].mean() - chance[there].mean()) < 0.03


@both
def test_a_model_trained_before_the_change_is_worse_after_it(like: Like) -> None:
    months = made(like, months=4, rows=4000, changes_at=2)
    clues = [pd.get_dummies(month.rows.drop(columns=[ID[like], TARGET[like]])) for month in months]
    clues = [clue.drop(columns=clue.filter(like="month_2026")) for clue in clues]
    model = HistGradientBoostingClassifier(max_iter=40, random_state=0).fit(clues[0], left(like, months[0].rows))
    auc = [
        roc_auc_score(left(like, month.rows), model.predict_proba(clue)[:, 1])
        for month, clue in zip(months, clues, strict=True)
    ]
    assert auc[1] > 0.77
    assert auc[2] < auc[1] - 0.1
    assert auc[3] < auc[1] - 0.1


def test_boosting_finds_what_a_straight_line_cannot() -> None:
    like = Like.ATTRITION
    train, judge = made(like, months=2, rows=5000)
    clues = ["lastmonth_activity", "lastyear_activity", "number_of_employees"]
    model = HistGradientBoostingClassifier(max_iter=60, random_state=0)
    model.fit(train.rows[clues], left(like, train.rows))
    boosted = roc_auc_score(left(like, judge.rows), model.predict_proba(judge.rows[clues])[:, 1])
    design = np.column_stack([np.ones(5000), np.log1p(train.rows[clues])])
    line, *_ = np.linalg.lstsq(design, left(like, train.rows).astype(float))
    straight = roc_auc_score(left(like, judge.rows), np.log1p(judge.rows[clues]).to_numpy() @ line[1:])
    assert straight + 0.01 < boosted <= bayes_auc(like, judge)


# --- what comes on top


@both
def test_duplicates_are_exact_repeats_and_exactly_as_many(like: Like) -> None:
    seen: set[str] = set()
    from_before = 0
    for month in made(like, duplicates=0.25, missing=0.05):
        lines = month.csv().splitlines()[1:]
        assert len(lines) == 500
        assert len(set(lines) - seen) == 400
        from_before += len(set(lines) & seen)
        seen |= set(lines)
    assert from_before > 0


@both
def test_missing_cells_are_exactly_as_many_and_never_in_id_month_or_target(like: Like) -> None:
    for month in made(like, missing=0.1):
        kept = month.rows.columns.intersection([ID[like], "month", TARGET[like]])
        assert month.rows[kept].notna().all(axis=None)
        assert month.rows.isna().sum().sum() == round(0.1 * 400 * (len(month.rows.columns) - len(kept)))


def test_whole_numbers_stay_whole_beside_empty_cells() -> None:
    cells = {row[6] for row in lines_of(made(missing=0.3)[0])[1:]}
    assert "" in cells
    assert all(cell.isdigit() for cell in cells - {""})


def test_holes_do_not_follow_a_customer_into_the_next_month() -> None:
    before, after = (month.rows for month in made(months=2, missing=0.2))
    holed = before.loc[before["tenure"].isna() & (before["Churn"] == "No"), "customerID"]
    assert after.loc[after["customerID"].isin(holed), "tenure"].notna().any()


@both
def test_broken_lines_are_as_many_as_asked_for_and_of_both_sorts(like: Like) -> None:
    for month in made(like, broken=5):
        header, *lines = lines_of(month)
        ragged = [line for line in lines if len(line) == len(header) + 1]
        text = [line for line in lines if "unknown" in line]
        assert (len(ragged), len(text), len(lines)) == (3, 2, 405)
        assert {",".join(line) for line in ragged + text} == set(month.broken)


def test_broken_lines_are_spread_and_the_header_stays_first() -> None:
    month = made(rows=2, broken=7)[0]
    lines = lines_of(month)
    assert lines[0] == COLUMNS[Like.TELCO].split()
    assert len(lines) == 10


@both
def test_one_month_comes_without_its_target(like: Like) -> None:
    months = made(like, months=4, rows=400, without_target=1, duplicates=0.1, missing=0.1, broken=2)
    assert [TARGET[like] in month.rows.columns for month in months] == [True, False, True, True]
    assert all(len(lines_of(month)) == 1 + 400 + 40 + 2 for month in months)
    own = [set(month.rows[month.rows.columns.intersection([ID[like], "month"])].agg(tuple, axis=1)) for month in months]
    assert len(own[1]) == 400, "nothing from the labelled month before"
    assert own[1].isdisjoint(own[2]), "nothing that was to be scored comes again with its label"


# --- writing


@both
def test_files_hold_the_months(like: Like, tmp_path: Path) -> None:
    paths = sample.write(tmp_path / "new" / "folder", like, months=2, rows=30, seed=7, broken=1)
    assert [path.name for path in paths] == [f"{like}-2026-01.csv", f"{like}-2026-02.csv"]
    assert sorted((tmp_path / "new" / "folder").iterdir()) == paths
    assert [path.read_text() for path in paths] == [m.csv() for m in made(like, months=2, rows=30, broken=1)]


def test_a_watcher_never_sees_half_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bool] = []
    rename = Path.replace

    def watched(self: Path, target: Path) -> Path:
        seen.append(self.name.startswith(".") and self.read_bytes().endswith(b"\n") and not target.exists())
        return rename(self, target)

    monkeypatch.setattr(Path, "replace", watched)
    sample.write(tmp_path, Like.TELCO, months=3, rows=20, seed=1)
    assert seen == [True, True, True]


def test_a_failed_write_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="No space"):
        sample.write(tmp_path, Like.TELCO, months=1, rows=20, seed=1)
    assert list(tmp_path.iterdir()) == []


# --- impossible wishes


@pytest.mark.parametrize(
    "wish",
    [
        {"months": 0},
        {"rows": 0},
        {"months": 1_000_000, "rows": 1_000},
        {"seed": -1},
        {"broken": -1},
        {"duplicates": 1.5},
        {"missing": -0.1},
        {"missing": float("nan")},
        {"changes_at": 3},
        {"without_target": -1},
        {"effect": float("inf")},
        {"like": "weather"},
    ],
)
def test_the_impossible_is_refused_at_once_in_one_line(wish: dict[str, Any]) -> None:
    arguments: dict[str, Any] = {"like": Like.TELCO, "months": 3, "rows": 10, "seed": 1} | wish
    with pytest.raises(UsageError) as refused:
        sample.generate(arguments.pop("like"), **arguments)
    assert next(iter(wish)) in str(refused.value)


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    for folder in (tmp_path / "taken", tmp_path / "taken" / "below"):
        with pytest.raises(UsageError, match="is no folder"):
            sample.write(folder, Like.TELCO, months=1, rows=1, seed=0)


# --- whatever is asked for


@settings(max_examples=25, deadline=None)
@given(
    like=st.sampled_from(Like),
    months=st.integers(1, 3),
    rows=st.integers(1, 40),
    seed=st.integers(0, 2**64),
    duplicates=st.floats(0, 1),
    missing=st.floats(0, 1),
    broken=st.integers(0, 5),
)
def test_the_counts_add_up_whatever_is_asked_for(
    *, like: Like, months: int, rows: int, seed: int, duplicates: float, missing: float, broken: int
) -> None:
    for month in made(like, months=months, rows=rows, seed=seed, duplicates=duplicates, missing=missing, broken=broken):
        lines = month.csv().splitlines()
        assert len(lines) == 1 + rows + round(duplicates * rows) + broken
        assert all(line.count(",") in (lines[0].count(","), lines[0].count(",") + 1) for line in lines)
        assert month.rows[ID[like]].notna().all()
