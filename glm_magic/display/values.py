"""A JSON value for people to read: a table or a tree on a page, indented JSON as plain text."""

from __future__ import annotations

import html
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from glm_magic.display import safe_text
from glm_magic.display.tables import cut

# Limits on what is shown of a value; a note stands in place of what is cut.
MOST_SHOWN = 2000  # values in total; a long text counts as several
MOST_IN_ONE = 200  # entries of one list or object
DEEPEST = 20  # levels
LONGEST_TEXT = 10_000  # characters
_CHARACTERS_OF_A_VALUE = 200
_MOST_COLUMNS = 24
_MOST_IN_A_CELL = 8  # entries of a list that a table shows in one cell
_OPEN_LEVELS = 2  # levels of a tree that start open, if they have few entries
_OPEN_ENTRIES = 24

_QUIET = "color: var(--jp-content-font-color2, #767676)"
_NUMBER = "color: var(--jp-mirror-editor-number-color, inherit); font-variant-numeric: tabular-nums"
_RULE = "var(--jp-border-color2, #bdbdbd)"
_WHOLE = (
    "color: var(--jp-content-font-color1, inherit); font-family: var(--jp-ui-font-family, system-ui, sans-serif); "
    "font-size: var(--jp-ui-font-size1, 13px); line-height: 1.5; overflow-x: auto"
)
_TABLE = "margin: 0; table-layout: auto; border-collapse: collapse; font-size: inherit"
_CELL = (
    "padding: 2px 16px 2px 8px; vertical-align: top; line-height: 1.5; white-space: pre-wrap; "
    "overflow-wrap: anywhere; max-width: 60ch"
)
_HEAD = f"{_CELL}; font-weight: 600; border-bottom: 1px solid {_RULE}"
_TRUNK = "margin: 0; padding: 0; list-style: none"
_BRANCH = f"margin: 0 0 0 4px; padding: 0 0 0 10px; border-left: 1px solid {_RULE}; list-style: none"
_TEXT = "margin: 0; white-space: pre-wrap; overflow-wrap: anywhere; max-width: 100ch"
_LEAF = f"{_TEXT}; display: flex; gap: 8px; padding-left: 14px"  # aligned with names that have a triangle before them
_NAME = f"{_QUIET}; flex: none; max-width: 40%"
_UNDER = "margin-left: 6px"  # a table within a tree


def value_data(value: Any) -> dict[str, str]:
    """Return a JSON-like value as ``text/html`` and ``text/plain``; its texts are escaped.

    A list of flat records, or an object of scalars, becomes a table; anything else becomes a tree with its upper
    levels open. What is too large is cut, and a note says how much.
    """
    shown = _Page(MOST_SHOWN).whole(value)
    return {
        "text/html": f'<div class="{safe_text.NO_MATHS}" style="{_WHOLE}">{shown}</div>',
        "text/plain": "\n".join(_Text(MOST_SHOWN).lines(value, "", 0)),
    }


@dataclass(slots=True)
class _Shown:
    """A budget of values to show."""

    left: int

    def take(self, value: Any) -> bool:
        """Spend from the budget for `value` itself; return whether there was enough."""
        self.left -= 1 + (min(len(value), LONGEST_TEXT) // _CHARACTERS_OF_A_VALUE if isinstance(value, str) else 0)
        return self.left >= 0

    def entries(self, value: Any) -> Iterator[tuple[str | None, Any]]:
        """Yield key (None in a list) and value of the entries that the budget allows."""
        keys = map(str, value) if isinstance(value, Mapping) else itertools.repeat(None)
        entries = value.values() if isinstance(value, Mapping) else value
        for key, entry in itertools.islice(zip(keys, entries, strict=False), MOST_IN_ONE):
            if not self.take(entry):
                return
            yield key, entry


class _Text(_Shown):
    """A value as indented JSON."""

    def lines(self, value: Any, indent: str, level: int, before: str = "", after: str = "") -> Iterator[str]:
        if not _is_container(value) or not value:
            yield indent + before + _as_json(value) + after
            return
        begin, end = "{}" if isinstance(value, Mapping) else "[]"
        if level == DEEPEST:
            yield f"{indent}{before}{begin} … {_count(value)}, nested too deeply to show {end}{after}"
            return
        yield indent + before + begin
        inner = indent + "  "
        shown = 0
        for key, entry in self.entries(value):
            shown += 1
            comma = "," if shown < len(value) else ""
            yield from self.lines(entry, inner, level + 1, f"{_as_json(key)}: " if key is not None else "", comma)
        if shown < len(value):
            yield f"{inner}{_rest(value, shown)}"
        yield indent + end + after


class _Page(_Shown):
    """A value as HTML."""

    def whole(self, value: Any) -> str:
        return self._inside(value, 0) if _is_container(value) and value else f'<p style="{_TEXT}">{_leaf(value)}</p>'

    def _inside(self, value: Any, level: int) -> str:
        """Return the contents of a list or an object."""
        if isinstance(value, Mapping) and level == 0 and all(map(_fits_a_cell, value.values())):
            return self._facts(value)
        columns = _columns(value)
        if not columns:
            return self._branch(value, level)
        records = self._records(value, columns)
        return f'<div style="{_UNDER}">{records}</div>' if level else records

    def _facts(self, value: Mapping[Any, Any]) -> str:
        rows = []
        for key, entry in self.entries(value):
            head = (
                f'<th scope="row" style="{_CELL}; text-align: left; font-weight: 400; {_QUIET}">{_text(str(key))}</th>'
            )
            rows.append(
                f'<tr style="background: none">{head}<td style="{_CELL}; text-align: left">{_cell(entry)}</td></tr>'
            )
        return _table("", rows) + _note(value, len(rows))

    def _records(self, value: Sequence[Mapping[Any, Any]], columns: list[Any]) -> str:
        aligned = [
            "right"
            if all(_is_number(record.get(column)) or record.get(column) is None for record in value[:MOST_IN_ONE])
            else "left"
            for column in columns
        ]
        names = zip(columns, aligned, strict=True)
        head = "".join(
            f'<th scope="col" style="{_HEAD}; text-align: {side}">{_text(str(column))}</th>' for column, side in names
        )
        rows: list[str] = []
        for _, record in self.entries(value):
            if not all(self.take(entry) for entry in record.values()):
                break
            cells = "".join(
                f'<td style="{_CELL}; text-align: {side}">{_cell(record[column]) if column in record else ""}</td>'
                for column, side in zip(columns, aligned, strict=True)
            )
            rows.append(f"<tr>{cells}</tr>")
        return _table(f"<thead><tr>{head}</tr></thead>", rows) + _note(value, len(rows))

    def _branch(self, value: Any, level: int) -> str:
        shown = [self._entry(key, entry, number, level) for number, (key, entry) in enumerate(self.entries(value))]
        return f'<ul style="{_BRANCH if level else _TRUNK}">{"".join(shown)}</ul>{_note(value, len(shown))}'

    def _entry(self, key: str | None, entry: Any, number: int, level: int) -> str:
        name = f'<span style="{_NAME}">{_text(str(number) if key is None else key)}</span>'
        if not _is_container(entry) or not entry:
            return f'<li style="{_LEAF}">{name} <span>{_leaf(entry)}</span></li>'
        title = f'{name}  <small style="{_QUIET}">{_count(entry)}</small>'
        if level + 1 == DEEPEST:
            return f'<li style="{_LEAF}">{title} <small style="{_QUIET}">… nested too deeply to show</small></li>'
        is_open = " open" if level < _OPEN_LEVELS and len(entry) <= _OPEN_ENTRIES else ""
        inside = self._inside(entry, level + 1)
        summary = f'<summary style="cursor: pointer; white-space: pre-wrap">{title}</summary>'
        return f'<li style="margin: 0"><details{is_open} style="margin: 0">{summary}{inside}</details></li>'


def _table(head: str, rows: list[str]) -> str:
    return f'<table style="{_TABLE}">{head}<tbody>{"".join(rows)}</tbody></table>'


def _note(value: Any, shown: int) -> str:
    return f'<p style="margin: 0; padding-left: 8px; {_QUIET}">{_rest(value, shown)}</p>' if shown < len(value) else ""


def _rest(value: Any, shown: int) -> str:
    return f"… {len(value) - shown:,} more of {len(value):,}"


def _count(value: Any) -> str:
    what = ("property", "properties") if isinstance(value, Mapping) else ("entry", "entries")
    return f"{len(value):,} {what[len(value) != 1]}"


def _is_container(value: Any) -> bool:
    return isinstance(value, (Mapping, list, tuple))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _fits_a_cell(value: Any) -> bool:
    if not _is_container(value) or not value:
        return True
    return not isinstance(value, Mapping) and len(value) <= _MOST_IN_A_CELL and not any(map(_is_container, value))


def _columns(value: Any) -> list[Any]:
    """Return the columns of a table of records, or ``[]`` if `value` is not a list of records."""
    if isinstance(value, Mapping):
        return []
    columns: dict[Any, None] = {}
    for record in value[:MOST_IN_ONE]:
        if not isinstance(record, Mapping) or not record or not all(map(_fits_a_cell, record.values())):
            return []
        columns |= dict.fromkeys(record)
        if len(columns) > _MOST_COLUMNS:
            return []
    return [*columns]


def _cell(value: Any) -> str:
    if _is_container(value) and value:
        return ", ".join(map(_leaf, value))
    return _leaf(value)


def _leaf(value: Any) -> str:
    """Return a scalar: text as it is, anything else as JSON."""
    if isinstance(value, str) and value.strip():
        return _text(value)
    style = _NUMBER if _is_number(value) or isinstance(value, bool) else _QUIET
    return f'<span style="{style}">{html.escape(_as_json(value))}</span>'


def _text(text: str) -> str:
    return html.escape(safe_text.plain(cut(text, LONGEST_TEXT)))


def _as_json(value: Any) -> str:
    if isinstance(value, int) and value.bit_length() > LONGEST_TEXT:
        return f"a number of {value.bit_length():,} bits"  # Python refuses to print it
    try:
        written = json.dumps(cut(value, LONGEST_TEXT) if isinstance(value, str) else value, ensure_ascii=False)
    except (TypeError, ValueError):  # not JSON
        written = cut(str(value), LONGEST_TEXT)
    return safe_text.plain(written)
