"""Making a version the release, in the order that survives a crash at any point.

    model files → model row → intent row → switch → release row

Start-up rolls an open intent forward: the switch is repeated (that changes nothing if it was done) and recorded.
"""

from __future__ import annotations

from contextlib import AbstractContextManager

from churnwatch.pipeline import files, registry
from churnwatch.pipeline.clock import iso, utc_now
from churnwatch.pipeline.errors import NotFoundError, ReleaseError
from churnwatch.pipeline.ledger.writer import Ledger
from churnwatch.pipeline.records import Approval, Model, Verdict
from churnwatch.pipeline.settings import Home


def release(
    home: Home,
    ledger: Ledger,
    model: Model,
    *,
    run: int | None,
    kind: str,
    actor: str,
    why: str | None = None,
    pin: bool = False,
) -> None:
    """Make a version the release and record it; with `pin`, no run promotes another one from then on.

    Raises:
        ReleaseError: the version's files are not what the ledger says; then nothing is changed.
    """
    with _lock(home):
        registry.verify(home.models, model)
        at = iso(utc_now())
        with ledger.transaction():
            if pin:
                ledger.add_pin(model.version, at=at, actor=actor, why=why)
            intent = ledger.add_intent(model.version, at=at, run=run, kind=kind, actor=actor, why=why)
        registry.switch(home.deployment, home.models, model)
        ledger.add_release(intent, at=iso(utc_now()))


def release_by_gate(home: Home, ledger: Ledger, verdict: Verdict) -> str | None:
    """Release the candidate of a decision; return why not, where things changed since it was made.

    Between a decision and its release somebody may have rolled back, in this attempt or before a resumed one.
    """
    pin, champion = ledger.pin(), ledger.champion()
    if pin is not None:
        return f"v{verdict.candidate} was not released: v{pin['version']} was pinned after the decision"
    if (champion.model.version if champion else None) != verdict.champion:
        return f"v{verdict.candidate} was not released: another version was released after the decision"
    candidate = ledger.model(verdict.candidate)
    release(home, ledger, candidate, run=verdict.run, kind=verdict.decision.value, actor="gate", why=verdict.sentence)
    return None


def roll_forward(home: Home, ledger: Ledger) -> Model | None:
    """Finish a promotion that a crash cut short, and remove what it left; return what was promoted."""
    with _lock(home):
        files.sweep(home.deployment, "*")
        intent = ledger.open_intent()
        if intent is None:
            return None
        model = ledger.model(intent["version"])
        registry.switch(home.deployment, home.models, model)
        ledger.add_release(intent["intent"], at=iso(utc_now()))
        return model


def promote(home: Home, ledger: Ledger, version: int, *, actor: str, why: str) -> Model:
    """Release a version by hand.

    Raises:
        NotFoundError: no such version.
        ReleaseError: it serves already, or its files are not what the ledger says.
    """
    model = ledger.model(version)
    champion = ledger.champion()
    if champion is not None and champion.model.version == version:
        raise ReleaseError(f"{model.name} serves already, since {champion.since}.")
    registry.refuse_unreadable(home.models, model, unpickle=home.settings.model_format.unpickles)
    release(home, ledger, model, run=None, kind="manual", actor=actor, why=why)
    return model


def rollback(home: Home, ledger: Ledger, version: int | None, *, actor: str, why: str) -> Model:
    """Release an earlier version, by default the one that served before, and pin it.

    Raises:
        NotFoundError: there is none to go back to.
        ReleaseError: it serves already, or its files are not what the ledger says.
    """
    target = version if version is not None else _former(ledger)
    model = ledger.model(target)
    champion = ledger.champion()
    if champion is not None and champion.model.version == target:
        raise ReleaseError(f"{model.name} serves already; nothing to roll back to.")
    registry.refuse_unreadable(home.models, model, unpickle=home.settings.model_format.unpickles)
    release(home, ledger, model, run=None, kind="rollback", actor=actor, why=why, pin=True)
    return model


def approve(home: Home, ledger: Ledger, version: int, *, actor: str, why: str) -> Model:
    """Release a candidate that passed the gate and waits.

    Raises:
        NotFoundError: no such version, or it does not wait.
        ReleaseError: another version is pinned, or its files are not what the ledger says.
    """
    model = _waiting(ledger, version)
    pin = ledger.pin()
    if pin is not None:
        raise ReleaseError(f"v{pin['version']} is pinned ({pin['why']}). First: churnwatch unpin")
    registry.refuse_unreadable(home.models, model, unpickle=home.settings.model_format.unpickles)
    release(home, ledger, model, run=None, kind="promoted", actor=actor, why=why)
    ledger.add(Approval(version, iso(utc_now()), approved=True, actor=actor, why=why))
    return model


def reject(ledger: Ledger, version: int, *, actor: str, why: str) -> Model:
    """Let a candidate that waits wait no longer; the champion stays.

    Raises:
        NotFoundError: no such version, or it does not wait.
    """
    model = _waiting(ledger, version)
    ledger.add(Approval(version, iso(utc_now()), approved=False, actor=actor, why=why))
    return model


def _waiting(ledger: Ledger, version: int) -> Model:
    model, waiting = ledger.model(version), [row["version"] for row in ledger.staged()]
    if version in waiting:
        return model
    others = f"; there {'waits' if len(waiting) == 1 else 'wait'} {', '.join(f'v{each}' for each in waiting)}"
    raise NotFoundError(f"{model.name} does not wait for approval{others if waiting else ''}.")


def unpin(ledger: Ledger, *, actor: str, why: str | None) -> int:
    """Let the next run promote again; return which version was pinned.

    Raises:
        NotFoundError: nothing is pinned.
    """
    pin = ledger.pin()
    if pin is None:
        raise NotFoundError("nothing is pinned; the next run may promote.")
    ledger.add_pin(None, at=iso(utc_now()), actor=actor, why=why)
    return int(pin["version"])


def _former(ledger: Ledger) -> int:
    """Return the version that served before the present one came; what was fled from before is not gone back to."""
    line: list[int] = []
    for row in ledger.releases():
        version = int(row["version"])
        line = line[: line.index(version) + 1] if version in line else [*line, version]
    if len(line) < 2:  # noqa: PLR2004 - the present one and one before
        raise NotFoundError("no version served before this one; name one: churnwatch rollback VERSION --why …")
    return line[-2]


def _lock(home: Home) -> AbstractContextManager[None]:
    return files.lock(home.state / "release.lock", busy="", wait=True)
