from __future__ import annotations

from pathlib import Path

from churnwatch.pipeline.confusion import draw

COUNTS = {"true_negatives": 1234.0, "false_positives": 5.0, "false_negatives": 0.0, "true_positives": 67.0}


def test_a_picture_is_drawn_and_the_same_counts_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one.png", "two.png"):
        draw(COUNTS, tmp_path / name, title="v1 on holdout rows")
    content = (tmp_path / "one.png").read_bytes()
    assert content.startswith(b"\x89PNG")
    assert content == (tmp_path / "two.png").read_bytes()


def test_other_counts_give_another_picture(tmp_path: Path) -> None:
    draw(COUNTS, tmp_path / "one.png", title="v1")
    draw({**COUNTS, "true_positives": 68.0}, tmp_path / "two.png", title="v1")
    assert (tmp_path / "one.png").read_bytes() != (tmp_path / "two.png").read_bytes()


def test_no_rows_at_all_are_drawn_too(tmp_path: Path) -> None:
    draw(dict.fromkeys(COUNTS, 0.0), tmp_path / "one.png", title="v1")
    assert (tmp_path / "one.png").exists()
