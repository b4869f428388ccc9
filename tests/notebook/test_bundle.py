import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glm_magic.chat.conversation import Attempt
from glm_magic.chat.messages import Message, ToolCall, Usage
from glm_magic.errors import HistoryError
from glm_magic.notebook.bundle import decode, encode, encode_edit

FULL = Attempt(
    id="id1",
    messages=(
        Message("user", "wie spät?\n"),
        Message("assistant", "", (ToolCall("c", "clock", "{}"),)),
        Message("tool", "12:00", tool_call_id="c"),
        Message("assistant", "Zwölf 😀"),
    ),
    after=("id0",),
    new=True,
    parameters={"model": "GLM-4-Air", "stream": True, "temperature": 0.2},
    fingerprint="f" * 64,
    usage=Usage(7, 5, 12, 3),
    finish_reason="stop",
    model="glm-4-air",
    created=1767225600.5,
    seconds=1.25,
    first_token_seconds=0.5,
    interrupted=True,
)
PLAIN = Attempt("id2", (Message("user", "hi"), Message("assistant", "ho")))


def test_a_bundle_has_exactly_the_keys_of_version_1():
    assert set(encode("main", FULL)) == {
        "version",
        "kind",
        "chat",
        "id",
        "after",
        "new",
        "role",
        "messages",
        "parameters",
        "fingerprint",
        "usage",
        "finish_reason",
        "model",
        "created",
        "seconds",
        "first_token_seconds",
        "attempts",
        "state",
    }


def test_a_bundle_says_all_in_clear():
    assert encode("main", dataclasses.replace(FULL, messages=PLAIN.messages), (PLAIN,)) == {
        "version": 1,
        "kind": "turn",
        "chat": "main",
        "id": "id1",
        "after": ["id0"],
        "new": True,
        "role": "user",
        "messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}],
        "parameters": {"model": "GLM-4-Air", "stream": True, "temperature": 0.2},
        "fingerprint": "f" * 64,
        "usage": {
            "prompt_tokens": 7,
            "completion_tokens": 5,
            "total_tokens": 12,
            "prompt_tokens_details": {"cached_tokens": 3},
        },
        "finish_reason": "stop",
        "model": "glm-4-air",
        "created": 1767225600.5,
        "seconds": 1.25,
        "first_token_seconds": 0.5,
        "state": "interrupted",
        "attempts": [
            {
                "id": "id2",
                "after": [],
                "new": False,
                "role": "user",
                "messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}],
                "parameters": {},
                "fingerprint": "",
                "usage": None,
                "finish_reason": "",
                "model": "",
                "created": 0.0,
                "seconds": 0.0,
                "first_token_seconds": None,
                "state": "complete",
            }
        ],
    }


def test_a_bundle_comes_back_through_json_as_it_was():
    assert decode(json.loads(json.dumps(encode("a chat", FULL, (PLAIN,))))) == ("a chat", FULL, (PLAIN,))


def test_a_one_shot_answer_has_no_chat():
    assert decode(encode("", PLAIN))[0] == ""


def test_at_most_ten_earlier_attempts_are_kept_and_they_are_the_latest():
    earlier = tuple(dataclasses.replace(PLAIN, id=str(number)) for number in range(13))
    assert [attempt.id for attempt in decode(encode("main", FULL, earlier))[2]] == [str(n) for n in range(3, 13)]


@pytest.mark.parametrize("role", ["system", "assistant"])
def test_a_message_put_in_without_asking_is_an_edit(role):
    put_in = Attempt("x", (Message(role, "be brief"),), role=role)
    assert encode("main", put_in)["kind"] == "edit"
    assert decode(encode("main", put_in)) == ("main", put_in, ())


def test_a_change_that_adds_no_message_says_what_counts_since():
    bundle = encode_edit("main", "e1", ("a", "b"), 5.0)
    assert (bundle["kind"], bundle["messages"], bundle["after"], bundle["created"]) == ("edit", [], ["a", "b"], 5.0)
    assert set(bundle) == set(encode("main", PLAIN))
    assert decode(bundle)[1].after == ("a", "b")


def test_a_bundle_of_a_later_version_is_an_error_that_says_how_to_read_it():
    with pytest.raises(HistoryError, match="version 2") as caught:
        decode({"version": 2, "anything": "else"})
    assert "pip install --upgrade" in caught.value.remedy


@pytest.mark.parametrize("bundle", [None, 7, "text", [], {}, {"version": None}, {"version": "1"}, {"version": 0}])
def test_what_glm_magic_did_not_write_is_said_to_be_so(bundle):
    with pytest.raises(HistoryError, match="not a turn that glm_magic wrote"):
        decode(bundle)


@pytest.mark.parametrize("key", sorted(set(encode("main", FULL)) - {"version", "kind"}))
def test_a_bundle_that_lacks_a_key_is_damaged(key):
    bundle = encode("main", FULL)
    del bundle[key]
    with pytest.raises(HistoryError, match="damaged"):
        decode(bundle)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("chat", 7),
        ("id", None),
        ("after", None),
        ("after", [1]),
        ("messages", "hi"),
        ("messages", [{"role": "root", "content": "x"}]),
        ("messages", [{"role": "user", "content": "half \ud83d"}]),
        ("parameters", 3),
        ("created", "yesterday"),
        pytest.param("created", 10**400, id="created-huge"),
        ("seconds", None),
        ("first_token_seconds", "soon"),
        ("attempts", [7]),
        ("attempts", None),
    ],
)
def test_a_bundle_with_a_wrong_value_is_damaged(key, value):
    with pytest.raises(HistoryError, match="damaged"):
        decode({**encode("main", FULL), key: value})


@given(
    st.sampled_from(sorted(encode("main", FULL))),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    ),
)
def test_a_bundle_with_any_value_is_read_or_refused(key, value):
    try:
        chat, attempt, _ = decode({**encode("main", FULL), key: value})
    except HistoryError:
        return
    assert isinstance(chat, str)
    assert isinstance(attempt, Attempt)
