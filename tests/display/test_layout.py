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
]


def code_by_lines(text: str) -> list[tuple[int, str]] | None:
    """The first line and the code of each block of code, or None."""
    found = []
    for code in layout.code_in(text):
        if code is None:
            return None
        content = re.sub(rf"^ {{0,{code.column}}}", "", text[slice(*code.content)], flags=re.MULTILINE)
        found.append((text.count("\n", 0, code.start), content.rstrip("\n")))
    return found


def code_parsed(text: str) -> list[tuple[int, str]]:
    return [
        (token.map[0], token.content.rstrip("\n"))
        for token in block_parser().parse(text)
        if token.map and token.type in ("fence", "code_block")
    ]


@settings(max_examples=400, deadline=None)
@given(st.lists(st.sampled_from(LINES), max_size=14).map("".join))
def test_lines_that_tell_the_code_tell_what_a_parse_finds(text: str) -> None:
    assert code_by_lines(text) in (None, code_parsed(text))


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
    assert code_by_lines(text) == code_parsed(text)


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("| a | b |\n|---|:-:|\n| `x|y` | |\n\n", True),
        ("a | b\n--|--\nx | y\n", True),
        ("| a | b |\n|---|\n| x | y |\n", False),
        ("| a |\n|---|\n- x\n", False),
        ("| a |\n| b |\n", False),
        ("http://a|\n-\n", False),
        ("1. a | b\n--|--\n", False),
        ("a | b\n- | -\n", False),
        ("| `a|b` |\n|---|---|\n", False),
    ],
)
def test_a_table_is_told_by_its_lines(text: str, is_one: bool) -> None:
    assert layout.is_table(text) == is_one
    kinds = [token.type for token in block_parser().parse(text) if token.level == 0 and token.nesting >= 0]
    assert not is_one or kinds == ["table_open"]


@pytest.mark.parametrize(
    ("text", "crosses"),
    [("a `b` c\nd $e$ f\n", False), ("a `b\nc` d\n", True), ("``a` b`` c\n", True), ("$$a$$ `b` $c$\n", False)],
)
def test_a_span_that_ends_in_its_line_crosses_none(text: str, crosses: bool) -> None:
    assert layout.has_spans(text) == crosses
