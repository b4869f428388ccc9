"""A grid as JSON for the browser: the whole of it, and patches of what has changed; all texts are neutralised."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from glm_magic.display import summaries
from glm_magic.display.grid import Action, Answer, Column, Grid, Score
from glm_magic.display.safe_text import one_line, plain
from glm_magic.display.tables import cut

_LONGEST = 100_000  # characters of a text; the rest is in Python
_LONGEST_NOTE = 2_000
_RATINGS = range(1, 6)


def whole(grid: Grid, shape: Sequence[Sequence[int]], patch: Mapping[str, Any]) -> dict[str, Any]:
    """Return a grid: its rows, how many repeats its cells have (once if all rows are alike), and what fills it."""
    if all(row == shape[0] for row in shape):
        shape = shape[:1]
    values = ([row.number, {one_line(name): text(value) for name, value in row.values.items()}] for row in grid.rows)
    return {"rows": list(values), "shape": shape, "patch": patch}


def heads(grid: Grid) -> dict[str, Any]:
    """Return everything of a grid but its answers, as a patch."""
    return {
        "title": texts(grid.title),
        "verdict": texts(grid.verdict),
        "columns": columns(grid.columns),
        "baseline": grid.baseline,
        "blind": grid.is_blind,
        "more": one_line(grid.more),
    }


def columns(of_grid: Iterable[Column]) -> list[dict[str, Any]]:
    """Return the heads of columns; where a score is drawn depends on all of them."""
    of_grid = tuple(of_grid)
    between = summaries.scale(of_grid)
    return [
        _filled(
            {
                "label": one_line(column.label),
                "settings": texts(column.settings),
                "facts": texts(column.facts),
                "score": one_line(summaries.of_score(column)),
                "places": summaries.places(column.score, between) if column.score else None,
                "difference": one_line(summaries.of_difference(column)),
                "verdict": column.verdict,
                "prompt": text(column.prompt),
            }
        )
        for column in of_grid
    ]


def answer(of_grid: Answer) -> dict[str, Any]:
    """Return an answer."""
    scores = (f"{one_line(name)} {_score(score)}" for name, score in of_grid.scores.items())
    return _filled(
        {
            "state": of_grid.state,
            "text": text(of_grid.text),
            "reasoning": text(of_grid.reasoning),
            "error": text(of_grid.error),
            "facts": texts(of_grid.facts),
            "scores": list(scores),
            "rating": of_grid.rating,
            "note": text(of_grid.note),
            "picked": of_grid.is_picked,
        }
    )


def cell(row: int, column: int, summary: summaries.Summary) -> list[Any]:
    """Return what a cell says in short."""
    return [row, column, summary.shown, summary.value, texts(summary.marks)]


def text(of_grid: str) -> str:
    """Return a text, cut if it is very long."""
    return plain(cut(of_grid, _LONGEST, ""))


def texts(of_grid: Iterable[str]) -> list[str]:
    """Return short texts."""
    return [one_line(short) for short in of_grid]


def read_action(content: Mapping[str, Any], shape: Sequence[Sequence[int]]) -> Action | None:
    """Return what a person has done in a grid with so many repeats in its cells; None for anything else."""
    kind, spot, value = content.get("kind"), content.get("spot", (0, 0, 0)), content.get("value")
    try:
        row, column, repeat = map(operator.index, spot)
        is_there = min(row, column, repeat) >= 0 and repeat < shape[row][column]
    except (TypeError, ValueError, IndexError):
        return None
    if not is_there:
        return None
    match kind:
        case "stop" | "more" | "reveal":
            return Action(kind)
        case "pick" | "baseline":
            return Action(kind, (row, column, repeat))
        case "rate" if value is None or (type(value) is int and value in _RATINGS):
            return Action(kind, (row, column, repeat), value)
        case "note" if value is None or isinstance(value, str):
            return Action(kind, (row, column, repeat), (value or "")[:_LONGEST_NOTE])
        case _:
            return None


def _score(score: Score) -> str:
    if isinstance(score, bool):
        return "✓" if score else "✗"
    return summaries.number(score) if isinstance(score, (int, float)) else one_line(score or "none")


def _filled(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value not in ("", None, False, [], ())}
