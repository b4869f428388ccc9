from __future__ import annotations

import html
import re
import sys
from collections.abc import Callable
from difflib import SequenceMatcher
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glm_magic.display import safe_text
from glm_magic.display.differences import differences, in_short, side_by_side


def plain(before: str, after: str) -> str:
    return differences(before, after)["text/plain"]


@pytest.mark.parametrize(
    ("before", "after", "shown"),
    [
        ("the cat sat", "the dog sat", "the [-cat-]{+dog+} sat"),
        ("same", "same", "same"),
        ("", "", ""),
        ("", "new", "{+new+}"),
        ("old", "", "[-old-]"),
        ("a\nb", "a\nb\nc", "a\nb{+\nc+}"),
        ("你好世界", "你好地球", "你好[-世界-]{+地球+}"),
        ("很好，谢谢", "很好。谢谢", "很好[-，-]{+。+}谢谢"),
        ("안녕하세요", "안녕히계세요", "안녕[-하-]{+히계+}세요"),
        ("カタカナ", "カタコト", "カタ[-カナ-]{+コト+}"),
        ("a豈b𠮷c", "a豈b𠮷d", "a豈b𠮷[-c-]{+d+}"),
        ("ok 👍🏽 yes", "ok 👎 yes", "ok [-👍🏽-]{+👎+} yes"),
    ],
)
def test_words_and_signs_that_changed_are_marked(before: str, after: str, shown: str) -> None:
    assert plain(before, after) == shown


def test_what_left_is_struck_out_and_what_came_is_underlined_on_a_page() -> None:
    page = differences("a b", "a c")["text/html"]
    assert re.findall(r"<(del|ins) [^>]*>(.)</\1>", page) == [("del", "b"), ("ins", "c")]


def test_texts_stand_beside_each_other_in_a_terminal() -> None:
    shown = side_by_side("the cat sat", "the dog sat\nthere", most=31)["text/plain"]
    assert shown.split("\n") == ["the [-cat-]    │ the {+dog+}", "sat            │ sat{+", "               │ there+}"]


@pytest.mark.parametrize(
    ("before", "after", "shown"),
    [
        (
            "Sum it up in one sentence.",
            "Sum it up in two sentences.",
            "Sum it up in [-one sentence.-]{+two sentences.+}",
        ),
        ("a " * 40 + "cat", "a " * 40 + "dog", "… a a a a a [-cat-]{+dog+}"),
        ("cat" + " a" * 40, "dog" + " a" * 40, "[-cat-]{+dog+} a a a a a …"),
        ("same", "same", "same"),
    ],
)
def test_what_changed_is_told_in_a_line(before: str, after: str, shown: str) -> None:
    assert in_short(before, after) == shown


@pytest.mark.parametrize("differences", [differences, side_by_side])
def test_text_cannot_act(differences: Callable[..., dict[str, str]]) -> None:
    hostile = "<script>alert(1)</script> </div> \x1b[2J &amp; \u202e {+x+} \ud800"
    shown = differences(hostile, "<img src=x onerror=alert(2)>")
    assert "<script" not in shown["text/html"]
    assert "<img" not in shown["text/html"]
    assert "\x1b" not in shown["text/html"] + shown["text/plain"]
    str(shown).encode()


TEXTS = st.text(st.sampled_from(list("ab \n<&[-]{+}你안\u3000，\x00👍")), max_size=30)


@given(TEXTS, TEXTS)
def test_both_texts_are_there_whole(before: str, after: str) -> None:
    page = differences(before, after)["text/html"].partition(">")[2].removesuffix("</div>")
    old = re.sub(r"<ins [^>]*>.*?</ins>", "", page, flags=re.DOTALL)
    new = re.sub(r"<del [^>]*>.*?</del>", "", page, flags=re.DOTALL)
    for text, left in ((before, old), (after, new)):
        assert html.unescape(re.sub(r"</?(?:ins|del)[^>]*>", "", left)) == safe_text.plain(text)


def test_what_would_take_minutes_to_compare_is_shown_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    matchers: list[SequenceMatcher[str]] = []

    class Matcher(SequenceMatcher[str]):
        def __init__(self, *args: Any, **how: Any) -> None:
            super().__init__(*args, **how)
            matchers.append(self)

    monkeypatch.setattr(sys.modules[differences.__module__], "SequenceMatcher", Matcher)
    one = " ".join(f"w{n * n % 1009}" for n in range(15_000))
    other = " ".join(f"w{n * n * n % 1009}" for n in range(15_000))
    assert plain(one, other) == "w0 w1 [-" + one.removeprefix("w0 w1 ") + "-]{+" + other.removeprefix("w0 w1 ") + "+}"
    assert matchers == []
