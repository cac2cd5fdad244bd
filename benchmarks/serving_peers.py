"""The servers of benchmarks/serving_http.py: ours, MLflow's own scoring server, a few lines of FastAPI and a pickle.

All three serve the very same fitted pipeline, each in one process, on the loopback. MLflow is installed into a venv of
its own, since it brings a hundred packages along; the few lines run there too.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import harness

MLFLOW = "mlflow==3.17.2"
_PLAIN = """
import pickle, sys
import pandas as pd
from fastapi import Body, FastAPI
with open(sys.argv[1], "rb") as file:
    model = pickle.load(file)
app = FastAPI()
@app.post("/predict")
def predict(customer: dict = Body()):
    frame = pd.DataFrame([customer])[list(model.feature_names_in_)]
    return {"probability": float(model.predict_proba(frame)[0, 1])}
import uvicorn
uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), log_level="warning", access_log=False)
"""
_LOGGED = """
import pickle, sys
import mlflow
with open(sys.argv[1], "rb") as file:
    model = pickle.load(file)
mlflow.sklearn.save_model(model, sys.argv[2], pyfunc_predict_fn="predict_proba", serialization_format="cloudpickle")
"""


@dataclass(frozen=True)
class Server:
    """A server that runs.

    Attributes:
        name: for the table.
        url: to which a customer is sent.
        body: makes what is sent of a customer.
        process: its first one.
    """

    name: str
    url: str
    body: Callable[[dict[str, Any]], str]
    process: subprocess.Popen[bytes]

    def cpu_s(self) -> float:
        """Return the CPU time that it and its children have taken."""
        return sum(_cpu_s(pid) for pid in _family(self.process.pid))

    def rss_mb(self) -> float:
        """Return the memory that it and its children hold now."""
        return sum(_rss_mb(pid) for pid in _family(self.process.pid))

    def asked(self, customer: dict[str, Any]) -> bytes:
        """Return its answer."""
        request = urllib.request.Request(  # noqa: S310 - of our own
            self.url, self.body(customer).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request) as answer:  # noqa: S310
            found: bytes = answer.read()
        return found


def venv(scratch: Path) -> Path:
    """Return the Python of a venv with the peers, and with the scikit-learn that the model was fitted by."""
    folder = scratch / "peers"
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    ours = subprocess.run([sys.executable, "-m", "pip", "freeze"], check=True, capture_output=True, text=True).stdout
    same = [line for line in ours.splitlines() if line.partition("==")[0] in ("scikit-learn", "fastapi", "uvicorn")]
    subprocess.run([folder / "bin" / "pip", "install", "-q", MLFLOW, "uvloop", "httptools", *same], check=True)
    return folder / "bin" / "python"


@contextmanager
def ours(home: Path, port: int, customer: dict[str, Any]) -> Iterator[Server]:
    """Run `churnwatch serve` over a home."""
    command = [*harness.CHURNWATCH, "--home", str(home), "serve", "--port", str(port)]
    with _running("churnwatch", command, f"http://127.0.0.1:{port}/predict", json.dumps, customer) as found:
        yield found


@contextmanager
def plain(python: Path, model: Path, port: int, customer: dict[str, Any]) -> Iterator[Server]:
    """Run the few lines over a pickle."""
    command = [str(python), "-c", _PLAIN, str(model), str(port)]
    with _running("FastAPI + pickle", command, f"http://127.0.0.1:{port}/predict", json.dumps, customer) as found:
        yield found


@contextmanager
def mlflow(python: Path, model: Path, port: int, scratch: Path, customer: dict[str, Any]) -> Iterator[Server]:
    """Run `mlflow models serve`."""
    folder = scratch / "logged"
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([python, "-c", _LOGGED, model, folder], check=True, capture_output=True)
    command = [str(python.parent / "mlflow"), "models", "serve", "-m", str(folder), "-p", str(port),
               "--env-manager", "local"]  # fmt: skip

    def body(customer: dict[str, Any]) -> str:
        return json.dumps({"dataframe_records": [customer]})

    with _running("mlflow models serve", command, f"http://127.0.0.1:{port}/invocations", body, customer) as found:
        yield found


@contextmanager
def _running(
    name: str, command: Sequence[str], url: str, body: Callable[[dict[str, Any]], str], customer: dict[str, Any]
) -> Iterator[Server]:
    variables = os.environ | {"PATH": f"{Path(command[0]).parent}:{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=variables, start_new_session=True
    )
    server = Server(name, url, body, process)
    try:
        _wait_for(server, customer)
        yield server
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()


def _wait_for(server: Server, customer: dict[str, Any]) -> None:
    for _ in range(600):
        try:
            server.asked(customer)
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise SystemExit(f"{server.name} does not answer")


def _family(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(each for child in children for each in _family(int(child)))]


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _rss_mb(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
