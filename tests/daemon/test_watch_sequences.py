"""Whatever people do to the folder, in whatever order: what stood still is in the data set, and in it once.

The loop, the intake, the steps and the ledger are the real ones, as are the files. Of our own are the clock, which is
passed in, the hints, which may be lost as real ones are, and the child: its work is done in this process, so that a
sequence can also say when. The rows have one label only, so nothing is trained.

    python -m pytest tests/daemon/test_watch_sequences.py --hypothesis-profile=long    # 2,000 sequences
"""

from __future__ import annotations

import hashlib
import itertools
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from churnwatch.daemon import service, work
from churnwatch.daemon.service import Service
from churnwatch.pipeline import scan, settings
from churnwatch.pipeline.ledger.reader import Reader
from churnwatch.pipeline.records import Signature
from churnwatch.pipeline.settings import Settings

DELAY_S = 1.0
SETTINGS = f"""
target: left
positive: "yes"
id: who
columns: {{who: text, spent: number, left: text}}
stability_s: {DELAY_S}
scan_interval_s: 5
packages: {{check: never}}
training: {{mode: refit, estimators: [logistic]}}
"""
HEADER = b"who,spent,left\n"
INGESTED = "SELECT sha256 FROM files JOIN file_events USING (file) WHERE state = 'ingested'"
REST_S = 60.0  # longer than a lost hint, the wait for others that move, and the waits after two kills together
IN_2099_S = 4_085_000_000.0
EPOCH_S = 1_700_000_000  # what the files' times begin with: they are the test's own, like the clock
MOST_KILLS = 2  # after three the run is given up, as it should be

NAMES = ("a.csv", "b.csv", "two\nlines.csv", "caf\udce9.csv", "back\\slash.csv")
ALL_NAMES = (*NAMES, ".a.csv", "a.csv.part")  # what has one of the last two is not there yet
Then = tuple[str, int, bool]  # the hint that comes, how many quarters of the delay pass, whether an ordered run is made
picks = st.integers(0, 99)  # of what there is at that moment
thens = st.tuples(
    st.sampled_from(["heard", "heard", "overflow", "lost"]),
    st.sampled_from([0, 0, 1, 2, 3, 4, 5, 50]),
    st.booleans(),
)


class Deaf:
    """A watcher that hears nothing: hints are given by the sequence."""

    def __init__(self, *_: object, **__: object) -> None: ...

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def renew(self) -> bool:
        return False


class Killed(BaseException):
    """What a child dies of: nothing in the pipeline catches it."""


class Child:
    """Takes an order as the real one does, and works it off when it is told to, in this process."""

    def __init__(self, *_: object) -> None:
        self.ordered_at: float | None = None
        self.stable: frozenset[Signature] = frozenset()
        self.on_order: Callable[[frozenset[Signature]], None] = lambda _: None

    @property
    def busy(self) -> bool:
        return self.ordered_at is not None

    def warm_up(self) -> None: ...

    def cool_down(self) -> None: ...

    def order(self, stable: Collection[Signature], _: Settings, *, reason: str, now: float) -> None:
        assert reason == "drop"
        self.stable, self.ordered_at = frozenset(stable), now
        self.on_order(self.stable)

    def reap(self) -> None:
        self.ordered_at = None

    def stop(self) -> None:
        self.reap()


@dataclass(frozen=True)
class Standing:
    """What stands under a name, and since when it stands so."""

    content: bytes
    status: tuple[int, int, int]
    since: float

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


class Folder(RuleBasedStateMachine):
    """A folder that things happen to, a daemon that looks at it, and what must have become of it."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp())
        home, self.outside = self.root / "home", self.root / "elsewhere"
        home.mkdir()
        self.outside.mkdir()
        (home / settings.FILE_NAME).write_text(SETTINGS)
        self.home = settings.load(home)
        self.folder = self.home.source
        self.folder.mkdir()
        self.now, self.numbers, self.kills = 1000.0, itertools.count(), 0
        self.there: dict[str, Standing] = {}
        self.contents: dict[str, bytes] = {}  # all that ever were, by their hash
        self.taken: set[str] = set()  # of these, what the ledger must say is in the data set
        self.open: set[str] = set()  # what a killed run had before it: it may be in, and may not
        self._start()

    # -- the daemon ------------------------------------------------------------------------------------------------

    def _start(self) -> None:
        self.started = self.now
        self.service = Service(self.home)
        child: Any = self.service._worker
        self.child: Child = child
        self.child.on_order = self._check_order

    def _check_order(self, stable: frozenset[Signature]) -> None:
        """Whatever is ordered and is still as it was seen stood still for the delay, while this daemon looked."""
        for path, each in self._standing(stable).items():
            assert self.now - max(each.since, self.started) >= DELAY_S, (path, each.since, self.now)

    def _standing(self, stable: Collection[Signature]) -> dict[str, Standing]:
        return {name: each for name, each in self.there.items() if Signature(scan.shown(name), *each.status) in stable}

    def _work(self, killed_at: str | None = None) -> None:
        """Work off what was ordered, or die in the middle of it."""
        wanted = {each.sha256 for each in self._standing(self.child.stable).values()}
        wanted = {sha256 for sha256 in wanted if self.contents[sha256]}  # a file without a line is refused

        def progress(step: str) -> None:
            if step == killed_at:
                raise Killed

        try:
            outcomes = work.once(self.home, reason="drop", stable=self.child.stable, progress=progress)
        except Killed:
            self.kills += 1
            self.open |= wanted
            self.service._take({"ended": -9}, self.now)
        else:
            assert all(outcome.status == "done" for outcome in outcomes), outcomes
            self.taken |= wanted
            self.service._take({"ended": 0}, self.now)
        self._check_ledger()

    def _pass(self, seconds: float, *, work: bool) -> None:
        until = self.now + seconds
        while (due := self.service.turn(self.now)) <= until or (work and self.child.busy):
            assert self.service._failures <= self.kills, "it waited for nothing"
            assert self.service._times_left == 0, "a run left files as they were"
            if work and self.child.busy:
                self._work()
            else:
                self.now = due
        self.now = until

    # -- what must be so -------------------------------------------------------------------------------------------

    def _check_ledger(self) -> None:
        """What is in the data set is what was ordered and still stood; each content once, each row accounted for."""
        with Reader.open(self.home.ledger) as ledger:
            found = Counter(row["sha256"] for row in ledger.rows(INGESTED))
            totals = ledger.row_totals()
        self.taken |= found.keys() & self.open
        assert found.keys() == self.taken
        assert max(found.values(), default=1) == 1, "taken in twice"
        rows = [line for sha256 in found for line in self.contents[sha256].splitlines()[1:]]
        accepted = len(set(rows))
        assert totals == {"read": len(rows), "accepted": accepted, "duplicate": len(rows) - accepted, "quarantined": 0}

    def rest(self) -> None:
        """After a rest all that stands there is in, and nothing goes on."""
        self._pass(REST_S, work=True)
        assert {each.sha256 for each in self.there.values() if each.content} <= self.taken, "not taken in"
        assert self.service._pending == []
        assert not self.service._resume

    def teardown(self) -> None:
        try:
            self.rest()
        finally:
            self.service._stop()
            shutil.rmtree(self.root)

    # -- what happens to the daemon --------------------------------------------------------------------------------

    @rule(quarters=st.integers(1, 6))
    def let_time_pass(self, quarters: int) -> None:
        self._pass(quarters * DELAY_S / 4, work=False)

    @precondition(lambda self: self.child.busy)
    @rule()
    def work(self) -> None:
        self._work()

    @precondition(lambda self: self.child.busy and self.kills < MOST_KILLS)
    @rule(step=st.sampled_from(["ingest", "train", "predict", "report"]))
    def kill(self, step: str) -> None:
        self._work(killed_at=step)

    @rule()
    def restart(self) -> None:
        self.service._stop()
        self._start()

    # -- what happens to the folder --------------------------------------------------------------------------------

    @contextmanager
    def _happens(self, then: Then, name: str) -> Iterator[Path]:
        """Note what stands in the folder after something happened to a name, and have the daemon hear of it or not."""
        yield self.folder / name
        before, self.there = self.there, {}
        for each in NAMES:
            path = self.folder / each
            if not path.is_file() or not path.resolve().is_relative_to(self.folder.resolve()):
                continue
            found = Standing(path.read_bytes(), scan.stamp(path.stat()), self.now)
            was = before.get(each, found)
            self.there[each] = was if (was.content, was.status) == (found.content, found.status) else found
            self.contents[found.sha256] = found.content
        hint, quarters, work = then
        if hint != "lost":
            self.service._take({"hint": name if hint == "heard" else None}, self.now)
        self._pass(quarters * DELAY_S / 4, work=work)

    def _files(self) -> list[str]:
        return [name for name in ALL_NAMES if (self.folder / name).is_file()]

    def _free(self) -> list[str]:
        return [name for name in ALL_NAMES if not os.path.lexists(self.folder / name)]

    def _rows(self, rows: int) -> bytes:
        """Return that many rows that never were before, each as long as any other."""
        return "".join(f"c{next(self.numbers):06d},1.5,no\n" for _ in range(rows)).encode()

    def _put(self, path: Path, content: bytes) -> None:
        path.write_bytes(content)
        _stamp(path, EPOCH_S + self.now)

    @precondition(_free)
    @rule(free=picks, rows=st.integers(0, 3), then=thens)
    def create(self, free: int, rows: int, then: Then) -> None:
        with self._happens(then, _pick(self._free(), free)) as path:
            self._put(path, HEADER + self._rows(rows))

    @precondition(_free)
    @rule(free=picks, then=thens)
    def create_empty(self, free: int, then: Then) -> None:
        with self._happens(then, _pick(self._free(), free)) as path:
            self._put(path, b"")

    @precondition(_files)
    @rule(file=picks, then=thens)
    def append(self, file: int, then: Then) -> None:
        with self._happens(then, _pick(self._files(), file)) as path:
            self._put(path, (path.read_bytes() or HEADER) + self._rows(1))

    @precondition(_files)
    @rule(file=picks, rows=st.integers(0, 3), then=thens)
    def rewrite(self, file: int, rows: int, then: Then) -> None:
        with self._happens(then, _pick(self._files(), file)) as path:
            self._put(path, HEADER + self._rows(rows))

    @precondition(_files)
    @rule(file=picks, then=thens)
    def rewrite_with_the_same_size_and_time(self, file: int, then: Then) -> None:
        with self._happens(then, _pick(self._files(), file)) as path:
            before, lines = path.stat(), path.read_bytes().splitlines(keepends=True)
            while path.stat().st_ctime_ns == before.st_ctime_ns:  # nobody can set it; its clock ticks in steps
                path.write_bytes(b"".join(lines[:1]) + self._rows(len(lines[1:])))
                os.utime(path, ns=(0, before.st_mtime_ns))

    @precondition(lambda self: self.contents)
    @rule(name=picks, content=picks, then=thens)
    def write_what_was_there_once(self, name: int, content: int, then: Then) -> None:
        with self._happens(then, _pick([*self._files(), *self._free()], name)) as path:
            self._put(path, _pick(list(self.contents.values()), content))

    @precondition(_files)
    @rule(file=picks, to=picks, then=thens)
    def rename_or_replace(self, file: int, to: int, then: Then) -> None:
        with self._happens(then, _pick(ALL_NAMES, to)) as path:
            (self.folder / _pick(self._files(), file)).replace(path)

    @precondition(_files)
    @rule(file=picks, then=thens)
    def delete(self, file: int, then: Then) -> None:
        with self._happens(then, _pick(self._files(), file)) as path:
            path.unlink()

    @precondition(lambda self: self._files() and self._free())
    @rule(file=picks, to=picks, then=thens)
    def duplicate(self, file: int, to: int, then: Then) -> None:
        with self._happens(then, _pick(self._free(), to)) as path:
            self._put(path, (self.folder / _pick(self._files(), file)).read_bytes())

    @precondition(_files)
    @rule(file=picks, at=st.sampled_from([None, 0.0, IN_2099_S]), then=thens)
    def touch(self, file: int, at: float | None, then: Then) -> None:
        with self._happens(then, _pick(self._files(), file)) as path:
            _stamp(path, EPOCH_S + self.now if at is None else at)

    @precondition(_free)
    @rule(leads_to=picks, to=picks, then=thens)
    def symlink_inside(self, leads_to: int, to: int, then: Then) -> None:
        with self._happens(then, _pick(self._free(), to)) as path:
            path.symlink_to(_pick(ALL_NAMES, leads_to))  # to nothing, or to itself, as it may be

    @precondition(_free)
    @rule(to=picks, then=thens)
    def symlink_out(self, to: int, then: Then) -> None:
        with self._happens(then, _pick(self._free(), to)) as path:
            path.symlink_to(self._elsewhere())

    @precondition(lambda self: self._files() and self._free())
    @rule(file=picks, to=picks, then=thens)
    def hard_link(self, file: int, to: int, then: Then) -> None:
        with self._happens(then, _pick(self._free(), to)) as path:
            path.hardlink_to((self.folder / _pick(self._files(), file)).resolve())

    @precondition(_free)
    @rule(to=picks, then=thens)
    def hard_link_from_elsewhere(self, to: int, then: Then) -> None:
        with self._happens(then, _pick(self._free(), to)) as path:
            path.hardlink_to(self._elsewhere())

    def _elsewhere(self) -> Path:
        path = self.outside / f"{next(self.numbers)}.csv"
        self._put(path, HEADER + self._rows(1))
        return path


def _pick(among: Sequence[Any], number: int) -> Any:
    return among[number % len(among)]


def _stamp(path: Path, seconds: float) -> None:
    os.utime(path, ns=(0, int(seconds * 1e9)))


LONG = hypothesis_settings.get_current_profile_name() == "long"


def test_what_stood_still_is_in_the_data_set_and_in_it_once_whatever_happened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "Watcher", Deaf)
    monkeypatch.setattr(service, "Worker", Child)
    monkeypatch.setattr(work, "build", lambda *_, **__: None)  # the report is not what this is about
    run_state_machine_as_test(
        Folder,
        settings=hypothesis_settings(
            max_examples=2000 if LONG else 30,
            derandomize=not LONG,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
