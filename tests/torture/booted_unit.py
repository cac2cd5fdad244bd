"""The unit under a real systemd, booted in namespaces over this machine: one table of what was shown.

    sudo python tests/torture/booted_unit.py [NAME ...]

Each part installs nothing here and changes nothing here; machine.py says how. It takes about five minutes, more where
the package index is slow.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import socketserver
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from machine import DROP, HOME, ROOT, Machine, booted

Rows = Iterator[list[Any]]
_CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "PIP_CERT")
_PYTHON = "/opt/churnwatch/bin/python"
_MB = 1 << 20


class NotShownError(Exception):
    """This machine can not show it; the text says why."""


# -- what is shown, in this order ------------------------------------------------------------------------------


def start(machine: Machine) -> Rows:
    """Type=notify, and the folders' rights."""
    _drop_in(machine, "certificates", *(f"Environment={name}={os.environ[name]}" for name in _CERTIFICATES
                                        if name in os.environ))  # fmt: skip
    machine.run("systemctl", "enable", "--now", "churnwatch")
    assert machine.property("ActiveState") == "active"
    yield ["started", f"active when it said `{machine.property('StatusText')}`"]

    _variant(machine, "silent", "/usr/bin/sleep infinity", "TimeoutStartSec=2")
    machine.run("systemctl", "start", "silent", check=False)
    assert machine.property("Result", "silent") == "timeout", machine.journal("silent")
    yield ["the same unit with a program that never says READY=1", "never active; ended as `timeout` after 2 s"]

    rights = machine.run("stat", "-c", "%n %U:%G %a", HOME, f"{HOME}/sourcedata").replace(f"{HOME}", "home")
    assert rights.splitlines()[0] == "home churnwatch:churnwatch 750", rights
    yield ["owner and mode of the home", rights.replace("\n", ", ")]


def restrictions(machine: Machine) -> Rows:
    """What the unit lets a program do, tried by a program that it runs."""
    machine.write("/usr/local/lib/probe.py", (Path(__file__).parent / "probe.py").read_text())
    with _mail_server() as (port, mails):
        _variant(machine, "probe", f"{_PYTHON} /usr/local/lib/probe.py {HOME} {port}", "Type=oneshot")
        machine.run("systemctl", "start", "probe")
    told = json.loads(next(line for line in machine.journal("probe").splitlines() if line.startswith("{")))
    wrong = [f"{name}: {told[name]}" for name, expected in _EXPECTED.items() if not re.search(expected, told[name])]
    assert not wrong, "; ".join(wrong)
    assert told.keys() == _EXPECTED.keys()
    assert len(mails) == 1
    yield from ([f"from inside: {name}", outcome] for name, outcome in told.items())


_EXPECTED = {
    **dict.fromkeys((f"write {folder}" for folder in (HOME, "/tmp")), "^written$"),  # noqa: S108 - the unit's own
    **dict.fromkeys((f"write {folder}" for folder in ("/", "/etc", "/usr", "/opt/churnwatch", "/var/lib")), "Errno 30"),
    "see /": "^((?!home|mnt|srv|boot|media).)*$",
    "see /root": "PermissionError",
    "see /var": "^lib tmp$",
    "see /var/lib": "^(ca-certificates )?churnwatch$",
    "see /run": "^(NetworkManager )?(resolvconf )?systemd$",
    "memory that is written and executed": "PermissionError",
    "a callback by ctypes": "^3$",
    "a file that runs as its owner": "PermissionError",
    "a namespace": "PermissionError",
    "more priority": "PermissionError",
    "an address of the kernel (AF_NETLINK)": "Errno 97",
    "a raw packet (AF_PACKET)": "Errno 97",
    "a raw packet (AF_INET)": "PermissionError",
    **dict.fromkeys((f"a packet to {address}" for address in ("127.0.0.1", "192.0.2.1")), "^sent$|Errno 101"),
    **dict.fromkeys((f"a packet to {address}" for address in ("169.254.169.254", "224.0.0.251")), "PermissionError"),
    "a mail to a server on this machine": "^mailed$",
    "duckdb, pandas, scikit-learn in threads, matplotlib": "^works$",
    "Spark's, Dask's and PostgreSQL's clients": "^imported$",
}


def release(machine: Machine) -> Rows:
    """A drop becomes a release."""
    took = _work_off(machine, "telco-2026-01.csv", "telco-2026-02.csv")
    home = Path(f"/proc/{machine.init}/root{HOME}")
    machine.wait((home / "report.html").exists, "the report is there")  # it tells of the run, so it comes after it
    assert "<svg" in (home / "report.html").read_text()
    assert (home / "models/v1/confusionmatrix.png").stat().st_size > 0
    [first] = machine.ask("SELECT decision FROM decisions")
    resolved = machine.run("readlink", f"{HOME}/production_deployment/current")
    yield ["two CSVs dropped", f"after {took:.0f} s: {first['decision']}, release {resolved}, report, {_rows(machine)}"]
    yield ["`churnwatch status`", machine.churnwatch("status").rpartition("attention")[2].strip()]


def packages(machine: Machine) -> Rows:
    """The daemon's own check of packages, over the network."""
    checks = "SELECT packages, outdated, vulnerable, unknown, error FROM package_checks"
    machine.wait(lambda: machine.ask(checks), "packages are checked", 300)
    [check] = machine.ask(checks)
    if check["outdated"] is None:
        raise NotShownError(f"no package index answered: {check['error']}")
    what = "the daily check of packages, over the network"
    yield [what, f"the index answered: {check['packages']} installed, {check['outdated']} outdated"]
    if check["error"] is not None:
        raise NotShownError(f"no advisories for {check['unknown']} of them: {check['error'][:100]}…")
    yield [what, f"the advisories answered: {check['vulnerable']} vulnerable"]


def reload(machine: Machine) -> Rows:
    """`systemctl reload`."""
    main = machine.property("MainPID")
    machine.run("systemctl", "reload", "churnwatch")
    machine.wait(lambda: machine.property("ActiveState") == "active", "it is active again", 10)
    assert machine.property("MainPID") == main
    yield ["`systemctl reload`", "done, by the same process"]


def watchdog(machine: Machine) -> Rows:
    """A main process that is really stuck."""
    _drop_in(machine, "watchdog", "WatchdogSec=5")
    machine.run("systemctl", "restart", "churnwatch")
    main, run = _in_a_run(machine, "telco-2026-03.csv")
    machine.run("kill", "-STOP", main)
    took = machine.wait(lambda: _restarted(machine, main), "the watchdog ends it, and it is started again")
    assert "Watchdog timeout (limit 5s)!" in machine.journal(), machine.journal()
    what = "stopped (SIGSTOP) in a run, with WatchdogSec=5"
    yield [what, f"ended and started again after {took:.0f} s; {_taken_up(machine, run)}"]
    _drop_in(machine, "watchdog")


def killed(machine: Machine) -> Rows:
    """The main process is killed."""
    main, run = _in_a_run(machine, "telco-2026-04.csv")
    machine.run("kill", "-KILL", main)
    took = machine.wait(lambda: _restarted(machine, main), "it is started again")
    yield ["killed (SIGKILL) in a run", f"started again after {took:.0f} s; {_taken_up(machine, run)}"]


def child(machine: Machine) -> Rows:
    """The run's process is killed, as the kernel or an administrator may."""
    main, run = _in_a_run(machine, "telco-2026-05.csv")
    machine.run("pkill", "-KILL", "-P", main)
    yield ["the run's process killed (SIGKILL)", f"{_taken_up(machine, run)}; {_same(machine, main)}"]


def stop_in_a_run(machine: Machine) -> Rows:
    """`systemctl stop` while a run goes on."""
    _, run = _in_a_run(machine, "telco-2026-07.csv")
    took = _stop(machine)
    first = _attempts(machine, run)
    assert first.endswith("done") or took >= 10, f"{first} after {took:.1f} s"
    machine.run("systemctl", "start", "churnwatch")
    machine.wait(lambda: _ended(machine, run), "the run is taken up")
    told = f"exit code 0 and nothing left after {took:.1f} s; in the end, {_attempts(machine, run)}"
    yield ["`systemctl stop` in a run, which gets ten seconds", told]


def memory(machine: Machine) -> Rows:
    """The kernel kills the run's process, for it needs more memory than the unit has."""
    # A package check that ends in the meantime gives room.
    machine.run("pkill", "-KILL", "-u", "churnwatch", "-f", " packages$| -m pip", check=False)
    main, run = _in_a_run(machine, "large/telco-2026-01.csv", past="attempts")
    used = _counted(machine, "total_rss|anon")
    if used is None:
        raise NotShownError("there is no control group that counts and limits memory")
    limit = used + 4 * _MB  # of memory that can not be given back: what is left of files in memory can
    machine.run("systemctl", "set-property", "--runtime", "churnwatch", f"MemoryMax={limit}")
    machine.wait(lambda: _counted(machine, "oom_kill"), "the kernel kills for memory", 60)
    kills = _counted(machine, "oom_kill")
    machine.run("systemctl", "set-property", "--runtime", "churnwatch", "MemoryMax=infinity")
    what = f"MemoryMax={limit // _MB}M: the run's process killed by the kernel ({kills})"
    yield [what, f"{_taken_up(machine, run)}; {_same(machine, main)}"]


def start_limit(machine: Machine) -> Rows:
    """A daemon that cannot stay up is given up after five starts within ten minutes."""
    _drop_in(machine, "often", "RestartSec=100ms")
    machine.run("systemctl", "reset-failed", "churnwatch")
    machine.run("systemctl", "restart", "churnwatch")
    kills = 0
    while machine.property("ActiveState") != "failed":
        if (main := machine.property("MainPID")) != "0":
            machine.run("kill", "-KILL", main, check=False)
            kills += 1
        time.sleep(0.2)
    assert "Start request repeated too quickly." in machine.journal()
    machine.run("systemctl", "reset-failed", "churnwatch")
    machine.run("systemctl", "start", "churnwatch")
    yield [f"killed {kills} times at once", "failed, no further start; after `reset-failed` it starts again"]
    _drop_in(machine, "often")


def stop(machine: Machine) -> Rows:
    """`systemctl stop`, and what came of all of it."""
    took = _stop(machine)
    yield ["`systemctl stop`", f"exit code 0, `stopped` in the journal and nothing left after {took:.1f} s"]
    open_ones = machine.ask("SELECT run FROM run_history WHERE status <> 'done'")
    assert not open_ones, open_ones
    yield ["the ledger in the end", f"{_rows(machine)}, all runs done"]


SHOWS: tuple[Callable[[Machine], Rows], ...] = (
    start, restrictions, release, packages, reload, watchdog, killed, child, stop_in_a_run, memory, start_limit, stop,
)  # fmt: skip

# -- how -------------------------------------------------------------------------------------------------------


def _drop_in(machine: Machine, name: str, *lines: str) -> None:
    """Change the unit by a drop-in; without lines, no longer."""
    text = "\n".join(("[Service]", *lines, ""))
    machine.write(f"/etc/systemd/system/churnwatch.service.d/{name}.conf", text)
    machine.run("systemctl", "daemon-reload")


def _variant(machine: Machine, name: str, command: str, *lines: str) -> None:
    """Install the very unit of this checkout for another program."""
    text = re.sub("^(ExecStart=).*", rf"\g<1>{command}", (ROOT / "churnwatch.service").read_text(), flags=re.MULTILINE)
    text = text.replace("\n[Install]", "\n".join(("", *lines, "Restart=no", "WatchdogSec=0", "", "[Install]")))
    machine.write(f"/etc/systemd/system/{name}.service", text)
    machine.run("systemctl", "daemon-reload")


def _drop(machine: Machine, *names: str) -> None:
    for name in names:
        machine.run("cp", f"{DROP}/samples/{name}", f"{HOME}/sourcedata/{name.replace('/', '-')}")


def _work_off(machine: Machine, *names: str) -> float:
    _drop(machine, *names)
    return machine.wait(lambda: _done(machine) == len(names), f"{', '.join(names)} ingested, by runs that are done")


def _done(machine: Machine) -> int:
    files = "SELECT 1 AS one FROM what_became_of_files JOIN run_history USING (run)"
    return len(machine.ask(f"{files} WHERE state = 'ingested' AND status = 'done'"))


def _in_a_run(machine: Machine, name: str, past: str = "steps") -> tuple[str, int]:
    """Drop a file and wait until its run is past its start, or its first steps; return the main process and the run."""
    machine.wait(lambda: machine.property("ActiveState") == "active", "it is active")
    _drop(machine, name)
    begun = f"SELECT run, attempt FROM {past} EXCEPT SELECT run, attempt FROM attempt_ends"
    machine.wait(lambda: machine.ask(begun), f"a run of {name}")
    return machine.property("MainPID"), int(machine.ask(begun)[0]["run"])


def _restarted(machine: Machine, main: str) -> bool:
    return machine.property("ActiveState") == "active" and machine.property("MainPID") not in ("0", main)


def _ended(machine: Machine, run: int) -> bool:
    return bool(machine.ask(f"SELECT 1 AS one FROM attempt_ends WHERE run = {run} AND status = 'done'"))


def _attempts(machine: Machine, run: int) -> str:
    ends = machine.ask(f"SELECT status FROM attempt_ends WHERE run = {run} ORDER BY attempt")
    return f"run {run}: {', then '.join(row['status'] for row in ends)}"


def _taken_up(machine: Machine, run: int) -> str:
    machine.wait(lambda: _ended(machine, run), "the run is taken up")
    told = _attempts(machine, run)
    assert told.endswith("interrupted, then done"), told
    return told


def _same(machine: Machine, main: str) -> str:
    assert machine.property("MainPID") == main
    return "the daemon went on"


def _rows(machine: Machine) -> str:
    return re.search(r"^rows +(.*)", machine.churnwatch("status"), flags=re.MULTILINE)[1]  # type: ignore[index]


def _counted(machine: Machine, name: str) -> int | None:
    """Return what the kernel counts in the unit's group: two versions of control groups, and other files in each."""
    group = machine.property("ControlGroup")
    folders = (f"/sys/fs/cgroup/memory{group}", f"/sys/fs/cgroup{group}")
    files = [f"{folder}/memory.{file}" for folder in folders for file in ("stat", "oom_control", "events")]
    told = re.search(rf"^({name}) (\d+)", machine.run("cat", *files, check=False), flags=re.MULTILINE)
    return int(told[2]) if told else None


def _stop(machine: Machine) -> float:
    begun = time.monotonic()
    machine.run("systemctl", "stop", "churnwatch")
    took = time.monotonic() - begun
    assert (machine.property("Result"), machine.property("ExecMainStatus")) == ("success", "0"), machine.journal()
    assert "stopped" in machine.journal().splitlines()[-3:], machine.journal()
    left = machine.run("pgrep", "-a", "-u", "churnwatch", check=False)
    assert not left, left
    return took


@contextmanager
def _mail_server() -> Iterator[tuple[int, list[bytes]]]:
    """Serve just enough SMTP for one mail at a time."""
    mails: list[bytes] = []

    class Taken(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(b"220 here\r\n")
            while (line := self.rfile.readline().strip().upper()) not in (b"", b"QUIT"):
                self.wfile.write(b"354 go on\r\n" if line == b"DATA" else b"250 well\r\n")
                if line == b"DATA":
                    mails.append(b"".join(iter(self.rfile.readline, b".\r\n")))
                    self.wfile.write(b"250 taken\r\n")
            self.wfile.write(b"221 bye\r\n")

    with socketserver.TCPServer(("127.0.0.1", 0), Taken) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1], mails
        server.shutdown()


def _shown(show: Callable[[Machine], Rows], machine: Machine) -> Iterator[tuple[bool, list[Any]]]:
    """Yield what was shown; what failed or can not be shown here is told in its place, and the others go on."""
    try:
        for row in show(machine):
            yield True, row
    except NotShownError as reason:
        yield True, [show.__name__, f"not shown here: {reason}"]
    except (AssertionError, OSError) as error:
        yield False, [show.__name__, f"FAILED: {error}"]


def main() -> int:
    """Print the table; 1 where anything failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [show.__name__ for show in SHOWS]
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(names)}; all where none is named")
    wanted = parser.parse_args().names or names
    well = True
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the machine is ended, too
    with booted() as machine:
        print("| what | shown |\n|---|---|", flush=True)
        for show in SHOWS:
            if show.__name__ in wanted or show is start:
                for fine, row in _shown(show, machine):
                    well &= fine
                    print(f"| {' | '.join(map(str, row))} |", flush=True)
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
