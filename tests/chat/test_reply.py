import pytest
from hypothesis import given
from hypothesis import strategies as st

from glm_magic.chat.events import Facts, Notice, ReasoningDelta, TextDelta, Tick, ToolCallDelta
from glm_magic.chat.growing import ReplyBuilder
from glm_magic.chat.messages import Message, ToolCall, Usage
from glm_magic.chat.reply import Reply


def built(*events):
    builder = ReplyBuilder()
    for event in events:
        builder.add(event)
    return builder.reply()


def calls(*fragments):
    return [(call.id, call.name, call.arguments) for call in built(*(ToolCallDelta(*f) for f in fragments)).tool_calls]


def test_equal_pieces_of_text_are_all_kept():
    assert built(TextDelta("ha"), TextDelta("ha")).text == "haha"


@given(st.lists(st.text()), st.lists(st.text()))
def test_text_and_reasoning_are_appended_each_on_its_own(texts, thoughts):
    reply = built(*map(TextDelta, texts), *map(ReasoningDelta, thoughts))
    assert (reply.text, reply.reasoning) == ("".join(texts), "".join(thoughts))


def test_the_first_id_and_model_stay():
    reply = built(Facts(id="a", model="m"), Facts(id="b", model="n"))
    assert (reply.id, reply.model) == ("a", "m")


def test_a_repeated_finish_reason_is_not_the_end():
    reply = built(Facts(finish_reason="tool_calls"), TextDelta("more"), Facts(finish_reason="tool_calls", id="x"))
    assert (reply.text, reply.finish_reason, reply.id) == ("more", "tool_calls", "x")


def test_the_last_finish_reason_and_usage_count_and_null_takes_nothing_back():
    reply = built(
        Facts(finish_reason="length", usage=Usage(1, 1, 2)),
        Facts(finish_reason="stop", usage=Usage(1, 5, 6)),
        Facts(id="x"),
    )
    assert (reply.finish_reason, reply.usage) == ("stop", Usage(1, 5, 6))


def test_what_is_no_part_of_a_reply_changes_nothing():
    builder = ReplyBuilder()
    for event in (Tick(1.0), Notice("retry", "wait"), Facts(id="x", finish_reason="stop")):
        builder.add(event)
    assert builder.is_empty


@pytest.mark.parametrize("event", [TextDelta("a"), ReasoningDelta("a"), ToolCallDelta(0, "c", "f", "")])
def test_any_part_of_an_answer_is_something(event):
    builder = ReplyBuilder()
    builder.add(event)
    assert not builder.is_empty


def test_fragments_are_joined_by_index():
    assert calls(
        (0, "a", "f", ""), (1, "b", "g", ""), (0, None, None, '{"x"'), (1, None, None, "{}"), (0, None, None, ": 1}")
    ) == [("a", "f", '{"x": 1}'), ("b", "g", "{}")]


def test_fragments_without_an_index_go_to_the_latest_call():
    assert calls((None, "a", "f", "{"), (None, None, None, "}"), (None, "b", "f", "{"), (None, None, None, "}")) == [
        ("a", "f", "{}"),
        ("b", "f", "{}"),
    ]


def test_index_0_for_every_parallel_call_still_gives_each_its_arguments():
    assert calls((0, "a", "f", "{"), (0, None, None, "}"), (0, "b", "g", "["), (0, None, None, "]")) == [
        ("a", "f", "{}"),
        ("b", "g", "[]"),
    ]


def test_index_0_for_every_call_with_id_and_name_repeated_on_each_fragment():
    assert calls((0, "a", "f", "{"), (0, "a", "f", "}"), (0, "b", "g", "["), (0, "b", "g", "]")) == [
        ("a", "f", "{}"),
        ("b", "g", "[]"),
    ]


def test_an_id_that_changes_on_each_fragment_is_set_once():
    assert calls((0, "a", "f", "{"), (0, "b", None, "1"), (0, "c", None, "}")) == [("a", "f", "{1}")]


def test_a_name_that_is_repeated_is_set_once():
    assert calls((0, "a", "f", "{"), (0, None, "f", "}"), (0, "a", "f", " ")) == [("a", "f", "{} ")]


def test_an_id_that_is_missing_at_first_is_taken_later():
    assert calls((0, None, "f", "{"), (0, "a", None, "}")) == [("a", "f", "{}")]


def test_a_call_without_an_id_gets_one_of_its_own():
    assert calls((0, None, "f", "{}"), (1, None, "g", "[]")) == [("call_0", "f", "{}"), ("call_1", "g", "[]")]


@pytest.mark.parametrize("index", [None, 0])
def test_another_name_starts_another_call_even_without_an_id(index):
    assert calls((index, None, "f", "{}"), (index, None, "g", "[]")) == [("call_0", "f", "{}"), ("call_1", "g", "[]")]


@given(
    st.lists(
        st.builds(
            ToolCallDelta,
            st.none() | st.integers(0, 2),
            st.none() | st.sampled_from("ab"),
            st.none() | st.sampled_from("fg"),
            st.text("xy", max_size=2),
        )
    )
)
def test_no_fragment_of_any_call_is_lost(fragments):
    reply = built(*fragments)
    assert sorted("".join(call.arguments for call in reply.tool_calls)) == sorted(
        "".join(fragment.arguments for fragment in fragments)
    )


def test_a_reply_is_its_text_first():
    assert str(Reply("hi", model="m")) == "hi"


def test_a_long_reply_is_represented_briefly():
    text = repr(Reply("x" * 100, model="m", finish_reason="stop"))
    assert text == f"Reply('{'x' * 59}…', model='m', finish_reason='stop')"
    assert "interrupted" in repr(Reply("x", interrupted=True))


def test_a_reply_shows_no_markdown_of_its_own():
    assert not [name for name in dir(Reply) if name.startswith("_repr_")]


def test_a_call_is_open_until_a_step_answers_it():
    one, other = ToolCall("c", "f", "{}"), ToolCall("d", "f", "{}")
    reply = Reply("hi", tool_calls=(one, other), steps=(Message("tool", "1", tool_call_id="c"),))
    assert reply.open_calls == (other,)


def test_the_circumstances_of_a_reply_are_given_with_it():
    builder = ReplyBuilder()
    builder.add(Facts(model="served"))
    assert builder.reply(seconds=2.0, interrupted=True) == Reply("", model="served", seconds=2.0, interrupted=True)


def test_a_name_without_an_id_starts_a_new_call_where_the_arguments_are_whole():
    assert calls((None, None, "f", '{"a": 1}'), (None, None, "f", '{"a": 2}')) == [
        ("call_0", "f", '{"a": 1}'),
        ("call_1", "f", '{"a": 2}'),
    ]


def test_a_name_that_repeats_without_an_id_goes_on_where_they_are_not():
    assert calls((0, None, "f", '{"a"'), (0, None, "f", ": 1}"), (0, None, "f", "")) == [("call_0", "f", '{"a": 1}')]


def test_arguments_of_an_index_that_was_not_there_belong_to_the_latest_call():
    assert calls((None, "c", "f", '{"a"'), (0, None, None, ": 1}")) == [("c", "f", '{"a": 1}')]


def test_a_reply_is_formatted_as_its_text_and_can_be_a_key():
    reply = Reply("a long answer", id="x", request={"messages": []})
    assert f"{reply:.6}|{reply:>15}|{reply}" == "a long|  a long answer|a long answer"
    assert {reply: 1}[Reply("a long answer", id="x", request={"messages": []})] == 1
