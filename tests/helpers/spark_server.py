"""A real Spark for the tests: a master, one worker and a Spark Connect server on the loopback.

It is started from a virtual environment of its own, with the whole of `pyspark` and with the libraries that code sent
to the workers imports; the environment variable `CHURNWATCH_SPARK` names its folder, and `.ci/spark` makes one.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

DEADLINE = 120.0  # seconds; a start takes about 10
# Code is compiled once and run once or twice here: the quick compiler is enough, and none for each query.
JVM = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
CONF = {
    "spark.cores.max": "2",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.host": "127.0.0.1",
    "spark.executor.extraJavaOptions": JVM,
    "spark.executor.memory": "1g",
    "spark.sql.catalogImplementation": "in-memory",
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.shuffle.partitions": "2",
    "spark.ui.enabled": "false",
}


class SparkServer:
    """Spark standalone with a Connect server, whose address stays the same over restarts.

    Attributes:
        url: what `engine:` in the settings says.
    """

    def __init__(self, environment: Path, folder: Path) -> None:
        self._home = next(environment.glob("lib/python3*/site-packages/pyspark"))
        self._folder = folder
        self._python = environment / "bin" / "python"
        self._master_port, self._port = _free_port(), _free_port()
        self._cluster: list[subprocess.Popen[bytes]] = []
        self._server: subprocess.Popen[bytes] | None = None
        self.url = f"sc://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Start whatever does not run; return when the server takes connections."""
        if not self._cluster:
            deploy = "org.apache.spark.deploy"
            master = [f"{deploy}.master.Master", "--host", "127.0.0.1", "--port", str(self._master_port)]
            self._cluster.append(self._launch("master", [*master, "--webui-port", "0"]))
            self._wait_for(self._master_port, self._cluster[0])
            worker = [f"{deploy}.worker.Worker", "--host", "127.0.0.1", "--cores", "2", "--memory", "2g"]
            worker += ["--work-dir", str(self._folder / "work"), "--webui-port", "0", self._master]
            self._cluster.append(self._launch("worker", worker))
        if self._server is None:
            conf = CONF | {
                "spark.pyspark.python": str(self._python),
                "spark.connect.grpc.binding.port": str(self._port),
            }
            submit = ["org.apache.spark.deploy.SparkSubmit", "--master", self._master]
            submit += [word for key, value in conf.items() for word in ("--conf", f"{key}={value}")]
            submit += ["--class", "org.apache.spark.sql.connect.service.SparkConnectServer", "spark-internal"]
            self._server = self._launch("connect", submit)
            self._wait_for(self._port, self._server)

    def kill(self) -> None:
        """End the Connect server as a crash would; `start` brings it back at the same address."""
        if self._server is not None:
            _end(self._server, signal.SIGKILL)
            self._server = None

    def restart(self) -> None:
        """Kill the Connect server and start it again."""
        self.kill()
        self.start()

    def stop(self) -> None:
        """End everything."""
        self.kill()
        while self._cluster:
            _end(self._cluster.pop(), signal.SIGTERM)

    @property
    def _master(self) -> str:
        return f"spark://127.0.0.1:{self._master_port}"

    def _launch(self, name: str, command: Sequence[str]) -> subprocess.Popen[bytes]:
        """Start a JVM in a process group of its own, with nothing of the caller's settings of Spark."""
        with (self._folder / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                [str(self._home / "bin" / "spark-class"), *command],
                cwd=self._folder,
                env=self._variables(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _variables(self) -> Mapping[str, str]:
        kept = {key: os.environ[key] for key in ("PATH", "HOME", "LANG", "JAVA_HOME") if key in os.environ}
        return kept | {
            "OMP_NUM_THREADS": "1",
            "PYSPARK_PYTHON": str(self._python),
            "SPARK_CONF_DIR": str(self._folder),
            "SPARK_DAEMON_MEMORY": "1g",  # of each JVM that is no executor; the server has its driver's from here too
            "SPARK_HOME": str(self._home),
            "SPARK_LOCAL_DIRS": str(self._folder / "local"),
            "SPARK_LOCAL_IP": "127.0.0.1",
            "SPARK_MASTER_OPTS": "-Dspark.master.rest.enabled=false",  # it has a fixed port
            "SPARK_SUBMIT_OPTS": f"{JVM} -Djava.io.tmpdir={self._folder}",  # what a killed server leaves lies there
        }

    def _wait_for(self, port: int, process: subprocess.Popen[bytes]) -> None:
        until = time.monotonic() + DEADLINE
        while time.monotonic() < until and process.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                return
            time.sleep(0.1)
        self.stop()
        logs = "\n".join(log.read_text(errors="replace")[-3000:] for log in sorted(self._folder.glob("*.log")))
        raise RuntimeError(f"Spark did not start:\n{logs}")


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _end(process: subprocess.Popen[bytes], how: signal.Signals) -> None:
    """End a process group; one that does not mind being asked is killed."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, how)
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
