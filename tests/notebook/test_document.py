import dataclasses
import json

import nbformat
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from glm_magic.chat.attempt import Attempt
from glm_magic.chat.conversation import Conversation
from glm_magic.chat.fingerprint import canonical
from glm_magic.chat.messages import Message
from glm_magic.chat.place import Place
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


def test_a_bundle_that_was_gone_on_from_is_not_the_last_one_however_late_it_was_made(saved):
    assert ids(restore(saved(turn("a", created=9), turn("b", ["a"], 1), turn("c", ["a", "b"], 2)))) == ["a", "b", "c"]


def test_each_chat_is_restored_on_its_own(saved):
    restored = restore(saved(turn("a"), turn("b", chat="other", created=5), turn("c", ["a"], 2)))
    assert ids(restored) == ["a", "c"]
    assert ids(restored, "other") == ["b"]


def test_turns_that_are_missing_are_warned_of_and_make_later_ones_stale(saved):
    restored = restore(saved(turn("b", ["gone", "a"], 2), turn("a", ["gone"], 1)))
    assert ids(restored) == ["a", "b"]
    assert restored.warnings == ("Chat 'main': 1 of 3 turns are no longer in the file.",)
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
    restored = restore(saved(turn("x", chat="", created=9)))
    assert (restored.conversations, restored.warnings) == ({}, ())
    assert [turn.counting.id for turn in restored.one_shots] == ["x"]
    assert restored.one_shots.sent() == ()
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
    restored = restore(saved(new_code_cell("1 + 1", outputs=[new_output("error", ename="E", evalue="")])))
    assert restored == Restored({}, Conversation(one_shot=True), ())


def test_an_execute_result_may_carry_a_turn(saved):
    assert ids(restore(saved(cell(encode("main", attempt("a")), kind="execute_result")))) == ["a"]


def test_cells_without_ids_are_numbered(tmp_path):
    made = dict(turn("a"))
    del made["id"]
    path = tmp_path / "old.ipynb"
    path.write_text(json.dumps({"nbformat": 4, "nbformat_minor": 4, "metadata": {}, "cells": [made]}), encoding="utf-8")
    assert [t.place for t in restore(path).conversations["main"]] == [Place("cell 1")]


@pytest.mark.parametrize("version", [2, 5, 9])
def test_a_notebook_in_another_format_is_refused(tmp_path, version):
    path = tmp_path / "old.ipynb"
    path.write_text(json.dumps({"nbformat": version, "nbformat_minor": 0, "cells": []}), encoding="utf-8")
    with pytest.raises(HistoryError, match=f"format {version}; glm_magic reads formats 3 and 4"):
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
        '{"nbformat": 3, "cells": []}',
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
    assert restored.warnings == ("Chat 'main': not restored, because its latest turn was not sent after them: cell 2.",)


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


def write(path, cells, **more):
    text = {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [dict(made) for made in cells], **more}
    path.write_text(json.dumps(text), encoding="utf-8")
    return path


def test_a_run_that_failed_is_no_answer_of_its_turn(saved):
    failed = encode("main", Attempt("e", (), after=("b",), created=5.0, role=""), (attempt("a"),))
    back = cell(change("f", ("a", "b"), 6.0))
    first = next(iter(restore(saved(cell(failed), turn("b", ["a"], 2), back)).conversations["main"]))
    assert [made.id for made in first.attempts] == ["a"]
    assert (first.number, first.counting.answer) == (1, "answer a")


def test_of_copied_cells_the_first_has_the_turn(saved):
    copy = cell(encode("main", attempt("a")), id_="copy")
    assert [t.place for t in restore(saved(turn("a"), copy)).conversations["main"]] == [Place("cell-a")]


def test_a_boundary_amid_the_turns_is_kept(saved):
    restored = restore(saved(turn("a"), turn("b", ["a"], 1), turn("c", [], 2, new=True), turn("d", ["c"], 3)))
    assert ids(restored) == ["c", "d"]
    assert restored.warnings == (
        "Chat 'main': not restored, because its latest turn was not sent after them: cell 1, cell 2.",
    )


def test_a_chat_forked_from_a_fork_finds_the_turns_of_both(saved):
    first = cell(encode("side", Attempt("f", (), after=("a",), created=2.0, role="")))
    own = turn("s", ["a"], 3, chat="side")
    second = cell(encode("third", Attempt("g", (), after=("a", "s"), created=4.0, role="")))
    restored = restore(saved(turn("a"), first, own, second))
    assert (ids(restored), ids(restored, "side"), ids(restored, "third")) == (["a"], ["a", "s"], ["a", "s"])
    assert [copy.forked for copy in restored.conversations["side"]] == [True, False]


def test_a_fork_keeps_the_answer_that_it_was_made_with(saved):
    forked = cell(encode("side", Attempt("f", (), after=("old",), created=2.0, role="")))
    restored = restore(saved(turn("a", created=3, earlier=(attempt("old", created=1),)), forked))
    assert (ids(restored), ids(restored, "side")) == (["a"], ["old"])


CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}


@pytest.mark.parametrize(
    "wrong",
    [
        {"messages": [{"role": "assistant", "content": "first"}, {"role": "user", "content": "q"}]},
        {"messages": [{"role": "user", "content": "q"}]},
        {"messages": []},
        {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "", "tool_calls": [CALL]}]},
        {"messages": [{"role": "user", "content": "q"}, {"role": "tool", "content": "x", "tool_call_id": "c"}]},
        {"messages": [{"role": "user", "content": ["q"]}, {"role": "assistant", "content": "a"}]},
        {"role": "tool", "messages": [{"role": "tool", "content": "x", "tool_call_id": "c"}]},
        {"role": "assistant", "messages": [{"role": "assistant", "content": "x", "tool_calls": [CALL]}]},
        {"messages": {"role": "user"}},
        {"messages": None},
        {"id": 5},
        {"id": "\ud800"},
        {"chat": "\udfff"},
        {"chat": None},
        {"after": 7},
        {"after": [1]},
        {"after": ["\ud800"]},
        {"created": "NaN"},
        {"created": 1e999},
        {"attempts": {"a": 1}},
        {"attempts": 3},
        {"parameters": "x"},
    ],
)
def test_a_turn_that_could_not_be_sent_costs_itself_alone_and_its_cell_is_named(tmp_path, wrong):
    bad = turn("b", ["a"], 1)
    bad["outputs"][1]["data"][MIME_TYPE] |= wrong
    restored = restore(write(tmp_path / "x.ipynb", [turn("a"), bad, turn("c", ["a"], 2)]))
    assert ids(restored) == ["a", "c"]
    (warning,) = restored.warnings
    assert warning.startswith("Cell 2: The turn is damaged (")
    assert len(warning) < 800
    json.dumps(warning).encode()


def test_a_part_that_json_cannot_hold_costs_its_turn_and_the_rest_can_be_exported(tmp_path):
    bad = turn("b", ["a"], 1)
    part = {"type": "video", "seconds": float("inf")}
    bad["outputs"][1]["data"][MIME_TYPE]["messages"][0]["content"] = [part]
    restored = restore(write(tmp_path / "x.ipynb", [turn("a"), bad, turn("c", ["a"], 2)]))
    assert ids(restored) == ["a", "c"]
    json.dumps([made.messages[0].to_api() for made in restored.conversations["main"].sent()], allow_nan=False)


def test_two_calls_with_one_id_and_one_result_cost_their_turn(tmp_path):
    messages = [
        {"role": "user", "content": "q"},
        {"role": "assistant", "content": "", "tool_calls": [CALL, CALL]},
        {"role": "tool", "content": "x", "tool_call_id": "c"},
        {"role": "assistant", "content": "a"},
    ]
    bad = turn("b", ["a"], 1)
    bad["outputs"][1]["data"][MIME_TYPE]["messages"] = messages
    restored = restore(write(tmp_path / "x.ipynb", [turn("a"), bad, turn("c", ["a"], 2)]))
    assert ids(restored) == ["a", "c"]


def test_attempts_beyond_the_bound_are_left_out_and_counted(tmp_path):
    made = encode("main", attempt("a"))
    made["attempts"] = [encode("main", attempt(f"old{number}", created=float(number))) for number in range(13)]
    restored = restore(write(tmp_path / "x.ipynb", [cell(made)]))
    assert restored.warnings == ("Cell 1: 3 earlier answers were left out; a turn has at most 10.",)
    assert len(next(iter(restored.conversations["main"])).attempts) == 11


def test_many_damaged_turns_are_summed_up(tmp_path):
    restored = restore(write(tmp_path / "x.ipynb", [cell(*range(1000)), turn("a")]))
    assert ids(restored) == ["a"]
    assert len(restored.warnings) == 11
    assert restored.warnings[-1] == "and 990 more"


def test_many_turns_that_are_not_restored_are_summed_up(tmp_path):
    bundles = [encode("x" * 10_000, attempt(f"a{number}", created=float(number))) for number in range(1000)]
    (warning,) = restore(write(tmp_path / "x.ipynb", [cell(bundle) for bundle in bundles])).warnings
    assert warning.endswith("cell 9, cell 10, and 989 more.")
    assert len(warning) < 1000


def test_many_chats_with_missing_turns_are_summed_up(tmp_path):
    restored = restore(write(tmp_path / "x.ipynb", [turn(f"a{n}", ["gone"], chat=f"chat {n}") for n in range(1000)]))
    assert len(restored.conversations) == 1000
    assert len(restored.warnings) == 11


def test_hostile_ids_and_names_are_only_text(tmp_path):
    cells = [dict(turn("a", chat="../<script>\n"), id="../../etc"), dict(turn("b", chat="\x1b[2J"), id="{{ 1/0 }}")]
    restored = restore(write(tmp_path / "x.ipynb", cells))
    assert set(restored.conversations) == {"../<script>\n", "\x1b[2J"}


def test_a_turn_sent_after_itself_is_one_turn(saved):
    assert ids(restore(saved(turn("a", ["a", "a"])))) == ["a"]


def test_a_file_that_was_written_half_is_said_to_be_damaged(saved):
    path = saved(turn("a"), turn("b", ["a"], 1))
    whole = path.read_bytes()
    for end in (1, len(whole) // 2, len(whole) - 2):
        path.write_bytes(whole[:end])
        with pytest.raises(HistoryError, match="is not a notebook") as caught:
            restore(path)
        assert "only partly written" in caught.value.remedy


def test_a_byte_order_mark_does_no_harm(saved):
    path = saved(turn("a"))
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert ids(restore(path)) == ["a"]


def test_a_file_of_50_megabytes_is_read(tmp_path):
    big = dict(turn("a"), source="x" * 25_000_000, metadata={"y": "é" * 5_000_000})
    path = write(tmp_path / "big.ipynb", [big, turn("b", ["a"], 1)])
    assert path.stat().st_size > 50_000_000
    assert ids(restore(path)) == ["a", "b"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(st.lists(st.tuples(st.sampled_from([*encode("main", attempt("b"))]), JSON), min_size=1, max_size=3))
def test_whatever_a_bundle_says_the_others_are_restored_and_can_be_sent(tmp_path_factory, changes):
    bad = turn("b", ["a"], 1)
    bad["outputs"][1]["data"][MIME_TYPE] |= dict(changes)
    path = tmp_path_factory.mktemp("any") / "x.ipynb"
    restored = restore(write(path, [turn("a"), bad, turn("c", ["a"], 2**70)]))
    assert ids(restored)[-1] in ("c", "b")
    for conversation in restored.conversations.values():
        for made in conversation.sent():
            canonical([message.to_api() for message in made.messages])
            assert made.messages
