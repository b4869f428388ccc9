"""The result of a tool as text for the model: bounded in length, and always fit to be sent."""

from __future__ import annotations

import dataclasses
import enum
import inspect
import json
import math
import sys
from collections.abc import Iterable, Iterator, Mapping, MappingView, Sequence
from collections.abc import Set as AbstractSet
from itertools import islice
from typing import Any

from glm_magic.chat.images import is_one_of
from glm_magic.chat.inserted import csv, is_table
from glm_magic.chat.reply import Reply
from glm_magic.chat.text import without_halves
from glm_magic.errors import printable

LONGEST_RESULT = 50_000  # characters
MOST_ITEMS = 10_000  # of an iterator, and in all the lists and dicts of one result together
MOST_ROWS = 1_000  # of a table

_DEEPEST = 50  # levels of lists and dicts
_SHOWN_BYTES = 32
_MOST_BITS = 14_000  # of a whole number; Python refuses to write longer ones
_IMAGES = ("_repr_png_", "_repr_jpeg_", "_repr_svg_", "savefig")
_NO_NUMBERS = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
_NOT_READ = "[more items: it was not read to its end]"
_TIMES = ("pandas.Timestamp", "pandas.Timedelta")  # finer than those of Python


@dataclasses.dataclass(frozen=True, slots=True)
class Items:
    """The items of an iterator; `more` if it has not been read to its end."""

    items: tuple[Any, ...]
    more: bool = False


def taken(iterator: Iterator[Any]) -> Items:
    """Read at most 10,000 items of an iterator, and close a generator that has more. Raises what it raises."""
    items = tuple(islice(iterator, MOST_ITEMS + 1))
    if len(items) > MOST_ITEMS and inspect.isgenerator(iterator):
        iterator.close()
    return Items(items[:MOST_ITEMS], more=len(items) > MOST_ITEMS)


def result_text(value: object) -> str:
    """Return the text for the model: a string unchanged, other values as JSON. Never fails, whatever the value does.

    * None is ``null``, and an empty text is ``""``, because services refuse empty messages. A `Reply` is its text.
    * A table of pandas or polars is CSV of at most 1,000 rows; pandas' index is left out if it only counts the rows.
    * Bytes are decoded as UTF-8; other bytes are described by their number and beginning. An image is only named.
    * At most 10,000 items of an iterator are read. Dataclasses, pydantic models, named tuples, sets, enums, dates and
      the values of numpy, pandas and torch are written as JSON. NaN and infinity are strings; missing and masked
      values are null.
    * A value that cannot be written as JSON is its ``repr``, alone or within what holds it.

    A text of more than 50,000 characters is cut, with a note. Half characters become U+FFFD.
    """
    writing = _Writing()
    plain = writing.plain(value)
    try:
        text = plain if isinstance(plain, str) else json.dumps(plain, ensure_ascii=False)
    except (ValueError, RecursionError):
        text = _shown(value)
    text = without_halves(text)
    if not text.strip():
        return json.dumps(text)
    if len(text) > LONGEST_RESULT:
        length = f"more than {len(text):,}" if writing.is_cut else f"{len(text):,}"
        return f"{text[:LONGEST_RESULT]}\n[cut: these are the first {LONGEST_RESULT:,} of {length} characters]"
    return text


class _Writing:
    """One result on its way to plain JSON: how many items it may still have, and which values it is inside of."""

    def __init__(self) -> None:
        self._left = MOST_ITEMS
        self._inside: list[int] = []
        self.is_cut = False

    def plain(self, value: Any) -> Any:
        """Return `value` as JSON has it; what fails is its ``repr``, and the values beside it stay."""
        try:
            return self._plain(value)
        except KeyboardInterrupt:
            raise
        except BaseException:  # the value's own code runs here, and may raise SystemExit
            return _shown(value)

    def _plain(self, value: Any) -> Any:
        match value:
            case None | bool():
                return value
            case enum.Enum():  # before text and numbers, which it may be as well
                return self.plain(value.value)
            case str():
                return str(value)
            case int():
                return int(value) if value.bit_length() < _MOST_BITS else _shown(value)
            case float():
                return float(value) if math.isfinite(value) else _NO_NUMBERS[str(float(value))]
            case bytes() | bytearray() | memoryview():
                return _bytes(bytes(value))
            case Reply():
                return value.text
        if _is_missing(value):
            return None
        if is_table(value):
            return self._table(value)
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
        if hasattr(kind, "tolist"):  # of numpy, pandas, torch
            return self._list(value) if getattr(value, "ndim", 1) else self._number(value)
        return _leaf(value)

    def _number(self, value: Any) -> Any:
        """Return a value of numpy or torch that has no dimensions."""
        item = value.tolist()
        if isinstance(item, type(value)):  # a number that Python does not have
            return _shown(value)
        # nanoseconds would become a count of them
        is_time = isinstance(item, int) and is_one_of(value, "numpy.datetime64", "numpy.timedelta64")
        return str(value) if is_time else self.plain(item)

    def _table(self, table: Any) -> Any:
        rows, first = len(table), table.head(MOST_ROWS)
        try:
            text = csv(first)
        except Exception:  # lists within polars' tables, values that fail as text
            return self._list(_records(first))
        return text if rows <= MOST_ROWS else f"{text}[cut: these are the first {MOST_ROWS:,} of {rows:,} rows]"

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


def _is_missing(value: object) -> bool:
    pandas = sys.modules.get("pandas")
    is_of_pandas = value is not None and any(value is getattr(pandas, name, None) for name in ("NaT", "NA"))
    return is_of_pandas or is_one_of(value, "numpy.ma.core.MaskedConstant")


def _leaf(value: Any) -> Any:
    """Return a date, path, Decimal or the like as JSON has it, and any other value as its ``repr``."""
    if is_one_of(value, *_TIMES):
        return value.isoformat()
    from pydantic_core import to_jsonable_python  # noqa: PLC0415 - pydantic is there where there is a tool

    return to_jsonable_python(value, fallback=_shown, inf_nan_mode="strings")


def _bytes(value: bytes) -> str:
    try:
        text = value.decode()
        if printable(text) == text.replace("\r\n", "\n"):
            return text
    except UnicodeDecodeError:
        pass
    return f"[{len(value):,} bytes that are not text; they begin with {value[:_SHOWN_BYTES]!r}]"


def _records(table: Any) -> Any:
    """Return the rows of a DataFrame as dicts, and the values of a Series."""
    if hasattr(table, "to_dicts"):  # polars
        return table.to_dicts()
    return table.to_dict("records") if hasattr(table, "columns") else table.to_list()


def _shown(value: object) -> str:
    try:
        return repr(value)
    except KeyboardInterrupt:
        raise
    except BaseException:  # its own code runs here
        return f"<{type(value).__name__}>"
