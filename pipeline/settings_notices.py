"""The settings of what is sent to people: the weekly mail and alerts."""

from __future__ import annotations

import re
import shlex
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

# Plain addresses only: a name or a line end in one could become a header of its own.
_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*")
_ELSEWHERE = re.compile(r"(env|credential):[A-Za-z0-9_.-]*[A-Za-z0-9_-]")
_WEB = re.compile(r"https?://[^\s/@]+(/\S*)?")
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_WHEN = re.compile(rf"({'|'.join(WEEKDAYS)}) ([01][0-9]|2[0-3]):[0-5][0-9]")
_THIS_MACHINE = ("localhost", "127.0.0.1", "::1")
_Text = Annotated[str, Meta(min_length=1)]


class _Checked(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    pass


class Smtp(_Checked, frozen=True):
    """The server that takes mail."""

    host: _Text
    port: Annotated[int, Meta(ge=1, le=65535)] = 587
    security: Literal["starttls", "tls", "none"] = "starttls"
    user: _Text | None = None
    password: _Text | None = None  # where it stands; never the password


class Mail(_Checked, frozen=True, rename={"sender": "from"}):
    """The weekly mail, and how mail is sent."""

    to: tuple[_Text, ...] = ()
    sender: _Text | None = None  # `from` in the file
    when: _Text = "monday 07:00"  # by the machine's own clock
    smtp: Smtp | None = None


class Alerts(_Checked, frozen=True):
    """Who is told when something goes wrong, and when it is well again."""

    mail: tuple[_Text, ...] = ()
    webhook: _Text | None = None  # an address, or where it stands
    command: _Text | None = None  # as a shell splits words, though none runs
    timeout_s: Annotated[float, Meta(gt=0, le=600)] = 30.0  # of one delivery
    no_drop_days: Annotated[int, Meta(ge=1, le=3650)] | None = None
    disk_low_gb: Annotated[float, Meta(gt=0)] = 1.0

    @property
    def channels(self) -> tuple[str, ...]:
        """By which ways alerts are delivered."""
        given = {"mail": self.mail, "webhook": self.webhook, "command": self.command}
        return tuple(name for name, value in given.items() if value)


def is_address(text: str) -> bool:
    """Tell whether a text is a plain mail address."""
    return _ADDRESS.fullmatch(text) is not None


def check(mail: Mail, alerts: Alerts) -> None:
    """Refuse what could not be sent; no message has a secret in it.

    Raises:
        msgspec.ValidationError: naming the setting.
    """
    for where, addresses in (
        ("mail.to", mail.to),
        ("mail.from", (mail.sender,) if mail.sender else ()),
        ("alerts.mail", alerts.mail),
    ):
        if not all(map(is_address, addresses)):
            raise msgspec.ValidationError(f"a plain address such as `ann@example.org` - at `$.{where}`")
    if mail.to or alerts.mail:
        for name, value in (("from", mail.sender), ("smtp", mail.smtp)):
            if value is None:
                raise msgspec.ValidationError(f"is needed to send mail - at `$.mail.{name}`")
    if not _WHEN.fullmatch(mail.when):
        raise msgspec.ValidationError("a day and an hour such as `monday 07:00` - at `$.mail.when`")
    if mail.smtp is not None:
        _check_smtp(mail.smtp)
    _check_alerts(alerts)


def _check_smtp(smtp: Smtp) -> None:
    if (smtp.user is None) != (smtp.password is None):
        raise msgspec.ValidationError("`user` and `password` go together - at `$.mail.smtp`")
    if smtp.password is not None and not _ELSEWHERE.fullmatch(smtp.password):
        raise msgspec.ValidationError(
            "a password must not stand here; say where it does: `credential:NAME` or `env:NAME`"
            " - at `$.mail.smtp.password`"
        )
    if smtp.security == "none" and smtp.host not in _THIS_MACHINE:
        raise msgspec.ValidationError(
            "mail leaves this machine by `starttls` or `tls` only; `none` is for a server on it"
            " - at `$.mail.smtp.security`"
        )


def _check_alerts(alerts: Alerts) -> None:
    webhook = alerts.webhook
    if webhook is not None and not (_WEB.fullmatch(webhook) or _ELSEWHERE.fullmatch(webhook)):
        raise msgspec.ValidationError(
            "an address such as `https://example.org/hook`, or where it stands: `credential:NAME` or `env:NAME`; no"
            " password in it - at `$.alerts.webhook`"
        )
    if alerts.command is not None:
        _check_command(alerts.command)


def _check_command(command: str) -> None:
    try:
        words = shlex.split(command)
    except ValueError:
        raise msgspec.ValidationError("a quote in it is not closed - at `$.alerts.command`") from None
    if not words:
        raise msgspec.ValidationError("there is no command in it - at `$.alerts.command`")
