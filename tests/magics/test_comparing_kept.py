"""A comparison loses no answer: what the store, a record and the saved notebook hold is not asked again."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from desk import Desk
from glm_server import Answer, GlmServer, Received, stream
from ipython_shell import Notebook

from glm_magic.asking.archive import KEPT_SECONDS
from glm_magic.errors import GlmError, NotRecorded
from glm_magic.notebook.comparison import MIME_TYPE

CELL = "%%glm -t 0,1 -n 2\nhi"


@pytest.fixture
def asked(desk: Desk) -> Desk:
    """A notebook whose comparison has run, and was never saved with its outputs; a new kernel has been started."""
    desk.server.echo = numbered(desk.server)
    desk.run("a", CELL)
    assert len(desk.server.requests) == 4
    outputs, desk.outputs = desk.outputs, {}
    desk.save()
    desk.outputs = outputs
    desk.restart()
    desk.server.requests.clear()
    return desk


def numbered(server: GlmServer) -> Callable[[Received], Answer]:
    """Answer with the number of the request, so that no answer is like another."""
    numbers = iter(range(1, 100_000))

    def echo(request: Received) -> Answer:
        return stream(f"answer {next(numbers)}", model=request.body["model"])

    return echo


def texts(desk: Desk) -> list[str]:
    return [run.text for run in desk.kernel.shell.user_ns["_glm"]]


def grid(desk: Desk, cell: str = "a") -> Any:
    (found,) = [data[MIME_TYPE] for data in desk.outputs[cell] if MIME_TYPE in data]
    return found


# --- the store -----------------------------------------------------------------------------------------


def test_another_kernel_asks_nothing_that_has_an_answer(asked: Desk) -> None:
    asked.run("a")
    assert asked.server.requests == []
    assert sorted(texts(asked)) == [f"answer {number}" for number in range(1, 5)]


def test_more_of_everything_asks_only_what_is_new(asked: Desk) -> None:
    asked.run("a", "%%glm -t 0,1 -n 3\nhi")
    assert len(asked.server.requests) == 2
    asked.run("a", "%%glm -t 0,1,0.5 -n 3\nhi")
    assert len(asked.server.requests) == 5
    assert "6 kept, 3 asked" in asked.text("a")
    asked.run("a", "%%glm -m GLM-4-Air,GLM-4-Plus -t 0,1,0.5 -n 3\nhi")
    assert len(asked.server.requests) == 14
    asked.run("a", CELL)
    assert len(asked.server.requests) == 14


def test_fresh_asks_all_and_the_old_answers_stay_in_the_store(asked: Desk) -> None:
    asked.run("a", "%%glm -t 0,1 -n 2 --fresh\nhi")
    assert len(asked.server.requests) == 4
    assert len(stored(asked)) == 8
    newest = texts(asked)
    asked.restart()
    asked.run("a", CELL)
    assert texts(asked) == newest
    assert len(asked.server.requests) == 4


def stored(desk: Desk, what: str = "id") -> list[Any]:
    with contextlib.closing(sqlite3.connect(desk.store / "answers.db")) as connection:
        return [value for (value,) in connection.execute(f"SELECT {what} FROM runs ORDER BY number")]


def test_a_renamed_notebook_takes_its_runs_with_it_and_a_copy_does_not(asked: Desk) -> None:
    asked.path = asked.path.rename(asked.path.with_name("renamed.ipynb"))
    asked.restart()
    asked.run("a")
    assert asked.server.requests == []
    original, copy = asked.path, asked.path.with_name("copy.ipynb")
    shutil.copy(original, copy)
    asked.path = copy
    asked.restart()
    asked.run("a")
    assert len(asked.server.requests) == 4
    asked.path = original
    asked.restart()
    asked.run("a")
    assert len(asked.server.requests) == 4


def test_a_copy_has_the_runs_of_its_file(asked: Desk) -> None:
    asked.run("a")
    asked.save()
    asked.path = Path(shutil.copy(asked.path, asked.path.with_name("copy.ipynb")))
    asked.restart()
    asked.run("a")
    assert asked.server.requests == []


def test_a_notebook_from_another_machine_has_the_runs_of_its_file(asked: Desk) -> None:
    asked.run("a")
    asked.save()
    asked.end()
    shutil.rmtree(asked.store)
    asked.restart()
    asked.run("a")
    assert asked.server.requests == []


@pytest.mark.parametrize("is_saved", [True, False])
def test_a_cell_that_has_another_id_now_has_its_runs(asked: Desk, is_saved: bool) -> None:
    if is_saved:
        asked.run("a")
    asked.rename_cell("a", "pasted")
    asked.save()
    asked.restart()
    asked.run("pasted")
    assert asked.server.requests == []
    asked.restart()
    asked.run("pasted", "%%glm -t 0,1 -n 3\nhi")
    assert len(asked.server.requests) == 2


def test_a_copied_cell_asks_anew_while_the_first_is_there(asked: Desk) -> None:
    asked.run("copy", CELL)
    assert len(asked.server.requests) == 4


@pytest.mark.parametrize("source", ["%%glm -t 0,1 -n 2\n{{ missing }}", "%%glm -t 0,9\nhi", "%%glm -t 0,1 -n 2 -N\nhi"])
def test_a_first_run_that_asks_nothing_leaves_the_grid_in_the_notebook(asked: Desk, source: str) -> None:
    asked.run("a")
    before = grid(asked)
    asked.save()
    asked.restart()
    with contextlib.suppress(GlmError):
        asked.run("a", source)
    assert grid(asked)["runs"] == before["runs"]
    asked.save()
    asked.end()
    shutil.rmtree(asked.store)
    asked.restart()
    asked.run("a", CELL)
    assert asked.server.requests == []


def test_where_turns_are_not_saved_no_run_is(desk: Desk) -> None:
    desk.kernel.run("%glm_config save_turns=off")
    desk.run("a", CELL)
    assert not (desk.store / "answers.db").exists()
    assert [data for data in desk.outputs["a"] if MIME_TYPE in data] == []
    desk.run("a")
    assert len(desk.server.requests) == 4, "this kernel knows them"


def test_what_is_forgotten_is_asked_again(asked: Desk) -> None:
    asked.kernel.run("%glm_history --forget")
    assert stored(asked) == []
    asked.restart()
    asked.run("a")
    assert len(asked.server.requests) == 4


def test_runs_of_a_notebook_that_was_not_used_for_long_go(asked: Desk) -> None:
    asked.end()
    with contextlib.closing(sqlite3.connect(asked.store / "answers.db")) as connection:
        connection.execute("UPDATE notebooks SET used = used - ?", (KEPT_SECONDS + 10,))
        connection.commit()
    asked.restart()
    asked.run("a")
    assert len(asked.server.requests) == 4
    assert len(stored(asked)) == 4


def test_using_a_comparison_keeps_its_runs(asked: Desk) -> None:
    def used() -> float:
        with contextlib.closing(sqlite3.connect(asked.store / "answers.db")) as connection:
            return connection.execute("SELECT used FROM notebooks").fetchone()[0]

    with contextlib.closing(sqlite3.connect(asked.store / "answers.db")) as connection:
        connection.execute("UPDATE notebooks SET used = used - ?", (KEPT_SECONDS - 1000,))
        connection.commit()
    before = used()
    asked.run("a")
    assert asked.server.requests == []
    assert used() > before


def test_a_store_that_is_damaged_costs_nothing_but_what_it_held(asked: Desk) -> None:
    asked.end()
    (asked.store / "answers.db").write_bytes(b"x" * 5000)
    asked.restart()
    shown = asked.run("a")
    assert len(asked.server.requests) == 4
    assert "was damaged" in shown
    assert (asked.store / "answers.db.damaged-1").exists()
    asked.restart()
    asked.run("a")
    assert len(asked.server.requests) == 4


def test_a_run_that_is_damaged_costs_itself(asked: Desk) -> None:
    asked.end()
    with contextlib.closing(sqlite3.connect(asked.store / "answers.db")) as connection:
        connection.execute("UPDATE runs SET turn = '{' WHERE number = 2")
        connection.commit()
    asked.restart()
    assert "Run 2: not JSON" in asked.run("a")
    assert len(asked.server.requests) == 1


def test_a_store_that_cannot_be_written_is_said_once_and_the_answers_are_there(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.store.parent.mkdir(parents=True, exist_ok=True)
    desk.store.write_text("a file where the folder of the store would be", encoding="utf-8")
    shown = desk.run("a", CELL)
    assert len(texts(desk)) == 4
    assert " ".join(shown.split()).count("cannot be written") == 1, "wherever the line is wrapped"
    desk.run("a")
    assert len(desk.server.requests) == 4, "this kernel knows them"
    desk.save()
    desk.restart()
    desk.run("a")
    assert len(desk.server.requests) == 4, "its file knows them"


def test_a_store_that_another_kernel_holds_is_said_and_costs_nothing_else(
    asked: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("glm_magic.notebook.database._BUSY_SECONDS", 0.1)
    asked.restart()
    with contextlib.closing(sqlite3.connect(asked.store / "answers.db")) as holder:
        holder.execute("BEGIN IMMEDIATE")
        shown = asked.run("a", "%%glm -t 0,1 -n 3\nhi")
        assert len(asked.server.requests) == 2
        assert "locked" in shown
    asked.run("a")
    asked.restart()
    asked.run("a")
    assert len(asked.server.requests) == 2, "what was not kept then is kept with the next run"


@pytest.mark.parametrize("version", [1, 2])
def test_a_store_of_a_version_before_is_read_with_all_its_answers(desk: Desk, version: int) -> None:
    from glm_magic.notebook import store

    desk.asked("b", "one", "uno")
    desk.end()
    path = desk.store / "answers.db"
    with contextlib.closing(sqlite3.connect(path)) as connection:  # as that version wrote it
        for table in ("batches", "batch_requests", *(["runs"] if version == 1 else [])):
            connection.execute(f"DROP TABLE {table}")
        connection.execute(f"PRAGMA user_version = {version}")
        connection.commit()
    desk.restart()
    desk.run("a", CELL)
    assert "attempt 3 of 3, 2 from before" in desk.run("b", "%%glm\neins")
    desk.restart()
    desk.run("a")
    assert len(desk.server.requests) == 2 + 4 + 1
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (len(store._SCHEMA),)


# --- what a person thinks of them -------------------------------------------------------------------------


def test_ratings_notes_and_the_picked_answer_outlive_the_kernel(asked: Desk) -> None:
    asked.run("a")
    found = asked.kernel.shell.user_ns["_glm"]
    found.rate(0, 5, note="warm")
    found.pick("B", repeat=1)
    picked = found.picked.text
    asked.restart()
    asked.run("a")
    found = asked.kernel.shell.user_ns["_glm"]
    assert (found[0].rating, found[0].note, found.picked.text) == (5, "warm", picked)
    assert asked.kernel.sent("%%glm\nnext", "b").messages[1] == ("assistant", picked)


def test_they_come_with_the_file_to_another_machine(asked: Desk) -> None:
    asked.run("a")
    found = asked.kernel.shell.user_ns["_glm"]
    found.rate(0, 5, note="warm")
    found.pick("B", repeat=1)
    asked.outputs["a"] = [dict(data) for data in asked.kernel.page.outputs.values()]
    asked.save()
    asked.end()
    shutil.rmtree(asked.store)
    asked.restart()
    asked.run("a")
    again = asked.kernel.shell.user_ns["_glm"]
    assert (again[0].rating, again[0].note, again.picked.spot) == (5, "warm", (0, 1, 1))


# --- a record and a replay ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["kept.jsonl", "kept.db"])
def test_a_record_gives_the_runs_back_where_cells_have_no_ids(notebook: Notebook, tmp_path: Path, name: str) -> None:
    record = tmp_path / name
    notebook.server.echo = numbered(notebook.server)
    notebook.run(f"%glm_config record={record}")
    first = [run.text for run in notebook.run(CELL)]
    assert len(notebook.server.requests) == 4
    notebook.restart()
    notebook.run(f"%glm_config record={record}")
    assert [run.text for run in notebook.run(CELL)] == first
    assert len(notebook.server.requests) == 4
    notebook.run("%%glm -t 0,1 -n 3\nhi")
    assert len(notebook.server.requests) == 6


@pytest.mark.parametrize("name", ["saved.ipynb", "kept.jsonl", "kept.db", "."])
def test_a_replay_gives_a_comparison_without_anybody_to_ask(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    folder = tmp_path / "recorded"
    folder.mkdir()
    if name in ("kept.jsonl", "kept.db"):
        desk.kernel.run(f"%glm_config record={folder / name}")
    desk.run("a", CELL)
    first = texts(desk)
    if name in ("saved.ipynb", "."):
        desk.save(folder / "saved.ipynb")
    desk.path = tmp_path / "elsewhere.ipynb"
    monkeypatch.delenv("GLM_BASE_URL")
    monkeypatch.setattr("glm_magic.service.services.is_installed", lambda: False)
    desk.restart(f"%glm_config replay={folder / name} replay_missing=error")
    desk.run("x", CELL)
    assert (texts(desk), len(desk.server.requests)) == (first, 4)
    with pytest.raises(NotRecorded, match="2 of 6 answers of this comparison are not recorded"):
        desk.run("x", "%%glm -t 0,1 -n 3\nhi")
    assert len(desk.server.requests) == 4
    assert len(grid(desk, "x")["runs"]) == 4, "what the cell showed is still in the notebook"


@pytest.mark.parametrize("is_judged", [False, True])
def test_a_replay_needs_no_more_than_what_has_decided(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, is_judged: bool
) -> None:
    cell = "%%glm --each rows --variants --score {} --until-decided\n--- a\nplain {{{{ n }}}}\n--- b\nloud {{{{ n }}}}"
    names = (
        "rows = [dict(n=n) for n in range(60)]\n"
        "def right(reply): return reply.text == 'yes'\n"
        "def more(reply, baseline, row): return reply.text > baseline.text"
    )
    desk.server.echo = lambda asked: stream("yes" if "loud" in asked.messages[-1][1] else "no")
    desk.kernel.run(names)
    shown = desk.run("a", cell.format("more" if is_judged else "right"))
    assert "decided: the rest need not be asked" in " ".join(shown.split())
    asked = len(desk.server.requests)
    assert 40 <= asked < 120
    desk.save()
    monkeypatch.setenv("GLM_REPLAY", str(desk.path))
    monkeypatch.setenv("GLM_REPLAY_MISSING", "error")
    desk.restart(names)
    assert desk.run("a") == shown
    desk.restart(names + "\nright = more = lambda reply: 1.0")
    with pytest.raises(NotRecorded, match="of 120 answers of this comparison are not recorded"):
        desk.run("a")
    assert len(desk.server.requests) == asked


def test_only_its_owner_can_read_the_store(asked: Desk) -> None:
    assert {stat.S_IMODE(file.stat().st_mode) for file in asked.store.iterdir() if file.is_file()} == {0o600}
