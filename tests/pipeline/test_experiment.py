from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import joblib
import msgspec
import pytest

from churnwatch.pipeline import backup, experiment, files, learning_curve, registry, run, schemas, settings, windows
from churnwatch.pipeline.engine import duckdb_engine
from churnwatch.pipeline.errors import DataError, LedgerError, NotFoundError, SettingsError
from churnwatch.pipeline.experiment import Wanted, changed, conduct
from churnwatch.pipeline.feature_step import Pairs
from churnwatch.pipeline.ledger.writer import Ledger
from churnwatch.pipeline.records import Experiment, ExperimentMetric, Status
from churnwatch.pipeline.sample_settings import settings_for
from churnwatch.pipeline.settings import Home, Training
from churnwatch.pipeline.windows import Window
from churnwatch.pipeline.workspace import Surroundings

pytestmark = pytest.mark.usefixtures("fewer_thresholds")
TELCO = """\
target: Churn
positive: Yes
id: customerID
date: month
training:
  estimators: [logistic]
  folds: 2
gate:
  policy: better
  min_positives: 5
"""
STRONGER = {"parameters": {"logistic": {"C": 0.01}}}


def _work(home: Home, *sources: Path) -> None:
    for source in sources:
        shutil.copy(source, home.source)
    with Ledger.open(home.ledger) as ledger:
        run.recover(home, ledger)
        [outcome] = run.work(home, ledger, reason="drop")
    assert outcome.status is Status.DONE, outcome


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory, telco: tuple[Path, ...]) -> Home:
    """Return a home that has released a first model of two months."""
    folder = tmp_path_factory.mktemp("experiment")
    (folder / settings.FILE_NAME).write_text(TELCO, encoding="utf-8")
    home = settings.load(folder)
    for each in home.folders():
        each.mkdir(parents=True, exist_ok=True)
    _work(home, *telco[:2])
    return home


@pytest.fixture
def released(once: Home, tmp_path: Path) -> Home:
    """Return a copy of that home."""
    return settings.load(Path(shutil.copytree(once.path, tmp_path / "released", symlinks=True)))


def _conduct(home: Home, curve: bool = False, note: str | None = None, **other: object) -> tuple[Experiment, bool]:
    training = msgspec.structs.replace(home.settings.training, **other)
    with Ledger.open(home.ledger) as ledger, duckdb_engine(home.state / "spill") as engine:
        return conduct(home, ledger, engine, Wanted(training, note, curve))


def _metrics(home: Home, number: int) -> dict[tuple[str, str, str], ExperimentMetric]:
    with Ledger.open(home.ledger) as ledger:
        found = ledger.experiment_metrics(number)
    return {(each.subject, each.split, each.name): each for each in found if each.trained_on is None}


def _tree(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


# -- the whole way ---------------------------------------------------------------------------------------------


def test_an_experiment_is_recorded_with_files_and_released_nowhere(released: Home) -> None:
    with Ledger.open(released.ledger) as ledger:
        before = (ledger.models(), ledger.releases(), ledger.runs(), ledger.decisions())
    made, is_new = _conduct(released, note="less free", **STRONGER)
    assert is_new
    assert (made.name, made.note, made.champion) == ("e1", "less free", 1)
    assert json.loads(made.changed) == {"parameters.logistic.C": 0.01}
    folder = released.models / made.folder
    assert _tree(folder) == {"trainedmodel.pkl", "manifest.json", "latestscore.txt", "ingestedfiles.txt",
                             "confusionmatrix.png"}  # fmt: skip
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["experiment"] == "e1"
    assert manifest["settings"]["training"]["parameters"] == {"logistic": {"C": 0.01}}
    assert files.sha256_of(folder / "trainedmodel.pkl") == made.sha256
    assert joblib.load(folder / "trainedmodel.pkl").threshold == made.threshold
    with Ledger.open(released.ledger) as ledger:
        assert (ledger.models(), ledger.releases(), ledger.runs(), ledger.decisions()) == before
        assert ledger.experiments() == [made]
        assert ledger.problems() == []
        assert json.loads(ledger.settings_of(made.settings_sha256) or "") == manifest["settings"]


def test_it_is_judged_on_the_rows_that_the_champion_is_judged_on_and_says_how_it_compares(released: Home) -> None:
    made, _ = _conduct(released, **STRONGER)
    found = _metrics(released, made.experiment)
    with Ledger.open(released.ledger) as ledger:
        of_run = {m["name"]: m for m in ledger.metrics(run=1, split="holdout", version=1)}
    champion, own = found["champion", "holdout", "f1"], found["candidate", "holdout", "f1"]
    assert (champion.value, champion.rows) == (of_run["f1"]["value"], of_run["f1"]["rows"])
    assert own.value is not None
    difference = found["difference", "holdout", "f1"]
    assert difference.value == pytest.approx(own.value - champion.value)
    assert difference.low is not None
    assert difference.high is not None
    assert difference.low <= difference.value <= difference.high
    assert made.sentence.startswith(
        f"F1 {own.value:.3f} against {champion.value:.3f} of v1 on the same {own.rows} hold"
    )


def test_the_settings_as_they_are_give_the_figures_of_the_champion(released: Home) -> None:
    made, _ = _conduct(released)
    found = _metrics(released, made.experiment)
    assert made.changed == "{}"
    with Ledger.open(released.ledger) as ledger:
        assert made.threshold == ledger.model(1).threshold
        assert made.sha256 == ledger.model(1).sha256
        for split in ("train", "holdout", "gap"):
            of_run = {m["name"]: m["value"] for m in ledger.metrics(run=1, split=split, version=1)}
            own = {name: m.value for (who, where, name), m in found.items() if (who, where) == ("candidate", split)}
            assert own == of_run
    assert found["difference", "holdout", "log_loss"].value == 0.0


def test_the_same_again_is_the_same_experiment_and_is_made_once(released: Home) -> None:
    first, _ = _conduct(released, **STRONGER)
    assert _conduct(released, note="another word", **STRONGER) == (first, False)
    assert (released.models / "experiments" / "e2").exists() is False
    other, is_new = _conduct(released, seed=1, **STRONGER)
    assert (other.experiment, is_new) == (2, True)


def test_a_learning_curve_is_recorded_and_drawn(released: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learning_curve, "SHARES", (0.2, 0.4, 1.0))
    made, _ = _conduct(released, curve=True)
    assert made.learning_curve is not None
    assert made.learning_curve.endswith(".")
    assert (released.models / made.folder / experiment.CURVE).read_text().startswith("<?xml")
    with Ledger.open(released.ledger) as ledger:
        points = [m for m in ledger.experiment_metrics(1) if m.trained_on is not None]
    sizes = [m.trained_on for m in points if (m.split, m.name) == ("holdout", "f1")]
    assert len(sizes) > 2
    assert sizes == sorted(sizes)
    assert sizes[-1] == made.train_rows
    plain, is_new = _conduct(released)
    assert is_new
    assert plain.learning_curve is None


def test_training_rows_are_those_of_the_window_that_was_chosen(released: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windows, "compare", lambda *_, **__: ())
    monkeypatch.setattr(windows, "choose", lambda _: Window(last=1))
    monkeypatch.setattr(learning_curve, "SHARES", (0.5, 1.0))
    made, _ = _conduct(released, window="compare", curve=True)
    assert made.train_rows < 240
    assert _metrics(released, 1)["candidate", "train", "f1"].rows == made.train_rows
    with Ledger.open(released.ledger) as ledger:
        sizes = {m.trained_on for m in ledger.experiment_metrics(1)} - {None}
    assert len(sizes) == 2
    assert max(sizes, key=lambda size: size or 0) == made.train_rows


def test_a_model_that_learned_by_heart_is_warned_of(released: Home) -> None:
    tree = "sklearn.tree.DecisionTreeClassifier"
    made, _ = _conduct(released, estimators=(tree,))
    assert made.warning is not None
    assert "it has learned them by heart" in made.warning
    assert _metrics(released, 1)["candidate", "gap", "f1"].low > released.settings.training.max_gap


# -- with whom it is compared ----------------------------------------------------------------------------------


def test_without_a_champion_that_can_be_used_it_stands_alone(released: Home) -> None:
    text = (released.path / settings.FILE_NAME).read_text()
    (released.path / settings.FILE_NAME).write_text(text + "exclude: [Contract]\n")
    made, _ = _conduct(settings.load(released.path))
    assert made.champion is None
    assert made.sentence.endswith("there is no champion to compare it with.")
    assert made.warning is not None
    assert (
        "v1 needs features that the settings no longer make or allow (Contract); it cannot be compared" in made.warning
    )
    assert not any(subject in ("champion", "difference") for subject, _, _ in _metrics(released, 1))


def test_a_test_folder_judges_and_is_part_of_the_data(released: Home, telco: tuple[Path, ...]) -> None:
    first, _ = _conduct(released)
    released.tests.mkdir()
    shutil.copy(telco[3], released.tests)
    again, is_new = _conduct(released)
    assert is_new
    assert again.holdout == "test folder, 1 file(s)"
    assert again.data_sha256 != first.data_sha256
    assert _metrics(released, 2)["candidate", "holdout", "f1"].rows == 240


def test_the_metric_of_the_gate_is_the_one_of_the_sentence(released: Home) -> None:
    text = (released.path / settings.FILE_NAME).read_text()
    (released.path / settings.FILE_NAME).write_text(
        text.replace("policy: better", "policy: better\n  metric: log_loss")
    )
    made, _ = _conduct(settings.load(released.path), **STRONGER)
    assert made.sentence.startswith("log loss 0.")


# -- what cannot be tried --------------------------------------------------------------------------------------


def test_a_home_without_rows_has_nothing_to_learn_from(make_home: Callable[..., Home]) -> None:
    home = make_home(TELCO + "columns: {Churn: text, customerID: text, month: date, tenure: number}\n")
    with pytest.raises(NotFoundError, match="nothing was ingested yet"):
        _conduct(home)


def test_what_cannot_be_trained_leaves_nothing(released: Home) -> None:
    with pytest.raises(DataError, match="LogisticRegression cannot be trained on these rows: Solver lbfgs supports"):
        _conduct(released, parameters={"logistic": {"l1_ratio": 0.5}})
    with pytest.raises(SettingsError, match=r"logistic\.C: it must be a float in the range .*, not -1\.$"):
        _conduct(released, parameters={"logistic": {"C": -1}})
    with pytest.raises(SettingsError, match="takes no `D`"):
        _conduct(released, parameters={"logistic": {"D": 1}})
    assert not (released.models / "experiments").exists()
    with Ledger.open(released.ledger) as ledger:
        assert ledger.experiments() == []


def test_one_class_only_is_said(released: Home) -> None:
    text = (released.path / settings.FILE_NAME).read_text()
    (released.path / settings.FILE_NAME).write_text(text.replace("positive: Yes", "positive: Never"))
    with pytest.raises(DataError, match="the target has one class only"):
        _conduct(settings.load(released.path))


def test_a_feature_table_of_other_settings_is_refused(make_home: Callable[..., Home]) -> None:
    home = make_home(settings_for("kkbox"))
    with Ledger.open(home.ledger) as ledger, duckdb_engine(home.state / "spill") as engine:
        at = Surroundings(home, ledger, engine, engine, schemas.current(home, ledger))
        table = home.ingested / Pairs.PAST.file
        for missing in (0, 1):
            made = ", ".join(f'1 AS "{feature}"' for feature in at.learned.features[missing:])
            engine.write(f"SELECT {made}", table)
            if missing:
                with pytest.raises(SettingsError, match=r"features.parquet: not made by these settings"):
                    experiment._refuse_other_features(at)
            else:
                experiment._refuse_other_features(at)


# -- crashes, and others at work -------------------------------------------------------------------------------


@pytest.mark.parametrize("breaks", ["write_version", "keep_settings"])
def test_one_that_broke_down_leaves_no_row_and_the_next_takes_its_number(
    released: Home, monkeypatch: pytest.MonkeyPatch, breaks: str
) -> None:
    def no_space(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    owner = registry if breaks == "write_version" else Ledger
    with monkeypatch.context() as patch:
        patch.setattr(owner, breaks, no_space)
        with pytest.raises((OSError, LedgerError), match="No space left"):
            _conduct(released, **STRONGER)
    left = released.models / "experiments" / ".e1-half.tmp"  # as a kill leaves it
    left.mkdir(parents=True, exist_ok=True)
    made, is_new = _conduct(released, **STRONGER)
    assert (made.experiment, is_new) == (1, True)
    assert [path.name for path in (released.models / "experiments").iterdir()] == ["e1"]
    assert files.sha256_of(released.models / made.folder / registry.MANIFEST) == made.manifest_sha256


def test_it_goes_on_while_a_daemon_and_its_run_hold_their_locks(released: Home) -> None:
    with (
        files.lock(released.state / "daemon.lock", busy=""),
        files.lock(released.state / "work.lock", busy=""),
    ):
        assert _conduct(released, **STRONGER)[1]


def test_what_a_run_records_meanwhile_changes_nothing(
    released: Home, telco: tuple[Path, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    alone, _ = _conduct(released, **STRONGER)
    at_once = experiment.train

    def train_later(*args: object, **shape: object) -> object:
        monkeypatch.setattr(experiment, "train", at_once)
        _work(released, telco[2])
        return at_once(*args, **shape)  # type: ignore[arg-type]

    monkeypatch.setattr(experiment, "train", train_later)
    made, _ = _conduct(released, folds=3, **STRONGER)
    assert (made.data_sha256, made.train_rows, made.holdout) == (alone.data_sha256, alone.train_rows, alone.holdout)
    manifest = json.loads((released.models / made.folder / registry.MANIFEST).read_text())
    assert [each["path"] for each in manifest["data"]["files"]] == [path.name for path in telco[:2]]
    with Ledger.open(released.ledger) as ledger:
        assert len(ledger.runs()) == 2
    afterwards, is_new = _conduct(released, **STRONGER)  # the same as the first, but for the rows
    assert is_new
    assert afterwards.data_sha256 != alone.data_sha256
    assert afterwards.train_rows > alone.train_rows


def test_a_backup_holds_experiments(released: Home, tmp_path: Path) -> None:
    made, _ = _conduct(released, **STRONGER)
    found = backup.backup(released, tmp_path / "home.tar")
    assert found.problems == ()
    home, _ = backup.restore(tmp_path / "home.tar", tmp_path / "restored")
    assert _tree(home.models / made.folder) == _tree(released.models / made.folder)
    with Ledger.open(home.ledger) as ledger:
        assert ledger.experiments() == [made]


# -- what is other ---------------------------------------------------------------------------------------------


def test_what_changed_is_told_by_name_also_where_a_parameter_is_gone() -> None:
    before = Training(parameters={"logistic": {"C": 1.0, "tol": 0.1}}, folds=5)
    now = Training(parameters={"logistic": {"C": 2.0}}, folds=5, mode="refit")
    assert changed(before, now) == {"mode": "refit", "parameters.logistic.C": 2.0, "parameters.logistic.tol": None}
    assert changed(now, now) == {}
