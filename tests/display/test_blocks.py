"""A text falls into the same blocks, whether it is parsed as a whole or piece by piece."""

from __future__ import annotations

import itertools
from unittest import mock

from hypothesis import example, given, settings
from hypothesis import strategies as st
from test_safe_text import FRAGMENTS

from glm_magic.chat.code import block_parser
from glm_magic.display import blocks, safe_text

LINES = [
    *("\n```\n", "\n  ```\n", "\n   ```js\n", "\n    ```\n", "\n~~~\n", "\n- ```\n  ", "\n~~~ a|b\n", "```a``\n"),
    *("\n- ```\n", "\n1. ~~~\n", "\n2. ```x\n", "\n -  ```\n", "\n  y\n", "\n    ```\n", "\n     ~~~\n"),
    *("\n<!-- a -->\n", "-->", "\n<script>\n", "</script>x\n", "\n<?\n", "?>\n", "\n<!a>\n", "\n<![CDATA[\n", "]]>"),
    *("\n1. a", "\n2. b", "\n3) c", "\n* b", "\n+ x", "\n-\n", "\n- - -\n", "\n   c", "\n     d", "\n\tx", "- a|b\n"),
    *("\n<div>\n", "\n<a b", "\n<!--\n", "\n> q", "\n# h", "\n#\n", "\n=\n", "\n---\n", "\n***\n", "\n\n", " \n", "x"),
    *("\n> ```\n", "\n> ~~~ x\n> y\n", "> ```\n\n"),
    *("[a]: b", "[a]: b 'x\n", "a|b", "\n-|-\n", "|a|\n|-|\n"),
]
TEXTS = st.lists(st.sampled_from(FRAGMENTS) | st.sampled_from(LINES), max_size=24).map("".join).map(safe_text.plain)


def parsed(text: str, line: int = 0) -> list[tuple[str, int, int, str, str]]:
    """What a parse of `text`, which begins on this line, finds in it."""
    kinds = ("inline", "fence", "code_block", "html_block", "tr_open")
    return [
        (token.type, line + token.map[0], line + token.map[1], token.content, token.info)
        for token in block_parser().parse(text)
        if token.map and token.type in kinds
    ]


@settings(max_examples=600, deadline=None)
@given(TEXTS)
@example("# a|b\n-|-\n")
@example("- x\n* b|c\n-|-\n")
@example("~~~ a|b\n-|-\n")
@example("<a b\n1. a\n\n2. b\n")
@example("1. a\n   ```\n   b\n   ```\n2. c\n\nd\n")
@example("- ```\n  ```\n\na\n")
@example("- ```\n  a\n- ```\n  b\n\nc\n")
@example("- ```\n\ta\n  ```\nb\n")
@example("a\n2. ```\n   b\n   ```\nc\n")
def test_pieces_have_the_blocks_of_the_whole(text: str) -> None:
    found, _ = blocks.starts(text)
    ends = [*(start.at for start in found[1:]), len(text)]
    in_pieces = [
        block
        for start, end in zip(found, ends, strict=True)
        for block in parsed(text[start.at : end], text.count("\n", 0, start.at))
    ]
    assert in_pieces == parsed(text)


@settings(max_examples=300, deadline=None)
@given(st.lists(TEXTS, min_size=2, max_size=6))
@example(["- a\n- b\n- c\n- d\n", "\n- e\nf\n", "```\nx\n"])
@example(["a text without a line end", " 1. an item\n2. another\n"])
def test_a_text_that_has_grown_has_the_places_of_one_that_is_read_anew(texts: list[str]) -> None:
    seen = [*itertools.accumulate(texts), *texts]
    anew = [blocks.starts(text) for text in seen]
    with mock.patch.object(blocks, "_LONG", 16), mock.patch.object(blocks, "_scans", []):
        assert [blocks.starts(text) for text in seen] == anew


@settings(max_examples=200, deadline=None)
@given(TEXTS)
def test_a_new_block_is_one_of_the_top_level_and_a_fence_has_its_code(text: str) -> None:
    tokens = [token for token in block_parser().parse(text) if token.map and token.level == 0]
    lines = {token.map[0] for token in tokens if token.map}
    fences = [(token.info.strip(), token.content) for token in tokens if token.type == "fence"]
    for start in blocks.starts(text).found[1:]:
        assert not start.is_new or text.count("\n", 0, start.at) in lines
        if start.fence:
            assert (start.fence.info.strip(), text[start.fence.start : start.fence.end]) in fences


def test_the_blocks_of_an_ordinary_answer_are_found_without_a_parse() -> None:
    answer = (
        "Some words.\n\n## Title\n- one\n- two\n\n1. a\n2. b\n\n```py\nx\n```\n**More** of it.\n\n> quoted\n\nend\n"
    )
    found, is_sure = blocks.starts(answer)
    assert is_sure
    pieces = [answer[start.at :].split("\n", maxsplit=1)[0] for start in found if start.is_new]
    assert pieces == ["Some words.", "## Title", "- one", "```py", "**More** of it.", "> quoted", "end"]
    assert [start.fence.info for start in found if start.fence] == ["py\n"]
