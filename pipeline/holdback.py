"""A random share of customers who are left alone, so that what offers do can be told from what would have happened."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

SALT = "churnwatch holdback 1"  # another one than that of the holdout: who judges models is not who is left alone
_LARGEST = 1 << 64


def held_back(ids: Iterable[str], share: float, *, salt: str = SALT) -> npt.NDArray[np.bool_]:
    """Tell which customers are held back, shape (n,): the same ones in every run and on every machine.

    Whoever is held back by one share is by every larger one, too.

    Args:
        ids: the customers' ids.
        share: of the customers, from 0 to 1.
        salt: another one draws other customers.
    """
    return np.array([_place(salt, each) < share * _LARGEST for each in ids], dtype=np.bool_)


def _place(salt: str, customer: str) -> int:
    """Return where a customer stands between 0 and 2**64, by a hash: as good as drawn, and never drawn anew."""
    return int.from_bytes(hashlib.sha256(f"{salt}\0{customer}".encode()).digest()[:8], "big")
