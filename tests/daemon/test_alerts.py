from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from notices_world import Hook, World, make_home, webhook, world

from churnwatch.daemon import alert_states, alerts, attention, sending
from churnwatch.pipeline.clock import iso
from churnwatch.pipeline.ledger import notices
from churnwatch.pipeline.notices import AlertKind, Change, Channel, Outcome
from churnwatch.pipeline.records import Decision, Status


@pytest.fixture
def told(tmp_path: Path) -> Iterator[World]:
    """Return a world whose alerts go to a command, which writes each as a line into `told.jsonl`."""
    keep = "import sys; open('told.jsonl', 'a').write(sys.stdin.read())"
    command = shlex.join([sys.executable, "-c", keep])
    extra = f"alerts: {{command: {json.dumps(command)}, no_drop_days: 7, disk_low_gb: 0.000001}}\n"
    with world(make_home(tmp_path / "home", extra)) as found:
        yield found


def _turn(at: World) -> list[str]:
    """Look and deliver; return what changed, such as `raised run_failed`."""
    changed = alerts.record(at.home, at.ledger, now=at.now)
    alerts.deliver(at.home, at.ledger, now=at.now)
    return [f"{each.change} {each.kind}" for each in changed]


def _told(at: World) -> list[dict[str, Any]]:
    file = at.home.path / "told.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def test_a_failed_run_is_told_once_and_its_end_once(told: World) -> None:
    run = told.fail()
    assert _turn(told) == ["raised run_failed"]
    told.later(minutes=5)
    assert _turn(told) == []
    told.attempt(run)
    assert _turn(told) == []  # it is being taken up, and nobody knows yet
    told.end(run, Status.FAILED, "still no space")
    assert _turn(told) == []
    told.attempt(run)
    told.end(run)
    assert _turn(told) == ["cleared run_failed"]
    raised, cleared = _told(told)
    assert (raised["change"], cleared["change"]) == ("raised", "cleared")
    assert raised["what"] == "run 1 failed: no space left on the disk"
    assert raised["command"] == f"churnwatch --home {told.home.path} show 1"
    assert raised["since"] == cleared["since"] < cleared["at"]
    assert raised["id"] == raised["incident"] == cleared["incident"] != cleared["id"]
    assert all(raised[part] in raised["text"] for part in ("what", "costs", "command", "title"))


def test_a_run_that_fails_beside_one_that_goes_well_is_one_alert(told: World) -> None:
    first = told.fail()
    assert _turn(told) == ["raised run_failed"]
    told.end(told.begin())
    assert _turn(told) == []  # the first is still to be taken up
    told.attempt(first)
    told.end(first)
    assert _turn(told) == ["cleared run_failed"]


def test_a_run_that_was_given_up_is_over_once_another_goes_well(told: World) -> None:
    run = told.begin()
    for _ in range(3):
        told.end(run, Status.BROKEN, "a bug")
        told.attempt(run)
    told.end(run, Status.BROKEN, "a bug")
    assert _turn(told) == ["raised run_failed"]
    told.end(told.begin())
    assert _turn(told) == ["cleared run_failed"]


def test_drift_is_told_while_the_model_in_use_has_not_learned_from_it_and_names_no_value(told: World) -> None:
    told.learn()
    told.learn(Decision.KEPT, drift=7.0)
    assert _turn(told) == ["raised drift"]
    told.learn(Decision.KEPT, drift=8.0)
    assert _turn(told) == []
    told.learn(Decision.PROMOTED, drift=9.0)
    assert _turn(told) == ["cleared drift"]
    told.learn(Decision.KEPT, drift=6.0)
    assert _turn(told) == ["raised drift"]
    told.learn(Decision.KEPT, drift=1.0)
    assert _turn(told) == ["cleared drift"]
    first = _told(told)[0]
    assert first["what"] == "in the rows of run 2, tenure deviates by 7.0 % (floor 1.0 %)"
    assert "Smith" not in json.dumps(_told(told))


def test_a_gate_that_cannot_decide_says_how_many_rows_would_do(told: World) -> None:
    told.learn()
    told.learn(Decision.UNDECIDABLE)
    began = told.now
    told.learn(Decision.UNDECIDABLE)
    assert _turn(told) == ["raised undecidable"]
    [alert] = _told(told)
    assert "40 holdout rows are too few; 120 would be enough" in alert["costs"]
    assert datetime.fromisoformat(alert["since"]) <= began
    told.learn(Decision.KEPT)
    assert _turn(told) == ["cleared undecidable"]


class _Check:
    """A package check as `packages` hands it to the ledger."""

    packages, outdated, unknown, error = 60, 0, 0, None

    def __init__(self, at: World, *packages: str, vulnerable: int | None) -> None:
        self.checked_at, self.vulnerable = iso(at.later(days=1)), vulnerable
        self.findings = [_Finding("vulnerable", package) for package in packages]


from dataclasses import dataclass  # noqa: E402 - beside what it is for


@dataclass
class _Finding:
    kind: str
    package: str
    installed: str = "1.0"
    latest: str | None = None
    advisory: str | None = None
    fixed_in: str | None = None
    reason: str | None = None


def test_vulnerable_packages_are_named_and_a_check_that_failed_ends_nothing(told: World) -> None:
    told.ledger.add_package_check(_Check(told, "urllib3", "requests", vulnerable=2))
    assert _turn(told) == ["raised vulnerable"]
    told.ledger.add_package_check(_Check(told, vulnerable=None))
    assert _turn(told) == []
    told.ledger.add_package_check(_Check(told, vulnerable=0))
    assert _turn(told) == ["cleared vulnerable"]
    raised = _told(told)[0]
    assert raised["what"] == "installed packages with known vulnerabilities: requests, urllib3"
    assert "-m pip install --upgrade requests urllib3 && churnwatch" in raised["command"]


def test_silence_is_told_after_as_many_days_as_the_settings_say(told: World) -> None:
    told.learn()
    seen = notices.last_drop(told.ledger)
    told.later(days=6.9)
    assert _turn(told) == []
    told.later(days=0.2)
    assert _turn(told) == ["raised no_drop"]
    assert _told(told)[0]["since"] == seen
    told.end(told.begin())
    assert _turn(told) == ["cleared no_drop"]


def test_room_that_goes_up_and_down_around_the_limit_is_one_alert(told: World, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for free in (1100, 999, 1050, 990, 1099, 1101, 1001, 900):  # of a limit of 1000 bytes
        monkeypatch.setattr(alert_states.shutil, "disk_usage", lambda _path, free=free: _Usage(free))
        found += _turn(told)
    assert found == ["raised disk_low", "cleared disk_low", "raised disk_low"]


@dataclass
class _Usage:
    free: int


def test_a_home_in_order_has_nothing_to_tell(told: World) -> None:
    told.learn()
    assert _turn(told) == []
    assert notices.undelivered(told.ledger) == []


# -- delivery --------------------------------------------------------------------------------------------------


@pytest.fixture
def hook() -> Iterator[Hook]:
    with webhook() as found:
        yield found


@pytest.fixture
def hooked(tmp_path: Path, hook: Hook) -> Iterator[World]:
    with world(
        make_home(tmp_path / "home", f"alerts: {{webhook: '{hook.address}', disk_low_gb: 0.000001}}\n")
    ) as found:
        yield found


def test_a_webhook_that_fails_is_tried_ever_less_often_until_it_takes_the_alert(hooked: World, hook: Hook) -> None:
    hook.codes = [500, 302, 503]
    hooked.fail()
    raised = hooked.now
    tries = []
    while not (sent := alerts.deliver(hooked.home, hooked.ledger, now=hooked.now)) or sent[0][1].outcome != "delivered":
        alerts.record(hooked.home, hooked.ledger, now=hooked.now)
        tries += [(hooked.now - raised) // timedelta(minutes=1)] if sent else []
        hooked.later(minutes=1)
    assert len(tries) == 3
    assert len({each["id"] for each in hook.posted}) == 1 < len(hook.posted) == 4
    assert {each["Idempotency-Key"] for each in hook.headers} == {hook.posted[0]["id"]}
    assert hook.posted[0]["kind"] == "run_failed"


def test_back_off_is_by_the_clock_of_the_ledger(hooked: World, hook: Hook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("churnwatch.daemon.outbox.utc_now", lambda: hooked.now)
    hook.codes = [500] * 6
    hooked.fail()
    alerts.record(hooked.home, hooked.ledger, now=hooked.now)
    begun, tried = hooked.now, []
    while len(hook.posted) < 7:
        if alerts.deliver(hooked.home, hooked.ledger, now=hooked.now):
            tried.append((hooked.now - begun) // timedelta(minutes=1))
        hooked.later(minutes=1)
    assert tried == [0, 1, 6, 21, 81, 141, 201]


def test_what_does_not_arrive_is_in_the_status(hooked: World, hook: Hook) -> None:
    hook.codes = [500]
    hooked.fail()
    alerts.record(hooked.home, hooked.ledger, now=hooked.now)
    alerts.deliver(hooked.home, hooked.ledger, now=hooked.now)
    found = [line for line in attention.of(hooked.home, hooked.ledger) if "alerts by webhook do not arrive" in line]
    assert len(found) == 1
    assert "the webhook answered 500 Internal Server Error" in found[0]
    assert hook.address not in found[0]


def test_the_end_is_not_told_before_the_beginning(hooked: World, hook: Hook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("churnwatch.daemon.outbox.utc_now", lambda: hooked.now)
    hook.codes = [500]
    run = hooked.fail()
    _turn(hooked)
    hooked.attempt(run)
    hooked.end(run)
    hooked.later(seconds=-hooked.now.second - 60)
    assert _turn(hooked) == ["cleared run_failed"]
    hooked.later(minutes=5)
    _turn(hooked)
    assert [each["change"] for each in hook.posted] == ["raised", "raised", "cleared"]


class _KilledError(BaseException):
    pass


@pytest.mark.parametrize("when", ["before it is sent", "after it was sent"])
def test_a_kill_loses_no_alert_and_its_copy_has_the_same_id(
    hooked: World, hook: Hook, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    hooked.fail()
    post = sending.webhook

    def killed(*args: Any, **named: Any) -> None:
        if when == "after it was sent":
            post(*args, **named)
        raise _KilledError

    monkeypatch.setattr(sending, "webhook", killed)
    alerts.record(hooked.home, hooked.ledger, now=hooked.now)
    with pytest.raises(_KilledError):
        alerts.deliver(hooked.home, hooked.ledger, now=hooked.now)
    monkeypatch.setattr(sending, "webhook", post)
    hooked.later(days=300)  # beyond what is due, whatever the clock of the machine says
    [(channel, sent)] = alerts.deliver(hooked.home, hooked.ledger, now=hooked.now)
    assert (channel, sent.outcome) == (Channel.WEBHOOK, Outcome.DELIVERED)
    assert len(hook.posted) == (2 if when == "after it was sent" else 1)
    assert len({each["id"] for each in hook.posted}) == 1
    assert alerts.deliver(hooked.home, hooked.ledger, now=hooked.now) == []


def test_a_kill_between_two_changes_leaves_both_or_none(hooked: World, monkeypatch: pytest.MonkeyPatch) -> None:
    hooked.fail()

    def killed(*_: Any) -> None:
        raise _KilledError

    with monkeypatch.context() as patched:
        patched.setattr(notices, "next_delivery", killed)
        with pytest.raises(_KilledError):
            alerts.record(hooked.home, hooked.ledger, now=hooked.now)
    assert notices.open_alerts(hooked.ledger) == {}
    [alert] = alerts.record(hooked.home, hooked.ledger, now=hooked.now)
    assert (alert.kind, alert.change) == (AlertKind.RUN_FAILED, Change.RAISED)
    assert len(notices.undelivered(hooked.ledger)) == 1


def test_a_new_channel_is_not_told_of_old_alerts(hooked: World, hook: Hook) -> None:
    without = World(make_home(hooked.home.path / "other"), hooked.ledger, hooked.now)
    without.fail()
    assert _turn(without) == ["raised run_failed"]
    assert _turn(hooked) == []
    assert hook.posted == []
