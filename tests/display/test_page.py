from __future__ import annotations

from typing import Any

import pytest

from glm_magic.chat.events import Event, Notice, ReasoningDelta, TextDelta, Tick
from glm_magic.display.page.view import PageView
from glm_magic.display.view import Ending

BUNDLE = {"application/x-turn+json": {"id": "a"}}
ENDING = Ending(("GLM-4-Air", "1 s"), BUNDLE)


class Sheet:
    """A page under a clock of its own: outputs in order, by name, and what was sent to make them."""

    def __init__(self, **options: Any) -> None:
        self.now = 0.0
        self.outputs: dict[str, dict[str, Any]] = {}
        self.sent: list[tuple[str, dict[str, Any], bool]] = []
        self.view = PageView(self.show, name="n", title="GLM-4-Air", clock=lambda: self.now, **options)

    def show(self, data: dict[str, Any], name: str, *, update: bool) -> None:
        assert update == (name in self.outputs)
        self.outputs[name] = data
        self.sent.append((name, data, update))

    def paint(self, *events: Event, after: float = 0.0) -> None:
        for event in events:
            self.now += after
            self.view.paint(event)

    @property
    def bar(self) -> str:
        return next(data["text/plain"] for data in self.outputs.values() if "text/html" in data)

    @property
    def answer(self) -> list[str]:
        return [data["text/markdown"] for data in self.outputs.values() if "text/markdown" in data]


def test_the_first_words_are_shown_at_once() -> None:
    sheet = Sheet()
    sheet.paint(TextDelta("Hello"))
    assert sheet.answer == ["Hello"]


def test_updates_come_ten_times_a_second_at_most() -> None:
    sheet = Sheet()
    sheet.paint(*[TextDelta("x ")] * 1000, after=0.001)
    assert len(sheet.sent) < 1.0 * 10 + 5


def test_the_last_words_before_a_stall_are_shown_with_the_next_tick() -> None:
    sheet = Sheet()
    sheet.paint(TextDelta("first "), TextDelta("last"))
    sheet.paint(Tick(0.1), after=0.1)
    assert sheet.answer == ["first last"]


def test_the_bar_counts_the_seconds_of_a_silence_from_five_on() -> None:
    sheet = Sheet()
    sheet.paint(Tick(4.9))
    assert "silent" not in sheet.bar
    sheet.paint(Tick(7.2))
    assert "silent for 7 s" in sheet.bar
    sheet.paint(TextDelta("x"))
    assert "silent" not in sheet.bar


def test_a_silence_is_said_once_a_second_and_not_with_each_tick() -> None:
    sheet = Sheet()
    before = len(sheet.sent)
    sheet.paint(*[Tick(6 + tenth / 10) for tenth in range(10)])
    assert len(sheet.sent) == before + 1


def test_a_wait_and_a_thought_are_said_in_the_bar() -> None:
    sheet = Sheet()
    sheet.paint(Notice("retry", "Retrying in 3 s (1 of 3)."))
    assert "1 of 3" in sheet.bar
    sheet.paint(ReasoningDelta("hm"))
    assert "thinking" in sheet.bar


def test_the_settled_bar_has_the_facts_and_what_is_attached() -> None:
    sheet = Sheet()
    sheet.paint(TextDelta("Hello"))
    sheet.view.settle(ENDING)
    bar, answer = sheet.outputs.values()
    assert bar["text/plain"] == "GLM-4-Air · 1 s"
    assert bar["application/x-turn+json"] == {"id": "a"}
    assert answer == {"text/markdown": "Hello", "text/plain": "Hello"}


def test_a_quiet_view_has_no_bar_and_its_last_segment_carries_the_turn() -> None:
    sheet = Sheet(quiet=True)
    sheet.paint(TextDelta("Hello"))
    sheet.view.settle(ENDING)
    assert list(sheet.outputs.values()) == [{"text/markdown": "Hello", "text/plain": "Hello", **BUNDLE}]


def test_exactly_one_output_carries_the_turn() -> None:
    for quiet in (False, True):
        sheet = Sheet(quiet=quiet)
        sheet.paint(*[TextDelta("A paragraph of some words.\n\n")] * 600, after=0.005)
        sheet.view.settle(ENDING)
        assert sum("application/x-turn+json" in data for data in sheet.outputs.values()) == 1
        assert len(sheet.answer) > 3


def test_a_frozen_segment_is_never_sent_again() -> None:
    sheet = Sheet()
    sheet.paint(*[TextDelta("A paragraph of some words.\n\n")] * 600, after=0.005)
    sheet.view.settle(ENDING)
    last_sent = {name: at for at, (name, _, _) in enumerate(sheet.sent)}
    frozen = [at for at, (_, data, _) in enumerate(sheet.sent) if "text/plain" in data and "text/markdown" in data]
    assert all(last_sent[sheet.sent[at][0]] == at for at in frozen)


@pytest.mark.parametrize("tokens", [1_000, 10_000, 50_000])
def test_the_traffic_for_a_character_does_not_grow_with_the_answer(tokens: int) -> None:
    sheet = Sheet()
    text = "Some words of a paragraph that goes on for a while. " * 6 + "\n\n"
    whole = (text * (tokens * 4 // len(text) + 1))[: tokens * 4]
    sheet.paint(*[TextDelta(whole[at : at + 4]) for at in range(0, len(whole), 4)], after=1 / 200)
    sheet.view.settle(ENDING)
    sent = sum(len(str(data)) for _, data, _ in sheet.sent)
    assert sent / len(whole) < 40  # ten short tails a second, or as many characters in fewer long ones
    assert len(sheet.outputs) <= 40


def test_withdrawn_text_leaves_every_output() -> None:
    sheet = Sheet()
    sheet.paint(*[TextDelta("forbidden words.\n\n")] * 600, after=0.01)
    sheet.view.settle(Ending(("GLM-4-Air", "failed"), withdrawn=True))
    assert "forbidden" not in str(sheet.outputs)


def test_a_models_name_is_only_text() -> None:
    sheet = Sheet()
    sheet.view.settle(Ending(("<script>alert(1)</script>",)))
    assert "<script>" not in next(iter(sheet.outputs.values()))["text/html"]


def test_text_is_shown_as_text() -> None:
    sheet = Sheet(form="text")
    sheet.paint(TextDelta("*a* <b>\n\x1b[2J"))
    sheet.view.settle(ENDING)
    assert list(sheet.outputs.values())[1] == {"text/plain": "*a* <b>\n [2J"}


LONG = "".join(f"Paragraph {number}.\n\n" + "word " * 150 + "\n\n" for number in range(30))
OTHER = Ending(("GLM-4-Plus", "attempt 1 of 2"), {"application/x-turn+json": {"id": "b"}})


@pytest.mark.parametrize("options", [{}, {"quiet": True}, {"form": "text"}, {"at_once": True}, {"withdrawn": True}])
@pytest.mark.parametrize("first", ["Hello", "", "  \n", LONG])
@pytest.mark.parametrize("second", ["Bye", "", LONG.replace("Paragraph", "Section")])
def test_another_answer_takes_the_place_of_the_one_that_was_shown(
    options: dict[str, bool], first: str, second: str
) -> None:
    withdrawn = options.get("withdrawn", False)
    sheet = Sheet(**{name: value for name, value in options.items() if name != "withdrawn"})
    sheet.paint(*[TextDelta(first[at : at + 50]) for at in range(0, len(first), 50)], after=0.02)
    sheet.view.settle(Ending(("GLM-4-Air",), {} if withdrawn else BUNDLE, withdrawn=withdrawn))
    names = list(sheet.outputs)
    for text, ending in ((second, OTHER), (LONG, ENDING), (second, OTHER)):
        sheet.view.rewrite([TextDelta(text)], ending)
        assert list(sheet.outputs) == names, "no output comes or goes"
        outputs = list(sheet.outputs.values())
        if not withdrawn or "quiet" not in options:
            carrying = [data for data in outputs if "application/x-turn+json" in data]
            assert [data["application/x-turn+json"] for data in carrying] == [
                ending.attached["application/x-turn+json"]
            ]
        answers = outputs if "quiet" in options else outputs[1:]
        said = "".join("".join(data["text/plain"] for data in answers).split())
        has_output = first.strip() or "quiet" in options  # else there is none to take it
        assert said == ("".join(text.split()) if has_output else "")
        if "quiet" not in options:
            assert outputs[0]["text/plain"] == " · ".join(ending.facts)


def test_a_rewritten_answer_cannot_act() -> None:
    sheet = Sheet()
    sheet.paint(TextDelta("Hello"))
    sheet.view.settle(ENDING)
    sheet.view.rewrite([TextDelta("<img src=x onerror=alert(1)> ![](http://x/y.png)\x1b[2J")], OTHER)
    assert "<img" not in str(sheet.answer)
    assert "![" not in str(sheet.answer)
    assert "\x1b" not in str(sheet.outputs)
