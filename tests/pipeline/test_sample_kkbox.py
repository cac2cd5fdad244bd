"""The sample in several sources: what it says of a member at a snapshot is what its files say of the days before."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from sklearn.metrics import roc_auc_score

from churnwatch.pipeline import sample_kkbox as sample
from churnwatch.pipeline.errors import UsageError
from churnwatch.pipeline.sample_settings import settings_for

MONTHS, ROWS, SEED = 5, 600, 7
DATES = ["date", "transaction_date", "membership_expire_date", "registration_init_time"]
COLUMNS = {
    "members": "msno city bd gender registered_via registration_init_time",
    "transactions": "msno payment_method_id payment_plan_days plan_list_price actual_amount_paid is_auto_renew "
    "transaction_date membership_expire_date is_cancel",
    "user_logs": "msno date num_25 num_50 num_75 num_985 num_100 num_unq total_secs",
    "labels": "msno date is_churn",
}
TEXTS = {"city": str, "registered_via": str, "payment_method_id": str}


@pytest.fixture(scope="module")
def months() -> list[sample.Month]:
    return list(sample.generate(months=MONTHS, rows=ROWS, seed=SEED))


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return sample.write(tmp_path_factory.mktemp("kkbox"), months=MONTHS, rows=ROWS, seed=SEED)


@pytest.fixture(scope="module")
def files(paths: list[Path]) -> dict[str, pd.DataFrame]:
    """Return each file by its name, without the ending."""
    found = {path.stem: pd.read_csv(path, dtype=TEXTS) for path in paths}
    for frame in found.values():
        for column in frame.columns.intersection(DATES):
            frame[column] = pd.to_datetime(frame[column], format="%Y-%m-%d")
    return found


@pytest.fixture(scope="module")
def sources(files: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Return the files of a kind together."""
    return {kind: pd.concat([rows for name, rows in files.items() if name.startswith(kind)]) for kind in COLUMNS}


def churned(sources: dict[str, pd.DataFrame]) -> pd.Series:
    """Return the snapshot after which each leaver left."""
    labels = sources["labels"]
    return labels[labels["is_churn"] == 1].set_index("msno")["date"]


# --- the same every time


def test_the_same_arguments_give_the_same_bytes(paths: list[Path], tmp_path: Path) -> None:
    again = sample.write(tmp_path, months=MONTHS, rows=ROWS, seed=SEED)
    assert [path.name for path in again] == [path.name for path in paths]
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in paths]


def test_a_longer_sample_begins_like_a_shorter_one(paths: list[Path], tmp_path: Path) -> None:
    shorter = sample.write(tmp_path, months=MONTHS - 1, rows=ROWS, seed=SEED)
    assert [path.read_bytes() for path in shorter] == [path.read_bytes() for path in paths[: len(shorter)]]


def test_another_seed_gives_other_members(months: list[sample.Month]) -> None:
    other = next(sample.generate(months=3, rows=ROWS, seed=SEED + 1))
    msno = [set(each.tables["members-2026-01.csv"]["msno"].to_pylist()) for each in (months[0], other)]
    assert msno[0].isdisjoint(msno[1])


# --- shape


def test_each_kind_has_its_files_and_every_file_its_columns(paths: list[Path], files: dict[str, pd.DataFrame]) -> None:
    numbers = {kind: [name[-2:] for name in files if name.startswith(kind)] for kind in COLUMNS}
    every = ["01", "02", "03", "04", "05"]
    # Nobody registers in March, as nobody left in February.
    assert numbers == {
        "members": ["01", "02", "04", "05"],
        "transactions": every,
        "user_logs": every,
        "labels": every[2:],
    }
    assert all(list(frame.columns) == COLUMNS[name[:-8]].split() for name, frame in files.items())
    assert sorted(paths[0].parent.iterdir()) == sorted(paths)
    assert not any(b'"' in path.read_bytes() for path in paths)


def test_each_row_stands_in_the_file_of_its_month(files: dict[str, pd.DataFrame]) -> None:
    for name, rows in files.items():
        kind, month = name[:-8], pd.Period(name[-7:])
        if kind == "labels":
            assert (rows["date"] == month.start_time).all()
        elif name != "members-2026-01":
            date = {"members": "registration_init_time", "transactions": "transaction_date"}.get(kind, "date")
            assert (rows[date].dt.to_period("M") == month).all()


def test_values_make_sense(sources: dict[str, pd.DataFrame]) -> None:
    members, transactions, logs = sources["members"], sources["transactions"], sources["user_logs"]
    assert members["msno"].is_unique
    assert members["registration_init_time"].lt("2026-02-01").sum() > ROWS * 0.8
    assert set(members["gender"].dropna()) == {"male", "female"}
    assert 0.3 < (members["bd"] == 0).mean() < 0.5
    assert (transactions["actual_amount_paid"] <= transactions["plan_list_price"]).all()
    assert (transactions["membership_expire_date"] >= transactions["transaction_date"]).all()
    for flag in ("is_auto_renew", "is_cancel"):
        assert set(transactions[flag]) == {0, 1}
    assert not transactions.duplicated().any()
    assert not logs.duplicated(["msno", "date"]).any()
    assert logs["total_secs"].between(1, 86_400).all()
    assert logs["total_secs"].eq(logs["total_secs"].round(3)).all()
    assert 0.3 < len(logs) / (MONTHS * 30 * ROWS) < 0.7
    assert (logs.select_dtypes("number") >= 0).all(axis=None)


# --- who is there when


def test_nothing_is_known_of_a_member_before_the_registration(sources: dict[str, pd.DataFrame]) -> None:
    registered = sources["members"].set_index("msno")["registration_init_time"]
    for kind, date in (("transactions", "transaction_date"), ("user_logs", "date")):
        rows = sources[kind]
        assert (rows[date] >= rows["msno"].map(registered)).all()
    labels = sources["labels"]
    assert (labels["date"] > labels["msno"].map(registered)).all()


def test_nothing_is_known_of_a_member_after_leaving(sources: dict[str, pd.DataFrame]) -> None:
    left = churned(sources)
    for kind, date in (("transactions", "transaction_date"), ("user_logs", "date")):
        after = sources[kind].merge(left.rename("snapshot"), left_on="msno", right_index=True)
        assert (after[date] - after["snapshot"] < pd.Timedelta(days=30)).all()
    labels = sources["labels"].merge(left.rename("snapshot"), left_on="msno", right_index=True)
    assert (labels["date"] <= labels["snapshot"]).all()


def test_leavers_live_on_for_a_while_after_the_snapshot(sources: dict[str, pd.DataFrame]) -> None:
    """Features that look past the snapshot would know who leaves."""
    logs = sources["user_logs"].merge(churned(sources).rename("snapshot"), left_on="msno", right_index=True)
    assert (logs["date"] >= logs["snapshot"]).sum() > 100


def test_everybody_else_is_labelled_again_and_every_leaver_is_replaced(sources: dict[str, pd.DataFrame]) -> None:
    labels, members = sources["labels"], sources["members"]
    by_month = [labels[labels["date"] == date] for date in sorted(set(labels["date"]))]
    assert set(by_month[0]["msno"]) == set(members.loc[members["registration_init_time"] < "2026-03-01", "msno"])
    assert len(by_month[0]) == ROWS
    for before, after in itertools.pairwise(by_month):
        stayed = set(before.loc[before["is_churn"] == 0, "msno"])
        assert stayed <= set(after["msno"])
    joined = members["registration_init_time"].dt.strftime("%Y-%m")
    assert (joined == "2026-04").sum() == by_month[0]["is_churn"].sum()
    assert (joined == "2026-05").sum() == by_month[1]["is_churn"].sum()


# --- the truth


def facts_in(sources: dict[str, pd.DataFrame], snapshot: pd.Timestamp) -> pd.DataFrame:
    """Return what the truth looks at, from the files' rows of before the snapshot."""
    labels = sources["labels"]
    msno = labels.loc[labels["date"] == snapshot, "msno"]
    paid = sources["transactions"].query("transaction_date < @snapshot").sort_values("transaction_date", kind="stable")
    logs = sources["user_logs"].query("date < @snapshot")
    month = pd.Timedelta(days=30)
    recent = logs[logs["date"] >= snapshot - month].groupby("msno")["total_secs"].sum().reindex(msno, fill_value=0.0)
    earlier = logs[(logs["date"] < snapshot - month) & (logs["date"] >= snapshot - 2 * month)]
    before = earlier.groupby("msno")["total_secs"].sum().reindex(msno, fill_value=0.0)
    cancelled = paid[(paid["is_cancel"] == 1) & (paid["transaction_date"] >= snapshot - month)]["msno"]
    members = sources["members"].set_index("msno").loc[msno]
    below = (paid["actual_amount_paid"] < paid["plan_list_price"]).groupby(paid["msno"]).mean()
    return pd.DataFrame(
        {
            "renews": paid.groupby("msno")["is_auto_renew"].last().reindex(msno, fill_value=0) == 1,
            "cancelled": msno.isin(cancelled).to_numpy(),
            "silent": (snapshot - logs.groupby("msno")["date"].max()).dt.days.reindex(msno).fillna(30).clip(upper=30),
            "change": ((recent - before) / (recent + before)).fillna(0.0),
            "discounted": below.reindex(msno, fill_value=0.0),
            "registered_via": members["registered_via"],
            "member_days": (snapshot - members["registration_init_time"]).dt.days,
        }
    )


def test_the_truth_is_about_what_the_files_say_of_the_days_before(
    months: list[sample.Month], sources: dict[str, pd.DataFrame]
) -> None:
    for number, month in enumerate(months[2:], start=3):
        found = facts_in(sources, pd.Timestamp(2026, number, 1))
        pd.testing.assert_frame_equal(month.facts.set_index("msno"), found, check_dtype=False)


def test_the_first_months_have_no_labels(months: list[sample.Month]) -> None:
    assert [len(month.facts) > 0 for month in months] == [False, False, True, True, True]
    for number, month in enumerate(months, start=1):
        assert month.tables[f"labels-2026-{number:02}.csv"]["msno"].to_pylist() == month.facts["msno"].tolist()


def test_the_documented_truth_is_the_one_in_the_code() -> None:
    documented = (sample.__doc__ or "").split("\nkkbox\n")[1]
    assert [line.strip() for line in documented.splitlines() if line] == sample.truth().splitlines()


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_problem_is_as_hard_as_promised_and_churn_is_steady(seed: int) -> None:
    for number, month in enumerate(sample.generate(months=5, rows=6000, seed=seed), start=1):
        if len(month.facts) > 0:
            chance = sample.probability(month.facts)
            left = month.tables[f"labels-2026-{number:02}.csv"]["is_churn"].to_numpy()
            deviation = np.sqrt((chance * (1 - chance)).mean() / len(chance))
            assert abs(left.mean() - chance.mean()) < 4 * deviation
            assert 0.11 < left.mean() < 0.19
            assert 0.85 < roc_auc_score(left, chance) < 0.91


# --- writing


def test_a_failed_write_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="No space"):
        sample.write(tmp_path, months=3, rows=20, seed=1)
    assert list(tmp_path.iterdir()) == []


def test_one_member_is_enough(tmp_path: Path) -> None:
    """Days, months and kinds without any row are no stumbling block."""
    for path in sample.write(tmp_path, months=8, rows=1, seed=1):
        header, *lines = path.read_text().splitlines()
        assert header.split(",") == COLUMNS[path.stem[:-8]].split()
        assert lines
        assert all(line[4:8].isdigit() and line.count(",") == header.count(",") for line in lines)


@pytest.mark.parametrize("wish", [{"months": 2}, {"rows": 0}, {"seed": -1}, {"months": 1_000_000, "rows": 1_000}])
def test_the_impossible_is_refused_at_once_in_one_line(wish: dict[str, Any]) -> None:
    with pytest.raises(UsageError) as refused:
        sample.generate(**({"months": 3, "rows": 10, "seed": 1} | wish))
    assert next(iter(wish)) in str(refused.value)


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(UsageError, match="is no folder"):
        sample.write(tmp_path / "taken", months=3, rows=1, seed=0)


# --- settings


def test_the_settings_name_every_column_of_every_kind() -> None:
    said = yaml.safe_load(settings_for("kkbox"))
    columns = {source["files"].removesuffix("*.csv"): source["columns"] for source in said["sources"].values()}
    columns[said["labels"].removesuffix("*.csv")] = said["columns"]
    assert {kind: " ".join(names) for kind, names in columns.items()} == COLUMNS
    for source in said["sources"].values():
        assert {source["key"], source.get("time", "msno")} <= source["columns"].keys()
        assert source.get("features", {}).keys() <= source["columns"].keys() | {"*"}
