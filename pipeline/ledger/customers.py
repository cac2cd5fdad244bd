"""Questions to the ledger about current customers: their buckets, who moved, what is offered, whom to call first."""

from __future__ import annotations

from churnwatch.pipeline.errors import NotFoundError
from churnwatch.pipeline.ledger.reader import Reader, Row
from churnwatch.pipeline.records import Bucketing, UpliftModel


def predictions(ledger: Reader, run: int | None = None) -> list[Row]:
    """Return the files of predictions of all current customers, of one run or of all, oldest first."""
    return [row for row in ledger.predictions(run) if row["file"] is None]


def bucketing(ledger: Reader, run: int) -> Bucketing | None:
    """Return how a run sorted the customers, None where it did not."""
    rows = ledger.rows("SELECT * FROM bucketings WHERE run = ?", run)
    return Bucketing(**rows[0]) if rows else None


def newest(ledger: Reader, before: int | None = None) -> Bucketing | None:
    """Return how the newest run (before one) that did so sorted the customers; None: none did."""
    rows = ledger.rows("SELECT * FROM bucketings WHERE run < coalesce(?, run + 1) ORDER BY run DESC LIMIT 1", before)
    return Bucketing(**rows[0]) if rows else None


def bucketings(ledger: Reader) -> list[Bucketing]:
    """Return how each run sorted the customers, oldest first."""
    return [Bucketing(**row) for row in ledger.rows("SELECT * FROM bucketings ORDER BY run")]


def buckets(ledger: Reader, run: int) -> list[Row]:
    """Return A, B and C of a run, with their sums."""
    return ledger.rows("SELECT * FROM buckets WHERE run = ? ORDER BY bucket", run)


def moves(ledger: Reader, run: int) -> list[Row]:
    """Return how many customers came from which bucket into which since the former run; who is gone and new last."""
    order = "from_bucket IS NULL, to_bucket IS NULL, from_bucket, to_bucket"
    return ledger.rows(f"SELECT * FROM bucket_moves WHERE run = ? ORDER BY {order}", run)


def move_reasons(ledger: Reader, run: int) -> list[Row]:
    """Return what each column did for those who came into A since the former run, and for those who left it."""
    return ledger.rows("SELECT * FROM move_reasons WHERE run = ? ORDER BY direction, column_name", run)


def offers(ledger: Reader, run: int) -> list[Row]:
    """Return the offers of a run, with what they are expected to earn and from where on they pay."""
    return ledger.rows("SELECT * FROM offers WHERE run = ? ORDER BY offer", run)


def uplift_models(ledger: Reader, run: int) -> list[UpliftModel]:
    """Return what campaigns said in a run of what offers do; nothing where there were none."""
    rows = ledger.rows("SELECT * FROM uplift_models WHERE run = ? ORDER BY offer", run)
    return [UpliftModel(**row) for row in rows]


def call_list(ledger: Reader, run: int, most: int = -1) -> list[Row]:
    """Return whom to call first after a run, with the id and the reasons; all of them, or so many at most."""
    return ledger.rows("SELECT * FROM call_list WHERE run = ? ORDER BY place LIMIT ?", run, most)


def called(ledger: Reader, run: int) -> int:
    """Return how many are on the call list of a run."""
    return int(ledger.rows("SELECT count(*) AS n FROM call_list WHERE run = ?", run)[0]["n"])


def over_time(ledger: Reader) -> list[Row]:
    """Return A, B and C of every run, oldest first."""
    return ledger.rows("SELECT * FROM buckets_over_time ORDER BY run, bucket")


def files(ledger: Reader, limit: int) -> list[Row]:
    """Return the newest runs that predicted all customers, with the file that holds them, newest first.

    Raises:
        NotFoundError: there is none.
    """
    found = ledger.rows(
        "SELECT p.run, r.created_at, p.version, coalesce(b.path, p.path) AS path FROM predictions p"
        " JOIN runs r USING (run) LEFT JOIN bucketings b USING (run) WHERE p.file IS NULL ORDER BY p.run DESC LIMIT ?",
        limit,
    )
    if not found:
        raise NotFoundError(
            "no customers were predicted yet: that takes a model, and an `id` in settings.yaml to name them by."
        )
    return found
