"""The settings of `churnwatch serve`."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\]")

_Text = Annotated[str, Meta(min_length=1)]


class Serve(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where the API listens, and what it allows."""

    host: _Text = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535)] = 8350  # 0: any that is free

    log: _Text = "serving.db"  # what was answered, and what came of it
    log_share: Annotated[float, Meta(ge=0, le=1)] = 1.0  # of the predictions
    keep_days: Annotated[int, Meta(ge=1, le=36_500)] = 90
    batch_rows: Annotated[int, Meta(ge=1)] = 1000  # so many predictions, or outcomes, make a batch,
    batch_hours: Annotated[float, Meta(gt=0, le=8760)] = 24.0  # or as many as there are once the first waits so long
    hosts: tuple[_Text, ...] = ()  # names under which others reach it
    proxy: _Text | None = None  # the address of a proxy that is believed who asks, and whether by https
    max_body_mb: Annotated[float, Meta(gt=0)] = 10.0
    max_requests: Annotated[int, Meta(ge=1)] = 100  # at a time
    rate_per_s: Annotated[float, Meta(gt=0)] = 1000.0  # of each key
    timeout_s: Annotated[float, Meta(gt=0, le=3600)] = 30.0
    session_h: Annotated[float, Meta(gt=0, le=8760)] = 12.0  # of whoever logged in by a browser


def check(serve: Serve) -> None:
    """Refuse what would be believed of nobody, or of everybody.

    Raises:
        msgspec.ValidationError: naming the setting.
    """
    for name in serve.hosts:
        if _NAME.fullmatch(name) is None:
            raise msgspec.ValidationError("a host's name alone, such as `churn.example.org` - at `$.serve.hosts`")
    if serve.proxy is None:
        return
    try:
        ipaddress.ip_network(serve.proxy)
    except ValueError:
        raise msgspec.ValidationError("an address or a network, such as `127.0.0.1` - at `$.serve.proxy`") from None
