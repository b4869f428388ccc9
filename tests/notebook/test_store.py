"""The store holds every answer, whatever happens to the kernels that write it and to the file."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import sqlite3
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from glm_magic.chat.attempt import Attempt
from glm_magic.chat.messages import Message
from glm_magic.chat.place import Place
from glm_magic.errors import HistoryError
from glm_magic.notebook.bundle import encode
from glm_magic.notebook.database import is_on_a_network
from glm_magic.notebook.journal import recorded
from glm_magic.notebook.store import Store

MINE, OTHER = "/home/me/mine.ipynb", "/home/me/other.ipynb"


def attempt(id_: str, asked: str = "", **more) -> Attempt:
    return Attempt(id_, (Message("user", asked or f"ask {id_}"), Message("assistant", f"answer {id_}")), **more)


def turn(id_: str, cell: str = "a", call: int = 0, *earlier: Attempt, **more):
    return Place(cell, call), encode("main", attempt(id_, **more), earlier, call)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "answers.db"


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def store(path: Path, said: list[str]) -> Iterator[Store]:
    store = Store(path, tell=said.append)
    yield store
    store.close()


def ids(store: Store, notebook: str | None = MINE) -> list[str]:
    problems: list[str] = []
    found = [turn.attempt.id for turn in store.turns(notebook, problems)]
    assert problems == []
    return found


# --- what is kept ----------------------------------------------------------------------------------


def test_an_answer_comes_back_as_it_was_added(store: Store) -> None:
    made = attempt("a", "서울 \u2028 ‘x’", created=2.5, fingerprint="f", seconds=0.25)
    store.add(MINE, [(Place("cell", 3), encode("side", made, (), 3))], now=1.0)
    (found,) = store.turns(MINE, [])
    assert (found.chat, found.place, found.attempt, found.earlier) == ("side", Place("cell", 3), made, ())
    assert store.at(MINE, Place("cell", 3), []) == [found]
    assert store.at(MINE, Place("cell", 2), []) == store.at(OTHER, Place("cell", 3), []) == []


def test_each_attempt_of_a_turn_is_an_answer_and_is_kept_once(store: Store) -> None:
    store.add(MINE, [turn("2", "a", 0, attempt("1"))], now=1.0)
    store.add(MINE, [turn("3", "a", 0, attempt("1"), attempt("2"))], now=1.0)
    store.add(OTHER, [turn("3")], now=1.0)
    assert (ids(store), ids(store, OTHER), ids(store, None)) == (["1", "2", "3"], ["3"], ["1", "2", "3", "3"])
    assert [store.has(MINE, id_) for id_ in "134"] == [True, True, False]


def test_the_places_of_a_prompt_are_told_the_latest_first(store: Store) -> None:
    store.add(
        MINE,
        [turn("1", "a", asked="why?"), turn("2", "b", asked="how?"), turn("3", "b", 1, asked="why?")],
        now=1.0,
    )
    assert store.places(MINE, Message("user", "why?")) == [Place("b", 1), Place("a")]
    assert store.places(MINE, Message("assistant", "answer 1")) == store.places(OTHER, Message("user", "why?")) == []
    assert store.calls(MINE, "b") == {0, 1}


def test_a_place_can_be_given_to_another_cell(store: Store) -> None:
    store.add(MINE, [turn("1"), turn("2", "a", 1), turn("3", "b")], now=1.0)
    store.move(MINE, Place("a"), Place("new"))
    assert [found.attempt.id for found in store.at(MINE, Place("new"), [])] == ["1"]
    assert [found.attempt.id for found in store.at(MINE, Place("a", 1), [])] == ["2"]


def test_cells_can_be_given_to_another_notebook(store: Store) -> None:
    store.add(OTHER, [turn("1", "a"), turn("2", "b"), turn("3", "c")], now=1.0)
    store.add(MINE, [turn("2", "b")], now=1.0)
    assert store.elsewhere(MINE, ["a", "b", "x"]) == {OTHER: {"a", "b"}}
    store.rename(OTHER, MINE, ["a", "b"])
    assert sorted(ids(store)) == ["1", "2"]
    assert store.elsewhere(MINE, [f"cell {number}" for number in range(2000)]) == {}


def test_what_is_forgotten_is_gone_from_the_disk_and_only_that(store: Store, path: Path) -> None:
    store.add(MINE, [turn("1", asked="unforgettable " * 1000)], now=1.0)
    store.add(OTHER, [turn("2")], now=1.0)
    store.forget(MINE)
    assert (ids(store), ids(store, OTHER), store.knows(MINE), store.knows(OTHER)) == ([], ["2"], False, True)
    store.close()
    assert [file for file in path.parent.iterdir() if b"unforgettable" in file.read_bytes()] == []


def test_what_was_not_used_for_long_goes(store: Store) -> None:
    store.add(MINE, [turn("1")], now=100.0)
    store.add(OTHER, [turn("2")], now=100.0)
    store.add(OTHER, [turn("2")], now=200.0)  # it was used again, though nothing is new
    store.sweep(150.0)
    assert (ids(store), ids(store, OTHER)) == ([], ["2"])
    store.sweep(100.0)
    assert ids(store, OTHER) == ["2"]


def test_a_file_of_its_own_is_a_recording_and_is_read_by_sqlite(tmp_path: Path) -> None:
    with contextlib.closing(Store(tmp_path / "kept.db")) as store:
        store.add(MINE, [turn("1"), turn("2", "b")], now=1.0)
    assert [found.attempt.id for found in recorded(tmp_path / "kept.db", [])] == ["1", "2"]
    assert [found.where for found in recorded(tmp_path, [])] == ["kept.db, answer 1", "kept.db, answer 2"]
    with contextlib.closing(sqlite3.connect(tmp_path / "kept.db")) as connection:
        rows = connection.execute("SELECT cell, json_extract(turn, '$.messages[1].content') FROM answers").fetchall()
    assert rows == [("a", "answer 1"), ("b", "answer 2")]


def test_reading_makes_no_file(store: Store, path: Path) -> None:
    store.check()
    store.forget(MINE)
    store.sweep(1.0)
    assert (ids(store), store.has(MINE, "1"), store.knows(MINE), store.elsewhere(MINE, ["a"])) == ([], False, False, {})
    assert not path.parent.exists()


# --- the file --------------------------------------------------------------------------------------


def test_only_its_owner_can_read_it(store: Store, path: Path) -> None:
    before = os.umask(0)
    try:
        store.add(MINE, [turn("1")], now=1.0)
    finally:
        os.umask(before)
    assert {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()} == {0o600}
    assert len([*path.parent.iterdir()]) == 3  # with its log


def test_on_a_network_it_has_a_rollback_journal(store: Store, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("glm_magic.notebook.database.is_on_a_network", lambda _: True)
    store.add(MINE, [turn("1")], now=1.0)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    assert ids(store) == ["1"]


@pytest.mark.parametrize(
    ("kind", "expected"), [("nfs4", True), ("cifs", True), ("fuse.sshfs", True), ("ext4", False), ("tmpfs", False)]
)
def test_the_kind_of_file_system_is_that_of_the_innermost_mount(tmp_path: Path, kind: str, expected: bool) -> None:
    home = tmp_path / "my home"
    home.mkdir()
    mounts = tmp_path / "mounts"
    point = str(home).replace(" ", "\\040")
    mounts.write_text(
        f"/dev/a / ext4 rw 0 0\nserver:/ {point} {kind} rw 0 0\nproc /proc proc rw 0 0\n", encoding="utf-8"
    )
    assert is_on_a_network(home / "data" / "answers.db", str(mounts)) == expected
    assert not is_on_a_network(tmp_path / "answers.db", str(mounts))
    assert not is_on_a_network(home, str(tmp_path / "nowhere"))
    assert is_on_a_network(Path("//server/share/answers.db"), str(mounts))


PROGRAM = """
import sys
from pathlib import Path
from glm_magic.chat.attempt import Attempt
from glm_magic.chat.messages import Message
from glm_magic.chat.place import Place
from glm_magic.notebook.bundle import encode
from glm_magic.notebook.store import Store

store = Store(Path(sys.argv[1]), tell=lambda said: print(said, flush=True))
for number in range(int(sys.argv[3])):
    said = Message("user", "ask"), Message("assistant", "long " * 2000)
    store.add(sys.argv[4], [(Place("a"), encode("main", Attempt(f"{sys.argv[2]}{number}", said)))], now=1.0)
    print(number, flush=True)
"""


def writer(path: Path, name: str, number: int, notebook: str = MINE) -> subprocess.Popen[str]:
    words = [sys.executable, "-c", PROGRAM, str(path), name, str(number), notebook]
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True)


def test_two_kernels_write_at_once_from_the_beginning(store: Store, path: Path) -> None:
    processes = [writer(path, name, 200) for name in "xyz"]
    outputs = [process.communicate(timeout=120)[0].split() for process in processes]
    assert outputs == [[str(number) for number in range(200)]] * 3
    assert sorted(ids(store)) == sorted(f"{name}{number}" for name in "xyz" for number in range(200))


def test_a_killed_kernel_loses_nothing_that_had_ended(store: Store, path: Path, said: list[str]) -> None:
    for name in "xyz":
        process = writer(path, name, 100_000)
        assert process.stdout is not None
        ended = [process.stdout.readline() for _ in range(50)]
        process.send_signal(signal.SIGKILL)
        rest = process.stdout.read().split()
        process.wait(60)
        process.stdout.close()
        least = len(ended) + len(rest)
        found = [id_ for id_ in ids(store) if id_.startswith(name)]
        assert found == [f"{name}{number}" for number in range(len(found))]
        assert least <= len(found) <= least + 1
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert said == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a process that forks")
def test_a_forked_process_writes_through_a_connection_of_its_own(store: Store) -> None:
    store.add(MINE, [turn("1")], now=1.0)
    child = os.fork()
    if child == 0:
        try:
            store.add(MINE, [turn("2")], now=1.0)
            os._exit(0)
        except BaseException:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    store.add(MINE, [turn("3")], now=1.0)
    assert ids(store) == ["1", "2", "3"]


def test_threads_write_at_once(store: Store) -> None:
    threads = [
        threading.Thread(target=lambda name=name: [store.add(MINE, [turn(f"{name}{n}")], now=1.0) for n in range(50)])
        for name in "xyz"
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ids(store)) == 150


@pytest.mark.parametrize("damage", ["not a database", "torn pages", "cut off"])
def test_a_damaged_file_is_set_aside_and_a_new_one_begun(
    store: Store, path: Path, said: list[str], damage: str
) -> None:
    store.add(MINE, [turn(str(number), asked="long " * 500) for number in range(100)], now=1.0)
    store.close()
    whole = path.read_bytes()
    if damage == "not a database":
        path.write_bytes(b"x" * 5000)
    elif damage == "torn pages":
        path.write_bytes(whole[:4096] + os.urandom(len(whole) - 4096))
    else:
        path.write_bytes(whole[: len(whole) // 2 // 4096 * 4096])
    broken = path.read_bytes()
    store.add(MINE, [turn("new")], now=1.0)
    assert ids(store) == ["new"]
    aside = path.with_name("answers.db.damaged-1")
    assert aside.read_bytes() == broken
    assert [str(aside) in sentence for sentence in said] == [True]
    store.close()
    path.write_bytes(b"again" * 1000)
    assert ids(store) == []
    assert path.with_name("answers.db.damaged-2").exists()


def test_a_file_of_ones_own_that_is_damaged_or_another_database_is_left_as_it_is(tmp_path: Path) -> None:
    damaged, another = tmp_path / "damaged.db", tmp_path / "another.db"
    damaged.write_bytes(b"x" * 5000)
    with contextlib.closing(sqlite3.connect(another)) as connection:
        connection.execute("CREATE TABLE mine (x)")
        connection.commit()
    for path, what in ((damaged, "not a database"), (another, "not a store of glm_magic")):
        before = path.read_bytes()
        for act in (Store.check, lambda store: store.add(MINE, [turn("1")], now=1.0), ids):
            with contextlib.closing(Store(path)) as store, pytest.raises(HistoryError, match=what):
                act(store)
        assert path.read_bytes() == before


def test_a_store_of_a_later_version_is_neither_read_nor_written(store: Store, path: Path, said: list[str]) -> None:
    store.add(MINE, [turn("1")], now=1.0)
    store.close()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(HistoryError, match="later glm_magic"):
        store.add(MINE, [turn("2")], now=1.0)
    with pytest.raises(HistoryError, match="later glm_magic"):
        ids(store)
    assert said == []


def test_a_file_that_was_deleted_is_begun_anew(store: Store, path: Path) -> None:
    store.add(MINE, [turn("1")], now=1.0)
    for file in path.parent.iterdir():
        file.unlink()
    assert ids(store) == []
    store.add(MINE, [turn("2")], now=1.0)
    assert ids(store) == ["2"]


def test_an_answer_that_is_damaged_costs_itself(store: Store, path: Path) -> None:
    store.add(MINE, [turn("1"), turn("2"), turn("3"), turn("4")], now=1.0)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE answers SET turn = '{' WHERE id = '2'")
        connection.execute("UPDATE answers SET turn = '{\"version\": 1}' WHERE id = '3'")
        connection.commit()
    problems: list[str] = []
    assert [found.attempt.id for found in store.turns(MINE, problems)] == ["1", "4"]
    assert [problem.split(": ")[0] for problem in problems] == ["Answer 2", "Answer 3"]


@pytest.mark.skipif(sys.platform == "win32", reason="a bound on the size of files")
def test_a_full_disk_is_said_and_costs_only_what_did_not_fit(store: Store, path: Path) -> None:
    store.add(MINE, [turn("1")], now=1.0)
    program = (
        "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({200_000}, {resource.RLIM_INFINITY}))\n" + PROGRAM
    )
    words = [sys.executable, "-c", program, str(path), "x", "100", MINE]
    ran = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert "HistoryError" in ran.stderr
    assert "answers.db cannot be written: " in ran.stderr
    written = ran.stdout.split()
    assert 0 < len(written) < 100
    assert ids(store) == ["1", *(f"x{number}" for number in written)]
    store.add(MINE, [turn("2")], now=1.0)
    assert ids(store)[-1] == "2"


def test_what_the_system_refuses_is_said_in_its_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("x", encoding="utf-8")
    for path in (tmp_path / "file" / "answers.db", tmp_path):
        store, refused = (
            Store(path, tell=pytest.fail),
            pytest.raises(HistoryError, match=r"Not a directory|not a regular file"),
        )
        with contextlib.closing(store), refused:
            store.add(MINE, [turn("1")], now=1.0)

    def refuse(*_: object) -> None:
        raise PermissionError(13, os.strerror(13))

    monkeypatch.setattr(os, "open", refuse)  # the tests may run as root, who may do everything
    with contextlib.closing(Store(tmp_path / "answers.db", tell=pytest.fail)) as store:
        with pytest.raises(HistoryError, match=r"answers\.db cannot be written: Permission denied\."):
            store.add(MINE, [turn("1")], now=1.0)
        assert ids(store) == []


@pytest.mark.skipif(not hasattr(os, "setuid"), reason="permissions of POSIX")
def test_in_a_read_only_home_it_is_read_and_a_write_is_refused(said: list[str]) -> None:
    with tempfile.TemporaryDirectory() as home:  # not in a folder that only its owner can enter
        path = Path(home, "answers.db")
        with contextlib.closing(Store(path, tell=said.append)) as store:
            store.add(MINE, [turn("1")], now=1.0)
        path.chmod(0o444)
        Path(home).chmod(0o555)
        program = (
            "import os, sys; from pathlib import Path; from glm_magic.notebook.store import Store\n"
            "import glm_magic.notebook.bundle, traceback\n"
            "if os.getuid() == 0: os.setuid(65534)\n"
            "store = Store(Path(sys.argv[1]), tell=print)\n"
            "print([turn.attempt.id for turn in store.turns(sys.argv[2], [])])\n"
            "store.add('x', [], now=1.0)\n"
        )
        words = [sys.executable, "-c", program, str(path), MINE]
        ran = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
        Path(home).chmod(0o755)
        assert ran.stdout == "['1']\n"
        assert "answers.db cannot be written: attempt to write a readonly database." in ran.stderr


def test_names_that_are_not_text_are_kept(store: Store) -> None:
    path = os.fsdecode(b"/home/me/\xff.ipynb")
    store.add(path, [turn("1", "cell \ud800")], now=1.0)
    assert [found.attempt.id for found in store.at(path, Place("cell \ud800"), [])] == ["1"]
    with pytest.raises(HistoryError, match="cannot be written"):
        store.add(MINE, [(Place("a", 10**30), turn("2")[1])], now=1.0)
