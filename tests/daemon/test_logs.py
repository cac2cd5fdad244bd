from __future__ import annotations

from pathlib import Path

import pytest

from churnwatch.daemon.logs import keep_traceback, traceback_of


def _raised(error: BaseException, cause: BaseException | None = None) -> BaseException:
    try:
        raise error from cause
    except type(error) as caught:
        return caught


def test_a_traceback_has_the_places_and_kinds_of_the_whole_chain_and_no_words_of_theirs(tmp_path: Path) -> None:
    error = _raised(KeyError("a customer"), _raised(ValueError("a value")))
    told = traceback_of(error)
    assert told.index("ValueError (its words are left out)") < told.index("which led to:") < told.index("KeyError")
    assert "raise error from cause" in told
    assert not {"a customer", "a value"} & set(told.split("'"))
    assert keep_traceback(tmp_path, error) is not None


@pytest.mark.parametrize("length", [1, 2, 3000])
def test_a_chain_that_leads_back_to_itself_or_is_very_long_has_an_end(length: int) -> None:
    errors: list[BaseException] = [ValueError(str(number)) for number in range(length)]
    for error, cause in zip(errors, [*errors[1:], errors[0]], strict=True):
        error.__cause__ = cause
    assert 0 < traceback_of(errors[0]).count("ValueError (its words") <= 50
