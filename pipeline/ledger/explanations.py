"""What the ledger knows of why models say what they say. Light: the report and `show` read it."""

from __future__ import annotations

from churnwatch.pipeline.ledger.reader import Reader, Row
from churnwatch.pipeline.records import Explanation


def of_run(ledger: Reader, run: int) -> Explanation | None:
    """Return how a run explained its predictions of the current customers; None: it has not."""
    found = ledger.rows("SELECT * FROM explanations WHERE run = ?", run)
    return Explanation(**found[0]) if found else None


def newest(ledger: Reader) -> Explanation | None:
    """Return how the newest predictions of the current customers were explained; None: none were."""
    found = ledger.rows("SELECT * FROM explanations ORDER BY run DESC LIMIT 1")
    return Explanation(**found[0]) if found else None


def every(ledger: Reader) -> list[Explanation]:
    """Return all explanations, oldest first."""
    return [Explanation(**row) for row in ledger.rows("SELECT * FROM explanations ORDER BY run")]


def importances(ledger: Reader, run: int) -> list[Row]:
    """Return how much each column counts in the model of a run's predictions, and in the champion before it.

    One row for each column that the model looks at, the most important first: `column_name`, `mean_absolute`,
    `permutation`, `low`, `high`; and as `former_version`, `former_mean_absolute`, `former_permutation` what was last
    measured of the champion before this one, None where there was none or where it did not look at the column.
    """
    return ledger.rows(
        "WITH former AS (SELECT * FROM importances WHERE run ="
        "  (SELECT max(e.run) FROM explanations e WHERE e.run < ?1"
        "    AND e.version != (SELECT version FROM explanations WHERE run = ?1)))"
        " SELECT i.*, (SELECT max(version) FROM former) AS former_version,"
        "  f.mean_absolute AS former_mean_absolute, f.permutation AS former_permutation"
        " FROM importances i LEFT JOIN former f ON f.column_name = i.column_name WHERE i.run = ?1"
        " ORDER BY i.mean_absolute DESC NULLS LAST, i.permutation DESC NULLS LAST, i.column_name",
        run,
    )
