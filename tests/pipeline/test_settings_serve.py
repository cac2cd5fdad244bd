from __future__ import annotations

import pytest

from churnwatch.pipeline.errors import SettingsError
from churnwatch.pipeline.settings import parse

REST = "target: churn\npositive: 'yes'\n"


@pytest.mark.parametrize("proxy", ["127.0.0.1", "::1", "10.0.0.0/8"])
def test_a_proxy_is_an_address_or_a_network(proxy: str) -> None:
    assert parse(f"{REST}serve: {{proxy: '{proxy}'}}").serve.proxy == proxy


@pytest.mark.parametrize("proxy", ["*", "localhost", "127.0.0.1, 10.0.0.1", "10.0.0.1/8", "proxy.example.org"])
def test_nobody_is_believed_by_name_and_not_everybody(proxy: str) -> None:
    with pytest.raises(SettingsError, match=r"serve\.proxy: an address or a network"):
        parse(f"{REST}serve: {{proxy: '{proxy}'}}")


@pytest.mark.parametrize("name", ["churn.example.org", "box", "192.0.2.7", "[2001:db8::1]"])
def test_a_host_is_a_name_alone(name: str) -> None:
    assert parse(f"{REST}serve: {{hosts: ['{name}']}}").serve.hosts == (name,)


@pytest.mark.parametrize(
    "name", ["*", "*.example.org", "https://example.org", "example.org:8350", "a b", "2001:db8::1", "."]
)
def test_a_host_is_no_pattern_and_no_address_of_a_page(name: str) -> None:
    with pytest.raises(SettingsError, match=r"serve\.hosts: a host's name alone"):
        parse(f"{REST}serve: {{hosts: ['{name}']}}")


@pytest.mark.parametrize("name", ["max_body_mb", "rate_per_s", "timeout_s", "max_requests", "session_h"])
def test_no_limit_is_nought(name: str) -> None:
    with pytest.raises(SettingsError, match=rf"serve\.{name}"):
        parse(f"{REST}serve: {{{name}: 0}}")
