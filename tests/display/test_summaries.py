from __future__ import annotations

import pytest

from glm_magic.display.grid import Answer, Column, Interval, Score
from glm_magic.display.summaries import Summary, number, of_cell, of_difference, of_score, places, scale, signed


def done(*texts: str) -> list[Answer]:
    return [Answer(text, "done") for text in texts]


def scored(*scores: Score) -> Summary:
    return of_cell([Answer("x", "done", scores={"s": score}) for score in scores], "s")


@pytest.mark.parametrize(
    ("texts", "shown", "marks"),
    [
        (("a",), 0, ()),
        (("a", "a "), 0, ("2 alike",)),
        (("a", "b", "b"), 1, ("2 of 3 alike",)),
        (("a", "b"), 0, ("2 differ",)),
        (("", ""), 0, ("2 alike",)),
        ((), 0, ()),
    ],
)
def test_equal_answers_are_counted(texts: tuple[str, ...], shown: int, marks: tuple[str, ...]) -> None:
    assert of_cell(done(*texts)) == Summary(shown, None, marks)


def test_a_picked_answer_stands_for_the_cell() -> None:
    assert of_cell([*done("a", "a"), Answer("b", "done", is_picked=True)]) == Summary(
        2, None, ("2 of 3 alike", "picked")
    )


def test_while_nothing_is_done_the_answer_that_has_begun_is_shown() -> None:
    assert of_cell([Answer(), Answer("so", "running"), Answer()]).shown == 1


def test_how_many_have_failed_is_said_where_others_have_not() -> None:
    failed = Answer(state="failed")
    assert of_cell([failed, failed]).marks == ()
    assert of_cell([failed, *done("a")]) == Summary(1, None, ("1 of 2 failed",))


@pytest.mark.parametrize(
    ("scores", "mark", "value"),
    [
        ((True, True), "✓", 1.0),
        ((False,), "✗", 0.0),
        ((True, False), "1/2 ✗", 0.5),
        ((0.5, 1), "0.75", 0.75),
        ((None, 0.5), "0.50", 0.5),
        (("ValueError: no\nnumber",), "ValueError: no number", None),
        (("broken", 1.0), "1.00, broken", 1.0),
    ],
)
def test_a_score_is_said(scores: tuple[Score, ...], mark: str, value: float | None) -> None:
    summary = scored(*scores)
    assert (summary.marks[-1], summary.value) == (mark, value)


def test_nothing_scored_says_nothing() -> None:
    assert scored(None) == Summary(0, None, ())


def test_judgements_are_said() -> None:
    assert of_cell([Answer("x", "done", rating=4, note="so\nso")]).marks == ("rated 4", "note: so so")


@pytest.mark.parametrize(
    ("value", "text"), [(0.714, "0.71"), (0, "0.00"), (0.0012, "0.0012"), (123.4, "123.4"), (-2.0, "-2.00")]
)
def test_numbers_are_short(value: float, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(("value", "text"), [(0.18, "+0.18"), (-0.2, "−0.20"), (0.0, "±0.00")])
def test_differences_have_a_sign(value: float, text: str) -> None:
    assert signed(value) == text


def test_a_score_without_an_interval_is_its_mean() -> None:
    assert of_score(Column("A", (), score=Interval(0.5), score_name="right")) == "right 0.50"
    assert of_score(Column("A", ())) == ""


def test_a_difference_is_told_by_sign_and_word() -> None:
    better = Column("B", (), difference=Interval(0.18, 0.06, 0.29), verdict="better")
    assert of_difference(better) == "+0.18 (+0.06 to +0.29) ▲ better"
    assert of_difference(Column("B", (), verdict="too few to say")) == "too few to say"


def test_scores_are_drawn_on_one_scale() -> None:
    columns = [Column("A", (), score=Interval(2, 1, 3)), Column("B", (), score=Interval(-1))]
    assert scale(columns) == (-1.0, 3)
    assert places(Interval(2, 1, 3), scale(columns)) == (50.0, 75.0, 100.0)
    assert scale([Column("A", ())]) == (0.0, 1.0)
