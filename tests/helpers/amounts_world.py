"""Made-up customers whose loss is an amount: what a customer would have paid in the next quarter, had they stayed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

SETTINGS = """\
task: regression
target: lost
id: customer
date: month
columns:
  customer: text
  month: date
  plan: text
  price: number
  visits: integer
  lost: number
"""
_WORTH = {"free": 0.5, "basic": 1.0, "full": 1.8}


def month(number: int, *, rows: int = 300, seed: int = 0, trend: float = 0.0) -> pd.DataFrame:
    """Return the customers of one month, all of them new; `trend` raises what visits are worth, month by month."""
    rng = np.random.default_rng([seed, number])
    plan, price = rng.choice(list(_WORTH), size=rows), rng.uniform(10, 90, size=rows).round(2)
    visits = rng.poisson(6, size=rows)
    worth = np.vectorize(_WORTH.get)(plan)
    lost = 3 * price * worth + (4 + trend * number) * visits + rng.gamma(2.0, 12.0, size=rows)
    return pd.DataFrame(
        {
            "customer": [f"c{number:02}-{index:05}" for index in range(rows)],
            "month": f"2026-{number:02}-01",
            "plan": plan,
            "price": price,
            "visits": visits,
            "lost": lost.round(2),
        }
    )


def write(folder: Path, number: int, **options: float) -> Path:
    """Write one month as a CSV; `target: False` leaves the amounts out."""
    with_target = options.pop("target", True)
    frame = month(number, **options)  # type: ignore[arg-type]
    path = folder / f"amounts-2026-{number:02}.csv"
    (frame if with_target else frame.drop(columns="lost")).to_csv(path, index=False)
    return path
