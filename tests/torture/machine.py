"""A machine to install and break churnwatch on: systemd, booted in namespaces over an overlay of this machine.

Nothing outside is changed: what is written lands in memory and ends with the machine. Its processes, mounts, control
groups and name are its own; the network is this machine's, for the package check asks an index.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
HOME, PROGRAM = "/var/lib/churnwatch", "/opt/churnwatch/bin/churnwatch"
DROP = "/run/drop"  # where the machine sees the folder that is shared with it
PACKAGES = f"/opt/churnwatch/lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
# The interpreter's own place may be a home folder, which the unit hides.
PYTHON = "/usr/local/lib/python-of-churnwatch"
PROGRAMS = ("unshare", "nsenter", "systemctl", "journalctl", "runuser", "useradd", "ldconfig")
_NO_MACHINE = "no machine could be booted in namespaces; what was refused stands above"
VARIABLES = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}

# A bare system is left of this one: no generator, none of its services, no fstab. In /sys and /dev is nothing to break.
_BOOT = r"""
for group in $GROUPS_OF_ITS_OWN; do echo $$ >$group/cgroup.procs; done
exec unshare --mount --pid --fork --cgroup --ipc --uts --propagation private sh -e -c '
mkdir "$FOLDER/machine"
mount -t tmpfs -o mode=755 machine "$FOLDER/machine"
cd "$FOLDER/machine"
mkdir upper work root packages packages-work
mount -t overlay -o lowerdir=/,upperdir=upper,workdir=work machine root
rm -rf root/etc/systemd/system root/usr/lib/systemd/system-generators root/usr/lib/systemd/system/*.wants
mkdir root/etc/systemd/system root/usr/lib/systemd/system/sysinit.target.wants
ln -s ../systemd-journald.service root/usr/lib/systemd/system/sysinit.target.wants
ln -s /usr/lib/systemd/system/basic.target root/etc/systemd/system/default.target
: >root/etc/fstab
echo machine >root/etc/hostname

mkdir -p root$PYTHON root$PACKAGES
mount --bind -o ro "$BASE" root$PYTHON
mount -t overlay -o lowerdir="$SITE",upperdir=packages,workdir=packages-work packages root$PACKAGES

mount -t proc proc root/proc
mount -t sysfs -o ro sysfs root/sys
mount -t tmpfs -o mode=755 run root/run
mount -t tmpfs -o mode=1777 tmp root/tmp
mount -t tmpfs -o mode=755 dev root/dev
mkdir root/dev/pts root/dev/shm root$DROP
mount --bind "$SHARED" root$DROP
mount -t devpts -o newinstance,ptmxmode=666 devpts root/dev/pts
mount -t tmpfs -o mode=1777 shm root/dev/shm
ln -s pts/ptmx root/dev/ptmx
for device in null zero full random urandom tty; do
    touch root/dev/$device
    mount --bind /dev/$device root/dev/$device
done

if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
    mount -t cgroup2 cgroup2 root/sys/fs/cgroup
else
    mount -t tmpfs -o mode=755 cgroup root/sys/fs/cgroup
    mkdir root/sys/fs/cgroup/unified root/sys/fs/cgroup/systemd
    mount -t cgroup2 cgroup2 root/sys/fs/cgroup/unified
    mount -t cgroup -o none,name=systemd cgroup root/sys/fs/cgroup/systemd
fi
cd root
mkdir old
pivot_root . old
umount -l old
exec env -i container=churnwatch /lib/systemd/systemd --log-target=journal </dev/null
'
"""

# As docs/operations.md tells, but with the packages of the environment that runs this in place of a download.
_INSTALL = f"""
echo {PYTHON}/lib >/etc/ld.so.conf.d/python-of-churnwatch.conf
ldconfig
useradd --system --home-dir {HOME} --shell /usr/sbin/nologin churnwatch
{PYTHON}/bin/python3 -m venv --without-pip /opt/churnwatch
rm -rf {PACKAGES}/churnwatch {PACKAGES}/churnwatch-*.dist-info {PACKAGES}/__editable__*churnwatch*
/opt/churnwatch/bin/python -m pip install --quiet --no-deps --no-index {DROP}/*.whl
install -d -o churnwatch -g churnwatch -m 2770 {HOME} {HOME}/sourcedata
runuser -u churnwatch -- {PROGRAM} init {HOME} --from {DROP}/samples/telco-2026-01.csv
cp /opt/churnwatch/share/churnwatch/churnwatch.service /etc/systemd/system/
systemctl daemon-reload
"""
_ASK = f"""
import json, sys
from churnwatch.pipeline import settings
from churnwatch.pipeline.errors import LedgerError
from churnwatch.pipeline.ledger.reader import Reader
from pathlib import Path
try:
    with Reader.open(settings.load(Path("{HOME}")).ledger) as ledger:
        print(json.dumps([dict(row) for row in ledger.rows(sys.argv[1])]))
except LedgerError:
    print("[]")  # there is none yet
"""


class Machine:
    """A booted machine.

    Args:
        init: the id of its first process, as seen from outside.
        shared: the folder that it sees as `DROP`.
    """

    def __init__(self, init: int, shared: Path) -> None:
        self.init, self.shared = init, shared

    def command(self, *words: str) -> list[str]:
        """Return what runs a command inside."""
        variables = (f"{name}={value}" for name, value in VARIABLES.items())
        return ["nsenter", "--all", f"--target={self.init}", "env", "-i", *variables, *words]

    def run(self, *words: str, check: bool = True) -> str:
        """Run a command inside, as root, and return what it printed."""
        done = subprocess.run(self.command(*words), capture_output=True, text=True, check=False)
        assert done.returncode == 0 or not check, f"{' '.join(words)}: {done.stderr.strip()}"
        return done.stdout.strip()

    def churnwatch(self, *words: str) -> str:
        """Run a command of churnwatch on the home, as its user; `status` may well say that something is wrong."""
        return self.run("runuser", "-u", "churnwatch", "--", PROGRAM, "--home", HOME, *words, check=False)

    def ask(self, sql: str) -> list[dict[str, Any]]:
        """Put a question to the ledger."""
        told = self.run("runuser", "-u", "churnwatch", "--", "/opt/churnwatch/bin/python", "-c", _ASK, sql)
        found: list[dict[str, Any]] = json.loads(told)
        return found

    def property(self, name: str, unit: str = "churnwatch") -> str:
        """Return what systemd knows of a unit."""
        return self.run("systemctl", "show", "--value", f"--property={name}", unit)

    def journal(self, unit: str = "churnwatch") -> str:
        """Return what a unit said, and systemd of it."""
        return self.run("journalctl", "--output=cat", f"--unit={unit}")

    def write(self, path: str, text: str) -> None:
        """Write a file inside."""
        Path(f"/proc/{self.init}/root{path}").parent.mkdir(parents=True, exist_ok=True)
        Path(f"/proc/{self.init}/root{path}").write_text(text)

    def wait(self, condition: Callable[[], Any], what: str, limit_s: float = 180.0) -> float:
        """Wait for a condition; return the seconds it took."""
        begun = time.monotonic()
        while not condition():
            assert time.monotonic() - begun < limit_s, f"within {limit_s:.0f} s it did not come to this: {what}"
            time.sleep(0.3)  # each look at the ledger is a process
        return time.monotonic() - begun


@contextmanager
def booted() -> Iterator[Machine]:
    """Boot a machine with churnwatch installed, and end it.

    Raises:
        SystemExit: this machine can not do that.
    """
    _refuse()
    with tempfile.TemporaryDirectory() as folder, _groups() as groups:
        shared = Path(folder) / "shared"
        _fill(shared)
        process = subprocess.Popen(["sh", "-e", "-c", _BOOT], env=_names(folder, shared, groups))
        try:
            machine = Machine(_first_process(process), shared)
            machine.wait(lambda: _is_up(machine, process), "systemd is up", 60)
            machine.run("sh", "-e", "-c", _INSTALL)
            yield machine
        finally:
            _end(process)


def _refuse() -> None:
    missing = [program for program in (*PROGRAMS, "/lib/systemd/systemd") if shutil.which(program) is None]
    if missing:
        raise SystemExit(f"not here: {', '.join(missing)}; `apt-get install systemd util-linux passwd` brings them")
    if os.geteuid() != 0:
        raise SystemExit("namespaces, mounts and another user are root's: run this by sudo")


def _fill(shared: Path) -> None:
    """Put there what the machine needs: churnwatch as it is in this checkout, and customers."""
    checkout = shared.with_name("checkout")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, checkout / name)
    samples = ["churnwatch.daemon.cli", "sample", str(shared / "samples"), "--rows", "2000", "--months", "8"]
    large = ["churnwatch.daemon.cli", "sample", str(shared / "samples/large"), "--rows", "60000", "--months", "1"]
    wheel = ["pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(shared), str(checkout)]
    for module in (samples, [*large, "--seed", "1"], wheel):
        subprocess.run([sys.executable, "-m", *module], stdout=subprocess.DEVNULL, check=True)
    subprocess.run(["chmod", "-R", "a+rX", shared], check=True)


def _names(folder: str, shared: Path, groups: list[Path]) -> dict[str, str]:
    return VARIABLES | {
        "FOLDER": folder,
        "SHARED": str(shared),
        "DROP": DROP,
        "PYTHON": PYTHON,
        "PACKAGES": PACKAGES,
        "BASE": sys.base_prefix,
        "SITE": str(next(Path(sys.prefix).glob("lib/python*/site-packages"))),
        "GROUPS_OF_ITS_OWN": " ".join(map(str, groups)),
    }


def _is_up(machine: Machine, process: subprocess.Popen[bytes]) -> bool:
    if process.poll() is not None:
        raise SystemExit(_NO_MACHINE)
    return machine.run("systemctl", "is-system-running", check=False) == "running"


def _first_process(process: subprocess.Popen[bytes]) -> int:
    """Return the id of the machine's first process, which is the only child of `unshare`."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    while process.poll() is None:
        if found := children.read_text().split():
            return int(found[0])
        time.sleep(0.02)
    raise SystemExit(_NO_MACHINE)


def _end(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(SystemExit):  # it ended by itself
        first = _first_process(process)
        process.kill()  # before its child, whose end it would comment upon
        os.kill(first, signal.SIGKILL)  # and with it all others
    process.wait()


@contextmanager
def _groups() -> Iterator[list[Path]]:
    """Make a control group for the machine in each hierarchy, so that it counts and limits its own alone."""
    groups = [folder / f"churnwatch-{os.getpid()}" for folder in _parents()]
    for group in groups:
        group.mkdir()
    try:
        yield groups
    finally:
        for group in groups:
            while (group / "cgroup.procs").read_text():
                time.sleep(0.02)
            for folder, _, _ in os.walk(group, topdown=False):
                Path(folder).rmdir()


def _parents() -> Iterator[Path]:
    own = dict(line.split(":", 2)[1:] for line in Path("/proc/self/cgroup").read_text().splitlines())
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, folder, kind, options, *_ = line.split()
        if kind == "cgroup2":
            yield Path(folder)  # a group with processes has no groups with limits, so not below our own
        elif kind == "cgroup" and "cpuset" not in options:  # what cpuset needs more than a folder is of no use here
            names = next(names for names in own if names and set(names.split(",")) <= set(options.split(",")))
            yield Path(folder + own[names])
