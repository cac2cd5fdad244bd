from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from churnwatch.pipeline import settings, settings_forms
from churnwatch.pipeline.errors import SettingsError
from churnwatch.pipeline.settings import Column, ColumnType, Gate, Home, Policy, Settings, parse

LEAST = "target: left\npositive: Yes\n"


def _refused(text: str) -> str:
    with pytest.raises(SettingsError) as caught:
        parse(text)
    return str(caught.value)


# -- scalars stay as they are written --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "written", ["Yes", "no", "true", "1", "00123", "1.0", "0x1F", "1e3", "2026-01-01", "~", "null", "on"]
)
def test_a_text_stays_as_it_is_written(written: str) -> None:
    assert parse(f"target: left\npositive: {written}\n").positive == written


def test_texts_in_lists_stay_as_they_are_written() -> None:
    found = parse(
        f"{LEAST}csv: {{missing: [NA, 00, no, '', -]}}\ncolumns: {{left: {{type: text, allowed: [Yes, No, 1]}}}}"
    )
    assert found.csv.missing == ("NA", "00", "no", "", "-")
    assert found.declared["left"].allowed == ("Yes", "No", "1")


def test_numbers_are_numbers_where_numbers_are_wanted() -> None:
    found = parse(f"{LEAST}holdout_batches: 7\nstability_s: 2\ntraining: {{folds: 3, max_gap: 0.25}}")
    assert (found.holdout_batches, found.stability_s, found.training.folds, found.training.max_gap) == (7, 2.0, 3, 0.25)


@pytest.mark.parametrize(
    ("written", "value"),
    [("0.1", 0.1), ("1", 1), ("0", 0), ("100", 100), ("1.0", 1.0), ("true", True), ("false", False),
     ("balanced", "balanced"), ("1e-3", 0.001), ("-5", -5), ("'5'", "5"), ("l1", "l1"), ("1.2.3", "1.2.3")],
)  # fmt: skip
def test_parameters_have_the_type_that_is_written(written: str, value: object) -> None:
    found = parse(f"{LEAST}training: {{parameters: {{logistic: {{C: {written}}}}}}}").training.parameters["logistic"][
        "C"
    ]
    assert found == value
    assert type(found) is type(value)


def test_an_empty_value_counts_as_not_given() -> None:
    assert parse(f"{LEAST}id:\ndate:\ngate:\ncolumns:\n") == parse(LEAST)


def test_an_empty_text_is_no_name() -> None:
    assert _refused(f"{LEAST}id: ''\n").startswith("settings.yaml, line 3: id: Expected `str` of length >= 1")


def test_wrong_lists_and_keys_are_told_by_their_setting() -> None:
    said = _refused(f"{LEAST}training: {{estimators: []}}\n")
    assert said.startswith("settings.yaml, line 3: training.estimators: Expected `array` of length >= 1")
    said = _refused(f"{LEAST}gate: {{guards: {{recal: 0.1}}}}\n")
    assert said.startswith("settings.yaml, line 3: gate.guards: Invalid enum value 'recal'")


# -- shorthand -------------------------------------------------------------------------------------------------


def test_a_policy_alone_is_a_gate() -> None:
    assert parse(f"{LEAST}gate: better\n").gating == Gate(policy=Policy.BETTER)
    assert parse(LEAST).gating == Gate()
    assert parse(f"{LEAST}gate: {{alpha: 0.1}}\n").gating == Gate(alpha=0.1)


def test_a_type_alone_is_a_column() -> None:
    found = parse(f"{LEAST}columns:\n  left: text\n  n: {{type: integer, min: 0}}\n")
    assert found.declared == {"left": Column(type=ColumnType.TEXT), "n": Column(type=ColumnType.INTEGER, min=0)}


# -- what is wrong is named ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"{LEAST}gat: better", "settings.yaml, line 3: gat: no such setting; did you mean `gate`?."),
        (f"{LEAST}\n# why\ntraining:\n  fold: 3",
         "settings.yaml, line 6: training.fold: no such setting; did you mean `folds`?."),
        (f"{LEAST}zzz: 1", "settings.yaml, line 3: zzz: no such setting; see docs/settings.md."),
        (f"{LEAST}gate:\n  policy: proven\n  alpha: 2",
         "settings.yaml, line 5: gate.alpha: Expected `float` < 1.0."),
        (f"{LEAST}gate: bettr", "settings.yaml, line 3: gate: Invalid enum value 'bettr'."),
        (f"{LEAST}holdout_batches: many", "settings.yaml, line 3: holdout_batches: Expected `int`, got `str`."),
        (f"{LEAST}exclude: [a, [b]]", "settings.yaml, line 3: exclude.1: Expected `str`, got `array`."),
        ("positive: Yes", "settings.yaml: settings: Object missing required field `target`."),
        ("", "settings.yaml: settings: Object missing required field `target`."),
        ("- target", "settings.yaml: settings: Expected `object`, got `array`."),
        ("just words", "settings.yaml: settings: Expected `object`, got `str`."),
    ],
)  # fmt: skip
def test_a_wrong_setting_is_named_with_line_and_reason(text: str, message: str) -> None:
    assert _refused(text) == message


def test_a_wrong_setting_of_a_column_is_found_in_its_line() -> None:
    message = _refused(f"{LEAST}columns:\n  left: text\n  n:\n    type: integer\n    mn: 3\n")
    assert message == "settings.yaml, line 7: columns.n.mn: no such setting; did you mean `min`?."


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("target: [left\npositive: x\n", 2),
        ("target: left\n\tpositive: x\n", 2),
        ("a: b: c\n", 1),
        ("target: 'left\n", 2),
    ],
)
def test_broken_yaml_is_named_with_its_line(text: str, line: int) -> None:
    assert _refused(text).startswith(f"settings.yaml, line {line}: not valid YAML: ")


@pytest.mark.parametrize("built", ["object/apply:os.system", "object/new:os.system", "name:os.system", "module:os"])
def test_settings_build_nothing_but_plain_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, built: str) -> None:
    monkeypatch.chdir(tmp_path)
    _refused(f"{LEAST}exclude: !!python/{built} {{args: [touch owned]}}\n")
    _refused(f"{LEAST}training: !!python/{built} [touch owned]\n")
    _refused(f"{LEAST}training: {{parameters: {{logistic: {{C: !!python/{built} [touch owned]}}}}}}\n")
    made = parse(f"{LEAST}exclude: !!python/{built} [touch owned]\n")
    assert made.exclude == ("touch owned",)
    assert list(tmp_path.iterdir()) == []


def test_a_setting_that_stands_twice_is_refused() -> None:
    assert _refused(f"{LEAST}target: other\n") == "settings.yaml, line 3: not valid YAML: `target` stands twice."
    assert "`n` stands twice" in _refused(f"{LEAST}columns:\n  left: text\n  n: text\n  n: number\n")


@pytest.mark.parametrize("text", ["---\na: b\n---\nc: d\n", "? [a]\n: b\n", "a: &x [*x]\n", "a: \0\n"])
def test_yaml_that_is_no_list_of_settings_is_refused(text: str) -> None:
    assert "settings.yaml" in _refused(text)


@pytest.mark.parametrize(
    ("more", "setting", "line", "reason"),
    [
        ("columns: {n: number}", "target", 1, "`left` is not one of `columns`"),
        ("columns: {left: text}\nid: who", "id", 4, "`who` is not one of `columns`"),
        ("columns: {left: text}\ndate: day", "date", 4, "`day` is not one of `columns`"),
        ("columns: {left: text}\nkey: [left, n]", "key", 4, "`n` is not one of `columns`"),
        ("on_conflict: latest", "on_conflict", 3, "`latest` needs a `key` to tell which rows are the same"),
        ("exclude: [left]", "target", 1, "the target cannot be excluded"),
        ("forbidden: [left]", "target", 1, "the target cannot be excluded"),
    ],
)
def test_settings_that_do_not_fit_together_are_refused(more: str, setting: str, line: int, reason: str) -> None:
    assert _refused(f"{LEAST}{more}\n") == f"settings.yaml, line {line}: {setting}: {reason}."


def test_what_is_served_is_not_logged_into_the_ledger() -> None:
    with pytest.raises(SettingsError, match=r"line 3: serve\.log: is the ledger; what is served has a file of its own"):
        parse("target: left\npositive: yes\nserve: {log: churnwatch.db}\n")


@pytest.mark.parametrize("bound", ["inf", "nan", "-inf"])
def test_a_bound_that_is_no_number_is_refused(bound: str) -> None:
    assert "columns" in _refused(f"{LEAST}columns: {{left: text, n: {{type: number, max: {bound}}}}}\n")


def test_a_bound_that_a_type_knows_nothing_of_may_stand_there() -> None:
    assert parse(f"{LEAST}columns: {{left: {{type: text, min: 1}}}}\n").declared["left"].min == 1


# -- identity --------------------------------------------------------------------------------------------------


def test_the_hash_is_of_values_not_of_how_they_are_written() -> None:
    one = parse("target: left\npositive: Yes\nexclude: [a]\n")
    other = parse("# mine\npositive: 'Yes'\ntarget: \"left\"\nexclude:\n  - a\ngate:\n  policy: proven\n")
    assert one.sha256 == parse("exclude: [a]\npositive: Yes\ntarget: left\n").sha256
    assert one.canonical() == parse("positive: Yes\ntarget: left\nexclude: [a]\nstability_s: 1.0\n").canonical()
    assert one.gating == other.gating


@pytest.mark.parametrize("more", ["exclude: [a]", "gate: better", "training: {seed: 1}", "columns: {left: text}",
                                  "stability_s: 1.5", "report: other.html"])  # fmt: skip
def test_the_hash_changes_with_any_value(more: str) -> None:
    assert parse(f"{LEAST}{more}\n").sha256 != parse(LEAST).sha256


def test_the_canonical_text_has_every_setting_and_can_be_read_back() -> None:
    found = parse(LEAST)
    told = json.loads(found.canonical())
    assert set(told) == set(Settings.__struct_fields__)
    assert told["training"]["estimators"] == ["logistic", "boosting", "deep_boosting", "stacking"]


# -- a home ----------------------------------------------------------------------------------------------------


def test_a_home_knows_its_folders(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    (tmp_path / "settings.yaml").write_text(f"{LEAST}source_folder: in\nmodels_folder: {elsewhere}\n")
    home = settings.load(tmp_path)
    assert isinstance(home, Home)
    assert (home.source, home.models, home.ledger) == (tmp_path / "in", elsewhere, tmp_path / "churnwatch.db")
    assert home.state == tmp_path / ".churnwatch"
    assert set(home.folders()) == {
        home.source,
        home.ingested,
        home.models,
        home.deployment,
        home.predictions,
        home.state,
    }
    assert (home.tests, home.report) == (tmp_path / "testdata", tmp_path / "report.html")


def test_a_folder_without_settings_is_no_home(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"is no home: it has no settings\.yaml\. Make one: churnwatch init "):
        settings.load(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match="is no home"):
        settings.load(tmp_path / "file")


def test_settings_that_cannot_be_read_are_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "settings.yaml").write_bytes("target: g\xe4nge\n".encode("latin-1"))
    with pytest.raises(SettingsError, match=r"settings\.yaml: cannot be read \(.*\)\. Mend its rights or its encoding"):
        settings.load(tmp_path)
    (tmp_path / "settings.yaml").unlink()
    (tmp_path / "settings.yaml").mkdir()
    with pytest.raises(SettingsError, match="cannot be read"):
        settings.load(tmp_path)


def test_a_message_names_the_file(tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("\ufefftarget: left\npositve: Yes\n")
    with pytest.raises(SettingsError) as caught:
        settings.load(tmp_path)
    assert str(caught.value) == f"{file}, line 2: positve: no such setting; did you mean `positive`?."


# -- sources ---------------------------------------------------------------------------------------------------

SOURCES = """\
target: left
positive: 1
id: id
date: day
sources:
  logs:
    files: "logs*.csv"
    key: id
    time: at
    columns: {id: text, at: date, n: number}
"""


def test_sources_are_read_with_their_defaults() -> None:
    given = settings.parse(SOURCES)
    assert given.sources["logs"].windows == ("30d", "all")
    assert given.sources["logs"].declared["n"].type == "number"
    assert (given.snapshot, given.horizon_days, given.engine) == ("date", 0, "duckdb")


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("id: id\ndate", "date", "`sources` are joined by the customer's `id`"),
        ("date: day\n", "", "`date` is needed to tell when a prediction was made"),
        ("date: day\n", "date: day\nsnapshot: 2026-02-30\n", "there is no day `2026-02-30`"),
        ("  logs:", "  Logs:", "a source's name is made of a-z, 0-9 and _"),
        ("  logs:", "  exchange:", "a name that churnwatch itself uses"),
        ('"logs*.csv"', '"/logs*.csv"', "a glob of file names, below one folder"),
        ('"logs*.csv"', '"a/b/logs*.csv"', "a glob of file names, below one folder"),
        ('"logs*.csv"', '"l*/logs*.csv"', "its folder must be one folder, not a glob"),
        ("key: id", "key: who", "`who` is not one of its `columns`"),
        ("time: at", "time: n", "column `n` must be of type date"),
        ("n: number}", "n: number}\n    computed: {n: 'n + 1'}", "`n` is one of its `columns` already"),
        ("n: number}", "n: number}\n    windows: [0d]", "sources.logs.windows.0: "),
        ("n: number}", "n: nmber}", "settings.yaml, line 10: sources.logs.columns.n: Invalid enum value 'nmber'"),
    ],
)
def test_a_source_that_cannot_be_joined_is_refused(old: str, new: str, says: str) -> None:
    assert old in SOURCES
    with pytest.raises(SettingsError) as raised:
        settings.parse(SOURCES.replace(old, new))
    assert says in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("labels: l*.csv", "they are joined to requests by the customer's `id`"),
        ("id: id\nlabels: a/b/l*.csv", "below one folder of the source folder at most"),
        ("id: id\nlabels: l*/l.csv", "its folder must be one folder"),
    ],
)
def test_labels_that_cannot_be_joined_to_requests_are_refused(given: str, says: str) -> None:
    with pytest.raises(SettingsError) as raised:
        settings.parse(f"target: left\npositive: 1\n{given}\n")
    assert says in str(raised.value)
    assert "labels" in str(raised.value)


def test_late_labels_may_lie_in_a_folder_of_their_own(tmp_path: Path) -> None:
    given = settings.parse("target: left\npositive: 1\nid: id\nlabels: outcomes/*.csv\n")
    assert given.late_labels == "outcomes/*.csv"
    assert settings.Home(tmp_path, given).subfolders == ("outcomes",)


def test_what_goes_with_sources_alone_is_refused_without_them() -> None:
    with pytest.raises(SettingsError, match="there are no `sources` that it could go with"):
        settings.parse("target: left\npositive: 1\nexpressions: {a: '1'}\n")


# -- texts that have a form ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("horizon: 3", "horizon: must be a number of days such as `30d`, at most `9999d`."),
        ("snapshot: weekly", "snapshot: must be `date`, `monthly`, or one day such as `2026-03-31`."),
        ("engine: spark", "engine: must be `duckdb`, or the address of a Spark server, such as `sc://host:15002`."),
        ("training: {cluster: x}", "training.cluster: must be the address of a Dask scheduler, such as"),
        ("retrain: {every: weekly}", "retrain.every: must be a number of days such as `7d`, at least `1d`."),
    ],
)
def test_what_does_not_fit_a_form_is_told_what_fits(text: str, said: str) -> None:
    assert f"settings.yaml, line 3: {said}" in _refused(f"{LEAST}{text}\n")


def test_no_message_shows_a_pattern() -> None:
    nodes: list[Any] = [msgspec.json.schema(Settings)]
    patterns = set()
    while nodes:
        node = nodes.pop()
        children = node.values() if isinstance(node, dict) else node
        nodes += [each for each in children if isinstance(each, dict | list)]
        patterns |= {node["pattern"]} if isinstance(node, dict) and isinstance(node.get("pattern"), str) else set()
    assert patterns == set(settings_forms.IN_WORDS)


# -- training --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("window", "why"),
    [
        ("last 0 batches", "training.window: must be `all`, `compare`, `last 6 batches` with any number"),
        ("newest", "training.window: must be `all`"),
        ("since 2026-02-30", "training.window: there is no day `2026-02-30`"),
        ("since 2026-01-31", "training.window: `since` needs `date`, the column with the rows' dates"),
    ],
)
def test_a_window_that_means_nothing_is_refused(window: str, why: str) -> None:
    with pytest.raises(SettingsError) as refused:
        parse(f"target: left\npositive: yes\ntraining:\n  window: {window}\n")
    assert f"settings.yaml, line 4: {why}" in str(refused.value)


@pytest.mark.parametrize("window", ["all", "compare", "last 1 batch", "last 12 batches", "since 2026-01-31"])
def test_windows_are_said_in_words(window: str) -> None:
    text = f"target: left\npositive: yes\ndate: day\ntraining: {{window: {window}}}\n"
    assert parse(text).training.window == window


def test_bands_of_drift_that_fall_are_refused() -> None:
    with pytest.raises(SettingsError, match=r"drift: `watch`, `retrain` and `search` must not fall"):
        parse(f"{LEAST}drift: {{retrain: 12}}\n")


def test_last_year_is_told_by_the_date() -> None:
    with pytest.raises(SettingsError, match=r"drift\.reference: `last_year` is told by the rows' `date`"):
        parse(f"{LEAST}drift: {{reference: last_year}}\n")
    assert parse(f"{LEAST}date: d\ndrift: {{reference: last_year}}\n").drift.reference == "last_year"


@pytest.mark.parametrize(("given", "days"), [("", None), ("retrain: {every: 14d}\n", 14)])
def test_when_a_model_is_trained(given: str, days: int | None) -> None:
    assert parse(LEAST + given).retrain.every_days == days
    assert parse(LEAST + given).retrain.when == "drop"


# -- regression ------------------------------------------------------------------------------------------------


def test_a_regression_has_defaults_of_its_own() -> None:
    given = parse("target: lost\ntask: regression\n")
    assert (given.gating.metric, given.training.estimators) == ("mae", ("linear", "boosting"))
    short = parse("target: lost\ntask: regression\ngate: better\ntraining: {folds: 3}\n")
    assert (short.gating.policy, short.gating.metric, short.training.folds) == ("better", "mae", 3)
    chosen = parse("target: lost\ntask: regression\ngate: {metric: r2}\ntraining: {estimators: [boosting]}\n")
    assert (chosen.gating.metric, chosen.training.estimators) == ("r2", ("boosting",))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("task: classification", "settings: Object missing required field `positive`."),
        ("task: regresion", "line 2: task: Invalid enum value 'regresion'."),
        ("positive: 1\ngate: {metric: mae}", "gate.metric: a classification has no `mae`; it has f1, "),
        ("task: regression\npositive: 1", "line 3: positive: a regression predicts an amount, no value of its own."),
        ("task: regression\nacceptance: a.csv", "acceptance: holds decisions and probabilities"),
        ("task: regression\ngate: strict", "gate.policy: `strict` bets on decisions; a regression has `proven`,"),
        ("task: regression\ngate: {metric: f1}", "gate.metric: a regression has no `f1`; it has mae, mape, rmse, r2."),
        ("task: regression\ngate: {guards: {recall: 0}}", "gate.guards: a regression has no `recall`; it has mae,"),
        ("task: regression\ntraining: {class_weight: balanced}", "training.class_weight: is of classes; a regression"),
        ("task: regression\ntraining: {metric: accuracy}", "training.metric: is of classes; a regression has none."),
        (
            "task: regression\ntraining: {calibration: none}",
            "training.calibration: is of classes; a regression has none.",
        ),
        ("task: regression\ntraining: {mode: search}", "training.mode: only where classes are predicted."),
        ("task: regression\ntraining: {window: compare}", "training.window: only where classes are predicted."),
        ("task: regression\ntraining: {half_life: 2}", "training.half_life: only where classes are predicted."),
        ("task: regression\ngate: []", "gate.policy: Expected `str`, got `array`."),
    ],
)
def test_what_does_not_fit_the_task_is_refused_in_a_line(text: str, said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse(f"target: lost\n{text}\n")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
