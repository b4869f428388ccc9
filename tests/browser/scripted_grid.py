"""A comparison that is only acted: made-up answers go into a grid on the page, as those of a model would."""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from IPython.display import publish_display_data

from glm_magic.display.grid import Action, Answer, Changes, Column, Grid, Interval, Row, Spot
from glm_magic.display.page.grid.view import PageGrid
from glm_magic.display.page.grid.widget import Grids

BUNDLE = "application/vnd.glm-magic.comparison+json"
REVIEWS = (
    "Slow but good: the soup came late and was worth every minute.",
    "Never again.\nThe table was sticky, and nobody came.",
    "Fine.",
    "The waiter knew each wine by its first name, and the fish was from this morning.",
    "맛은 좋았지만 너무 시끄러웠어요.",
    "菜很好吃，就是等得太久了。",
)
SENTENCES = (
    "The review is mixed: it praises the food and complains about the time that it took.",
    "Negative.",
    "Positive, on the whole; the tone is warm, and the one complaint is taken back in the same sentence.",
    "It is hard to say. A word can be praise or the opposite of it.\n\n1. It may be tired.\n2. It may be content.",
)
SETTINGS = (("GLM-4-Flash", "t 0"), ("GLM-4-Air", "t 0"), ("GLM-4-Air", "t 0", "terse"), ("GLM-4-Plus", "t 0.7"))
_grids: list[Grids] = []
_names = map("scripted-{}".format, itertools.count())


def show(data: dict[str, Any], name: str, *, update: bool) -> None:
    publish_display_data(data, {}, transient={"display_id": name}, update=update)


def grids() -> Grids:
    if not _grids:
        _grids.append(Grids())
    return _grids[0]


def text(row: int, column: int, repeat: int, length: int = 1) -> str:
    chance = random.Random(f"{row} {column} {repeat // 2} {length}")
    return " ".join(chance.choice(SENTENCES) for _ in range(length))


class Acted:
    """A grid of so many rows, columns and repeats; `actions` is what a person did in it."""

    def __init__(
        self, rows: int, columns: int, repeats: int = 1, *, length: int = 1, key: str = "acted", **how: Any
    ) -> None:
        self.size = rows, columns, repeats
        self.length = length
        self.texts: list[str] = how.pop("texts", [])  # in the place of those that are made up
        self.actions: list[Action] = []
        self.done: dict[Spot, Answer] = {}
        with_live = how.pop("with_live", True)
        self.is_blind = how.pop("is_blind", False)
        found: Callable[[], Grids | None] = grids if with_live else lambda: None
        self.view = PageGrid(show, next(_names), time.monotonic, self._act, key=key, grids=found, **how)
        self.grid = Grid(
            title=self.title(0),
            columns=tuple(self.column(at, done=False) for at in range(columns)),
            rows=tuple(Row(at + 1, {"review": REVIEWS[at % len(REVIEWS)]} if rows > 1 else {}) for at in range(rows)),
            answers=tuple(tuple((Answer(),) * repeats for _ in range(columns)) for _ in range(rows)),
            is_blind=self.is_blind,
        )

    def title(self, done: int) -> tuple[str, ...]:
        rows, columns, repeats = self.size
        all_of_them = rows * columns * repeats
        left = () if done >= all_of_them else ("12 at once, ~9 s left",)
        return (
            f"{rows} rows × {columns} configurations × {repeats} repeats",
            f"{done} of {all_of_them}",
            *left,
            "0.021 CNY",
        )

    def column(self, at: int, *, done: bool) -> Column:
        mean = (0.71, 0.89, 0.74, 0.4)[at % 4]
        return Column(
            "ABCDEFGH"[at],
            SETTINGS[at % len(SETTINGS)],
            ("1.1 s (p95 2.4)", "48 tok", f"0.00{at} CNY") if done else (),
            Interval(mean, mean - 0.09, mean + 0.08) if done else None,
            "right",
            Interval(mean - 0.71, mean - 0.83, mean - 0.6) if at and done else None,
            ("", "better", "undecided", "worse")[at % 4] if done else "",
            f"Say whether the review is positive{' in one word' * (at % 2)}." if at < 3 else "",
        )

    def answer(self, spot: Spot) -> Answer:
        if spot == (1, 1, 0):
            return Answer(state="failed", error="The service is too busy (1305). Try again later.")
        row, _, _ = spot
        words = self.texts[row] if self.texts else text(*spot, self.length)
        return Answer(words, "done", facts=("1.1 s", "48 tok", "stop"), scores={"right": len(words) % 3 > 0})

    def begin(self) -> None:
        self.view.begin(self.grid)

    def stream(self, at_once: int = 12, pause: float = 0.1, a_tick: int = 20, until: int = 10**9) -> None:
        """Answer what is waiting, so many at once, so many characters of each at a tick, `until` so many are done."""
        spots = list(itertools.product(*map(range, self.size)))
        answers = {spot: self.answer(spot) for spot in spots}
        waiting = [spot for spot in spots if spot not in self.done]
        running: dict[Spot, int] = {}
        done = self.done
        while (waiting or running) and len(done) < until:
            changed: dict[Spot, Answer] = {}
            grown: dict[Spot, str] = {}
            while waiting and len(running) < at_once:
                spot = waiting.pop(0)
                running[spot] = 0
                changed[spot] = Answer(state="running")
            for spot, at in list(running.items()):
                whole = answers[spot].text
                grown[spot] = whole[at : at + a_tick]
                running[spot] = at + a_tick
                if running[spot] >= len(whole):
                    del running[spot]
                    del grown[spot]
                    changed[spot] = done[spot] = answers[spot]
            self.view.paint(Changes(changed, grown, title=self.title(len(done))))
            self._keep(changed)
            time.sleep(pause)

    def hold(self, gate: str) -> None:
        """Stay as it is until there is a file called `gate`."""
        while not Path(gate).exists():
            self.view.paint(Changes())
            time.sleep(0.02)

    def _keep(self, answers: dict[Spot, Answer]) -> None:
        rows = [[list(cell) for cell in row] for row in self.grid.answers]
        for (row, column, repeat), answer in answers.items():
            rows[row][column][repeat] = answer
        self.grid = replace(self.grid, answers=tuple(tuple(map(tuple, row)) for row in rows))

    def finish(self) -> None:
        """Settle with all answers."""
        self.prepare()
        self.settle()

    def prepare(self) -> None:
        """Have all answers, and show nothing of it."""
        rows, columns, repeats = self.size
        spots = itertools.product(range(rows), range(columns), range(repeats))
        self._keep({spot: self.answer(spot) for spot in spots})
        self.grid = replace(
            self.grid,
            title=self.title(rows * columns * repeats),
            columns=tuple(self.column(at, done=True) for at in range(columns)),
            verdict=("B beats A: right +0.18 (95%: +0.06 to +0.29, 40 rows × 2).", "C: no difference shown."),
            more="ask 24 more ≈ 0.002 CNY",
        )

    def settle(self) -> None:
        self.view.settle(self.grid, {BUNDLE: {"version": 1}})

    def _act(self, action: Action) -> None:
        self.actions.append(action)
        row, column, repeat = action.spot
        answer = self.grid.answers[row][column][repeat]
        match action.kind:
            case "rate":
                self._keep({action.spot: replace(answer, rating=action.value)})
            case "note":
                self._keep({action.spot: replace(answer, note=action.value)})
            case "pick":
                self._keep({action.spot: replace(answer, is_picked=not answer.is_picked)})
            case "baseline":
                self.grid = replace(self.grid, baseline=column)
            case "reveal":
                self.grid = replace(self.grid, is_blind=False)
            case _:
                return
        self.view.rewrite(self.grid, {BUNDLE: {"version": 1}})
