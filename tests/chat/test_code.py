from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from glm_magic.chat.code import blocks, code, only_code
from glm_magic.display import safe_text

ANSWER = """\
First:

```python
x = 1
if x:
    print("`hi`")
```

then in a list

1. install it

   ~~~sh
   pip install it
   ~~~

> ```
> quoted
>   further in
> ```

and indented

    y = 2

      z = 3

the end
"""


def test_every_block_is_found_with_its_language():
    assert blocks(ANSWER) == [
        ("python", 'x = 1\nif x:\n    print("`hi`")\n'),
        ("sh", "pip install it\n"),
        ("", "quoted\n  further in\n"),
        ("", "y = 2\n\n  z = 3\n"),
    ]


def test_code_is_that_of_all_blocks_with_a_blank_line_between():
    assert (
        code(ANSWER) == 'x = 1\nif x:\n    print("`hi`")\n\npip install it\n\nquoted\n  further in\n\ny = 2\n\n  z = 3'
    )


@pytest.mark.parametrize("text", ["", "Only words, `x = 1` among them.", "```\n```", "```python\n\n```", "a\n    b"])
def test_an_answer_without_code_has_none(text):
    assert code(text) == ""
    assert only_code(text) == ""


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("```python\nx = 1\ny", [("python", "x = 1\ny")]),
        ("```py", [("py", "")]),
        ("- a\n  ```\n  x", [("", "x")]),
        ("```\r\nx\r\ny\r\n```\r\n", [("", "x\ny\n")]),
        ("````md\n```\nx\n```\n````", [("md", "```\nx\n```\n")]),
        ("``` python title='a.py'\nx\n```", [("python", "x\n")]),
        ("\tx\n\ty", [("", "x\ny\n")]),
        ("- a\n\n      x", [("", "x\n")]),
        ("<pre>\n```\nx\n```\n</pre>", []),
    ],
)
def test_blocks_are_those_of_commonmark(text, found):
    assert blocks(text) == found


def test_only_the_code_is_left_each_block_in_a_fence():
    assert only_code(ANSWER) == (
        '```python\nx = 1\nif x:\n    print("`hi`")\n```\n\n'
        "```sh\npip install it\n```\n\n"
        "```\nquoted\n  further in\n```\n\n"
        "```\ny = 2\n\n  z = 3\n```\n\n"
    )


def test_a_fence_is_longer_than_any_in_the_code():
    assert only_code("~~~\n`````\n~~~") == "``````\n`````\n``````\n\n"


@pytest.mark.parametrize(
    ("info", "language"),
    [
        ("c++", "c++"),
        ("{python}", "python"),
        ('py"onmouseover="x', "pyonmouseoverx"),
        ("py evil-class", "py"),
        ("<b>$x$", "bx"),
    ],
)
def test_the_line_of_a_fence_says_a_language_and_no_more(info, language):
    assert only_code(f"~~~{info}\nx\n~~~") == f"```{language}\nx\n```\n\n"


# --- whatever a model writes -----------------------------------------------------------------

MARKDOWN = st.lists(
    st.sampled_from(
        ["```", "~~~", "````", "python", "\n", "\n\n", "    ", "\t", "- ", "1. ", "> ", "# a", "x = 1", "<div>",
         "</div>", "|a|b|\n|-|-|\n", "$$", "`", "\r\n", "---", "===", "[a]: b", "\x00", "\u2028", "中"]
    )
    | st.text(max_size=3),
    max_size=40,
).map("".join)  # fmt: skip


@given(MARKDOWN)
def test_any_text_has_blocks_and_they_stay_the_same_in_their_new_fences(text):
    found = [(re.sub(r"[^\w+#.-]", "", language, flags=re.ASCII), inside) for language, inside in blocks(text)]
    ended = [
        (language, inside if inside.endswith("\n") else inside + "\n") for language, inside in found if inside.strip()
    ]
    assert blocks(only_code(text)) == ended
    tokens = MarkdownIt("commonmark").parse(only_code(text))
    assert {token.type for token in tokens} <= {"fence"}


@given(MARKDOWN)
def test_a_text_that_is_cut_between_two_blocks_gives_the_same_in_two_parts(text):
    text = safe_text.plain(text)  # as it is shown: each character that ends a line is a newline
    starts = [
        token.map[0] for token in MarkdownIt("commonmark").enable("table").parse(text) if token.level == 0 and token.map
    ]
    for start in {*starts}:
        at = [0, *(found.end() for found in re.finditer("\n", text))][start]
        assert only_code(text[:at]) + only_code(text[at:]) == only_code(text)
    at = safe_text.last_block_start(text)
    assert only_code(text[:at]) + only_code(text[at:]) == only_code(text)
