"""What the scores of a comparison may claim: intervals, and decisions between two columns.

A row is an input, with the scores of its repeats. Rows are the units, because repeats of one row are not independent:
a row counts once, with the mean of its repeats, however many copies of one answer it holds. Where there is one row
only, its repeats are the units.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist, fmean
from typing import Literal, TypeAlias

from glm_magic.comparing import intervals
from glm_magic.comparing.intervals import Ends

Score: TypeAlias = "float | None"
Rows: TypeAlias = Sequence[Sequence[Score]]
Pair: TypeAlias = "tuple[list[float], list[float]]"  # a row's scores, of the baseline and of the other
Decided: TypeAlias = Literal["better", "worse", "equal", "undecided"]
Why: TypeAlias = Literal["", "too few", "no spread", "no scipy"]

FEWEST_UNITS = 5
FIRST_LOOK = 20  # units, before a decision that may be looked at again and again

_GRADES = {0.0, 0.5, 1.0}  # failed, a tie, passed
_POWER = 0.8  # the usual chance to find a difference that is there


@dataclass(frozen=True, slots=True)
class Estimate:
    """The mean of a column's scores over its units, with its interval at `level`.

    `mean` is None without scores. `low` and `high` are None where no interval can be given, and `why` says so.
    `method` is ``bootstrap`` (BCa), ``t`` or ``wilson``. `units` are rows, or the repeats of the only row.
    """

    mean: float | None
    low: float | None
    high: float | None
    units: int
    method: str = ""
    why: Why = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The difference between two columns, other minus baseline, with its interval at `level`.

    Higher scores are better. `units` are the rows that both have, and `repeats` the most that a row has in one
    column; where `is_one_row`, the units are the repeats of the only row. `spread` is the standard deviation of the
    units' differences, 0 under two units. Where no interval can be given, `low` and `high` are None, `decided` is
    ``undecided`` and `why` says why. `method` is ``bootstrap`` (BCa), ``t``, ``welch``, ``wilson`` or ``anytime``.
    """

    mean: float | None
    low: float | None
    high: float | None
    units: int
    decided: Decided = "undecided"
    level: float = 0.95
    method: str = ""
    why: Why = ""
    repeats: int = 1
    is_one_row: bool = False
    spread: float = 0.0
    margin: float | None = None


def shared_level(columns: int) -> float:
    """Return the level at which each of `columns` is compared, so that 95% holds for all of them together."""
    return 1 - 0.05 / max(columns, 1)


def interval(rows: Rows, *, level: float = 0.95) -> Estimate:
    """Return the mean of one column's scores with its interval.

    Scores that are None or not finite are left out. Where each row has one repeat and each score is 0 or 1, the
    interval is Wilson's; else the rows' means are resampled (BCa) from 20 units on, and have a t interval below. Under
    five units there is none. Raises `ValueError` for a level that is not between 0 and 1.
    """
    _check(level)
    kept = _kept(rows)
    is_one_row = len(kept) == 1
    units = kept[0] if is_one_row else [fmean(row) for row in kept if row]
    if not units:
        return Estimate(None, None, None, 0, why="too few")
    mean = fmean(units)
    if len(units) < FEWEST_UNITS:
        return Estimate(mean, None, None, len(units), why="too few")
    scores = {score for row in kept for score in row}
    is_graded = scores <= _GRADES
    try:
        if scores <= {0.0, 1.0} and (is_one_row or all(len(row) <= 1 for row in kept)):
            ends, method = intervals.of_share(round(sum(units)), len(units), level), "wilson"
        elif _is_constant(units):
            if not is_graded:
                return Estimate(mean, None, None, len(units), why="no spread")
            ends, method = _without_spread(mean, len(units), level, (0.0, 1.0)), "wilson"
        else:
            ends, method = intervals.of_mean(units, level)
    except ImportError:
        return Estimate(mean, None, None, len(units), why="no scipy")
    low, high = _within(ends, 0.0, 1.0) if is_graded else ends
    return Estimate(mean, low, high, len(units), method)


def paired(
    baseline: Rows,
    other: Rows,
    *,
    level: float = 0.95,
    margin: float | None = None,
    anytime: bool = False,
) -> Verdict:
    """Return the difference between two columns over the same rows, and what is decided by it.

    Scores that are None or not finite are left out, and so are rows that are empty in one column. It is ``better`` or
    ``worse`` where the interval excludes 0, and with a `margin` ``equal`` where the interval lies within ± margin.
    Under five units it is undecided. An `anytime` interval holds however often it is looked at, from 20 units on.
    Raises `ValueError` if the columns have different rows, or for a level or margin out of range.
    """
    _check(level)
    if len(baseline) != len(other):
        raise ValueError(f"both columns need the same rows, but they have {len(baseline)} and {len(other)}")
    if margin is not None and not margin > 0:
        raise ValueError(f"margin must be above 0, not {margin}")
    before, after = _kept(baseline), _kept(other)
    both = [(b, a) for b, a in zip(before, after, strict=True) if b and a]
    is_one_row = len(baseline) == 1
    if is_one_row and both and anytime:
        both = [([b], [a]) for b, a in zip(*both[0], strict=False)]  # repeats are independent: any pairs will do
    is_welch = is_one_row and not anytime
    differences = [fmean(a) - fmean(b) for b, a in both]
    verdict = Verdict(
        mean=fmean(differences) if both else None,
        low=None,
        high=None,
        units=min(map(len, both[0]), default=0) if is_welch and both else len(both),
        level=level,
        method="anytime" if anytime else "",
        repeats=max((len(row) for pair in both for row in pair), default=1),
        is_one_row=is_one_row,
        spread=math.hypot(*map(_deviation, both[0])) if is_welch and both else _deviation(differences),
        margin=margin,
    )
    if verdict.units < (FIRST_LOOK if anytime else FEWEST_UNITS):
        return replace(verdict, why="too few")
    try:
        ends, method = _ends_of_one_row(*both[0], level) if is_welch else _ends(both, differences, verdict)
    except ImportError:
        return replace(verdict, why="no scipy")
    if ends is None:
        return replace(verdict, why="no spread")
    low, high = ends
    return replace(verdict, low=low, high=high, method=method, decided=_decided(low, high, margin))


def more_needed(verdict: Verdict, *, per_unit: int) -> int | None:
    """Return about how many more requests it takes to decide a difference of the size seen, four times out of five.

    A unit takes `per_unit` requests: columns × repeats of a row, or the columns where the only row is repeated. It is
    0 for what is decided, and None where nothing can be said: no difference, or no spread.
    """
    if verdict.decided != "undecided":
        return 0
    is_anytime = verdict.method == "anytime"
    if verdict.why == "too few":
        return ((FIRST_LOOK if is_anytime else FEWEST_UNITS) - verdict.units) * per_unit
    if verdict.mean is None or not verdict.spread:
        return None
    distance = max(abs(verdict.mean), (verdict.margin or 0) - abs(verdict.mean))
    if not distance:
        return None
    normal = NormalDist()
    found, needed = normal.inv_cdf(_POWER), float(verdict.units)
    for _ in range(50):  # the interval that holds at all times shrinks a little slower than 1/√n
        reach = intervals.multiplier(needed, verdict.level) if is_anytime else normal.inv_cdf((1 + verdict.level) / 2)
        needed = ((reach + found) * verdict.spread / distance) ** 2
    return max(1, math.ceil(needed - verdict.units)) * per_unit


# --- intervals ----------------------------------------------------------------------------------


def _ends(both: Sequence[Pair], differences: Sequence[float], verdict: Verdict) -> tuple[Ends | None, str]:
    """Return the interval of the mean of the differences, and its method; None where they are all the same."""
    is_graded = all(score in _GRADES for pair in both for row in pair for score in row)
    if _is_constant(differences):
        # the first difference that is not the same ends this, so it also holds at all times
        ends = _without_spread(differences[0], len(differences), verdict.level, (-1, 1)) if is_graded else None
        return ends, "wilson"
    if verdict.method == "anytime":
        mean, error = fmean(differences), verdict.spread / math.sqrt(verdict.units)
        radius = intervals.multiplier(verdict.units, verdict.level) * error
        ends, method = (mean - radius, mean + radius), "anytime"
    else:
        ends, method = intervals.of_mean(differences, verdict.level)
    return _within(ends, -1.0, 1.0) if is_graded else ends, method


def _ends_of_one_row(baseline: list[float], other: list[float], level: float) -> tuple[Ends | None, str]:
    """Return the interval of the difference between the repeats of one row, which are not paired."""
    is_graded = {*baseline, *other} <= _GRADES
    if not (_is_constant(baseline) and _is_constant(other)):
        ends = intervals.of_difference(baseline, other, level)
        return _within(ends, -1.0, 1.0) if is_graded else ends, "welch"
    if not is_graded:
        return None, ""
    # Newcombe's: each mean's own interval, and the distances to their ends added as squares
    before, after = fmean(baseline), fmean(other)
    low_before, high_before = _without_spread(before, len(baseline), level, (0, 1))
    low_after, high_after = _without_spread(after, len(other), level, (0, 1))
    low = after - before - math.hypot(after - low_after, high_before - before)
    high = after - before + math.hypot(high_after - after, before - low_before)
    return _within((low, high), -1.0, 1.0), "wilson"


def _without_spread(value: float, units: int, level: float, bounds: Ends) -> Ends:
    """Return the interval of a mean where all `units` have the same `value`, of scores within `bounds`.

    By Wilson, at least the share s of all rows has this value; the others may be anywhere within the bounds.
    """
    share, _ = intervals.of_share(units, units, level, is_corrected=True)
    return share * value + (1 - share) * bounds[0], share * value + (1 - share) * bounds[1]


def _decided(low: float, high: float, margin: float | None) -> Decided:
    if margin is not None and -margin <= low and high <= margin:
        return "equal"
    return "better" if low > 0 else "worse" if high < 0 else "undecided"


def _within(ends: Ends, lowest: float, highest: float) -> Ends:
    return max(ends[0], lowest), min(ends[1], highest)


# --- scores -------------------------------------------------------------------------------------


def _check(level: float) -> None:
    if not 0 < level < 1:
        raise ValueError(f"level must be between 0 and 1, not {level}")


def _kept(rows: Rows) -> list[list[float]]:
    return [[float(score) for score in row if score is not None and math.isfinite(score)] for row in rows]


def _is_constant(values: Sequence[float]) -> bool:
    return math.isclose(min(values), max(values), rel_tol=1e-9, abs_tol=1e-12)


def _deviation(values: Sequence[float]) -> float:
    """Return the standard deviation; `statistics.stdev` is exact, and a hundred times slower."""
    if len(values) < 2 or _is_constant(values):
        return 0.0
    mean = fmean(values)
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))
