"""Out of this machine, to real servers on the loopback and to real commands."""

from __future__ import annotations

import json
import os
import shlex
import sys
import time
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
import trustme
from notices_world import PASSWORD, USER, Mailbox, mailbox, webhook

from churnwatch.daemon import sending
from churnwatch.daemon.sending import SendError
from churnwatch.pipeline.errors import SettingsError
from churnwatch.pipeline.settings_notices import Smtp
from churnwatch.reports import letters

NUMBER = {"id": "abc"}
POINTER = "credential:smtp"
STARTS_A_CHILD = (
    "import subprocess, time; child = subprocess.Popen(['sleep', '60']);"
    "print(child.pid, file=open('pid', 'w'), flush=True); child.wait()"
)

# aiosmtpd does not count a connection that was TLS from the start as TLS.
pytestmark = pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS:UserWarning")


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def trusted(authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Trust the authority, and have the password where the settings say."""
    file = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(str(file))
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    (tmp_path / "smtp").write_text(f"{PASSWORD}\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    return tmp_path


def _smtp(server: Mailbox, security: Any) -> Smtp:
    return Smtp(host="localhost", port=server.port, security=security, user=USER, password=POINTER)


@pytest.fixture(params=["starttls", "tls"])
def box(request: pytest.FixtureRequest, authority: trustme.CA) -> Iterator[tuple[Mailbox, Smtp]]:
    with mailbox(tls=request.param, authority=authority) as found:
        yield found, _smtp(found, request.param)


@pytest.fixture
def starttls(authority: trustme.CA) -> Iterator[tuple[Mailbox, Smtp]]:
    with mailbox(authority=authority) as found:
        yield found, _smtp(found, "starttls")


def _letter(*to: str) -> EmailMessage:
    found = letters.addressed("churnwatch@example.org", to or ("ann@example.org",), "Grüße", number="1",
                              at="2026-11-02T06:00:00.000Z")  # fmt: skip
    found.set_content("Über uns\n.\nfrom here on\n", cte="quoted-printable")
    return found


def test_a_mail_arrives_over_tls_with_a_password(box: tuple[Mailbox, Smtp], trusted: Path) -> None:
    server, smtp = box
    assert sending.mail(_letter("ann@example.org", "bob@example.org"), smtp, timeout_s=10) is None
    [message] = server.messages
    assert server.recipients == [["ann@example.org", "bob@example.org"]]
    assert message["Subject"] == "Grüße"
    assert message.get_content().replace("\r\n", "\n") == "Über uns\n.\nfrom here on\n"


def test_a_certificate_that_nobody_vouches_for_ends_it_before_the_password(
    box: tuple[Mailbox, Smtp], trusted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, smtp = box
    trustme.CA().cert_pem.write_to_path(str(trusted / "other.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted / "other.pem"))
    with pytest.raises(SendError, match=r"no safe connection \(.*certificate") as error:
        sending.mail(_letter(), smtp, timeout_s=10)
    assert not error.value.may_have_arrived
    assert server.messages == []


def test_a_wrong_password_is_said_without_it(starttls: tuple[Mailbox, Smtp], trusted: Path) -> None:
    server, smtp = starttls
    (trusted / "smtp").write_text("hunter2")
    with pytest.raises(SendError, match=r"user or password refused \(535\)") as error:
        sending.mail(_letter(), smtp, timeout_s=10)
    assert "hunter2" not in str(error.value)
    assert server.messages == []


def test_a_password_that_is_not_there_is_an_error_of_the_settings(
    starttls: tuple[Mailbox, Smtp], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    with pytest.raises(SettingsError, match=r"mail\.smtp\.password: there is no \$CREDENTIALS_DIRECTORY"):
        sending.mail(_letter(), starttls[1], timeout_s=10)


def test_recipients_that_are_refused_are_named_and_the_others_get_it(
    starttls: tuple[Mailbox, Smtp], trusted: Path
) -> None:
    server, smtp = starttls
    server.refused = {"bob@example.org"}
    said = sending.mail(_letter("ann@example.org", "bob@example.org"), smtp, timeout_s=10)
    assert said == "bob@example.org (550 no such person)"
    assert server.recipients == [["ann@example.org"]]
    server.refused.add("ann@example.org")
    with pytest.raises(SendError, match="every recipient was refused"):
        sending.mail(_letter("ann@example.org", "bob@example.org"), smtp, timeout_s=10)


@pytest.mark.parametrize(
    ("answer", "may_have_arrived", "says"),
    [("451 come again", False, "451 come again"), (None, True, "fell silent after it had the message")],
)
def test_it_is_known_whether_a_message_that_failed_may_have_arrived(
    starttls: tuple[Mailbox, Smtp], trusted: Path, answer: str | None, may_have_arrived: bool, says: str
) -> None:
    server, smtp = starttls
    server.answers = [answer]
    with pytest.raises(SendError, match=says) as error:
        sending.mail(_letter(), smtp, timeout_s=10)
    assert error.value.may_have_arrived == may_have_arrived
    assert bool(server.messages) == may_have_arrived


def test_a_server_that_is_not_there_is_said_at_once() -> None:
    with pytest.raises(SendError, match="localhost:9: cannot be reached"):
        sending.mail(_letter(), Smtp(host="localhost", port=9, security="none"), timeout_s=5)


def test_a_subject_with_a_line_end_is_refused() -> None:
    with pytest.raises(ValueError, match="linefeed or carriage return"):
        letters.addressed("a@example.org", ["b@example.org"], "x\r\nBcc: c@example.org", number="1",
                          at="2026-11-02T06:00:00.000Z")  # fmt: skip


# -- webhooks --------------------------------------------------------------------------------------------------


def test_a_webhook_gets_json_and_may_stand_in_a_credential(monkeypatch: pytest.MonkeyPatch) -> None:
    with webhook() as hook:
        monkeypatch.setenv("HOOK", hook.address)
        sending.webhook({**NUMBER, "what": "ü"}, "env:HOOK", timeout_s=5)
    assert hook.posted == [{"id": "abc", "what": "ü"}]
    assert hook.headers[0]["Content-Type"] == "application/json"


@pytest.mark.parametrize("code", [301, 302, 400, 500])
def test_a_webhook_that_answers_otherwise_did_not_take_it(code: int) -> None:
    with webhook() as hook:
        hook.codes = [code]
        with pytest.raises(SendError, match=f"the webhook answered {code}") as error:
            sending.webhook(NUMBER, hook.address, timeout_s=5)
    assert hook.address not in str(error.value)
    assert not error.value.may_have_arrived


@pytest.mark.parametrize("address", ["file:///etc/passwd", "ftp://example.org", "nowhere"])
def test_a_credential_that_holds_no_web_address_reaches_nothing(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOK", address)
    with pytest.raises(SendError, match="no web address"):
        sending.webhook(NUMBER, "env:HOOK", timeout_s=5)


# -- commands --------------------------------------------------------------------------------------------------


def _python(code: str, *arguments: str) -> str:
    return shlex.join([sys.executable, "-c", code, *arguments])


def test_a_command_gets_json_and_its_words_mean_nothing_to_a_shell(tmp_path: Path) -> None:
    code = "import sys, os; open('got', 'w').write(sys.argv[1] + os.getcwd() + sys.stdin.read())"
    sending.command({"what": "'; touch worse"}, _python(code, "$(touch bad); `x`"), tmp_path, timeout_s=20)
    got = (tmp_path / "got").read_text()
    assert got == f"$(touch bad); `x`{tmp_path}{json.dumps({'what': chr(39) + '; touch worse'})}\n"
    assert os.listdir(tmp_path) == ["got"]  # noqa: PTH208 - names


def test_a_command_that_reads_nothing_and_ends_well_has_been_told(tmp_path: Path) -> None:
    sending.command({"what": "x" * 1_000_000}, "true", tmp_path, timeout_s=20)


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("false", "ended with code 1$"),
        (_python("import sys; sys.exit('no such room')"), "ended with code 1: no such room$"),
        ("./nobody", r"cannot be run \(No such file or directory\)"),
    ],
)
def test_a_command_that_fails_says_why(command: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(SendError, match=says):
        sending.command(NUMBER, command, tmp_path, timeout_s=20)


def test_a_command_that_takes_too_long_is_killed_with_all_that_it_started(tmp_path: Path) -> None:
    with pytest.raises(SendError, match="took longer than 2 s") as error:
        sending.command(NUMBER, _python(STARTS_A_CHILD), tmp_path, timeout_s=2)
    assert error.value.may_have_arrived
    child = int((tmp_path / "pid").read_text())
    deadline = time.monotonic() + 20
    while _runs(child):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _runs(pid: int) -> Any:
    status = Path(f"/proc/{pid}/stat")
    try:
        return status.read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
