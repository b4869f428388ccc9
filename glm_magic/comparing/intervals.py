"""Confidence intervals of means; the only module that knows scipy, which it loads at the first interval.

The functions take numbers without gaps, and return the two ends of an interval at a level such as 0.95. They raise
`ImportError` without scipy.
"""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

Ends: TypeAlias = tuple[float, float]

RESAMPLED_FROM = 20  # units; simulated, BCa misses 8% at ten, where 5% are meant
_FEWEST_UNLIKE = 12  # simulated for pass/fail differences: with fewer BCa decides up to 10% falsely, t 5%
_RESAMPLES = 9_999
_TUNED_FOR = 100  # units, where the interval that holds at all times is as narrow as it can be
_BATCH = 1_000_000  # numbers in memory at once
_OLDEST = (1, 15)  # the first scipy whose bootstrap takes `rng`


def of_mean(values: Sequence[float], level: float) -> tuple[Ends, str]:
    """Return the interval of a mean, and its method: ``bootstrap`` (BCa) or ``t``.

    The bootstrap knows only what it has seen: where nearly all values are the same it is too narrow, and t is taken.
    """
    unlike = len(values) - max(Counter(values).values())
    if len(values) >= RESAMPLED_FROM and unlike >= _FEWEST_UNLIKE:
        return _bootstrap(values, level), "bootstrap"
    with _quiet():
        ends = _stats().ttest_1samp(values, 0).confidence_interval(level)
    return (float(ends.low), float(ends.high)), "t"


def of_difference(baseline: Sequence[float], other: Sequence[float], level: float) -> Ends:
    """Return Welch's interval of the difference of two means, other minus baseline."""
    with _quiet():
        ends = _stats().ttest_ind(other, baseline, equal_var=False).confidence_interval(level)
    return float(ends.low), float(ends.high)


def of_share(passed: int, of: int, level: float, *, is_corrected: bool = False) -> Ends:
    """Return Wilson's interval of a share, with continuity correction where `is_corrected`."""
    method = "wilsoncc" if is_corrected else "wilson"
    ends = _stats().binomtest(passed, of).proportion_ci(level, method=method)
    return float(ends.low), float(ends.high)


def multiplier(units: float, level: float) -> float:
    """Return how many standard errors the interval that holds at all times reaches from the mean.

    It is the asymptotic confidence sequence of Waudby-Smith et al., "Time-uniform central limit theory and asymptotic
    confidence sequences", Annals of Statistics 2024, tuned for 100 units. It needs no scipy.
    """
    alpha = 1 - level
    tuned = 1.0  # ρ²t at the narrowest place t solves x = log(1 + x) − 2 log α
    for _ in range(60):
        tuned = math.log1p(tuned) - 2 * math.log(alpha)
    grown = 1 + tuned * units / _TUNED_FOR
    return math.sqrt(grown / (grown - 1) * (math.log(grown) - 2 * math.log(alpha)))


def _bootstrap(values: Sequence[float], level: float) -> Ends:
    import numpy as np  # noqa: PLC0415 - it comes with scipy

    found = _stats().bootstrap(
        (values,),
        np.mean,
        n_resamples=_RESAMPLES,
        batch=max(1, _BATCH // len(values)),
        confidence_level=level,
        method="BCa",
        rng=np.random.default_rng(0),  # the same scores always give the same interval
    )
    return float(found.confidence_interval.low), float(found.confidence_interval.high)


@contextmanager
def _quiet() -> Iterator[None]:
    """Leave out the warning of values that are nearly the same: one of two columns may well be."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        yield


def _stats() -> Any:
    import scipy  # noqa: PLC0415 - half a second
    import scipy.stats  # noqa: PLC0415

    if tuple(int(part) for part in scipy.__version__.split(".")[:2]) < _OLDEST:
        raise ImportError(f"scipy {scipy.__version__} is too old")
    return scipy.stats
