"""`api-returns` against a real server on the loopback."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from notices_world import make_home

from churnwatch.daemon.cli import guarded

DOCUMENT = {
    "paths": {
        "/healthz": {"get": {}},
        "/metrics": {"get": {}},
        "/customers/{id}": {"get": {}},
        "/outcomes": {"post": {}},
        "/predict": {"post": {"requestBody": {"content": {
            "application/json": {"examples": {"one": {"value": {"plan": "a,b", "age": 3}}}}, "text/csv": {},
        }}}},
    },
}  # fmt: skip


class _Server(ThreadingHTTPServer):
    key: str | None = None
    document: object = DOCUMENT
    asked: list[str]


class _Answers(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        self._answer(None)

    def do_POST(self) -> None:
        self._answer(self.rfile.read(int(self.headers["Content-Length"])).decode())

    def _answer(self, body: str | None) -> None:
        self.server.asked.append(f"{self.command} {self.path}")
        status, told = HTTPStatus.OK, json.dumps(body)
        if self.server.key is not None and self.headers["Authorization"] != f"Bearer {self.server.key}":
            status, told = HTTPStatus.UNAUTHORIZED, '{"status": 401}'
        elif self.path == "/openapi.json":
            told = json.dumps(self.server.document)
        elif self.path == "/metrics":
            told = "up 1\n"
        elif self.path.startswith("/customers/"):
            status = HTTPStatus.NOT_FOUND
        self.send_response(status)
        self.end_headers()
        self.wfile.write(told.encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[_Server]:
    with _Server(("127.0.0.1", 0), _Answers) as found:
        found.asked = []
        thread = threading.Thread(target=found.serve_forever, args=(0.01,))
        thread.start()
        yield found
        found.shutdown()
        thread.join()


@pytest.fixture
def home(tmp_path: Path, server: _Server) -> Path:
    return make_home(tmp_path / "home", f"serve: {{port: {server.server_port}}}\n").path


def _returns(home: Path, *arguments: str) -> dict[str, dict[str, object]]:
    output = home / "returns.json"
    assert guarded(["--home", str(home), "api-returns", "-o", str(output), *arguments]) == 0
    found: dict[str, dict[str, object]] = json.loads(output.read_text())
    return found


def test_each_route_that_reads_is_asked_once_and_the_example_is_tried(home: Path, server: _Server) -> None:
    found = _returns(home)
    assert {route: each["status"] for route, each in found.items()} == {
        "GET /healthz": 200, "GET /metrics": 200, "GET /customers/{id}": 404,
        "POST /predict": 200, "POST /predict (text/csv)": 200,
    }  # fmt: skip
    assert found["GET /metrics"]["answer"] == "up 1\n"
    assert found["POST /predict"]["answer"] == '{"plan": "a,b", "age": 3}'
    assert found["POST /predict (text/csv)"]["answer"] == 'plan,age\r\n"a,b",3\r\n'
    assert server.asked == ["GET /openapi.json", "GET /healthz", "GET /metrics", "GET /customers/nobody",
                            "POST /predict?what_if=true", "POST /predict"]  # fmt: skip


def test_a_key_is_sent_where_there_is_one(
    home: Path, server: _Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    server.key = "cw_secret"
    assert guarded(["--home", str(home), "api-returns"]) == 1
    assert "CHURNWATCH_KEY" in capsys.readouterr().err
    monkeypatch.setenv("CHURNWATCH_KEY", "cw_secret")
    assert _returns(home)["GET /healthz"]["status"] == 200


def test_where_no_server_answers_it_says_so_in_one_line(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:  # bound, but nobody listens
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        assert guarded(["--home", str(home), "api-returns", "--url", url]) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert f"churnwatch --home {home} serve" in line
    assert not (home / "apireturns.json").exists()


@pytest.mark.parametrize("document", [{}, [], "x"])
def test_another_server_is_told_apart(
    home: Path, server: _Server, document: object, capsys: pytest.CaptureFixture[str]
) -> None:
    server.document = document
    assert guarded(["--home", str(home), "api-returns"]) == 1
    assert f"is no `churnwatch --home {home} serve`" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("serve", "arguments", "said"),
    [
        ("port: 0", [], "serve.port is 0"),
        ("port: 1", ["--url", "file:///etc"], "neither http:// nor https://"),
        ("port: 1", ["--url", "http://["], "no server answers there"),
    ],
)
def test_an_address_that_is_none_is_refused(
    tmp_path: Path, serve: str, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    home = make_home(tmp_path / "other", f"serve: {{{serve}}}\n")
    assert guarded(["--home", str(home.path), "api-returns", *arguments]) == 1
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("host", ["0.0.0.0", "localhost"])  # noqa: S104 - settings, nobody listens there
def test_a_server_that_listens_everywhere_is_asked_here(tmp_path: Path, server: _Server, host: str) -> None:
    home = make_home(tmp_path / "other", f"serve: {{host: {host}, port: {server.server_port}}}\n")
    assert _returns(home.path)["GET /healthz"]["status"] == 200
