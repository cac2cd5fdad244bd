"""The API's process for the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from churnwatch.daemon.logs import keep_traceback
from churnwatch.daemon.systemd import Systemd
from churnwatch.pipeline import settings
from churnwatch.pipeline.errors import SettingsError


def serve(folder: Path, *, host: str | None, port: int | None, tell: Callable[[str], object]) -> bool:
    """Serve a home's release until told to stop; tell whether that ever began.

    Raises:
        SettingsError: the folder is no home, or what serving needs is not installed.
    """
    home = settings.load(folder)
    try:
        from churnwatch.serving import app, server  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise SettingsError(f"serving needs {error.name}: pip install 'churnwatch[serve]'.") from None
    systemd = Systemd()

    def ready(address: str) -> None:
        tell(f"Answers on {address}; what can be asked: {address}/docs")
        systemd.ready(f"answers on {address}")

    given = home.settings.serve
    application = app.create(home, keep=lambda error: keep_traceback(home.path, error))
    listening = given.port if port is None else port
    try:
        return server.serve(application, host=host or given.host, port=listening, ready=ready)
    finally:
        systemd.stopping()
        systemd.close()
