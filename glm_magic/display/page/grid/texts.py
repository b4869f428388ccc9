"""A grid as a Markdown table, for pages that show no HTML, and as plain text."""

from __future__ import annotations

import re
from collections.abc import Sequence

from glm_magic.display import summaries
from glm_magic.display.grid import Answer, Grid, Row
from glm_magic.display.prose import encoded, unmacroed
from glm_magic.display.safe_text import one_line, plain
from glm_magic.display.tables import WIDTH, shorten, table, wrapped
from glm_magic.display.view import SEPARATOR

_LONGEST = 400  # characters of an answer
_MOST_ROWS = 200
_ACTING = "\\`*_{}[]()<>#|~$&@"  # what Markdown or a front end could read as more than text


def as_markdown(grid: Grid) -> str:
    """Return the grid as Markdown."""
    heads = ["", *(SEPARATOR.join(head_lines(grid, at)) for at in range(len(grid.columns)))]
    lines = [
        f"**{_inline(SEPARATOR.join(grid.title))}**",
        *map(_inline, grid.verdict),
        "\n".join([_line(heads), "|" + " --- |" * len(heads), *map(_line, _rows(grid, _MOST_ROWS))]),
        *map(_inline, more_rows(grid, _MOST_ROWS)),
    ]
    return "\n\n".join(line for line in lines if line != "****")


def as_plain(grid: Grid, *, most: int = WIDTH, most_rows: int = _MOST_ROWS) -> str:
    """Return the grid as plain text, in lines of at most `most` columns."""
    heads = ["", *(column.label for column in grid.columns)]
    shown = table(SEPARATOR.join(grid.title), heads, _rows(grid, most_rows), most=most)["text/plain"]
    columns = [SEPARATOR.join(head_lines(grid, at)) for at in range(len(grid.columns))] if not grid.is_blind else []
    below = (*more_rows(grid, most_rows), *columns, *grid.verdict)
    return "\n".join([shown, *(line for text in below for line in wrapped(plain(text), most))])


def head_lines(grid: Grid, at: int) -> list[str]:
    """Return what stands above a column, without its wording."""
    column = grid.columns[at]
    return [
        line
        for line in (
            grid.label(at),
            SEPARATOR.join(column.settings),
            summaries.of_score(column),
            summaries.of_difference(column),
            SEPARATOR.join(column.facts),
        )
        if line
    ]


def in_words(answer: Answer) -> str:
    """Return the answer's text; or what is there in its place."""
    match answer.state:
        case "failed":
            return f"failed: {answer.error}" if answer.error else "failed"
        case "interrupted":
            return f"{answer.text} [interrupted]".strip()
        case "pending":
            return answer.error or "pending"
        case "waiting":
            return "not asked"  # yet, or any more: it ends so where a comparison is stopped, or decided
        case _:
            return answer.text


def _rows(grid: Grid, most: int) -> list[list[str]]:
    """Return the first rows in words: what each row is, then its cells."""
    names = [column.score_name for column in grid.columns]
    return [
        [_row_name(row), *map(_cell, cells, names)]
        for row, cells in zip(grid.rows[:most], grid.answers[:most], strict=True)
    ]


def _row_name(row: Row) -> str:
    values = ", ".join(f"{name}: {shorten(value, 80)}" for name, value in row.values.items())
    return f"{row.number} {values}".strip()


def _cell(answers: Sequence[Answer], score_name: str) -> str:
    if not answers:
        return ""
    summary = summaries.of_cell(answers, score_name)
    text = shorten(in_words(answers[summary.shown]), _LONGEST)
    return f"{text} [{SEPARATOR.join(summary.marks)}]" if summary.marks else text


def more_rows(grid: Grid, most: int) -> list[str]:
    """Return a note of how many rows there are beyond the first `most`; nothing if there are none."""
    left = len(grid.rows) - most
    return [f"… {left:,} more rows"] if left > 0 else []


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(map(_inline, cells))} |"


def _inline(text: str) -> str:
    """Return text as one line of Markdown that reads the same: no markup, no link, no maths."""
    line = encoded(unmacroed(one_line(text)), _ACTING)
    return re.sub(r"(?i)(?<=www)\.|:(?=//|\w+:)", lambda found: f"&#{ord(found[0])};", line)
