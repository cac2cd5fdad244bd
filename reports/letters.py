"""What every mail has: its headers, and a number by which its copies are known for copies."""

from __future__ import annotations

from collections.abc import Sequence
from email.message import EmailMessage
from email.policy import SMTP

from churnwatch.pipeline.clock import from_iso

# Letters of seven bits only: what a mail server may change on the way is changed already.
_POLICY = SMTP.clone(cte_type="7bit")


def addressed(sender: str, to: Sequence[str], subject: str, *, number: str, at: str) -> EmailMessage:
    """Return a mail without its contents.

    Args:
        sender: a plain address.
        to: plain addresses.
        subject: on one line; a line end in it is refused, so that nothing becomes a header.
        number: the same for every copy of one mail, in letters, digits, `.` and `-`.
        at: when what it says was so, as the ledger writes moments.
    """
    message = EmailMessage(_POLICY)
    message["From"] = sender
    message["To"] = ", ".join(to)
    message["Subject"] = subject
    message["Date"] = from_iso(at).astimezone()
    message["Message-ID"] = message_id(number, sender)
    message["Auto-Submitted"] = "auto-generated"  # nobody's holiday answers it
    return message


def message_id(number: str, sender: str) -> str:
    """Return the Message-ID of a mail by its number."""
    return f"<{number}@{sender.rpartition('@')[2]}>"
