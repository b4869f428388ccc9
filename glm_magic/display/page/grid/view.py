"""The view of a comparison on a page: live while it runs, and then static, as it is saved."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from glm_magic.display import summaries
from glm_magic.display.grid import (
    Action,
    Answer,
    Changes,
    Grid,
    Spot,
    blinded,
    blinded_answer,
    blinded_columns,
)
from glm_magic.display.pace import UPDATE_CHARACTERS, UPDATE_SECONDS
from glm_magic.display.page.grid import messages
from glm_magic.display.page.grid.static import as_html, static
from glm_magic.display.page.grid.texts import as_plain

if TYPE_CHECKING:
    from glm_magic.display.page.grid.widget import Grids
    from glm_magic.display.view import Show

_STATIC_SECONDS = 0.5  # between two static grids, where nothing is live
_STATIC_BYTES = 50_000  # of a grid that is about to be replaced


class PageGrid:
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
        self._grid = Grid((), (), (), ())  # all but its answers
        self._answers: list[list[list[Answer]]] = []
        self._grown: dict[Spot, list[str]] = {}  # text that running answers have not got yet
        self._deltas: dict[Spot, int] = {}  # that were sent of them
        self._pending = Pending()
        self._is_running = self._is_shown = False
        self._patches = 0
        self._due = float("-inf")

    # --- the interface of a view -------------------------------------------------------------

    def begin(self, grid: Grid) -> None:
        """Show the grid, on which work begins."""
        self._keep(blinded(grid) if grid.is_blind else grid)
        self._is_running = True
        if self._at_once:
            return
        self._begin_live()
        first = self._current()
        shown = {"text/html": as_html(first, self._key, most=_STATIC_BYTES), "text/plain": as_plain(first, most_rows=3)}
        self._put(shown)
        if self._live is not None:
            self._live.begin(self._key)

    def paint(self, changes: Changes) -> None:
        """Take what has changed; show it if it is due."""
        self._take(changes)
        if self._at_once or self._clock() < self._due:
            return
        if self._live is not None:
            self._due = self._clock() + UPDATE_SECONDS
            if patch := self._patch():
                self._send(patch)
        elif self._pending:
            self._pending = Pending()
            shown = as_html(self._current(), self._key)
            self._put({"text/html": shown})
            wait = UPDATE_SECONDS * len(shown) / UPDATE_CHARACTERS
            self._due = self._clock() + max(_STATIC_SECONDS, min(wait, 30.0))

    def settle(self, grid: Grid, attached: Mapping[str, Any]) -> None:
        """Show the grid as it is saved, and go on with it while the kernel lives."""
        self._is_running = False
        self.rewrite(grid, attached)

    def rewrite(self, grid: Grid, attached: Mapping[str, Any]) -> None:
        """Replace the settled grid."""
        seen = blinded(grid) if grid.is_blind else grid
        self._put({**static(seen, self._key), **attached})
        before = self._current()
        self._keep(seen)
        if self._live is None:
            self._begin_live()  # the page asks for it when it sees its element
        elif _shape(before) == _shape(seen) and before.rows == seen.rows:
            changed = [spot for spot, answer in _spots(seen) if answer != _at(before, spot)]
            self._send({**messages.heads(seen), **self._of_spots(changed), "running": self._is_running})
        else:
            self._live.send_whole(self._key)
        if self._live is not None:
            self._live.end(self._key)

    def _put(self, data: dict[str, Any]) -> None:
        self._show(data, self._name, update=self._is_shown)
        self._is_shown = True

    # --- what is known -----------------------------------------------------------------------

    def _keep(self, grid: Grid) -> None:
        self._grid = replace(grid, answers=())
        self._answers = [[list(cell) for cell in row] for row in grid.answers]
        self._grown.clear()
        self._deltas.clear()
        self._pending = Pending()

    def _take(self, changes: Changes) -> None:
        is_blind = self._grid.is_blind
        columns = changes.columns
        if columns is not None:
            columns = blinded_columns(columns) if is_blind else columns
            self._grid = replace(self._grid, columns=columns)
            self._pending.heads.add("columns")
        if changes.title is not None:
            self._grid = replace(self._grid, title=changes.title)
            self._pending.heads.add("title")
        if changes.verdict is not None and not is_blind:
            self._grid = replace(self._grid, verdict=changes.verdict)
            self._pending.heads.add("verdict")
        for spot, answer in changes.answers.items():
            row, column, repeat = spot
            self._answers[row][column][repeat] = blinded_answer(answer) if is_blind else answer
            self._grown.pop(spot, None)
            self._pending.grown.pop(spot, None)
            self._pending.answers[spot] = None
        for spot, text in changes.grown.items():
            self._grown.setdefault(spot, []).append(text)
            if spot not in self._pending.answers:
                self._pending.grown.setdefault(spot, []).append(text)

    def _answer(self, spot: Spot) -> Answer:
        row, column, repeat = spot
        answer = self._answers[row][column][repeat]
        if spot in self._grown:
            state = "running" if answer.state == "waiting" else answer.state
            answer = replace(answer, text=answer.text + "".join(self._grown.pop(spot)), state=state)
            self._answers[row][column][repeat] = answer
        return answer

    def _current(self) -> Grid:
        for spot in list(self._grown):
            self._answer(spot)
        return replace(self._grid, answers=tuple(tuple(map(tuple, row)) for row in self._answers))

    # --- what is sent ------------------------------------------------------------------------

    def _begin_live(self) -> None:
        self._live = self._find_grids()
        if self._live is not None:
            self._live.add(self._key, self._whole, self._heard)

    def _whole(self) -> dict[str, Any]:
        """Return everything, for a page that knows nothing of the grid yet."""
        current = self._current()
        self._pending = Pending()
        self._patches = 0
        spots = [spot for spot, answer in _spots(current) if answer != Answer()]
        patch = {**messages.heads(current), **self._of_spots(spots)}
        running = {"background": self._in_background, "running": self._is_running}
        return {**messages.whole(current, patch), **running}

    def _patch(self) -> dict[str, Any]:
        pending, self._pending = self._pending, Pending()
        patch = {name: value for name, value in messages.heads(self._grid).items() if name in pending.heads}
        if pending.answers:
            patch |= self._of_spots(pending.answers)
        grown = []
        for spot, texts in pending.grown.items():
            number = self._deltas.get(spot, 0)
            self._deltas[spot] = number + 1
            grown.append([*spot, number, messages.text("".join(texts))])
        return patch | ({"grown": grown} if grown else {})

    def _of_spots(self, spots: Collection[Spot]) -> dict[str, Any]:
        """Return the answers at these spots, and what their cells say in short."""
        answers, cells = [], []
        for spot in spots:
            answers.append([*spot, messages.answer(self._answer(spot))])
            self._deltas.pop(spot, None)
        for row, column in dict.fromkeys((row, column) for row, column, _ in spots):
            name = self._grid.columns[column].score_name
            cells.append(messages.cell(row, column, summaries.of_cell(self._answers[row][column], name)))
        return {"answers": answers, "cells": cells}

    def _send(self, patch: dict[str, Any]) -> None:
        assert self._live is not None, "there is somebody to send to"
        self._live.patch(self._key, {"number": self._patches, **patch})
        self._patches += 1

    def _heard(self, content: Mapping[str, Any]) -> None:
        rows, columns = len(self._answers), len(self._grid.columns)
        repeats = max((len(cell) for row in self._answers for cell in row), default=0)
        action = messages.read_action(content, (rows, columns, repeats))
        if action is not None:
            self._on_action(action)


def _spots(grid: Grid) -> Iterator[tuple[Spot, Answer]]:
    for row, cells in enumerate(grid.answers):
        for column, answers in enumerate(cells):
            for repeat, answer in enumerate(answers):
                yield (row, column, repeat), answer


def _at(grid: Grid, spot: Spot) -> Answer:
    row, column, repeat = spot
    return grid.answers[row][column][repeat]


def _shape(grid: Grid) -> list[list[int]]:
    return [[len(cell) for cell in row] for row in grid.answers]


class Pending:
    """What has changed and was not shown yet."""

    def __init__(self) -> None:
        self.answers: dict[Spot, None] = {}  # a set that keeps its order
        self.grown: dict[Spot, list[str]] = {}
        self.heads: set[str] = set()

    def __bool__(self) -> bool:
        return bool(self.answers or self.grown or self.heads)
