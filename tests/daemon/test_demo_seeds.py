"""The demo's story is not rigged: other seeds tell theirs, and the gate says of each what it finds."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from churnwatch.daemon import demo
from churnwatch.pipeline import run, sample
from churnwatch.pipeline.ledger.writer import Ledger
from churnwatch.pipeline.settings import Home

SEEDS, ROWS, MONTHS, CHANGES_AT = (1, 2, 3), 250, 3, 1
AFTERWARDS = {"promoted", "refreshed", "kept", "refused", "undecidable"}
DEFAULT_GATE = "training: {mode: refit, estimators: [logistic], folds: 3}\n"


@pytest.mark.parametrize("seed", SEEDS)
def test_every_seed_has_one_first_model_and_decisions_that_follow_from_the_evidence(
    make_home: Callable[..., Home], tmp_path: Path, seed: int
) -> None:
    home = make_home(extra=DEFAULT_GATE)
    text = (home.path / "settings.yaml").read_text().replace("gate: {policy: better, min_positives: 5}\n", "")
    (home.path / "settings.yaml").write_text(text)
    home = demo.settings.load(home.path)
    assert home.settings.gating.policy == "proven"
    months = sample.write(
        tmp_path / "months", sample.Like.TELCO, months=MONTHS, rows=ROWS, seed=seed,
        duplicates=0.04, missing=0.02, broken=3, changes_at=CHANGES_AT,
    )  # fmt: skip
    with Ledger.open(home.ledger) as ledger:
        for month in months:
            shutil.copy(month, home.source)
            [outcome] = run.work(home, ledger, reason="drop")
            assert outcome.status == "done"
        decisions = ledger.decisions()
        totals = ledger.row_totals()
        files = ledger.files()
    verdicts = [row["decision"] for row in decisions]
    print(f"seed {seed}: {dict(Counter(verdicts))}: {', '.join(verdicts)}")  # noqa: T201 - pytest -s shows it
    assert len(verdicts) == MONTHS
    assert verdicts.count("first") == 1
    assert set(verdicts) <= AFTERWARDS | {"first"}
    for row in decisions[verdicts.index("first") + 1 :]:
        if row["decision"] == "promoted":  # no promotion without evidence
            assert row["p_value"] <= home.settings.gating.alpha
            assert row["delta"] >= home.settings.gating.min_delta
    assert totals["read"] == totals["accepted"] + totals["duplicate"] + totals["quarantined"]
    assert [row["rows_read"] for row in files] == [ROWS + int(ROWS * 0.04) + 3] * MONTHS
    assert totals["quarantined"] == 3 * MONTHS
