"""Lines alone tell the code, tables and paragraphs of a piece as a parse does, or do not tell."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glm_magic.chat.code import block_parser
from glm_magic.display import layout

LINES = [
    *("text\n", "# head\n", "\n", "\n\n", "- a\n", "  - b\n", "    - c\n", "1. d\n", "2. e\n", "10. g\n"),
    *("- ```py\n", "  ```\n", "   ```\n", "    ```\n", "   ~~~~\n", "  x\n", "   y\n", "    z\n", "        code\n"),
    *("-\ttab\n", "-     far\n", "> q\n", "---\n", "-\n", "`a`\n", "      - h\n"),
    *("| a |\n", "|---|\n", "- | a |\n", "  | b |\n", "  |---|\n", "  a | b\n", "  --|:-:\n", "    |---|\n"),
]


def told_by_lines(text: str) -> list[tuple[int, str]] | None:
    """The first line and the code of each block of code, and the first line and the rows of each table; or None."""
    told = []
    for found in layout.code_and_tables(text):
        if found is None:
            return None
        line = text.count("\n", 0, found.start)
        if isinstance(found, layout.Table):
            told.append((line, text.count("\n", found.start, found.end)))
        else:
            content = re.sub(rf"^ {{0,{found.column}}}", "", text[slice(*found.content)], flags=re.MULTILINE)
            told.append((line, content.rstrip("\n")))
    return told


def parsed(text: str) -> list[tuple[int, str | int]]:
    return [
        (token.map[0], token.map[1] - token.map[0] if token.type == "table_open" else token.content.rstrip("\n"))
        for token in block_parser().parse(text)
        if token.map and token.type in ("fence", "code_block", "table_open")
    ]


@settings(max_examples=400, deadline=None)
@given(st.lists(st.sampled_from(LINES), max_size=14).map("".join))
def test_what_lines_decide_is_what_a_parse_finds(text: str) -> None:
    assert told_by_lines(text) in (None, parsed(text))


@pytest.mark.parametrize(
    "text",
    [
        "- a\n  - b\n    ```py\n    x\n    ```\n",
        "1. a\n   ```\n   x\n\n   y\n   ```\n2. b\n",
        "- ```\n  x\n- ```\n  y\n",
        "text\n\n    x\n\n    y\ntext\n",
        "- a\n\n      x\n\n  b\n",
        "- a\n    goes on\n- b\n",
        "10. a\n\n    b\n",
    ],
)
def test_the_lines_of_ordinary_lists_tell(text: str) -> None:
    assert told_by_lines(text) == parsed(text)


@pytest.mark.parametrize(
    "text",
    [
        "| a | b |\n|---|:-:|\n| `x|y` | |\n\n",
        "a | b\n--|--\nx | y\n",
        "| a | b |\n|---|\n| x | y |\n",
        "| a |\n|---|\n- x\n",
        "| a |\n| b |\n",
        "text\n| a |\n|---|\n| b |\n",
        "- | a |\n  |---|\n  | `b` |\n- | c |\n  |---|\n",
        "1. text\n\n   | a |\n   |---|\n   | b |\n\n   more\n2. | x\n",
        "- | a |\n  |---|\nnext\n",
        "- | a |\n  |---|\n      code\n",
        "a | b\n- | -\n",
    ],
)
def test_the_lines_of_tables_tell(text: str) -> None:
    assert told_by_lines(text) == parsed(text)


@pytest.mark.parametrize(
    "text",
    [
        "1. a | b\n--|--\n",
        "> q\n| a |\n|---|\n",
        "| `a|b` |\n|---|---|\n",
        "- | a |\n|---|\n",
        "| a |\n---\n",
        "> | a |\n> |---|\n> | `b` |\n",
    ],
)
def test_lines_that_parsers_may_read_differently_do_not_decide(text: str) -> None:
    assert told_by_lines(text) is None


@pytest.mark.parametrize(
    ("text", "crosses"),
    [("a `b` c\nd $e$ f\n", False), ("a `b\nc` d\n", True), ("``a` b`` c\n", True), ("$$a$$ `b` $c$\n", False)],
)
def test_a_span_that_ends_in_its_line_crosses_none(text: str, crosses: bool) -> None:
    assert layout.has_spans(text) == crosses
