"""A comparison in a terminal: its columns and its progress while it runs, then the table and the verdict."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TextIO

from glm_magic.display import safe_text, summaries
from glm_magic.display.grid import Answer, Changes, Grid, GridView
from glm_magic.display.page.grid.texts import as_plain, head_lines, in_words, more_rows
from glm_magic.display.sheet import Sheet
from glm_magic.display.tables import shorten
from glm_magic.display.terminal.view import encodable, interrupts_held, open_screen
from glm_magic.display.view import SEPARATOR

if TYPE_CHECKING:
    from rich.console import RenderableType

_UPDATE_SECONDS = 0.2
_MOST_ROWS = 100
_LONGEST = 600  # characters of an answer


class TerminalGrid(GridView):
    """Shows a grid on `out`. Nothing moves if that is no terminal. `clock` returns seconds."""

    def __init__(self, out: TextIO, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._out = out
        self._clock = clock
        self._screen = open_screen(out)
        self._sheet = Sheet(Grid((), (), (), ()))
        self._due = float("-inf")

    def begin(self, grid: Grid) -> None:
        """Show the grid, on which work begins."""
        self._sheet = Sheet(grid)
        self.paint(Changes())

    def paint(self, changes: Changes) -> None:
        """Take what has changed; show how far it is if that is due."""
        self._sheet.take(changes)
        if self._screen is None or self._clock() < self._due:
            return
        self._due = self._clock() + _UPDATE_SECONDS
        with interrupts_held():
            self._screen.show([], [line for part in _progress(self._sheet) for line in self._screen.drawn(part)])

    def settle(self, grid: Grid, attached: Mapping[str, Any]) -> None:
        """Print the table and the verdict."""
        del attached  # a terminal keeps nothing
        seen = Sheet(grid).grid
        if self._screen is None:
            self._out.write(encodable(f"{as_plain(seen, most_rows=_MOST_ROWS)}\n", self._out.encoding))
            self._out.flush()
            return
        with interrupts_held():
            self._screen.show([line for part in _whole(seen) for line in self._screen.drawn(part)], [])


def _progress(sheet: Sheet) -> list[RenderableType]:
    """Return the title, a bar, and a line for each column."""
    from rich.progress_bar import ProgressBar  # noqa: PLC0415

    bar = ProgressBar(total=max(1, sheet.total), completed=sheet.ended, width=40)
    return [_text(SEPARATOR.join(sheet.heads.title)), bar, _columns(sheet.heads)]


def _columns(grid: Grid) -> RenderableType:
    """Return what stands above each column in full, one below the other."""
    from rich.table import Table  # noqa: PLC0415

    columns = Table.grid(padding=(0, 2))
    for at in range(len(grid.columns)):
        label, *more = head_lines(grid, at)
        columns.add_row(_text(label, "bold"), _text(SEPARATOR.join(more)))
    return columns


def _whole(grid: Grid) -> list[RenderableType]:
    """Return the title, the table, what the columns have come to, and the verdict."""
    from rich import box  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    has_values = any(row.values for row in grid.rows)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_lines=True)
    table.add_column("", justify="right")
    if has_values:
        table.add_column("row", overflow="fold", ratio=2)
    for at in range(len(grid.columns)):
        table.add_column(_text(head_lines(grid, at)[0], "bold"), overflow="fold", ratio=3)
    for row, cells in list(zip(grid.rows, grid.answers, strict=True))[:_MOST_ROWS]:
        values = [_text("\n".join(shorten(value, 200) for value in row.values.values()))] if has_values else []
        names = (column.score_name for column in grid.columns)
        table.add_row(str(row.number), *values, *map(_cell, cells, names))
    return [
        _text(SEPARATOR.join(grid.title)),
        table,
        *map(_text, more_rows(grid, _MOST_ROWS)),
        _columns(grid),
        *(_text(sentence, "bold") for sentence in grid.verdict),
    ]


def _cell(answers: tuple[Answer, ...], score_name: str) -> RenderableType:
    from rich.text import Text  # noqa: PLC0415

    if not answers:
        return ""
    summary = summaries.of_cell(answers, score_name)
    shown = answers[summary.shown]
    text = safe_text.plain(in_words(shown))
    cut = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
    cell = Text(cut, style="red" if shown.state in ("failed", "interrupted") else "")
    if summary.marks:
        cell.append(f"\n{safe_text.one_line(SEPARATOR.join(summary.marks))}", style="dim")
    return cell


def _text(text: str, style: str = "") -> RenderableType:
    from rich.text import Text  # noqa: PLC0415

    return Text(safe_text.plain(text), style=style)
