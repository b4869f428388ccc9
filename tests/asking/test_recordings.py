from __future__ import annotations

import os
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from glm_magic.asking.archive import journal_of
from glm_magic.asking.recordings import OFF, THIS_NOTEBOOK, Recordings
from glm_magic.chat.attempt import Attempt
from glm_magic.chat.messages import Message
from glm_magic.chat.place import Place
from glm_magic.errors import HistoryError
from glm_magic.notebook.bundle import MIME_TYPE, encode
from glm_magic.notebook.journal import Journal

ASKED = Place("elsewhere")


def attempt(id_: str, fingerprint: str = "f", **more) -> Attempt:
    return Attempt(
        id_, (Message("user", f"ask {fingerprint}"), Message("assistant", id_)), fingerprint=fingerprint, **more
    )


def edit(id_: str, created: float, fingerprint: str = "e") -> Attempt:
    return Attempt(id_, (), fingerprint=fingerprint, created=created, role="")


def at(cell: str, *made: Attempt, call: int = 0):
    *earlier, counting = made
    return Place(cell, call), encode("main", counting, tuple(earlier), call)


@pytest.fixture
def source(tmp_path: Path):
    def write(*turns) -> str:
        Journal(tmp_path / "record.jsonl").add(list(turns))
        return str(tmp_path / "record.jsonl")

    return write


@pytest.fixture
def recordings() -> Recordings:
    return Recordings(lambda: None)


def given(recordings: Recordings, source: str, *places: Place | None, fingerprint: str = "f") -> list[str]:
    """The ids of what is given at these places, one after the other; "" for nothing."""
    ids = []
    for place in places:
        found = recordings.find(source, fingerprint, place)
        ids.append(found.attempt.id if found else "")
        if found:
            recordings.give(found, place)
    return ids


def test_each_answer_is_given_once_in_the_order_of_the_file(recordings: Recordings, source) -> None:
    record = source(at("a", attempt("1")), at("b", attempt("2")), at("c", attempt("other", "g")))
    assert given(recordings, record, Place("x"), Place("y"), Place("z")) == ["1", "2", ""]


def test_the_same_call_of_the_same_cell_comes_first_then_the_same_cell(recordings: Recordings, source) -> None:
    record = source(at("a", attempt("1")), at("b", attempt("2")), at("b", attempt("3"), call=1))
    assert given(recordings, record, Place("b", 1), Place("b", 7), Place("b", 0)) == ["3", "2", "1"]


def test_a_place_that_was_answered_asks_anew_until_it_asks_for_something_else(recordings: Recordings, source) -> None:
    record = source(*(at("a", attempt(str(n))) for n in range(3)), at("a", attempt("other", "g")))
    assert given(recordings, record, ASKED, ASKED) == ["0", ""]
    assert given(recordings, record, ASKED, fingerprint="g") == ["other"]
    place, kept = at("live", attempt("now", "f"))
    recordings.keep(place, kept, record="")
    assert given(recordings, record, place, Place("x")) == ["", "1"]


def test_where_there_is_no_place_every_answer_may_be_given(recordings: Recordings, source) -> None:
    record = source(at("", edit("1", 1)), at("", edit("2", 2)))
    assert given(recordings, record, None, None, None, fingerprint="e") == ["1", "2", ""]


def test_earlier_answers_of_a_turn_come_after_all_that_count(recordings: Recordings, source) -> None:
    record = source(at("a", attempt("old"), attempt("1")), at("b", attempt("2")))
    assert given(recordings, record, *(Place("x", n) for n in range(4))) == ["1", "2", "old", ""]


def test_an_earlier_answer_is_given_with_the_others_of_its_turn(recordings: Recordings, source) -> None:
    record = source(at("a", attempt("old", "g", created=1), attempt("new", created=2)))
    found = recordings.find(record, "g", ASKED)
    assert found is not None
    assert [other.id for other in found.earlier] == ["new"]


def test_an_interrupted_answer_is_given_only_where_a_turn_was_asked_after_it(recordings: Recordings, source) -> None:
    half = attempt("half", interrupted=True)
    record = source(at("a", half), at("", Attempt("e", (), ("half",), role="")))
    assert given(recordings, record, ASKED) == [""]
    assert "interrupted" in recordings.nearest(Message("user", "ask f"))
    record = source(at("b", attempt("next", "g", after=("half",))))
    recordings.read(record)
    assert given(recordings, record, ASKED) == ["half"]


def test_answers_of_this_kernel_are_never_given_even_from_another_record(recordings: Recordings, source) -> None:
    record = source(at("a", attempt("1")), at("b", attempt("2")))
    place, kept = at("x", attempt("2"))
    recordings.keep(place, kept, record="")
    assert given(recordings, record, ASKED) == ["1"]
    recordings.read(OFF)
    assert given(recordings, record, Place("y")) == [""]


def test_a_record_that_cannot_be_read_leaves_the_one_before(recordings: Recordings, source, tmp_path: Path) -> None:
    record = source(at("a", attempt("1")))
    recordings.read(record)
    for wrong in (str(tmp_path / "nowhere"), THIS_NOTEBOOK):
        with pytest.raises(HistoryError):
            recordings.read(wrong)
    Path(record).unlink()
    assert given(recordings, record, ASKED) == ["1"]


@pytest.mark.parametrize(
    ("prompt", "remedy"),
    [("ask f", "has already given"), ("ask g", r"is recorded (line 2)"), ("ask h", "Ask again with --no-replay")],
)
def test_what_to_do_where_nothing_is_recorded(recordings: Recordings, source, prompt: str, remedy: str) -> None:
    given(recordings, source(at("a", attempt("1")), at("b", attempt("2", "g"))), ASKED)
    assert remedy in recordings.nearest(Message("user", prompt))


def test_many_problems_are_summed_up_and_said_once(recordings: Recordings, tmp_path: Path) -> None:
    (tmp_path / "record.jsonl").write_text("{\n" * 1000, encoding="utf-8")
    recordings.read(str(tmp_path / "record.jsonl"))
    problems = recordings.problems()
    assert (len(problems), problems[-1]) == (6, "and 995 more")
    assert recordings.problems() == ()


# --- keeping ---------------------------------------------------------------------------------------


def test_answers_are_added_to_the_file_that_is_named_wherever_the_kernel_has_gone(
    recordings: Recordings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    recordings.keep(*at("a", attempt("1")), record="kept.jsonl")
    monkeypatch.chdir(tmp_path / "elsewhere")
    recordings.keep(*at("b", attempt("2")), record="kept.jsonl")
    assert [found.attempt.id for found in Journal(tmp_path / "kept.jsonl").turns([])] == ["1", "2"]


def test_an_answer_that_cannot_be_kept_is_a_problem_that_is_said_once(recordings: Recordings, tmp_path: Path) -> None:
    (tmp_path / "kept.jsonl").symlink_to(tmp_path / "nowhere" / "x")
    recordings.keep(*at("a", attempt("1")), record=str(tmp_path / "kept.jsonl"))
    (problem,) = recordings.problems()
    assert problem.startswith("not recorded: ")
    assert "cannot be written: No such file" in problem
    assert recordings.problems() == ()


# --- this notebook -----------------------------------------------------------------------------------


@pytest.fixture
def notebook(tmp_path: Path) -> Path:
    path = tmp_path / "mine.ipynb"
    path.write_text('{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": []}', encoding="utf-8")
    return path


def test_the_journal_of_a_notebook_is_in_the_users_data_and_known_by_its_path(notebook: Path, tmp_path: Path) -> None:
    path = journal_of(notebook).path
    assert path.is_relative_to(tmp_path / "data")
    assert journal_of(notebook).path == path != journal_of(tmp_path / "other.ipynb").path


def test_in_the_journal_the_newest_answer_comes_first_and_of_edits_the_oldest(notebook: Path) -> None:
    answers = [at("", attempt("1", created=1)), at("", attempt("3", created=3)), at("", attempt("2", created=2))]
    edits = [at("", edit("e1", 1)), at("", edit("e2", 2))]
    journal_of(notebook).add([*answers, *edits])
    recordings = Recordings(lambda: notebook)
    assert given(recordings, THIS_NOTEBOOK, *map(Place, "xyz")) == ["3", "2", "1"]
    assert given(recordings, THIS_NOTEBOOK, None, None, fingerprint="e") == ["e1", "e2"]


def test_what_came_after_the_file_was_saved_comes_before_what_stands_there(notebook: Path, tmp_path: Path) -> None:
    bundle = at("a", attempt("saved", created=50))[1]
    cell = new_code_cell("%%glm", outputs=[new_output("display_data", {MIME_TYPE: bundle})])
    nbformat.write(new_notebook(cells=[cell]), notebook)
    os.utime(notebook, (100, 100))
    journal_of(notebook).add([at("a", attempt("before", created=99)), at("a", attempt("after", created=101))])
    recordings = Recordings(lambda: notebook)
    assert given(recordings, THIS_NOTEBOOK, *map(Place, "xyz")) == ["after", "saved", "before"]
    assert len(recordings.archive.stored([])) == 3
    assert len(journal_of(notebook).turns([])) == 2  # it is read, and left as it is


def test_a_journal_that_cannot_be_read_costs_what_is_in_it(notebook: Path) -> None:
    journal_of(notebook).path.mkdir(parents=True)
    recordings = Recordings(lambda: notebook)
    recordings.read(THIS_NOTEBOOK)
    problem, *_ = recordings.problems()
    assert problem.startswith("The journal: ")
    assert problem.endswith("cannot be read: Is a directory.")


def test_a_damaged_line_of_the_journal_is_said_to_be_of_the_journal(notebook: Path) -> None:
    journal_of(notebook).add([at("a", attempt("1"))])
    with journal_of(notebook).path.open("a", encoding="utf-8") as file:
        file.write("{")
    recordings = Recordings(lambda: notebook)
    assert given(recordings, THIS_NOTEBOOK, ASKED) == ["1"]
    assert recordings.problems()[0].startswith("The journal: Line 2: ")


def test_a_notebook_that_is_gone_has_its_journal_and_one_without_is_an_error(notebook: Path) -> None:
    recordings = Recordings(lambda: notebook)
    notebook.unlink()
    with pytest.raises(HistoryError, match="cannot be read"):
        recordings.read(THIS_NOTEBOOK)
    journal_of(notebook).add([at("a", attempt("1"))])
    recordings = Recordings(lambda: notebook)
    assert given(recordings, THIS_NOTEBOOK, ASKED) == ["1"]
    assert "mine.ipynb cannot be read" in recordings.problems()[0]


def test_what_was_forgotten_is_given_no_more(notebook: Path) -> None:
    journal_of(notebook).add([at("a", attempt("1")), at("b", attempt("2"))])
    recordings = Recordings(lambda: notebook)
    recordings.read(THIS_NOTEBOOK)
    assert recordings.forget() == notebook
    assert given(recordings, THIS_NOTEBOOK, ASKED) == [""]
    assert not journal_of(notebook).path.exists()
