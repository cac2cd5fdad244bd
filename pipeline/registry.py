"""Model versions on disk, and the release.

A version is one immutable folder, complete and fsynced before the ledger knows it. The release is a folder of its
own beside the link `current`; a switch is one rename of that link, so a reader sees all of one version or all of
the other. The classic file names beside `current` link through it.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from churnwatch.pipeline import files, model_files
from churnwatch.pipeline.errors import ReleaseError
from churnwatch.pipeline.model_files import PICKLE, SKOPS, Fitted
from churnwatch.pipeline.records import Experiment, Model
from churnwatch.pipeline.settings import ModelFormat

SCORE = "latestscore.txt"
INGESTED = "ingestedfiles.txt"
MANIFEST = "manifest.json"
CONFUSION = "confusionmatrix.png"
REFERENCE = "reference.json"
_BESIDE = (SCORE, INGESTED, MANIFEST)
CURRENT = "current"


@dataclass(frozen=True)
class WrittenVersion:
    """A version folder on disk that the ledger does not know yet."""

    folder: Path
    sha256: str
    manifest_sha256: str


def write_version(
    folder: Path,
    model: Fitted,
    *,
    score: float | None,
    ingested: Sequence[str],
    manifest: Mapping[str, Any],
    reference: str | None = None,
    draw: Callable[[Path], None] | None = None,
    model_format: ModelFormat = ModelFormat.PICKLE,
) -> WrittenVersion:
    """Write a version folder as a whole.

    Args:
        folder: its name and place.
        model: what `trainedmodel.pkl`, or `.skops`, holds.
        score: F1 or mean absolute error on the holdout, or None where there was none; goes as a bare number into
            `latestscore.txt`.
        ingested: names of the files that the data set is made of.
        manifest: where the model comes from; the hash of the model is added to it.
        reference: what later rows are held against, as JSON; the manifest names its hash.
        draw: draws the confusion matrix into a file, where there is one.
        model_format: which files hold the model.

    Raises:
        SettingsError: the model cannot be had in that format.
    """
    with files.folder_written_beside(folder) as beside:
        hashes = model_files.write(beside, model, model_format)
        sha256 = next(iter(hashes.values()))
        (beside / SCORE).write_text("nan\n" if score is None else f"{score!r}\n", encoding="utf-8")
        write_ingested(beside / INGESTED, ingested)
        told = {**manifest, "model_sha256": sha256, "model_files": hashes}
        if reference is not None:
            (beside / REFERENCE).write_text(reference, encoding="utf-8")
            told["reference_sha256"] = files.sha256_of(beside / REFERENCE)
        text = json.dumps(told, indent=2, sort_keys=True, ensure_ascii=False)
        (beside / MANIFEST).write_text(text + "\n", encoding="utf-8")
        if draw is not None:
            draw(beside / CONFUSION)
    return WrittenVersion(folder, sha256, hashlib.sha256((text + "\n").encode()).hexdigest())


def write_ingested(path: Path, names: Sequence[str]) -> None:
    """Write names as a Python list, the way the field's classic exercise keeps them."""
    files.write_text(path, repr(list(names)) + "\n")


def load(models: Path, model: Model, *, unpickle: bool = True) -> Fitted:
    """Load a model whose hash the ledger knows. Nothing is unpickled before its hash was compared.

    Raises:
        ReleaseError: the file is missing, is not the one that the ledger knows, or is a pickle and none may be read.
    """
    known = model_hashes(models / model.folder, model)
    refuse_unreadable(models, model, unpickle=unpickle)
    name = PICKLE if unpickle and PICKLE in known else SKOPS
    file = models / model.folder / name
    try:
        content = file.read_bytes()
    except OSError as error:
        raise ReleaseError(f"{file}: cannot be read ({error.strerror}). Put the folder back from a backup, or"
                           " `churnwatch rollback`.") from None  # fmt: skip
    if hashlib.sha256(content).hexdigest() != known[name]:
        raise ReleaseError(f"{file}: not the file that the ledger knows as {model.name}; it is not loaded."
                           " Put it back from a backup, or `churnwatch rollback`.")  # fmt: skip
    return model_files.read(name, content)


def is_readable(models: Path, model: Model, *, unpickle: bool) -> bool:
    """Tell whether a version has a file that may be read.

    Raises:
        ReleaseError: its manifest, which would say so, is not the one that the ledger knows.
    """
    if unpickle:
        return True
    folder = models / model.folder
    named = _vouched_for(folder, model)
    if named is None:
        raise ReleaseError(f"{folder / MANIFEST}: not the file that the ledger knows as {model.name}'s; no model is"
                           " read by it. Put it back from a backup, or `churnwatch rollback`.")  # fmt: skip
    return SKOPS in named


def refuse_unreadable(models: Path, model: Model, *, unpickle: bool) -> None:
    """Refuse a version that the settings do not let be read.

    Raises:
        ReleaseError: it is one, or nobody can say.
    """
    if not is_readable(models, model, unpickle=unpickle):
        raise ReleaseError(f"{model.name} was kept as a pickle only, and model_format: skops reads none. Change the"
                           " setting first.")  # fmt: skip


def model_hashes(folder: Path, model: Model | Experiment) -> dict[str, str]:
    """Return the SHA-256 of each file that holds a version's model, by name, as far as the ledger vouches for them.

    It knows the first one itself, and the manifest, which names them all.
    """
    named = _vouched_for(folder, model)
    if named is None:
        named = {PICKLE if (folder / PICKLE).exists() or not (folder / SKOPS).exists() else SKOPS: ""}
    return {**named, next(iter(named)): model.sha256}


def _vouched_for(folder: Path, model: Model | Experiment) -> dict[str, str] | None:
    """Return the model's files by the manifest; None where that is not the one that the ledger knows."""
    try:
        text = (folder / MANIFEST).read_bytes()
    except OSError:
        return None
    if hashlib.sha256(text).hexdigest() != model.manifest_sha256:
        return None
    named: dict[str, str] = json.loads(text).get("model_files", {PICKLE: model.sha256})  # before there were formats
    return named


def reference(models: Path, model: Model) -> bytes | None:
    """Return what later rows are held against; None where a version has none, or not the one its manifest names."""
    folder = models / model.folder
    try:
        manifest, kept = (folder / MANIFEST).read_bytes(), (folder / REFERENCE).read_bytes()
    except OSError:
        return None
    if hashlib.sha256(manifest).hexdigest() != model.manifest_sha256:
        return None
    return kept if json.loads(manifest).get("reference_sha256") == hashlib.sha256(kept).hexdigest() else None


def release_files(folder: Path, model: Model) -> tuple[str, ...]:
    """Return the names of the files that a release of this version has."""
    return (*model_hashes(folder, model), *_BESIDE)


def verify(models: Path, model: Model) -> None:
    """Hold a version's folder against the ledger.

    Raises:
        ReleaseError: it is not what the ledger says.
    """
    folder = models / model.folder
    if not _is_whole(folder, model):
        raise ReleaseError(f"{folder}: not the files that the ledger knows as {model.name}; the release stays as it"
                           " is. Put the folder back from a backup.")  # fmt: skip


def switch(deployment: Path, models: Path, model: Model) -> None:
    """Make a version the release, all its files at once. Doing it again changes nothing.

    Raises:
        ReleaseError: the version's folder is not what the ledger says.
    """
    verify(models, model)
    source = models / model.folder
    release = deployment / model.name
    if not _is_whole(release, model):
        with files.folder_written_beside(release) as beside:
            for name in release_files(source, model):
                shutil.copyfile(source / name, beside / name)
    former = released_folder(deployment)
    files.point(deployment / CURRENT, model.name)
    _link(deployment, release_files(source, model))
    if former is None or former.name != model.name:  # done again, it no longer knows which one was the former
        _forget(deployment, keep={model.name, former.name if former else model.name})


def _link(deployment: Path, names: Sequence[str]) -> None:
    """Have the classic names lead into the release; one of a format that this release has not would lead nowhere."""
    for name in names:
        link = deployment / name
        if not link.is_symlink():
            files.point(link, f"{CURRENT}/{name}")
    for name in {PICKLE, SKOPS}.difference(names):
        if (deployment / name).is_symlink():
            (deployment / name).unlink()


def released_folder(deployment: Path) -> Path | None:
    """Return the folder that `current` names, resolved once, or None before the first release."""
    link = deployment / CURRENT
    return link.resolve() if link.is_symlink() else None


def release_problems(deployment: Path, model: Model | None) -> list[str]:
    """Hold the release against the ledger; return what does not agree, nothing when all is well."""
    folder = released_folder(deployment)
    if model is None:
        return [] if folder is None else [f"{deployment}: holds a release that the ledger does not know"]
    if folder is None:
        return [f"{deployment}: no release, though the ledger says that {model.name} serves"]
    if not _is_whole(folder, model):
        return [f"{folder}: not the files of {model.name}, which serves by the ledger"]
    return []


def _is_whole(folder: Path, model: Model) -> bool:
    """Tell whether a folder holds all files of a version, by the hashes that the ledger knows."""
    try:
        known = model_hashes(folder, model)
        return (
            all((folder / name).is_file() for name in (*known, *_BESIDE))
            and all(files.sha256_of(folder / name) == sha256 for name, sha256 in known.items())
            and files.sha256_of(folder / MANIFEST) == model.manifest_sha256
        )
    except OSError:
        return False


def _forget(deployment: Path, keep: set[str]) -> None:
    """Remove older releases; the former one stays for readers that resolved `current` just before the switch."""
    for folder in deployment.glob("v[0-9]*"):
        if folder.is_dir() and not folder.is_symlink() and folder.name not in keep:
            shutil.rmtree(folder, ignore_errors=True)
