"""What a verdict says, in plain English: one sentence for a column."""

from __future__ import annotations

import math

from glm_magic.comparing.verdict import FIRST_LOOK, Verdict
from glm_magic.errors import counted

WITHOUT_SCIPY = 'Intervals and verdicts need scipy: pip install "glm_magic[explore]"'


def sentence(verdict: Verdict, *, name: str, baseline: str, score: str, columns: int = 1, more: str = "") -> str:
    """Return what is decided between the column `name` and the `baseline`.

    `score` is the name of the score. `columns` are compared with the baseline, and the level that is shown is what
    holds for all of them together. `more` is added to what is undecided (``about 80 more requests would tell``).
    """
    if verdict.mean is None:
        return f"{name}: nothing to compare with {baseline}."
    mean, *ends = signed(verdict.mean, *(end for end in (verdict.low, verdict.high) if end is not None))
    units = _units(verdict)
    tail = f"; {more}." if more else "."
    if verdict.why == "too few":
        first = f", the first look is at {FIRST_LOOK}" if verdict.method == "anytime" else ""
        return f"{name}: too few to say ({units}{first}){tail}"
    if verdict.why == "no spread":
        return f"{name}: {score} differs from {baseline} by {mean} everywhere, so there is no interval ({units})."
    if verdict.why == "no scipy":
        return f"{name}: {score} {mean} ({units}), undecided without scipy."
    level = 100 * (1 - columns * (1 - verdict.level))
    numbers = f"{score} {mean} ({level:.3g}%: {ends[0]} to {ends[1]}, {units})"
    if verdict.spread == 0:
        numbers += ", the same difference everywhere"
    here = " on the one row" if verdict.is_one_row else ""
    if verdict.decided == "undecided":
        return f"{name}: no difference shown{here}, {numbers}{tail}"
    if verdict.decided == "equal":
        return f"{name} equals {baseline} within ±{verdict.margin:g}{here}: {numbers}."
    return f"{name} {'beats' if verdict.decided == 'better' else 'is beaten by'} {baseline}{here}: {numbers}."


def signed(*numbers: float) -> list[str]:
    """Return numbers with their signs, all with the same decimals: two digits of the largest at least."""
    largest = max(abs(number) for number in numbers)
    exponent = math.floor(math.log10(largest)) if largest else 0
    decimals = max(2 - exponent, 0) if exponent >= 0 else 1 - exponent
    return [_signed(number, decimals) for number in numbers]


def _signed(number: float, decimals: int) -> str:
    text = f"{number:+.{decimals}f}"
    return text.replace("-", "−") if float(text) else text[1:]


def _units(verdict: Verdict) -> str:
    if verdict.is_one_row:
        each = " each" if verdict.method == "anytime" else " each, not paired"
        return counted(verdict.units, "repeat") + each
    return counted(verdict.units, "row") + (f" × {verdict.repeats}" if verdict.repeats > 1 else "")
