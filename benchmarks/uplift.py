"""What offers come to by save rate, by uplift models where they decide, and for all, where the true effects are known.

    python benchmarks/uplift.py [--draws 20] [--customers 2000 10000]

In each world a campaign treats half of so many customers, drawn by lot; what came of it decides, by the rule of
`uplift`, to whom of 10,000 others the offer is made. Who leaves with it and without it is drawn by one number for both.
The offer's save rate in the settings is 30 %, the probabilities of leaving are known. Profits are against doing
nothing, in thousands, mean over the draws with its standard error.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import expit

from churnwatch.pipeline import profit, uplift
from churnwatch.pipeline.features import Rows
from churnwatch.pipeline.offers import Floats, Offer
from churnwatch.pipeline.settings import Training
from churnwatch.pipeline.uplift import Trial

OFFER = Offer("call", 0.10, is_relative=True, cost=12.0, save_rate=0.3, take_up=0.8, call=False)
CURRENT = 10_000
COLUMNS = tuple(f"x{number}" for number in range(10))
WORLDS: dict[
    str, Callable[[Floats, Floats], Floats]
] = {  # probability of leaving, a column it does not hang on → effect
    "no effect": lambda p, _: np.zeros_like(p),
    "5 points less for all": lambda p, _: np.minimum(p, 0.05),
    "30 % of the leavers stay": lambda p, _: 0.3 * p,
    "some leavers stay, others do not": lambda p, x: p * np.clip(0.3 + 0.3 * x, 0, 1),
    "a third stays, the others are driven away": lambda p, x: np.where(x > 0.43, 0.5 * p, -0.1 * (1 - p)),
}


@dataclass(frozen=True)
class People:
    """Customers: what is known of them, the true probability of leaving and effect, what each is worth, and draws."""

    X: pd.DataFrame
    p: Floats
    effect: Floats
    value: Floats
    fate: Floats  # a draw from 0 to 1: the customer leaves where the probability is higher
    takes: Floats

    @property
    def left(self) -> tuple[np.ndarray, np.ndarray]:
        """Who leaves without the offer, and who with it."""
        return self.fate < self.p, self.fate < self.p - self.effect

    def came(self, made: np.ndarray) -> float:
        """Return what the offer comes to, made to some, in thousands."""
        without, treated = self.left
        takes = ~treated & (without | (self.takes < OFFER.take_up))
        gain = (without * 1.0 - treated) * self.value - takes * OFFER.discounts(self.value) - OFFER.cost
        return float(gain[made].sum()) / 1000


def people(rng: np.random.Generator, n: int, world: str) -> People:
    """Draw customers of whom about 28 % would leave."""
    X = pd.DataFrame(rng.normal(size=(n, len(COLUMNS))), columns=COLUMNS)
    p = expit(-1.2 + 0.9 * X["x0"] + 0.6 * X["x1"] - 0.5 * X["x2"]).to_numpy()
    value = 12 * rng.lognormal(4.0, 0.5, n)
    return People(X, p, WORLDS[world](p, X["x3"].to_numpy()), value, rng.random(n), rng.random(n))


def learned(rng: np.random.Generator, n: int, world: str) -> uplift.Uplift:
    """Return what a campaign with so many customers says."""
    drawn, treated = people(rng, n, world), rng.permutation(n) < n // 2
    y = np.where(treated, *drawn.left[::-1]).astype(np.int64)
    trial = Trial(Rows(drawn.X, y, None), treated, np.full(n, 0.5))
    assert uplift.too_few(trial) is None
    return uplift.learn(trial, Training(), numeric=COLUMNS, categorical=())


def once(rng: np.random.Generator, n: int, world: str) -> dict[str, float]:
    """Return what each practice comes to in one world, and what the model foretold where it decides."""
    model, now = learned(rng, n, world), people(rng, CURRENT, world)
    effects = model.effects(now.X, now.p)
    by = {
        "save rate": profit.expected_profit(OFFER, now.p, now.value),
        "uplift": profit.expected_profit(OFFER, now.p, now.value, effect=effects),
        "all": np.ones(CURRENT),
        "truth": profit.expected_profit(OFFER, now.p, now.value, effect=now.effect),
    }
    came = {practice: now.came(expected > 0) for practice, expected in by.items()}
    foretold = float(np.maximum(by["uplift"], 0).sum()) / 1000
    rule = came["uplift" if model.tells_apart else "save rate"]
    told = {"foretold": foretold, "came": came["uplift"]} if model.tells_apart else {}
    return {**came, "rule": rule, "decides": float(model.tells_apart), **told}


def shown(values: Sequence[float]) -> str:
    if not values:
        return ""
    error = f" ± {np.std(values, ddof=1) / np.sqrt(len(values)):.1f}" if len(values) > 1 else ""
    return f"{np.mean(values):.1f}{error}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--customers", type=int, nargs="+", default=[2000, 10_000])
    asked = parser.parse_args()
    columns = ("save rate", "rule", "all", "truth", "foretold", "came")
    print("| campaign of | world | models decide | by save rate | by the rule | for all | had the truth been known"
          " | where models decide: foretold | came |\n|---|---|---|---|---|---|---|---|---|")  # fmt: skip
    for n in asked.customers:
        for number, world in enumerate(WORLDS):
            found = [once(np.random.default_rng((n, number, draw)), n, world) for draw in range(asked.draws)]
            cells = [shown([each[column] for each in found if column in each]) for column in columns]
            decides = np.mean([each["decides"] for each in found])
            print(f"| {n:,} | {world} | {decides:.1%} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
