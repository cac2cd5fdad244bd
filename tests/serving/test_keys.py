from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest

from churnwatch.pipeline.api_keys import KeyChange, KeyEvent, Scope, hashed
from churnwatch.pipeline.errors import LedgerError
from churnwatch.pipeline.ledger import api_keys
from churnwatch.pipeline.ledger.writer import Ledger
from churnwatch.serving import keys
from churnwatch.serving.keys import Keyring

AT = "2026-11-01T00:00:00.000Z"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "churnwatch.db"


def _created(name: str) -> KeyEvent:
    return KeyEvent(name, KeyChange.CREATED, AT, "me", Scope.READ, hashed(f"token of {name}"))


def _add(path: Path, *events: KeyEvent) -> None:
    with Ledger.open(path) as ledger:
        ledger.add(*events)


def _revoke(path: Path, name: str) -> None:
    with Ledger.open(path) as ledger:
        [key] = [key.key for key in api_keys.keys(ledger) if key.name == name]
        ledger.add(KeyEvent(name, KeyChange.REVOKED, AT, "me", created=key))


def test_a_token_is_found_among_others_and_no_other_is(path: Path) -> None:
    _add(path, _created("ann"), _created("bob"))
    ring = Keyring(path)
    found = ring.find("token of ann")
    assert found is not None
    assert (found.name, found.scope) == ("ann", Scope.READ)
    assert ring.in_force(found.key) == found
    for wrong in ("", "token of", "token of cid", found.sha256, "\xff"):
        assert ring.find(wrong) is None


def test_without_a_ledger_there_are_no_keys(path: Path) -> None:
    ring = Keyring(path)
    assert (ring.any_created, ring.any_in_force) == (False, False)
    assert not path.exists()


def test_a_ledger_that_is_none_is_told(path: Path) -> None:
    path.write_text("no ledger " * 100)
    with pytest.raises(LedgerError):
        Keyring(path)


def test_keys_come_and_go_without_a_new_start(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "_LOOK_EVERY_S", 0.01)
    ring = Keyring(path)

    async def watched() -> None:
        following = asyncio.create_task(ring.follow())
        _add(path, _created("ann"), _created("bob"))
        await _until(lambda: ring.find("token of ann") is not None)
        _revoke(path, "ann")
        await _until(lambda: ring.find("token of ann") is None)
        assert ring.find("token of bob") is not None
        _revoke(path, "bob")
        await _until(lambda: not ring.any_in_force)
        assert ring.any_created
        following.cancel()

    asyncio.run(watched())


async def _until(condition: object) -> None:
    for _ in range(1000):
        if condition():  # type: ignore[operator]
            return
        await asyncio.sleep(0.01)
    pytest.fail("it never came")


def test_a_ledger_that_cannot_be_read_for_a_while_takes_no_key_away(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(keys, "_LOOK_EVERY_S", 0.01)
    _add(path, _created("ann"))
    ring = Keyring(path)
    path.write_bytes(b"no ledger " * 1000)
    for beside in path.parent.glob("churnwatch.db-*"):
        beside.unlink()

    async def watched() -> None:
        following = asyncio.create_task(ring.follow())
        await asyncio.sleep(0.2)
        following.cancel()

    asyncio.run(watched())
    assert ring.find("token of ann") is not None
    assert len(caplog.records) == 1
    assert "the keys stay as they were" in caplog.text


# -- the ledger ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "event",
    [
        KeyEvent("ann", KeyChange.CREATED, AT, "me"),
        KeyEvent("ann", KeyChange.CREATED, AT, "me", Scope.READ, "other", created=1),
        KeyEvent("ann", KeyChange.REVOKED, AT, "me"),
        KeyEvent("ann", KeyChange.REVOKED, AT, "me", Scope.READ, created=1),
        KeyEvent("ann", KeyChange.REVOKED, AT, "me", created=7),
        _created("ann"),
    ],
)
def test_the_ledger_refuses_what_is_no_change_of_a_key(path: Path, event: KeyEvent) -> None:
    _add(path, _created("ann"))
    with pytest.raises(sqlite3.IntegrityError):
        _add(path, event)


def test_a_key_is_revoked_once(path: Path) -> None:
    _add(path, _created("ann"))
    _revoke(path, "ann")
    with pytest.raises(sqlite3.IntegrityError, match="UNIQUE"):
        _revoke(path, "ann")
