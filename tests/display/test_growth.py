"""Four times as much text takes four times as many steps, whatever it is: an answer is shown while it grows."""

from __future__ import annotations

import cProfile
import io
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from test_safe_text import FRAGMENTS

from glm_magic.chat.events import Event, ReasoningDelta, TextDelta, ToolCallDelta, ToolCalling, ToolResult
from glm_magic.chat.growing import ReplyBuilder
from glm_magic.chat.messages import ToolCall
from glm_magic.display import blocks, layout, links, lookahead, prose, safe_text
from glm_magic.display.differences import differences
from glm_magic.display.page.view import PageView
from glm_magic.display.terminal.screen import Screen
from glm_magic.display.terminal.view import LiveView
from glm_magic.display.view import Ending

MOST = 6.0  # times as many for four times as much: a square would be 16
MOST_A_CHARACTER = 20  # calls, to stream a text: a parse of each of its lines takes from 25 to 50
CHARACTERS_OF_A_STEP = 50  # that a pattern goes through


@pytest.fixture(autouse=True, scope="module")
def _as_in_a_long_text() -> Iterator[None]:
    """Keep nothing: the texts here repeat themselves, and the beginning would do for all. Treat none as a short one."""
    with mock.patch.object(safe_text, "_prose_again", safe_text._prose), mock.patch.object(safe_text, "_SHORT", 0):
        yield


class Counted:
    """A pattern that counts the characters that it goes through."""

    def __init__(self, pattern: re.Pattern[str], steps: list[float]) -> None:
        self._pattern = pattern
        self._steps = steps

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._pattern, name)
        return self._over(found) if name in ("search", "match", "fullmatch", "finditer", "findall", "sub") else found

    def _over(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any) -> Any:
            text, *limits = arguments[method.__name__ == "sub" :]
            at, end = (*limits, *(0, len(text))[len(limits) :])
            result = method(*arguments)
            goes_to = result.end() if isinstance(result, re.Match) else at if method.__name__ == "match" else end
            self._steps[0] += (goes_to - at) / CHARACTERS_OF_A_STEP
            return result

        return counted


@contextmanager
def calls_counted(steps: list[float]) -> Iterator[None]:
    profile = cProfile.Profile()
    profile.enable()
    try:
        yield
    finally:
        profile.disable()
        steps[0] += sum(entry.callcount for entry in profile.getstats())


@contextmanager
def counting() -> Iterator[list[float]]:
    """Count calls of functions, and the characters that patterns go through."""
    blocks._scans.clear()  # of a shorter text, which this one begins as
    steps = [0.0]
    patterns = [
        mock.patch.object(module, name, Counted(value, steps))
        for module in (blocks, layout, links, lookahead, prose, safe_text)
        for name, value in vars(module).items()
        if isinstance(value, re.Pattern)
    ]
    for pattern in patterns:
        pattern.start()
    try:
        with calls_counted(steps):
            yield steps
    finally:
        for pattern in patterns:
            pattern.stop()


def ratio(run: Callable[[int], object], size: int) -> float:
    """How many times the steps are that `run` takes with four times the size."""
    run(2)  # what is loaded or made once
    taken = []
    for length in (size, 4 * size):
        with counting() as steps:
            run(length)
        taken.append(steps[0])
    return taken[1] / taken[0]


def view(sent: list[int] | None = None) -> tuple[PageView, list[float]]:
    """A page, and its clock."""
    now = [0.0]

    def show(data: dict[str, Any], _name: str, *, update: bool) -> None:
        if sent is not None:
            sent.append(len(json.dumps(data)))

    return PageView(show, name="n", title="m", with_calls=True, clock=lambda: now[0]), now


def painted(events: list[Event], seconds: float) -> int:
    """Paint events, one after so many seconds; return what was sent, in characters."""
    sent: list[int] = []
    page, now = view(sent)
    for event in events:
        now[0] += seconds
        page.paint(event)
    page.settle(Ending(()))
    return sum(sent)


PIECES = st.lists(st.sampled_from(FRAGMENTS), min_size=1, max_size=4).map("".join)


@settings(max_examples=60, deadline=None)
@given(PIECES)
def test_a_text_is_made_safe_in_steps_that_grow_as_it_does(piece: str) -> None:
    assert ratio(lambda times: safe_text.markdown("<img>\n\n" + piece * times), 300) < MOST


@settings(max_examples=60, deadline=None)
@given(PIECES)
def test_a_cut_is_found_in_steps_that_grow_as_the_text_does(piece: str) -> None:
    assert ratio(lambda times: safe_text.last_block_start(piece * times + "\n"), 300) < MOST


@pytest.mark.parametrize(
    "piece",
    ["a\n=\n", "```\nx\n```\n", "- a\n", "\\begin{a}", "\\begin{a}\n\n", "$$", "` `` ``` ", "](http://", "]:http://a"],
)
def test_a_text_that_took_too_long_once_does_not(piece: str) -> None:
    assert ratio(lambda times: safe_text.markdown("```\n<img>\n```\n\n" + piece * times), 500) < MOST
    assert ratio(lambda times: safe_text.last_block_start(piece * times + "\n"), 500) < MOST
    assert ratio(lambda times: painted([TextDelta(piece)] * times, 0.00001), 4000) < MOST


DENSE = {
    "lines of a letter": "a\n",
    "lines of tags": "<b>\n",
    "paragraphs of tags": "<b>\n\n",
    "nested lists": "- a\n  - b\n    - <c>\n",
    "lists by tabs": "-\t<b>\n",
    "tables": "| a | b |\n|---|---|\n| <b> | <b> |\n\n",
    "definitions": "[a]: b\n",
    "targets": "](\n",
    "code in lists": "1. a\n   ```\n   <b>\n   ```\n",
    "indented code in lists": "- a\n\n      <b>\n",
    "code spans in lists": "- a\n  - `<b>`\n",
    "display maths": "$$\n- <b>\n$$\n",
    "comments": "<!-- -->\n\n- <b>\n",
    "empty items": "*\n",
    "headings": "<b>\n=\n",
    "what takes no room": "\u202e",
}


@pytest.mark.parametrize("piece", DENSE.values(), ids=DENSE.keys())
def test_a_text_whose_every_line_could_act_is_streamed_without_a_parse_of_each(piece: str) -> None:
    def stream(length: int) -> None:
        text = piece * (length // len(piece))
        painted([TextDelta(text[at : at + 40]) for at in range(0, len(text), 40)], 40 / 100_000)

    stream(100)  # what is loaded or made once
    blocks._scans.clear()
    steps = [0.0]
    with calls_counted(steps):
        stream(20_000)
    assert steps[0] < MOST_A_CHARACTER * 20_000
    assert ratio(lambda times: safe_text.markdown(piece * times), 300) < MOST
    assert ratio(lambda times: safe_text.last_block_start(piece * times), 300) < MOST


def printed(text: str, rate: float) -> None:
    """Stream a text to a terminal, `rate` characters a second."""
    now = 0.0
    screen = Screen(Console(file=io.StringIO(), force_terminal=True, width=80, height=24))
    view = LiveView(screen, clock=lambda: now)
    for at in range(0, len(text), 40):
        now += 40 / rate
        view.paint(TextDelta(text[at : at + 40]))
    view.settle(Ending(()))


@pytest.mark.parametrize("piece", DENSE.values(), ids=DENSE.keys())
def test_a_text_is_printed_in_a_terminal_in_steps_that_grow_as_it_does(piece: str) -> None:
    assert ratio(lambda times: printed(piece * times, rate=1e9), 50) < MOST


@pytest.mark.parametrize("piece", ["- a\n", "a\n", "> a\n", "    a\n"])
def test_an_open_block_in_a_terminal_is_rendered_less_often_the_longer_it_is(piece: str) -> None:
    text = piece * (200_000 // len(piece))
    with mock.patch.object(Screen, "markdown", return_value=["a line"]) as rendered:
        printed(text, rate=30_000)
    assert sum(len(call.args[0]) for call in rendered.call_args_list) < 3 * len(text)


def test_thoughts_between_words_are_sent_as_often_as_the_words() -> None:
    def sent(count: int) -> int:
        return painted([ReasoningDelta("some thought "), TextDelta("some words ")] * count, 0.001)

    assert sent(2000) < MOST * sent(500)
    assert sent(2000) < 40 * 2000 * len("some thought some words ")


def calls(count: int) -> list[Event]:
    """A round of calls, of about 100 characters each."""
    made = [ToolCall(f"c{n}", "get_weather", f'{{"city": "City {n}", "days": 3}}') for n in range(count)]
    result = "rather cloudy, 21 degrees, with some rain later"
    ran = [(ToolCalling(n, call, runs=True), ToolResult(n, call, result, 0.001)) for n, call in enumerate(made)]
    return [*(ToolCalling(n, call) for n, call in enumerate(made)), *(event for events in ran for event in events)]


def test_a_round_of_many_calls_is_sent_in_traffic_that_grows_as_it_does() -> None:
    assert painted(calls(1000), 0.001) < MOST * painted(calls(250), 0.001)
    assert painted(calls(1000), 0.001) < 40 * 1000 * 100
    assert ratio(lambda count: painted(calls(count), 0.001), 100) < MOST


def test_slow_tools_are_seen_to_run_however_many_there_were() -> None:
    outputs: dict[str, dict[str, Any]] = {}
    now = [0.0]

    def show(data: dict[str, Any], name: str, *, update: bool) -> None:
        outputs[name] = data

    page = PageView(show, name="n", title="m", with_calls=True, clock=lambda: now[0])
    for event in calls(30):
        page.paint(event)
        if isinstance(event, ToolCalling) and event.runs:
            assert f'City {event.number}", days=3) → no result yet' in str(outputs["n-1"]["text/plain"])
            now[0] += 2.0


def test_calls_and_fragments_of_calls_are_joined_in_steps_that_grow_as_they_do() -> None:
    def many(count: int) -> None:
        answer = ReplyBuilder()
        for number in range(count):
            answer.calling(ToolCallDelta(number, f"c{number}", "f", "{}"))
        assert len(answer.calls) == count

    def one(count: int) -> None:
        answer = ReplyBuilder()
        for number in range(count):
            answer.calling(ToolCallDelta(0, *(("c", "f") if number == 0 else (None, None)), "x"))
        assert len(answer.calls[0].arguments) == count

    assert ratio(many, 500) < MOST
    assert ratio(one, 500) < MOST


@pytest.mark.parametrize(
    ("one", "other"), [("x y z ", "z y x "), ("x\n", "y\nx\n"), ("a b\n", "b c\na\n"), ("ab ", "a b ")]
)
def test_changes_are_found_in_steps_that_grow_as_the_texts_do(one: str, other: str) -> None:
    assert ratio(lambda times: differences(one * times, other * times), 1500) < MOST
