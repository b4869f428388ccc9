from __future__ import annotations

import json
import re

import pytest
from browser.attacks import ATTACKS, halves, whole
from hypothesis import given
from hypothesis import strategies as st
from test_values import Reader

from glm_magic.chat.messages import ToolCall
from glm_magic.chat.reply import Source
from glm_magic.display.page.folds import LONGEST_SHOWN, CallState, fold_of_call, joined, line_of_call, sources, thoughts
from glm_magic.errors import printable

TAGS = {"details", "summary", "code", "span", "div", "pre", "ol", "li", "a"}
ATTRIBUTES = {"class", "style", "open", "href", "target", "rel"}


def call(name: str = "get", arguments: str = "{}", result: str | None = "ok", **more: bool) -> CallState:
    return CallState(ToolCall("c", name, arguments), result, 1.25, **more)


def calls(shown: list[CallState]) -> dict[str, str]:
    return joined([fold_of_call(each) for each in shown])


def page(shown: CallState) -> Reader:
    return Reader(calls([shown])["text/html"])


def is_harmless(text: str) -> Reader:
    read = Reader(text)
    assert not read.open, "every tag is closed"
    assert not read.others, "no comment, and nothing like it"
    assert set(read.tags) <= TAGS
    assert {name for name, _ in read.attributes} <= ATTRIBUTES
    for name, value in read.attributes:
        assert name != "href" or re.match(r"https?://", value or "", re.IGNORECASE)
    return read


def test_a_call_is_a_line_with_name_arguments_result_and_seconds() -> None:
    shown = call("get_weather", '{"city": "서울", "days": 3}', '{"degrees": 21}')
    line = 'get_weather(city="서울", days=3) → {"degrees": 21} · 1.2 s'
    assert calls([shown])["text/plain"] == line_of_call(shown) == f"[{line}]"
    read = page(shown)
    assert read.tags[:3] == ["div", "details", "summary"]
    assert "".join(read.texts).startswith(line)
    assert '{\n  "city": "서울",\n  "days": 3\n}' in read.texts
    assert '{\n  "degrees": 21\n}' in read.texts


def test_a_call_is_open_where_its_line_does_not_say_all_that_is_to_be_read_before_it_has_a_result() -> None:
    long = json.dumps({"text": "word " * 40})
    for shown, is_open in (
        (call(result=None), False),
        (call(result=None, arguments=long), True),
        (call(result=None, asks=True), True),
        (call(result=None, arguments=long, runs=True), False),
        (call(arguments=long), False),
    ):
        assert (("open", None) in page(shown).attributes) is is_open
    assert "no result yet" not in line_of_call(call(result=None))
    assert "no result yet" in line_of_call(call(result=None, runs=True))


def test_a_call_that_failed_says_so() -> None:
    shown = call(result="KeyError: 'x'", failed=True)
    assert line_of_call(shown) == "[get() failed: KeyError: 'x' · 1.2 s]"
    assert {"error", "failed: KeyError: 'x' · 1.2 s"} <= set(page(shown).texts)
    assert "result" not in page(shown).texts


@pytest.mark.parametrize("arguments", ["", "{", '{"city": "Se', "[1]", '"text"', "null", "[" * 100_000])
def test_arguments_that_are_no_object_stand_as_they_are(arguments: str) -> None:
    shown = call(arguments=arguments)
    assert line_of_call(shown).startswith(f"[get({arguments[:20]}")
    assert len(line_of_call(shown)) < 200
    is_harmless(calls([shown])["text/html"])


def test_what_is_long_is_short_in_the_line_and_cut_below() -> None:
    shown = call(arguments=json.dumps({"x": "a" * 300}), result="b" * (LONGEST_SHOWN + 1500))
    assert len(line_of_call(shown)) < 200
    *_, result = page(shown).texts
    assert result == "b" * LONGEST_SHOWN + "\n… (1,500 more characters)"
    assert len(calls([shown])["text/html"]) < LONGEST_SHOWN + 5000


@pytest.mark.parametrize("name", ATTACKS)
def test_no_attack_is_more_than_text(name: str) -> None:
    attack = whole(name)
    for result, failed in ((None, False), (attack, False), (attack, True)):
        for arguments in (attack, halves(name)[0], json.dumps({attack: attack})):
            shown = call(attack, arguments, result, failed=failed)
            is_harmless(calls([shown, shown])["text/html"])
    is_harmless(thoughts(attack)["text/html"])
    for link in (attack, f"http://a.example/{attack}", f"//{attack}", ""):
        is_harmless(sources([Source(attack, link, attack, attack, attack)])["text/html"])


@given(st.text(), st.text(), st.none() | st.text())
def test_any_text_is_only_text(name: str, arguments: str, result: str | None) -> None:
    shown = calls([call(name, arguments, result)])
    is_harmless(shown["text/html"])
    assert "\n" not in shown["text/plain"]
    assert printable(shown["text/plain"]) == shown["text/plain"]


@given(st.text(), st.text(), st.text())
def test_any_source_is_a_line_and_a_link_to_the_web_at_most(title: str, link: str, media: str) -> None:
    shown = sources([Source(title or "x", link, media)])
    is_harmless(shown["text/html"])
    assert len(shown["text/plain"].splitlines()) == 2


def test_a_source_says_the_host_that_its_link_leads_to() -> None:
    shown = sources([Source("https://bank.example", "https://a.example/x?y=1&z", "News", "2026-01-01")])
    read = is_harmless(shown["text/html"])
    assert ("href", "https://a.example/x?y=1&z") in read.attributes
    assert read.texts == ["Sources · 1", "https://bank.example · ", "a.example", " · News · 2026-01-01"]
    assert shown["text/plain"].endswith("1. https://bank.example · https://a.example/x?y=1&z · News · 2026-01-01")


@pytest.mark.parametrize(
    ("link", "host"),
    [
        ("https://bank.example@a.example/", ""),  # a user before the host is there to mislead
        ("https://bank.example:x@a.example/", ""),
        ("http://a^/../../y.ipynb", ""),  # what a browser cannot parse it takes for a file beside the page
        ("www.a^/../../y.ipynb", ""),
        ("HTTPS://A.example/", "a.example"),
        ("javascript:alert(1)//https://a.example", ""),
        ("data:text/html,x", ""),
        ("//a.example/x", ""),
        ("https:///x", ""),
        ("https://[::1", ""),
        ("ftp://a.example", ""),
    ],
)
def test_a_link_is_one_to_the_web_and_names_its_host(link: str, host: str) -> None:
    read = is_harmless(sources([Source("A title", link)])["text/html"])
    assert ("a" in read.tags) is bool(host)
    assert host in read.texts or not host


@pytest.mark.parametrize(
    "link",
    [
        "http://a.example\\@bank.example/",
        "http://a.example\\.bank.example/",
        "http://a.example/\\@bank.example/",
        "https:\\\\a.example\\@bank.example",
        "https:a.example/@bank.example",
    ],
)
def test_a_link_that_browsers_read_in_another_way_names_no_other_host(link: str) -> None:
    assert not any(
        "bank.example" in text for text in is_harmless(sources([Source("A title", link)])["text/html"]).texts
    )
