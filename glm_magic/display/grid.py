"""The values of a grid: what a comparison shows, whatever shows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias

State: TypeAlias = Literal["waiting", "running", "pending", "done", "failed", "interrupted"]
Score: TypeAlias = "float | bool | str | None"  # a text is what went wrong


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer of a grid, or what stands in its place.

    `text` is the model's own text, unchanged; whatever shows it neutralises it. `error` says why there is none: it has
    failed, or is pending in a batch. `facts` are short texts such as ``1.1 s``, in order. `scores` are by name. A
    `rating` is from 1 to 5, None if there is none.
    """

    text: str = ""
    state: State = "waiting"
    reasoning: str = ""
    error: str = ""
    facts: tuple[str, ...] = ()
    scores: Mapping[str, Score] = field(default_factory=dict)
    rating: int | None = None
    note: str = ""
    is_picked: bool = False


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean with its interval, both in units of the score."""

    mean: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Column:
    """A configuration: its `label` (``A``), what is set for it, and what its answers have come to so far.

    `settings` are short texts (``GLM-4-Air``, ``t 0``, ``terse``). `facts` are those of the whole column (tokens,
    cost, median and p95 time, errors). `difference` is that from the baseline, None for the baseline itself, and
    `verdict` says in a word what it comes to (``better``, ``worse``, ``equal``, ``undecided`` or nothing).
    """

    label: str
    settings: tuple[str, ...]
    facts: tuple[str, ...] = ()
    score: Interval | None = None
    score_name: str = ""
    difference: Interval | None = None
    verdict: str = ""
    prompt: str = ""  # the wording of this column, where wordings are compared


@dataclass(frozen=True, slots=True)
class Row:
    """An input: its number from 1, and the values that tell it from the others, by name."""

    number: int
    values: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Grid:
    """A whole comparison: ``answers[row][column]`` holds the repeats of one cell of the grid.

    `title` are facts about all of it (``40 rows × 3 configurations × 2 repeats``, ``231 of 240``, …). `verdict` are
    sentences. `baseline` is the index of the column that the others are measured against. Of a `blind` grid the
    names are hidden: the columns come without settings, facts and scores.
    """

    title: tuple[str, ...]
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    answers: tuple[tuple[tuple[Answer, ...], ...], ...]
    verdict: tuple[str, ...] = ()
    baseline: int = 0
    is_blind: bool = False
    more: str = ""  # what "ask more" would do (``ask 24 more ≈ 0.002 CNY``); empty if it is not offered

    def label(self, at: int) -> str:
        """Return the label of a column; that of the baseline says so, unless it is alone or the grid is blind."""
        is_baseline = at == self.baseline and not self.is_blind and len(self.columns) > 1
        return self.columns[at].label + (" ★ baseline" if is_baseline else "")


# The place of an answer in a grid: row, column and repeat, each from 0.
Spot: TypeAlias = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Changes:
    """What has changed in a grid since the last time: answers by spot, the title, and the heads of all columns.

    `grown` holds text that was appended to answers whose other fields are as they were.
    """

    answers: Mapping[Spot, Answer] = field(default_factory=dict)
    grown: Mapping[Spot, str] = field(default_factory=dict)
    title: tuple[str, ...] | None = None
    columns: tuple[Column, ...] | None = None


def blinded(grid: Grid) -> Grid:
    """Return what may be seen of a blind grid: texts and judgements, and nothing that tells the columns apart."""
    answers = tuple(tuple(tuple(map(blinded_answer, cell)) for cell in row) for row in grid.answers)
    columns = blinded_columns(grid.columns)
    return replace(grid, columns=columns, answers=answers, verdict=(), baseline=0, more="", is_blind=True)


def blinded_columns(columns: tuple[Column, ...]) -> tuple[Column, ...]:
    """Return the columns with their labels alone."""
    return tuple(Column(column.label, ()) for column in columns)


def blinded_answer(answer: Answer) -> Answer:
    """Return an answer without what tells which configuration gave it: time, cost, reasoning and error texts."""
    return replace(answer, reasoning="", error="", facts=(), scores={})


@dataclass(frozen=True, slots=True)
class Action:
    """What a person has done in a live grid.

    `stop`; `pick` (at `spot`); `baseline` (of the column `spot[1]`); `rate` (`value` from 1 to 5, or None);
    `note` (`value` is its text); `more` (ask more); `reveal` (end the blindness).
    """

    kind: Literal["stop", "pick", "baseline", "rate", "note", "more", "reveal"]
    spot: Spot = (0, 0, 0)
    value: Any = None


class GridView:
    """A place where a grid is shown: it begins, changes some ten times a second, and settles.

    A method does nothing unless a subclass overrides it.
    """

    def begin(self, grid: Grid) -> None:
        """Show the grid, on which work begins."""

    def paint(self, changes: Changes) -> None:
        """Show what has changed."""

    def settle(self, grid: Grid, attached: Mapping[str, Any]) -> None:
        """Show the grid as it is saved; `attached` maps MIME types to JSON that is kept beside it."""

    def rewrite(self, grid: Grid, attached: Mapping[str, Any]) -> None:
        """Replace the settled grid, after a rating or a pick, where outputs can be replaced."""
