from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
import tarfile
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import canonical
import pytest
from served_world import served

from churnwatch.pipeline import compaction, datasets, registry, run
from churnwatch.pipeline.backup import CONTENTS, backup, restore
from churnwatch.pipeline.engine import duckdb_engine
from churnwatch.pipeline.errors import ChurnwatchError, DataError, UsageError
from churnwatch.pipeline.ledger.reader import Reader
from churnwatch.pipeline.ledger.writer import Ledger
from churnwatch.pipeline.model_files import PICKLE
from churnwatch.pipeline.records import Status
from churnwatch.pipeline.served.writer import Store
from churnwatch.pipeline.settings import FILE_NAME, Home, load

pytestmark = pytest.mark.usefixtures("fewer_thresholds")
TELCO = """\
target: Churn
positive: Yes
id: customerID
date: month
training: {estimators: [logistic], folds: 2}
gate: {policy: better, min_positives: 5}
"""


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory, telco: tuple[Path, ...]) -> Home:
    """Return a home with a release, predictions and a quarantine."""
    home = _home(tmp_path_factory.mktemp("used"))
    broken = telco[0].read_text().replace(",Yes\n", ",Yes\n1,2\n", 1)
    (home.source / telco[0].name).write_text(broken)
    _work(home)
    return home


@pytest.fixture
def home(used: Home, tmp_path: Path) -> Home:
    """Return a copy of that home."""
    return load(Path(shutil.copytree(used.path, tmp_path / "home", symlinks=True)))


def _home(folder: Path) -> Home:
    (folder / FILE_NAME).write_text(TELCO)
    home = load(folder)
    for each in home.folders():
        each.mkdir(parents=True, exist_ok=True)
    return home


def _work(home: Home) -> None:
    with Ledger.open(home.ledger) as ledger:
        run.recover(home, ledger)
        assert {each.status for each in run.work(home, ledger, reason="drop")} == {Status.DONE}


def _dump(home: Home) -> list[str]:
    with closing(sqlite3.connect(home.ledger)) as connection:
        return list(connection.iterdump())


def _files(home: Home) -> dict[str, bytes | str]:
    found: dict[str, bytes | str] = {}
    for folder in (home.ingested, home.models, home.deployment, home.predictions):
        for path in sorted(folder.rglob("*")):
            name = str(path.relative_to(home.path))
            if path.is_symlink():
                found[name] = str(path.readlink())
            elif path.is_file() and path.name != registry.INGESTED:
                found[name] = path.read_bytes()
    return found


def _packed(archive: Path) -> dict[str, bytes]:
    with tarfile.open(archive) as packed:
        return {each.name: packed.extractfile(each).read() for each in packed.getmembers()}  # type: ignore[union-attr]


def _repacked(archive: Path, changed: dict[str, bytes | None]) -> None:
    """Write an archive again with some files changed or, with None, left out."""
    held: dict[str, Any] = {**_packed(archive), **changed}
    folder = archive.with_suffix(".d")
    with tarfile.open(archive, "w") as packed:
        for name, content in held.items():
            if content is not None:
                path = folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
                packed.add(path, name)


@pytest.mark.parametrize("name", ["backup.tar", "backup.tar.gz"])
def test_a_restored_home_is_the_same_and_goes_on_in_the_same_way(
    home: Home, tmp_path: Path, telco: tuple[Path, ...], name: str
) -> None:
    found = backup(home, tmp_path / name)
    assert found.problems == ()
    restored, contents = restore(tmp_path / name, tmp_path / "elsewhere" / "restored")
    assert contents == found
    assert _dump(restored) == _dump(home)
    assert _files(restored) == _files(home)
    assert (restored.path / FILE_NAME).read_text() == TELCO
    for each in (home, restored):
        for folder in each.folders():
            folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(telco[1], each.source)
        _work(each)
    assert canonical.differences(canonical.files_of(restored), canonical.files_of(home)) == []
    assert (restored.models / "v2").is_dir()


def test_what_was_served_is_restored_with_its_name_so_that_no_row_makes_a_second_batch(
    home: Home, tmp_path: Path
) -> None:
    with Store.opened(home.serving_log) as store:
        store.add([served(1), served(2)], lost=0, at="now")
        backup(home, tmp_path / "b.tar")
        before = store.store, store.rows("SELECT * FROM served")
    restored, _ = restore(tmp_path / "b.tar", tmp_path / "restored")
    with Store.opened(restored.serving_log) as store:
        assert (store.store, store.rows("SELECT * FROM served")) == before


def test_what_can_be_made_again_and_what_is_the_users_own_is_not_in_it(home: Home, tmp_path: Path) -> None:
    (home.source / "own.csv").write_text("mine\n")
    backup(home, tmp_path / "b.tar")
    held = _packed(tmp_path / "b.tar")
    roots = {name.split("/")[0] for name in held}
    assert roots == {CONTENTS, FILE_NAME, "ledger.db", "ingesteddata", "models", "predictions"}
    assert any(name.startswith("ingesteddata/quarantine/run-00001") for name in held)
    assert json.loads(held[CONTENTS])["format"] == 1


def test_a_backup_that_is_made_while_the_ledger_is_written_is_sound(home: Home, tmp_path: Path) -> None:
    stop = threading.Event()

    def write() -> None:
        with Ledger.open(home.ledger) as ledger:
            number = 0
            while not stop.is_set():
                number += 1
                ledger.begin_run(run_id=str(number), reason="once", at="2026-01-01T00:00:00.000Z",
                                 settings=(home.settings.sha256, home.settings.canonical()), code_version="1",
                                 inputs=[])  # fmt: skip

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for number in range(5):
            backup(home, tmp_path / f"{number}.tar")
    finally:
        stop.set()
        writer.join()
    for number in range(5):
        restored, _ = restore(tmp_path / f"{number}.tar", tmp_path / f"restored-{number}")
        with Reader.open(restored.ledger) as ledger:
            assert ledger.problems() == []


def test_parts_that_are_merged_and_removed_meanwhile_are_not_missed(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied = Reader.copy_to
    tries = []

    def copied_then_merged(self: Reader, target: Path) -> None:
        copied(self, target)
        tries.append(target)
        if len(tries) == 1:
            with Ledger.open(home.ledger) as ledger, duckdb_engine(tmp_path / "spill") as engine:
                [part] = ledger.parts()
                merging = compaction._Merging(home, ledger, engine, 1)
                with monkeypatch.context() as patch:
                    patch.setattr(compaction, "of_a_size", list)
                    patch.setattr(compaction.ingest, "write_query", _as_another(compaction.ingest.write_query))
                    merging.merge(datasets.MAIN, None, "part", lambda scanned: f"SELECT * FROM {scanned} p")
                (home.ingested / part.part).unlink()

    monkeypatch.setattr(Reader, "copy_to", copied_then_merged)
    assert backup(home, tmp_path / "b.tar").problems == ()
    assert len({target.stem for target in tries if target.suffix == ".db" and target.stem != "ledger"}) == 2
    restored, _ = restore(tmp_path / "b.tar", tmp_path / "restored")
    with Reader.open(restored.ledger) as ledger:
        assert [(restored.ingested / part.part).exists() for part in ledger.parts()] == [True]


def _as_another(write: Callable[..., Any]) -> Callable[..., Any]:
    """Have a part written under another name than the one with the same rows."""
    return lambda engine, query, folder, stem: write(engine, query, folder, f"{stem}-merged")


def test_what_is_missing_or_was_changed_is_said_and_the_rest_is_kept(home: Home, tmp_path: Path) -> None:
    [part] = home.ingested.glob("part-*")
    part.unlink()
    model = home.models / "v1" / PICKLE
    model.write_bytes(b"another")
    found = backup(home, tmp_path / "b.tar")
    assert found.problems == (
        f"ingesteddata/{part.name} is missing",
        f"models/v1/{PICKLE} is not what the ledger knows",
    )
    assert "ledger.db" in found.files


def test_a_home_without_a_ledger_has_nothing_to_back_up(tmp_path: Path) -> None:
    home = _home(tmp_path)
    with pytest.raises(ChurnwatchError, match="no ledger yet"):
        backup(home, tmp_path / "b.tar")
    assert not (tmp_path / "b.tar").exists()


def test_an_archive_that_cannot_be_written_is_said_in_one_line(home: Home, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="cannot be written"):
        backup(home, tmp_path / "file" / "b.tar")


def test_nothing_is_restored_over_what_is_there(home: Home, tmp_path: Path) -> None:
    backup(home, tmp_path / "b.tar")
    before = _files(home)
    with pytest.raises(UsageError, match="not empty"):
        restore(tmp_path / "b.tar", home.path)
    assert _files(home) == before


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda archive: archive.write_bytes(archive.read_bytes()[: archive.stat().st_size // 2]), "cut short"),
        (lambda archive: archive.write_bytes(b"no tar"), "not a backup"),
        (lambda archive: archive.unlink(), "not a backup"),
        (lambda archive: _repacked(archive, {CONTENTS: None}), "not a backup"),
        (lambda archive: _repacked(archive, {"ledger.db": b"x"}), "ledger.db in it is damaged"),
        (lambda archive: _repacked(archive, {f"models/v1/{PICKLE}": None}), "in it is damaged"),
        (lambda archive: _repacked(archive, {CONTENTS: b'{"format": 2, "made_at": "", "files": {}}'}), "a newer"),
    ],
)
def test_a_damaged_archive_is_refused_and_leaves_nothing(
    home: Home, tmp_path: Path, spoil: Callable[[Path], None], says: str
) -> None:
    archive = tmp_path / "b.tar"
    backup(home, archive)
    spoil(archive)
    with pytest.raises(DataError, match=says):
        restore(archive, tmp_path / "restored")
    assert not list((tmp_path / "restored").glob("*"))


def test_a_file_that_would_land_outside_is_refused(home: Home, tmp_path: Path) -> None:
    archive = tmp_path / "b.tar"
    with tarfile.open(archive, "w") as packed:
        (tmp_path / "x").write_text("x")
        packed.add(tmp_path / "x", "../../outside.txt")
    with pytest.raises(DataError, match="not a backup"):
        restore(archive, tmp_path / "a" / "restored")
    assert not (tmp_path / "outside.txt").exists()


def test_a_damaged_ledger_inside_an_archive_is_refused(home: Home, tmp_path: Path) -> None:
    archive = tmp_path / "b.tar"
    backup(home, archive)
    held = _packed(archive)
    damaged = bytearray(held["ledger.db"])
    damaged[4096:8192] = b"\xff" * 4096
    contents = json.loads(held[CONTENTS])
    contents["files"]["ledger.db"] = hashlib.sha256(damaged).hexdigest()
    _repacked(archive, {"ledger.db": bytes(damaged), CONTENTS: json.dumps(contents).encode()})
    with pytest.raises(DataError, match="the ledger in it is damaged"):
        restore(archive, tmp_path / "restored")
