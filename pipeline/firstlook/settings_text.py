"""What was inferred → the text of a settings.yaml, with the usual settings beside it as comments."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
import yaml

from churnwatch.pipeline.errors import UsageError
from churnwatch.pipeline.firstlook.inference import Inference
from churnwatch.pipeline.settings import Column, ColumnType, Csv, Policy, Task

_CLASSIC_FOLDERS = {
    "input_folder_path": "source_folder",
    "output_folder_path": "ingested_folder",
    "test_data_path": "test_folder",
    "output_model_path": "models_folder",
    "prod_deployment_path": "deployment_folder",
}
_CLASSIC = Inference(
    csv=Csv(delimiter=","),
    columns={
        "corporation": Column(type=ColumnType.TEXT),
        "lastmonth_activity": Column(type=ColumnType.INTEGER),
        "lastyear_activity": Column(type=ColumnType.INTEGER),
        "number_of_employees": Column(type=ColumnType.INTEGER),
        "exited": Column(type=ColumnType.INTEGER),
    },
    id="corporation",
    target="exited",
    positive="1",
)


def settings_text(inference: Inference) -> str:
    """Return a settings.yaml that says what was inferred.

    Raises:
        UsageError: the target or its positive value is not known.
    """
    return _text(inference)


def from_classic_config(path: Path) -> dict[str, str]:
    """Return our names for the five folders that the classic exercise's config.json names.

    Raises:
        UsageError: the file cannot be read, lacks a key, or has one that is not known.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror or error}).") from None
    except ValueError as error:
        raise UsageError(f"{path}: not valid JSON ({error}).") from None
    if not isinstance(found, dict):
        raise UsageError(f"{path}: not a JSON object; it must have the keys {_keys(_CLASSIC_FOLDERS)}.")
    for what, keys in (
        ("lacks", _CLASSIC_FOLDERS.keys() - found),
        ("has the unknown", found.keys() - _CLASSIC_FOLDERS),
    ):
        if keys:
            raise UsageError(f"{path}: {what} key {_keys(sorted(keys))}; wanted are {_keys(_CLASSIC_FOLDERS)}.")
    for key, value in found.items():
        if not isinstance(value, str) or not value.strip():
            raise UsageError(f"{path}: {key}: must be the name of a folder.")
    return {setting: found[key] for key, setting in _CLASSIC_FOLDERS.items()}


def classic_settings_text(path: Path) -> str:
    """Return the settings.yaml of the classic exercise with the folders of its config.json.

    Raises:
        UsageError: see `from_classic_config`.
    """
    return _text(_CLASSIC, folders=from_classic_config(path), gate=Policy.BETTER)


def quoted(text: str) -> str:
    """Return a text as a YAML scalar on one line: as it is where no reader can take it for anything else."""
    if text.isidentifier() and text.isascii() and yaml.safe_load(text) == text:
        return text
    # Double quotes are the one style that can hold everything, and width keeps it on one line.
    return str(yaml.dump(text, default_style='"', allow_unicode=True, width=float("inf"))).rstrip("\n")


def _text(inference: Inference, *, folders: Mapping[str, str] | None = None, gate: Policy | None = None) -> str:
    for part in ("target", "positive") if inference.task is Task.CLASSIFICATION else ("target",):
        if getattr(inference, part) is None:
            asked = next((q.candidates for q in inference.questions if q.field == part), tuple(inference.columns))
            raise UsageError(f"the {part} cannot be told from the sample; name it with --{part}: {_keys(asked[:12])}.")
    columns = {quoted(column): _column(kind) for column, kind in inference.columns.items()}
    notes = [" ".join(note.split()) for note in inference.notes]
    amounts = inference.task is Task.REGRESSION
    return _template().render(
        amounts=amounts, found=inference, columns=columns, folders=folders or {}, gate=gate, notes=notes
    )


def _column(kind: Column) -> str:
    """Return a column's setting on one line: its type alone where nothing else is said."""
    said: dict[str, Any] = {}
    for field in kind.__struct_fields__[1:]:
        value = getattr(kind, field)
        if value not in (None, False, ()):
            said[field] = value
    if not said:
        return kind.type.value
    rest = ", ".join(f"{field}: {_value(value)}" for field, value in said.items())
    return f"{{type: {kind.type.value}, {rest}}}"


def _value(value: Any) -> str:
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, Sequence):
        return f"[{', '.join(quoted(text) for text in value)}]"
    return json.dumps(value)


@cache
def _template() -> jinja2.Template:
    # YAML knows no markup: names and values go through `quoted` instead of being escaped for HTML.
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("churnwatch.pipeline.firstlook"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701
    )
    environment.filters["yaml"] = _value
    return environment.get_template("settings.yaml.j2")


def _keys(keys: Mapping[str, Any] | Sequence[str]) -> str:
    return ", ".join(f"`{key}`" for key in keys)
