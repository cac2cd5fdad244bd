from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from itertools import pairwise

import pytest

from churnwatch.reports import charts, history_charts
from churnwatch.reports.data_facts import Missing, MissingRow
from churnwatch.reports.listed import Listed
from churnwatch.reports.model_facts import Matrix, Point
from churnwatch.reports.work_facts import StepRow, Timings

POINT = Point(1, "2026-01-01T00:00:00Z", 0.5, 0.4, 0.6, 100, 0.4, 1, 0.6, 0.3, 2, "kept", promotes=False)


def points(number: int) -> list[Point]:
    return [
        replace(POINT, run=run, in_use=0.5 + 0.1 * (run % 3), candidate=run, promotes=run % 4 == 1)
        for run in range(1, number + 1)
    ]


def missing(name: str = "tenure", runs: int = 3) -> Missing:
    row = MissingRow(name, (0.1,) * (runs - 1) + (None,), None, None)
    return Missing(tuple(range(1, runs + 1)), Listed((row,), 1), 0)


def timings(runs: int) -> Timings:
    steps = tuple(StepRow(name, 1.0, 1.0, 1.0, 1.0, 1) for name in ("ingest", "train", "evaluate", "predict"))
    return Timings(steps, tuple((run, {row.step: 0.5 for row in steps}) for run in range(1, runs + 1)))


def texts(svg: str) -> list[str]:
    return [element.text or "" for element in ET.fromstring(svg).iter("text")]  # noqa: S314 - our own


@pytest.mark.parametrize("number", [0, 1])
def test_there_is_no_chart_over_runs_before_the_second(number: int) -> None:
    assert charts.metric_chart(points(number), "f1") is None
    assert history_charts.timing_chart(timings(number)) is None
    assert history_charts.missing_chart(Missing((1,), Listed((), 0), 3)) is None
    assert charts.matrix_chart(None) is None


@pytest.mark.parametrize("number", [2, 6, 60])
def test_the_chart_of_f1_names_its_lines_and_the_newest_release(number: int) -> None:
    chart = charts.metric_chart(points(number), "f1")
    assert chart is not None
    released = max(point.candidate or 0 for point in points(number) if point.promotes)
    for svg in chart.svgs:
        assert {"new batches", "holdout", "baseline"} <= set(texts(svg))
        assert any(each.split(" ")[0] == f"v{released}" for each in texts(svg))


def test_a_chart_without_any_test_on_new_batches_shows_the_holdout() -> None:
    chart = charts.metric_chart([replace(point, in_use=None) for point in points(3)], "f1")
    assert chart is not None
    assert "new batches" not in texts(chart.svgs[0])


def test_names_of_releases_never_touch() -> None:
    chart = charts.metric_chart([replace(point, promotes=True) for point in points(60)], "f1")
    assert chart is not None
    for svg in chart.svgs:
        found = sorted(
            float(element.get("x", "0")) for element in ET.fromstring(svg).iter("text")  # noqa: S314 - our own
            if re.fullmatch(r"v\d+", element.text or "")
        )  # fmt: skip
        assert len(found) > 3
        assert all(right - left >= 18 for left, right in pairwise(found))


def all_charts() -> list[charts.Chart | None]:
    return [
        charts.metric_chart(points(6), "f1"),
        charts.matrix_chart(Matrix(1, 1, 60, 10, 12, 18)),
        history_charts.timing_chart(timings(6)),
        history_charts.missing_chart(missing()),
    ]


def test_colours_are_the_style_sheets_and_ids_are_unique() -> None:
    svgs = [svg for chart in all_charts() if chart for svg in chart.svgs]
    together = "".join(svgs)
    assert len(svgs) == 7
    assert "style=" not in together
    assert "<style" not in together
    assert "http" not in together
    assert not re.search(r"#[0-9a-f]{6}", together)
    ids = re.findall(r'\bid="([^"]+)"', together)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', together)) <= {(i, "") for i in ids} | {
        ("", i) for i in ids
    }


def test_every_chart_has_a_text_alternative() -> None:
    for chart in all_charts():
        assert chart is not None
        for svg in chart.svgs:
            root = ET.fromstring(svg)  # noqa: S314 - our own
            labels = (root.get("aria-labelledby") or "").split()
            found = {element.get("id"): element.text for element in root.iter()}
            assert root.get("role") == "img"
            assert all(found[label] for label in labels)


def test_the_same_values_give_the_same_bytes() -> None:
    assert all_charts() == all_charts()


@pytest.mark.parametrize("name", ["$x^{", "<script>alert(1)</script>", "顧客 😀", "a\x00b\ud800", "@0@", "&amp;", ""])
def test_a_column_of_any_name_can_be_drawn(name: str) -> None:
    chart = history_charts.missing_chart(missing(name))
    assert chart is not None
    assert "<script" not in "".join(chart.svgs)
    assert "".join(chart.svgs).encode("utf-8")


def test_a_name_that_looks_like_a_token_stays_itself() -> None:
    chart = history_charts.missing_chart(missing("@1@"))
    assert chart is not None
    assert "@1@" in texts(chart.svgs[0])


def test_the_matrix_says_all_four_counts() -> None:
    chart = charts.matrix_chart(Matrix(1, 1, 1781, 536, 274, 466))
    assert chart is not None
    assert {"1,781", "536", "274", "466"} <= set(texts(chart.svgs[0]))


def test_the_key_names_the_steps_that_take_most_and_the_rest() -> None:
    chart = history_charts.timing_chart(timings(3))
    assert chart is not None
    assert [name for _, name in chart.key] == ["ingest", "train", "evaluate", "all other steps"]
