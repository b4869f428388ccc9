import pytest

from glm_magic.display.tables import shorten, table, width


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


def test_a_cell_that_is_long_or_has_lines_is_one_short_line_in_a_terminal():
    assert "one two" in plain("T", ("a",), [("one\n\n two",)])
    assert "x" * 59 + "…" in plain("T", ("a",), [("x" * 61,)])
    assert "x" * 60 not in plain("T", ("a",), [("x" * 61,)])


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
