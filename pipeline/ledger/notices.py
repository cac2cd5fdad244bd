"""What the ledger knows of alerts, of mail, and of the states that they are about. Functions of a reader; light."""

from __future__ import annotations

from churnwatch.pipeline.ledger.reader import Reader, Row
from churnwatch.pipeline.notices import Alert, AlertKind, Change, Channel, Delivery, WeeklyMail


def open_alerts(ledger: Reader) -> dict[AlertKind, Alert]:
    """Return the alerts that were raised and not cleared since."""
    found = [_alert(row) for row in ledger.rows("SELECT * FROM open_alerts ORDER BY alert")]
    return {each.kind: each for each in found}


def alert(ledger: Reader, number: int) -> Alert:
    """Return one alert."""
    return _alert(ledger.rows("SELECT * FROM alerts WHERE alert = ?", number)[0])


def next_alert(ledger: Reader) -> int:
    """Return the number of the next alert."""
    return _next(ledger, "SELECT coalesce(max(alert), 0) AS n FROM alerts")


def next_delivery(ledger: Reader) -> int:
    """Return the number of the next delivery."""
    return _next(ledger, "SELECT coalesce(max(delivery), 0) AS n FROM deliveries")


def _next(ledger: Reader, sql: str) -> int:
    return 1 + int(ledger.rows(sql)[0]["n"])


def undelivered(ledger: Reader) -> list[Row]:
    """Return the deliveries of alerts that are not known to have arrived, oldest first, with their attempts so far."""
    return ledger.rows(
        "SELECT * FROM what_became_of_deliveries WHERE alert IS NOT NULL AND outcome IS NOT 'delivered'"
        " ORDER BY delivery"
    )


def weekly_mail(ledger: Reader, week: str | None = None) -> WeeklyMail | None:
    """Return a week's mail, or the newest one; None where none was ever about to be sent."""
    where, values = ("WHERE week = ?", (week,)) if week is not None else ("", ())
    found = ledger.rows(f"SELECT * FROM weekly_mails {where} ORDER BY reserved_at DESC LIMIT 1", *values)
    return WeeklyMail(**found[0]) if found else None


def weekly_delivery(ledger: Reader, week: str) -> Row:
    """Return how far the delivery of a week's mail is."""
    return ledger.rows("SELECT * FROM what_became_of_deliveries WHERE week = ?", week)[0]


def mail_before(ledger: Reader, week: str) -> WeeklyMail | None:
    """Return the mail that was delivered last before a week's."""
    found = ledger.rows(
        "SELECT m.* FROM weekly_mails m JOIN what_became_of_deliveries d USING (week)"
        " WHERE m.week <> ? AND d.outcome = 'delivered' ORDER BY m.reserved_at DESC LIMIT 1",
        week,
    )
    return WeeklyMail(**found[0]) if found else None


def delivery(row: Row) -> Delivery:
    """Return the delivery that a row of `undelivered` is about."""
    return Delivery(row["delivery"], row["alert"], row["week"], Channel(row["channel"]), row["at"])


def failing_runs(ledger: Reader) -> list[Row]:
    """Return the runs whose last attempt that ended was no success, the one that ended last first.

    Each has `since`: when the first of its attempts ended.
    """
    return ledger.rows(
        "SELECT e.run, e.status, e.error, e.ended_at,"
        " (SELECT min(ended_at) FROM attempt_ends f WHERE f.run = e.run) AS since FROM attempt_ends e"
        " WHERE e.attempt = (SELECT max(attempt) FROM attempt_ends WHERE run = e.run) AND e.status <> 'done'"
        " ORDER BY e.ended_at DESC, e.run DESC"
    )


def last_end(ledger: Reader) -> Row | None:
    """Return the attempt that ended last, of whatever run."""
    found = ledger.rows("SELECT * FROM attempt_ends ORDER BY ended_at DESC, run DESC, attempt DESC LIMIT 1")
    return found[0] if found else None


def last_drop(ledger: Reader) -> str | None:
    """Return when a file was last seen for the first time; None: none ever was."""
    return _text(ledger, "SELECT max(seen_at) AS at FROM files")


def last_decision(ledger: Reader) -> Row | None:
    """Return the newest decision, with `since`: when the row of decisions like it began."""
    found = ledger.rows(
        "SELECT d.*, (SELECT min(decided_at) FROM decisions s WHERE s.decision = d.decision AND s.run > coalesce("
        "(SELECT max(run) FROM decisions o WHERE o.decision <> d.decision), 0)) AS since"
        " FROM decisions d ORDER BY run DESC LIMIT 1"
    )
    return found[0] if found else None


def vulnerable_since(ledger: Reader) -> str | None:
    """Return when the first of the checks was made that have found vulnerable packages ever since."""
    return _text(
        ledger,
        "SELECT min(checked_at) AS at FROM package_checks WHERE vulnerable > 0"
        " AND check_id > coalesce((SELECT max(check_id) FROM package_checks WHERE vulnerable = 0), 0)",
    )


def run_started(ledger: Reader, run: int) -> str:
    """Return when a run was made."""
    return str(ledger.rows("SELECT created_at FROM runs WHERE run = ?", run)[0]["created_at"])


def _text(ledger: Reader, sql: str) -> str | None:
    value = ledger.rows(sql)[0]["at"]
    return None if value is None else str(value)


def _alert(row: Row) -> Alert:
    return Alert(**{**row, "kind": AlertKind(row["kind"]), "change": Change(row["change"])})
