"""The settings of `churnwatch serve`."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

_Text = Annotated[str, Meta(min_length=1)]


class Serve(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where the API listens, and what it allows."""

    host: _Text = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535)] = 8350  # 0: any that is free
