"""The sentences of verdicts."""

from __future__ import annotations

import pytest

from glm_magic.comparing.sentences import sentence, signed
from glm_magic.comparing.verdict import Verdict, paired

BETTER = Verdict(0.18, 0.06, 0.29, 40, "better", repeats=2, spread=0.4)


def said(verdict: Verdict, **options: object) -> str:
    return sentence(verdict, name="B", baseline="A", score="right", **options)  # type: ignore[arg-type]


def test_a_verdict_names_the_winner_the_interval_and_the_units() -> None:
    assert said(BETTER) == "B beats A: right +0.18 (95%: +0.06 to +0.29, 40 rows × 2)."
    worse = Verdict(-0.18, -0.29, -0.06, 40, "worse", spread=0.4)
    assert said(worse) == "B is beaten by A: right −0.18 (95%: −0.29 to −0.06, 40 rows)."


def test_what_is_undecided_says_how_much_more_it_takes() -> None:
    unclear = Verdict(0.03, -0.08, 0.14, 1200, spread=0.4)
    assert said(unclear, more="about 80 more requests would tell") == (
        "B: no difference shown, right +0.03 (95%: −0.08 to +0.14, 1,200 rows); about 80 more requests would tell."
    )
    equal = Verdict(0.003, -0.04, 0.05, 40, "equal", margin=0.1, spread=0.4)
    assert said(equal) == "B equals A within ±0.1: right +0.003 (95%: −0.040 to +0.050, 40 rows)."


def test_a_level_that_columns_share_is_said_as_that_of_all_together() -> None:
    assert "(95%:" in said(Verdict(0.18, 0.06, 0.29, 40, "better", level=1 - 0.05 / 3, spread=0.4), columns=3)
    assert "(90%:" in said(Verdict(0.18, 0.06, 0.29, 40, "better", level=0.9, spread=0.4))


def test_the_only_row_is_named_as_such() -> None:
    assert said(Verdict(0.6, 0.1, 1.0, 10, "better", repeats=10, is_one_row=True, spread=0.5)) == (
        "B beats A on the one row: right +0.60 (95%: +0.10 to +1.00, 10 repeats each, not paired)."
    )


@pytest.mark.parametrize(
    ("verdict", "text"),
    [
        (paired([], []), "B: nothing to compare with A."),
        (paired([[0.0]], [[1.0]]), "B: too few to say (1 repeat each, not paired)."),
        (paired([[0.0]] * 3, [[1.0]] * 3), "B: too few to say (3 rows)."),
        (paired([[0.0]] * 9, [[1.0]] * 9, anytime=True), "B: too few to say (9 rows, the first look is at 20)."),
        (
            paired([[3.0]] * 9, [[8.0]] * 9),
            "B: right differs from A by +5.00 everywhere, so there is no interval (9 rows).",
        ),
        (Verdict(0.2, None, None, 9, why="no scipy"), "B: right +0.20 (9 rows), undecided without scipy."),
    ],
)
def test_what_cannot_be_said_has_its_reason(verdict: Verdict, text: str) -> None:
    assert said(verdict) == text


def test_no_spread_is_said() -> None:
    assert said(paired([[0.0]] * 10, [[1.0]] * 10)) == (
        "B beats A: right +1.00 (95%: +0.31 to +1.00, 10 rows), the same difference everywhere."
    )
    assert said(paired([[1.0]] * 10, [[1.0]] * 10)) == (
        "B: no difference shown, right 0.00 (95%: −0.34 to +0.34, 10 rows), the same difference everywhere."
    )


def test_numbers_have_the_same_decimals_and_a_sign() -> None:
    assert signed(0.18, -0.064, 0.0001) == ["+0.18", "−0.06", "0.00"]
    assert signed(0.00031, -0.00002) == ["+0.00031", "−0.00002"]
    assert signed(1234.5, -2) == ["+1234", "−2"]
    assert signed(0) == ["0.00"]
