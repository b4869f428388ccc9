"""The text of a value that is inserted into a prompt: all of it, or an error."""

from __future__ import annotations

import collections
import inspect
import re
import sys
import types
from collections.abc import Iterable, Iterator, Mapping, Sized
from collections.abc import Set as AbstractSet
from itertools import islice
from typing import Any

from glm_magic.chat.images import is_one_of
from glm_magic.chat.messages import Document
from glm_magic.errors import PromptError, described

_PANDAS = ("pandas.DataFrame", "pandas.Series")
_POLARS = ("polars.DataFrame", "polars.Series")
_WHOLE = (str, bytes, bytearray, int, float, complex, type, type(None), BaseException)  # their text is all of them
_HOLDS_DATA = ("__array__", "__arrow_c_stream__", "__dataframe__")

_MARKS = re.compile(r"\.\.\.|…")
# An object of which the text is no more than its kind; the last is an answer in the background.
_ONLY_A_NAME = re.compile(r"<(?:.* at 0x[0-9a-fA-F]+|[\w.]+ object)>|Pending\(model=[^)]*\)", re.DOTALL)
_MOST_LOOKED_AT = 1_000  # items of an array, searched for the text that its own text may have dots from


def text_of(value: object, source: str) -> str:
    """Return a table as CSV with its header, a document as its text, and any other value as `str()` writes it.

    `source` is the value's expression, for the remedy. Raises `PromptError` if that text would leave something
    out; what the value's own code raises comes through.
    """
    kind = type(value).__name__
    if isinstance(value, str):
        return str(value)
    if isinstance(value, Document):
        return value.text
    if is_table(value):
        text = _csv_of(value, source)
        if _MARKS.search(text) and any(_cut_in(cell, set()) is not None for cell in _objects_in(value)):
            raise PromptError(
                f"A cell of this {kind} holds an array, and CSV would leave some of its values out.",
                "Make lists of them first, for example: df[column] = df[column].map(list)",
            )
        return text
    text = str(value)
    is_plan = is_one_of(value, "polars.LazyFrame")
    if not (is_plan or _MARKS.search(text) or _ONLY_A_NAME.search(text)):
        return text
    cut = value if is_plan else _cut_in(value, set())
    if cut is None:
        return text
    if inspect.iscoroutine(value):
        value.close()  # or Python warns that it was never awaited
    name = source if re.fullmatch(r"[\w.]+", source) else f"({source})"
    raise PromptError(
        f"str() of this {kind} leaves something out"
        + ("." if cut is value else f": the {type(cut).__name__} in it is shortened."),
        f"{_way_out(cut, name if cut is value else '…')}\n{{{{ str({source}) }}}} sends the short text as it is.",
    )


def is_table(value: object) -> bool:
    """Whether `value` is a DataFrame or Series of pandas or polars."""
    return is_one_of(value, *_PANDAS, *_POLARS)


def csv(table: Any) -> str:
    """Return a DataFrame or Series as CSV with its header; pandas' index is left out if it only counts the rows."""
    if is_one_of(table, *_PANDAS):
        counts = is_one_of(table.index, "pandas.RangeIndex") and table.index.name is None
        text: str = table.to_csv(index=not counts)
    else:
        text = (table.to_frame() if is_one_of(table, "polars.Series") else table).write_csv()
    return text


def _csv_of(table: Any, source: str) -> str:
    try:
        return csv(table).removesuffix("\n")
    except Exception as error:
        raise PromptError(
            f"This {type(table).__name__} cannot be written as CSV: {described(error)}",
            f"Insert its rows as a list: {{{{ {source}.to_dicts() }}}}"
            if is_one_of(table, *_POLARS)
            else f"Choose how it is written, for example: {{{{ {source}.to_json() }}}}",
        ) from error


def _objects_in(table: Any) -> Iterator[object]:
    """Yield the cells of pandas' object columns, which hold any value."""
    if is_one_of(table, *_PANDAS):
        frame = table.to_frame() if is_one_of(table, "pandas.Series") else table
        for at, dtype in enumerate(frame.dtypes):
            if dtype.kind == "O":
                yield from frame.iloc[:, at]


def _way_out(value: object, name: str) -> str:
    """Return how to write out a value whose text is not all of it; `name` is how it is called."""
    if inspect.iscoroutine(value):
        return f"Await it in a cell before this one: answer = await {name}"
    if is_table(value):
        return f"Insert the {type(value).__name__} by itself: it is written as CSV."
    if is_one_of(value, "polars.LazyFrame"):
        return f"Collect it: {{{{ {name}.collect() }}}}"
    if isinstance(value, Iterator):
        return f"Read it: {{{{ list({name}) }}}}"
    for method in ("tolist", "to_pandas"):
        if hasattr(type(value), method):
            return f"Write all of it: {{{{ {name}.{method}() }}}}"
    if callable(value):
        return f"Insert its code: {{{{ inspect.getsource({name}) }}}}"
    return "Insert the part of it that is meant."


def _cut_in(value: object, within: set[int]) -> object | None:
    """Return what is not all there in the text of `value`: itself, or what it holds; None if all is there.

    `within` are the ids of what holds it.
    """
    if isinstance(value, _WHOLE):
        return None
    if id(value) in within:  # Python writes [...] for a list that holds itself
        return value
    held = _held(value)
    if held is not None:
        within.add(id(value))
        cuts = (_cut_in(item, within) for item in held)
        cut = next((cut for cut in cuts if cut is not None), None)
        within.discard(id(value))
        return cut
    text = repr(value)
    if _ONLY_A_NAME.fullmatch(text) and _ONLY_A_NAME.fullmatch(str(value)):
        return value
    if not _MARKS.search(text) or not _holds_data(value):
        return None
    if is_one_of(value, "numpy.ndarray") and value.dtype != object:  # type: ignore[attr-defined]
        threshold = sys.modules["numpy"].get_printoptions()["threshold"]
        return value if value.size > threshold else None  # type: ignore[attr-defined]
    has_marks = any(_MARKS.search(str(item)) and _cut_in(item, within) is None for item in _first_items(value))
    return None if has_marks else value


def _held(value: Any) -> Iterable[object] | None:
    """Return the values that the text of a plain container is made of; None for what is no such container."""
    kind = type(value)
    if isinstance(value, Mapping):
        return (item for pair in value.items() for item in pair)
    if isinstance(value, (list, tuple, AbstractSet, collections.deque)):
        return iter(value)
    writes_its_fields = hasattr(kind.__repr__, "__wrapped__") and hasattr(kind, "__dataclass_fields__")
    if isinstance(value, types.SimpleNamespace) or writes_its_fields or hasattr(kind, "model_fields"):
        return iter(vars(value).values()) if hasattr(value, "__dict__") else None
    return None


def _holds_data(value: object) -> bool:
    return isinstance(value, Sized) or any(hasattr(type(value), name) for name in _HOLDS_DATA)


def _first_items(value: Any) -> list[object]:
    try:
        return list(islice(iter(value), _MOST_LOOKED_AT))
    except Exception:  # it is of data, and not to be iterated over
        return []
