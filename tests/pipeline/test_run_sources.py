"""Whole runs of a home with sources: labels, tables beside them, requests, and what arrives in the wrong order."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet
import pytest

from churnwatch.pipeline import compaction, run, sample_kkbox
from churnwatch.pipeline.datasets import Intake
from churnwatch.pipeline.feature_step import Pairs
from churnwatch.pipeline.ledger.writer import Ledger
from churnwatch.pipeline.records import FileState, Status
from churnwatch.pipeline.run import Outcome
from churnwatch.pipeline.sample_settings import settings_for
from churnwatch.pipeline.settings import Home, load

pytestmark = pytest.mark.usefixtures("fewer_thresholds")
LEAST = "training: {estimators: [logistic], folds: 2}\ngate: {policy: better, min_positives: 5}\n"


@pytest.fixture(scope="module")
def months(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return sample_kkbox.write(tmp_path_factory.mktemp("kkbox"), months=4, rows=250, seed=5)


@pytest.fixture
def home(make_home: Callable[..., Home]) -> Home:
    return make_home(f"{settings_for('kkbox')}\n{LEAST}")


def _drop(home: Home, paths: list[Path]) -> list[Outcome]:
    for path in paths:
        shutil.copy(path, home.source / path.name)
    with Ledger.open(home.ledger) as ledger:
        run.recover(home, ledger)
        return run.work(home, ledger, reason="drop")


def _without(months: list[Path], *words: str) -> list[Path]:
    return [path for path in months if not any(word in path.name for word in words)]


def _with(months: list[Path], *words: str) -> list[Path]:
    return [path for path in months if any(word in path.name for word in words)]


def _predicted(home: Home) -> pd.DataFrame:
    with Ledger.open(home.ledger) as ledger:
        path = ledger.predictions()[-1]["path"]
    return pyarrow.parquet.read_table(home.predictions / path).to_pandas()


def test_labels_that_come_before_their_sources_wait_for_them(home: Home, months: list[Path]) -> None:
    [failed] = _drop(home, _with(months, "labels", "members"))
    assert failed.status is Status.FAILED
    assert failed.line.startswith("settings.yaml: sources.transactions: no row was ingested yet; drop a file")
    outcomes = _drop(home, _without(months, "labels", "members"))
    assert [outcome.status for outcome in outcomes] == [Status.FAILED, Status.DONE]
    [done] = _drop(home, [])
    assert done.line.startswith("Released as the first model")


def test_new_rows_of_a_source_alone_predict_the_customers_anew(home: Home, months: list[Path]) -> None:
    _drop(home, _without(months, "user_logs-2026-04"))
    before = _predicted(home).set_index("msno")["probability"]
    [outcome] = _drop(home, _with(months, "user_logs-2026-04"))
    assert outcome.line == "New rows of sources, and no new label to learn from; the customers are predicted anew."
    after = _predicted(home).set_index("msno")["probability"]
    assert set(before.index) == set(after.index)
    assert (before != after.reindex(before.index)).any()


def test_a_request_to_score_is_predicted_with_the_features_of_its_day(home: Home, months: list[Path]) -> None:
    _drop(home, months)
    now = _predicted(home).set_index("msno")["probability"]
    request = home.source / "ask.csv"
    lines = [f"{who},2026-05-01" for who in now.index] + ["nobody,2026-05-01", f"{now.index[0]},2026-03-01"]
    request.write_text("\n".join(["msno,date", *lines]) + "\n")
    [outcome] = _drop(home, [])
    assert outcome.line == "A request to score; nothing was trained."
    asked = _predicted(home)
    assert list(asked["msno"]) == [*now.index, "nobody", now.index[0]]
    assert asked["probability"].iloc[: len(now)].tolist() == pytest.approx(now.tolist(), abs=1e-12)
    assert asked["probability"].iloc[-1] != asked["probability"].iloc[0]


def test_a_test_folder_judges_with_features_too(home: Home, months: list[Path]) -> None:
    home.tests.mkdir()
    shutil.copy(_with(months, "labels-2026-04")[0], home.tests / "test.csv")
    [outcome] = _drop(home, _without(months, "labels-2026-04"))
    rows = len(_with(months, "labels-2026-04")[0].read_text().splitlines()) - 1
    assert f"on {rows} holdout rows" in outcome.line


def test_a_file_that_should_hold_labels_and_has_none_is_quarantined(home: Home, months: list[Path]) -> None:
    (home.source / "labels-later.csv").write_text("msno,date\na,2026-05-01\n")
    _drop(home, months)
    with Ledger.open(home.ledger) as ledger:
        found = ledger.file_by_path("labels-later.csv")
    assert found["state"] == FileState.QUARANTINED
    assert "holds outcomes, but it has no column `is_churn`" in found["reason"]


def test_rows_of_sources_are_counted_profiled_and_quarantined_like_any_other(home: Home, months: list[Path]) -> None:
    broken = home.source / "user_logs-broken.csv"
    header = _with(months, "user_logs-2026-01")[0].read_text().splitlines()[0]
    broken.write_text(f"{header}\na,2026-01-05,x,0,0,0,1,1,5.0\n")
    _drop(home, months)
    with Ledger.open(home.ledger) as ledger:
        found = ledger.file_by_path("user_logs-broken.csv")
        assert (found["rows_read"], found["quarantined"]) == (1, 1)
        assert "logs.total_secs" in {row["column_name"] for row in ledger.profiles(1)}
        assert [each.file for each in ledger.batches()] == [
            ledger.file_by_path(path.name)["file"] for path in sorted(_with(months, "labels"))
        ]
    assert (home.ingested / "quarantine" / "run-00001-logs.parquet").exists()


def test_further_features_do_not_disturb_the_model_in_use(home: Home, months: list[Path]) -> None:
    _drop(home, _without(months, "2026-04"))
    text = (home.path / "settings.yaml").read_text() + 'expressions: {songs: "logs_num_unq_sum_all + 1"}\n'
    (home.path / "settings.yaml").write_text(text)
    [outcome] = _drop(load(home.path), _with(months, "2026-04"))
    assert outcome.status is Status.DONE
    with Ledger.open(home.ledger) as ledger:
        assert len(ledger.decisions()) == 2
        assert ledger.metrics(run=2, split="prequential")


def test_a_model_whose_features_are_gone_is_not_compared_and_that_is_said(home: Home, months: list[Path]) -> None:
    _drop(home, _without(months, "2026-04"))
    text = (home.path / "settings.yaml").read_text()
    changed = text.replace("total_secs: [sum, mean, std, trend]", "total_secs: [sum, mean, trend]")
    assert changed != text
    (home.path / "settings.yaml").write_text(changed)
    [outcome] = _drop(load(home.path), _with(months, "2026-04"))
    assert outcome.status is Status.DONE
    assert any("v1 needs features that the settings no longer make or allow" in each for each in outcome.warnings)
    with Ledger.open(home.ledger) as ledger:
        champion = ledger.champion()
        assert champion is not None
        assert champion.model.version == 2


def test_what_a_crash_left_beside_the_data_is_removed(home: Home, months: list[Path]) -> None:
    _drop(home, months)
    left = [
        home.ingested / "logs" / ".sums-00002.tmp",
        home.ingested / ".features.parquet-x.tmp",
        home.ingested / run.EXCHANGE / "0badcafe" / "table.parquet",
    ]
    for path in left:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    with Ledger.open(home.ledger) as ledger:
        run.recover(home, ledger)
    assert not [path for path in left if path.exists()]


@pytest.mark.parametrize("step", ["_extend", "_write_table"])
def test_a_run_killed_while_it_makes_features_ends_as_if_nothing_had_been(
    home: Home, months: list[Path], monkeypatch: pytest.MonkeyPatch, make_home: Callable[..., Home], step: str
) -> None:
    whole = make_home((home.path / "settings.yaml").read_text(), "whole")
    _drop(whole, months)
    with monkeypatch.context() as patch:
        patch.setattr(f"churnwatch.pipeline.feature_step.FeatureStep.{step}", _killed)
        with pytest.raises(KeyboardInterrupt):
            _drop(home, months)
    [outcome] = _drop(home, [])
    assert outcome.status is Status.DONE
    for pairs in Pairs:
        tables = [pyarrow.parquet.read_table(each.ingested / pairs.file) for each in (home, whole)]
        assert tables[0].equals(tables[1])


def _killed(*_: object) -> None:
    raise KeyboardInterrupt


def _counted(home: Home) -> dict[str, int]:
    table = pyarrow.parquet.read_table(home.ingested / Pairs.PAST.file).to_pandas()
    return dict(zip(table["msno"] + table["date"].astype(str), table["logs_count_all"], strict=True))


def test_runs_that_are_taken_up_in_another_order_count_every_row_once(
    home: Home, months: list[Path], make_home: Callable[..., Home]
) -> None:
    text = (home.path / "settings.yaml").read_text()
    whole = make_home(text, "whole")
    _drop(whole, months)
    (home.path / "settings.yaml").write_text(text.replace("trend]", "trendy]"))
    [first] = _drop(load(home.path), _without(months, "2026-04"))
    second = _drop(load(home.path), _with(months, "2026-04"))
    assert [each.status for each in (first, *second)] == [Status.FAILED] * 3
    (home.path / "settings.yaml").write_text(text)
    assert [each.status for each in _drop(load(home.path), [])] == [Status.DONE, Status.DONE]
    assert _counted(home) == _counted(whole)


def test_a_run_that_ingests_after_a_later_one_did_is_counted(
    home: Home, months: list[Path], make_home: Callable[..., Home], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = make_home((home.path / "settings.yaml").read_text(), "whole")
    _drop(whole, months)
    take = Intake.take

    def without_the_first(self: Intake, *given: Any, **rest: Any) -> None:
        if self._run == 1:
            raise OSError(28, "No space left on device")
        take(self, *given, **rest)

    with monkeypatch.context() as patch:
        patch.setattr(Intake, "take", without_the_first)
        [failed] = _drop(home, _with(months, "user_logs-2026-02"))
        again, overtook = _drop(home, _without(months, "user_logs-2026-02"))
    assert [each.status for each in (failed, again, overtook)] == [Status.FAILED, Status.FAILED, Status.DONE]
    assert _counted(home) != _counted(whole)
    _drop(home, [])
    assert _counted(home) == _counted(whole)


def _full(*_: object, **__: object) -> None:
    raise OSError(28, "No space left on device")


def test_a_run_whose_part_was_merged_before_it_was_taken_up_again_ends_well(
    home: Home, months: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compaction, "FANOUT", 2)
    _drop(home, _without(months, "2026-04"))
    with monkeypatch.context() as patch:
        patch.setattr("churnwatch.pipeline.learning.test_champion", _full)
        _drop(home, _with(months, "labels-2026-04", "logs-2026-04"))
    with monkeypatch.context() as patch:
        patch.setattr("churnwatch.pipeline.ledger.reader.Reader.unfinished", lambda *_: [])
        _drop(home, _with(months, "transactions-2026-04", "members-2026-04"))
    [taken_up] = _drop(home, [])
    assert taken_up.status is Status.DONE
    with Ledger.open(home.ledger) as ledger:
        assert ledger.metrics(run=2, split="prequential")


def test_a_source_that_was_renamed_is_filled_by_its_files_again(home: Home, months: list[Path]) -> None:
    _drop(home, _without(months, "labels-2026-04", "transactions-2026-04"))
    text = (home.path / "settings.yaml").read_text()
    (home.path / "settings.yaml").write_text(text.replace("  logs:", "  plays:").replace("user_logs*", "plays*"))
    renamed = load(home.path)
    for path in _with(months, "user_logs"):
        shutil.copy(path, renamed.source / path.name.replace("user_logs", "plays"))
    assert _drop(renamed, _with(months, "labels-2026-04"))[-1].status is Status.DONE
    with Ledger.open(home.ledger) as ledger:
        assert sum(part.rows for part in ledger.parts("plays")) == sum(part.rows for part in ledger.parts("logs"))
    assert list(home.ingested.glob("logs/*sums*"))
    _drop(renamed, _with(months, "transactions-2026-04"))
    assert not list(home.ingested.glob("logs/*sums*"))  # what was added up of a source that is no more
    assert list(home.ingested.glob("logs/part-*"))


def test_the_same_bytes_may_say_once_more_what_was_so_before(home: Home, months: list[Path]) -> None:
    first = _with(months, "members-2026-01")[0].read_text()
    _drop(home, months)
    header, row = first.splitlines()[:2]
    who, city, *rest = row.split(",")
    for number, town in enumerate((f"{city}0", city)):
        (home.source / f"members-later-{number}.csv").write_text(f"{header}\n{','.join([who, town, *rest])}\n")
        _drop(home, [])
    (home.source / "members-again-0.csv").write_text((home.source / "members-later-0.csv").read_text())
    _drop(home, [])
    table = pyarrow.parquet.read_table(home.ingested / Pairs.PAST.file).to_pandas()
    assert set(table.query("msno == @who")["members_city_last"]) == {f"{city}0"}
