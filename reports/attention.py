"""What the ledger itself says that somebody should look at; light enough for `status` and the daemon."""

from __future__ import annotations

from collections.abc import Iterator

from churnwatch.pipeline.ledger.reader import Reader
from churnwatch.pipeline.records import Decision, Status

_BAD = (Status.FAILED, Status.BROKEN, Status.INTERRUPTED)
_NAMED = 3
_NOT_TAKEN = ("quarantined", "failed")


def sentences(reader: Reader) -> tuple[str, ...]:
    """Return one sentence for each thing, the most pressing first."""
    return (*_last_run(reader), *_files(reader), *_packages(reader))


def _last_run(reader: Reader) -> Iterator[str]:
    newest = next(iter(reader.runs(1)), None)
    if newest is None:
        return
    run = newest["run"]
    if newest["status"] in _BAD:
        yield f"Run {run} {newest['status']}: {(newest['error'] or 'no reason is known').rstrip('.')}."
    if newest["decision"] == Decision.STAGED:
        yield f"A better model waits for you: {newest['sentence']}"
    if newest["decision"] == Decision.UNDECIDABLE:
        yield f"Run {run} could not be decided: {newest['sentence']}"
    for warning in (newest["decision_warning"], newest["warning"]):
        if warning:
            yield f"Run {run}: {warning.rstrip('.')}."


def _files(reader: Reader) -> Iterator[str]:
    counts = reader.file_counts()
    if not any(counts.get(state) for state in _NOT_TAKEN):
        return
    newest = {row["path"]: row for row in reader.files()}  # a path mended since then needs nobody
    left = [path for path, row in reversed(newest.items()) if row["state"] in _NOT_TAKEN]
    if left:
        named = ", ".join(left[:_NAMED]) + (" …" if len(left) > _NAMED else "")
        yield f"{len(left):,} {'file was' if len(left) == 1 else 'files were'} not taken in: {named}"


def _packages(reader: Reader) -> Iterator[str]:
    check = reader.package_check()
    if check and check["vulnerable"]:
        number = check["vulnerable"]
        yield f"{number:,} installed {'package has' if number == 1 else 'packages have'} a known vulnerability."
