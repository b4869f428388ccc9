"""A grid as HTML without a script: what is saved, and read where there is no kernel."""

from __future__ import annotations

import html
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

from glm_magic.display import summaries
from glm_magic.display.grid import Answer, Grid, Interval, Row
from glm_magic.display.page.grid.texts import as_markdown, as_plain, in_words
from glm_magic.display.safe_text import NO_MATHS, plain
from glm_magic.display.tables import cut, shorten
from glm_magic.display.view import SEPARATOR

MOST_BYTES = 2_000_000  # of HTML
_LONGEST = (100_000, 20_000, 5_000, 2_000, 1_000, 500, 200)  # characters of a text, until all of them fit
_MARKUP_BYTES = 200  # of an answer
_FOLDED_FROM = 400  # characters, or
_FOLDED_LINES = 8
_EXCERPT = 200
_STYLE = Path(__file__).with_name("static.css").read_text(encoding="utf-8").replace("\n", "")
# What JupyterLab does not trust loses its style sheet, and keeps this.
_CELL_STYLE = "text-align: left; vertical-align: top; white-space: pre-wrap"


def static(grid: Grid, key: str = "") -> dict[str, str]:
    """Return the grid as ``text/html``, ``text/markdown`` and ``text/plain``; by `key` its element is found again."""
    return {"text/html": as_html(grid, key), "text/markdown": as_markdown(grid), "text/plain": as_plain(grid)}


def as_html(grid: Grid, key: str = "", *, most: int = MOST_BYTES, note: str = "") -> str:
    """Return the grid as HTML of at most about `most` bytes, with a `note` below; it says what was cut."""
    longest = _longest(grid, most)
    body, left = [], most
    for number, row in enumerate(grid.rows):
        made = _row(grid, number, row, longest)
        left -= len(made.encode())
        if left < 0:
            break
        body.append(made)
    notes = [*_notes(grid, longest, len(body)), *([note] if note else [])]
    known_by = f' data-glm-grid="{html.escape(key)}"' if key else ""
    heads = "".join(_head(grid, at, longest) for at in range(len(grid.columns)))
    verdict = "".join(f'<div class="glm-grid-verdict">{_escaped(sentence)}</div>' for sentence in grid.verdict)
    below = "".join(f'<div class="glm-grid-title">{_escaped(note)}</div>' for note in notes)
    return (
        f'<div class="glm-grid {NO_MATHS}"{known_by}><style>{_STYLE}</style>'
        f'<div class="glm-grid-title">{_escaped(SEPARATOR.join(grid.title))}</div>{verdict}'
        f'<table><thead><tr><th style="{_CELL_STYLE}">row</th>{heads}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table>{below}</div>"
    )


def _longest(grid: Grid, most: int) -> int:
    """Return how many characters of each text there is room for."""
    sizes = [len(text.encode("utf-8", "replace")) for text in _texts(grid.answers)]
    room = most - _MARKUP_BYTES * sum(len(cell) for row in grid.answers for cell in row)
    return next((at for at in _LONGEST if sum(min(size, at) for size in sizes) <= room), _LONGEST[-1])


def _notes(grid: Grid, longest: int, rows: int) -> Iterator[str]:
    if any(len(text) > longest for text in _texts(grid.answers[:rows])):
        yield f"Texts are cut to {longest:,} characters here; the notebook's store has all of them."
    if rows < len(grid.rows):
        yield f"The first {rows:,} of {len(grid.rows):,} rows are shown here; the notebook's store has the others."


def _texts(rows: Sequence[Sequence[Sequence[Answer]]]) -> Iterator[str]:
    for answer in itertools.chain.from_iterable(itertools.chain.from_iterable(rows)):
        yield from (answer.text, answer.reasoning, answer.error)


def _head(grid: Grid, at: int, longest: int) -> str:
    column = grid.columns[at]
    label = f"<b>{_escaped(grid.label(at))}</b> {_escaped(SEPARATOR.join(column.settings))}".rstrip()
    score = f"<div>{_escaped(summaries.of_score(column))}</div>{_drawn(grid, column.score)}" if column.score else ""
    difference = _escaped(summaries.of_difference(column))
    compared = f"<div>{difference}</div>" if difference else ""
    prompt = _fold("prompt", column.prompt[:longest]) if column.prompt else ""
    return f'<th scope="col" style="{_CELL_STYLE}">{label}{score}{compared}{_small(column.facts)}{prompt}</th>'


def _drawn(grid: Grid, score: Interval) -> str:
    """Return a score and its interval as a dot on a line; what it says stands beside it in words."""
    low, mean, high = summaries.places(score, summaries.scale(grid.columns))
    return (
        f'<i aria-hidden="true"><s style="left: {low}%; width: {round(high - low, 1)}%"></s>'
        f'<u style="left: {mean}%"></u></i>'
    )


def _row(grid: Grid, number: int, row: Row, longest: int) -> str:
    values = "".join(f"<div>{_value(name, value, longest, row)}</div>" for name, value in row.values.items())
    cells = "".join(
        f'<td style="{_CELL_STYLE}">{_cell(cell, column.score_name, longest)}</td>'
        for cell, column in zip(grid.answers[number], grid.columns, strict=True)
    )
    return f'<tr><th scope="row" style="{_CELL_STYLE}">{row.number}{values}</th>{cells}</tr>'


def _value(name: str, value: str, longest: int, row: Row) -> str:
    label = f"<small>{_escaped(name)}</small> " if len(row.values) > 1 else ""
    return f"{label}{_text(value, longest)}"


def _cell(answers: Sequence[Answer], score_name: str, longest: int) -> str:
    """Return the answer that stands for all, then the others that say something else, folded."""
    if not answers:
        return ""
    summary = summaries.of_cell(answers, score_name)
    first = answers[summary.shown]
    others = [answer for answer in answers if answer is not first]
    if all(answer.text.strip() == first.text.strip() for answer in others):
        more = "".join(_small(answer.facts) for answer in others)
    else:
        more = "".join(f"<div>{_answer(answer, longest)}</div>" for answer in others)
    unfolded = f"<details><summary>{len(others)} more</summary>{more}</details>" if more else ""
    return f"{_answer(first, longest)}{_small(summary.marks)}{unfolded}"


def _answer(answer: Answer, longest: int) -> str:
    text = _text(in_words(answer), longest)
    if answer.state in ("failed", "interrupted"):
        text = f'<div class="glm-grid-bad">{text}</div>'
    summary = f"thinking · {len(answer.reasoning):,} characters"
    thinking = _fold(summary, answer.reasoning[:longest]) if answer.reasoning else ""
    return f"{text}{thinking}{_small(answer.facts)}"


def _text(text: str, longest: int) -> str:
    shown = cut(text, longest, "")
    if len(shown) <= _FOLDED_FROM and shown.count("\n") < _FOLDED_LINES:
        return _escaped(shown.strip("\n"))
    return f"<details><summary><span>{_escaped(shorten(shown, _EXCERPT))}</span></summary>{_escaped(shown)}</details>"


def _small(facts: Sequence[str]) -> str:
    """Return facts in a line of their own, also where no style is kept."""
    return f"<div><small>{_escaped(SEPARATOR.join(facts))}</small></div>" if facts else ""


def _fold(summary: str, text: str) -> str:
    return f"<details><summary>{summary}</summary>{_escaped(text)}</details>"


def _escaped(text: str) -> str:
    return html.escape(plain(text), quote=False)
