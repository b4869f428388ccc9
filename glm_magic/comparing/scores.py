"""The ready-made scores that need no model.

Each is a function of an answer, or makes one: ``right = equals("label")``. Where `expected` is the name of a column
and there are rows, the answer is compared with the row's value in that column, else with `expected` itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from glm_magic.comparing.rows import is_missing
from glm_magic.errors import OptionError, SetupError, near_miss, quoted
from glm_magic.settings.setting import plain
from glm_magic.tools import schemas

Row: TypeAlias = "Mapping[str, Any] | None"
Score: TypeAlias = Callable[..., "bool | float"]
Expected: TypeAlias = "str | int | float | bool"

_UNITS = ("characters", "words")
_PUNCTUATION = re.compile(r"^\W+|\W+$")


def equals(expected: Expected, *, ignore_case: bool = False, ignore_punctuation: bool = False) -> Score:
    """Return a score that is True where the answer is what is `expected`.

    White space around both is ignored, and punctuation around both where `ignore_punctuation`. A number is compared as
    a number (``42`` equals ``42.0``), and true and false in any case. Of a structured answer that is one value, the
    value is compared.
    """

    @_called("equals")
    def score(reply: object, row: Row = None) -> bool:
        value, answer = _wanted(expected, row), _answer(reply)
        if isinstance(value, bool):
            return answer.casefold() == str(value).casefold()
        if isinstance(value, (int, float)):
            return _number(answer) == value
        return tidied(answer) == tidied(value.strip())

    def tidied(text: str) -> str:
        text = _PUNCTUATION.sub("", text) if ignore_punctuation else text
        return text.casefold() if ignore_case else text

    return score


def contains(expected: Expected, *, ignore_case: bool = False) -> Score:
    """Return a score that is True where the answer contains what is `expected`.

    A number is found as a whole: ``4`` is not in ``42``.
    """

    @_called("contains")
    def score(reply: object, row: Row = None) -> bool:
        value, answer = _wanted(expected, row), str(reply)
        if isinstance(value, str):
            return value.strip().casefold() in answer.casefold() if ignore_case else value.strip() in answer
        if isinstance(value, bool):
            return str(value).casefold() in answer.casefold()
        written = str(int(value)) if value == int(value) else str(value)
        return re.search(rf"(?<![\w.]){re.escape(written)}(?!\w|\.\d)", answer) is not None

    return score


def matches(pattern: str | re.Pattern[str], *, ignore_case: bool = False) -> Score:
    """Return a score that is True where the regular expression is found in the answer (``^…$``: in all of it).

    Raises `OptionError` if `pattern` is none.
    """
    try:
        compiled = re.compile(pattern, re.IGNORECASE if ignore_case else 0) if isinstance(pattern, str) else pattern
        compiled.search("")
    except (re.error, AttributeError, TypeError) as error:
        raise OptionError(f"matches: expected a regular expression, got {quoted(repr(pattern))}: {error}.") from None

    @_called("matches")
    def score(reply: object) -> bool:
        return compiled.search(str(reply)) is not None

    return score


def json_valid(reply: object = None) -> Any:
    """Return whether the answer is JSON and nothing else; a code fence may surround it, as with ``--json``.

    ``json_valid()`` is the score itself.
    """
    if reply is None:
        return json_valid
    try:
        schemas.read_json(str(reply))
    except schemas.SchemaMismatch:
        return False
    return True


def schema_valid(schema: object) -> Score:
    """Return a score that is True where the answer is JSON that fits `schema`, which is what ``--schema`` takes.

    Raises `OptionError` if it is no schema.
    """
    try:
        known = schemas.schema(schema, getattr(schema, "__name__", type(schema).__name__))
    except OptionError as error:
        raise OptionError(error.what.replace("--schema", "schema_valid:", 1), error.remedy) from None

    @_called("schema_valid")
    def score(reply: object) -> bool:
        try:
            known.read(str(reply))
        except schemas.SchemaMismatch:
            return False
        return True

    return score


def length(reply: object = "characters") -> Any:
    """Return the length of the answer in characters; ``length("words")`` is the score that counts words.

    Raises `OptionError` for another unit.
    """
    if not isinstance(reply, str):
        return len(str(reply))
    if reply not in _UNITS:
        meant = near_miss(reply, _UNITS)
        hint = f'Did you mean length("{meant}")?' if meant else ""
        raise OptionError(f"length counts {' or '.join(_UNITS)}, not {quoted(reply)}.", hint)
    if reply == "characters":
        return length

    @_called("length")
    def score(answer: object) -> int:
        return len(str(answer).split())

    return score


def similar(expected: Expected, *, ignore_case: bool = False) -> Score:
    """Return a score from 0 to 1: how much of the answer's text is as `expected`, by rapidfuzz's `ratio`.

    White space around both is ignored. Raises `SetupError` without rapidfuzz.
    """
    try:
        from rapidfuzz import fuzz  # noqa: PLC0415 - of an extra, and wanted by few
    except ImportError:
        raise SetupError("The score similar needs rapidfuzz.", 'pip install "glm_magic[explore]"') from None

    @_called("similar")
    def score(reply: object, row: Row = None) -> float:
        texts = (_answer(reply), str(_wanted(expected, row)).strip())
        return fuzz.ratio(*(text.casefold() if ignore_case else text for text in texts)) / 100

    return score


# --- what is compared ---------------------------------------------------------------------------


def _called(name: str) -> Callable[[Score], Score]:
    """Return a decorator that names a score after the function which makes it."""

    def named(score: Score) -> Score:
        score.__name__ = score.__qualname__ = name
        return score

    return named


def _wanted(expected: Expected, row: Row) -> Expected:
    """Return the row's value in the column `expected`, or `expected` itself.

    Raises `ValueError` if the row has no value there, or a column of nearly the same name, and `TypeError` for a value
    that is no text, number or bool.
    """
    value: Any = expected
    if row is not None and isinstance(expected, str):
        if expected in row:
            value = row[expected]
        elif meant := near_miss(expected, row, 0.8):
            raise ValueError(f"the row has no column {expected!r}; did you mean {meant!r}?")
    value = plain(value)
    if is_missing(value):
        raise ValueError(f"the row has no value in the column {expected!r}")
    if not isinstance(value, (str, int, float, bool)):
        raise TypeError(f"expected text, a number or a bool to compare with, got {type(value).__name__}")
    return value


def _answer(reply: object) -> str:
    """Return the text of an answer; of a structured one that is a single value, the text of that."""
    parsed = plain(getattr(reply, "parsed", None))
    return str(parsed if isinstance(parsed, (str, int, float, bool)) else reply).strip()


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
