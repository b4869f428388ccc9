from __future__ import annotations

import base64
import itertools
import re
from collections.abc import Iterable
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glm_magic.chat.events import (
    Event,
    Facts,
    Notice,
    ReasoningDelta,
    Sources,
    TextDelta,
    Tick,
    ToolCallDelta,
    Unread,
    joined,
)
from glm_magic.chat.growing import ReplyBuilder
from glm_magic.chat.reply import Source
from glm_magic.service.keys import Key

SECRET = "0123456789abcdef.canarycanary"
MASK = "…nary"
KEY = Key(SECRET, "a test")


def base64_of(before: str) -> str:
    return base64.b64encode(f"{before}{SECRET}!".encode()).decode()


def readable(text: str) -> str:
    """The longest part of the key that a text, or what it decodes to, still shows."""
    ends = [(at, at + (len(text) - at) // 4 * 4) for at in range(4)]
    shown = [text, *(base64.b64decode(text[start:end]).decode("latin-1") for start, end in ends)]
    parts = (SECRET[start : start + 12] for start in range(len(SECRET) - 11))
    return next((part for part in parts if any(part in one for one in shown)), "")


# --- in errors -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "said",
    [
        SECRET.encode().hex(),
        SECRET.encode().hex().upper(),
        "".join(f"%{ord(character):02x}" for character in SECRET),
        quote(f"{SECRET}").replace(".", "%2E"),
        SECRET.replace(".", "%252E"),
        SECRET.replace(".", "\\u002e"),
        SECRET.replace(".", "&#46;"),
        SECRET[5:],
        SECRET[5:-5],
        f"{SECRET[:9]}\n{SECRET[9:]}",
        f"{SECRET[:9]}\\r\\n{SECRET[9:]}",
        f"{SECRET[:9]} \t{SECRET[9:20]}\r\n{SECRET[20:]}",
        f"{SECRET[:9]}\u200b{SECRET[9:]}",
        "\n".join(SECRET),
    ],
)
def test_a_part_or_another_spelling_of_the_key_is_hidden(said: str) -> None:
    assert KEY.hidden_in(f"the key <{said}> is wrong") == f"the key <{MASK}> is wrong"


@pytest.mark.parametrize("before", ["", "a", "ab", "Bearer ", "user:"])
@pytest.mark.parametrize("is_cut", [False, True])
def test_the_key_in_base64_is_hidden_whatever_stands_before_it(before: str, is_cut: bool) -> None:
    said = base64_of(before)[7 if is_cut else 0 :]
    assert readable(said)
    hidden = KEY.hidden_in(f"Basic {said}")
    assert MASK in hidden
    assert not readable(hidden.removeprefix("Basic ").replace(MASK, ""))
    urlsafe = Key("~~~?>>>?" + SECRET, "a test")
    said = base64.urlsafe_b64encode(urlsafe.reveal().encode()).decode()
    assert "-" in said or "_" in said
    assert urlsafe.hidden_in(f"<{said.rstrip('=')[:-2]}>") == f"<{MASK}>"


@pytest.mark.parametrize(
    "text", ["100%ab 0123456789 canary", base64.b64encode(b"of something else, and long").decode(), "ab" * 40, "…"]
)
def test_what_is_not_the_key_stays(text: str) -> None:
    assert KEY.hidden_in(text) == text


# --- in answers ----------------------------------------------------------------------------------


def shown(events: Iterable[Event], key: Key = KEY) -> list[Event]:
    masking = key.masking()
    assert masking is not None
    return joined([*itertools.chain.from_iterable(map(masking.add, events)), *masking.rest()])


def text_of(events: Iterable[Event], kind: type = TextDelta) -> str:
    return "".join(event.text for event in events if isinstance(event, kind))


@pytest.mark.parametrize("kind", [TextDelta, ReasoningDelta])
@pytest.mark.parametrize("size", [*range(1, len(SECRET) + 3), 1000])
def test_a_key_in_an_answer_is_masked_however_it_is_split(kind: type, size: int) -> None:
    text = f"is {SECRET} and {SECRET}{SECRET}; {SECRET[:10]}"
    events = shown(kind(text[at : at + size]) for at in range(0, len(text), size))
    begun = "(0|01|012)?"  # so much of it may be the end of any text, and is shown at once
    assert re.fullmatch(f"is {begun}{MASK} and {begun}{MASK}{begun}{MASK}; {SECRET[:10]}", text_of(events, kind))
    assert events.count(Facts(repeats_key=True)) == 1


def test_texts_that_are_woven_into_each_other_are_masked_apart() -> None:
    events = shown(
        event
        for at in range(len(SECRET))
        for event in (TextDelta(SECRET[at]), Tick(0.1), ReasoningDelta(SECRET[at]), Facts(model="m"))
    )
    assert text_of(events) == text_of(events, ReasoningDelta) == f"012{MASK}"


@given(
    st.lists(st.text(alphabet="ab-", max_size=6)), st.sampled_from(["aaaabaaaabaa", "ab-ab-ab-ab-ab", "aaaaaaaaaaaa"])
)
def test_an_answer_without_the_key_is_shown_whole_and_one_with_it_without_it(parts: list[str], secret: str) -> None:
    text = text_of(shown(map(TextDelta, parts), Key(secret, "a test")))
    if secret in "".join(parts):
        assert secret not in text
    else:
        assert text == "".join(parts)


def test_nothing_waits_for_what_only_ends_like_the_key_begins() -> None:
    masking = KEY.masking()
    assert masking is not None
    assert masking.add(TextDelta("It is 012")) == [TextDelta("It is 012")]
    assert masking.add(TextDelta("3")) == []
    assert masking.add(TextDelta("4, not")) == [TextDelta("34, not")]
    assert masking.rest() == []


def calls_of(events: Iterable[Event]) -> list[tuple[str, str]]:
    builder = ReplyBuilder()
    for event in events:
        builder.add(event)
    return [(call.id, call.arguments) for call in builder.calls]


@pytest.mark.parametrize("index", [0, None])
@pytest.mark.parametrize("repeats", [False, True])
def test_a_key_in_the_arguments_of_a_call_is_masked_and_calls_are_kept_apart(index: int | None, repeats: bool) -> None:
    written = [("one", f'{{"key": "{SECRET}"}}'), ("two", f'{{"a": "{SECRET[:9]}'), ("six", '"}')]
    fragments = [
        ToolCallDelta(index, id_ if repeats or not at else None, "f" if repeats or not at else None, arguments[at])
        for id_, arguments in written
        for at in range(len(arguments))
    ]
    assert calls_of(shown(fragments)) == [("one", f'{{"key": "012{MASK}"}}'), *written[1:]]


def test_what_stands_beside_the_answer_is_masked_as_in_an_error() -> None:
    part = SECRET[3:20]
    events = shown(
        [
            Notice("retry", f"{part}: wait"),
            Facts(f"id-{part}", f"m-{part}", part),
            Sources((Source(part, f"https://h/?key={part}"),)),
            Unread((part, "other")),
            ToolCallDelta(0, part, part, "{}"),
            Unread((f"choices[].{part}",)),
        ]
    )
    assert events == [
        Notice("retry", f"{MASK}: wait"),
        Facts(f"id-{MASK}", f"m-{MASK}", MASK),
        Sources((Source(MASK, f"https://h/?key={MASK}"),)),
        Unread((MASK, "other")),
        ToolCallDelta(0, MASK, MASK, "{}"),
        Unread((f"choices[].{MASK}",)),
    ]


def test_the_answer_itself_keeps_what_is_a_part_of_the_key_by_chance() -> None:
    assert shown([TextDelta(f"{SECRET[:20]} {SECRET.encode().hex()}")]) == [
        TextDelta(f"{SECRET[:20]} {SECRET.encode().hex()}")
    ]


@pytest.mark.parametrize("dummy", ["EMPTY", "none", "", "sk-proj-"])
def test_a_key_that_is_no_secret_masks_nothing(dummy: str) -> None:
    assert Key(dummy, "a test").masking() is None
