"""Making a home."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from churnwatch.pipeline import files, settings
from churnwatch.pipeline.errors import UsageError
from churnwatch.pipeline.firstlook.infer import Inference, Question, classic_settings_text, infer, settings_text

Ask = Callable[[str, tuple[str, ...]], str]
Tell = Callable[[str], None]


@dataclass(frozen=True)
class _Given:
    """What the user said on the command line, or answered."""

    id: str | None
    target: str | None
    positive: str | None
    date: str | None = None
    exclude: tuple[str, ...] = ()

    def answered(self, question: Question, answer: str) -> _Given:
        """Add an answer."""
        known: dict[str, Any] = {question.field: answer}
        return replace(self, **known)


def init(
    folder: Path,
    *,
    sample: Path | None,
    config: Path | None,
    id_: str | None,
    target: str | None,
    positive: str | None,
    exclude: Sequence[str],
    ask: Ask | None,
    tell: Tell,
) -> None:
    """Make a home, from a sample or from the classic exercise's config.

    Args:
        folder: the home; must not be one yet.
        sample: a CSV to infer the settings from.
        config: the classic exercise's config.json.
        id_: the column that names a customer.
        target: the column that says who left.
        positive: the target's value that means so.
        exclude: columns not to learn from.
        ask: puts a question with its possible answers; None where nobody is there to answer.
        tell: takes each line for the terminal.

    Raises:
        UsageError: it is a home already, or something cannot be told and nobody is there to answer.
    """
    file = folder / settings.FILE_NAME
    if file.exists():
        raise UsageError(f"{folder} is a home already; edit its {settings.FILE_NAME}, or choose another folder.")
    if (sample is None) == (config is None):
        raise UsageError(
            "name a CSV to begin from: churnwatch init DIR --from CUSTOMERS.csv (or --from-config CONFIG.json)."
        )
    if config is not None:
        text = classic_settings_text(config)
    else:
        assert sample is not None  # noqa: S101 - one of the two was given
        found = _inferred(sample, _Given(id_, target, positive, exclude=tuple(exclude)), ask)
        for note in found.notes:
            tell(f"  {note}")
        text = settings_text(found)
    settings.parse(text, str(file))
    folder.mkdir(parents=True, exist_ok=True)
    files.write_text(file, text)
    home = settings.load(folder)
    for each in (*home.folders(), home.tests):
        each.mkdir(parents=True, exist_ok=True)
    at = "" if folder == Path() else f"--home {folder} "
    tell(f"\n{file} says it all, with a word on each setting; look it over. Then:")
    tell(f"    cp CUSTOMERS.csv {home.source if folder.is_absolute() else folder / home.settings.source_folder}/")
    tell(f"    churnwatch {at}run        (the daemon; or once: churnwatch {at}run --once)")
    tell(f"    churnwatch {at}customers  (in another terminal: whom to call, and why)")


def _inferred(sample: Path, given: _Given, ask: Ask | None) -> Inference:
    """Infer, and put the questions that are left, each answer helping with the next."""
    while True:
        found = infer(
            sample, id=given.id, target=given.target, positive=given.positive, date=given.date, exclude=given.exclude
        )
        if not found.questions:
            return found
        question = found.questions[0]
        answer = _answer(question, ask)
        given = given.answered(question, answer)


def _answer(question: Question, ask: Ask | None) -> str:
    if ask is None:
        choices = ", ".join(question.candidates)
        raise UsageError(f"{question.text} Say it with --{question.field}; it could be one of: {choices}.")
    return ask(question.text, question.candidates)
