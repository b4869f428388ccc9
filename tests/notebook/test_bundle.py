import dataclasses
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from glm_magic.chat.attempt import Attempt
from glm_magic.chat.messages import Message, ToolCall, Usage
from glm_magic.chat.reply import Source, ToolRun
from glm_magic.errors import HistoryError
from glm_magic.notebook import bundle
from glm_magic.notebook.bundle import Bundle, decode, encode

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
    system="Be brief.",
    parameters={"model": "GLM-4-Air", "stream": True, "temperature": 0.2},
    fingerprint="f" * 64,
    usage=Usage(7, 5, 12, 3),
    cost=0.25,
    currency="USD",
    reasoning="Hm.",
    finish_reason="stop",
    model="glm-4-air",
    created=1767225600.5,
    seconds=1.25,
    first_token_seconds=0.5,
    tool_runs=(ToolRun("c", 0.25, failed=True),),
    sources=(Source("Clocks", "https://example.org", "Example", "2026-01-01", "ref_1"),),
    interrupted=True,
    repeats_key=True,
)
LATER = {  # keys that 0.1.0 did not write
    *("call", "system", "cost", "currency", "reasoning", "tool_runs", "sources", "repeats_key"),
}
WITH_IMAGE = Message.of_parts(
    "user",
    [
        {"type": "text", "text": "What is it?"},
        {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}},
    ],
)
PLAIN = Attempt("id2", (Message("user", "hi"), Message("assistant", "ho")))


def test_a_bundle_has_exactly_the_keys_of_version_1():
    assert set(encode("main", FULL)) == {
        "version",
        "kind",
        "chat",
        "call",
        "id",
        "after",
        "new",
        "role",
        "system",
        "messages",
        "parameters",
        "fingerprint",
        "usage",
        "cost",
        "currency",
        "reasoning",
        "finish_reason",
        "model",
        "created",
        "seconds",
        "first_token_seconds",
        "tool_runs",
        "sources",
        "repeats_key",
        "attempts",
        "state",
    }


def test_a_bundle_says_all_in_clear():
    assert encode("main", dataclasses.replace(FULL, messages=PLAIN.messages, tool_runs=()), (PLAIN,), 2) == {
        "version": 1,
        "kind": "turn",
        "chat": "main",
        "call": 2,
        "id": "id1",
        "after": ["id0"],
        "new": True,
        "role": "user",
        "system": "Be brief.",
        "messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}],
        "parameters": {"model": "GLM-4-Air", "stream": True, "temperature": 0.2},
        "fingerprint": "f" * 64,
        "usage": {
            "prompt_tokens": 7,
            "completion_tokens": 5,
            "total_tokens": 12,
            "prompt_tokens_details": {"cached_tokens": 3},
        },
        "cost": 0.25,
        "currency": "USD",
        "reasoning": "Hm.",
        "finish_reason": "stop",
        "model": "glm-4-air",
        "created": 1767225600.5,
        "seconds": 1.25,
        "first_token_seconds": 0.5,
        "sources": [
            {
                "title": "Clocks",
                "link": "https://example.org",
                "media": "Example",
                "date": "2026-01-01",
                "refer": "ref_1",
            }
        ],
        "repeats_key": True,
        "state": "interrupted",
        "attempts": [
            {
                "id": "id2",
                "after": [],
                "new": False,
                "role": "user",
                "system": "",
                "messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}],
                "parameters": {},
                "fingerprint": "",
                "usage": None,
                "cost": None,
                "reasoning": "",
                "finish_reason": "",
                "model": "",
                "created": 0.0,
                "seconds": 0.0,
                "first_token_seconds": None,
                "state": "complete",
            }
        ],
    }


SCHEMA = json.loads(Path(bundle.__file__).with_name("turn.schema.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    "made",
    [
        encode("main", FULL, (PLAIN,), 2),
        encode("", PLAIN),
        encode("main", dataclasses.replace(PLAIN, messages=(WITH_IMAGE, PLAIN.messages[1]))),
        encode("main", Attempt("s", (Message("system", "be brief"),), role="system")),
        encode("main", Attempt("e", (), after=("a",), role=""), (PLAIN,)),
        {key: value for key, value in encode("main", FULL).items() if key not in LATER},
    ],
)
def test_every_bundle_is_as_the_schema_in_the_package_says(made):
    Draft202012Validator.check_schema(SCHEMA)
    Draft202012Validator(SCHEMA).validate(made)


def test_the_schema_knows_every_field_and_no_other():
    assert set(SCHEMA["properties"]) == set(encode("main", FULL))
    assert set(SCHEMA["required"]) == set(encode("main", FULL)) - LATER
    assert set(SCHEMA["$defs"]["attempt"]["properties"]) == set(encode("main", FULL, (FULL,))["attempts"][0])


@pytest.mark.parametrize("key", ["id", "messages", "created", "state", "kind"])
def test_a_damaged_bundle_is_not_as_the_schema_says(key):
    assert list(Draft202012Validator(SCHEMA).iter_errors({**encode("main", FULL), key: [7.5]}))


def test_a_bundle_comes_back_through_json_as_it_was():
    assert decode(json.loads(json.dumps(encode("a chat", FULL, (PLAIN,), 2)))) == Bundle("a chat", FULL, (PLAIN,), 2)


def test_a_one_shot_answer_has_no_chat():
    assert decode(encode("", PLAIN)).chat == ""


def test_at_most_ten_earlier_attempts_are_kept_and_they_are_the_latest():
    earlier = tuple(dataclasses.replace(PLAIN, id=str(number)) for number in range(13))
    assert [attempt.id for attempt in decode(encode("main", FULL, earlier)).earlier] == [str(n) for n in range(3, 13)]


def test_of_more_attempts_than_a_bundle_may_hold_the_latest_are_read_and_the_rest_counted():
    made = encode("main", FULL)
    made["attempts"] = [7, *(encode("main", dataclasses.replace(PLAIN, id=str(number))) for number in range(10_000))]
    read = decode(made)
    assert [attempt.id for attempt in read.earlier] == [str(number) for number in range(9990, 10_000)]
    assert read.problem == "9991 earlier answers were left out; a turn has at most 10."
    assert decode(encode("main", FULL, (PLAIN,) * 11)).problem == ""


NAN_PART = {"type": "video", "seconds": float("nan")}
ENDLESS_PART = {"type": "video", "sizes": [{"w": float("-inf")}]}


@pytest.mark.parametrize(
    "change",
    [
        {"messages": [{"role": "user", "content": [NAN_PART]}, {"role": "assistant", "content": "a"}]},
        {"messages": [{"role": "user", "content": [ENDLESS_PART]}, {"role": "assistant", "content": "a"}]},
        {"parameters": {"a": [float("inf")]}},
        {"attempts": [{**encode("main", PLAIN), "parameters": {"a": float("nan")}}]},
        {"from a later version": float("nan")},
    ],
)
def test_nan_or_infinity_anywhere_in_a_bundle_is_damage(change):
    read = json.loads(json.dumps({**encode("main", FULL), **change}))  # Python's reader of JSON takes them
    with pytest.raises(HistoryError, match="damaged"):
        decode(read)


@pytest.mark.parametrize("role", ["system", "assistant"])
def test_a_message_put_in_without_asking_is_an_edit(role):
    put_in = Attempt("x", (Message(role, "be brief"),), role=role)
    assert encode("main", put_in)["kind"] == "edit"
    assert decode(encode("main", put_in)) == Bundle("main", put_in, (), 0)


def test_a_change_that_adds_no_message_says_what_counts_since():
    bundle = encode("main", Attempt("e1", (), after=("a", "b"), created=5.0, role=""))
    assert (bundle["kind"], bundle["messages"], bundle["after"], bundle["created"]) == ("edit", [], ["a", "b"], 5.0)
    assert set(bundle) == set(encode("main", PLAIN))
    assert decode(bundle).attempt.after == ("a", "b")


def test_a_bundle_of_a_later_version_is_an_error_that_says_how_to_read_it():
    with pytest.raises(HistoryError, match="version 2") as caught:
        decode({"version": 2, "anything": "else"})
    assert "Update glm_magic" in caught.value.remedy


@pytest.mark.parametrize("bundle", [None, 7, "text", [], {}, {"version": None}, {"version": "1"}, {"version": 0}])
def test_what_glm_magic_did_not_write_is_said_to_be_so(bundle):
    with pytest.raises(HistoryError, match="not a turn that glm_magic wrote"):
        decode(bundle)


def test_a_bundle_without_what_came_later_is_read():
    bundle = encode("main", FULL)
    for key in LATER:
        del bundle[key]
    read = decode(bundle)
    assert read.attempt == dataclasses.replace(
        FULL, system="", cost=None, currency="CNY", reasoning="", tool_runs=(), sources=(), repeats_key=False
    )
    assert read.call is None


@pytest.mark.parametrize("key", sorted(set(encode("main", FULL)) - {"version", "kind", *LATER}))
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
        ("messages", []),
        ("messages", [{"role": "assistant", "content": "x"}]),
        ("messages", [{"role": "user", "content": "x"}]),
        ("messages", [{"role": "user", "content": "x"}, {"role": "tool", "content": "y", "tool_call_id": "c"}]),
        ("role", "assistant"),
        ("parameters", 3),
        ("created", "yesterday"),
        pytest.param("created", 10**400, id="created-huge"),
        ("seconds", None),
        pytest.param("created", float("nan"), id="created-nan"),
        ("cost", "much"),
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
        read = decode({**encode("main", FULL), key: value})
    except HistoryError:
        return
    assert isinstance(read.chat, str)
    assert isinstance(read.attempt, Attempt)
    json.dumps(encode(read.chat, read.attempt, read.earlier), allow_nan=False)
