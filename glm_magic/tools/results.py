"""What a function of the notebook has returned, as text for a model: never too long, and always fit to be sent."""

from __future__ import annotations

import dataclasses
import enum
import inspect
import json
import math
from collections.abc import Iterable, Iterator, Mapping, MappingView, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

from glm_magic.chat.images import is_one_of
from glm_magic.chat.reply import Reply
from glm_magic.chat.text import without_halves
from glm_magic.errors import printable

LONGEST_RESULT = 50_000  # characters
MOST_ITEMS = 10_000  # of an iterator, and in all the lists and dicts of one result together
MOST_ROWS = 1_000  # of a table

_DEEPEST = 50  # levels of lists and dicts
_SHOWN_BYTES = 32
_IMAGES = ("_repr_png_", "_repr_jpeg_", "_repr_svg_", "savefig")
_NO_NUMBERS = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
_NOT_READ = "[more items: it was not read to its end]"


@dataclasses.dataclass(frozen=True, slots=True)
class Items:
    """What an iterator gave; `more` says that it was not read to its end."""

    items: tuple[Any, ...]
    more: bool = False


def taken(iterator: Iterator[Any]) -> Items:
    """Read an iterator, to at most 10,000 items; a generator is closed then. Raises what it raises."""
    items: list[Any] = []
    for item in iterator:
        if len(items) == MOST_ITEMS:
            if inspect.isgenerator(iterator):
                iterator.close()
            return Items(tuple(items), more=True)
        items.append(item)
    return Items(tuple(items))


def result_text(value: object) -> str:
    """Return what goes back to the model: a text as it is, all else as JSON where that can be. Raises nothing.

    * None is ``null``, and an empty text ``""``, for an empty message is refused; a `Reply` is its text.
    * A table of pandas is CSV of at most 1,000 rows, with its index if that is more than a count.
    * Bytes are text if they are UTF-8, else their number and how they begin. An image is only named.
    * An iterator is read, to at most 10,000 items. Dataclasses, pydantic models, named tuples, numpy's values, sets,
      Enums, dates and the like are written as JSON has them; NaN, which it does not have, as a text.
    * What cannot be JSON is its ``repr``.

    A text of more than 50,000 characters is cut, with a note that says so. Half characters become U+FFFD.
    """
    writing = _Writing()
    try:
        plain = writing.plain(value)
        text = plain if isinstance(plain, str) else json.dumps(plain, ensure_ascii=False)
    except Exception:  # whatever an object of the person's own does when it is looked at
        text = _shown(value)
    text = without_halves(text)
    if not text.strip():
        return json.dumps(text)
    if len(text) > LONGEST_RESULT:
        length = f"more than {len(text):,}" if writing.is_cut else f"{len(text):,}"
        return f"{text[:LONGEST_RESULT]}\n[cut: these are the first {LONGEST_RESULT:,} of {length} characters]"
    return text


class _Writing:
    """One result on its way to plain JSON: how many items it may still have, and what it is inside of."""

    def __init__(self) -> None:
        self._left = MOST_ITEMS
        self._inside: list[int] = []
        self.is_cut = False

    def plain(self, value: Any) -> Any:
        """Return `value` as JSON has it."""
        match value:
            case None | bool():
                return value
            case enum.Enum():  # before text and numbers, which it may be as well
                return self.plain(value.value)
            case str():
                return str(value)
            case int():
                return int(value)
            case float():
                return float(value) if math.isfinite(value) else _NO_NUMBERS[str(float(value))]
            case bytes() | bytearray() | memoryview():
                return _bytes(bytes(value))
            case Reply():
                return value.text
        if is_one_of(value, "pandas.DataFrame", "pandas.Series"):
            return _table(value)
        if any(hasattr(type(value), name) for name in _IMAGES):
            return f"[an image, which is not sent: {_shown(value)}]"
        if id(value) in self._inside:
            return "[circular]"
        if len(self._inside) == _DEEPEST:
            return "[nested too deeply]"
        self._inside.append(id(value))
        try:
            return self._made_of_others(value)
        finally:
            self._inside.pop()

    def _made_of_others(self, value: Any) -> Any:
        kind = type(value)
        match value:
            case Items():
                self.is_cut |= value.more
                return [*self._list(value.items), *([_NOT_READ] if value.more else [])]
            case Mapping():
                return self._object(value.items(), len(value))
            case tuple() if hasattr(value, "_fields"):
                return self._object(zip(value._fields, value, strict=True), len(value))
            case Sequence() | AbstractSet() | MappingView():
                return self._list(value)
            case Iterator():
                return self._made_of_others(taken(value))
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            fields = dataclasses.fields(value)
            return self._object(((field.name, getattr(value, field.name)) for field in fields), len(fields))
        if hasattr(kind, "model_dump"):  # pydantic's
            return self.plain(value.model_dump(warnings=False))
        if is_one_of(value, "numpy.ndarray") and value.ndim:
            return self._list(value)
        if is_one_of(value, "numpy.ndarray", "numpy.generic"):
            item = value.item()
            return _shown(value) if isinstance(item, kind) else self.plain(item)
        return _leaf(value)

    def _list(self, values: Any) -> list[Any]:
        written: list[Any] = []
        for number, value in enumerate(values):
            if self._left <= 0:
                self.is_cut = True
                return [*written, f"[{len(values) - number:,} more]"]
            self._left -= 1
            written.append(self.plain(value))
        return written

    def _object(self, items: Iterable[tuple[Any, Any]], length: int) -> dict[str, Any]:
        written: dict[str, Any] = {}
        for number, (key, value) in enumerate(items):
            if self._left <= 0:
                self.is_cut = True
                return {**written, "[cut]": f"[{length - number:,} more]"}
            self._left -= 1
            name = self.plain(key)
            written[name if isinstance(name, str) else json.dumps(name, ensure_ascii=False)] = self.plain(value)
        return written


def _leaf(value: Any) -> Any:
    """Return a value that is made of no others as JSON has it: a date, a path, a Decimal; else its ``repr``."""
    from pydantic_core import to_jsonable_python  # noqa: PLC0415 - pydantic is there where there is a tool

    return to_jsonable_python(value, fallback=_shown, inf_nan_mode="strings")


def _bytes(value: bytes) -> str:
    try:
        text = value.decode()
        if printable(text) == text.replace("\r\n", "\n"):
            return text
    except UnicodeDecodeError:
        pass
    return f"[{len(value):,} bytes that are no text; they begin with {value[:_SHOWN_BYTES]!r}]"


def _table(table: Any) -> str:
    """Return a table of pandas as CSV, with its index if that is more than a count."""
    is_counted = is_one_of(table.index, "pandas.RangeIndex") and table.index.name is None
    text: str = table.head(MOST_ROWS).to_csv(index=not is_counted)
    rows = len(table)
    return text if rows <= MOST_ROWS else f"{text}[cut: these are the first {MOST_ROWS:,} of {rows:,} rows]"


def _shown(value: object) -> str:
    try:
        return repr(value)
    except Exception:  # it may fail in code of the person's own
        return f"<{type(value).__name__}>"
