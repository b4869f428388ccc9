from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import pytest
from browser.attacks import ATTACKS, whole
from hypothesis import given
from hypothesis import strategies as st

from glm_magic.display.safe_text import NO_MATHS
from glm_magic.display.values import DEEPEST, LONGEST_TEXT, MOST_IN_ONE, MOST_SHOWN, value_data
from glm_magic.errors import printable

CITIES = [
    {"name": "Paris", "population": 2_102_650, "capital": True, "tags": ["river", "art"]},
    {"name": "北京市", "population": 21_893_095, "founded": None, "tags": []},
]
TAGS = {"div", "table", "thead", "tbody", "tr", "th", "td", "ul", "li", "details", "summary", "span", "small", "p"}
ATTRIBUTES = {"class", "style", "scope", "open"}


class Reader(HTMLParser):
    """Takes HTML as a browser does, and notes every tag, attribute and text in it."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: set[tuple[str, str | None]] = set()
        self.texts: list[str] = []
        self.others: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.open.append(tag)
        self.attributes |= set(attrs)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)

    def handle_comment(self, data):
        self.others.append(data)

    handle_decl = handle_pi = unknown_decl = handle_comment


def page(value) -> Reader:
    return Reader(value_data(value)["text/html"])


def text(value) -> str:
    return value_data(value)["text/plain"]


def table(value) -> list[list[str]]:
    shown = value_data(value)["text/html"]
    assert shown.count("<table") == 1
    rows = re.findall("<tr.*?</tr>", shown, re.DOTALL)
    return [["".join(Reader(cell).texts) for cell in re.findall("<t[hd] .*?</t[hd]>", row, re.DOTALL)] for row in rows]


# --- how it is shown -------------------------------------------------------------------------


def test_a_value_is_for_a_page_and_for_a_terminal():
    assert set(value_data(1)) == {"text/html", "text/plain"}


def test_a_list_of_flat_records_is_a_table():
    assert table(CITIES) == [
        ["name", "population", "capital", "tags", "founded"],
        ["Paris", "2102650", "true", "river, art", ""],
        ["北京市", "21893095", "", "[]", "null"],
    ]


def test_an_object_of_single_values_is_a_table_of_two_columns():
    assert table(CITIES[0]) == [
        ["name", "Paris"],
        ["population", "2102650"],
        ["capital", "true"],
        ["tags", "river, art"],
    ]


def test_what_is_nested_is_a_tree_with_tables_in_it():
    shown = page({"title": "Cities", "cities": CITIES, "more": {"deeper": {"a": {"b": 1}}}})
    assert shown.tags.count("details") == 4
    assert shown.tags.count("table") == 1
    assert "2 entries" in shown.texts
    assert "1 property" in shown.texts


def test_names_and_values_stand_apart_also_where_styles_are_taken_out():
    assert "".join(page({"title": "Tides", "causes": [{"moon": {"a": 1}}]}).texts).startswith(
        "title Tidescauses  1 entry"
    )


def test_only_the_upper_levels_of_a_tree_are_open_and_no_long_list_is():
    shown = value_data({"a": {"b": {"c": {"d": {"e": 1}}}}})["text/html"]
    assert [bool(is_open) for is_open in re.findall("<details( open)?", shown)] == [True, True, False, False]
    shown = value_data({"many": [[number] for number in range(50)], "few": [[1], [2]]})["text/html"]
    named = dict(map(reversed, re.findall(r"<details( open)?[^>]*><summary[^>]*><span[^>]*>([a-z]+)<", shown)))
    assert named == {"many": "", "few": " open"}


@pytest.mark.parametrize(
    ("value", "seen"),
    [(3.5, "3.5"), ("a b", "a b"), (None, "null"), (True, "true"), ("", '""'), (" ", '" "'), ([], "[]"), ({}, "{}")],
)
def test_a_single_value_is_shown_as_it_is(value, seen):
    assert "".join(page(value).texts) == seen


def test_the_text_is_json_that_people_can_read():
    value = {"name": "北京市", "tags": ["a", {"b": None}], "empty": [], "x": 0.1, "quote": 'a "b"\n'}
    assert text(value) == json.dumps(value, indent=2, ensure_ascii=False)


def test_a_page_reads_no_maths_in_a_value():
    assert ("class", NO_MATHS) in page({"price": "$5 and $6"}).attributes


# --- bounds ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        list(range(100_000)),
        {str(number): number for number in range(100_000)},
        [{"a": number, "b": "x"} for number in range(100_000)],
        {"rows": [[number] * 50 for number in range(2_000)]},
        [["x" * 5_000] * 100] * 100,
        ["x" * 1_000_000] * 100,
        [{str(number): "x" * 9_000 for number in range(20)}] * 200,
    ],
)
def test_a_large_value_is_cut_and_says_so(value):
    data = value_data(value)
    assert len(data["text/html"]) < 1_000_000
    assert len(data["text/plain"]) < 1_000_000
    assert re.search(r"… [\d,]+ more", data["text/html"])
    assert re.search(r"… [\d,]+ more", data["text/plain"])


def test_what_is_cut_is_counted():
    for shown in value_data(list(range(MOST_IN_ONE + 1000))).values():
        assert "… 1,000 more of 1,200" in shown
    assert "… 1,000 more of 1,200" in value_data([{"a": 1}] * 1200)["text/html"]
    assert MOST_SHOWN > MOST_IN_ONE


def test_a_value_within_the_bounds_is_whole():
    value = [list(range(MOST_IN_ONE))] * 5
    assert json.loads(text(value)) == value
    assert "…" not in value_data(value)["text/html"]


def test_a_thousand_levels_are_cut_and_say_so():
    deep = flat = None
    for _ in range(1000):
        deep, flat = {"next": deep, "list": [1]}, [flat]
    for value in (deep, flat):
        data = value_data(value)
        assert data["text/html"].count("<details") <= 2 * DEEPEST
        assert "nested too deeply to show" in data["text/html"]
        assert "nested too deeply to show" in data["text/plain"]


def test_a_long_text_is_cut_and_says_so():
    for shown in value_data("x" * (LONGEST_TEXT + 5)).values():
        assert "x … (5 more characters)" in shown


def test_a_number_that_python_does_not_write_is_named():
    assert text(10**5000) == "a number of 16,610 bits"


def test_a_value_that_holds_itself_is_cut():
    value: list = [1]
    value.append(value)
    assert "nested too deeply to show" in text(value)


# --- nothing acts ----------------------------------------------------------------------------


def assert_harmless(value) -> None:
    data = value_data(value)
    shown = Reader(data["text/html"])
    assert set(shown.tags) <= TAGS
    assert not shown.others
    assert not shown.open
    assert {name for name, _ in shown.attributes} <= ATTRIBUTES
    assert not [
        style for name, style in shown.attributes if name == "style" and not re.fullmatch(r"[\w\s:;,.%#()-]*", style)
    ]
    for written in data.values():
        assert not re.search(
            "[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]", written
        )


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_is_only_text(name):
    attack = whole(name)
    for value in (attack, {attack: attack}, [{attack: attack}], [attack], {"a": {attack: [attack, {"b": [[attack]]}]}}):
        assert_harmless(value)
    assert page({"a": attack}).texts == ["a", printable(attack)]


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats()
        | st.text()
        | st.sampled_from(["<b>", "&lt;", '"', "</td>", "\x1b[2J"]),
        lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.sampled_from(["<i>", "'\">"]), inner),
    )
)
def test_no_value_has_tags_of_its_own(value):
    assert_harmless(value)
