import pytest

from glm_magic.protocol.tokens import Calibration, Estimate, wide_characters


def test_wide_characters_are_counted_one_by_one():
    assert [wide_characters(text) for text in ("", "abc", "héllo", "中文 abc 한", "👍")] == [0, 0, 0, 3, 1]


def test_an_estimate_that_was_never_compared_says_so_and_may_be_far_off():
    assert Calibration().estimate(1000) == Estimate(1000, 0.5)
    assert str(Estimate(1000)) == "about 1,000 tokens (±50%, not yet compared with a count of this model)"
    assert Estimate(1000).least == 500


def test_counts_correct_the_estimate_and_give_its_error():
    learnt = Calibration()
    for size in (2000, 3000, 4000, 5000):
        learnt = learnt.learnt(size, round(size * 0.6))
    estimate = learnt.estimate(10_000)
    assert estimate.tokens == pytest.approx(6000, rel=0.03)
    assert estimate.is_checked
    assert estimate.error < 0.05
    assert str(estimate) == f"about {estimate.tokens:,} tokens (±{estimate.error:.0%})"


def test_a_short_prompt_says_little_about_a_long_one():
    estimate = Calibration().learnt(5, 30).estimate(10_000)
    assert estimate.tokens == pytest.approx(10_000, rel=0.06)
    assert estimate.error == pytest.approx(25 / 30), "it was off that far, and says so"


def test_the_error_is_that_of_counts_estimated_from_the_others():
    scattered = Calibration(((1000, 500), (1000, 1500)))
    assert 0.4 < scattered.estimate(1000).error < 1


def test_counts_of_nothing_teach_nothing():
    assert Calibration(((0, 0),)).estimate(100) == Estimate(100, 0.5, is_checked=True)


def test_the_latest_counts_are_kept():
    learnt = Calibration()
    for _ in range(150):
        learnt = learnt.learnt(1000, 1000)
    assert len(learnt.counts) == 100
