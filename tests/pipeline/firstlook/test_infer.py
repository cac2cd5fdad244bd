"""What is inferred from a sample loads that sample, says why, and asks instead of guessing."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from churnwatch.pipeline import sample
from churnwatch.pipeline.errors import DataError, UsageError
from churnwatch.pipeline.firstlook import head
from churnwatch.pipeline.firstlook.infer import (
    Inference,
    classic_settings_text,
    from_classic_config,
    infer,
    infer_columns,
    settings_text,
)
from churnwatch.pipeline.sample import Like
from churnwatch.pipeline.settings import Column, ColumnType, Csv, Policy, Settings, Task, parse

if TYPE_CHECKING:
    from collections.abc import Sequence

TEXT, INTEGER, NUMBER, DATE = ColumnType.TEXT, ColumnType.INTEGER, ColumnType.NUMBER, ColumnType.DATE


def types(csv_settings: Csv | None = None, **columns: Sequence[str]) -> dict[str, ColumnType]:
    found = infer_columns(
        pa.table({name: pa.array(v, pa.string()) for name, v in columns.items()}), csv_settings or Csv()
    )
    return {name: column.type for name, column in found.items()}


def write(path: Path, frame: pd.DataFrame, **options: str) -> Path:
    frame.to_csv(path, index=False, **options)  # type: ignore[call-overload]
    return path


@pytest.fixture
def customers() -> pd.DataFrame:
    """Three hundred customers, of whom a third has left, whatever their columns say."""
    rng = np.random.default_rng(5)
    return pd.DataFrame({
        "customer_id": [f"C-{n:05}" for n in range(300)],
        "age": rng.integers(18, 90, 300),
        "spend": rng.normal(50, 10, 300).round(2),
        "plan": rng.choice(["basic", "plus"], 300),
        "churn": rng.permutation(np.repeat(["Yes", "No"], [100, 200])),
    })  # fmt: skip


def said(found: Inference, words: str) -> bool:
    return any(words in note for note in found.notes)


def round_trip(found: Inference) -> Settings:
    settings = parse(settings_text(found))
    for part in ("target", "positive", "id", "date", "exclude", "csv", "dedup"):
        assert getattr(settings, part) == getattr(found, part), part
    assert settings.declared == found.columns
    return settings


# --- types


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["1", "-2", "+3", "", "0"], INTEGER),
        (["1.0", "2.0"], NUMBER),  # 2.5 may come tomorrow
        (["1", "2.5", "3e5", " 4 ", ".5"], NUMBER),
        (["01234", "56789"], TEXT),
        (["-007", "8"], TEXT),
        (["00.5", "1.5"], TEXT),
        (["0.5", "-0.25"], NUMBER),
        (["1" * 18, "2"], INTEGER),
        (["1" * 19, "2"], TEXT),
        (["2026-01-31", "2026-02-28 10:30"], DATE),
        (["2026-02-30", "2026-02-28"], TEXT),
        (["20260131", "20260228"], INTEGER),
        (["TRUE", "FALSE"], TEXT),
        (["nan", "1"], TEXT),
        (["inf", "1"], TEXT),
        (["1,5", "2,5"], TEXT),
        (["", " ", "\t"], TEXT),
        ([], TEXT),
    ],
)
def test_a_type_is_given_when_every_cell_fits_it(cells: list[str], expected: ColumnType) -> None:
    assert types(x=cells) == {"x": expected}


def test_columns_are_typed_as_the_given_csv_settings_read_them() -> None:
    assert types(Csv(decimal=",", missing=("NA",)), x=["1,5", "NA"], y=["3", "NA"]) == {"x": NUMBER, "y": INTEGER}


def test_line_numbers_and_unnamed_columns_are_no_columns() -> None:
    rows = pa.table([pa.array([2]), pa.array(["0"]), pa.array(["a"])], names=["_line", "", "x"])
    assert infer_columns(rows, Csv()) == {"x": Column(type=TEXT)}


def test_the_order_of_day_and_month_is_told_by_a_day_above_twelve() -> None:
    rows = pa.table(
        {"d": ["31/01/2026", "01/02/2026"], "m": ["01/31/2026", "02/01/2026"], "p": ["1.2.2026", "3.4.2026"]}
    )
    assert {n: c.format for n, c in infer_columns(rows, Csv()).items()} == {
        "d": "%d/%m/%Y",
        "m": "%m/%d/%Y",
        "p": "%d.%m.%Y",
    }


def test_a_date_that_could_be_either_stays_text_and_says_so(customers: pd.DataFrame, tmp_path: Path) -> None:
    found = infer(write(tmp_path / "a.csv", customers.assign(since="01/02/2026")))
    assert found.columns["since"].type is TEXT
    assert said(found, "`since` may be a date")


def test_a_type_holds_for_the_last_row_too(customers: pd.DataFrame, tmp_path: Path) -> None:
    ages = customers.assign(age=[*customers["age"].astype(str)[:-1], "old"])
    found = infer(write(tmp_path / "a.csv", ages))
    assert found.columns["age"].type is TEXT
    assert said(found, "`age` is text only because 1 of its 300 cells")


@pytest.mark.parametrize("word", ["NA", "null", "?", "-", "unknown", "not measured"])
def test_one_word_among_numbers_means_no_value(word: str, customers: pd.DataFrame, tmp_path: Path) -> None:
    frame = customers.astype({"age": object})
    frame.loc[::7, "age"] = word
    found = infer(write(tmp_path / "a.csv", frame))
    assert found.columns["age"].type is INTEGER
    assert found.csv.missing == (word,)
    assert said(found, f"`{word}`: taken as no value, in every column")
    round_trip(found)


def test_a_category_of_another_column_never_means_no_value(customers: pd.DataFrame, tmp_path: Path) -> None:
    frame = customers.astype({"age": object})
    frame.loc[::7, "age"] = "No"
    found = infer(write(tmp_path / "a.csv", frame))
    assert found.csv.missing == ()
    assert found.columns["age"].type is TEXT


def test_codes_with_a_category_are_no_numbers(customers: pd.DataFrame, tmp_path: Path) -> None:
    found = infer(write(tmp_path / "a.csv", customers.assign(children=["0", "1", "3+"] * 100)))
    assert found.columns["children"].type is TEXT
    assert found.csv.missing == ()


def test_a_decimal_comma_is_found_also_for_columns_before_it(customers: pd.DataFrame, tmp_path: Path) -> None:
    customers.insert(1, "early", "1,500")
    found = infer(write(tmp_path / "a.csv", customers, sep=";", decimal=","))
    assert (found.csv.delimiter, found.csv.decimal) == (";", ",")
    assert (found.columns["early"].type, found.columns["spend"].type) == (NUMBER, NUMBER)
    assert said(found, "decimal comma")
    round_trip(found)


def test_thousands_are_not_taken_for_decimals(customers: pd.DataFrame, tmp_path: Path) -> None:
    found = infer(write(tmp_path / "a.csv", customers.assign(revenue="12,500")))
    assert (found.csv.decimal, found.columns["revenue"].type) == (".", TEXT)


# --- target and its positive value


@pytest.mark.parametrize(
    ("name", "yes", "no"),
    [
        ("Churn", "Yes", "No"),
        ("churned", "1", "0"),
        ("Exited", "1", "0"),
        ("left", "true", "false"),
        ("churn", "True.", "False."),
        ("churn", "TRUE", "FALSE"),
        ("Attrition_Flag", "Attrited Customer", "Existing Customer"),
        ("customer churn flag", "churned", "active"),
        ("y", "yes", "no"),
        ("label", "went away", "stayed"),
    ],
)
def test_target_and_positive_are_known_by_their_names(
    name: str, yes: str, no: str, customers: pd.DataFrame, tmp_path: Path
) -> None:
    frame = customers.assign(churn=np.where(customers["churn"] == "Yes", yes, no)).rename(columns={"churn": name})
    found = infer(write(tmp_path / "a.csv", frame))
    assert (found.target, found.positive) == (name, yes)
    assert not found.questions
    kind = found.columns[name]
    assert kind.allowed == (tuple(sorted((yes, no))) if kind.type is TEXT else ())
    round_trip(found)


def test_a_target_without_a_telling_name_is_asked_for(customers: pd.DataFrame, tmp_path: Path) -> None:
    found = infer(write(tmp_path / "a.csv", customers.rename(columns={"churn": "status"})))
    assert found.target is None
    (question,) = found.questions
    assert (question.field, question.candidates) == ("target", ("plan", "status"))
    with pytest.raises(UsageError, match=r"--target.*`plan`, `status`"):
        settings_text(found)


def test_a_positive_value_without_a_telling_name_is_asked_for(customers: pd.DataFrame, tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", customers.assign(churn=customers["churn"].map({"Yes": "A", "No": "B"})))
    found = infer(path)
    assert found.positive is None
    assert [(q.field, q.candidates) for q in found.questions] == [("positive", ("B", "A"))]
    assert infer(path, positive="A").questions == ()


def test_of_many_values_the_one_that_means_leaving_is_positive(customers: pd.DataFrame, tmp_path: Path) -> None:
    found = infer(
        write(tmp_path / "a.csv", customers.assign(state=["Stayed", "Joined", "Churned"] * 100)), target="state"
    )
    assert (found.target, found.positive) == ("state", "Churned")
    assert said(found, "its other 2 values count as not having left")


def test_where_nobody_has_left_yet_the_other_value_may_still_come(customers: pd.DataFrame, tmp_path: Path) -> None:
    found = infer(write(tmp_path / "a.csv", customers.assign(churn="No")), positive="Yes")
    assert (found.target, found.positive) == ("churn", "Yes")
    assert found.columns["churn"].allowed == ()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"target": "churm"}, "no column `churm`; did you mean `churn`"),
        ({"id": "nobody"}, "There are `customer_id`, `age`"),
        ({"exclude": ["what"]}, "no column `what`"),
        ({"target": "churn", "exclude": ["churn"]}, "cannot be excluded"),
        ({"positive": "Gone"}, "never `Gone`; it is `No`, `Yes`"),
        ({"date": "age"}, "not every cell of `age` is a date"),
        ({"delimiter": "::"}, "one character"),
    ],
)
def test_what_is_given_is_checked_in_one_line(
    given: dict[str, str], words: str, customers: pd.DataFrame, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=re.escape(words)) as error:
        infer(write(tmp_path / "a.csv", customers), **given)  # type: ignore[arg-type]
    assert "\n" not in str(error.value)


def test_a_number_as_positive_is_compared_as_a_number(customers: pd.DataFrame, tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", customers.assign(churn=customers["churn"].map({"Yes": "1.0", "No": "0.0"})))
    assert infer(path, positive="1").positive == "1"


# --- id and date


def test_an_id_is_text_even_when_it_is_a_number(customers: pd.DataFrame, tmp_path: Path) -> None:
    found = infer(write(tmp_path / "a.csv", customers.assign(customer_id=range(300))))
    assert (found.id, found.columns["customer_id"].type) == ("customer_id", TEXT)


def test_a_customer_number_wins_over_a_row_number(customers: pd.DataFrame, tmp_path: Path) -> None:
    customers.insert(0, "RowNumber", range(1, 301))
    found = infer(write(tmp_path / "a.csv", customers))
    assert (found.id, found.exclude) == ("customer_id", ("RowNumber",))


def test_a_short_text_that_is_never_the_same_is_an_id(customers: pd.DataFrame, tmp_path: Path) -> None:
    assert infer(write(tmp_path / "a.csv", customers.rename(columns={"customer_id": "ref"}))).id == "ref"


def test_amounts_are_no_ids_however_distinct(customers: pd.DataFrame, tmp_path: Path) -> None:
    frame = customers.drop(columns="customer_id").assign(amount=np.linspace(0, 1, 300), points=range(300))
    found = infer(write(tmp_path / "a.csv", frame))
    assert found.id is None
    assert found.dedup == "on"
    assert said(found, "no id: the call list will have no names")


def test_customers_who_come_again_every_month_keep_their_id(customers: pd.DataFrame, tmp_path: Path) -> None:
    months = [customers.assign(snapshot=f"2026-0{month}-01") for month in range(1, 7)]
    found = infer(write(tmp_path / "a.csv", pd.concat(months)))
    assert (found.id, found.date) == ("customer_id", "snapshot")
    round_trip(found)


def test_repeated_rows_do_not_hide_an_id(customers: pd.DataFrame, tmp_path: Path) -> None:
    found = infer(write(tmp_path / "a.csv", pd.concat([customers, customers[:150]])))
    assert (found.id, found.dedup) == ("customer_id", "on")


def test_a_region_is_no_id_whatever_its_name(customers: pd.DataFrame, tmp_path: Path) -> None:
    frame = customers.drop(columns="customer_id").assign(account_code=["K1", "K2", "K3"] * 100)
    assert infer(write(tmp_path / "a.csv", frame)).id is None


def test_many_equal_rows_without_an_id_are_kept(customers: pd.DataFrame, tmp_path: Path) -> None:
    found = infer(write(tmp_path / "a.csv", customers[["plan", "churn"]]))
    assert (found.id, found.dedup) == (None, "off")
    round_trip(found)


def test_a_date_of_the_customer_is_not_the_date_of_the_snapshot(customers: pd.DataFrame, tmp_path: Path) -> None:
    since = pd.date_range("2020-01-01", periods=300).strftime("%Y-%m-%d")
    found = infer(write(tmp_path / "a.csv", customers.assign(since=since)))
    assert (found.date, found.columns["since"].type) == (None, DATE)


# --- what to leave out


def test_a_column_that_gives_the_target_away_is_left_out(customers: pd.DataFrame, tmp_path: Path) -> None:
    gone = customers["churn"] == "Yes"
    reason = np.where(gone, np.resize(["price", "moved"], 300), None)
    found = infer(
        write(tmp_path / "a.csv", customers.assign(refund=gone * 10.0 + customers["age"] / 100, reason=reason))
    )
    assert found.exclude == found.leaks == ("refund", "reason")
    assert said(found, "`refund`, because it alone gives the target away (AUC 1.00)")
    round_trip(found)


def test_a_strong_column_is_asked_about_and_kept(customers: pd.DataFrame, tmp_path: Path) -> None:
    strong = (customers["churn"] == "Yes") * 1.3 + np.random.default_rng(1).normal(size=300)
    found = infer(write(tmp_path / "a.csv", customers.assign(calls=strong)))
    assert found.exclude == ()
    assert said(found, "`calls` alone is strong")


def test_texts_of_which_every_row_has_its_own_are_left_out(customers: pd.DataFrame, tmp_path: Path) -> None:
    found = infer(write(tmp_path / "a.csv", customers.assign(remark=[f"called {n}" for n in range(300)])))
    assert found.exclude == ("remark",)
    assert infer(tmp_path / "a.csv", exclude=["age"]).exclude == ("age", "remark")


def test_in_a_few_rows_nothing_is_called_a_leak(customers: pd.DataFrame, tmp_path: Path) -> None:
    few = customers[:20].assign(code=(customers["churn"] == "Yes").astype(int))
    found = infer(write(tmp_path / "a.csv", few))
    assert found.leaks == ()
    assert said(found, "too few rows")


# --- files


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"a,churn\n", "no row that can be read"),
        (b"a,A\n1,2\n", "stand twice"),
        (b"_h,churn\n1,2\n", "`_h` has a name that churnwatch itself uses"),
        (b",\n1,2\n", "no row that can be read"),
        (b'""\n1\n', "no column has a name"),
        (b"\x00\x01\x02", "NUL"),
        (b"a,churn\n\x81\xff,1\n", "not a text file"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_in_one_line(content: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(DataError, match=words) as error:
        infer(tmp_path / "a.csv")
    assert "\n" not in str(error.value)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        infer(tmp_path / "none.csv")


def test_a_long_file_is_read_up_to_a_point(
    customers: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(head, "HEAD_ROWS", 120)
    frame = customers.astype({"age": object})
    frame.loc[200:, "age"] = "?"
    frame.loc[119, "plan"] = "broken\nin two"
    found = infer(write(tmp_path / "a.csv", frame))
    assert said(found, "only the first 119 rows")
    assert not said(found, "cannot be read")
    assert found.columns["age"].type is INTEGER


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252"])
def test_other_encodings_are_read(encoding: str, customers: pd.DataFrame, tmp_path: Path) -> None:
    found = infer(write(tmp_path / "a.csv", customers.rename(columns={"age": "Größe"}), encoding=encoding))
    assert found.columns["Größe"].type is INTEGER


def test_rows_that_cannot_be_read_are_said(tmp_path: Path) -> None:
    (path,) = sample.write(tmp_path, Like.TELCO, months=1, rows=200, seed=3, broken=3, missing=0.05)
    found = infer(path)
    assert said(found, "2 row(s) cannot be read")
    assert (found.id, found.target, found.positive, found.date) == ("customerID", "Churn", "Yes", "month")


def test_an_unnamed_column_is_left_out(customers: pd.DataFrame, tmp_path: Path) -> None:
    customers.to_csv(tmp_path / "a.csv")
    found = infer(tmp_path / "a.csv")
    assert list(found.columns) == list(customers.columns)
    assert said(found, "column 1 has no name")


# --- settings.yaml


@pytest.mark.parametrize("like", Like)
def test_the_settings_say_what_was_inferred(like: Like, tmp_path: Path) -> None:
    (path,) = sample.write(tmp_path, like, months=1, rows=200, seed=3)
    settings = round_trip(infer(path))
    assert settings.gating.policy is Policy.PROVEN


def test_every_example_in_the_settings_is_valid(customers: pd.DataFrame, tmp_path: Path) -> None:
    text = settings_text(infer(write(tmp_path / "a.csv", customers)))
    examples = re.findall(r"^ *#[a-z_]+:.*$", text, flags=re.MULTILINE)
    assert len(examples) >= 8
    used = re.sub(r"^( *)#([a-z_]+:)", r"\1\2", text, flags=re.MULTILINE)
    # The sample has an id and no date, so that the examples of these two name columns that it lacks.
    settings = parse(used.replace("\ndate: snapshot\n", "\n"))
    assert (settings.forbidden, settings.call_capacity) == (("gender",), 200)


HOSTILE = [
    'a "quote"', "it's", "a: b", "# no comment", "- dash", "{brace}", "[list]", "true", "No", "null", "~", "1", "1.5",
    "2026-01-01", "<<", "=", "&anchor", "*alias", "!tag", "%percent", "@at", "`tick`", "two\nlines", "tab\there",
    "größe", "名前", "😀", "back\\slash", "semi;colon", "{{ jinja }}", "{% if %}", "ends with colon:", "?", "|", ">",
    "sep\u2028arator", "next\x85line", "del\x7f", "bell\x07", "Norway: no",
]  # fmt: skip


def test_hostile_names_go_from_the_file_to_the_settings_and_back(tmp_path: Path) -> None:
    names = ["customer id", *HOSTILE, "Churn?"]
    with (tmp_path / "a.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(names)
        writer.writerows([[f"c{n}", *[f"v{n % 3}"] * len(HOSTILE), ": yes #" if n % 2 else "no"] for n in range(60)])
    found = infer(tmp_path / "a.csv", positive=": yes #")
    assert set(HOSTILE) - set(found.columns) == set()
    round_trip(found)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), min_size=2, max_size=5, unique=True),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1),
)
def test_any_text_survives_the_settings(names: list[str], value: str) -> None:
    kind = Column(type=TEXT, allowed=(value, "other"))
    found = Inference(
        csv=Csv(delimiter=",", missing=(value,)),
        columns=dict.fromkeys(names, kind),
        id=names[1],
        target=names[0],
        positive=value,
        exclude=tuple(names[1:]),
        notes=(value,) if value.isprintable() else (),
    )
    round_trip(found)


# --- the classic exercise

CLASSIC = {
    "input_folder_path": "practicedata",
    "output_folder_path": "ingesteddata",
    "test_data_path": "testdata",
    "output_model_path": "practicemodels",
    "prod_deployment_path": "production_deployment",
}


def test_the_classic_config_becomes_settings(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(CLASSIC))
    assert from_classic_config(tmp_path / "config.json")["models_folder"] == "practicemodels"
    settings = parse(classic_settings_text(tmp_path / "config.json"))
    assert (settings.source_folder, settings.test_folder) == ("practicedata", "testdata")
    assert (settings.id, settings.target, settings.positive) == ("corporation", "exited", "1")
    assert settings.gating.policy is Policy.BETTER
    assert list(settings.columns) == [
        "corporation", "lastmonth_activity", "lastyear_activity", "number_of_employees", "exited",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (json.dumps({**CLASSIC, "more": "x"}), "has the unknown key `more`"),
        (json.dumps({k: v for k, v in CLASSIC.items() if k != "test_data_path"}), "lacks key `test_data_path`"),
        (json.dumps({**CLASSIC, "test_data_path": 1}), "test_data_path: must be the name of a folder"),
        ("[]", "not a JSON object"),
        ("{", "not valid JSON"),
    ],
)
def test_a_classic_config_that_does_not_fit_is_refused_in_one_line(content: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(UsageError, match=words) as error:
        classic_settings_text(tmp_path / "config.json")
    assert "\n" not in str(error.value)


# --- real data


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("file", "expected", "delimiter"),
    [
        ("attrition/practicedata/dataset1.csv", ("corporation", "exited", "1", None), ","),
        ("attrition/sourcedata/dataset4.csv", ("corporation", "exited", "1", None), ","),
        ("attrition/testdata/testdata.csv", ("corporation", "exited", "1", None), ","),
        ("telco/telco-customer-churn.csv", ("customerID", "Churn", "Yes", None), ","),
        ("telco/telco-customer-churn-missing.csv", ("customerID", "Churn", "Yes", None), ","),
        ("telecom/bigml_churn.csv", ("phone number", "churn", "TRUE", None), ","),
        ("bank_marketing/2008-05.csv", (None, "y", "yes", None), ";"),
        ("bank_marketing/2008-12.csv", (None, "y", "yes", None), ";"),
        ("bank_marketing/2010-11.csv", (None, "y", "yes", None), ";"),
        ("retail/2011-02.csv", ("CustomerID", "churned", "1", "snapshot"), ","),
        ("retail/2011-08.csv", ("CustomerID", "churned", "1", "snapshot"), ","),
    ],
)
def test_real_files_are_understood_without_a_question(
    real_data: Path, file: str, expected: tuple[str | None, ...], delimiter: str
) -> None:
    found = infer(real_data / file)
    assert (found.id, found.target, found.positive, found.date) == expected
    assert (found.csv.delimiter, found.csv.missing, found.questions) == (delimiter, (), ())
    round_trip(found)


@pytest.mark.realdata
def test_blank_charges_are_missing_numbers(real_data: Path) -> None:
    found = infer(real_data / "telco/telco-customer-churn.csv")
    assert found.columns["TotalCharges"] == Column(type=NUMBER)
    assert (found.columns["tenure"].type, found.exclude) == (INTEGER, ())


@pytest.mark.realdata
def test_the_length_of_the_call_is_found_to_leak(real_data: Path) -> None:
    assert infer(real_data / "bank_marketing/2008-05.csv").exclude == ("duration",)


# -- amounts ---------------------------------------------------------------------------------------------------


def test_a_target_of_many_numbers_that_was_named_is_an_amount(tmp_path: Path, customers: pd.DataFrame) -> None:
    path = write(tmp_path / "customers.csv", customers)
    found = infer(path, target="spend")
    assert (found.task, found.positive, found.questions) == (Task.REGRESSION, None, ())
    assert "task: regression, because `spend` has many different numbers" in found.notes
    given = parse(settings_text(found))
    assert (given.task, given.target, given.positive) == (Task.REGRESSION, "spend", None)
    assert infer(path, target="spend", positive=f"{customers['spend'][0]}").task is Task.CLASSIFICATION
    assert infer(path).task is Task.CLASSIFICATION
