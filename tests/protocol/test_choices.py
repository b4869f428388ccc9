import pytest

from glm_magic.protocol.choices import Choices


def answer(*chunks):
    """The text of the answer; a chunk is a list of index and text, with a finish reason if the text ends with a dot."""
    picker, picked = Choices(), []
    for chunk in chunks:
        for choice in picker.pick([{"index": index, "text": text} for index, text in chunk]):
            picked.append(choice["text"])
            if choice["text"].endswith("."):
                picker.end()
    return "".join([*picked, *(choice["text"] for choice in picker.rest())])


def alone(*choices):
    """Chunks of one choice each."""
    return [[choice] for choice in choices]


@pytest.mark.parametrize(
    "chunks",
    [
        [[(0, "a"), (1, "x")], [(0, "b"), (1, "y")]],
        [[(1, "x"), (0, "a")], [(1, "y"), (0, "b")]],
        [[(1, "x"), (0, "a")], [(1, "y")], [(0, "b")]],
        alone((0, "a"), (1, "x"), (0, "b"), (1, "y")),
        alone((0, "a"), (1, "x"), (2, "z"), (0, "b"), (1, "y"), (2, "z")),
        alone((1, "x"), (0, "a"), (1, "y"), (0, "b")),
        alone((0, "a"), (0, "b."), (1, "x"), (1, "y.")),
        alone((0, "a"), (1, "x"), (1, "y."), (0, "b.")),
        alone((0, "ab."), (1, "xy.")),
        [[(0, "a")], [(0, "b"), (1, "x")], [(1, "y")]],
    ],
)
def test_an_answer_is_the_choice_of_index_0(chunks):
    assert answer(*chunks).rstrip(".") == "ab"


@pytest.mark.parametrize(
    "chunks",
    [
        alone((1, "a"), (1, "b")),
        alone((1, "ab")),
        alone((2, "a"), (1, "x"), (2, "b"), (1, "y")),
        [[(2, "a"), (1, "x")], [(1, "y"), (2, "b")]],
        alone((None, "a"), (None, "b")),
        alone((None, "a"), (0, "b")),
        alone(("0", "a"), (0.0, "b"), ("1", "")),
    ],
)
def test_without_index_0_it_is_the_first_index_seen(chunks):
    assert answer(*chunks) == "ab"


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("length", [1, 2, 3, 8, 9, 30])
@pytest.mark.parametrize("step", [1, 3])
def test_an_index_that_counts_tokens_is_of_one_answer(first, length, step):
    text = "abcdefghijklmnopqrstuvwxyzABCD"[:length]
    chunks = [(first + step * at, letter) for at, letter in enumerate(text)]
    assert answer(*alone(*chunks)) == text
    assert answer(*alone((first, ""), *chunks)) == text


def test_tokens_that_are_counted_are_not_held_back_for_long():
    picker = Choices()
    assert sum(len(picker.pick([{"index": at}])) for at in range(20)) == 20


def test_what_is_no_choice_is_none():
    assert Choices().pick([None, 7, "x", []]) == []
