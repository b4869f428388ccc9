import pytest

from glm_magic.chat.messages import Message, ToolCall, Usage


@pytest.mark.parametrize(
    "message",
    [
        Message("user", "hi\n  there "),
        Message("system", ""),
        Message("assistant", "", (ToolCall("c1", "f", '{"a": 1}'), ToolCall("c2", "g", ""))),
        Message("tool", "42", tool_call_id="c1"),
    ],
)
def test_a_message_comes_back_as_it_was_written(message):
    assert Message.from_api(message.to_api()) == message


def test_a_message_has_no_field_that_says_nothing():
    assert Message("user", "hi").to_api() == {"role": "user", "content": "hi"}


def test_a_tool_call_is_written_as_the_protocol_writes_it():
    assert Message("assistant", "", (ToolCall("c", "f", "{}"),)).to_api() == {
        "role": "assistant",
        "content": "",
        "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
    }


@pytest.mark.parametrize(
    "data",
    [
        {"role": "user"},
        {"content": "x"},
        {"role": "root", "content": "x"},
        {"role": "user", "content": None},
        {"role": "assistant", "content": "", "tool_calls": [{"id": "c"}]},
        {"role": "assistant", "content": "", "tool_calls": None},
    ],
)
def test_what_is_no_message_is_refused(data):
    with pytest.raises((KeyError, TypeError, ValueError)):
        Message.from_api(data)


@pytest.mark.parametrize(
    "data",
    [None, {}, [], "7", {"prompt_tokens": None}, {"prompt_tokens": 0, "completion_tokens": 0}, {"prompt_tokens": True}],
)
def test_a_usage_that_says_nothing_is_none(data):
    assert Usage.from_api(data) is None


def test_a_total_that_is_missing_is_the_sum():
    assert Usage.from_api({"prompt_tokens": 7, "completion_tokens": 5}) == Usage(7, 5, 12)


def test_counts_of_another_type_are_taken_as_not_said():
    data = {"prompt_tokens": 7, "completion_tokens": "5", "total_tokens": -1, "prompt_tokens_details": 3}
    assert Usage.from_api(data) == Usage(7, 0, 7)


def test_a_number_beyond_all_counting_is_taken_as_not_said():
    assert Usage.from_api({"prompt_tokens": 10**400, "completion_tokens": 5}) == Usage(0, 5, 5)


@pytest.mark.parametrize("usage", [Usage(7, 5, 12), Usage(7, 0, 7, cached_tokens=3), Usage(7, 5, 13, 0, 2)])
def test_usage_comes_back_as_it_was_written(usage):
    assert Usage.from_api(usage.to_api()) == usage
