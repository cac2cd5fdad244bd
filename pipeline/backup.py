"""A home → one archive, whatever is at work there; the archive → a home again.

    ledger as of one moment → files that it names, linked aside → hashes → archive
    archive → hashes → folders, settings, ledger → release

Kept is what cannot be made again: ledger, settings, data set, model versions, predictions, quarantine, what was served
and came of it. The release, the feature tables and the report are made of these. The source and the test folder are the
user's, and not in it.
"""

from __future__ import annotations

import json
import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from churnwatch.pipeline import files, registry, settings
from churnwatch.pipeline.clock import iso, utc_now
from churnwatch.pipeline.errors import DataError, LedgerError, UsageError
from churnwatch.pipeline.ingest import QUARANTINE
from churnwatch.pipeline.ledger import customers, explanations
from churnwatch.pipeline.ledger.reader import Reader
from churnwatch.pipeline.ledger.writer import Ledger
from churnwatch.pipeline.records import Experiment, Model
from churnwatch.pipeline.served.reader import Reader as Served
from churnwatch.pipeline.settings import FILE_NAME, Home

CONTENTS = "backup.json"
_LEDGER, _INGESTED, _MODELS, _PREDICTIONS = "ledger.db", "ingesteddata", "models", "predictions"
_SERVED = "serving.db"
_FORMAT = 1
_TRIES = 3


class Contents(msgspec.Struct, frozen=True):
    """What an archive says of itself.

    Attributes:
        format: of the archive.
        made_at: when, in UTC.
        files: the hash of each file, by its name in the archive.
        problems: files that the ledger names and that were missing or not what it knows.
    """

    format: int
    made_at: str
    files: dict[str, str]
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Wanted:
    """A file that belongs into the archive, and its hash where the ledger knows it."""

    path: Path
    name: str
    sha256: str | None = None


# -- backup ------------------------------------------------------------------------------------------------------


def backup(home: Home, target: Path) -> Contents:
    """Pack a home into one tar file (`.gz`: compressed); the daemon may go on meanwhile.

    Raises:
        LedgerError: there is no ledger yet, or it is damaged.
        DataError: the archive cannot be written.
    """
    with files.scratch(home.state / "spill") as scratch:
        for left in reversed(range(_TRIES)):
            stage = scratch / f"try-{left}"
            known, missing = _stage(home, stage)
            if not missing:
                break  # else a run merged parts and took the former ones away since the ledger was copied
        found = _verified(stage, known, missing)
        text = json.dumps(msgspec.to_builtins(found), indent=2, sort_keys=True, ensure_ascii=False)
        (stage / CONTENTS).write_text(text + "\n", encoding="utf-8")
        try:
            with files.written_beside(target) as beside, tarfile.open(beside, _mode(target)) as archive:
                for name in (CONTENTS, *sorted(found.files)):
                    archive.add(stage / name, name)
        except OSError as error:
            raise DataError(f"{target}: cannot be written ({error.strerror or error}).") from error
    return found


def _mode(target: Path) -> Literal["w", "w:gz"]:
    return "w:gz" if target.suffix in (".gz", ".tgz") else "w"


def _stage(home: Home, stage: Path) -> tuple[dict[str, str], list[str]]:
    """Copy the ledger and link what it names into a folder; return the hashes that it knows, and what is missing."""
    stage.mkdir()
    with Reader.open(home.ledger) as ledger:
        ledger.copy_to(stage.with_suffix(".db"))
    with Ledger.open(stage.with_suffix(".db")) as copy:  # brings that of an older version up to date
        copy.copy_to(stage / _LEDGER)
    if home.serving_log.exists():
        with Served.open(home.serving_log) as served:
            served.copy_to(stage / _SERVED)
    shutil.copyfile(home.path / FILE_NAME, stage / FILE_NAME)
    known, missing = {}, []
    for each in _wanted(home, stage / _LEDGER):
        if each.sha256 is not None:
            known[each.name] = each.sha256
        try:
            _link(each.path, stage / each.name)
        except FileNotFoundError:
            missing.append(f"{each.name} is missing")
    return known, missing


def _wanted(home: Home, ledger: Path) -> Iterator[_Wanted]:
    with Reader.open(ledger) as reader:
        for part in reader.all_parts():
            yield _Wanted(home.ingested / part.part, f"{_INGESTED}/{part.part}", part.sha256)
        kept: list[Model | Experiment] = [reader.model(row["version"]) for row in reader.models()]
        for model in (*kept, *reader.experiments()):
            folder = home.models / model.folder
            known = {**registry.model_hashes(folder, model), registry.MANIFEST: model.manifest_sha256}
            for file, sha256 in known.items():
                yield _Wanted(folder / file, f"{_MODELS}/{model.folder}/{file}", sha256)
            for path in sorted(folder.glob("*")):
                if path.name not in known:
                    yield _Wanted(path, f"{_MODELS}/{model.folder}/{path.name}")
        yield from _predictions(home, reader)
    for path in sorted((home.ingested / QUARANTINE).glob("run-*.parquet")):
        yield _Wanted(path, f"{_INGESTED}/{QUARANTINE}/{path.name}")


def _predictions(home: Home, reader: Reader) -> Iterator[_Wanted]:
    for row in reader.predictions():
        path = home.predictions / row["path"]
        yield _Wanted(path, f"{_PREDICTIONS}/{row['path']}", row["sha256"])
        yield _Wanted(path.with_suffix(".csv"), f"{_PREDICTIONS}/{path.with_suffix('.csv').name}")
    for each in customers.bucketings(reader):
        yield _Wanted(home.predictions / each.path, f"{_PREDICTIONS}/{each.path}", each.sha256)
    for explanation in explanations.every(reader):
        if explanation.path is not None:
            path = home.predictions / explanation.path
            yield _Wanted(path, f"{_PREDICTIONS}/{explanation.path}", explanation.sha256)


def _link(source: Path, target: Path) -> None:
    """Have a file twice without copying it: what is linked is never changed in place."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:  # another file system, or one without links
        shutil.copyfile(source, target)


def _verified(stage: Path, known: dict[str, str], missing: list[str]) -> Contents:
    hashes = {
        path.relative_to(stage).as_posix(): files.sha256_of(path) for path in sorted(stage.rglob("*")) if path.is_file()
    }
    wrong = [
        f"{name} is not what the ledger knows" for name in sorted(known.keys() & hashes) if hashes[name] != known[name]
    ]
    return Contents(_FORMAT, iso(utc_now()), hashes, (*missing, *wrong))


# -- restore -----------------------------------------------------------------------------------------------------


def restore(archive: Path, folder: Path) -> tuple[Home, Contents]:
    """Make a home of an archive, in a new or an empty folder; nothing is put in place before all of it was checked.

    Raises:
        UsageError: something lies there already.
        DataError: the archive cannot be read, or is damaged.
    """
    _refuse_full(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".restore-", dir=folder) as temporary:
        unpacked = Path(temporary)
        contents = _unpacked(archive, unpacked)
        home = msgspec.structs.replace(settings.load(unpacked), path=folder)
        _check_ledger(archive, unpacked / _LEDGER)
        places = ((_INGESTED, home.ingested), (_MODELS, home.models), (_PREDICTIONS, home.predictions))
        for _, place in places:
            _refuse_full(place)
        for name, place in places:
            if (unpacked / name).exists():
                shutil.copytree(unpacked / name, place, dirs_exist_ok=True, copy_function=shutil.move)
        for place in (home.ledger, home.serving_log):
            place.parent.mkdir(parents=True, exist_ok=True)
        if (unpacked / _SERVED).exists():
            shutil.move(unpacked / _SERVED, home.serving_log)
        shutil.move(unpacked / FILE_NAME, folder / FILE_NAME)
        os.sync()  # the ledger comes last, when all that it names is on the disk
        shutil.move(unpacked / _LEDGER, home.ledger)
        files.fsync(home.ledger)
        files.fsync(home.ledger.parent)
    with Ledger.open(home.ledger) as ledger:
        champion = ledger.champion()
        if champion is not None:
            home.deployment.mkdir(parents=True, exist_ok=True)
            registry.switch(home.deployment, home.models, champion.model)
    return home, contents


def _refuse_full(folder: Path) -> None:
    left = [path for path in folder.glob("*") if not path.name.startswith(".restore-")] if folder.exists() else []
    if left:
        raise UsageError(f"{folder}: not empty (it holds {left[0].name}). Restore into a new or an empty folder.")


def _unpacked(archive: Path, folder: Path) -> Contents:
    """Unpack an archive, and hold its files against what it says of itself."""
    try:
        with tarfile.open(archive) as packed:
            packed.extractall(folder, filter="data")
        contents = msgspec.json.decode((folder / CONTENTS).read_bytes(), type=Contents)
    except (tarfile.TarError, OSError, EOFError, msgspec.MsgspecError) as error:
        raise DataError(f"{archive}: not a backup, or cut short ({type(error).__name__}). Take another one.") from error
    if contents.format != _FORMAT:
        raise DataError(f"{archive}: made by a newer churnwatch (format {contents.format}). Install that one.")
    for name, sha256 in contents.files.items():
        path = folder / name
        if not path.is_file() or files.sha256_of(path) != sha256:
            raise DataError(f"{archive}: {name} in it is damaged. Take another one.")
    return contents


def _check_ledger(archive: Path, ledger: Path) -> None:
    try:
        with Reader.open(ledger) as reader:
            problems = reader.problems()
    except LedgerError as error:
        problems = [str(error)]
    if problems:
        raise DataError(f"{archive}: the ledger in it is damaged ({problems[0]}). Take another one.")
