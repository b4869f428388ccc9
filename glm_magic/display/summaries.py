"""What a grid says in a few words: of the answers in one cell, and of a column's score."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from glm_magic.display.grid import Answer, Column, Interval, Score
from glm_magic.display.tables import shorten

_LONGEST_NOTE = 60  # characters


@dataclass(frozen=True, slots=True)
class Summary:
    """One cell in short: the index of the answer that stands for all of them, their mean score, and the `marks`.

    `value` is None if nothing was scored.
    """

    shown: int
    value: float | None
    marks: tuple[str, ...]


def of_cell(answers: Sequence[Answer], score_name: str = "") -> Summary:
    """Return a cell in short; `score_name` is the score that decides."""
    texts = Counter(answer.text.strip() for answer in answers if answer.state == "done")
    common, alike = max(texts.items(), key=lambda item: item[1], default=("", 0))
    shown = _shown(answers, common)
    scores = [answer.scores.get(score_name) for answer in answers]
    numbers = [float(score) for score in scores if isinstance(score, (bool, int, float))]
    value = sum(numbers) / len(numbers) if numbers else None
    marks = [_alike(alike, texts.total()), _score(scores, value), *_stopped(answers), *_judged(answers)]
    return Summary(shown, value, tuple(filter(None, marks)))


def number(value: float) -> str:
    """Return a score as it is written: three significant digits, without an exponent where that is short."""
    text = f"{value:.2f}" if abs(value) < 100 else f"{value:.4g}"
    return text if float(text) or not value else f"{value:.2g}"


def signed(value: float) -> str:
    """Return a difference with its sign."""
    text = number(abs(value))
    return f"±{text}" if not float(text) else f"{'+' if value > 0 else '−'}{text}"


def of_score(column: Column) -> str:
    """Return a column's score with its interval, such as ``right 0.71 (0.55 to 0.83)``."""
    if column.score is None:
        return ""
    score = column.score
    between = "" if score.low is None or score.high is None else f" ({number(score.low)} to {number(score.high)})"
    return f"{column.score_name} {number(score.mean)}{between}".strip()


def of_difference(column: Column) -> str:
    """Return the difference from the baseline with its interval and verdict, such as ``+0.18 ▲ better``."""
    if column.difference is None:
        return column.verdict
    found = column.difference
    between = "" if found.low is None or found.high is None else f" ({signed(found.low)} to {signed(found.high)})"
    sign = {"better": "▲", "worse": "▼", "equal": "="}.get(column.verdict, "")
    return " ".join(filter(None, (signed(found.mean) + between, sign, column.verdict)))


def scale(columns: Iterable[Column]) -> tuple[float, float]:
    """Return the lowest and the highest value that the scores of all columns are drawn between."""
    ends = [end for column in columns if column.score for end in _ends(column.score)]
    low, high = min([0.0, *ends]), max([1.0, *ends])
    return low, high


def places(interval: Interval, between: tuple[float, float]) -> tuple[float, float, float]:
    """Return where low end, mean and high end are drawn, each from 0 to 100."""
    low, high = between
    first, *_, last = sorted(_ends(interval))
    return tuple(round(100 * (value - low) / (high - low), 1) for value in (first, interval.mean, last))  # type: ignore[return-value]


def _ends(interval: Interval) -> list[float]:
    return [interval.mean if end is None else end for end in (interval.low, interval.mean, interval.high)]


def _shown(answers: Sequence[Answer], common: str) -> int:
    """Return the index of the picked answer; else of the first of the most frequent ones; else of one with text."""
    if len(answers) == 1:
        return 0
    wishes = (
        lambda answer: answer.is_picked,
        lambda answer: answer.state == "done" and answer.text.strip() == common,
        lambda answer: bool(answer.text),
        lambda answer: answer.state != "waiting",
    )
    return next((at for wish in wishes for at, answer in enumerate(answers) if wish(answer)), 0)


def _alike(alike: int, done: int) -> str:
    if done < 2:
        return ""
    return f"{done} alike" if alike == done else f"{alike} of {done} alike" if alike > 1 else f"{done} differ"


def _score(scores: Sequence[Score], mean: float | None) -> str:
    given = [score for score in scores if score is not None]
    if not given:
        return ""
    if all(isinstance(score, bool) for score in given):
        right = sum(map(bool, given))
        sign = "✓" if right == len(given) else "✗"
        return sign if right in (0, len(given)) else f"{right}/{len(given)} {sign}"
    words = [shorten(score, _LONGEST_NOTE) for score in given if isinstance(score, str)]
    return ", ".join([*([number(mean)] if mean is not None else []), *dict.fromkeys(words)])


def _stopped(answers: Sequence[Answer]) -> list[str]:
    """Say how many have failed, were interrupted or are pending, where others have not or are not."""
    states = [answer.state for answer in answers]
    counted = {state: states.count(state) for state in ("failed", "interrupted", "pending")}
    return [f"{count} of {len(states)} {state}" for state, count in counted.items() if 0 < count < len(states)]


def _judged(answers: Sequence[Answer]) -> list[str]:
    ratings = [answer.rating for answer in answers if answer.rating is not None]
    return [
        *(["picked"] if any(answer.is_picked for answer in answers) else []),
        *([f"rated {', '.join(map(str, ratings))}"] if ratings else []),
        *(f"note: {shorten(answer.note, _LONGEST_NOTE)}" for answer in answers if answer.note),
    ]
