import dataclasses
import json

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from glm_magic.chat.conversation import Attempt, Place
from glm_magic.chat.messages import Message
from glm_magic.errors import HistoryError
from glm_magic.notebook.bundle import MIME_TYPE, encode
from glm_magic.notebook.document import Restored, restore


def attempt(id_, after=(), created=0.0, **more):
    messages = (Message("user", f"ask {id_}"), Message("assistant", f"answer {id_}"))
    return Attempt(id_, messages, after=tuple(after), created=created, **more)


def cell(*bundles, id_=None, kind="display_data"):
    made = new_code_cell("%%glm", outputs=[new_output("stream", text="ignored")])
    made.outputs += [new_output(kind, {"text/plain": "x", MIME_TYPE: bundle}) for bundle in bundles]
    if id_ is not None:
        made.id = id_
    return made


def change(id_, after, created):
    return encode("main", Attempt(id_, (), after=after, created=created, role=""))


def turn(id_, after=(), created=0.0, chat="main", earlier=(), **more):
    return cell(encode(chat, attempt(id_, after, created, **more), earlier), id_=f"cell-{id_}")


@pytest.fixture
def saved(tmp_path):
    def save(*cells):
        path = tmp_path / "saved.ipynb"
        nbformat.write(new_notebook(cells=list(cells)), path)
        return path

    return save


def ids(restored, chat="main"):
    return [sent.id for sent in restored.conversations[chat].sent()]


def test_a_conversation_comes_back_in_the_order_in_which_it_was_sent(saved):
    restored = restore(saved(turn("b", ["a"], 2), new_markdown_cell("# text"), turn("c", ["a", "b"], 3), turn("a")))
    assert ids(restored) == ["a", "b", "c"]
    assert restored.warnings == ()


def test_a_restored_turn_has_its_cell_its_answers_and_waits_to_be_claimed(saved):
    old = attempt("old")
    found = next(iter(restore(saved(turn("a", earlier=(old,)))).conversations["main"]))
    assert found.place == Place("cell-a")
    assert [made.id for made in found.attempts] == ["old", "a"]
    assert found.earlier == (old,)
    assert found.restored
    assert found.counting.answer == "answer a"


def test_the_bundle_that_was_made_last_decides_and_takes_exactly_the_turns_it_was_sent_after(saved):
    restored = restore(saved(turn("a", created=1), turn("x", ["a"], 2), turn("c", ["a"], 9), turn("d", ["a", "x"], 3)))
    assert ids(restored) == ["a", "c"]


def test_each_chat_is_restored_on_its_own(saved):
    restored = restore(saved(turn("a"), turn("b", chat="other", created=5), turn("c", ["a"], 2)))
    assert ids(restored) == ["a", "c"]
    assert ids(restored, "other") == ["b"]


def test_turns_that_are_missing_are_warned_of_and_make_later_ones_stale(saved):
    restored = restore(saved(turn("b", ["gone", "a"], 2), turn("a", ["gone"], 1)))
    assert ids(restored) == ["a", "b"]
    assert restored.warnings == ("Chat 'main': 1 of 3 turns are not in the file any more.",)
    assert restored.conversations["main"].stale() == {"a", "b"}


def test_turns_that_were_sent_after_the_same_are_not_stale(saved):
    restored = restore(saved(turn("a"), turn("b", ["a"], 1), turn("c", ["a", "b"], 2)))
    assert restored.conversations["main"].stale() == set()


def test_a_turn_that_was_asked_after_others_than_now_is_stale(saved):
    restored = restore(saved(turn("a"), turn("b", ["old"], 1), turn("c", ["a", "b"], 2)))
    assert restored.conversations["main"].stale() == {"b"}


def test_a_boundary_is_restored_as_one(saved):
    restored = restore(saved(turn("a"), turn("b", [], 1, new=True), turn("c", ["b"], 2)))
    assert ids(restored) == ["b", "c"]
    assert restored.conversations["main"].stale() == set()


def test_a_change_of_the_history_counts_like_a_turn(saved):
    undone = cell(change("e", ("a",), 3.0))
    assert ids(restore(saved(turn("a"), turn("b", ["a"], 1), undone))) == ["a"]


def test_a_conversation_that_was_cleared_is_empty(saved):
    assert ids(restore(saved(turn("a", created=1), cell(change("e", (), 3.0))))) == []


def test_what_was_asked_after_a_change_goes_on_from_there(saved):
    cleared = cell(change("e", (), 2.0))
    assert ids(restore(saved(turn("a", created=1), cleared, turn("b", [], 3)))) == ["b"]


def test_a_message_put_in_without_asking_is_restored_at_its_place(saved):
    put_in = Attempt("s", (Message("system", "be brief"),), role="system", created=1.0)
    restored = restore(saved(cell(encode("main", put_in)), turn("a", ["s"], 2)))
    assert [sent.role for sent in restored.conversations["main"].sent()] == ["system", "user"]


def test_a_one_shot_answer_belongs_to_no_chat(saved):
    assert restore(saved(turn("x", chat="", created=9))) == Restored({}, ())
    assert ids(restore(saved(turn("a"), turn("x", chat="", created=9)))) == ["a"]


def test_several_turns_of_a_cell_are_numbered(saved):
    first, second = encode("main", attempt("a")), encode("main", attempt("b", ["a"], 1))
    del first["call"], second["call"]  # as 0.1.0 wrote them
    both = cell(first, second, id_="cell-x")
    assert [t.place for t in restore(saved(both)).conversations["main"]] == [Place("cell-x", 0), Place("cell-x", 1)]


@pytest.mark.parametrize("bundle", [{"version": 2}, {"version": 1, "chat": "main"}, {"x": 1}, "text"])
def test_a_bundle_that_cannot_be_read_costs_that_turn_and_its_cell_is_named(saved, bundle):
    restored = restore(saved(turn("a"), cell(bundle), turn("c", ["a"], 1)))
    assert ids(restored) == ["a", "c"]
    assert len(restored.warnings) == 1
    assert restored.warnings[0].startswith("Cell 2: ")


def test_a_notebook_without_answers_holds_no_conversation(saved):
    assert restore(saved(new_code_cell("1 + 1", outputs=[new_output("error", ename="E", evalue="")]))) == Restored(
        {}, ()
    )


def test_an_execute_result_may_carry_a_turn(saved):
    assert ids(restore(saved(cell(encode("main", attempt("a")), kind="execute_result")))) == ["a"]


def test_cells_without_ids_are_numbered(tmp_path):
    made = dict(turn("a"))
    del made["id"]
    path = tmp_path / "old.ipynb"
    path.write_text(json.dumps({"nbformat": 4, "nbformat_minor": 4, "metadata": {}, "cells": [made]}), encoding="utf-8")
    assert [t.place for t in restore(path).conversations["main"]] == [Place("cell 1")]


@pytest.mark.parametrize("version", [3, 5, 9])
def test_a_notebook_of_another_format_is_said_to_be_one(tmp_path, version):
    path = tmp_path / "old.ipynb"
    path.write_text(json.dumps({"nbformat": version, "nbformat_minor": 0, "cells": []}), encoding="utf-8")
    with pytest.raises(HistoryError, match=f"format {version}; only format 4 holds turns"):
        restore(path)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not JSON",
        "{}",
        "[]",
        "null",
        '{"nbformat": 4, "nbformat_minor": 5}',
        '{"nbformat": "4", "cells": []}',
        "[" * 100_000,
    ],
)
def test_what_is_no_notebook_is_said_to_be_none(tmp_path, text):
    path = tmp_path / "x.ipynb"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(HistoryError, match="is not a notebook"):
        restore(path)


def test_bytes_that_are_no_text_are_no_notebook(tmp_path):
    (tmp_path / "x.ipynb").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(HistoryError, match="is not a notebook"):
        restore(tmp_path / "x.ipynb")


@pytest.mark.parametrize("name", ["missing.ipynb", "."])
def test_a_file_that_cannot_be_read_is_named(tmp_path, name):
    with pytest.raises(HistoryError, match="cannot be read") as caught:
        restore(tmp_path / name)
    assert str(tmp_path) in caught.value.what


def test_the_call_that_a_bundle_names_is_its_place(saved):
    later = cell(encode("main", attempt("b"), call=1), id_="cell-x")
    assert [t.place for t in restore(saved(later)).conversations["main"]] == [Place("cell-x", 1)]


def test_cells_with_the_same_id_have_places_of_their_own(tmp_path):
    cells = [dict(turn("a"), id="same"), dict(turn("b", ["a"], 1), id="same")]
    path = tmp_path / "twice.ipynb"
    path.write_text(json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": cells}), encoding="utf-8")
    assert [t.place for t in restore(path).conversations["main"]] == [Place("same"), Place("cell 2")]


@pytest.mark.parametrize("wrong", [1, None, {"outputs": 7}, {"outputs": [3, {"data": []}]}, {"id": 5, "outputs": []}])
def test_a_damaged_cell_costs_that_cell_alone(tmp_path, wrong):
    path = tmp_path / "x.ipynb"
    text = {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [wrong, dict(turn("a"))]}
    path.write_text(json.dumps(text), encoding="utf-8")
    assert ids(restore(path)) == ["a"]


def test_a_copied_cell_is_one_turn(saved):
    copy = cell(encode("main", attempt("a")), id_="copy")
    assert ids(restore(saved(turn("a"), copy, turn("b", ["a"], 1)))) == ["a", "b"]


def test_an_earlier_answer_that_was_brought_back_counts_again(saved):
    chosen = cell(change("e", ("old", "b"), 5.0))
    restored = restore(saved(turn("a", created=2, earlier=(attempt("old", created=1),)), turn("b", ["a"], 3), chosen))
    assert ids(restored) == ["old", "b"]
    first = next(iter(restored.conversations["main"]))
    assert (first.number, [made.id for made in first.attempts]) == (1, ["old", "a"])
    assert restored.conversations["main"].stale() == {"b"}


def test_a_fork_is_restored_from_the_turns_of_the_other_chat(saved):
    forked = cell(encode("side", Attempt("f", (), after=("a", "b"), created=3.0, role="")))
    restored = restore(saved(turn("a"), turn("b", ["a"], 1), forked))
    assert ids(restored, "side") == ids(restored) == ["a", "b"]
    assert all(copy.forked for copy in restored.conversations["side"])


def test_turns_that_are_not_taken_are_named(saved):
    restored = restore(saved(turn("a", created=9), turn("b", ["old"], 1)))
    assert restored.warnings == ("Chat 'main': not taken, because its latest turn was not sent after them: cell 2.",)


def test_places_are_never_taken_twice(saved):
    earlier = (attempt("old"),)
    restored = restore(saved(turn("a", created=1, earlier=earlier), turn("b", ["old", "a", "b"], 2)))
    places = [found.place for found in restored.conversations["main"]]
    assert len(places) == len(set(places)) == 3


def test_the_file_is_only_read(saved):
    path = saved(turn("a"), turn("b", ["a"], 1))
    path.chmod(0o444)
    before = (path.read_bytes(), path.stat().st_mtime_ns)
    restore(path)
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before
    assert [found.name for found in path.parent.iterdir()] == ["saved.ipynb"]


def test_parameters_and_usage_of_a_turn_come_back(saved):
    made = dataclasses.replace(attempt("a"), parameters={"model": "m", "seed": 1}, interrupted=True)
    restored = restore(saved(cell(encode("main", made)))).conversations["main"].sent()[0]
    assert dataclasses.replace(restored, context="") == made
