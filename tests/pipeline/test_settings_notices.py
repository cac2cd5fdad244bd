from __future__ import annotations

from pathlib import Path

import pytest

from churnwatch.pipeline import credentials
from churnwatch.pipeline.errors import SettingsError
from churnwatch.pipeline.settings import Settings, parse

BASE = "target: left\npositive: yes\n"
SENDS = "from: a@example.org, smtp: {host: mail.example.org}"


def _parsed(text: str) -> Settings:
    return parse(BASE + text)


def test_what_is_given_is_read() -> None:
    found = _parsed(
        "mail:\n  to: [ann@example.org]\n  from: us@example.org\n  when: friday 16:30\n"
        "  smtp: {host: mail.example.org, port: 465, security: tls, user: us, password: 'credential:smtp'}\n"
        "alerts: {mail: [bob@example.org], webhook: 'env:HOOK', command: \"sh -c 'cat >> told'\", no_drop_days: 7}\n"
    )
    assert (found.mail.sender, found.mail.when) == ("us@example.org", "friday 16:30")
    assert found.mail.smtp is not None
    assert (found.mail.smtp.port, found.mail.smtp.password) == (465, "credential:smtp")
    assert found.alerts.channels == ("mail", "webhook", "command")


def test_by_default_nobody_is_told() -> None:
    found = _parsed("")
    assert (found.mail.to, found.alerts.channels, found.metrics_file) == ((), (), None)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("mail: {to: [ann@example.org]}", "mail.from: is needed to send mail"),
        ("alerts: {mail: [ann@example.org]}", "mail.from: is needed to send mail"),
        ("mail: {to: [a@b.c], from: a@b.c}", "mail.smtp: is needed to send mail"),
        (f"mail: {{to: [Ann <ann@example.org>], {SENDS}}}", "mail.to: a plain address such as `ann@example.org`"),
        (f'mail: {{to: ["a@b.c\\nBcc: eve@b.c"], {SENDS}}}', "mail.to: a plain address"),
        (f'alerts: {{mail: ["a@b.c\\r\\n"]}}\nmail: {{{SENDS}}}', "alerts.mail: a plain address"),
        ("mail: {when: monday}", "mail.when: a day and an hour such as `monday 07:00`"),
        ("mail: {when: monday 7:00}", "mail.when: a day and an hour"),
        ("mail: {when: monday 24:00}", "mail.when: a day and an hour"),
        ("mail: {smtp: {host: a, user: us, password: hunter2}}", "mail.smtp.password: a password must not stand here"),
        ("mail: {smtp: {host: a, user: us}}", "mail.smtp: `user` and `password` go together"),
        ("mail: {smtp: {host: mail.example.org, security: none}}", "mail.smtp.security: mail leaves this machine by"),
        ("alerts: {webhook: 'ftp://example.org'}", "alerts.webhook: an address such as `https://example.org/hook`"),
        ("alerts: {webhook: 'https://us:hunter2@example.org'}", "alerts.webhook: an address such as"),
        ('alerts: {command: "say \'it"}', "alerts.command: a quote in it is not closed"),
        ('alerts: {command: " "}', "alerts.command: there is no command in it"),
        ("mail: {fromm: a@b.c}", "mail.fromm: no such setting; did you mean `from`?"),
    ],
)
def test_what_could_not_be_sent_is_refused_without_any_secret(text: str, says: str) -> None:
    with pytest.raises(SettingsError) as error:
        _parsed(text)
    assert says in str(error.value)
    assert "hunter2" not in str(error.value)


def test_a_server_on_this_machine_needs_no_tls() -> None:
    found = _parsed("mail: {smtp: {host: localhost, port: 25, security: none}}")
    assert found.mail.smtp is not None
    assert found.mail.smtp.security == "none"


def test_secrets_stand_where_the_settings_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "smtp").write_text("hunter2\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    monkeypatch.setenv("SECRET", "hunter3")
    assert credentials.resolved("x", "credential:smtp") == "hunter2"
    assert credentials.resolved("x", "env:SECRET") == "hunter3"
    assert credentials.resolved("x", "https://example.org") == "https://example.org"
    with pytest.raises(SettingsError, match=r"settings\.yaml: x: the credential \.\.passwd cannot be read"):
        credentials.resolved("x", "credential:..passwd")
