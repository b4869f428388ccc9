"""Score functions: what each takes, what it may return, and what its result is called."""

# ruff: noqa: PLW0108 - how the lambdas are written is what is tested

from __future__ import annotations

import decimal
import functools
import math
import warnings
from collections.abc import Mapping

import numpy as np
import pytest

from glm_magic.chat.reply import Reply
from glm_magic.comparing.scoring import Scored, scorer
from glm_magic.errors import OptionError
from glm_magic.scores import equals, judge, length, prefers

ANSWER, BASE = Reply("Paris"), Reply("Lyon")
ROW = {"label": "Paris"}


def scored(*functions: object, **given: object) -> Scored:
    return scorer(list(functions)).score(ANSWER, **given)  # type: ignore[arg-type]


def error_of(function: object) -> str:
    found = scored(function, row=ROW, baseline=BASE)
    assert not found.values
    [error] = found.errors.values()
    return error


# --- what it takes ------------------------------------------------------------------------------


def seen(*arguments: object) -> int:
    """Return which arguments were given, as the digits of a number."""
    known = {id(ANSWER): 1, id(BASE): 2}
    return int("".join(str(known.get(id(one), 3 if one == ROW else 9)) for one in arguments))


class Polite:
    def __call__(self, reply: Reply, row: Mapping[str, object]) -> int:
        return seen(reply, row)

    def method(self, reply: Reply, row: Mapping[str, object]) -> int:
        return seen(reply, row)


def bound(reply: Reply, row: object, factor: int) -> int:
    return seen(reply, row) * factor


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        (lambda reply: seen(reply), 1),
        (lambda reply, row: seen(reply, row), 13),
        (lambda answer, fields: seen(answer, fields), 13),
        (lambda reply, baseline, row: seen(reply, baseline, row), 123),
        (lambda a, b, c: seen(a, b, c), 123),
        (lambda reply, baseline: seen(reply, baseline), 12),
        (lambda reply, row, baseline: seen(reply, row, baseline), 132),
        (lambda reply, *, row: seen(reply, row), 13),
        (lambda reply, row, /: seen(reply, row), 13),
        (lambda reply, factor=7, row=None: seen(reply, row) * (factor == 7), 13),
        (lambda reply, factor=1: seen(reply) * factor, 1),
        (lambda *replies: seen(*replies), 1),
        (lambda reply, **options: seen(reply) + len(options), 1),
        (functools.partial(bound, factor=2), 26),
        (functools.partial(bound, row=ROW, factor=1), 13),
        (Polite(), 13),
        (Polite().method, 13),
    ],
)
def test_a_function_gets_the_arguments_that_its_parameters_ask_for(function: object, arguments: int) -> None:
    [value] = scored(function, row=ROW, baseline=BASE).values.values()
    assert value == arguments


def test_a_row_or_baseline_that_there_is_not_leaves_a_default_alone() -> None:
    assert scored(lambda reply, row=4: row, lambda reply, baseline=5: baseline).values == {"score": 4, "score_2": 5}


def test_a_baseline_that_there_is_not_is_the_runs_error() -> None:
    assert scored(lambda reply, baseline: 1).errors == {"score": "there is no baseline for it"}


def test_a_row_that_is_wanted_where_there_are_none_is_refused_at_once() -> None:
    with pytest.raises(OptionError, match="right takes a row, but there are no rows"):
        scorer({"right": lambda reply, row: 1}, has_rows=False)
    scorer([equals("yes"), lambda reply, row=None: 1], has_rows=False)


async def asynchronous(reply: Reply) -> int:
    return 1


def generator(reply: Reply) -> object:
    yield 1


class NoSignature:
    __signature__ = "of another language"

    def __call__(self, reply: Reply) -> int:
        return 1


@pytest.mark.parametrize(
    ("function", "why"),
    [
        (3, "expected a function, got int"),
        ("right", "expected a function, got str"),
        (float, "expected a function, got the class float"),
        (lambda: 1, "takes no answer"),
        (lambda *, reply: 1, "takes no answer"),
        (lambda row: 1, r"takes \(row\), but the answer comes first"),
        (lambda a, b, c, d: 1, r"takes \(a, b, c, d\)"),
        (lambda reply, *, threshold: 1, r"takes \(reply, threshold\)"),
        (asynchronous, "asynchronous"),
        (generator, "generator"),
        (functools.partial(asynchronous), "asynchronous"),
        (equals, "is not a score yet"),
        (judge, "is not a score yet"),
        (NoSignature(), "signature is not known"),
    ],
)
def test_what_is_no_score_function_is_refused_at_once(function: object, why: str) -> None:
    with pytest.raises(OptionError, match=why):
        scorer([function])


# --- what it is called --------------------------------------------------------------------------


def test_scores_go_by_the_names_of_their_functions() -> None:
    functions = [length, equals("a"), lambda reply: 1, lambda reply: 2, functools.partial(bound, factor=1), Polite()]
    assert scorer(functions).names == ("length", "equals", "score", "score_2", "bound", "Polite")
    assert scorer({"right": equals("a"), "f": length}).names == ("right", "f")
    assert scorer(length).names == ("length",)
    assert scorer().names == ()


def test_a_dict_becomes_several_scores() -> None:
    def checks(reply: Reply) -> dict[str, object]:
        return {"short": True, "words": 1}

    assert scored(checks, length).values == {"checks.short": True, "checks.words": 1.0, "length": 5.0}


# --- what it returns ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("result", "value"),
    [
        (True, True),
        (np.False_, False),
        (2, 2.0),
        (np.int64(2), 2.0),
        (np.float32(0.5), 0.5),
        (np.array(0.5), 0.5),
        (decimal.Decimal("0.5"), 0.5),
    ],
)
def test_numbers_and_bools_of_any_library_are_scores(result: object, value: object) -> None:
    found = scored(lambda reply: result).values["score"]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("result", "why"),
    [
        (None, "TypeError: score returned None; is a return missing?"),
        ("good", "TypeError: score returned str; a score returns a number, a bool or a dict of them"),
        ([1], "TypeError: score returned list"),
        (np.array([1, 2]), "TypeError: score returned ndarray"),
        (1j, "TypeError: score returned complex"),
        (math.nan, "ValueError: score returned nan"),
        (math.inf, "ValueError: score returned inf"),
        (10**400, "OverflowError"),
        ({}, "ValueError: score returned an empty dict"),
        ({"a": "b"}, "TypeError: score.a returned str"),
        ({"a": {"b": 1}}, "TypeError: score.a returned dict"),
        ({1: 1}, "TypeError: score returned a dict with the key 1"),
    ],
)
def test_what_is_no_score_is_the_runs_error(result: object, why: str) -> None:
    assert error_of(lambda reply: result).startswith(why)


def test_a_coroutine_is_the_runs_error_and_no_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "returned coroutine" in error_of(lambda reply: asynchronous(reply))


def test_a_score_that_raises_is_an_error_of_its_own_alone() -> None:
    def fails(reply: Reply) -> float:
        raise ValueError("no number\x1b[31m in it")

    def leaves(reply: Reply) -> float:
        raise SystemExit(1)

    found = scored(fails, leaves, length)
    assert found.values == {"length": 5.0}
    assert found.errors == {"fails": "ValueError: no number [31m in it", "leaves": "SystemExit: 1"}


def test_an_interrupt_stops_the_scoring() -> None:
    def stopped(reply: Reply) -> float:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        scored(stopped)


def test_a_function_cannot_change_the_row() -> None:
    row = dict(ROW)
    scored(lambda reply, row: row.clear() or 1, row=row)
    assert row == ROW


# --- judges -------------------------------------------------------------------------------------


def test_a_judge_scores_beside_a_function() -> None:
    def ask(prompt: str, settings: Mapping[str, object]) -> Reply:
        return Reply("VERDICT: 4")

    found = scored(judge("Polite?"), length, ask=ask)
    assert found == Scored({"judge": 4.0, "length": 5.0})


def test_a_judges_failure_is_told_apart() -> None:
    def ask(prompt: str, settings: Mapping[str, object]) -> Reply:
        return Reply("Rather polite.")

    found = scored(judge("Polite?"), lambda reply: 1 / 0, ask=ask)
    assert found.errors == {
        "judge": "The judge gave no verdict; it ended with: Rather polite.",
        "score": "ZeroDivisionError: division by zero",
    }
    assert scored(judge("Polite?")).errors == {"judge": "No model can be asked here."}


def test_a_scorer_says_what_it_needs() -> None:
    made = judge("Polite?")
    assert scorer([length, made]).judges == (made,)
    assert not scorer([length, made]).is_pairwise
    assert scorer([prefers("Which?")]).is_pairwise
    assert scorer(lambda reply, baseline, row: 1).is_pairwise


def test_the_baselines_own_answer_is_a_tie_with_itself() -> None:
    assert scorer(prefers("Which?")).score(BASE, baseline=BASE, ask=lambda *_: BASE).values == {"prefers": 0.5}
