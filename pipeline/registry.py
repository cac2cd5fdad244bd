"""Model versions on disk, and the release.

A version is one immutable folder, complete and fsynced before the ledger knows it. The release is a folder of its
own beside the link `current`; a switch is one rename of that link, so a reader sees all of one version or all of
the other. The classic file names beside `current` link through it.
"""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
from sklearn.model_selection import FixedThresholdClassifier

from churnwatch.pipeline import files
from churnwatch.pipeline.errors import ReleaseError
from churnwatch.pipeline.records import Model

MODEL = "trainedmodel.pkl"
SCORE = "latestscore.txt"
INGESTED = "ingestedfiles.txt"
MANIFEST = "manifest.json"
CONFUSION = "confusionmatrix.png"
RELEASE_FILES = (MODEL, SCORE, INGESTED, MANIFEST)
CURRENT = "current"


@dataclass(frozen=True)
class WrittenVersion:
    """A version folder on disk that the ledger does not know yet."""

    folder: Path
    sha256: str
    manifest_sha256: str


def write_version(
    folder: Path,
    model: FixedThresholdClassifier,
    *,
    f1: float | None,
    ingested: Sequence[str],
    manifest: Mapping[str, Any],
    draw: Callable[[Path], None] | None = None,
) -> WrittenVersion:
    """Write a version folder as a whole.

    Args:
        folder: its name and place.
        model: what `trainedmodel.pkl` holds.
        f1: on the holdout, or None where there was none; goes as a bare number into `latestscore.txt`.
        ingested: names of the files that the data set is made of.
        manifest: where the model comes from; the hash of the model is added to it.
        draw: draws the confusion matrix into a file.
    """
    with files.folder_written_beside(folder) as beside:
        (beside / MODEL).write_bytes(_pickled(model))
        sha256 = files.sha256_of(beside / MODEL)
        (beside / SCORE).write_text("nan\n" if f1 is None else f"{f1!r}\n", encoding="utf-8")
        write_ingested(beside / INGESTED, ingested)
        text = json.dumps({**manifest, "model_sha256": sha256}, indent=2, sort_keys=True, ensure_ascii=False)
        (beside / MANIFEST).write_text(text + "\n", encoding="utf-8")
        if draw is not None:
            draw(beside / CONFUSION)
    return WrittenVersion(folder, sha256, hashlib.sha256((text + "\n").encode()).hexdigest())


class _ByValue(pickle._Pickler):  # noqa: SLF001 - the one in C lets nobody say what it memoizes; joblib does the same
    """Writes equal texts in the same way whether or not they are one object in this process.

    Otherwise the bytes of a model, and so its hash, would depend on what was loaded before it was made.
    """

    def memoize(self, obj: Any) -> None:
        if not isinstance(obj, str):
            super().memoize(obj)  # type: ignore[misc]  # typeshed does not know it


def _pickled(model: FixedThresholdClassifier) -> bytes:
    """Return a plain pickle: joblib.load reads it as well, and pickle.load reads no other."""
    stream = io.BytesIO()
    _ByValue(stream, protocol=pickle.HIGHEST_PROTOCOL).dump(model)
    return stream.getvalue()


def write_ingested(path: Path, names: Sequence[str]) -> None:
    """Write names as a Python list, the way the field's classic exercise keeps them."""
    files.write_text(path, repr(list(names)) + "\n")


def load(models: Path, model: Model) -> FixedThresholdClassifier:
    """Load a model whose hash the ledger knows. Nothing is unpickled before its hash was compared.

    Raises:
        ReleaseError: the file is missing or is not the one that the ledger knows.
    """
    file = models / model.folder / MODEL
    try:
        content = file.read_bytes()
    except OSError as error:
        raise ReleaseError(f"{file}: cannot be read ({error.strerror}). Put the folder back from a backup, or"
                           " `churnwatch rollback`.") from None  # fmt: skip
    if hashlib.sha256(content).hexdigest() != model.sha256:
        raise ReleaseError(f"{file}: not the file that the ledger knows as {model.name}; it is not loaded."
                           " Put it back from a backup, or `churnwatch rollback`.")  # fmt: skip
    return joblib.load(io.BytesIO(content))


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
            for name in RELEASE_FILES:
                shutil.copyfile(source / name, beside / name)
    former = released_folder(deployment)
    files.point(deployment / CURRENT, model.name)
    for name in RELEASE_FILES:
        link = deployment / name
        if not link.is_symlink():
            files.point(link, f"{CURRENT}/{name}")
    if former is None or former.name != model.name:  # done again, it no longer knows which one was the former
        _forget(deployment, keep={model.name, former.name if former else model.name})


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
        whole = all((folder / name).is_file() for name in RELEASE_FILES)
        return (
            whole
            and files.sha256_of(folder / MODEL) == model.sha256
            and files.sha256_of(folder / MANIFEST) == model.manifest_sha256
        )
    except OSError:
        return False


def _forget(deployment: Path, keep: set[str]) -> None:
    """Remove older releases; the former one stays for readers that resolved `current` just before the switch."""
    for folder in deployment.glob("v[0-9]*"):
        if folder.is_dir() and not folder.is_symlink() and folder.name not in keep:
            shutil.rmtree(folder, ignore_errors=True)
