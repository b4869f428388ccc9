"""A grid that changes: the answers so far, to which text is appended without copying what there is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from glm_magic.display.grid import Answer, Changes, Grid, Spot, blinded, blinded_answer, blinded_columns

ENDED = ("done", "failed", "interrupted")


class Sheet:
    """Changes go in through `take`; of a blind grid only what may be seen is kept."""

    def __init__(self, grid: Grid) -> None:
        seen = blinded(grid) if grid.is_blind else grid
        self.heads = replace(seen, answers=())  # all but the answers
        self._answers = [[list(cell) for cell in row] for row in seen.answers]
        self._grown: dict[Spot, list[str]] = {}  # text that answers have not got yet
        self.total = sum(1 for _ in self.spots())
        self.ended = sum(answer.state in ENDED for _, answer in self.spots())

    def take(self, changes: Changes) -> None:
        """Take what has changed."""
        is_blind = self.heads.is_blind
        if changes.title is not None:
            self.heads = replace(self.heads, title=changes.title)
        if changes.columns is not None:
            self.heads = replace(self.heads, columns=blinded_columns(changes.columns) if is_blind else changes.columns)
        for spot, answer in changes.answers.items():
            row, column, repeat = spot
            self.ended += (answer.state in ENDED) - (self._answers[row][column][repeat].state in ENDED)
            self._answers[row][column][repeat] = blinded_answer(answer) if is_blind else answer
            self._grown.pop(spot, None)
        for spot, text in changes.grown.items():
            self._grown.setdefault(spot, []).append(text)

    def answer(self, spot: Spot) -> Answer:
        """Return the answer at `spot`, with all of its text."""
        row, column, repeat = spot
        answer = self._answers[row][column][repeat]
        if spot in self._grown:
            state = "running" if answer.state == "waiting" else answer.state
            answer = replace(answer, text=answer.text + "".join(self._grown.pop(spot)), state=state)
            self._answers[row][column][repeat] = answer
        return answer

    def cell(self, row: int, column: int) -> list[Answer]:
        """Return the repeats of a cell."""
        return [self.answer((row, column, repeat)) for repeat in range(len(self._answers[row][column]))]

    def spots(self) -> Iterator[tuple[Spot, Answer]]:
        """Yield every spot with its answer."""
        for row, cells in enumerate(self._answers):
            for column, answers in enumerate(cells):
                for repeat in range(len(answers)):
                    spot = (row, column, repeat)
                    yield spot, self.answer(spot)

    @property
    def grid(self) -> Grid:
        """The whole grid as it is now."""
        for spot in list(self._grown):
            self.answer(spot)
        return replace(self.heads, answers=tuple(tuple(map(tuple, row)) for row in self._answers))

    @property
    def shape(self) -> list[list[int]]:
        """The number of repeats of each cell."""
        return [[len(cell) for cell in row] for row in self._answers]
