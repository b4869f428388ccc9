from __future__ import annotations

import html
import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest
from browser.attacks import ATTACKS, whole

from glm_magic.display import prose, safe_text
from glm_magic.display.grid import Answer, Column, Grid, Interval, Row
from glm_magic.display.page.grid.static import as_html, static

TAGS = set("div style table thead tbody tr th td b small details summary span i s u".split())  # noqa: SIM905
JOINER = "\u2060"  # keeps a backslash from being a macro's
ATTRIBUTES = {"class", "style", "scope", "aria-hidden", "data-glm-grid"}


class Page(HTMLParser):
    """What a browser makes of HTML: its tags, its attributes, the text of each cell."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.cells: list[str] = []
        self.text = ""
        self._in_style = False
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        self._in_style = tag == "style"
        if tag in ("td", "th"):
            self.cells.append("")

    def handle_endtag(self, tag: str) -> None:
        self._in_style = False

    def handle_data(self, data: str) -> None:
        if self._in_style:
            return
        self.text += data
        if self.cells:
            self.cells[-1] += data


def grid(*texts: str, **how: Any) -> Grid:
    """One row, and a column for each of the texts."""
    columns = tuple(Column("ABCDEF"[at], ("GLM-4-Air",)) for at in range(len(texts)))
    answers = (tuple((Answer(text, "done"),) for text in texts),)
    return Grid(**{"title": ("1 row",), "columns": columns, "rows": (Row(1),), "answers": answers, **how})


def cells(of: Grid) -> list[str]:
    """The text of the cells in the first row."""
    return Page(as_html(of)).cells[len(of.columns) + 2 :]


@pytest.mark.parametrize("name", ATTACKS)
def test_what_a_model_or_a_table_says_is_text(name: str) -> None:
    attack = whole(name)
    answer = Answer(attack, "done", attack, facts=(attack,), scores={"x": attack}, note=attack)
    failed = Answer(state="failed", error=attack)
    hostile = Grid(
        (attack,),
        (Column(attack, (attack,), (attack,), None, "x", None, attack, attack),) * 2,
        (Row(1, {attack: attack, "b": attack}),),
        (((answer, replace(answer, text=attack + "2")), (failed,)),),
        (attack,),
        more=attack,
    )
    shown = static(hostile, key=attack)
    page = Page(shown["text/html"])
    assert set(page.tags) <= TAGS
    assert {attribute for attribute, _ in page.attributes} <= ATTRIBUTES
    assert {value for attribute, value in page.attributes if attribute == "data-glm-grid"} == {attack}
    assert not any("url(" in (value or "") for attribute, value in page.attributes if attribute == "style")
    assert safe_text.plain(attack).strip("\n") in page.text
    markdown = shown["text/markdown"]
    assert safe_text.markdown(markdown).replace(JOINER, "") == markdown.replace(JOINER, "")
    assert not re.search(rf"\\(?={prose._MACRO_NAMES})", html.unescape(markdown), re.IGNORECASE)
    assert safe_text.plain(shown["text/plain"]) == shown["text/plain"]


def test_an_answer_keeps_its_lines() -> None:
    assert cells(grid("one\n  two <b>")) == ["one\n  two <b>"]
    assert "white-space: pre-wrap" in as_html(grid("x")).partition("</style>")[2]


def test_a_long_answer_is_folded_and_whole() -> None:
    text = "word " * 200
    page = as_html(grid(text))
    assert page.count("<details>") == 1
    assert text in page


def test_the_answer_that_most_repeats_give_stands_for_them_and_the_others_are_folded() -> None:
    repeats = tuple(Answer(text, "done", facts=(f"{at} s",)) for at, text in enumerate(("no", "yes", "yes")))
    shown = as_html(replace(grid("x"), answers=((repeats,),)))
    assert cells(replace(grid("x"), answers=((repeats,),))) == ["yes1 s2 of 3 alike2 moreno0 syes2 s"]
    assert "<summary>2 more</summary>" in shown


def test_a_failure_is_told_in_its_place() -> None:
    failed = replace(grid("x"), answers=(((Answer(state="failed", error="No <route>."),),),))
    assert cells(failed) == ["failed: No <route>."]


def test_a_score_is_drawn_and_said() -> None:
    column = Column("B", (), ("48 tok",), Interval(0.5, 0.25, 0.75), "right", Interval(-0.2, -0.3, -0.1), "worse")
    page = as_html(replace(grid("x"), columns=(column,)))
    assert Page(page).cells[1] == "Bright 0.50 (0.25 to 0.75)−0.20 (−0.30 to −0.10) ▼ worse48 tok"
    assert '<s style="left: 25.0%; width: 50.0%"></s><u style="left: 50.0%"></u>' in page


def test_what_passes_the_limit_is_cut_and_said() -> None:
    many = Grid(
        (),
        (Column("A", ()),),
        tuple(Row(number) for number in range(1, 101)),
        (((Answer("한" * 3000, "done"),),),) * 100,
    )
    cut = as_html(many, most=200_000)
    assert len(cut.encode()) < 210_000
    assert "Texts are cut to 1,000 characters here;" in cut
    assert "2,000 more characters" in cut
    rows = as_html(many, most=20_000)
    assert len(rows.encode()) < 25_000
    assert "of 100 rows are shown here;" in rows
    assert "cut" not in as_html(many).partition("</style>")[2]


def test_a_blind_grid_names_no_baseline() -> None:
    assert "baseline" in as_html(grid("a", "b"))
    assert "baseline" not in as_html(grid("a", "b", is_blind=True))


def test_markdown_is_one_table() -> None:
    shown = static(replace(grid("yes | no", "a\n\nb"), verdict=("B beats A.",)))["text/markdown"]
    assert shown == (
        "**1 row**\n\nB beats A.\n\n"
        "|  | A ★ baseline · GLM-4-Air | B · GLM-4-Air |\n| --- | --- | --- |\n| 1 | yes &#124; no | a b |"
    )


def test_plain_text_ends_with_the_columns_and_the_verdict() -> None:
    shown = static(replace(grid("yes", "no"), verdict=("B beats A.",)))["text/plain"]
    assert shown.split("\n") == [
        "1 row",
        "   A    B",
        "----------",
        "1  yes  no",
        "A ★ baseline · GLM-4-Air",
        "B · GLM-4-Air",
        "B beats A.",
    ]
