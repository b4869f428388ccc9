"""What scores may claim. The simulations are seeded, and as large as a few seconds allow.

Each worker imports every module of tests, and scipy takes a second, so the tests import what they need of it.
"""

from __future__ import annotations

import builtins
import math
from collections.abc import Callable

import numpy as np
import pytest

from glm_magic.comparing import intervals
from glm_magic.comparing.verdict import (
    FIRST_LOOK,
    Estimate,
    Rows,
    Verdict,
    interval,
    more_needed,
    paired,
    shared_level,
)

GRIDS = 2_000


def rows(values: np.ndarray) -> Rows:
    return [[float(value)] for value in values]


def against_zero(differences: np.ndarray, **options: object) -> Verdict:
    """Return the verdict on a column that differs so from one whose scores vary as well."""
    before = np.linspace(0, 1, len(differences))
    return paired(rows(before), rows(before + differences), **options)  # type: ignore[arg-type]


def ends(found: Verdict | Estimate) -> tuple[float, float]:
    assert found.low is not None
    assert found.high is not None
    return found.low, found.high


def noise(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


# --- paired -------------------------------------------------------------------------------------


def test_a_clear_difference_is_better_and_its_opposite_is_worse() -> None:
    better = against_zero(0.5 + 0.2 * noise(1, 30))
    worse = against_zero(-0.5 + 0.2 * noise(1, 30))
    assert better.decided == "better"
    assert worse.decided == "worse"
    assert 0.3 < ends(better)[0] < 0.5
    assert better.units == 30


def test_under_five_units_nothing_is_decided() -> None:
    four = paired([[0.0]] * 4, [[1.0]] * 4)
    assert (four.mean, four.low, four.high, four.decided, four.why) == (1.0, None, None, "undecided", "too few")
    assert paired([], []).mean is None


def test_rows_that_one_column_lacks_are_left_out() -> None:
    lacks = paired([[0.0], [None], [], [math.nan], [0.5]], [[1.0], [1.0], [1.0], [1.0], [0.5, None]])
    assert (lacks.units, lacks.mean) == (2, 0.5)


def test_columns_of_different_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="same rows"):
        paired([[1.0]], [[1.0], [0.0]])


@pytest.mark.parametrize("options", [{"level": 1.0}, {"level": 95}, {"margin": 0.0}, {"margin": -1.0}])
def test_a_level_or_margin_out_of_range_is_refused(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        paired([[1.0]], [[1.0]], **options)


def test_below_20_rows_the_interval_is_t_over_the_rows_means() -> None:
    from scipy.stats import ttest_1samp

    differences = noise(2, 12)
    found = against_zero(differences, level=0.9)
    expected = ttest_1samp(differences, 0).confidence_interval(0.9)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert found.method == "t"


def test_from_20_rows_on_rows_are_resampled_and_always_alike() -> None:
    differences = noise(3, 40)
    assert against_zero(differences).method == "bootstrap"
    assert against_zero(differences) == against_zero(differences)


def test_copies_of_an_answer_are_no_evidence() -> None:
    before, after = noise(4, 2, 25)
    once = paired(rows(before), rows(after))
    copied = paired([[score] * 50 for score in before], [[score] * 50 for score in after])
    assert (copied.low, copied.high, copied.units) == pytest.approx((once.low, once.high, once.units))


def test_a_pair_is_equal_where_the_whole_interval_lies_within_the_margin() -> None:
    small = 0.01 * noise(5, 30)
    assert against_zero(small, margin=0.1).decided == "equal"
    assert against_zero(small).decided == "undecided"
    assert against_zero(small + 0.05, margin=0.1).decided == "equal"
    assert against_zero(small + 0.05).decided == "better"
    assert against_zero(small + 0.2, margin=0.1).decided == "better"


def test_the_repeats_of_the_only_row_are_units_and_not_paired() -> None:
    from scipy.stats import ttest_ind

    before, after = noise(6, 2, 9)
    found = paired([list(before)], [list(after[:7])])
    expected = ttest_ind(after[:7], before, equal_var=False).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert (found.units, found.method, found.is_one_row) == (7, "welch", True)


def test_one_row_that_always_passes_is_no_certainty() -> None:
    found = paired([[0.0] * 8], [[1.0] * 8])
    assert found.decided == "better"
    assert 0.3 < ends(found)[0] < 0.7
    assert paired([[1.0] * 8], [[1.0] * 8]).decided == "undecided"


# --- no spread ----------------------------------------------------------------------------------


def test_pass_or_fail_without_spread_is_no_certainty() -> None:
    same = paired([[1.0]] * 20, [[1.0]] * 20)
    assert ends(same) == pytest.approx((-0.2, 0.2), abs=0.05)
    assert same.decided == "undecided"
    always = paired([[0.0]] * 20, [[1.0]] * 20)
    assert ends(always) == pytest.approx((0.6, 1), abs=0.05)
    assert (always.decided, always.method) == ("better", "wilson")


def test_five_of_five_differences_could_be_luck() -> None:
    """A column that is no better wins or loses all five in one case of 16."""
    assert paired([[0.0]] * 5, [[1.0]] * 5).decided == "undecided"
    assert paired([[0.0]] * 6, [[1.0]] * 6).decided == "better"


def test_other_scores_without_spread_have_no_interval() -> None:
    found = paired([[3.0]] * 30, [[8.0]] * 30)
    assert (found.mean, found.low, found.decided, found.why) == (5.0, None, "undecided", "no spread")
    rounded = paired([[0.1 + 0.2]] * 30, [[1.0]] * 15 + [[0.7 + 0.3]] * 15)
    assert (rounded.why, rounded.spread) == ("no spread", 0)


# --- coverage -----------------------------------------------------------------------------------

DRAWS: dict[str, Callable[[np.random.Generator, tuple[int, int]], np.ndarray]] = {
    "normal": lambda rng, shape: rng.normal(0.3, 1, shape),
    "skewed": lambda rng, shape: rng.gamma(2, 1, shape),
    "pass or fail": lambda rng, shape: (rng.random(shape) < 0.7) * 1.0 - (rng.random(shape) < 0.5),
}
MEANS = {"normal": 0.3, "skewed": 2.0, "pass or fail": 0.2}


@pytest.mark.parametrize("units", [6, 12, 20, 40])
@pytest.mark.parametrize("kind", DRAWS)
def test_the_interval_holds_the_truth_about_as_often_as_it_says(kind: str, units: int, monkeypatch) -> None:
    monkeypatch.setattr(intervals, "_RESAMPLES", 999)
    grids = 400
    draws = DRAWS[kind](np.random.default_rng(units), (grids, units))
    held = 0
    for differences in draws:
        # each row is asked three times, and its answers are copies of each other
        found = paired([[0.0] * 3] * units, [[float(value)] * 3 for value in differences])
        low, high = ends(found)
        held += low <= MEANS[kind] <= high
    assert held / grids >= 0.91


def test_few_passes_that_changed_decide_little(monkeypatch) -> None:
    """The chance of a false decision, counted out: a row of 40 passes in one column alone with the chance `share`."""
    monkeypatch.setattr(intervals, "_RESAMPLES", 999)
    rows_, share = 40, 0.05
    chance = 0.0
    for won in range(13):
        for lost in range(13):
            changed = [1.0] * won + [-1.0] * lost + [0.0] * (rows_ - won - lost)
            if paired([[0.0]] * rows_, [[change] for change in changed]).decided != "undecided":
                ways = math.comb(rows_, won) * math.comb(rows_ - won, lost)
                chance += ways * share ** (won + lost) * (1 - 2 * share) ** (rows_ - won - lost)
    assert 0.02 < chance < 0.055  # resampled it would be 10%


# --- at all times -------------------------------------------------------------------------------


def looks(scores: np.ndarray, level: float) -> np.ndarray:
    """Whether an anytime interval excludes 0, by grid, column and look: what `paired` says, for many grids at once.

    `scores` are by grid, row and column; the first column is the baseline.
    """
    differences = scores[:, :, 1:] - scores[:, :, :1]
    counts = np.arange(1, scores.shape[1] + 1).reshape(1, -1, 1)
    sums, squares = differences.cumsum(axis=1), (differences**2).cumsum(axis=1)
    variances = np.maximum(squares - sums**2 / counts, 0) / np.maximum(counts - 1, 1)
    reach = np.array([intervals.multiplier(units, level) for units in counts.ravel()]).reshape(1, -1, 1)
    decided = np.abs(sums / counts) > reach * np.sqrt(variances / counts)
    decided &= variances > 1e-12  # without spread it is Wilson's interval, and 20 of 20 are no luck
    return decided[:, FIRST_LOOK - 1 :]


GRIDS_OF: dict[str, Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]] = {
    "normal": lambda rng, shape: rng.normal(size=shape),
    "skewed": lambda rng, shape: rng.exponential(size=shape),
    "pass or fail": lambda rng, shape: (rng.random(shape) < 0.6) * 1.0,
    "nearly always a pass": lambda rng, shape: (rng.random(shape) < 0.95) * 1.0,
    # a row is easy or hard for all columns, and twice asked
    "of the same rows": lambda rng, shape: rng.binomial(2, rng.beta(0.5, 0.5, (*shape[:-1], 1)), size=shape) / 2,
}


@pytest.mark.parametrize("columns", [1, 3])
@pytest.mark.parametrize("kind", GRIDS_OF)
def test_looking_after_each_row_decides_at_most_one_grid_in_twenty_without_a_difference(
    kind: str, columns: int
) -> None:
    scores = GRIDS_OF[kind](np.random.default_rng(columns), (GRIDS, 400, columns + 1))
    decided = looks(scores, shared_level(columns)).any(axis=(1, 2))
    assert decided.mean() <= 0.05


@pytest.mark.parametrize("columns", [1, 3])
def test_repeats_that_come_after_the_rows_may_be_looked_at_as_well(columns: int) -> None:
    rows_, repeats = 60, 3
    scores = np.random.default_rng(columns).normal(size=(GRIDS, rows_, repeats, columns + 1))
    differences = scores[..., 1:] - scores[..., :1]
    means = differences.cumsum(axis=2) / np.arange(1, repeats + 1).reshape(1, 1, -1, 1)
    decided = np.zeros(GRIDS, bool)
    for repeat in range(repeats):
        for asked in range(FIRST_LOOK if repeat == 0 else 1, rows_ + 1):
            known = means[:, :asked, repeat]
            if repeat:
                known = np.concatenate([known, means[:, asked:, repeat - 1]], axis=1)
            reach = intervals.multiplier(known.shape[1], shared_level(columns)) / math.sqrt(known.shape[1])
            decided |= (np.abs(known.mean(axis=1)) > reach * known.std(axis=1, ddof=1)).any(axis=1)
    assert decided.mean() <= 0.05


def test_the_looks_are_those_of_paired() -> None:
    scores = GRIDS_OF["pass or fail"](np.random.default_rng(7), (20, 60, 2))
    scores[:, :, 1] += 0.4
    found = looks(scores, 0.95)[:, :, 0]
    for grid, row in zip(*np.indices(found.shape).reshape(2, -1), strict=True):
        baseline, other = scores[grid, : row + FIRST_LOOK].T
        verdict = paired(rows(baseline), rows(other), anytime=True)
        assert (verdict.decided != "undecided") == found[grid, row]
    assert found.any()
    assert not found.all()


def test_the_interval_is_that_of_another_hand() -> None:
    import ville

    for level in (0.95, shared_level(3)):
        differences = 0.2 + noise(8, 300)
        theirs = ville.AsymptoticCS(alpha=1 - level, t_opt=100, min_samples=FIRST_LOOK).fit(differences)
        for units in (20, 21, 50, 100, 299, 300):
            ours = against_zero(differences[:units], level=level, anytime=True)
            assert (ours.low, ours.high) == pytest.approx(
                (theirs.lower_[units - 1], theirs.upper_[units - 1]), rel=1e-4
            )


def test_before_the_first_look_nothing_is_decided() -> None:
    found = paired([[0.0]] * 19, [[1.0]] * 19, anytime=True)
    assert (found.decided, found.low, found.why) == ("undecided", None, "too few")
    assert paired([[0.0]] * 20, [[1.0]] * 20, anytime=True).decided == "better"


def test_a_difference_is_decided_in_fewer_requests_than_asking_everything() -> None:
    scores = GRIDS_OF["of the same rows"](np.random.default_rng(9), (500, 400, 2))
    scores[:, :, 1] += (np.random.default_rng(10).random((500, 400)) < 0.25) * (scores[:, :, 1] < 1) * 0.5
    found = looks(scores, 0.95)[:, :, 0]
    rows_needed = np.where(found.any(axis=1), found.argmax(axis=1) + FIRST_LOOK, 400)
    print(f"asked {rows_needed.mean():.0f} of 400 rows, {found.any(axis=1).mean():.0%} decided")
    assert found.any(axis=1).mean() > 0.9
    assert rows_needed.mean() < 0.6 * 400


# --- one column, and how many more --------------------------------------------------------------


def test_a_column_of_single_passes_and_failures_has_wilsons_interval() -> None:
    from scipy.stats import binomtest

    found = interval([[1.0]] * 9 + [[0.0]] * 3)
    expected = binomtest(9, 12).proportion_ci(0.95, method="wilson")
    assert (found.mean, found.low, found.high, found.units, found.method) == pytest.approx(
        (0.75, expected.low, expected.high, 12, "wilson")
    )


def test_a_column_with_repeats_is_as_sure_as_its_rows() -> None:
    scores = noise(11, 30)
    once, copied = interval(rows(scores)), interval([[score] * 4 for score in scores])
    assert (once.low, once.high, once.units) == pytest.approx((copied.low, copied.high, copied.units))
    assert once.method == "bootstrap"
    assert interval(rows(scores[:19])).method == "t"


def test_a_column_of_few_units_or_without_spread_has_no_interval() -> None:
    assert (interval([[1.0]] * 4).low, interval([[1.0]] * 4).why) == (None, "too few")
    assert (interval([[7.0]] * 9).low, interval([[7.0]] * 9).why) == (None, "no spread")
    assert interval([[None], []]).mean is None


def test_a_column_that_always_passes_is_no_certainty() -> None:
    found = interval([[1.0, 1.0]] * 10)
    assert ends(found) == pytest.approx((0.65, 1), abs=0.05)


def test_the_interval_of_passes_and_failures_stays_within_0_and_1() -> None:
    found = interval([[1.0, 1.0]] * 6 + [[1.0, 0.0]])
    assert found.high == 1.0


def test_more_needed_finds_a_difference_of_that_size_four_times_out_of_five() -> None:
    from scipy.stats import ttest_1samp

    seen = against_zero(0.25 + noise(14, 25) * 0.9)
    assert seen.decided == "undecided"
    more = more_needed(seen, per_unit=2)
    assert more is not None
    rng = np.random.default_rng(13)
    assert seen.mean is not None
    repeated = rng.normal(seen.mean, seen.spread, (2_000, seen.units + more // 2))
    found = ttest_1samp(repeated, 0, axis=1).pvalue < 0.05
    assert 0.75 < found.mean() < 0.85


def test_more_needed_at_all_times_is_more() -> None:
    differences = 0.25 + noise(14, 25) * 0.9
    once, at_all_times = against_zero(differences), against_zero(differences, anytime=True)
    assert (more_needed(once, per_unit=2) or 0) < (more_needed(at_all_times, per_unit=2) or 0)


def test_more_needed_knows_when_there_is_nothing_to_say() -> None:
    assert more_needed(paired([[0.0]] * 3, [[1.0]] * 3), per_unit=6) == 12
    assert more_needed(paired([[0.0]] * 3, [[1.0]] * 3, anytime=True), per_unit=6) == 102
    assert more_needed(paired([[0.0]] * 9, [[1.0]] * 9), per_unit=2) == 0
    assert more_needed(paired([[1.0]] * 9, [[1.0]] * 9), per_unit=2) is None


# --- without scipy ------------------------------------------------------------------------------


def test_without_scipy_there_are_means_and_no_decision(monkeypatch) -> None:
    real_import = builtins.__import__

    def without_scipy(name: str, *args: object, **kwargs: object) -> object:
        if name.partition(".")[0] == "scipy":
            raise ModuleNotFoundError(name)
        return real_import(name, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", without_scipy)
    for one in (paired([[0.0]] * 9, [[1.0]] * 9), paired(rows(noise(1, 30)), rows(noise(2, 30)))):
        assert (one.low, one.decided, one.why) == (None, "undecided", "no scipy")
        assert one.mean is not None
    assert (interval([[1.0]] * 9).mean, interval([[1.0]] * 9).why) == (1.0, "no scipy")


def test_an_old_scipy_counts_as_none(monkeypatch) -> None:
    monkeypatch.setattr("scipy.__version__", "1.14.1")
    assert interval([[1.0]] * 9).why == "no scipy"
