"""Out of this machine: a message to a mail server, JSON to a web address, JSON to a command.

Each either succeeds, or says in one line why not, and whether the other side may have taken it all the same. Nothing
secret is in a line: no password, no web address.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shlex
import signal
import smtplib
import ssl
import subprocess
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from churnwatch.pipeline import credentials
from churnwatch.pipeline.errors import ChurnwatchError
from churnwatch.pipeline.settings_notices import Smtp

_LONGEST = 200  # characters of somebody else's words
_TAKEN = (250, 251)


class SendError(ChurnwatchError):
    """A message was not delivered; or, where `may_have_arrived`, nobody can tell."""

    def __init__(self, line: str, *, may_have_arrived: bool = False) -> None:
        super().__init__(line)
        self.may_have_arrived = may_have_arrived


def mail(message: EmailMessage, smtp: Smtp, *, timeout_s: float) -> str | None:
    """Hand a message to the mail server; return which recipients it refused, None when it took all.

    The certificate is checked against the system's authorities (or $SSL_CERT_FILE).

    Raises:
        SettingsError: the password does not stand where the settings say.
        SendError: the server cannot be reached, or did not take it.
    """
    sender, recipients = str(message["From"]), [each.addr_spec for each in message["To"].addresses]
    password = credentials.resolved("mail.smtp.password", smtp.password) if smtp.password is not None else None
    with _told(smtp), _connected(smtp, timeout_s) as client:
        if password is not None:
            client.login(smtp.user or "", password)
        return _hand_over(client, sender, recipients, message.as_bytes())


@contextlib.contextmanager
def _told(smtp: Smtp) -> Iterator[None]:
    """Turn whatever goes wrong before the server has the message into one line."""
    where = f"{smtp.host}:{smtp.port}"
    try:
        yield
    except ssl.SSLError as error:
        why = getattr(error, "verify_message", None) or error.reason or "no TLS there"
        raise SendError(f"{where}: no safe connection ({why}); see mail.smtp.security.") from None
    except smtplib.SMTPAuthenticationError as error:
        raise SendError(f"{where}: user or password refused ({error.smtp_code}).") from None
    except smtplib.SMTPResponseException as error:
        raise SendError(f"{where}: {_answer(error.smtp_code, error.smtp_error)}") from None
    except smtplib.SMTPNotSupportedError as error:
        raise SendError(f"{where}: {error}") from None
    except smtplib.SMTPException as error:
        raise SendError(f"{where}: the connection broke off ({_shortened(str(error))}).") from None
    except (OSError, UnicodeError) as error:
        raise SendError(f"{where}: cannot be reached ({getattr(error, 'strerror', None) or error}).") from None


@contextlib.contextmanager
def _connected(smtp: Smtp, timeout_s: float) -> Iterator[smtplib.SMTP]:
    trusted = ssl.create_default_context()
    if smtp.security == "tls":
        client: smtplib.SMTP = smtplib.SMTP_SSL(smtp.host, smtp.port, timeout=timeout_s, context=trusted)
    else:
        client = smtplib.SMTP(smtp.host, smtp.port, timeout=timeout_s)
    try:
        if smtp.security == "starttls":
            client.starttls(context=trusted)
        client.ehlo_or_helo_if_needed()
        yield client
        with contextlib.suppress(OSError, smtplib.SMTPException):
            client.quit()
    finally:
        client.close()


def _hand_over(client: smtplib.SMTP, sender: str, recipients: Sequence[str], payload: bytes) -> str | None:
    """Give the message over step by step, so that it is known whether the server had all of it when it went."""
    code, words = client.mail(sender)
    if code != _TAKEN[0]:
        raise smtplib.SMTPResponseException(code, words)
    answers = [(each, *client.rcpt(each)) for each in recipients]
    refused = [f"{each} ({_answer(code, words)})" for each, code, words in answers if code not in _TAKEN]
    if len(refused) == len(recipients):
        raise SendError(f"every recipient was refused: {'; '.join(refused)}")
    try:
        code, words = client.data(payload)
    except smtplib.SMTPDataError:
        raise
    except (OSError, smtplib.SMTPException):
        raise SendError("the server fell silent after it had the message.", may_have_arrived=True) from None
    if code != _TAKEN[0]:
        raise smtplib.SMTPResponseException(code, words)
    return "; ".join(refused) or None


def _answer(code: int, words: bytes | str) -> str:
    text = words.decode(errors="replace") if isinstance(words, bytes) else words
    return _shortened(f"{code} {text}")


def _shortened(text: str) -> str:
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A POST that is sent elsewhere would become a GET there, and look as if it had arrived."""

    def redirect_request(self, *_args: Any, **_named: Any) -> None:
        """Follow none."""


def webhook(payload: Mapping[str, Any], given: str, *, timeout_s: float) -> None:
    """Post a message as JSON; it has arrived when the answer's code is below 300.

    Raises:
        SettingsError: the address does not stand where the settings say.
        SendError: it was not taken.
    """
    address = credentials.resolved("alerts.webhook", given)
    if not address.startswith(("https://", "http://")):
        raise SendError("what stands where alerts.webhook points is no web address.")
    request = urllib.request.Request(  # noqa: S310 - the scheme was looked at
        address,
        data=json.dumps(payload).encode(),
        headers={"Content-Type": "application/json", "User-Agent": "churnwatch", "Idempotency-Key": payload["id"]},
        method="POST",
    )
    try:
        with urllib.request.build_opener(_NoRedirects).open(request, timeout=timeout_s):
            return
    except urllib.error.HTTPError as error:
        with error:
            raise SendError(f"the webhook answered {error.code} {_shortened(error.reason or '')}".rstrip()) from None
    except TimeoutError:
        raise SendError(f"the webhook did not answer within {timeout_s:g} s", may_have_arrived=True) from None
    except urllib.error.URLError as error:
        why = getattr(error.reason, "strerror", None) or error.reason
        raise SendError(f"the webhook cannot be reached ({_shortened(str(why))})") from None
    except (OSError, http.client.HTTPException, ValueError):
        raise SendError("the webhook broke the connection off", may_have_arrived=True) from None


def command(payload: Mapping[str, Any], given: str, folder: Path, *, timeout_s: float) -> None:
    """Run a command with the message as JSON on its standard input; no shell runs unless it is one.

    Args:
        payload: the message.
        given: the command, in words as a shell splits them; a relative one lies below `folder`.
        folder: where it runs.
        timeout_s: after so long it is killed, with all that it started.

    Raises:
        SendError: it cannot be run, took too long, or did not end with 0.
    """
    with tempfile.TemporaryFile() as told:
        try:
            process = subprocess.Popen(shlex.split(given), cwd=folder, stdin=subprocess.PIPE,
                                       stdout=subprocess.DEVNULL, stderr=told, start_new_session=True)  # fmt: skip
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or error
            raise SendError(f"alerts.command cannot be run ({why})") from None
        try:
            process.communicate(json.dumps(payload).encode() + b"\n", timeout=timeout_s)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise SendError(f"alerts.command took longer than {timeout_s:g} s", may_have_arrived=True) from None
        if process.returncode:
            raise SendError(f"alerts.command ended with code {process.returncode}{_last_words(told)}")


def _last_words(told: Any) -> str:
    told.seek(0, os.SEEK_END)
    told.seek(max(0, told.tell() - 4 * _LONGEST))
    lines = told.read().decode(errors="replace").strip().splitlines()
    return f": {_shortened(lines[-1])}" if lines else ""
