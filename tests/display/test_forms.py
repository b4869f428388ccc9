from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from glm_magic.display.forms import shown_as

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def fences(markdown: str) -> list[tuple[str, str]]:
    """The blocks of Markdown: each a kind, and its text."""
    return [(token.type, token.content) for token in MarkdownIt().parse(markdown) if token.level == 0]


def test_markdown_and_text_are_what_they_are() -> None:
    for form in ("markdown", "text"):
        shown = shown_as(form, "*a* ```b```")
        assert (shown.markdown, shown.plain, shown.page) == ("*a* ```b```", "*a* ```b```", "")


def test_of_code_only_its_blocks_are_shown() -> None:
    shown = shown_as("code", "Here:\n\n```python\nx = 1\n```\n\nThat is all.")
    assert fences(shown.markdown) == [("fence", "x = 1\n")]
    assert shown.plain == "x = 1"
    assert shown.page == ""


def test_code_that_is_not_whole_yet_is_code_already() -> None:
    assert fences(shown_as("code", "Here:\n\n```python\nx =", whole=False).markdown) == [("fence", "x =\n")]


@pytest.mark.parametrize("text", ["", "No code at all."])
def test_an_answer_without_code_says_so_when_it_is_whole_and_not_before(text: str) -> None:
    assert "no code" in shown_as("code", text).plain
    assert shown_as("code", text, whole=False).plain == ""
    assert "no code" not in shown_as("code", text, whole=False).markdown


@pytest.mark.parametrize("text", ['{"a": [1, 2]}', '```json\n{"a": [1, 2]}\n```', '  {"a": [1, 2]}\n'])
def test_json_is_a_value_when_it_is_whole(text: str) -> None:
    shown = shown_as("json", text)
    assert json.loads(shown.plain) == {"a": [1, 2]}
    assert shown.page.startswith("<div")


@given(JSON)
def test_json_is_code_as_long_as_it_comes(value: object) -> None:
    text = json.dumps(value, ensure_ascii=False)
    for end in range(1, len(text) + 1):
        part = text[:end]
        shown = shown_as("json", part, whole=False)
        assert shown.page == ""
        assert shown.plain == part
        if part.strip():
            assert [kind for kind, _ in fences(shown.markdown)] == ["fence"], part


@pytest.mark.parametrize("text", ['{"a": ', "no JSON", "{'a': 1}"])
def test_what_is_no_json_is_shown_as_it_came(text: str) -> None:
    shown = shown_as("json", text)
    assert (shown.plain, shown.page) == (text, "")
    assert fences(shown.markdown) == [("fence", f"{text}\n")]


def test_backticks_in_json_do_not_end_its_block() -> None:
    text = '{"a": "````\n```"'
    assert [kind for kind, _ in fences(shown_as("json", text, whole=False).markdown)] == ["fence"]
    assert fences(shown_as("json", "", whole=False).markdown) == []
