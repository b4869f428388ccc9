import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glm_magic.chat.events import Facts, ReasoningDelta, TextDelta, ToolCallDelta, Unread
from glm_magic.chat.messages import Usage
from glm_magic.errors import BrokenStream, GlmError, RateLimited, ServiceDown, ServiceError
from glm_magic.protocol.chunks import AnswerReader

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
        " text thinking refusal function_call"
    )
    return st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(names.split()), inner, max_size=6)


ANSWER_LIKE = st.recursive(JSON, of_the_protocol, max_leaves=25)


def chunk(delta=None, **choice):
    return {"choices": [{"index": 0, "delta": delta, **choice}]}


def read_chunk(payload):
    """What comes of a stream of one chunk."""
    reader = AnswerReader()
    return [*reader.read_chunk(payload), *reader.rest()]


def read_completion(data):
    reader = AnswerReader()
    return [*reader.read_completion(data), *reader.rest()]


def read(data):
    return read_chunk(json.dumps(data))


def read_all(*chunks):
    """What comes of a whole stream, and the error that ends it."""
    reader, events, error = AnswerReader(), [], None
    try:
        for data in chunks:
            events += reader.read(data)
    except GlmError as raised:
        error = raised
    return [*events, *reader.rest()], error


def texts(*chunks):
    events, error = read_all(*chunks)
    assert error is None
    return [event.text for event in events if isinstance(event, TextDelta)]


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
        chunk({"content": 7, "tool_calls": {"not": "a call"}}),
        chunk({"content": [None, 7, [], {}, {"type": "text", "text": ""}]}),
        chunk({"tool_calls": [None, "x", {}, {"index": 0, "id": "", "function": {"name": "", "arguments": ""}}]}),
    ],
)
def test_what_is_null_missing_or_of_another_type_is_not_said(data):
    assert AnswerReader().read(data) == []


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
@pytest.mark.parametrize("reading", [AnswerReader.read, AnswerReader.read_completion])
def test_an_error_may_have_no_error_around_it(data, reading):
    with pytest.raises(ServiceError, match="too long"):
        reading(AnswerReader(), data)


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


@given(st.lists(ANSWER_LIKE, max_size=3))
def test_any_json_is_events_or_an_error_that_says_so(chunks):
    events, _ = read_all(*chunks)
    for event in events:
        assert isinstance(event, (TextDelta, ReasoningDelta, ToolCallDelta, Facts, Unread))


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


# --- shapes of content ---------------------------------------------------------------------------


@pytest.mark.parametrize("part", ["delta", "message"])
def test_content_may_be_a_list_of_parts_mixed_with_strings(part):
    content = [{"type": "text", "text": "a"}, "b", None, {"type": "output_text", "text": {"value": "c"}}]
    assert texts({"choices": [{part: {"content": content}}]}) == ["a", "b", "c"]


@pytest.mark.parametrize(
    "thought",
    [
        {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}], "signature": "x"},
        {"type": "reasoning", "text": "hm"},
        {"type": "reasoning.text", "text": "hm"},
        {"type": "thinking", "thinking": "hm"},
    ],
)
def test_a_part_of_thinking_is_reasoning(thought):
    assert read(chunk({"content": [thought, {"type": "text", "text": "a"}]})) == [ReasoningDelta("hm"), TextDelta("a")]


@pytest.mark.parametrize(
    ("part", "name"),
    [
        ({"type": "audio", "audio": {"data": "AAAA"}}, "[audio]"),
        ({"image_url": {"url": "https://x.invalid/"}}, "[image_url]"),
        ({"type": "a\x1b[31mb", "data": 1}, "[a [31mb]"),
    ],
)
def test_a_part_of_an_unknown_type_is_named_where_it_stands(part, name):
    assert texts(chunk({"content": ["a ", part, " b"]})) == ["a ", name, " b"]


def test_parts_nested_without_end_are_no_content():
    deep = []
    for _ in range(500):
        deep = [deep, "x"]
    assert len(texts(chunk({"content": deep}))) < 10


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning", "thinking", "reasoning_details"])
def test_reasoning_may_be_parts_too(name):
    assert read(chunk({name: [{"type": "reasoning.text", "text": "hm"}]})) == [ReasoningDelta("hm")]


def test_reasoning_that_is_encrypted_is_not_said():
    assert read(chunk({"reasoning_details": [{"type": "reasoning.encrypted", "data": "x"}], "content": "a"})) == [
        TextDelta("a")
    ]


@pytest.mark.parametrize(
    "choice",
    [
        {"message": {"content": "a"}},
        {"delta": {}, "message": {"content": "a"}},
        {"delta": None, "message": "a"},
        {"delta": "a"},
        {"text": "a"},
        {"delta": {"role": "assistant"}, "text": "a"},
    ],
)
def test_what_is_said_elsewhere_than_in_a_delta_is_read(choice):
    assert texts({"choices": [choice]}, {"choices": [choice]}) == ["a", "a"]


def test_the_whole_message_after_its_deltas_is_not_said_twice():
    assert texts(chunk({"content": "a"}), chunk({"content": "b"}), chunk({}, message={"content": "ab"})) == ["a", "b"]


def test_a_refusal_is_the_answer_and_its_finish_reason_says_so():
    events, _ = read_all(chunk({"refusal": "I can"}), chunk({"refusal": "not."}), chunk({}, finish_reason="stop"))
    assert events == [TextDelta("I can"), TextDelta("not."), Facts(finish_reason="refusal")]


def test_a_refusal_that_was_cut_off_is_cut_off():
    assert read(chunk({"refusal": "I can"}, finish_reason="length"))[-1] == Facts(finish_reason="length")


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("eos", "stop"),
        ("STOP", "stop"),
        ("end_turn", "stop"),
        ("max_tokens", "length"),
        ("MAX_TOKENS", "length"),
        ("model_length", "length"),
        ("tool_use", "tool_calls"),
        ("content_filter", "sensitive"),
        ("SAFETY", "sensitive"),
        ("abort", "abort"),
        ("Something_New", "Something_New"),
    ],
)
def test_other_words_for_a_finish_reason_mean_the_same(given, meant):
    assert read(chunk({}, finish_reason=given)) == [Facts(finish_reason=meant)]


# --- shapes of calls -----------------------------------------------------------------------------

CALL = {"id": "c", "function": {"name": "f", "arguments": "{}"}}


@pytest.mark.parametrize(
    "delta",
    [
        {"tool_calls": CALL},
        {"tool_calls": [{"id": "c", "name": "f", "arguments": {}}]},
        {"tool_calls": [{"id": "c", "function": {"name": "f", "arguments": []}}]},
        {"function_call": {"id": "c", "name": "f", "arguments": "{}"}},
    ],
)
def test_a_call_may_be_an_object_or_have_no_function_around_it(delta):
    assert read(chunk(delta)) == [ToolCallDelta(None, "c", "f", "{}")]


@pytest.mark.parametrize(
    ("index", "meant"), [(1, 1), ("1", 1), (1.0, 1), (True, None), ("x", None), (1.5, None), (-1, None), (None, None)]
)
def test_an_index_may_be_text_or_a_float(index, meant):
    assert read(chunk({"tool_calls": [{**CALL, "index": index}]})) == [ToolCallDelta(meant, "c", "f", "{}")]


# --- errors, and what was not read ---------------------------------------------------------------


@pytest.mark.parametrize("part", ["delta", "message"])
@pytest.mark.parametrize("where", ["choice", "body"])
def test_what_came_with_an_error_is_kept(part, where):
    choice = {part: {"content": "half"}, "finish_reason": "error"}
    error = {"error": {"message": "engine died", "code": 502}}
    data = {"choices": [{**choice, **error}]} if where == "choice" else {"choices": [choice], **error}
    events, raised = read_all(data)
    assert events == [TextDelta("half")]
    assert type(raised) is ServiceDown
    assert "engine died" in raised.what


@pytest.mark.parametrize(
    ("data", "fields"),
    [
        (chunk({"role": "assistant", "audio": {"data": "x"}}), ["choices[].delta.audio"]),
        (
            chunk({"tool_calls": {"not": "a call"}, "content": 7}),
            ["choices[].delta.tool_calls", "choices[].delta.content"],
        ),
        (chunk({}, output="x"), ["choices[].output"]),
        ({"choices": [{"message": {"content": None, "images": ["x"]}}]}, ["choices[].message.images"]),
    ],
)
def test_fields_that_came_instead_of_an_answer_are_named(data, fields):
    events, _ = read_all(data, data)
    assert [sorted(event.fields) for event in events if isinstance(event, Unread)] == [sorted(fields)]
    events, _ = read_all(data, chunk({"content": "a"}))
    assert events == [TextDelta("a")]


def test_fields_that_are_no_part_of_an_answer_are_not_named():
    known = {"logprobs": {"content": ["x"]}, "stop_reason": "</s>", "content_filter_results": {"hate": {}}}
    assert read_all(chunk({"role": "assistant", "content": "", "tool_calls": []}, **known)) == ([], None)


# --- thoughts in the text ------------------------------------------------------------------------


def thought(*pieces):
    """The reasoning and the text of an answer of these pieces."""
    events, _ = read_all(*(chunk({"content": piece}) for piece in pieces))
    return tuple("".join(e.text for e in events if isinstance(e, kind)) for kind in (ReasoningDelta, TextDelta))


THOUGHTS = [
    ("<think>\nhm\n</think>\n\nYes.", ("hm\n", "Yes.")),
    ("\n<think>hm</think>Yes.", ("hm", "Yes.")),
    ("<think></think>Yes.", ("", "Yes.")),
    ("<think>\n\n</think>\n\nYes.\n", ("", "Yes.\n")),
    ("<think>a < b </thin", ("a < b </thin", "")),
    ("<think>hm</think>\n    code", ("hm", "    code")),
    ("<think>hm</think>Yes <think>no</think>", ("hm", "Yes <think>no</think>")),
    ("Yes <think>no</think>", ("", "Yes <think>no</think>")),
    ("```\n<think>no</think>\n```", ("", "```\n<think>no</think>\n```")),
    ("    <think>no</think>", ("", "    <think>no</think>")),
    ("\n\t<think>no</think>", ("", "\n\t<think>no</think>")),
    ("`<think>` begins it", ("", "`<think>` begins it")),
    ("<thinking>no</thinking>", ("", "<thinking>no</thinking>")),
    ("<thi", ("", "<thi")),
    ("\n", ("", "\n")),
]


@pytest.mark.parametrize(("text", "parts"), THOUGHTS)
def test_a_thought_at_the_beginning_of_the_text_is_reasoning_however_it_is_split(text, parts):
    assert thought(text) == parts
    assert thought(*text) == parts
    for at in range(1, len(text)):
        assert thought(text[:at], text[at:]) == parts


def test_the_text_of_a_service_that_has_a_parser_is_left_alone():
    assert read_all(chunk({"reasoning": "hm"}), chunk({"content": "<think>no</think>"}))[0] == [
        ReasoningDelta("hm"),
        TextDelta("<think>no</think>"),
    ]


def test_line_breaks_without_end_are_not_held_back():
    reader = AnswerReader()
    assert sum(len(reader.read(chunk({"content": "\n"}))) for _ in range(100)) > 30
