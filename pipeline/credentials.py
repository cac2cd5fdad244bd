"""Secrets that the settings only point at: `env:NAME` (an environment variable), `credential:NAME` (of systemd).

No message has in it what stands there.
"""

from __future__ import annotations

import os
from pathlib import Path

from churnwatch.pipeline.errors import SettingsError
from churnwatch.pipeline.settings import ADDRESS_ELSEWHERE, FILE_NAME


def resolved(setting: str, given: str) -> str:
    """Return what a setting says, or what stands where it points.

    Args:
        setting: its name, for messages.
        given: its value.

    Raises:
        SettingsError: nothing stands there, or it cannot be read.
    """
    elsewhere = ADDRESS_ELSEWHERE.fullmatch(given)
    return given if elsewhere is None else _read(f"{FILE_NAME}: {setting}", elsewhere[1], elsewhere[2])


def _read(setting: str, where: str, key: str) -> str:
    if where == "env":
        if key not in os.environ:
            raise SettingsError(f"{setting}: there is no environment variable {key}.")
        return os.environ[key].strip()
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    if folder is None:
        raise SettingsError(f"{setting}: there is no $CREDENTIALS_DIRECTORY; systemd sets it for LoadCredential=.")
    try:
        return (Path(folder) / key).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        raise SettingsError(f"{setting}: the credential {key} cannot be read; see LoadCredential=.") from None
