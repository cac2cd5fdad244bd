"""What is about sockets goes through a real server; the rest through its ASGI alone."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from guarded_app import client, running
from starlette.exceptions import HTTPException
from starlette.types import Message, Receive, Scope, Send

from churnwatch.pipeline.settings_serve import Serve
from churnwatch.serving import patient
from churnwatch.serving.limits import Limits
from churnwatch.serving.refused import RefusedError

SMALL = Serve(max_body_mb=0.001, timeout_s=0.5, max_requests=2)
LIMIT_S = 20.0


# -- size ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "status"), [(1000, 200), (1001, 413)])
def test_a_body_that_says_that_it_is_too_large_is_not_read(size: int, status: int) -> None:
    assert client(SMALL).post("/outcomes", content=b"x" * size).status_code == status


def test_a_csv_to_be_predicted_has_any_size_and_no_other_has() -> None:
    csv = {"content-type": "text/csv; charset=utf-8"}
    assert client(SMALL).post("/predict", content=b"x" * 5000, headers=csv).json() == {"bytes": 5000}
    assert client(SMALL).post("/outcomes", content=b"x" * 5000, headers=csv).status_code == 413
    assert client(SMALL).post("/predict", content=b"x" * 5000).status_code == 413


def _scope(path: str = "/outcomes", **headers: str) -> Scope:
    named = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return {"type": "http", "method": "POST", "path": path, "headers": named}


def _pieces(*bodies: bytes) -> Receive:
    left = list(bodies)

    async def receive() -> Message:
        return {"type": "http.request", "body": left.pop(0), "more_body": bool(left)}

    return receive


def _called(app: Any, receive: Receive, scope: Scope | None = None) -> list[Message]:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    limits = Limits(app, body_bytes=10, timeout_s=0.05, requests=1)
    asyncio.run(limits(scope or _scope(), receive, send))
    return sent


async def _begun(send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})


async def _swallowing(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer by a 400 whatever goes wrong with the body."""
    with contextlib.suppress(Exception):
        while (await receive())["more_body"]:
            pass
    await send({"type": "http.response.start", "status": 400, "headers": []})


async def _passing_on(scope: Scope, receive: Receive, send: Send) -> None:
    while (await receive())["more_body"]:
        pass
    await _begun(send)


@pytest.mark.parametrize("app", [_swallowing, _passing_on])
def test_a_body_in_pieces_is_counted_whatever_the_application_makes_of_its_end(app: Any) -> None:
    assert len(_called(app, _pieces(b"x" * 5, b"x" * 5))) == 1
    for said in ({}, {"content_length": "-1"}, {"content_length": "nine"}, {"content_length": "9"}):
        with pytest.raises(RefusedError) as error:
            _called(app, _pieces(b"x" * 5, b"x" * 6), _scope(**said))
        assert error.value.response.status_code == 413


def test_an_error_that_is_the_applications_own_is_passed_on() -> None:
    async def failing(scope: Scope, receive: Receive, send: Send) -> None:
        raise HTTPException(404)

    with pytest.raises(HTTPException):
        _called(failing, _pieces(b""))


def test_a_time_out_of_the_applications_own_is_passed_on() -> None:
    async def failing(scope: Scope, receive: Receive, send: Send) -> None:
        raise TimeoutError

    with pytest.raises(TimeoutError):
        _called(failing, _pieces(b""))


# -- time ------------------------------------------------------------------------------------------------------


def test_an_answer_that_takes_too_long_is_given_up() -> None:
    answer = client(SMALL).post("/slow?s=30")
    assert answer.status_code == 503
    assert "no answer within 0.5 s" in answer.json()["detail"]


def test_an_answer_that_has_begun_is_cut_off_and_no_second_one_follows(caplog: pytest.LogCaptureFixture) -> None:
    async def stuck(scope: Scope, receive: Receive, send: Send) -> None:
        await _begun(send)
        await asyncio.sleep(30)

    assert len(_called(stuck, _pieces(b""))) == 1
    assert "cut off after 0.05 s" in caplog.text


def test_a_csv_may_take_as_long_as_something_comes_or_goes() -> None:
    async def steady(scope: Scope, receive: Receive, send: Send) -> None:
        more = True
        while more:
            more = (await receive())["more_body"]
            await asyncio.sleep(0.03)
        await _begun(send)

    csv = _scope("/predict", content_type="text/csv")
    assert len(_called(steady, _pieces(*[b"x" * 99] * 5), csv)) == 1
    with pytest.raises(RefusedError):
        _called(steady, _pieces(*[b"x"] * 5))  # of anything else the whole time counts


def test_a_stop_from_outside_is_no_time_out() -> None:
    async def stopped() -> None:
        async def stuck(scope: Scope, receive: Receive, send: Send) -> None:
            await asyncio.sleep(30)

        limits = Limits(stuck, body_bytes=1, timeout_s=30, requests=1)
        task = asyncio.create_task(limits(_scope(), _pieces(b""), None))  # type: ignore[arg-type]
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(stopped())


# -- sockets ---------------------------------------------------------------------------------------------------


Address = tuple[str, int]


@pytest.fixture(scope="module")
def address() -> Iterator[Address]:
    with running(SMALL) as (_, found):
        yield found


def _exchanged(address: Address, *pieces: bytes, every_s: float = 0.0) -> bytes:
    """Send pieces, then read until the other side has no more to say."""
    with socket.create_connection(address, timeout=LIMIT_S) as connection:
        for piece in pieces:
            connection.sendall(piece)
            time.sleep(every_s)
        return _rest(connection)


def _rest(connection: socket.socket) -> bytes:
    found = b""
    while piece := connection.recv(65536):
        found += piece
    return found


def _head(path: str, *headers: str) -> bytes:
    return "\r\n".join([f"POST {path} HTTP/1.1", "host: localhost", "connection: close", *headers, "", ""]).encode()


def _kept(head: bytes) -> bytes:
    """Have the connection stay open, as it does by itself."""
    return head.replace(b"connection: close\r\n", b"")


CHUNKED = "transfer-encoding: chunked"


def _chunk(size: int) -> bytes:
    return f"{size:x}\r\n".encode() + b"x" * size + b"\r\n"


@pytest.mark.parametrize(("sizes", "status"), [((500, 500, 0), 200), ((500, 501, 0), 413), ((60_000,) * 9, 413)])
def test_chunks_are_counted_as_they_come(address: Address, sizes: tuple[int, ...], status: int) -> None:
    with socket.create_connection(address, timeout=LIMIT_S) as connection:
        for piece in (_kept(_head("/outcomes", CHUNKED)), *map(_chunk, sizes)):
            connection.sendall(piece)
        assert connection.recv(65536).startswith(f"HTTP/1.1 {status} ".encode())


def test_who_sends_all_of_what_is_too_large_still_gets_the_answer(address: Address) -> None:
    size = 5_000_000
    head = _kept(_head("/outcomes", f"content-length: {size}"))
    with socket.create_connection(address, timeout=LIMIT_S) as connection:
        connection.sendall(head + b"x" * size)
        assert connection.recv(65536).startswith(b"HTTP/1.1 413 ")


def test_who_asks_first_whether_to_send_it_is_told_not_to(address: Address) -> None:
    answer = _exchanged(address, _head("/outcomes", "content-length: 5000000", "expect: 100-continue"))
    assert answer.startswith(b"HTTP/1.1 413 ")


def test_a_body_that_does_not_come_is_not_waited_for(address: Address) -> None:
    for head in (_head("/outcomes", "content-length: 10"), _head("/outcomes", CHUNKED)):
        answer = _exchanged(address, head)
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["detail"] == "the body was not there within 0.5 s."


def test_a_body_that_trickles_is_not_either(address: Address) -> None:
    with socket.create_connection(address, timeout=LIMIT_S) as connection:
        connection.sendall(_head("/outcomes", "content-length: 1000"))
        began = time.monotonic()
        connection.settimeout(0.05)
        answer = b""
        while not answer:
            assert time.monotonic() - began < LIMIT_S
            connection.sendall(b"x")
            with contextlib.suppress(TimeoutError):
                answer = connection.recv(65536)
    assert answer.startswith(b"HTTP/1.1 408 ")


def test_who_takes_no_answer_is_cut_off(address: Address, caplog: pytest.LogCaptureFixture) -> None:
    """The answer is more than what the network's buffers hold, and nobody reads it."""
    csv = _head("/predict?echo=1", "content-type: text/csv", CHUNKED)
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(LIMIT_S)
        connection.connect(address)
        connection.sendall(csv + _chunk(1000))
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            while True:
                connection.sendall(_chunk(60_000))
    assert "an answer was cut off after 0.5 s" in caplog.text
    assert _answers(address)


def _answers(address: Address) -> bool:
    return _exchanged(address, _head("/outcomes", "content-length: 0")).startswith(b"HTTP/1.1 200 ")


def test_of_too_many_at_a_time_the_last_ones_are_told_to_come_again(address: Address) -> None:
    first = [socket.create_connection(address, timeout=LIMIT_S) for _ in range(2)]
    for connection in first:
        connection.sendall(_head("/slow?s=0.3", "content-length: 0"))
    statuses = set()
    deadline = time.monotonic() + 0.25
    while time.monotonic() < deadline and b"503" not in statuses:
        answer = _exchanged(address, _head("/outcomes", "content-length: 0"))
        statuses.add(answer.split(b" ", 2)[1])
    assert b"503" in statuses
    assert b"retry-after: 1" in answer
    assert all(_rest(connection).startswith(b"HTTP/1.1 200 ") for connection in first)
    for connection in first:
        connection.close()
    assert _answers(address)


# -- heads -----------------------------------------------------------------------------------------------------


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patient, "PATIENCE_S", 0.3)


@pytest.mark.parametrize("begun", [b"", b"P", b"POST /outcomes HTTP/1.1\r\nhost: loc"])
def test_a_head_that_does_not_come_is_not_waited_for(impatient: None, address: Address, begun: bytes) -> None:
    assert _exchanged(address, begun) == b""


def test_a_second_head_on_a_connection_is_not_waited_for_either(impatient: None, address: Address) -> None:
    head = _kept(_head("/outcomes", "content-length: 0"))
    assert _exchanged(address, head, head[:20], every_s=0.05).count(b"HTTP/1.1 200 ") == 1


def test_a_slow_answer_is_no_missing_head(impatient: None, address: Address) -> None:
    assert _exchanged(address, _head("/slow?s=0.4", "content-length: 0")).startswith(b"HTTP/1.1 200 ")


def test_a_refused_body_is_not_read_for_ever(impatient: None, address: Address) -> None:
    with socket.create_connection(address, timeout=LIMIT_S) as connection:
        connection.sendall(_kept(_head("/outcomes", CHUNKED)) + _chunk(2000))
        _until(lambda: _is_closed(connection))


def _is_closed(connection: socket.socket) -> bool:
    try:
        connection.sendall(_chunk(100))
    except OSError:
        return True
    return False


def test_a_head_without_end_is_refused(address: Address) -> None:
    endless = (b"x-more-%d: %s\r\n" % (number, b"y" * 1000) for number in range(1000))
    with socket.create_connection(address, timeout=LIMIT_S) as connection:
        connection.sendall(b"POST /outcomes HTTP/1.1\r\n")
        with contextlib.suppress(OSError):
            for line in endless:
                connection.sendall(line)
        with contextlib.suppress(ConnectionResetError):
            assert connection.recv(65536).startswith(b"HTTP/1.1 400 ")
    assert _answers(address)


# -- a stop ----------------------------------------------------------------------------------------------------


def test_a_stop_finishes_what_is_in_flight_and_takes_nothing_more() -> None:
    given = Serve(timeout_s=10)
    with running(given) as (server, address):
        told: list[bytes] = []
        asking = threading.Thread(target=lambda: told.append(
            _exchanged(address, _head("/slow?s=0.5", "content-length: 0"))))  # fmt: skip
        asking.start()
        _until(lambda: bool(server.server_state.tasks))
        server.should_exit = True
        asking.join()
    assert told[0].startswith(b"HTTP/1.1 200 ")
    with pytest.raises(OSError):  # noqa: PT011
        socket.create_connection(address, timeout=1)


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
