"""A first look counts every row, shows what is wrong, and is a page that needs nothing else."""

from __future__ import annotations

import csv
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from churnwatch.pipeline import sample
from churnwatch.pipeline.errors import DataError, UsageError
from churnwatch.pipeline.firstlook.explore import ColumnLook, Exploration, explore, render_html, render_text
from churnwatch.pipeline.sample import Like

VOID = {"meta", "path", "use", "br", "link"}


@pytest.fixture(scope="module")
def months(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("months")
    return sample.write(folder, Like.TELCO, months=2, rows=400, seed=3, broken=4, missing=0.05, duplicates=0.1)


@pytest.fixture(scope="module")
def looked_at(months: list[Path]) -> Exploration:
    return explore(months[0])


@pytest.fixture(scope="module")
def page(looked_at: Exploration) -> str:
    return render_html(looked_at)


@pytest.fixture
def hostile(tmp_path: Path) -> Exploration:
    names = ["<script>alert(1)</script>", "$x_$", "{{ 7*7 }}", "two\nlines", "名前" * 40, "esc\x1b[31m", "churn"]
    rng = np.random.default_rng(0)
    with (tmp_path / "a&b.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(names)
        for n in range(80):
            left = "Yes" if n % 3 == 0 else "No"
            writer.writerow(["<b>&'\"", rng.normal(), "{{ 7*7 }}", "$\\frac$", "名" * (n % 5), f"\x1b[{n % 4}m", left])
    return explore(tmp_path / "a&b.csv")


def column(found: Exploration, name: str) -> ColumnLook:
    return next(look for look in found.columns if look.column == name)


def read(path: Path) -> pd.DataFrame:
    """Read the file as pandas does, less the lines that are broken on purpose."""
    return pd.read_csv(path, on_bad_lines="skip", keep_default_na=False, na_values=["", "unknown"])


# --- counts


def test_every_row_is_accounted_for(looked_at: Exploration, months: list[Path]) -> None:
    lines = len(months[0].read_text().splitlines()) - 1
    assert looked_at.rows + looked_at.quarantined_rows == lines
    assert looked_at.quarantined_rows == 2
    assert looked_at.duplicates == int(read(months[0]).duplicated().sum())


def test_numbers_are_what_pandas_says(looked_at: Exploration, months: list[Path]) -> None:
    charges, of = read(months[0])["TotalCharges"], column(looked_at, "TotalCharges").profile
    assert of.missing == int(charges.isna().sum())
    assert of.distinct_values == charges.nunique()
    expected = [charges.mean(), charges.median(), charges.std(), charges.min(), charges.max()]
    assert [of.mean, of.median, of.std, of.minimum, of.maximum] == pytest.approx(expected)


def test_rates_by_value_are_what_pandas_says(looked_at: Exploration, months: list[Path]) -> None:
    frame = read(months[0])
    rates = (frame["Churn"] == "Yes").groupby(frame["Contract"]).mean()
    buckets = {bucket.label: bucket for bucket in column(looked_at, "Contract").buckets}
    assert {label: buckets[label].rate for label in rates.index} == pytest.approx(rates.to_dict())
    assert buckets["missing"].rows == int(frame["Contract"].isna().sum())


def test_histograms_and_tenths_hold_every_row(looked_at: Exploration) -> None:
    for look in looked_at.columns:
        if look.buckets:
            assert sum(bucket.rows for bucket in look.buckets) == looked_at.rows, look.column
        if look.histogram:
            assert sum(look.histogram.counts) == looked_at.rows - look.profile.missing, look.column
            assert len(look.histogram.edges) == len(look.histogram.counts) + 1


def test_rare_values_are_gathered(tmp_path: Path) -> None:
    pd.DataFrame({"city": [f"c{n % 15}" for n in range(100)], "churn": ["Yes", "No"] * 50}).to_csv(tmp_path / "a.csv")
    *top, rest = column(explore(tmp_path / "a.csv"), "city").buckets
    assert (len(top), rest.label, rest.gathered, rest.rows) == (10, "5 others", True, 30)


def test_the_parts_of_columns_are_told(looked_at: Exploration) -> None:
    assert {look.column: look.part for look in looked_at.columns if look.part} == {
        "customerID": "id",
        "month": "date",
        "Churn": "target",
    }
    assert column(looked_at, "month").span == ("2026-01-01", "2026-01-01")
    assert looked_at.telling[0].auc == max(look.auc or 0 for look in looked_at.columns)


def test_ids_that_contradict_each_other_are_counted(tmp_path: Path) -> None:
    rows = [[f"c{n}", n, "Yes" if n % 2 else "No"] for n in range(60)]
    frame = pd.DataFrame([*rows, rows[0], ["c1", 99, "Yes"]], columns=["customer_id", "age", "churn"])
    frame.to_csv(tmp_path / "a.csv", index=False)
    found = explore(tmp_path / "a.csv")
    assert (found.duplicates, found.duplicate_ids) == (1, 1)


def test_a_leak_is_marked(tmp_path: Path) -> None:
    left = np.arange(200) % 4 == 0
    pd.DataFrame({"x": np.arange(200) % 7, "gone": left * 5 + np.arange(200) / 1e3, "churn": left.astype(int)}).to_csv(
        tmp_path / "a.csv", index=False
    )
    found = explore(tmp_path / "a.csv")
    assert [look.column for look in found.columns if look.leak] == ["gone"]
    assert "LEAK?" in render_text(found)
    assert "leak?" in render_html(found)


def test_without_a_target_the_rest_is_still_seen(tmp_path: Path) -> None:
    pd.DataFrame({"a": range(50), "b": [0.5, 1.5] * 25, "empty": None}).to_csv(tmp_path / "a.csv", index=False)
    found = explore(tmp_path / "a.csv")
    assert (found.rate, found.telling, found.inference.target) == (None, (), None)
    assert "Which column says who has left?" in render_text(found)
    assert "Which column says who has left?" in render_html(found)
    assert any("no value in 1 column(s): `empty`" in line for line in found.warnings)


def test_what_is_given_wins_and_is_checked(months: list[Path]) -> None:
    found = explore(months[0], target="Partner", positive="No")
    assert (found.inference.target, found.inference.positive) == ("Partner", "No")
    with pytest.raises(UsageError, match="no column `Chrun`"):
        explore(months[0], target="Chrun")


def test_a_file_without_rows_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a,churn\n")
    with pytest.raises(DataError, match="no row"):
        explore(tmp_path / "a.csv")


@pytest.mark.parametrize("values", [["1e308", "-1e308"], ["5", "5"], ["1e-300", "2e-300"]])
def test_extreme_numbers_are_shown(values: list[str], tmp_path: Path) -> None:
    pd.DataFrame({"x": values * 30, "z": [f"{v[:-1]}7" for v in values] * 30, "churn": ["1", "0", "0"] * 20}).to_csv(
        tmp_path / "a.csv", index=False
    )
    found = explore(tmp_path / "a.csv")
    assert render_text(found)
    assert render_html(found)


# --- text


@pytest.mark.parametrize("width", [72, 80, 120])
def test_the_text_keeps_to_the_width(looked_at: Exploration, width: int) -> None:
    text = render_text(looked_at, width)
    assert max(map(len, text.splitlines())) <= width
    assert not re.search(r" $", text, flags=re.MULTILINE)


def test_the_text_shows_what_matters(looked_at: Exploration) -> None:
    text = render_text(looked_at)
    for words in (
        "Churn = Yes",
        "customerID",
        "2 rows to quarantine",
        "equal to an earlier row",
        "AUC",
        "Month-to-month",
    ):
        assert words in text


def test_hostile_cells_do_nothing_to_the_terminal(hostile: Exploration) -> None:
    text = render_text(hostile)
    assert all(character.isprintable() or character == "\n" for character in text)
    assert max(map(len, text.splitlines())) <= 80


# --- HTML


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def parsed(page: str) -> _Tags:
    tags = _Tags()
    tags.feed(page)
    assert tags.open == []
    return tags


def test_the_page_is_whole_and_needs_no_network(page: str) -> None:
    tags = parsed(page)
    assert not {"script", "link", "img", "iframe"} & {tag for tag, _ in tags.seen}
    links = [attrs[k] or "" for _, attrs in tags.seen for k in ("href", "src", "xlink:href") if k in attrs]
    assert links
    assert all(link.startswith("#") for link in links)
    assert "@import" not in page
    assert not re.search(r"url\((?!#)", page)


def test_ids_on_the_page_are_unique_and_links_lead_somewhere(page: str) -> None:
    tags = parsed(page)
    ids = [attrs["id"] for tag, attrs in tags.seen if "id" in attrs and tag == "section"]
    assert len(ids) == len(set(ids))
    assert {attrs["href"] for tag, attrs in tags.seen if tag == "a"} == {f"#{i}" for i in ids}


def test_charts_take_the_colours_of_day_and_night(page: str) -> None:
    assert "prefers-color-scheme: dark" in page
    assert "var(--bar)" in page
    assert not re.search(r"#0[1-4]0[1-4]0[1-4]", page)


def test_the_page_is_small_and_the_same_every_time(looked_at: Exploration, page: str) -> None:
    assert render_html(looked_at) == page
    assert len(page) < 300_000


def test_fifty_columns_stay_under_a_megabyte(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({f"n{i}": rng.normal(size=300) * 1e4 for i in range(50)})
    frame.assign(churn=rng.integers(0, 2, 300)).to_csv(tmp_path / "a.csv", index=False)
    assert len(render_html(explore(tmp_path / "a.csv")).encode()) < 1_000_000


def test_hostile_cells_do_nothing_to_the_page(hostile: Exploration) -> None:
    page = render_html(hostile)
    assert "script" not in {tag for tag, _ in parsed(page).seen}
    assert "&lt;script&gt;" in page
    assert "{{ 7*7 }}" in page


# --- real data


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("file", "expected", "best"),
    [
        ("telco/telco-customer-churn.csv", (7043, 0.265, 0), "tenure"),
        ("telecom/bigml_churn.csv", (5565, 0.137, 2232), "total day minutes"),
        ("bank_marketing/2008-05.csv", (7957, 0.032, 0), "duration"),
        ("retail/2011-02.csv", (1682, 0.433, 0), "spend"),
    ],
)
def test_real_files_are_explored(real_data: Path, file: str, expected: tuple[int, float, int], best: str) -> None:
    rows, rate, duplicates = expected
    found = explore(real_data / file)
    assert (found.rows, found.duplicates, found.quarantined_rows) == (rows, duplicates, 0)
    assert found.rate == pytest.approx(rate, abs=0.001)
    assert found.telling[0].column == best
    assert len(render_html(found)) < 500_000
    assert max(map(len, render_text(found).splitlines())) <= 80
