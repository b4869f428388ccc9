from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from glm_magic.chat.events import AskedAgain, Event, Sources, TextDelta, ToolCalling, ToolResult
from glm_magic.chat.messages import GrowingCall, ToolCall
from glm_magic.chat.reply import Source
from glm_magic.display.pace import UPDATE_SECONDS
from glm_magic.display.page.parts import MOST_PARTS, Parts
from glm_magic.display.view import Form

MOST_SHOWN = 48  # JupyterLab shows 50 outputs of a cell; the line and the thoughts stand above
BUNDLE = {"application/x-turn+json": {"id": "a"}}
LONG = "".join(f"Paragraph {number}.\n\n" + "word " * 150 + "\n\n" for number in range(30))


class Cell:
    """The outputs of a cell under a clock of its own, in order, and all that was sent to make them."""

    def __init__(self, form: Form = "markdown", *, with_calls: bool = True) -> None:
        self.now = 0.0
        self.outputs: dict[str, dict[str, Any]] = {}
        self.sent: list[tuple[str, dict[str, Any]]] = []
        names = (f"n-{number}" for number in itertools.count())
        self.parts = Parts(self.show, names, form=form, with_calls=with_calls, clock=lambda: self.now)

    def show(self, data: dict[str, Any], name: str, *, update: bool) -> None:
        assert update == (name in self.outputs)
        self.outputs[name] = data
        self.sent.append((name, data))

    def paint(self, *events: Event, after: float = UPDATE_SECONDS) -> Cell:
        for event in events:
            self.now += after
            self.parts.take(event)
            self.parts.paint()
        return self

    def finished(self, *events: Event) -> Cell:
        self.paint(*events).parts.finish()
        return self

    @property
    def plain(self) -> list[str]:
        return [data.get("text/plain", data.get("text/markdown", "")) for data in self.outputs.values()]

    @property
    def carrying(self) -> list[int]:
        return [at for at, data in enumerate(self.outputs.values()) if "application/x-turn+json" in data]


def begun(number: int, arguments: str = "{}", *, runs: bool = False) -> ToolCalling:
    return ToolCalling(number, ToolCall(f"c{number}", f"tool_{number}", arguments), runs)


def done(number: int, text: str = "ok", *, failed: bool = False) -> ToolResult:
    return ToolResult(number, ToolCall(f"c{number}", f"tool_{number}", "{}"), text, 0.1, failed)


def rounds(count: int, text: str = "Text {}.") -> Iterable[Event]:
    for number in range(count):
        yield TextDelta(text.format(number))
        yield begun(number)
        yield begun(number, runs=True)
        yield done(number)
    yield TextDelta("The end.")


def words(texts: Iterable[str]) -> list[str]:
    return " ".join(texts).split()


def test_the_parts_stand_in_the_order_in_which_they_came() -> None:
    cell = Cell().finished(
        TextDelta("First."),
        *(begun(0), done(0), begun(1), done(1, "no", failed=True)),
        TextDelta("Then."),
        AskedAgain("x: wrong"),
        TextDelta("At last."),
        Sources((Source("A page", "https://a.example/x"),)),
    )
    assert cell.plain == [
        "First.",
        "[tool_0() → ok · 0.1 s]",
        "[tool_1() failed: no · 0.1 s]",
        "Then.",
        "The answer does not fit; asking again: x: wrong",
        "At last.",
        "[Sources · 1]\n1. A page · https://a.example/x",
    ]


def test_the_calls_of_one_round_share_an_output() -> None:
    cell = Cell().finished(begun(0), begun(1), begun(0, runs=True), done(0), begun(1, runs=True), done(1))
    assert cell.plain == ["[tool_0() → ok · 0.1 s]\n[tool_1() → ok · 0.1 s]"]


def test_what_happens_to_a_call_changes_its_output_at_once_and_what_is_written_ten_times_a_second() -> None:
    cell = Cell()
    cell.paint(*(begun(0, "x" * length) for length in range(1000)), after=0.001)
    assert len(cell.sent) <= 1.0 / UPDATE_SECONDS + 1
    before = len(cell.sent)
    cell.paint(begun(0, "{}", runs=True), after=0.0)
    assert "no result yet" in cell.plain[0]
    cell.paint(done(0), after=0.0)
    assert cell.plain == ["[tool_0() → ok · 0.1 s]"]
    assert len(cell.sent) == before + 2


def test_the_text_before_a_call_is_whole_when_the_call_appears() -> None:
    cell = Cell().paint(TextDelta("Let me "), after=0.0).paint(TextDelta("see."), begun(0), after=0.0)
    assert cell.plain == ["Let me see.", "[tool_0() → …]"]


@pytest.mark.parametrize("text", ["Text {}.\n\n", LONG])
@pytest.mark.parametrize("count", [7, 60])
def test_many_rounds_lose_nothing_and_fit_on_the_page(text: str, count: int) -> None:
    cell = Cell().finished(*rounds(count, text), Sources((Source("A page"),)))
    assert len(cell.outputs) <= MOST_SHOWN
    said = "\n".join(cell.plain)
    assert all(f"tool_{number}() → ok" in said for number in range(count))
    assert "A page" in cell.plain[-1]
    shown = words(data["text/plain"] for data in cell.outputs.values() if "text/markdown" in data)
    assert shown == words([*(text.format(number) for number in range(count)), "The end."])


def test_as_many_rounds_as_there_is_room_for_stand_in_order() -> None:
    count = MOST_PARTS // 2 - 1
    cell = Cell().finished(*rounds(count))
    expected = [said for number in range(count) for said in (f"Text {number}.", f"[tool_{number}() → ok · 0.1 s]")]
    assert cell.plain == [*expected, "The end."]


KINDS = st.one_of(
    st.builds(TextDelta, st.sampled_from(["a ", "b\n\n", "- c\n", "```\nd\n```\n\n", "word " * 400 + "\n\n"])),
    st.sampled_from(["call", "more calls", "asked again", "sources"]),
)
EVENTS = st.lists(KINDS, max_size=60)
FITTING = st.lists(KINDS, max_size=MOST_PARTS - 1)  # in which everything stands where it came


def played(kinds: list[TextDelta | str]) -> list[Event]:
    """Events as a turn has them: each call has its result before the next round."""
    events: list[Event] = []
    numbers = itertools.count()
    for kind in kinds:
        match kind:
            case "call":
                number = next(numbers)
                events += [begun(number), begun(number, runs=True), done(number)]
            case "more calls":
                one, other = next(numbers), next(numbers)
                events += [begun(one), begun(other), begun(one, runs=True), done(one), begun(other, runs=True)]
                events += [done(other)]
            case "asked again":
                events.append(AskedAgain("x: wrong"))
            case "sources":
                events.append(Sources((Source("A page"),)))
            case TextDelta():
                events.append(kind)
            case _:
                raise AssertionError(kind)
    return events


@given(EVENTS)
def test_whatever_comes_nothing_is_lost_and_one_output_carries_the_turn(kinds: list[TextDelta | str]) -> None:
    events = played([kind for kind in kinds if kind != "asked again"] + ["asked again"] * ("asked again" in kinds))
    cell = Cell().paint(*events)
    cell.parts.finish(BUNDLE)
    assert len(cell.outputs) <= MOST_SHOWN
    assert cell.carrying == [len(cell.outputs) - 1]
    said = "\n".join(cell.plain)
    for event in events:
        if isinstance(event, ToolResult):
            assert f"[{event.call.name}() → ok" in said
    texts = [data["text/plain"] for data in cell.outputs.values() if "text/markdown" in data]
    assert sorted(words(texts)) == sorted(words(event.text for event in events if isinstance(event, TextDelta)))


@given(FITTING)
def test_what_is_known_already_is_shown_without_an_update_and_looks_the_same(kinds: list[TextDelta | str]) -> None:
    events = played(kinds)
    live, at_once = Cell(), Cell()
    live.paint(*events).parts.finish()
    for event in events:
        at_once.parts.take(event)
    at_once.parts.finish()
    assert len(at_once.sent) == len(at_once.outputs)
    assert words(at_once.plain) == words(live.plain)


@given(EVENTS, FITTING)
@example([], [TextDelta("a "), "call"])
def test_another_answer_takes_the_outputs_that_there_are(
    first: list[TextDelta | str], second: list[TextDelta | str]
) -> None:
    cell = Cell().paint(*played(first))
    cell.parts.finish(BUNDLE)
    names = list(cell.outputs)
    other = Cell().finished(*played(second))
    for _ in range(2):
        cell.parts.rewrite(played(second), BUNDLE)
        assert list(cell.outputs) == names, "no output comes or goes"
        assert cell.carrying == [len(names) - 1]
        assert words(cell.plain) == words(other.plain)


def test_a_text_without_calls_carries_the_turn_also_where_nothing_came() -> None:
    cell = Cell(with_calls=False)
    cell.parts.finish(BUNDLE)
    assert list(cell.outputs.values()) == [{"text/markdown": "", "text/plain": "", **BUNDLE}]


def test_calls_sources_and_notes_carry_the_turn_where_they_are_last() -> None:
    for last in (done(0), AskedAgain("x"), Sources((Source("A page"),))):
        cell = Cell().paint(TextDelta("Hello"), last)
        cell.parts.finish(BUNDLE)
        assert cell.carrying == [1]


def test_nothing_of_a_withdrawn_answer_stays() -> None:
    said = TextDelta("forbidden"), done(0, "forbidden"), AskedAgain("forbidden"), TextDelta(LONG + "forbidden")
    cell = Cell().paint(*said)
    assert "forbidden" in str(cell.outputs)
    cell.parts.withdraw()
    assert "forbidden" not in str(cell.outputs)
    assert "tool_0" not in str(cell.outputs)


def test_a_withdrawn_answer_whose_sources_had_come_shows_none_of_them() -> None:
    cell = Cell().paint(Sources((Source("forbidden"),)), TextDelta("Hello"))
    cell.parts.withdraw()
    assert "forbidden" not in str(cell.outputs)


def test_each_source_stands_below_the_answer_once() -> None:
    one, other = Source("One", "https://a.example"), Source("Other", "https://b.example")
    cell = Cell().finished(Sources((one,)), TextDelta("Hello"), Sources((one, other)), TextDelta(" again."))
    assert cell.plain[0] == "Hello again."
    assert cell.plain[1].startswith("[Sources · 2]")


def test_a_structured_answer_that_did_not_fit_stays_above_the_one_that_does() -> None:
    cell = Cell("json").finished(TextDelta('{"a": "x"}'), AskedAgain("a: wrong"), TextDelta('{"a": 1}'))
    assert [("text/html" in data, data["text/plain"]) for data in cell.outputs.values()] == [
        (True, '{\n  "a": "x"\n}'),
        (True, "The answer does not fit; asking again: a: wrong"),
        (True, '{\n  "a": 1\n}'),
    ]


def test_a_call_that_was_stopped_does_not_run_for_good() -> None:
    cell = Cell().finished(begun(0, runs=True), begun(1))
    assert "no result yet" not in cell.plain[0]
    assert "open" not in str(cell.outputs)


def test_the_arguments_of_a_call_are_joined_as_often_as_it_is_painted() -> None:
    looked_at: list[int] = []

    def read(fragments: int) -> str:
        looked_at.append(fragments)
        return "x" * fragments

    cell = Cell()
    for fragments in range(1, 5001):
        cell.paint(ToolCalling(0, GrowingCall("c", "f", fragments, fragments, read)), after=0.0001)
    cell.finished()
    assert "x" * 50 in cell.plain[0]
    assert len({*looked_at}) <= len(cell.sent) + 1 < 100
