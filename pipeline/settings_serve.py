"""The settings of `churnwatch serve`."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

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
