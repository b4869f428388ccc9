import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glm_magic.chat.events import Facts, ReasoningDelta, TextDelta, ToolCallDelta
from glm_magic.chat.messages import Usage
from glm_magic.errors import BrokenStream, GlmError, RateLimited, ServiceError
from glm_magic.protocol.chunks import read_body, read_chunk, read_completion

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def of_the_protocol(inner):
    """Objects that have the protocol's own names, with any values."""
    names = (
        "choices delta message content reasoning_content reasoning tool_calls function name arguments index id model"
        " usage prompt_tokens completion_tokens prompt_tokens_details error code type detail status path finish_reason"
    )
    return st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(names.split()), inner, max_size=6)


ANSWER_LIKE = st.recursive(JSON, of_the_protocol, max_leaves=25)


def chunk(delta=None, **choice):
    return {"choices": [{"index": 0, "delta": delta, **choice}]}


def read(data):
    return read_chunk(json.dumps(data))


def test_a_chunk_of_glm_4_is_its_text_and_its_facts():
    payload = (
        '{"id":"X","created":1,"object":"chat.completion.chunk","model":"glm-4-flash",'
        '"choices":[{"index":0,"delta":{"role":"assistant","content":"ha"}}]}'
    )
    assert read_chunk(payload) == [TextDelta("ha"), Facts("X", "glm-4-flash")]


def test_the_last_chunk_of_glm_4_has_the_finish_reason_and_the_usage():
    payload = (
        '{"id":"X","model":"m","choices":[{"index":0,"finish_reason":"stop","delta":{"role":"assistant","content":""}}]'
        ',"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}'
    )
    assert read_chunk(payload) == [Facts("X", "m", "stop", Usage(1, 2, 3))]


@pytest.mark.parametrize(
    "data",
    [
        {"choices": []},
        {"choices": None},
        {},
        {"choices": [None]},
        {"choices": [{}]},
        chunk(None),
        chunk({}),
        chunk({"role": None, "content": None, "tool_calls": None, "reasoning_content": None}, finish_reason=None),
        chunk({"role": "assistant", "content": ""}, finish_reason=""),
        {**chunk({}), "id": None, "model": None, "usage": None},
        {**chunk({}), "usage": {}, "error": None},
        chunk({"content": ["a", "list"], "tool_calls": {"not": "a list"}}),
        chunk({"tool_calls": [None, "x"]}),
    ],
)
def test_what_is_null_missing_or_of_another_type_is_not_said(data):
    assert read(data) == []


def test_text_is_read_from_the_first_choice_with_its_white_space():
    assert read(chunk({"content": " \n"})) == [TextDelta(" \n")]


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
def test_reasoning_is_read_by_either_name_and_comes_before_the_text(name):
    assert read(chunk({"content": "b", name: "a"})) == [ReasoningDelta("a"), TextDelta("b")]


def test_reasoning_that_is_said_by_both_names_is_read_once():
    assert read(chunk({"reasoning": "a", "reasoning_content": "a"})) == [ReasoningDelta("a")]


def test_a_whole_call_comes_in_one_chunk_with_the_finish_reason():
    call = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    events = read(chunk({"role": "assistant", "tool_calls": [call]}, finish_reason="tool_calls"))
    assert events == [ToolCallDelta(0, "call_1", "f", '{"a": 1}'), Facts(finish_reason="tool_calls")]


def test_a_fragment_of_a_call_may_say_nothing_but_arguments():
    events = read(chunk({"tool_calls": [{"id": None, "function": {"name": None, "arguments": '"a'}}]}))
    assert events == [ToolCallDelta(None, None, None, '"a')]


def test_arguments_may_be_an_object():
    events = read(chunk({"tool_calls": [{"index": 0, "id": "c", "function": {"name": "f", "arguments": {"a": "é"}}}]}))
    assert events == [ToolCallDelta(0, "c", "f", '{"a": "é"}')]


def test_several_calls_may_come_in_one_chunk():
    calls = [{"index": at, "id": f"c{at}", "function": {"name": "f", "arguments": "{}"}} for at in range(2)]
    assert [event.id for event in read(chunk({"tool_calls": calls}))] == ["c0", "c1"]


def test_usage_on_a_chunk_without_choices_is_read():
    data = {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}}
    assert read(data) == [Facts(usage=Usage(1, 2, 3))]


def test_a_character_in_two_halves_of_one_payload_is_whole():
    assert read_chunk('{"choices":[{"delta":{"content":"\\ud83d\\ude00"}}]}') == [TextDelta("😀")]


def test_half_a_character_is_replaced_since_it_could_not_be_sent_back():
    assert read_chunk('{"choices":[{"delta":{"content":"a\\ud83d"}}]}') == [TextDelta("a\ufffd")]


@pytest.mark.parametrize(
    "payload",
    [
        "",
        ": OPENROUTER PROCESSING",
        '{"choices":[{"delta"',
        "ping",
        pytest.param("[" * 100_000, id="nested too deeply"),
    ],
)
def test_what_is_no_json_breaks_the_stream(payload):
    with pytest.raises(BrokenStream, match="not JSON"):
        read_chunk(payload)


def test_what_is_no_json_is_quoted_briefly_and_without_control_characters():
    with pytest.raises(BrokenStream) as caught:
        read_chunk("<html>\x1b[31m" + "x" * 1000)
    assert "<html>" in caught.value.what
    assert "\x1b" not in caught.value.what
    assert len(caught.value.what) < 400


@pytest.mark.parametrize("data", [None, 7, "text", [], [{"choices": []}]])
def test_json_that_is_no_object_breaks_the_stream(data):
    with pytest.raises(BrokenStream, match="not a chat completion"):
        read(data)


def test_an_error_in_a_stream_that_began_with_200_is_raised():
    with pytest.raises(RateLimited) as caught:
        read({"error": {"code": "1302", "message": "Too fast"}})
    assert caught.value.code == "1302"
    assert "in the stream" in caught.value.what


def test_an_error_in_a_stream_may_be_a_bare_string():
    with pytest.raises(ServiceError, match="engine died"):
        read({"error": "engine died"})


def test_an_error_beside_choices_is_still_an_error():
    with pytest.raises(ServiceError, match="lost"):
        read({**chunk({"content": "x"}), "error": {"message": "lost", "code": 500}})


@pytest.mark.parametrize(
    "data",
    [
        {"object": "error", "message": "too long", "type": "BadRequestError", "param": None, "code": 400},
        {"object": "error", "message": "too long"},
        {"code": "1210", "message": "too long"},
    ],
)
@pytest.mark.parametrize("part", ["delta", "message"])
def test_an_error_may_have_no_error_around_it(data, part):
    with pytest.raises(ServiceError, match="too long"):
        read_body(data, part=part)


@pytest.mark.parametrize("code", [0, 200, "200", None, ""])
def test_a_code_of_success_is_no_error(code):
    assert read({"code": code, "message": "success"}) == []


def test_a_completion_is_read_from_its_message():
    data = {
        "id": "X",
        "model": "m",
        "choices": [{"finish_reason": "stop", "message": {"content": "hi", "reasoning_content": "hm"}}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 2},
    }
    assert read_completion(data) == [ReasoningDelta("hm"), TextDelta("hi"), Facts("X", "m", "stop", Usage(1, 2, 3))]


@pytest.mark.parametrize("data", [{}, {"choices": []}, {"msg": "404 NOT_FOUND", "success": False}, {"models": []}])
def test_a_body_without_choices_is_no_completion(data):
    with pytest.raises(BrokenStream, match="not a chat completion") as caught:
        read_completion(data)
    assert "base_url" in caught.value.remedy


@given(ANSWER_LIKE, st.sampled_from(["delta", "message"]))
def test_any_json_is_events_or_an_error_that_says_so(data, part):
    try:
        events = read_body(data, part=part)
    except GlmError:
        return
    for event in events:
        assert isinstance(event, (TextDelta, ReasoningDelta, ToolCallDelta, Facts))


@given(ANSWER_LIKE)
def test_any_body_is_a_completion_or_an_error_that_says_so(data):
    try:
        events = read_completion(data)
    except GlmError:
        return
    assert isinstance(events, list)


@given(st.text())
def test_any_payload_is_events_or_an_error_that_says_so(payload):
    try:
        events = read_chunk(payload)
    except GlmError:
        return
    assert isinstance(events, list)
