"""A notebook asks from threads, and front ends run cells in subshells."""

from __future__ import annotations

import contextvars
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

from ipython_shell import Notebook

from glm_magic.magics.cells import Cells


def test_questions_from_many_threads_are_all_asked(notebook: Notebook) -> None:
    ask = (
        "from concurrent.futures import ThreadPoolExecutor\n"
        "def ask(i):\n    return str(get_ipython().run_line_magic('glm', f'--no-history q{i}'))\n"
        "with ThreadPoolExecutor(8) as pool:\n    answers = list(pool.map(ask, range(16)))\n"
    )
    notebook.run(ask, "a")
    assert notebook.shell.user_ns["answers"] == [f"You said: q{number}" for number in range(16)]


def test_a_conversation_from_many_threads_keeps_every_turn(notebook: Notebook) -> None:
    ask = (
        "from concurrent.futures import ThreadPoolExecutor\n"
        "with ThreadPoolExecutor(8) as pool:\n"
        "    list(pool.map(lambda i: get_ipython().run_line_magic('glm', f'q{i}'), range(16)))\n"
    )
    notebook.run(ask, "a")
    conversation = notebook.shell.magics_manager.registry["GLMMagics"].shared.session.chats.conversation()
    assert sorted(turn.counting.question for turn in conversation) == sorted(f"q{number}" for number in range(16))


def test_cells_that_run_at_the_same_time_have_runs_of_their_own() -> None:
    parent: Any = {}
    cells = Cells(SimpleNamespace(get_parent=lambda: parent))  # type: ignore[arg-type]

    def begin(cell: str) -> None:
        parent.update(metadata={"cellId": cell})
        cells.begin("x")

    main, sub = contextvars.copy_context(), contextvars.copy_context()
    main.run(begin, "a")
    assert main.run(lambda: cells.run.next_place().cell) == "a"
    sub.run(begin, "b")
    assert sub.run(lambda: (cells.run.next_place().cell, cells.run.calls)) == ("b", 1)
    assert main.run(lambda: cells.run.next_place().call) == 1
    ended = sub.run(cells.end, 7)
    assert ended is not None
    assert ended.cell == "b"
    still = main.run(lambda: cells.run)
    assert (still.cell, still.calls) == ("a", 2)
    assert main.run(cells.end, 8) is still


def test_a_thread_of_a_cell_belongs_to_the_cell() -> None:
    cells = Cells(SimpleNamespace(get_parent=lambda: {"metadata": {"cellId": "a"}}))  # type: ignore[arg-type]
    cells.begin("x")
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(lambda: cells.run.next_place().cell).result() == "a"
    assert cells.run.calls == 1
