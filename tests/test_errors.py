import pickle

import pytest

from glm_magic import errors
from glm_magic.errors import GlmError, Interrupted, OptionError, ServiceError, Withdrawn, printable, quoted, summed_up


@pytest.mark.parametrize(
    "text",
    [
        "\x1b[31mred",
        "bell\x07",
        "back\x08space",
        "over\rwritten",
        "c1 \x9b31m",
        "bidi \u202eoverride\u2066",
        "lines \u2028 \u2029",
        "half \ud83d",
    ],
)
def test_what_acts_upon_a_terminal_is_not_printable(text):
    clean = printable(text)
    assert clean != text
    assert not set(clean) & set("\x1b\x07\x08\r\x9b\u202e\u2066\u2028\u2029\ud83d")


@pytest.mark.parametrize("control", [chr(code) for code in [*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029]])
def test_a_control_character_leaves_a_gap_where_it_stood(control):
    assert printable(f"one{control}two").split() == ["one", "two"]


def test_what_starts_a_new_line_somewhere_is_a_newline():
    assert printable("one\rtwo\x0bthree\u2028four\x85five\x0csix\u2029seven\r\neight").split("\n") == [
        *("one", "two", "three", "four", "five", "six", "seven", "eight")
    ]


def test_half_a_character_leaves_the_mark_of_one():
    assert printable("half \ud83d") == "half \ufffd"


def test_printable_text_keeps_tabs_newlines_and_every_language():
    text = "a\tb\n中文 العربية 😀 é"
    assert printable(text) == text
    assert printable("a\r\nb") == "a\nb"


def test_quoted_text_is_one_line():
    assert quoted("  two\n lines\t\x1b") == "two lines"


def test_quoted_text_is_at_most_600_characters():
    assert len(quoted("x" * 600)) == 600
    assert quoted("x" * 600).endswith("x")
    assert len(quoted("x" * 601)) == 600
    assert quoted("x" * 601).endswith("…")


def test_an_error_reads_as_what_happened_and_what_to_do():
    assert str(GlmError("It broke.", "Mend it.")) == "It broke.\nMend it."
    assert str(GlmError("It broke.")) == "It broke."


def test_an_error_is_shown_as_a_few_lines_and_no_traceback():
    error = OptionError("No option --x.", "Did you mean -t?\nOr -p?")
    assert error._render_traceback_() == ["OptionError: No option --x.", "Did you mean -t?", "Or -p?"]


def test_an_error_cannot_act_upon_the_terminal():
    error = GlmError("a\x1b[2J", "b\x1b[2J")
    assert "\x1b" not in str(error) + "".join(error._render_traceback_())


def test_texts_are_summed_up_after_the_first_ten():
    assert summed_up([]) == ()
    assert summed_up([*"abcdefghij"]) == (*"abcdefghij",)
    assert summed_up([*"abcdefghijkl"]) == (*"abcdefghij", "and 2 more")


def test_an_interrupt_is_not_swallowed_by_except_exception():
    assert issubclass(Interrupted, KeyboardInterrupt)
    assert not issubclass(Interrupted, Exception)
    assert Interrupted("Stopped.")._render_traceback_() == ["Interrupted: Stopped."]


def test_a_service_error_survives_pickling():
    error = ServiceError("No.", "Wait.", status=429, code="1302", request_id="r")
    error.retry_after = 2.0
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), copy.status, copy.code, copy.request_id, copy.retry_after) == (str(error), 429, "1302", "r", 2.0)


def test_the_tree_in_the_docstring_is_the_tree_of_the_classes():
    classes = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, BaseException) and name[0].isupper()
    }
    assert set(errors.__doc__.split()) & classes == classes


def test_a_withdrawn_answer_is_asked_and_without_a_part():
    assert isinstance(Withdrawn("x"), errors.AnswerError)
    assert Withdrawn("x").partial is None
