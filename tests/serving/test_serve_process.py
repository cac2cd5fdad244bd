"""The command in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from churnwatch.daemon import cli as command_line
from churnwatch.pipeline.settings import Home

LIMIT_S = 90.0


def test_a_stop_finishes_what_is_in_flight(home: Home, tmp_path: Path, customer: dict[str, Any]) -> None:
    body = json.dumps(customer).encode()
    head = f"POST /predict HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(body)}\r\n\r\n".encode()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(LIMIT_S)
        process = _started(home, str(tmp_path / "notify"))
        try:
            said = manager.recv(4096).decode()
            host, port = said.removeprefix("READY=1\nSTATUS=answers on http://").split(":")
            with socket.create_connection((host, int(port)), timeout=LIMIT_S) as connection:
                connection.sendall(head + body[:10])
                assert _is_taken((host, int(port)))
                process.send_signal(signal.SIGTERM)
                assert manager.recv(4096) == b"STOPPING=1"
                connection.sendall(body[10:])
                assert b'"model":"v1"' in _rest(connection)
            assert process.wait(LIMIT_S) == 0
        finally:
            process.kill()
            process.communicate()


def _started(home: Home, notify: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "churnwatch.daemon.cli", "--home", str(home.path), "serve", "--port", "0"]
    return subprocess.Popen(command, env=os.environ | {"NOTIFY_SOCKET": notify}, stdout=subprocess.PIPE)


def _is_taken(address: tuple[str, int]) -> bool:
    """Tell whether an answer comes, so that what was sent before is being answered, too."""
    with socket.create_connection(address, timeout=LIMIT_S) as connection:
        connection.sendall(b"GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        return b" 200 " in _rest(connection)


def _rest(connection: socket.socket) -> bytes:
    found = b""
    while piece := connection.recv(65536):
        found += piece
    return found


def test_a_port_that_is_taken_is_an_error_and_no_bug(home: Home, caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        assert command_line.guarded(["--home", str(home.path), "serve", "--port", str(port)]) == command_line.EXPECTED
    assert "address already in use" in caplog.text
