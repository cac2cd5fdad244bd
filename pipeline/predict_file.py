"""Any CSV of customers → their predictions, whether it lies in the source folder or somebody names it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from churnwatch.pipeline import load
from churnwatch.pipeline.dialect import Dialect
from churnwatch.pipeline.engine import DuckDB
from churnwatch.pipeline.errors import DataError
from churnwatch.pipeline.features import Featured
from churnwatch.pipeline.load import Loaded, Opened, Refused, Source
from churnwatch.pipeline.model_files import Fitted
from churnwatch.pipeline.predict import Predicted, predict
from churnwatch.pipeline.records import SourceFile
from churnwatch.pipeline.schema import Schema
from churnwatch.pipeline.settings import Csv


def predict_opened(
    opened: Opened,
    model: Fitted,
    schema: Schema,
    csv: Csv,
    local: DuckDB,
    featured: Featured,
    *,
    version: str,
) -> tuple[Predicted, Loaded]:
    """Predict a file's rows in their order, with all columns but the target; rows that break a check are set aside.

    Returns the predictions, and what was loaded (no file, when it changed while it was read).
    """
    loaded = load.load([opened], schema, csv, local, with_target=False)
    keep = [column for column in schema.names if column != schema.target]
    query = f"SELECT * FROM {featured.table('typed', local)} t ORDER BY _line"
    found = predict(model, featured.schema, featured.engine, query, keep=keep, version=version)
    return found, loaded


def open_file(path: Path, schema: Schema, csv: Csv, pinned: Dialect | None = None) -> Opened:
    """Open a file that somebody named, as the newest one of the source folder was read.

    Raises:
        DataError: it cannot be read, or lacks columns.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}).") from None
    file = SourceFile(0, path.name, status.st_size, status.st_mtime_ns, status.st_ctime_ns, "", "")
    opened = load.open_source(Source(file, path), schema, csv, pinned)
    if isinstance(opened, Refused):
        raise DataError(f"{path}: {opened.reason}")
    if schema.target in opened.opening.header:
        return replace(
            opened, findings=(*opened.findings, f"column `{schema.target}` left out: it is what is predicted")
        )
    return opened
