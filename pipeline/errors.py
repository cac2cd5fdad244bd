"""The one family of expected errors.

An expected error is something that a user, a file or the machine can cause. It is shown as one line that says
what is wrong, where, and what to do, and ends a command with exit code 1. Anything else is a bug: it keeps its
traceback, in the log, and ends a command with exit code 3.
"""

from __future__ import annotations


class ChurnwatchError(Exception):
    """What is expected to go wrong sometimes; `str(error)` is the one line shown to the user."""

    def __str__(self) -> str:
        """Return the message on one line, whatever a library put into it."""
        return " ".join(super().__str__().split())


class SettingsError(ChurnwatchError):
    """settings.yaml is missing, broken, or asks for something impossible."""


class DataError(ChurnwatchError):
    """A source file, or what was made of it, cannot be used as it is."""


class LedgerError(ChurnwatchError):
    """The ledger is missing, damaged, or of another version."""


class ReleaseError(ChurnwatchError):
    """The release, or a model version, is not what the ledger says it should be."""


class BusyError(ChurnwatchError):
    """Another process holds what this one needs."""


class NotFoundError(ChurnwatchError):
    """A run, model version, file or customer of that name is not known."""


class UsageError(ChurnwatchError):
    """The command's words do not fit together."""
