"""The file of a model: a pickle; skops' format, in which nothing can hide that runs when it is read; or both.

A pickle runs whatever its writer put into it, so none is read whose hash the ledger does not know. Who wants no pickle
at all says `model_format: skops`: then none is written, and none read.
"""

from __future__ import annotations

import hashlib
import io
import pickle
import zipfile
from pathlib import Path
from types import ModuleType
from typing import Any, TypeAlias, cast

import joblib
from sklearn.model_selection import FixedThresholdClassifier
from sklearn.pipeline import Pipeline

from churnwatch.pipeline.errors import SettingsError
from churnwatch.pipeline.settings import ModelFormat

Fitted: TypeAlias = FixedThresholdClassifier | Pipeline  # a classifier with its threshold, or a regressor
PICKLE = "trainedmodel.pkl"
SKOPS = "trainedmodel.skops"
_TRUSTED = ("numpy.", "sklearn.")  # whose classes a skops file may name


def write(folder: Path, model: Fitted, wanted: ModelFormat) -> dict[str, str]:
    """Write a model's files into a folder; return their SHA-256 by name.

    Raises:
        SettingsError: skops is not installed, or would not read this model again.
    """
    contents = {}
    if wanted is not ModelFormat.SKOPS:
        contents[PICKLE] = _pickled(model)
    if wanted is not ModelFormat.PICKLE:
        contents[SKOPS] = _in_skops(model)
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}


def read(name: str, content: bytes) -> Fitted:
    """Return the model in the bytes of a file, which the caller has held against the ledger.

    Raises:
        SettingsError: skops is not installed.
    """
    if name == PICKLE:
        return joblib.load(io.BytesIO(content))
    return _skops().loads(content, trusted=_named(content))


class _ByValue(pickle._Pickler):  # noqa: SLF001 - the one in C lets nobody say what it memoizes; joblib does the same
    """Writes equal texts and bytes in the same way whether or not they are one object in this process.

    Otherwise the bytes of a model, and so its hash, would depend on what was loaded before it was made.
    """

    def memoize(self, obj: Any) -> None:
        if not isinstance(obj, (str, bytes)):
            super().memoize(obj)  # type: ignore[misc]  # typeshed does not know it


def _pickled(model: Fitted) -> bytes:
    """Return a plain pickle: joblib.load reads it as well, and pickle.load reads no other."""
    stream = io.BytesIO()
    _ByValue(stream, protocol=pickle.HIGHEST_PROTOCOL).dump(model)
    return stream.getvalue()


def _in_skops(model: Fitted) -> bytes:
    content: bytes = _skops().dumps(model, compression=zipfile.ZIP_DEFLATED)
    strange = [each for each in _skops().get_untrusted_types(data=content) if not each.startswith(_TRUSTED)]
    if strange:
        raise SettingsError(f"settings.yaml: model_format: skops reads classes of scikit-learn and numpy only, and this"
                            f" model has {', '.join(strange)}. Use `pickle`, or another estimator.")  # fmt: skip
    return content


def _named(content: bytes) -> list[str]:
    """Return the classes beyond skops' own list that a file names and that may be made of it."""
    return [each for each in _skops().get_untrusted_types(data=content) if each.startswith(_TRUSTED)]


def _skops() -> ModuleType:
    try:
        import skops.io as found  # noqa: PLC0415 - an extra
    except ImportError:
        raise SettingsError("settings.yaml: model_format: needs skops: pip install 'churnwatch[skops]'.") from None
    return cast("ModuleType", found)
