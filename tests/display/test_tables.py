import pytest
from hypothesis import given
from hypothesis import strategies as st

from glm_magic.display.tables import shorten, table, width, wrapped


def plain(*args, **kwargs):
    return table(*args, **kwargs)["text/plain"]


def test_a_table_is_for_a_page_and_for_a_terminal():
    assert set(table("T", ("a",), [("1",)])) == {"text/html", "text/plain"}


def test_the_columns_of_a_terminal_are_lined_up():
    assert plain("Title", ("name", "x"), [("a", "1"), ("longer", "22")], "Note.").split("\n") == [
        "Title",
        "name    x",
        "----------",
        "a       1",
        "longer  22",
        "Note.",
    ]


def test_wide_characters_count_twice():
    assert width("ab中文") == 6
    assert plain("T", ("a", "b"), [("中文", "x"), ("abcd", "y")]).split("\n")[-2:] == ["中文  x", "abcd  y"]


def test_a_table_without_rows_has_its_head():
    assert plain("T", ("a", "b"), []) == "T\na  b\n----"


def test_a_cell_that_has_lines_is_one_line_in_a_terminal_and_a_very_long_one_is_shortened():
    assert "one two" in plain("T", ("a",), [("one\n\n two",)])
    shown = plain("T", ("a",), [("x" * 401,)])
    assert (shown.count("x"), shown[-1]) == (399, "…")


def test_columns_give_way_until_they_fit_into_a_terminal():
    rows = [("model", "GLM-4-Air", "the model that answers the questions of all cells"), ("x", "다" * 20, "")]
    for most in (30, 40, 80):
        columns, note = ("setting", "value", "meaning"), "A note. " * 9
        shown = plain("A title that is long, as titles go", columns, rows, note, most=most)
        assert max(map(width, shown.split("\n"))) <= most
        assert shown.count("다") == 20
        assert all(word in shown for word in ("GLM-4-Air" if most > 30 else "GLM", "answers", "questions"))


@given(st.text(st.sampled_from(list("ab 다\n")), max_size=60), st.integers(2, 20))
def test_what_is_wrapped_is_whole_and_fits(text, most):
    lines = wrapped(text, most)
    assert max(map(width, lines)) <= most
    assert "".join(lines).replace(" ", "") == text.replace(" ", "").replace("\n", "")


@pytest.mark.parametrize(("text", "most", "short"), [("abc", 3, "abc"), ("abcd", 3, "ab…"), (" a \n b ", 60, "a b")])
def test_a_text_is_shortened_to_one_line(text, most, short):
    assert shorten(text, most) == short


def test_every_text_is_only_text_on_a_page():
    evil = '<img src=x onerror="alert(1)">&'
    shown = table(evil, (evil,), [(evil,)], evil)["text/html"]
    assert "<img" not in shown
    assert shown.count("&lt;img src=x onerror=&quot;alert(1)&quot;&gt;&amp;") == 4


def test_no_text_can_act_upon_a_terminal():
    evil = "a\x1b[2Jb\x07"
    for shown in table(evil, (evil,), [(evil,)], evil).values():
        assert "\x1b" not in shown
        assert "\x07" not in shown
        assert shown.count("a [2Jb") == 4


def test_a_page_shows_the_whole_of_a_long_cell():
    assert "x" * 500 in table("T", ("a",), [("x" * 500,)])["text/html"]
