"""The rows of a table that a comparison asks about, whatever the table is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from glm_magic.errors import OptionError, PromptError, quoted

Row: TypeAlias = "Mapping[str, Any]"

_TAKES = "It takes a pandas or polars DataFrame, a list of dicts, or a dict of lists."


def rows_of(table: object, name: str) -> tuple[Row, ...]:
    """Return the rows of a table: a DataFrame, a list of dicts, or a dict of lists of one length.

    `name` is what the table is called in an error. Raises `OptionError` if it is none of these, or empty.
    """
    rows = tuple(_rows(table, name))
    if not rows:
        raise OptionError(f"{name} has no rows.", "Give at least one.")
    return rows


def _rows(table: Any, name: str) -> Iterator[Row]:
    if isinstance(table, Mapping):
        yield from _of_lists(table, name)
    elif hasattr(table, "iter_rows") and hasattr(table, "columns"):  # polars
        yield from table.iter_rows(named=True)
    elif hasattr(table, "to_dict") and hasattr(table, "columns"):  # pandas
        columns = [str(column) for column in table.columns]
        if len(set(columns)) < len(columns):
            raise OptionError(f"{name} has two columns of one name.", "Rename one of them.")
        for values in table.itertuples(index=False, name=None):
            yield dict(zip(columns, values, strict=True))
    elif isinstance(table, Sequence) and not isinstance(table, (str, bytes)):
        for number, row in enumerate(table, start=1):
            if not isinstance(row, Mapping):
                what = f"Row {number} of {name} is not a dict, but {_a(row)}."
                raise OptionError(what, 'Wrap it: [{"text": text} for text in texts]')
            named = {str(column): value for column, value in row.items()}
            if len(named) < len(row):
                raise OptionError(f"Row {number} of {name} has two columns of one name.", "Rename one of them.")
            yield named
    else:
        raise OptionError(f"{name} is not a table, but {_a(table)}.", _made_of(table, name))


def _made_of(table: Any, name: str) -> str:
    """Return how a table is made of what is none."""
    if isinstance(table, Iterator):
        return f"It can be read only once, and its cell may run again. Make a list of it: {name} = list({name})"
    if hasattr(table, "collect"):  # a lazy frame
        return f"Make a frame of it: {name} = {name}.collect()"
    if getattr(table, "ndim", None) == 1 and not getattr(table.dtype, "names", None):  # an array, or a Series
        return f'Name its column: [{{"text": text}} for text in {name}]'
    return f"Name its columns: pandas.DataFrame({name})" if hasattr(table, "ndim") else _TAKES


def _of_lists(table: Mapping[Any, Any], name: str) -> Iterator[Row]:
    columns = {str(column): values for column, values in table.items()}
    if len(columns) < len(table):
        raise OptionError(f"{name} has two columns of one name.", "Rename one of them.")
    for column, values in columns.items():
        if isinstance(values, (str, bytes)) or not hasattr(values, "__len__"):
            raise OptionError(f"{name} is a dict, and its {quoted(column)} is not a list, but {_a(values)}.", _TAKES)
    lengths = {column: len(values) for column, values in columns.items()}
    if len(set(lengths.values())) > 1:
        shown = ", ".join(f"{quoted(column)} {length}" for column, length in lengths.items())
        raise OptionError(f"The columns of {name} have different lengths: {shown}.", "Each row needs all of them.")
    for values in zip(*columns.values(), strict=True):
        yield dict(zip(columns, values, strict=True))


def is_missing(value: object) -> bool:
    """Whether a value of a table says that there is none: None, NaN, NaT or pandas.NA."""
    if value is None:
        return True
    try:
        return bool(value != value)  # noqa: PLR0124 - NaN is what differs from itself
    except (TypeError, ValueError):  # pandas.NA has no truth; an array is no single value
        return type(value).__name__ == "NAType"


def check_is_there(row: Row, number: int, name: str) -> None:
    """Raise `PromptError` if row `number` (from 1) has the column `name` and nothing in it."""
    if name in row and is_missing(row[name]):
        raise PromptError(
            f"Row {number} has nothing in its column {quoted(name)} ({row[name]}).",
            "Fill it in, or leave the row out: dropna() does it for a pandas DataFrame.",
        )


def _a(value: object) -> str:
    return f"a value of the type {type(value).__name__}"
