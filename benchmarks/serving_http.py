"""Predictions over HTTP beside MLflow's scoring server and plain FastAPI; CSVs; releases that switch under load.

    python benchmarks/serving_http.py peers [--rounds N] [--seconds S] [--python PEERS_PYTHON]
    python benchmarks/serving_http.py csv [--rows N]
    python benchmarks/serving_http.py switching [--seconds S]

`peers` needs wrk (`apt install wrk`), a load generator in C whose CPU is told. The servers are measured in turns, so
that what else the machine does hits all alike. Without `--python` the peers are installed first.
"""

from __future__ import annotations

import argparse
import io
import itertools
import json
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import harness
import numpy as np
import serving_peers as peers
from serving_peers import Server

from churnwatch.pipeline import sample, settings
from churnwatch.pipeline.sample_settings import settings_for
from churnwatch.serving import bulk
from churnwatch.serving.release import Current

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "helpers"))
import switching as under_load

_QUICK = "packages: {check: never}\ntraining: {mode: refit, estimators: [logistic]}\n"
_WRK = """
local bodies = {}
for line in io.lines("%s") do bodies[#bodies + 1] = line end
local at = 0
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
request = function()
  at = at %% #bodies + 1
  return wrk.format(nil, nil, nil, bodies[at])
end
"""
_UNITS_MS = {"us": 1e-3, "ms": 1.0, "s": 1e3}


@dataclass(frozen=True)
class Load:
    """What came of some seconds of load.

    Attributes:
        per_s: requests.
        p50_ms: latency, also `p99_ms`.
        failed: requests with no answer, or another than 200.
        server_cpu: share of a core, also `wrk_cpu`.
    """

    per_s: float
    p50_ms: float
    p99_ms: float
    failed: int
    server_cpu: float
    wrk_cpu: float


def against_peers(scratch: Path, rounds: int, seconds: float, python: Path | None) -> None:
    """Print latency at one client and throughput at sixteen, of all servers."""
    home, customers = _home(scratch), _customers(200)
    found: dict[tuple[str, str], list[Load]] = {}
    python = python or peers.venv(scratch)
    model = settings.load(home).deployment / "trainedmodel.pkl"
    with ExitStack() as stack:
        servers = [
            stack.enter_context(peers.ours(home, 8361, customers[0])),
            stack.enter_context(peers.mlflow(python, model, 8362, scratch, customers[0])),
            stack.enter_context(peers.plain(python, model, 8363, customers[0])),
        ]
        _agree(servers, customers[0])
        for _, server in itertools.product(range(rounds), servers):
            for what, clients, query in _loads(server):
                found.setdefault((server.name, what), []).append(
                    _under(server, customers, scratch, clients=clients, seconds=seconds, query=query)
                )
        memory = {server.name: server.rss_mb() for server in servers}
    _print_loads(found, memory)


def _loads(server: Server) -> Iterator[tuple[str, int, str]]:
    if server.name == "churnwatch":
        yield "one client, with explanation", 1, ""
    for what, clients in (("one client", 1), ("16 clients", 16)):
        yield what, clients, "?explain=false" if server.name == "churnwatch" else ""


def _agree(servers: Sequence[Server], customer: dict[str, Any]) -> None:
    """Make sure that all answer with the same probability."""
    ours, mlflow, plain = (json.loads(server.asked(customer)) for server in servers)
    said = [ours["probability"], mlflow["predictions"][0][1], plain["probability"]]
    assert np.ptp(said) < 1e-9, said


def _under(
    server: Server, customers: Sequence[dict[str, Any]], scratch: Path, *, clients: int, seconds: float, query: str
) -> Load:
    bodies, script = scratch / "bodies.txt", scratch / "post.lua"
    bodies.write_text("".join(f"{server.body(each)}\n" for each in customers))
    script.write_text(_WRK % bodies)
    before, begun = server.cpu_s(), time.monotonic()
    command = ["wrk", "-t1", f"-c{clients}", f"-d{seconds:g}s", "--latency", "-s", script, f"{server.url}{query}"]
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    took, after = time.monotonic() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    wrk_s = after.ru_utime + after.ru_stime - usage.ru_utime - usage.ru_stime
    return _load(said, server.cpu_s() - before, took, wrk_s)


def _load(said: str, server_s: float, took_s: float, wrk_s: float) -> Load:
    def ms(share: str) -> float:
        value, unit = re.search(rf"{share}%\s+([\d.]+)(us|ms|s)\b", said).groups()  # type: ignore[union-attr]
        return float(value) * _UNITS_MS[unit]

    per_s = float(re.search(r"Requests/sec:\s+([\d.]+)", said)[1])  # type: ignore[index]
    failed = sum(map(int, re.findall(r"(?:Non-2xx or 3xx responses:|connect|read|write|timeout) (\d+)", said)))
    return Load(per_s, ms("50"), ms("99"), failed, server_s / took_s, wrk_s / took_s)


def _print_loads(found: dict[tuple[str, str], list[Load]], memory: dict[str, float]) -> None:
    def middle(loads: Sequence[Load], what: str) -> float:
        return statistics.median(getattr(each, what) for each in loads)

    rows = []
    for (name, what), loads in found.items():
        ours = found["churnwatch", what]
        pairs = [mine.per_s / theirs.per_s for mine, theirs in zip(ours, loads, strict=True)]
        times = "" if ours is loads else f"{statistics.median(pairs):.1f}×"
        rows.append([name, what, f"{middle(loads, 'per_s'):,.0f}", times, f"{middle(loads, 'p50_ms'):.2f}",
                     f"{middle(loads, 'p99_ms'):.2f}", sum(each.failed for each in loads),
                     f"{middle(loads, 'server_cpu'):.2f}", f"{middle(loads, 'wrk_cpu'):.2f}",
                     f"{memory[name]:.0f}"])  # fmt: skip
    headers = ["server", "load", "requests/s", "churnwatch is", "p50, ms", "p99, ms", "failed", "server's CPU, cores",
               "wrk's CPU", "memory, MB"]  # fmt: skip
    harness.print_table(headers, rows)


def csvs(scratch: Path, rows: int) -> None:
    """Print how fast a CSV is answered, in process and over HTTP, and how long single customers wait meanwhile."""
    home, customers = settings.load(_home(scratch)), _customers(200)
    file = scratch / "customers.csv"
    file.write_text(next(sample.generate(sample.Like.TELCO, months=1, rows=rows, seed=9)).csv())
    table = [_in_process(home, file, rows)]
    with peers.ours(home.path, 8361, customers[0]) as server:
        before = server.cpu_s()
        took = _sent(server, file, scratch)
        table.append(_row("over HTTP, by curl", rows, took, server.cpu_s() - before))
        table += _meanwhile(server, customers, file, scratch)
        table.append(["memory of the server afterwards", f"{server.rss_mb():.0f} MB", "", ""])
    harness.print_table(
        ["CSV of 18 columns: 4 numbers, 11 texts, id, month, label", "rows/s or ms", "rows/s of CPU time", "answer"],
        table,
    )


def _in_process(home: settings.Home, file: Path, rows: int) -> list[Any]:
    current, raw = Current(home), file.read_bytes()
    current.look()
    assert current.release is not None, current.problem
    begun, cpu, size = time.perf_counter(), time.process_time(), 0
    answering = bulk.opened(current.release, home.settings.csv, raw[: bulk.BLOCK], is_all=False, encoding=None)
    for lines, _ in answering.lines(io.BytesIO(raw)):
        size += len(lines)
    found = _row("in process", rows, time.perf_counter() - begun, time.process_time() - cpu)
    return [*found[:-1], f"{size / 1e6:.0f} MB"]


def _row(what: str, rows: int, took_s: float, cpu_s: float) -> list[Any]:
    return [what, f"{rows / took_s:,.0f} rows/s", f"{rows / cpu_s:,.0f}", ""]


def _sent(server: Server, file: Path, scratch: Path) -> float:
    """Send a CSV; return the seconds until all of the answer is there."""
    begun = time.monotonic()
    subprocess.run(["curl", "-sf", "-X", "POST", "-T", file, "-H", "Content-Type: text/csv", "-o",
                    scratch / "answer.csv", server.url], check=True)  # fmt: skip
    return time.monotonic() - begun


def _meanwhile(server: Server, customers: Sequence[dict[str, Any]], file: Path, scratch: Path) -> Iterator[list[Any]]:
    """Yield how long single customers wait, alone and while a CSV is answered."""
    alone = _under(server, customers, scratch, clients=1, seconds=3, query="?explain=false")
    stop = threading.Event()

    def send() -> None:
        while not stop.is_set():
            _sent(server, file, scratch)

    sending = threading.Thread(target=send)
    sending.start()
    beside = _under(server, customers, scratch, clients=1, seconds=6, query="?explain=false")
    stop.set()
    sending.join()
    for what, load in (("alone", alone), ("while CSVs are answered", beside)):
        yield [f"one customer after the other, {what}", f"p50 {load.p50_ms:.2f}, p99 {load.p99_ms:.2f} ms", "", ""]


def switching(scratch: Path, seconds: float) -> None:
    """Switch the release every second under the load of 16 clients; print what came of it."""
    home = settings.load(_home(scratch))
    versions = under_load.two_versions(home)
    sent = under_load.requests(home, versions, rows=20_000)
    with peers.ours(home.path, 8361, _customers(1)[0]):
        found = under_load.load(home, ("127.0.0.1", 8361), versions, sent, clients=16, seconds=seconds, every_s=1.0)
    answers = ", ".join(f"{count:,} by {name}" for name, count in sorted(found.answers.items()))
    rows = [[found.switches, f"{found.answers.total():,} ({answers})", len(found.failed), found.mixed]]
    harness.print_table(["switches", "answers", "failed", "of no one version"], rows)
    if found.failed or found.mixed:
        raise SystemExit("\n".join(found.failed[:5]) or "mixed")


def _home(scratch: Path) -> Path:
    """Return a home with the release of a logistic regression over generated customers."""
    folder = scratch / "home"
    folder.mkdir()
    (folder / settings.FILE_NAME).write_text(settings_for(sample.Like.TELCO) + _QUICK)
    sample.write(folder / "sourcedata", sample.Like.TELCO, months=2, rows=5_000, seed=1)
    harness.churnwatch("--home", folder, "run", "--once")
    return folder


def _customers(number: int) -> list[dict[str, Any]]:
    month = next(sample.generate(sample.Like.TELCO, months=1, rows=number, seed=2))
    found: list[dict[str, Any]] = month.rows.drop(columns=["customerID", "month", "Churn"]).to_dict("records")
    return found


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", default=["peers", "csv", "switching"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--python", type=Path, help="of a venv that has the peers")
    asked = parser.parse_args()
    measures = {
        "peers": lambda scratch: against_peers(scratch, asked.rounds, asked.seconds, asked.python),
        "csv": lambda scratch: csvs(scratch, asked.rows),
        "switching": lambda scratch: switching(scratch, asked.seconds),
    }
    for what in asked.what:
        with tempfile.TemporaryDirectory() as scratch:
            measures[what](Path(scratch))


if __name__ == "__main__":
    main()
