"""The API's process for the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from msgspec.structs import replace

from churnwatch.daemon.logs import keep_traceback
from churnwatch.daemon.systemd import Systemd
from churnwatch.pipeline import settings
from churnwatch.pipeline.errors import SettingsError
from churnwatch.pipeline.settings import Home


def serve(folder: Path, *, host: str | None, port: int | None, tell: Callable[[str], object]) -> bool:
    """Serve a home's release until told to stop; tell whether that ever began.

    Raises:
        SettingsError: the folder is no home, or what serving needs is not installed.
    """
    home = _listening(settings.load(folder), host, port)
    try:
        from churnwatch.serving import app, server  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise SettingsError(f"serving needs {error.name}: pip install 'churnwatch[serve]'.") from None
    systemd = Systemd()

    def ready(address: str) -> None:
        tell(f"Answers on {address}; what can be asked: {address}/docs")
        systemd.ready(f"answers on {address}")

    try:
        application = app.create(home, keep=lambda error: keep_traceback(home.path, error))
        return server.serve(application, home.settings.serve, ready=ready, stopping=systemd.stopping)
    finally:
        systemd.close()


def _listening(home: Home, host: str | None, port: int | None) -> Home:
    """Return a home whose API listens where the command line says."""
    given = home.settings.serve
    given = replace(given, host=host or given.host, port=given.port if port is None else port)
    return replace(home, settings=replace(home.settings, serve=given))
