"""What is documented is there, and what is there is documented.

docs/commands.md has a section `## NAME` for each command, in the order of `churnwatch --help`: its usage line as
`    churnwatch NAME …`, its first sentence as in `--help`, a table whose first cells are the options in backticks
(``| `-o, --output OUTPUT` | … |``), and its example. Tables in docs/settings.md begin with the setting in backticks;
those inside a section have its name before a dot, those of a column stand below a header `in a column`.
"""

from __future__ import annotations

import contextlib
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import msgspec
import pytest

from churnwatch.daemon.cli import cli
from churnwatch.pipeline.feature_step import plans
from churnwatch.pipeline.sample_settings import settings_for
from churnwatch.pipeline.settings import (
    Buckets,
    Column,
    Csv,
    Drifting,
    Gate,
    Offer,
    Packages,
    Pull,
    Retrain,
    Settings,
    SourceTable,
    Training,
    Value,
    parse,
)
from churnwatch.pipeline.settings_campaigns import Campaigns, ChurnRule, Goal
from churnwatch.pipeline.settings_notices import Alerts, Mail, Smtp
from churnwatch.pipeline.settings_serve import Serve

ROOT = Path(__file__).parents[1]
ROOMS = ("daemon", "serving", "reports", "pipeline")
DOCS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SECTIONS: dict[str, type[msgspec.Struct]] = {
    "csv": Csv,
    "buckets": Buckets,
    "training": Training,
    "gate": Gate,
    "drift": Drifting,
    "retrain": Retrain,
    "packages": Packages,
    "mail": Mail,
    "alerts": Alerts,
    "serve": Serve,
}
COMMANDS = (ROOT / "docs" / "commands.md").read_text()
SETTINGS = (ROOT / "docs" / "settings.md").read_text()


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)
def test_no_page_has_what_a_merge_left(path: Path) -> None:
    assert not re.findall(r"^(?:<{7}|={7}|>{7})(?: .*)?$", path.read_text(), flags=re.MULTILINE)


# -- settings --------------------------------------------------------------------------------------------------


def _tables(text: str) -> Iterator[tuple[str, list[tuple[str, ...]]]]:
    """Yield each table of a page: the first cell of its header, and its rows."""
    for block in re.findall(r"(?:^\|.*\n?)+", text, flags=re.MULTILINE):
        header, _, *rows = [
            tuple(cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip().strip("|")))
            for line in block.splitlines()
        ]
        yield header[0], rows


def _documented(kind: str) -> dict[str, str]:
    """Return the settings of all tables of this kind, with the default that is said of them."""
    rows = [row for header, table in _tables(SETTINGS) if header == kind for row in table]
    names = [row[0].strip("`") for row in rows]
    assert len(names) == len(set(names)), "a setting stands twice"
    return {name: row[1] for name, row in zip(names, rows, strict=True)}


def _defaults() -> dict[str, object]:
    """Return every setting with its default; those that have none are `NODEFAULT`."""
    found: dict[str, object] = {}
    for field in msgspec.structs.fields(Settings):
        parts = msgspec.structs.fields(SECTIONS[field.name]) if field.name in SECTIONS else (field,)
        for each in parts:
            name = f"{field.name}.{each.encode_name}" if field.name in SECTIONS else field.name
            made = each.default_factory
            found[name] = each.default if made is msgspec.NODEFAULT else made()
    return found


def test_every_setting_is_documented_and_every_documented_one_exists() -> None:
    assert _documented("setting").keys() == _defaults().keys()


def test_every_check_of_a_column_is_documented_and_every_documented_one_exists() -> None:
    assert _documented("in a column").keys() == set(Column.__struct_fields__)


def test_every_setting_of_a_source_is_documented_with_its_default() -> None:
    documented = _documented("in a source")
    fields = {field.name: field for field in msgspec.structs.fields(SourceTable)}
    assert documented.keys() == fields.keys()
    required = {name for name, field in fields.items() if field.required}
    assert {name for name, said in documented.items() if said == "must be given"} == required
    assert documented["windows"] == f"`[{', '.join(fields['windows'].default)}]`"


def test_every_setting_of_a_pull_is_documented_and_every_documented_one_exists() -> None:
    assert _documented("in a pull").keys() == set(Pull.__struct_fields__)


@pytest.mark.parametrize(("kind", "struct"), [("in a value", Value), ("in an offer", Offer)])
def test_every_setting_of_values_and_offers_is_documented_and_every_documented_one_exists(
    kind: str, struct: type[msgspec.Struct]
) -> None:
    assert _documented(kind).keys() == set(struct.__struct_fields__)


@pytest.mark.parametrize(("where", "kind"), [("campaigns", Campaigns), ("a goal", Goal), ("churn", ChurnRule)])
def test_every_setting_of_what_may_be_given_in_full_is_documented(where: str, kind: type[msgspec.Struct]) -> None:
    documented = _documented(f"in {where}")
    fields = {field.name: field for field in msgspec.structs.fields(kind)}
    assert documented.keys() == fields.keys()
    assert {name for name, said in documented.items() if said == "must be given"} == {
        name for name, field in fields.items() if field.required
    }


def test_every_setting_of_a_mail_server_is_documented_and_every_documented_one_exists() -> None:
    assert _documented("in a mail server").keys() == set(Smtp.__struct_fields__)


def test_every_section_of_settings_is_known_here() -> None:
    found = {
        field.name
        for field in msgspec.structs.fields(Settings)
        if isinstance(field.default, msgspec.Struct)
        or (field.default_factory is not msgspec.NODEFAULT and isinstance(field.default_factory(), msgspec.Struct))
    }
    assert found == SECTIONS.keys()


@pytest.mark.parametrize(("name", "said"), _documented("setting").items())
def test_the_default_that_is_documented_is_the_one_that_counts(name: str, said: str) -> None:
    default = _defaults()[name]
    if default is msgspec.NODEFAULT:
        assert said == "must be given"
    elif isinstance(default, bool | int | float):
        assert float(said.strip("`")) == default
    elif isinstance(default, str):
        assert said == f"`{default}`"
    elif default and isinstance(default, tuple):
        assert said == f"`[{', '.join(default)}]`"
    else:
        assert default in (None, (), {})
        assert "`" not in said  # words: there is no value


# -- commands --------------------------------------------------------------------------------------------------


def _sections() -> dict[str, str]:
    titles = re.split(r"^## (.+)\n", COMMANDS, flags=re.MULTILINE)[1:]
    return dict(zip(titles[::2], titles[1::2], strict=True))


def _options(command: click.Command) -> set[str]:
    """Return a command's options as `--help` has them, but for the hidden ones and for help itself."""
    return {
        name
        for option in command.params
        if isinstance(option, click.Option) and not option.hidden
        for name in option.opts
        if name not in {"-h", "--help"}
    }


def _flat(text: str) -> str:
    return " ".join(text.split())


def _commands(group: click.Group) -> dict[str, click.Command]:
    """Return commands by what is typed, those of a group inside it as `key create`."""
    found: dict[str, click.Command] = {}
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            found |= {f"{name} {inner}": each for inner, each in _commands(command).items()}
        else:
            found[name] = command
    return found


ALL_COMMANDS = _commands(cli)


def test_every_command_has_a_section_in_the_order_of_help() -> None:
    assert list(_sections()) == list(ALL_COMMANDS)


@pytest.mark.parametrize("name", list(ALL_COMMANDS))
def test_a_commands_section_says_what_its_help_says(name: str) -> None:
    command, section = ALL_COMMANDS[name], _sections()[name]
    named = [
        re.split(r"[,\s]+", row[0].strip("`"))
        for header, rows in _tables(section)
        if header == "option"
        for row in rows
    ]
    assert {word for words in named for word in words if word.startswith("-")} == _options(command)
    assert _flat(command.help or "") in _flat(section)
    for option in command.params:
        if isinstance(option, click.Option) and not option.hidden and option.help:
            assert _flat(option.help) in _flat(section), option.name
    assert f"    {getattr(command, 'example', None)}\n" in section
    usage = next(line.split() for line in section.splitlines() if line.startswith(f"    churnwatch {name}"))
    arguments = [p for p in command.params if isinstance(p, click.Argument)]
    context = click.Context(command, info_name=name)
    first = 1 + len(name.split())
    assert usage[first : first + len(arguments)] == [argument.make_metavar(context) for argument in arguments]


def test_every_command_stands_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text()
    assert [name for name in ALL_COMMANDS if f"churnwatch {name}" not in readme] == []


# -- command lines ---------------------------------------------------------------------------------------------

_PLACEHOLDERS = {"RUN": "1", "COMMAND": "status", "VERSION": "1"}


def _command_lines() -> Iterator[tuple[str, str]]:
    """Yield every line that somebody may paste: in indented blocks, and between backticks."""
    for file in DOCS:
        text = file.read_text()
        blocks = re.findall(r"^    (\S.*)$", text, flags=re.MULTILINE)
        inline = re.findall(r"`([^`\n]+)`", re.sub(r"^    .*$", "", text, flags=re.MULTILINE))
        for line in (*blocks, *inline):
            for part in line.split("&&"):
                found = re.match(r"(?:sudo (?:-u \S+ )?)?(?:uv run )?(?:\S*/bin/)?churnwatch (.*)", part.strip())
                if found and "[" not in found[1]:  # a usage line is none to paste
                    yield file.name, found[1]


LINES = sorted(set(_command_lines()))


def test_there_are_command_lines_to_look_at() -> None:
    assert len(LINES) > 30
    assert {"README.md", "commands.md", "operations.md"} <= {file for file, _ in LINES}


@pytest.mark.parametrize(("file", "line"), LINES)
def test_a_documented_command_line_parses(file: str, line: str) -> None:
    words = [_PLACEHOLDERS.get(word, word) for word in shlex.split(line, comments=True)]
    if line in ALL_COMMANDS:
        return  # a command is only named
    context = click.Context(cli, info_name="churnwatch", obj=Path(), **cli.context_settings)
    # `--help` and `--version` are done with once they are read
    with context, contextlib.suppress(click.exceptions.Exit):
        cli.parse_args(context, words)
        name, command, arguments = cli.resolve_command(context, [*context._protected_args, *context.args])
        while isinstance(command, click.Group):
            name, command, arguments = command.resolve_command(context, arguments)
        assert command is not None
        command.make_context(name, arguments, parent=context)


# -- examples --------------------------------------------------------------------------------------------------


def test_the_example_of_many_sources_is_the_one_that_the_sample_fits() -> None:
    text = (ROOT / "docs" / "kkbox" / "settings.yaml").read_text(encoding="utf-8")
    assert text == settings_for("kkbox")
    assert set(parse(text).sources) == {"members", "transactions", "logs"}


def test_settings_shown_in_the_page_on_sources_are_valid() -> None:
    page = (ROOT / "docs" / "sources.md").read_text(encoding="utf-8")
    [shown] = re.findall(r"```yaml\n(.*?)```", page, flags=re.DOTALL)
    given = parse(shown)
    assert [plan.source for plan in plans(given)] == ["bills", "calls"]


def test_settings_shown_in_the_page_on_churn_are_valid() -> None:
    [shown] = re.findall(
        r"```yaml\n(.*?)```", (ROOT / "docs" / "churn.md").read_text(encoding="utf-8"), flags=re.DOTALL
    )
    assert parse(shown).churn == ChurnRule(source="purchases", inactive_days=90)


# -- modules ---------------------------------------------------------------------------------------------------


def test_every_module_is_named_in_the_page_on_architecture() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    named = {name.rpartition("/")[2] for name in re.findall(r"`([\w/]+)`", page)}
    there = {path.stem for room in ROOMS for path in (ROOT / room).rglob("*.py")} - {"__init__"}
    assert sorted(there - named) == []
