"""Applies the functions of ``--score``: what each takes, what it may return, and what its result is called."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from inspect import Parameter
from typing import Any, TypeAlias

from glm_magic.chat.reply import Reply
from glm_magic.comparing import scores as ready
from glm_magic.comparing.judges import Ask, Judge, judge, prefers
from glm_magic.errors import JudgeError, OptionError, described, quoted
from glm_magic.settings.setting import plain

Value: TypeAlias = "float | bool"

_TAKES = "A score is a function (reply), (reply, row) or (reply, baseline, row)."
_RETURNS = "a score returns a number, a bool or a dict of them"
_MAKERS = (ready.equals, ready.contains, ready.matches, ready.schema_valid, ready.similar, judge, prefers)
_LAMBDA = "score"  # what a function without a name is called


@dataclass(frozen=True, slots=True)
class Scored:
    """The scores of one answer: their `values` by name, and `errors` by the names of the functions that failed."""

    values: Mapping[str, Value] = field(default_factory=dict)
    errors: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Function:
    """A score function: its name, and which of ``reply``, ``baseline`` and ``row`` it takes where.

    `wants` are the arguments that it cannot do without. It is called with `positional` in that order, and `named` maps
    its other parameters to arguments.
    """

    name: str
    call: Callable[..., object]
    positional: tuple[str, ...]
    named: Mapping[str, str]
    wants: frozenset[str]


class Scorer:
    """The score functions of a comparison. The first score of the first function decides."""

    def __init__(self, functions: Iterable[Function]) -> None:
        self._functions = tuple(functions)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the functions."""
        return tuple(one.name for one in self._functions)

    @property
    def judges(self) -> tuple[Judge, ...]:
        """The functions that ask a model."""
        return tuple(one.call for one in self._functions if isinstance(one.call, Judge))

    @property
    def is_pairwise(self) -> bool:
        """Whether a function compares answers with the baseline's, so that another baseline changes its scores."""
        return any("baseline" in (*one.positional, *one.named.values()) for one in self._functions)

    def score(
        self,
        reply: Reply,
        *,
        row: Mapping[str, Any] | None = None,
        baseline: Reply | None = None,
        ask: Ask | None = None,
    ) -> Scored:
        """Return the scores of an answer; a function that fails is an error among them, and none is raised.

        `baseline` is the answer that stands in the same row and repeat of the baseline, `reply` itself for an answer
        of the baseline. `ask` asks a model for the judges.
        """
        given = {"reply": reply, "row": None if row is None else dict(row), "baseline": baseline}
        parts = [_scored(one, given, ask) for one in self._functions]
        return Scored(
            values={name: value for part in parts for name, value in part.values.items()},
            errors={name: error for part in parts for name, error in part.errors.items()},
        )


def scorer(scores: object = (), *, has_rows: bool = True) -> Scorer:
    """Return the scorer of a function, of several, or of functions by name.

    Without a name of its own in a mapping, a function goes by its ``__name__``, or ``score`` if it is a lambda; of two
    equal names the second gets ``_2``. Raises `OptionError` for what is no score function, and for a function that
    cannot do without a row where there are none.
    """
    if isinstance(scores, Mapping):
        named = [(str(name), score) for name, score in scores.items()]
    else:
        several = list(scores) if isinstance(scores, (list, tuple)) else [scores]
        names: list[str] = []
        for score in several:
            names.append(_free(_name_of(score), names))
        named = list(zip(names, several, strict=True))
    functions = [_function(name, score) for name, score in named]
    for one in functions:
        if "row" in one.wants and not has_rows:
            raise OptionError(
                f"The score {one.name} takes a row, but there are no rows.",
                "Rows come with --each, or compare(rows=…).",
            )
    return Scorer(functions)


def _free(name: str, taken: list[str]) -> str:
    """Return `name`, with a number where it is taken."""
    free, number = name, 1
    while free in taken:
        number += 1
        free = f"{name}_{number}"
    return free


def _name_of(score: object) -> str:
    while isinstance(score, partial):
        score = score.func
    name = getattr(score, "__name__", None)
    if not isinstance(name, str):
        return type(score).__name__
    return _LAMBDA if name == "<lambda>" else name


# --- what a function takes ----------------------------------------------------------------------


def _function(name: str, score: object) -> Function:
    """Return a score function with what it takes. Raises `OptionError` if it is none."""
    if isinstance(score, Judge):
        roles = ("reply", "baseline") if score.is_pairwise else ("reply",)
        return Function(name, score, roles, {}, frozenset(roles))
    called = f"The score {quoted(name)}"
    if any(score is maker for maker in _MAKERS):
        raise OptionError(
            f"{called} is not a score yet: it makes one.", f"{name} = glm_magic.scores.{name}(…), then --score {name}"
        )
    if isinstance(score, type) or not callable(score):
        kind = f"the class {score.__name__}" if isinstance(score, type) else type(score).__name__
        raise OptionError(f"{called}: expected a function, got {kind}.", _TAKES)
    if any(check(one) for check in _ASYNC for one in (score, getattr(score, "__call__", None))):  # noqa: B004
        raise OptionError(f"{called} is asynchronous or a generator; a score is a plain function.", _TAKES)
    try:
        parameters = list(inspect.signature(score).parameters.values())
    except (TypeError, ValueError) as error:  # some functions written in C have no signature
        raise OptionError(f"{called}: its signature is not known: {quoted(str(error))}", _TAKES) from None
    bound = score.keywords if isinstance(score, partial) else {}
    return _with_roles(name, score, [one for one in parameters if one.name not in bound], called)


_ASYNC = (inspect.iscoroutinefunction, inspect.isasyncgenfunction, inspect.isgeneratorfunction)
_BY_PLACE = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)


def _with_roles(name: str, score: Callable[..., object], parameters: list[Parameter], called: str) -> Function:
    """Return the function with the argument for each of its parameters: by the parameter's name, else by its place."""
    if not parameters or parameters[0].kind not in (*_BY_PLACE, Parameter.VAR_POSITIONAL):
        raise OptionError(f"{called} takes no answer.", _TAKES)
    first, *others = parameters
    if first.name in ("row", "baseline"):
        raise OptionError(f"{called} takes {_written(parameters)}, but the answer comes first.", _TAKES)
    plain_ones = [one for one in others if one.kind not in (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)]
    by_name = [one for one in plain_ones if one.name in ("row", "baseline")]
    left = [role for role in ("baseline", "row") if role not in {one.name for one in by_name}]
    required = [one for one in plain_ones if one not in by_name and one.default is Parameter.empty]
    if len(required) > len(left) or any(one.kind not in _BY_PLACE for one in required):
        raise OptionError(f"{called} takes {_written(parameters)}.", _TAKES)
    # a single one is the row
    roles = {one.name: one.name for one in by_name}
    roles |= {one.name: role for one, role in zip(required, left[len(left) - len(required) :], strict=True)}
    only_by_place = [
        roles[one.name] for one in plain_ones if one.kind is Parameter.POSITIONAL_ONLY and one.name in roles
    ]
    named = {
        one.name: roles[one.name]
        for one in plain_ones
        if one.name in roles and one.kind is not Parameter.POSITIONAL_ONLY
    }
    optional = {one.name for one in plain_ones if one.default is not Parameter.empty}
    wants = {"reply", *(role for parameter, role in roles.items() if parameter not in optional)}
    return Function(name, score, ("reply", *only_by_place), named, frozenset(wants))


def _written(parameters: list[Parameter]) -> str:
    return f"({', '.join(one.name for one in parameters)})"


# --- what a function returns --------------------------------------------------------------------


def _scored(one: Function, given: Mapping[str, Any], ask: Ask | None) -> Scored:
    """Return the scores of one function."""
    missing = [name for name in sorted(one.wants) if given[name] is None]
    if missing:
        return Scored(errors={one.name: f"there is no {missing[0]} for it"})
    try:
        if not isinstance(one.call, Judge):
            return Scored(_values(one.name, _called(one, given)))
        if ask is None:
            raise JudgeError("No model can be asked here.")
        return Scored({one.name: one.call.score(ask, given["reply"], given["baseline"], given["row"])})
    except JudgeError as error:
        return Scored(errors={one.name: error.what})
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # the person's own code, which may raise SystemExit
        return Scored(errors={one.name: described(error)})


def _called(one: Function, given: Mapping[str, Any]) -> object:
    """Call a function; a row or baseline that there is not is left out, and so its default holds."""
    named = {parameter: given[role] for parameter, role in one.named.items() if given[role] is not None}
    return one.call(*(given[role] for role in one.positional), **named)


def _values(name: str, result: object) -> dict[str, Value]:
    """Return what a function returned as scores by name. Raises `TypeError` or `ValueError` if it is none."""
    if not isinstance(result, Mapping):
        return {name: _value(name, result)}
    if not result:
        raise ValueError(f"{name} returned an empty dict; {_RETURNS}")
    for key in result:
        if not isinstance(key, str) or not key:
            raise TypeError(f"{name} returned a dict with the key {quoted(repr(key))}; its keys are names")
    return {f"{name}.{key}": _value(f"{name}.{key}", value) for key, value in result.items()}


def _value(name: str, result: object) -> Value:
    value = plain(result)
    if isinstance(value, bool):
        return value
    if not isinstance(value, (int, float)):
        if inspect.iscoroutine(result):
            result.close()
        forgot = "; is a return missing?" if result is None else f"; {_RETURNS}"
        raise TypeError(f"{name} returned {quoted(repr(result)) if result is None else type(result).__name__}{forgot}")
    if not math.isfinite(value):
        raise ValueError(f"{name} returned {value}, which is not a number to compare")
    return float(value)
