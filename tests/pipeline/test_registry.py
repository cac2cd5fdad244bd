from __future__ import annotations

import ast
import dataclasses
import hashlib
import json
import pickle
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from sklearn.dummy import DummyClassifier

from churnwatch.pipeline import registry
from churnwatch.pipeline.errors import ReleaseError
from churnwatch.pipeline.model_files import PICKLE, SKOPS
from churnwatch.pipeline.records import Model
from churnwatch.pipeline.settings import ModelFormat

WriteVersion = Callable[[int], Model]
RELEASE = ("trainedmodel.pkl", "latestscore.txt", "ingestedfiles.txt", "manifest.json")


@pytest.fixture
def models(tmp_path: Path) -> Path:
    return tmp_path / "models"


@pytest.fixture
def deployment(tmp_path: Path) -> Path:
    folder = tmp_path / "production_deployment"
    folder.mkdir()
    return folder


def _any_model(version: int) -> Any:
    return DummyClassifier(strategy="constant", constant=version).fit(np.zeros((2, 1)), np.array([version, -1]))


@pytest.fixture
def write(models: Path) -> WriteVersion:
    """Return what writes a version and gives its row; its files all say which version they are of."""

    def written(version: int) -> Model:
        found = registry.write_version(
            models / f"v{version}",
            _any_model(version),
            score=version / 100,
            ingested=[f"v{version}.csv"],
            manifest={"version": version},
        )
        return Model(version, 1, "dummy", "{}", 0.5, found.folder.name, found.sha256, found.manifest_sha256, 1, 1, "")

    return written


# -- versions --------------------------------------------------------------------------------------------------


def test_a_version_is_a_folder_of_all_its_files(models: Path) -> None:
    found = registry.write_version(
        models / "v1",
        _any_model(7),
        score=0.123456789012345,
        ingested=["a.csv", "it's.csv"],
        manifest={"version": 1, "é": [1]},
        draw=lambda path: path.write_bytes(b"a picture") and None,
    )
    folder = found.folder
    assert sorted(path.name for path in folder.iterdir()) == sorted((*RELEASE, registry.CONFUSION))
    assert float((folder / "latestscore.txt").read_text()) == 0.123456789012345
    assert ast.literal_eval((folder / "ingestedfiles.txt").read_text()) == ["a.csv", "it's.csv"]
    assert joblib.load(folder / "trainedmodel.pkl").predict([[0]]) == [7]
    assert json.loads((folder / "manifest.json").read_text()) == {
        "version": 1, "é": [1], "model_sha256": found.sha256, "model_files": {"trainedmodel.pkl": found.sha256},
    }  # fmt: skip
    assert hashlib.sha256((folder / "trainedmodel.pkl").read_bytes()).hexdigest() == found.sha256
    assert hashlib.sha256((folder / "manifest.json").read_bytes()).hexdigest() == found.manifest_sha256


def test_a_version_without_a_holdout_has_a_score_that_is_no_number(models: Path) -> None:
    registry.write_version(models / "v1", _any_model(1), score=None, ingested=[], manifest={})
    assert (models / "v1" / "latestscore.txt").read_text() == "nan\n"


def test_the_same_version_is_written_with_the_same_bytes(tmp_path: Path) -> None:
    found = [
        registry.write_version(tmp_path / name, _any_model(1), score=0.5, ingested=["a"], manifest={"b": 1, "a": 2})
        for name in ("one", "two")
    ]
    for name in RELEASE:
        assert (found[0].folder / name).read_bytes() == (found[1].folder / name).read_bytes()


def test_a_version_that_fails_halfway_leaves_nothing(models: Path) -> None:
    def fail(_: Path) -> None:
        raise OSError("no space")

    with pytest.raises(OSError, match="no space"):
        registry.write_version(models / "v1", _any_model(1), score=0.5, ingested=[], manifest={}, draw=fail)
    assert list(models.iterdir()) == []


def test_the_remains_of_a_crash_are_replaced(models: Path, write: WriteVersion) -> None:
    (models / "v1").mkdir(parents=True)
    (models / "v1" / "remains").touch()
    write(1)
    assert not (models / "v1" / "remains").exists()


# -- loading ---------------------------------------------------------------------------------------------------


def test_without_pickles_the_version_the_release_and_what_is_loaded_are_skops(models: Path, deployment: Path) -> None:
    model = _written(models, 1, ModelFormat.SKOPS)
    registry.switch(deployment, models, model)
    assert registry.load(models, model, unpickle=False).predict([[0]]) == [1]
    assert (deployment / SKOPS).resolve() == (deployment / "v1" / SKOPS).resolve()
    assert not list(models.rglob("*.pkl")) + list(deployment.rglob("*.pkl"))
    assert registry.release_problems(deployment, model) == []


def test_the_name_of_a_format_that_the_new_release_has_not_does_not_lead_nowhere(
    models: Path, deployment: Path
) -> None:
    for version, wanted in enumerate((ModelFormat.BOTH, ModelFormat.SKOPS, ModelFormat.PICKLE), 1):
        registry.switch(deployment, models, _written(models, version, wanted))
        there = {path.name for path in deployment.glob("trainedmodel.*")}
        assert there == {path.name for path in (models / f"v{version}").glob("trainedmodel.*")}


def test_no_pickle_is_read_where_none_may_be(models: Path) -> None:
    both, pickled = _written(models, 1, ModelFormat.BOTH), _written(models, 2, ModelFormat.PICKLE)
    (models / "v1" / PICKLE).write_bytes(b"not to be looked at")
    assert registry.load(models, both, unpickle=False).predict([[0]]) == [1]
    assert not registry.is_readable(models, pickled, unpickle=False)
    with pytest.raises(ReleaseError, match="v2 was kept as a pickle only, and model_format: skops reads none"):
        registry.load(models, pickled, unpickle=False)


@pytest.mark.parametrize("wanted", [ModelFormat.BOTH, ModelFormat.SKOPS])
@pytest.mark.parametrize("name", [SKOPS, "manifest.json"])
def test_a_skops_file_that_the_ledger_does_not_vouch_for_is_not_read(
    models: Path, deployment: Path, name: str, wanted: ModelFormat
) -> None:
    model = _written(models, 1, wanted)
    with (models / "v1" / name).open("ab") as file:
        file.write(b" ")
    with pytest.raises(ReleaseError, match=f"{name}: not the file that the ledger knows as v1"):
        registry.load(models, model, unpickle=False)
    with pytest.raises(ReleaseError, match="not the files that the ledger knows as v1"):
        registry.switch(deployment, models, model)


def _written(models: Path, version: int, wanted: ModelFormat) -> Model:
    found = registry.write_version(
        models / f"v{version}", _any_model(version), score=0.5, ingested=[], manifest={}, model_format=wanted
    )
    return Model(version, version, "x", "{}", 0.5, f"v{version}", found.sha256, found.manifest_sha256, 1, 1, "")


def test_a_model_is_loaded_by_the_hash_that_the_ledger_knows(models: Path, write: WriteVersion) -> None:
    assert registry.load(models, write(3)).predict([[0]]) == [3]


class _Trap:
    """What makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_a_model_that_was_tampered_with_is_never_unpickled(models: Path, write: WriteVersion, tmp_path: Path) -> None:
    model, sprung = write(1), tmp_path / "sprung"
    trap = pickle.dumps(_Trap(sprung))
    (models / "v1" / "trainedmodel.pkl").write_bytes(trap)
    with pytest.raises(ReleaseError, match="not the file that the ledger knows as v1; it is not loaded"):
        registry.load(models, model)
    assert not sprung.exists()
    pickle.loads(trap)  # noqa: S301 - the trap does work
    assert sprung.exists()


def test_a_model_that_is_gone_is_said_in_one_line(models: Path, write: WriteVersion) -> None:
    model = write(1)
    (models / "v1" / "trainedmodel.pkl").unlink()
    with pytest.raises(ReleaseError, match=r"trainedmodel\.pkl: cannot be read \(No such file or directory\)"):
        registry.load(models, model)


# -- the release -----------------------------------------------------------------------------------------------


def test_the_release_holds_the_files_of_its_version_and_the_classic_names_lead_to_them(
    models: Path, deployment: Path, write: WriteVersion
) -> None:
    for version in (1, 2):
        registry.switch(deployment, models, write(version))
        assert (deployment / "current").readlink() == Path(f"v{version}")
        for name in RELEASE:
            assert (deployment / name).readlink() == Path("current") / name
            assert (deployment / name).read_bytes() == (models / f"v{version}" / name).read_bytes()


def test_the_release_stays_when_the_version_folder_goes(models: Path, deployment: Path, write: WriteVersion) -> None:
    model = write(1)
    registry.switch(deployment, models, model)
    (models / "v1" / "trainedmodel.pkl").unlink()
    assert joblib.load(deployment / "trainedmodel.pkl").predict([[0]]) == [1]
    assert registry.release_problems(deployment, model) == []


def test_a_switch_done_again_changes_nothing(models: Path, deployment: Path, write: WriteVersion) -> None:
    first, second = write(1), write(2)
    for model in (first, second):
        registry.switch(deployment, models, model)
    before = {path: path.lstat().st_ino for path in deployment.rglob("*") if path.name != "current"}
    registry.switch(deployment, models, second)
    assert {path: path.lstat().st_ino for path in deployment.rglob("*") if path.name != "current"} == before


def test_the_former_release_is_kept_and_older_ones_are_removed(
    models: Path, deployment: Path, write: WriteVersion
) -> None:
    kept = []
    for version in (1, 2, 3, 4):
        registry.switch(deployment, models, write(version))
        kept.append({path.name for path in deployment.glob("v*")})
    assert kept == [{"v1"}, {"v1", "v2"}, {"v2", "v3"}, {"v3", "v4"}]


def test_what_others_put_beside_the_release_is_left_alone(models: Path, deployment: Path, write: WriteVersion) -> None:
    (deployment / "vendor").mkdir()
    (deployment / "notes.txt").touch()
    for version in (1, 2, 3):
        registry.switch(deployment, models, write(version))
    assert (deployment / "vendor").is_dir()
    assert (deployment / "notes.txt").exists()


@pytest.mark.parametrize("name", ["trainedmodel.pkl", "manifest.json", "latestscore.txt", "ingestedfiles.txt"])
def test_a_version_that_is_not_whole_is_not_released(
    models: Path, deployment: Path, write: WriteVersion, name: str
) -> None:
    registry.switch(deployment, models, write(1))
    model = write(2)
    (models / "v2" / name).unlink()
    with pytest.raises(ReleaseError, match="not the files that the ledger knows as v2; the release stays as it is"):
        registry.switch(deployment, models, model)
    assert registry.released_folder(deployment) == (deployment / "v1").resolve()


def test_a_version_that_was_tampered_with_is_not_released(models: Path, deployment: Path, write: WriteVersion) -> None:
    model = write(1)
    with pytest.raises(ReleaseError):
        registry.switch(deployment, models, dataclasses.replace(model, manifest_sha256="0" * 64))
    with pytest.raises(ReleaseError):
        registry.switch(deployment, models, dataclasses.replace(model, sha256="0" * 64))
    assert registry.released_folder(deployment) is None


def test_a_release_folder_that_is_not_whole_is_made_again(models: Path, deployment: Path, write: WriteVersion) -> None:
    model = write(1)
    registry.switch(deployment, models, model)
    (deployment / "v1" / "latestscore.txt").unlink()
    assert registry.release_problems(deployment, model) == [
        f"{deployment.resolve() / 'v1'}: not the files of v1, which serves by the ledger"
    ]
    registry.switch(deployment, models, model)
    assert registry.release_problems(deployment, model) == []


def test_a_reader_that_resolves_current_always_sees_one_version_whole(
    models: Path, deployment: Path, write: WriteVersion
) -> None:
    versions = [write(1), write(2)]
    registry.switch(deployment, models, versions[0])
    seen, errors, done = set[str](), list[BaseException](), threading.Event()

    def read() -> None:
        try:
            while not done.is_set():
                folder = (deployment / "current").resolve(strict=True)
                score = float((folder / "latestscore.txt").read_text())
                version = json.loads((folder / "manifest.json").read_text())["version"]
                names = ast.literal_eval((folder / "ingestedfiles.txt").read_text())
                assert (folder.name, score, names) == (f"v{version}", version / 100, [f"v{version}.csv"])
                assert joblib.load(folder / "trainedmodel.pkl").constant == version
                seen.add(folder.name)
        except BaseException as error:  # noqa: BLE001 - shown below
            errors.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    for turn in range(50):
        registry.switch(deployment, models, versions[(turn + 1) % 2])
    done.set()
    reader.join(30)
    assert errors == []
    assert seen <= {"v1", "v2"}
    assert seen


def test_the_release_is_held_against_the_ledger(models: Path, deployment: Path, write: WriteVersion) -> None:
    first, second = write(1), write(2)
    assert registry.release_problems(deployment, None) == []
    assert registry.release_problems(deployment, first) == [
        f"{deployment}: no release, though the ledger says that v1 serves"
    ]
    registry.switch(deployment, models, first)
    assert registry.release_problems(deployment, first) == []
    assert registry.release_problems(deployment, None) == [
        f"{deployment}: holds a release that the ledger does not know"
    ]
    assert len(registry.release_problems(deployment, second)) == 1
    (deployment / "v1" / "trainedmodel.pkl").write_bytes(b"else")
    assert len(registry.release_problems(deployment, first)) == 1
