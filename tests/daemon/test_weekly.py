from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st
from notices_world import BEGIN, PASSWORD, Mailbox, World, mailbox, make_home, world

from churnwatch.daemon import attention, sending, weekly
from churnwatch.pipeline.ledger import notices
from churnwatch.pipeline.notices import Outcome
from churnwatch.pipeline.settings_notices import WEEKDAYS

BERLIN, NEW_YORK, LORD_HOWE = ZoneInfo("Europe/Berlin"), ZoneInfo("America/New_York"), ZoneInfo("Australia/Lord_Howe")
MINUTE = timedelta(minutes=1)

# -- when ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("now", "week", "due"),
    [
        (datetime(2026, 11, 23, 7, 0, tzinfo=BERLIN), "2026-W48", datetime(2026, 11, 23, 6, 0, tzinfo=UTC)),
        (datetime(2026, 11, 23, 6, 59, tzinfo=BERLIN), "2026-W47", datetime(2026, 11, 16, 6, 0, tzinfo=UTC)),
        (datetime(2026, 11, 29, 23, 59, tzinfo=BERLIN), "2026-W48", datetime(2026, 11, 23, 6, 0, tzinfo=UTC)),
        (datetime(2026, 7, 6, 7, 0, tzinfo=BERLIN), "2026-W28", datetime(2026, 7, 6, 5, 0, tzinfo=UTC)),
        (datetime(2027, 1, 1, 12, 0, tzinfo=BERLIN), "2026-W53", datetime(2026, 12, 28, 6, 0, tzinfo=UTC)),
    ],
)
def test_monday_at_seven_is_by_the_clock_on_the_wall(now: datetime, week: str, due: datetime) -> None:
    assert weekly.last_due("monday 07:00", now, BERLIN) == (week, due)


@pytest.mark.parametrize(
    ("when", "day", "zone", "due"),
    [
        ("sunday 02:30", date(2026, 3, 29), BERLIN, datetime(2026, 3, 29, 1, 30, tzinfo=UTC)),  # left out: at 03:30
        ("sunday 02:30", date(2026, 10, 25), BERLIN, datetime(2026, 10, 25, 0, 30, tzinfo=UTC)),  # twice: the first
        ("sunday 01:30", date(2026, 11, 1), NEW_YORK, datetime(2026, 11, 1, 5, 30, tzinfo=UTC)),
        ("sunday 02:15", date(2026, 10, 4), LORD_HOWE, datetime(2026, 10, 3, 15, 45, tzinfo=UTC)),  # by half an hour
    ],
)
def test_an_hour_that_the_clocks_leave_out_or_show_twice_is_due_once(
    when: str, day: date, zone: tzinfo, due: datetime
) -> None:
    assert weekly.last_due(when, due, zone) == (weekly.week_of(day), due)
    assert weekly.last_due(when, due - MINUTE, zone)[0] != weekly.week_of(day)
    assert {weekly.last_due(when, due + timedelta(hours=hours), zone)[1] for hours in range(24)} == {due}


@given(
    when=st.builds(
        lambda day, hour, minute: f"{day} {hour:02d}:{minute:02d}",
        st.sampled_from(WEEKDAYS),
        st.integers(0, 23),
        st.integers(0, 59),
    ),
    zone=st.sampled_from([UTC, BERLIN, NEW_YORK, LORD_HOWE, ZoneInfo("Pacific/Apia"), ZoneInfo("Asia/Kathmandu")]),
    now=st.datetimes(datetime(2024, 1, 1), datetime(2030, 1, 1)),  # noqa: DTZ001 - the zone follows
)
def test_what_is_due_lies_within_the_last_week_and_is_the_weeks_only_one(
    when: str, zone: tzinfo, now: datetime
) -> None:
    moment = now.replace(tzinfo=UTC)
    week, due = weekly.last_due(when, moment, zone)
    assert timedelta(0) <= moment - due <= timedelta(days=7, hours=1)
    assert weekly.last_due(when, due, zone) == (week, due)
    assert weekly.last_due(when, moment + timedelta(days=7, hours=1), zone)[0] != week


def test_over_a_year_with_all_its_changes_of_clock_each_week_is_due_once() -> None:
    now, seen = datetime(2026, 1, 1, tzinfo=UTC), dict[str, datetime]()
    for _ in range(366 * 24 * 4):
        week, due = weekly.last_due("sunday 02:30", now, BERLIN)
        assert seen.setdefault(week, due) == due
        now += timedelta(minutes=15)
    assert len(seen) == 53  # the 52 Sundays of the year, and the one before
    gaps = [later - earlier for earlier, later in zip([*seen.values()], [*seen.values()][1:], strict=False)]
    assert set(gaps) == {timedelta(days=7), timedelta(days=7, hours=1)} | {timedelta(days=6, hours=23)}


# -- sent ------------------------------------------------------------------------------------------------------


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> trustme.CA:
    found = trustme.CA()
    found.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    monkeypatch.setenv("SMTP_PASSWORD", PASSWORD)
    return found


@pytest.fixture
def box(authority: trustme.CA) -> Iterator[Mailbox]:
    with mailbox(authority=authority) as found:
        yield found


def settings_of(port: int) -> str:
    return (
        "mail: {to: [ann@example.org, bob@example.org], from: churnwatch@example.org, smtp: {host: localhost,"
        f" port: {port}, user: churnwatch, password: 'env:SMTP_PASSWORD'}}}}\n"
    )


@pytest.fixture
def ready(tmp_path: Path, box: Mailbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """Return a world with customers, whose mail goes to a real server; its clock is the ledger's."""
    with world(make_home(tmp_path / "practice", settings_of(box.port))) as found:
        monkeypatch.setattr("churnwatch.daemon.outbox.utc_now", lambda: found.now)
        found.predict(found.learn(), {"c1": 0.9, "c2": 0.7, "c3": 0.2})
        yield found


def _send(at: World) -> Outcome | None:
    sent = weekly.send_due(at.home, at.ledger, now=at.now, zone=BERLIN)
    return None if sent is None else sent.outcome


def test_every_week_has_one_mail_though_it_is_looked_for_all_the_time(ready: World, box: Mailbox) -> None:
    ready.now = BEGIN - timedelta(days=2)
    assert _send(ready) is Outcome.DELIVERED  # the week before was due, and nobody had been told
    for _ in range(3 * 7 * 8):
        _send(ready)
        ready.later(hours=3)
    assert [row["week"] for row in ready.ledger.rows("SELECT week FROM weekly_mails ORDER BY week")] == [
        "2026-W44", "2026-W45", "2026-W46", "2026-W47",
    ]  # fmt: skip
    assert len(box.messages) == 4
    assert len({message["Message-ID"] for message in box.messages}) == 4
    assert box.recipients[0] == ["ann@example.org", "bob@example.org"]


def test_weeks_in_which_nothing_ran_are_caught_up_by_one_mail(ready: World, box: Mailbox) -> None:
    ready.now = BEGIN + timedelta(hours=3)
    assert _send(ready) is Outcome.DELIVERED
    ready.later(days=24)
    assert [_send(ready), _send(ready)] == [Outcome.DELIVERED, None]
    assert len(box.messages) == 2


def test_a_changed_day_brings_no_second_mail_in_the_same_week(ready: World, box: Mailbox) -> None:
    ready.now = BEGIN + timedelta(hours=3)
    assert _send(ready) is Outcome.DELIVERED
    week, due = weekly.last_due("wednesday 07:00", ready.later(days=3), BERLIN)
    assert weekly.send_week(ready.home, ready.ledger, week, due=due, now=ready.now) is None
    assert len(box.messages) == 1


def test_a_server_that_will_not_is_asked_again_and_the_status_says_so(ready: World, box: Mailbox) -> None:
    box.answers = ["451 come again"] * 2
    ready.now = BEGIN + timedelta(hours=3)
    assert _send(ready) is Outcome.FAILED
    [said] = [line for line in attention.of(ready.home, ready.ledger) if "the mail of week" in line]
    assert said == (
        f"the mail of week 2026-W45 was not sent (1 attempt): localhost:{box.port}: 451 come again; it is tried again"
    )
    outcomes = []
    while not outcomes or outcomes[-1] is not Outcome.DELIVERED:
        ready.later(minutes=1)
        outcomes += [each] if (each := _send(ready)) else []
    assert outcomes == [Outcome.FAILED, Outcome.DELIVERED]
    [message] = box.messages
    assert "was not sent" not in message.as_string()  # it does not speak of itself
    assert not [line for line in attention.of(ready.home, ready.ledger) if "the mail of week" in line]


class _KilledError(BaseException):
    pass


@pytest.mark.parametrize("what", ["a kill before", "a kill after", "a server that falls silent"])
def test_a_mail_that_may_have_arrived_is_not_sent_again_but_said_to_be_missing(
    ready: World, box: Mailbox, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    ready.now = BEGIN + timedelta(hours=3)
    send = sending.mail

    def killed(*args: Any, **named: Any) -> None:
        if what == "a kill after":
            send(*args, **named)
        raise _KilledError

    if what == "a server that falls silent":
        box.answers = [None]
        assert _send(ready) is Outcome.UNKNOWN
    else:
        with monkeypatch.context() as patched:
            patched.setattr(sending, "mail", killed)
            with pytest.raises(_KilledError):
                _send(ready)
    ready.later(hours=30)
    assert _send(ready) is None
    assert len(box.messages) == (what != "a kill before")
    [said] = [line for line in attention.of(ready.home, ready.ledger) if "the mail of week" in line]
    assert "may not have arrived" in said
    assert "churnwatch mail --to ADDRESS" in said


def test_without_customers_nothing_is_sent_until_there_are_some(tmp_path: Path, box: Mailbox) -> None:
    with world(make_home(tmp_path / "new", settings_of(box.port))) as found:
        found.now = BEGIN + timedelta(hours=3)
        assert _send(found) is None
        assert notices.weekly_mail(found.ledger) is None
        found.predict(found.learn(), {"c1": 0.9})
        assert _send(found) is Outcome.DELIVERED


# -- the command -----------------------------------------------------------------------------------------------


def test_the_command_sends_once_a_week_and_copies_to_whom_one_names(
    ready: World, box: Mailbox, churnwatch: Callable[..., Any]
) -> None:
    first = churnwatch("mail", home=ready.home)
    assert (first.code, first.out) == (0, "the weekly mail is sent to ann@example.org, bob@example.org\n")
    second = churnwatch("mail", home=ready.home)
    assert second.code == 1
    assert "went out on" in second.line
    assert second.line.endswith(f"To send it again: churnwatch --home {ready.home.path} mail --to ADDRESS")
    third = churnwatch("mail", "--to", "cleo@example.org", home=ready.home)
    assert third.out == "the weekly mail is sent to cleo@example.org\n"
    assert box.recipients == [["ann@example.org", "bob@example.org"], ["cleo@example.org"]]


def test_a_dry_run_writes_a_file_and_sends_and_records_nothing(
    ready: World, box: Mailbox, churnwatch: Callable[..., Any], tmp_path: Path
) -> None:
    target = tmp_path / "weekly.eml"
    done = churnwatch("mail", "--dry-run", target, home=ready.home)
    assert done.code == 0
    assert done.out.startswith(f"{target}: practice: 2 customers at risk (week ")
    assert b"To: ann@example.org, bob@example.org" in target.read_bytes()
    assert (box.messages, notices.weekly_mail(ready.ledger)) == ([], None)


@pytest.mark.parametrize("address", ["ann", "ann@example.org\nBcc: eve@example.org", "Ann <ann@example.org>"])
def test_an_address_that_is_more_than_one_is_refused(
    ready: World, churnwatch: Callable[..., Any], address: str
) -> None:
    assert churnwatch("mail", "--to", address, home=ready.home).code == 2


def test_alert_does_all_that_is_due_and_its_exit_code_says_whether_it_could(
    ready: World, box: Mailbox, churnwatch: Callable[..., Any]
) -> None:
    (ready.home.path / "settings.yaml").write_text(
        (ready.home.path / "settings.yaml").read_text()
        + "alerts: {mail: [ann@example.org], disk_low_gb: 0.000001}\nmetrics_file: churnwatch.prom\n"
    )
    ready.fail()
    done = churnwatch("alert", home=ready.home)
    assert (done.code, done.err) == (0, "")
    assert "an alert by mail: delivered" in done.out
    assert "the weekly mail is sent to" in done.out
    alert, mail = box.messages
    assert alert["Subject"] == "churnwatch practice: a run failed"
    assert "What to type: churnwatch --home" in alert.get_content()
    assert mail["Subject"].startswith("practice: 2 customers at risk")
    assert "churnwatch_alerts_open" in (ready.home.path / "churnwatch.prom").read_text()
    assert churnwatch("alert", home=ready.home).out == "Nothing changed; 1 alert is open.\n"
    box.answers = ["554 no"]
    tried = churnwatch("alert", "--test", home=ready.home)
    assert (tried.code, tried.line) == (1, f"churnwatch: a test by mail: localhost:{box.port}: 554 no")
    assert churnwatch("alert", "--test", home=ready.home).out == "a test by mail: delivered\n"


def test_an_alert_and_its_end_are_one_conversation(ready: World, box: Mailbox, churnwatch: Callable[..., Any]) -> None:
    text = (ready.home.path / "settings.yaml").read_text()
    (ready.home.path / "settings.yaml").write_text(text + "alerts: {mail: [ann@example.org], disk_low_gb: 0.000001}\n")
    run = ready.fail()
    churnwatch("alert", home=ready.home)
    ready.attempt(run)
    ready.end(run)
    churnwatch("alert", home=ready.home)
    raised, cleared = (each for each in box.messages if "a run failed" in each["Subject"])
    assert cleared["Subject"] == "churnwatch practice: resolved: a run failed"
    assert cleared["In-Reply-To"] == cleared["References"] == raised["Message-ID"]


def test_the_status_says_that_nobody_looks(ready: World) -> None:
    assert any("nobody has looked for alerts and mail to send yet" in line
               for line in attention.of(ready.home, ready.ledger))  # fmt: skip
    (ready.home.state / attention.NOTIFY_LOCK).touch()
    found = json.dumps(attention.of(ready.home, ready.ledger))
    assert "nobody has looked" not in found


def test_the_daemon_sends_what_is_due_by_itself(
    ready: World, box: Mailbox, daemon: Callable[..., Any], eventually: Callable[..., Any]
) -> None:
    running = daemon(ready.home)
    eventually(lambda: box.messages)
    assert running.stop() == 0
    assert len(box.messages) == 1
    assert not [line for line in attention.of(ready.home, ready.ledger) if "mail" in line]


def test_a_daemon_that_is_told_so_leaves_it_to_somebody_else(
    ready: World, box: Mailbox, daemon: Callable[..., Any]
) -> None:
    running = daemon(ready.home, "--no-notify")
    assert running.stop() == 0
    assert not (ready.home.state / attention.NOTIFY_LOCK).exists()
