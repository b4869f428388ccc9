"""The view of a comparison on a page: live while it runs, and then static, as it is saved."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from glm_magic.display import summaries
from glm_magic.display.grid import Action, Answer, Changes, Grid, GridView, Spot
from glm_magic.display.pace import UPDATE_CHARACTERS, UPDATE_SECONDS
from glm_magic.display.page.grid import messages
from glm_magic.display.page.grid.static import as_html, static
from glm_magic.display.page.grid.texts import as_plain
from glm_magic.display.safe_text import one_line
from glm_magic.display.sheet import Sheet
from glm_magic.errors import GlmError, described

if TYPE_CHECKING:
    from glm_magic.display.page.grid.widget import Grids
    from glm_magic.display.view import Show

_STATIC_SECONDS = (0.5, 30.0)  # between two static grids where nothing is live: at least, and at most
_UNDER_WAY = "Under way. If it stays so, run the cell again: what was answered is kept."  # where it was saved, say
_FIRST_BYTES = 50_000  # of a static grid that is about to be replaced


class PageGrid(GridView):
    """Shows a grid as the output `name`, through `show`. `clock` returns seconds.

    By `key` the grid is found again on the page, and in a saved one: a comparison keeps it when it is replayed.
    `grids` returns the kernel's widget, or None if the front end has none; then static grids follow one another.
    `on_action` is called with what a person does, as soon as the kernel is free. Stop interrupts the kernel, unless
    the comparison runs `in_background`. If `at_once`, everything is shown when the view settles.
    """

    def __init__(
        self,
        show: Show,
        name: str,
        clock: Callable[[], float],
        on_action: Callable[[Action], None],
        *,
        key: str,
        grids: Callable[[], Grids | None] = lambda: None,
        in_background: bool = False,
        at_once: bool = False,
    ) -> None:
        self._show = show
        self._name = name
        self._clock = clock
        self._on_action = on_action
        self._key = key
        self._find_grids = grids
        self._in_background = in_background
        self._at_once = at_once
        self._live: Grids | None = None
        self._sheet = Sheet(Grid((), (), (), ()))
        self._unsent = _Unsent()
        self._deltas: dict[Spot, int] = {}  # that were sent of running answers
        self._patches = 0
        self._is_running = self._is_shown = False
        self._due = float("-inf")

    # --- what it shows -----------------------------------------------------------------------

    def begin(self, grid: Grid) -> None:
        """Show the grid, on which work begins."""
        self._sheet, self._unsent = Sheet(grid), _Unsent()
        self._is_running = True
        if self._at_once:
            return
        self._join()
        first = self._sheet.grid
        if self._live is not None:  # before its place is on the page, which asks for a grid that it does not know
            self._live.begin(self._key)
        self._put(
            {
                "text/html": as_html(first, self._key, most=_FIRST_BYTES, note=_UNDER_WAY),
                "text/plain": as_plain(first, most_rows=3),
            }
        )

    def paint(self, changes: Changes) -> None:
        """Take what has changed; show it if it is due."""
        self._sheet.take(changes)
        self._unsent.take(changes)
        if self._at_once or not self._unsent or self._clock() < self._due:
            return
        if self._live is not None:
            self._due = self._clock() + UPDATE_SECONDS
            self._send(self._patch())
            return
        self._unsent = _Unsent()
        shown = as_html(self._sheet.grid, self._key, note=_UNDER_WAY)
        self._put({"text/html": shown})
        least, most = _STATIC_SECONDS
        self._due = self._clock() + min(max(least, UPDATE_SECONDS * len(shown) / UPDATE_CHARACTERS), most)

    def settle(self, grid: Grid, attached: Mapping[str, Any]) -> None:
        """Show the grid as it is saved, and go on with it while the kernel lives."""
        self._is_running = False
        self.rewrite(grid, attached)

    def rewrite(self, grid: Grid, attached: Mapping[str, Any]) -> None:
        """Replace the settled grid."""
        before, self._sheet = self._sheet, Sheet(grid)
        unsent, self._unsent = self._unsent, _Unsent()
        now = self._sheet
        if self._live is None:
            self._join()
            self._put({**static(now.grid, self._key), **attached})
            if self._live is not None:
                self._live.send_whole(self._key)  # a page whose script comes later asks for it
            return
        if before.shape == now.shape and before.heads.rows == now.heads.rows:
            late = unsent.answers.keys() | unsent.grown.keys()
            changed = [spot for spot, answer in now.spots() if spot in late or answer != before.answer(spot)]
            self._send({**messages.heads(now.heads), **self._of(changed), "running": self._is_running})
        else:
            self._live.send_whole(self._key)
        self._live.end(self._key)
        self._put({**static(now.grid, self._key), **attached})

    def _put(self, data: dict[str, Any]) -> None:
        self._show(data, self._name, update=self._is_shown)
        self._is_shown = True

    # --- what the widget is told, and tells --------------------------------------------------

    def _join(self) -> None:
        self._live = self._find_grids()
        if self._live is not None:
            self._live.add(self._key, self._whole, self._heard)

    def _send(self, patch: dict[str, Any]) -> None:
        assert self._live is not None, "there is somebody to send to"
        self._live.patch(self._key, {"number": self._patches, **patch})
        self._patches += 1

    def _whole(self) -> dict[str, Any]:
        """Return everything, for a page that knows nothing of the grid yet."""
        self._unsent, self._patches = _Unsent(), 0
        spots = [spot for spot, answer in self._sheet.spots() if answer != Answer()]
        patch = {**messages.heads(self._sheet.heads), **self._of(spots)}
        running = {"background": self._in_background, "running": self._is_running}
        return {**messages.whole(self._sheet.heads, self._sheet.shape, patch), **running}

    def _patch(self) -> dict[str, Any]:
        unsent, self._unsent = self._unsent, _Unsent()
        heads = messages.heads(self._sheet.heads) if unsent.heads else {}
        patch = {name: value for name, value in heads.items() if name in unsent.heads}
        if unsent.answers:
            patch |= self._of(unsent.answers)
        grown = []
        for spot, texts in unsent.grown.items():
            number = self._deltas.get(spot, 0)
            self._deltas[spot] = number + 1
            grown.append([*spot, number, messages.text("".join(texts))])
        return patch | ({"grown": grown} if grown else {})

    def _of(self, spots: Iterable[Spot]) -> dict[str, Any]:
        """Return the answers at these spots, and what their cells say in short."""
        answers: list[list[Any]] = []
        cells: dict[tuple[int, int], list[Any]] = {}
        for spot in spots:
            row, column, _ = spot
            answers.append([*spot, messages.answer(self._sheet.answer(spot))])
            self._deltas.pop(spot, None)
            cells[row, column] = []
        for row, column in cells:
            name = self._sheet.heads.columns[column].score_name
            summary = summaries.of_cell(self._sheet.cell(row, column), name)
            cells[row, column] = messages.cell(row, column, summary)
        return {"answers": answers, "cells": list(cells.values())}

    def _heard(self, content: Mapping[str, Any]) -> None:
        action = messages.read_action(content, self._sheet.shape)
        if action is None:
            return
        why = ""
        try:
            self._on_action(action)
        except GlmError as error:
            why = str(error)
        except Exception as error:  # a bug: it is shown too, for a message has no cell to fail
            why = described(error)
        self._send({"said": one_line(why)})


class _Unsent:
    """What has changed and was not shown yet."""

    def __init__(self) -> None:
        self.answers: dict[Spot, None] = {}  # a set that keeps its order
        self.grown: dict[Spot, list[str]] = {}
        self.heads: set[str] = set()

    def __bool__(self) -> bool:
        return bool(self.answers or self.grown or self.heads)

    def take(self, changes: Changes) -> None:
        for spot in changes.answers:
            self.grown.pop(spot, None)
            self.answers[spot] = None
        for spot, text in changes.grown.items():
            if spot not in self.answers:  # which is sent whole
                self.grown.setdefault(spot, []).append(text)
        self.heads |= {name for name in ("title", "columns") if getattr(changes, name) is not None}
