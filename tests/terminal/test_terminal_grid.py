from __future__ import annotations

import io
from dataclasses import replace

from emulator import ACTING, BACK, Terminal

from glm_magic.display.grid import Answer, Changes, Column, Grid, Interval, Row
from glm_magic.display.terminal.grid import TerminalGrid

COLUMNS = (
    Column("A", ("GLM-4-Flash",), score=Interval(0.5), score_name="right"),
    Column("B", ("GLM-4-Air",), score=Interval(0.9), score_name="right", verdict="better"),
)
BEGUN = Grid(("2 rows", "0 of 4"), COLUMNS, (Row(1, {"w": "ja"}), Row(2, {"w": "nein"})), (((Answer(),),) * 2,) * 2)
DONE = replace(
    BEGUN,
    title=("2 rows", "4 of 4"),
    answers=(
        ((Answer("yes", "done", scores={"right": True}),), (Answer("yes, *indeed*", "done"),)),
        ((Answer("no", "done"),), (Answer(state="failed", error="Too busy."),)),
    ),
    verdict=("B beats A.",),
)
TABLE = [
    "2 rows · 4 of 4",
    "",
    "     row   A ★ baseline   B",
    " ───────────────────────────────────────────",
    " 1   ja    yes            yes, *indeed*",
    "           ✓",
    "",
    " 2   nein  no             failed: Too busy.",
    "",
    "A ★ baseline  GLM-4-Flash · right 0.50",
    "B             GLM-4-Air · right 0.90 · better",
    "B beats A.",
]


class Clock:
    now = 0.0

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


def test_progress_moves_and_leaves_only_the_table_and_the_verdict(terminal: Terminal) -> None:
    view = TerminalGrid(terminal, clock=Clock())
    view.begin(BEGUN)
    assert terminal.screen[0] == "2 rows · 0 of 4"
    view.paint(Changes({(0, 0, 0): Answer("yes", "done")}, title=("2 rows", "1 of 4")))
    assert terminal.screen[0] == "2 rows · 1 of 4"
    assert terminal.screen[2] == "A ★ baseline  GLM-4-Flash · right 0.50"
    view.settle(DONE, {})
    assert [line.split() for line in terminal.lines] == [line.split() for line in TABLE]


def test_where_nothing_can_move_the_table_is_written_once() -> None:
    out = io.StringIO()
    view = TerminalGrid(out, clock=Clock())
    view.begin(BEGUN)
    view.paint(Changes(title=("1 of 4",)))
    assert out.getvalue() == ""
    view.settle(DONE, {})
    assert out.getvalue().startswith("2 rows · 4 of 4\n")
    assert out.getvalue().endswith("B beats A.\n")
    assert "\x1b" not in out.getvalue()
    assert not BACK.search(out.getvalue())


def test_a_blind_grid_tells_nothing_of_the_configurations(terminal: Terminal) -> None:
    view = TerminalGrid(terminal, clock=Clock())
    view.begin(replace(BEGUN, is_blind=True))
    view.paint(Changes(columns=COLUMNS))
    assert "GLM-4" not in terminal.text
    view.settle(replace(DONE, is_blind=True), {})
    assert not [word for word in ("GLM-4", "baseline", "better", "busy", "0.9", "beats") if word in terminal.text]


def test_what_a_model_says_cannot_act(terminal: Terminal) -> None:
    hostile = "\x1b[2J\x1b]8;;http://x.invalid\x1b\\link\u202e [red]x[/red]"
    view = TerminalGrid(terminal, clock=Clock())
    row = ((Answer(hostile, "done", note=hostile),), (Answer(state="failed", error=hostile),))
    columns = (replace(COLUMNS[0], label=hostile, settings=(hostile,)), COLUMNS[1])
    view.begin(replace(BEGUN, columns=columns))
    view.settle(
        replace(DONE, columns=columns, rows=(Row(1, {hostile: hostile}),), answers=(row,), verdict=(hostile,)), {}
    )
    assert "[red]x[/red]" in " ".join(terminal.text.split())
    assert not ACTING.search(terminal.text.replace("\n", ""))
