"""Run inside the unit's restrictions by booted_unit.py: tries what is allowed and what is not, and tells as JSON."""

from __future__ import annotations

import ctypes
import json
import mmap
import os
import smtplib
import socket
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

HOME, PORT = sys.argv[1], int(sys.argv[2])
_NEW_USER = 0x10000000


def written(folder: str) -> str:
    file = Path(folder) / "probe"
    file.write_text("x")
    file.unlink()
    return "written"


def setuid() -> str:
    file = Path(HOME) / "probe"
    file.touch()
    try:
        file.chmod(0o4755)
    finally:
        file.unlink()
    return "made"


def called_back() -> int:
    result: int = ctypes.CFUNCTYPE(ctypes.c_int)(lambda: 3)()
    return result


def unshared() -> str:
    if ctypes.CDLL(None, use_errno=True).unshare(_NEW_USER):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return "made"


def sent(address: str) -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sending:
        sending.sendto(b"x", (address, 9))
    return "sent"


def opened(family: int, protocol: int = 0) -> str:
    socket.socket(family, socket.SOCK_RAW, protocol).close()
    return "opened"


def mailed() -> str:
    with smtplib.SMTP("127.0.0.1", PORT, timeout=10) as server:
        server.sendmail("churnwatch@localhost", ["you@localhost"], "Subject: a report\r\n\r\nall is well\r\n")
    return "mailed"


def learned() -> str:
    import duckdb
    import matplotlib.pyplot as plt
    import numpy as np
    import pandas as pd
    from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier

    frame = duckdb.sql("SELECT range AS x, range % 7 AS y FROM range(1000)").df()
    for model in (HistGradientBoostingClassifier(), RandomForestClassifier(10, n_jobs=2)):
        model.fit(frame[["x", "y"]], np.arange(1000) % 2)
    pd.plotting.scatter_matrix(frame)
    plt.gcf().savefig("/tmp/probe.svg")  # noqa: S108 - the unit's own
    return "works"


def imported(*names: str) -> str:
    for name in names:
        __import__(name)
    return "imported"


def seen(folder: str) -> str:
    return " ".join(sorted(path.name for path in Path(folder).iterdir())) or "nothing"


WRITTEN = (HOME, "/tmp", "/", "/etc", "/usr", "/opt/churnwatch", "/var/lib")  # noqa: S108 - the unit's own
SEEN = ("/", "/root", "/var", "/var/lib", "/run")
ADDRESSES = ("127.0.0.1", "192.0.2.1", "169.254.169.254", "224.0.0.251")
CLIENTS = ("pyspark.sql.connect.session", "distributed", "adbc_driver_postgresql.dbapi")
TRIALS: dict[str, Callable[[], Any]] = {
    **{f"write {folder}": partial(written, folder) for folder in WRITTEN},
    **{f"see {folder}": partial(seen, folder) for folder in SEEN},
    "memory that is written and executed": partial(mmap.mmap, -1, mmap.PAGESIZE, prot=7),
    "a callback by ctypes": called_back,
    "a file that runs as its owner": setuid,
    "a namespace": unshared,
    "more priority": partial(os.nice, -1),
    "an address of the kernel (AF_NETLINK)": partial(opened, socket.AF_NETLINK),
    "a raw packet (AF_PACKET)": partial(opened, socket.AF_PACKET),
    "a raw packet (AF_INET)": partial(opened, socket.AF_INET, socket.IPPROTO_ICMP),
    **{f"a packet to {address}": partial(sent, address) for address in ADDRESSES},
    "a mail to a server on this machine": mailed,
    "duckdb, pandas, scikit-learn in threads, matplotlib": learned,
    "Spark's, Dask's and PostgreSQL's clients": partial(imported, *CLIENTS),
}


def told(trial: Callable[[], Any]) -> str:
    try:
        return str(trial())
    except Exception as error:  # noqa: BLE001 - what is refused, and how, is what is asked
        return f"{type(error).__name__}: {error}"


if __name__ == "__main__":
    print(json.dumps({name: told(trial) for name, trial in TRIALS.items()}))
