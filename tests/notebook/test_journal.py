import errno
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from glm_magic.chat.attempt import Attempt
from glm_magic.chat.messages import Message
from glm_magic.chat.place import Place
from glm_magic.errors import HistoryError
from glm_magic.notebook.bundle import MIME_TYPE, encode
from glm_magic.notebook.journal import Journal, recorded


def attempt(id_, text="answer", **more):
    return Attempt(id_, (Message("user", f"ask {id_}"), Message("assistant", text)), **more)


def turn(id_, cell="a", call=0, **more):
    return Place(cell, call), encode("main", attempt(id_, **more), call=call)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal.jsonl"


def ids(turns):
    return [turn.attempt.id for turn in turns]


def test_turns_come_back_as_they_were_added(path):
    earlier = attempt("old", created=1.0)
    made = attempt("a", "서울 \u2028 ‘x’", created=2.5, fingerprint="f", seconds=0.25)
    Journal(path).add([(Place("cell", 3), encode("side", made, (earlier,), 3))])
    problems: list[str] = []
    (found,) = Journal(path).turns(problems)
    assert (found.chat, found.place, found.attempt, found.earlier) == ("side", Place("cell", 3), made, (earlier,))
    assert (found.where, problems) == ("line 1", [])


def test_a_journal_that_is_not_there_has_no_turns_and_is_not_made_by_reading(path):
    assert Journal(path).turns([]) == []
    Journal(path).clear()
    Journal(path).add([])
    assert not path.exists()


def test_each_answer_stands_in_it_once(path):
    journal = Journal(path)
    journal.add([turn("a"), turn("b")])
    journal.add([turn("b"), turn("c")])
    Journal(path).add([turn("a"), turn("d")])
    assert ids(Journal(path).turns([])) == ["a", "b", "c", "d"]


@pytest.mark.parametrize("half", [b'{"cell": "a", "turn": {"ver', b'{"cell"', b"\xff\xfe", b"["])
def test_a_line_that_was_written_by_half_costs_that_line_alone(path, half):
    Journal(path).add([turn("a")])
    with path.open("ab") as file:
        file.write(half)
    Journal(path).add([turn("b")])
    problems: list[str] = []
    assert ids(Journal(path).turns(problems)) == ["a", "b"]
    assert len(problems) == 1
    assert problems[0].startswith("Line 2: ")


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("3", "not a turn"),
        ('{"cell": "a"}', "not a turn"),
        ('{"turn": {"version": 2}}', "later glm_magic"),
        ('{"turn": {"version": 1, "chat": "main"}}', "damaged"),
        ("[" * 100_000, "not JSON"),
    ],
)
def test_a_line_that_holds_no_turn_is_named(path, line, word):
    path.write_text(f"\n{line}\n\r\n", encoding="utf-8")
    problems: list[str] = []
    assert Journal(path).turns(problems) == []
    assert [problem.startswith("Line 2: ") and word in problem for problem in problems] == [True]


def test_attempts_beyond_the_bound_are_left_out_and_counted(path):
    place, bundle = turn("a")
    bundle["attempts"] = [turn(f"old{number}")[1] for number in range(12)]
    Journal(path).add([(place, bundle)])
    problems: list[str] = []
    (found,) = Journal(path).turns(problems)
    assert len(found.earlier) == len([*found.others()]) == 10
    assert problems == ["Line 1: 2 earlier answers were left out; a turn has at most 10."]


def test_a_line_with_nan_costs_that_line_alone(path):
    _, bundle = turn("a")
    bundle["parameters"] = {"x": float("nan")}
    Journal(path).add([(Place("a"), bundle), turn("b")])
    problems: list[str] = []
    assert ids(Journal(path).turns(problems)) == ["b"]
    assert problems[0].startswith("Line 1: The turn is damaged")


def test_a_line_may_be_a_turn_alone_and_end_as_on_windows(path):
    _, bundle = turn("a", call=2)
    path.write_bytes(json.dumps(bundle).encode() + b"\r\n" + json.dumps({"cell": 5, "turn": bundle}).encode())
    assert [found.place for found in Journal(path).turns([])] == [Place("", 2), Place("", 2)]


def test_it_gets_the_permissions_that_the_umask_allows(tmp_path):
    before = os.umask(0o022)
    try:
        path = tmp_path / "made" / "for it" / "journal.jsonl"
        Journal(path).add([turn("a")])
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_two_processes_add_to_it(path):
    program = (
        "import sys; from pathlib import Path; from glm_magic.chat.attempt import Attempt\n"
        "from glm_magic.chat.messages import Message; from glm_magic.chat.place import Place\n"
        "from glm_magic.notebook.bundle import encode\n"
        "from glm_magic.notebook.journal import Journal\n"
        "journal = Journal(Path(sys.argv[1])); journal.turns([])\n"
        "for n in range(200):\n"
        "    said = Message('user', 'ask'), Message('assistant', 'long ' * 2000)\n"
        "    journal.add([(Place('a'), encode('main', Attempt(sys.argv[2] + str(n), said)))])\n"
    )
    processes = [subprocess.Popen([sys.executable, "-c", program, str(path), name]) for name in "xy"]
    assert [process.wait(60) for process in processes] == [0, 0]
    problems: list[str] = []
    assert sorted(ids(Journal(path).turns(problems))) == sorted(f"{name}{n}" for name in "xy" for n in range(200))
    assert problems == []


def test_a_full_disk_is_said_and_the_next_line_is_whole(path, monkeypatch):
    journal = Journal(path)
    journal.add([turn("a")])
    opened = open

    class Full:
        """A file on a disk that takes ten more bytes."""

        def __init__(self, *how, **more):
            self.file = opened(*how, **more)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.file.close()

        def __getattr__(self, name):
            return getattr(self.file, name)

        def write(self, data):
            return self.file.write(data[:10])

    with monkeypatch.context() as patched:
        patched.setattr("builtins.open", Full)
        with pytest.raises(HistoryError, match=os.strerror(errno.ENOSPC)):
            journal.add([turn("b")])
    journal.add([turn("b"), turn("c")])
    problems: list[str] = []
    assert ids(Journal(path).turns(problems)) == ["a", "b", "c"]
    assert len(problems) == 1


def test_what_the_system_refuses_is_said_in_its_words(tmp_path):
    in_the_way = tmp_path / "file"
    in_the_way.write_text("x", encoding="utf-8")
    for path in (in_the_way / "journal.jsonl", tmp_path):
        for what in (lambda j: j.turns([]), lambda j: j.add([turn("a")]), lambda j: j.clear()):
            with pytest.raises(HistoryError, match=r"cannot be (read|written|deleted): \w+"):
                what(Journal(path))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes and devices of POSIX")
@pytest.mark.parametrize("target", ["/dev/zero", "/dev/full", "pipe"])
def test_a_journal_that_is_not_a_regular_file_is_neither_read_nor_written(path, target):
    os.mkfifo(path.with_name("pipe"))
    path.symlink_to(path.with_name("pipe") if target == "pipe" else target)
    journal = Journal(path)
    for what in (lambda: journal.turns([]), lambda: journal.add([turn("a")]), lambda: recorded(path, [])):
        with pytest.raises(HistoryError, match="it is not a regular file"):
            what()
    journal._known = set()  # as after a clear(): nothing is read before it is written to
    with pytest.raises(HistoryError, match="it is not a regular file"):
        journal.add([turn("a")])


def test_a_folder_that_is_read_only_is_said_to_be(path, monkeypatch):
    def refuse(*_):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    journal = Journal(path)
    journal.turns([])
    monkeypatch.setattr(os, "open", refuse)  # the tests may run as root, who may do everything
    with pytest.raises(HistoryError, match="cannot be written: Permission denied"):
        journal.add([turn("a")])
    with pytest.raises(HistoryError, match="cannot be read: Permission denied"):
        Journal(path).turns([])


def test_what_was_cleared_is_added_again(path):
    journal = Journal(path)
    journal.add([turn("a")])
    journal.clear()
    assert not path.exists()
    journal.add([turn("a")])
    assert ids(Journal(path).turns([])) == ["a"]


# --- what a file or a folder holds -----------------------------------------------------------


def save(path: Path, *turns):
    cells = [
        new_code_cell("%%glm", id=place.cell, outputs=[new_output("display_data", {MIME_TYPE: bundle})])
        for place, bundle in turns
    ]
    nbformat.write(new_notebook(cells=cells), path)


def test_a_folder_is_read_in_the_order_of_the_names_and_not_below(tmp_path):
    save(tmp_path / "2.ipynb", turn("b"))
    Journal(tmp_path / "1.jsonl").add([turn("a")])
    (tmp_path / "1.txt").write_text("x", encoding="utf-8")
    (tmp_path / "3.ipynb").mkdir()
    save(tmp_path / "3.ipynb" / "copy.ipynb", turn("never"))
    found = recorded(tmp_path, [])
    assert ids(found) == ["a", "b"]
    assert [made.where for made in found] == ["1.jsonl, line 1", "2.ipynb, cell 1"]


def test_a_file_of_a_folder_that_cannot_be_read_costs_its_turns(tmp_path):
    save(tmp_path / "a.ipynb", turn("a"))
    (tmp_path / "b.ipynb").write_text('{"cells": [', encoding="utf-8")
    (tmp_path / "c.jsonl").write_text("{}", encoding="utf-8")
    problems: list[str] = []
    assert ids(recorded(tmp_path, problems)) == ["a"]
    assert [problem.split(": ")[0] for problem in problems] == ["b.ipynb", "c.jsonl"]


def test_a_folder_that_may_not_be_listed_is_said_to_be(tmp_path, monkeypatch):
    def refuse(_):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(HistoryError, match="cannot be read: Permission denied"):
        recorded(tmp_path, [])


def test_a_large_notebook_is_read(tmp_path):
    save(tmp_path / "large.ipynb", turn("a", text="long " * 10_000_000))
    assert (tmp_path / "large.ipynb").stat().st_size > 50_000_000
    assert ids(recorded(tmp_path / "large.ipynb", [])) == ["a"]
