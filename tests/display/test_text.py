from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from glm_magic.display.pace import UPDATE_SECONDS
from glm_magic.display.page.segments import SEGMENT_CHARACTERS
from glm_magic.display.page.text import TextOutputs

PARAGRAPH = "Some words of a paragraph that goes on for a while. " * 6 + "\n\n"
BUNDLE = {"application/x-turn+json": {"id": "a"}}


class Cell:
    """The outputs of a cell under a clock of its own, in order, and the names of those that were sent."""

    def __init__(self) -> None:
        self.now = 0.0
        self.outputs: dict[str, dict[str, Any]] = {}
        self.sent: list[str] = []
        self.names: Iterator[str] = (f"n-{number}" for number in itertools.count())

    def text(self, **options: Any) -> TextOutputs:
        return TextOutputs(self.show, self.names, clock=lambda: self.now, **options)

    def show(self, data: dict[str, Any], name: str, *, update: bool) -> None:
        assert update == (name in self.outputs)
        self.outputs[name] = data
        self.sent.append(name)

    def paint(self, text: TextOutputs, *parts: str) -> None:
        for part in parts:
            self.now += UPDATE_SECONDS
            text.add(part)
            text.paint()

    @property
    def shown(self) -> list[str]:
        return [data["text/markdown" if "text/markdown" in data else "text/plain"] for data in self.outputs.values()]


def numbered(paragraphs: int, first: int = 0) -> list[str]:
    return [f"{number} {PARAGRAPH}" for number in range(first, first + paragraphs)]


@pytest.mark.parametrize("most", [1, 2, 3, 8, 36])
def test_a_text_of_any_length_stands_in_order_in_no_more_outputs_than_it_may_use(most: int) -> None:
    cell = Cell()
    text = cell.text(most=most)
    paragraphs = numbered(300)
    cell.paint(text, *paragraphs)
    cell.now += 1000
    cell.paint(text, "end")
    assert "\n\n".join(cell.shown).split() == [*"".join(paragraphs).split(), "end"]
    text.finish()
    assert "\n\n".join(cell.shown).split() == [*"".join(paragraphs).split(), "end"]
    assert len(cell.outputs) <= most


@pytest.mark.parametrize("most", [2, 36])
def test_at_each_moment_the_page_has_all_that_has_been_painted(most: int) -> None:
    cell = Cell()
    text = cell.text(most=most)
    paragraphs = numbered(120)
    for number, paragraph in enumerate(paragraphs, start=1):
        cell.now += 1000
        cell.paint(text, paragraph)
        assert "".join(cell.shown).replace("\n", "") == "".join(paragraphs[:number]).replace("\n", "")


def test_what_is_joined_is_there_before_the_tail_loses_it() -> None:
    cell = Cell()
    text = cell.text(most=2)
    cell.paint(text, *numbered(400))
    joined = [at for at, name in enumerate(cell.sent) if name == "n-0" and "n-1" in cell.sent[:at]]
    assert len(joined) > 2
    assert all(cell.sent[at + 1] == "n-1" for at in joined)


def test_several_texts_of_a_cell_share_its_outputs_and_stand_in_order() -> None:
    cell = Cell()
    free = 12
    for first in (0, 100, 200):
        before = len(cell.outputs)
        text = cell.text(most=free - 2)
        cell.paint(text, *numbered(100, first))
        text.finish()
        free -= len(cell.outputs) - before
        cell.show({"text/plain": f"call {first}"}, next(cell.names), update=False)
        free -= 1
        if free < 3:
            break
    assert len(cell.outputs) <= 12
    numbers = [int(part.split()[0]) for part in cell.shown if not part.startswith("call")]
    assert numbers == sorted(numbers)


def test_the_last_output_carries_other_data_even_if_nothing_is_left_to_show() -> None:
    for parts in ([], ["  \n"], ["Hello"], [*numbered(40)]):
        cell = Cell()
        text = cell.text()
        cell.paint(text, *parts)
        text.finish(BUNDLE)
        carrying = [name for name, data in cell.outputs.items() if "application/x-turn+json" in data]
        assert carrying == [[*cell.outputs][-1]]


def test_a_tail_of_which_nothing_is_left_leaves_the_page() -> None:
    cell = Cell()
    text = cell.text(most=2, form="text")
    line = "x" * (SEGMENT_CHARACTERS - 10) + "\n"
    cell.paint(text, line, "more", " of it", "\n", line)
    cell.now += 1000
    cell.paint(text, "", line)
    text.finish()
    shown = [part for part in cell.shown if part]
    assert "".join(shown).replace("\n", "") == (line + "more of it" + line + line).replace("\n", "")


def test_a_text_that_is_withdrawn_leaves_every_output() -> None:
    cell = Cell()
    text = cell.text()
    cell.paint(text, *numbered(40))
    text.withdraw()
    assert len(cell.outputs) > 2
    assert {*cell.shown} == {"(withdrawn)"}
