import pytest

from glm_magic.chat.messages import Message, ToolCall, Usage

PNG = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "iVBORw0KGgoAAAANSUhEUgAAAAQAAAAD"}}
LINK = {"type": "image_url", "image_url": {"url": "https://h.example/a.png", "detail": "low"}}
TEXT = {"type": "text", "text": "  what is\n"}
UNKNOWN = {"type": "video_url", "video_url": {"url": "https://h.example/a.mp4"}}


@pytest.mark.parametrize(
    "message",
    [
        Message("user", "hi\n  there "),
        Message("system", ""),
        Message("assistant", "", (ToolCall("c1", "f", '{"a": 1}'), ToolCall("c2", "g", ""))),
        Message("tool", "42", tool_call_id="c1"),
        Message.of_parts("user", [TEXT, PNG, TEXT, LINK, UNKNOWN]),
        Message.of_parts("user", [TEXT]),
    ],
)
def test_a_message_comes_back_as_it_was_written(message):
    assert Message.from_api(message.to_api()) == message


def test_a_message_has_no_field_that_says_nothing():
    assert Message("user", "hi").to_api() == {"role": "user", "content": "hi"}


def test_parts_are_sent_as_they_are_and_their_text_has_a_word_for_each_image():
    message = Message.of_parts("user", [TEXT, PNG, LINK, UNKNOWN])
    assert message.to_api() == {"role": "user", "content": [TEXT, PNG, LINK, UNKNOWN]}
    assert message.content == "  what is\n[image 4×3 png][image https://h.example/a.png][video_url]"


def test_messages_with_other_images_are_others():
    other = {"type": "image_url", "image_url": {"url": PNG["image_url"]["url"] + "AAAA"}}
    one, two = (Message.of_parts("user", [part]) for part in (PNG, other))
    assert one.content == two.content
    assert one != two
    assert len({one, two, Message.of_parts("user", [dict(PNG)])}) == 2


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
        *(
            {"role": "user", "content": content}
            for content in (
                [],
                {},
                7,
                ["text"],
                [None],
                [{}],
                [{"type": None}],
                [{"type": ["text"]}],
                [{"type": "text"}],
                [{"type": "text", "text": None}],
                [TEXT, {"type": "image_url"}],
                [{"type": "image_url", "image_url": "https://h.example/a.png"}],
                [{"type": "image_url", "image_url": {"url": None}}],
            )
        ),
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


def test_counts_may_be_floats_or_have_the_names_of_other_protocols():
    assert Usage.from_api({"prompt_tokens": 7.0, "completion_tokens": 5.0, "total_tokens": 12.0}) == Usage(7, 5, 12)
    assert Usage.from_api({"input_tokens": 7, "output_tokens": 5}) == Usage(7, 5, 12)
    assert all(type(count) is int for count in (Usage.from_api({"prompt_tokens": 7.0}) or Usage()).to_api().values())


@pytest.mark.parametrize("count", [float("nan"), float("inf"), True, 0.5])
def test_what_cannot_be_a_count_is_taken_as_not_said(count):
    assert Usage.from_api({"prompt_tokens": 7, "completion_tokens": count}) == Usage(7, 0, 7)


def test_a_number_beyond_all_counting_is_taken_as_not_said():
    assert Usage.from_api({"prompt_tokens": 10**400, "completion_tokens": 5}) == Usage(0, 5, 5)


@pytest.mark.parametrize("usage", [Usage(7, 5, 12), Usage(7, 0, 7, cached_tokens=3), Usage(7, 5, 13, 0, 2)])
def test_usage_comes_back_as_it_was_written(usage):
    assert Usage.from_api(usage.to_api()) == usage
