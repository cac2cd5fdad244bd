"""A home whose ledger is written record by record, and the other ends of mail and webhooks, on the loopback."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from churnwatch.pipeline import settings
from churnwatch.pipeline.clock import iso
from churnwatch.pipeline.ledger.writer import Ledger
from churnwatch.pipeline.records import (
    Band,
    Bucket,
    Bucketing,
    Decision,
    Drift,
    DriftKind,
    Metric,
    Model,
    Prediction,
    Signature,
    Status,
    Verdict,
)
from churnwatch.pipeline.settings import Home

BEGIN = datetime(2026, 11, 2, 5, 0, tzinfo=UTC)  # a Monday
USER, PASSWORD = "churnwatch", "correct horse"
COUNTS = {"true_positives": 40.0, "false_positives": 20.0, "false_negatives": 10.0, "true_negatives": 130.0}


def make_home(folder: Path, extra: str = "") -> Home:
    folder.mkdir(parents=True)
    (folder / settings.FILE_NAME).write_text(f"target: left\npositive: yes\nid: customer\n{extra}", encoding="utf-8")
    home = settings.load(folder)
    for each in home.folders():
        each.mkdir(parents=True)
    return home


@dataclass
class World:
    """Writes what runs would, at a clock of its own."""

    home: Home
    ledger: Ledger
    now: datetime = field(default=BEGIN)

    def later(self, **passed: float) -> datetime:
        self.now += timedelta(**passed)
        return self.now

    def begin(self) -> int:
        number = 1 + next((row["run"] for row in self.ledger.runs(1)), 0)
        given, at = (self.home.settings.sha256, self.home.settings.canonical()), iso(self.later(minutes=1))
        file = self.ledger.see_file(Signature(f"{number}.csv", 1, number, number), sha256=f"{number:x}", at=at)
        run = self.ledger.begin_run(run_id=f"{number}", reason="drop", at=at, settings=given, code_version="1",
                                    inputs=[file.file])  # fmt: skip
        return self.attempt(run)

    def attempt(self, run: int) -> int:
        given = (self.home.settings.sha256, self.home.settings.canonical())
        self.ledger.begin_attempt(run, at=iso(self.later(seconds=1)), pid=1, settings=given)
        return run

    def end(self, run: int, status: Status = Status.DONE, error: str | None = None) -> None:
        attempt = max(row["attempt"] for row in self.ledger.attempts(run))
        self.ledger.end_attempt(run, attempt, at=iso(self.later(minutes=1)), status=status, wall_s=2.5, error=error)

    def fail(self, error: str = "no space left on the disk") -> int:
        run = self.begin()
        self.end(run, Status.FAILED, error)
        return run

    def learn(self, decision: Decision = Decision.FIRST, *, drift: float | None = None) -> int:
        """A run with a model and its decision; with a deviation of its rows, in percent, where one is given."""
        run, champion = self.begin(), self.ledger.champion()
        at = iso(self.now)
        if drift is not None:
            assert champion is not None
            band = Band.RETRAIN if drift >= 5 else Band.NOTHING
            self.ledger.add(Drift(run, champion.model.version, "v1", DriftKind.COLUMN, "tenure", 500, 500, drift, 1.0,
                                  band, "a secret: Smith moved"))  # fmt: skip
        self.ledger.add(Model(run, run, "logistic", "{}", 0.4, f"v{run}", "0", "0", 900, 250, at))
        values = {"f1": 0.7272, "precision": 2 / 3, "recall": 0.8, **COUNTS}
        self.ledger.add_all(
            Metric(run, run, "candidate", "holdout", name, value, 200) for name, value in values.items()
        )
        former = champion.model.version if champion else None
        self.ledger.add(Verdict(run, at, decision, "proven", "f1", run, former, 40, 9, 0.6, 0.55, 0.05, None, None,
                                None, None, f"{decision.value}.", None, 120))  # fmt: skip
        if decision.promotes:
            intent = self.ledger.add_intent(run, at=at, run=run, kind=decision.value, actor="gate")
            self.ledger.add_release(intent, at=at)
        self.end(run)
        return run

    def predict(self, run: int, risks: dict[str, float], *, calls: dict[str, Sequence[Any]] | None = None) -> None:
        """Predictions of a run, the highest first, with its call list where more columns of one are given."""
        champion = self.ledger.champion()
        assert champion is not None
        decided = [int(risk >= 0.5) for risk in risks.values()]
        path = self.home.predictions / f"run-{run:05d}.parquet"
        names, values = pa.array(risks, pa.string()), pa.array(risks.values(), pa.float64())
        table = pa.table({"customer": names, "probability": values, "decision": pa.array(decided, pa.int8()),
                          "model": ["v1"] * len(risks)})  # fmt: skip
        pyarrow.parquet.write_table(table, path)
        self.ledger.add(Prediction(run, None, champion.model.version, path.name, "0", len(risks), sum(decided),
                                   iso(self.now)))  # fmt: skip
        if calls is not None:
            nothing = {name: [None] * len(risks) for name in ("offer", "expected_profit", "raises", "lowers")}
            known = {"id": list(risks), "probability": list(risks.values()), **nothing, **calls}
            path = path.with_name(f"run-{run:05d}-calls.parquet")
            pyarrow.parquet.write_table(pa.table(known), path)
            self.ledger.add(Bucketing(run, champion.model.version, iso(self.now), path.name, "0", len(risks),
                                      "capacity", "10 a month, over 12 months", 12, 0, None))  # fmt: skip
            for letter in "ABC":
                losses = [loss for bucket, loss in zip(calls["bucket"], calls["expected_loss"], strict=True)
                          if bucket == letter]  # fmt: skip
                self.ledger.add(Bucket(run, letter, len(losses), None, None, sum(losses), None, None, None))


@cache
def _empty_ledger() -> bytes:
    """Return the bytes of a new ledger: to make one takes longer than most of these tests."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "churnwatch.db"
        with Ledger.open(path):
            pass
        return path.read_bytes()


@contextmanager
def world(home: Home) -> Iterator[World]:
    if not home.ledger.exists():
        home.ledger.write_bytes(_empty_ledger())
    with Ledger.open(home.ledger) as ledger:
        yield World(home, ledger)


# -- the other end of mail -------------------------------------------------------------------------------------


class Mailbox(Controller):
    """A mail server that keeps what it takes.

    Attributes:
        answers: what it says to a message, in turn; None: it hangs up when it has all of it. Then it takes each.
        refused: recipients that it does not know.
    """

    def __init__(self, *, tls: str, authority: trustme.CA) -> None:
        self.messages: list[EmailMessage] = []
        self.recipients: list[list[str]] = []
        self.answers: list[str | None] = []
        self.refused: set[str] = set()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost").configure_cert(context)
        options = {"starttls": {"tls_context": context, "require_starttls": True},
                   "tls": {"ssl_context": context, "auth_require_tls": False}}[tls]  # fmt: skip
        super().__init__(self, hostname="localhost", port=_free_port(), auth_required=True, authenticator=_known,
                         **options)  # fmt: skip

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if address in self.refused:
            return "550 no such person"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        answer = self.answers.pop(0) if self.answers else "250 taken"
        if answer is None or answer.startswith("2"):
            parsed = BytesParser(EmailMessage, policy=policy.default).parsebytes(envelope.content or b"")
            assert isinstance(parsed, EmailMessage)
            self.messages.append(parsed)
            self.recipients.append(envelope.rcpt_tos)
        if answer is None:
            assert server.transport is not None
            server.transport.abort()
        return answer or "421 gone"


def _known(_server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, given: Any) -> AuthResult:
    right = isinstance(given, LoginPassword) and (given.login, given.password) == (USER.encode(), PASSWORD.encode())
    return AuthResult(success=right, handled=False)


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("localhost", 0))
        return int(found.getsockname()[1])


@contextmanager
def mailbox(*, tls: str = "starttls", authority: trustme.CA) -> Iterator[Mailbox]:
    found = Mailbox(tls=tls, authority=authority)
    found.start()
    try:
        yield found
    finally:
        found.stop()


# -- the other end of a webhook --------------------------------------------------------------------------------


@dataclass
class Hook:
    """A web server that keeps what was posted. `codes`: what it answers, in turn; then 204."""

    address: str
    posted: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    codes: list[int] = field(default_factory=list)


@contextmanager
def webhook() -> Iterator[Hook]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            found.posted.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            found.headers.append(dict(self.headers))
            self.send_response(found.codes.pop(0) if found.codes else 204)
            self.send_header("Location", "/elsewhere")
            self.end_headers()

        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found = Hook(f"http://127.0.0.1:{server.server_port}/hook")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
