from __future__ import annotations

from pathlib import Path

import pytest

from churnwatch.daemon.cli import cli
from churnwatch.daemon.hints import OF_A_HOME, at_home

WITHOUT_A_HOME = {"demo", "init", "explore", "read", "restore", "sample"}


def test_every_command_that_works_on_a_home_is_known() -> None:
    assert set(OF_A_HOME) == set(cli.commands) - WITHOUT_A_HOME


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("see `churnwatch show 3`", "see `churnwatch --home 'my shop' show 3`"),
        ("churnwatch runs, churnwatch run", "churnwatch --home 'my shop' runs, churnwatch --home 'my shop' run"),
        ("churnwatch init shop; churnwatch runner", "churnwatch init shop; churnwatch runner"),
    ],
)
def test_commands_get_the_home_and_no_other_words_do(text: str, said: str) -> None:
    assert at_home(text, Path("my shop")) == said
    assert at_home(text, Path()) == text
