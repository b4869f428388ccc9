"""A run: one answer of a comparison, or the error in its place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from glm_magic.asking.ask import parsed_of
from glm_magic.asking.question import Question
from glm_magic.chat.reply import Reply
from glm_magic.comparing.axes import Configuration
from glm_magic.comparing.plan import Plan
from glm_magic.comparing.rows import Row
from glm_magic.display.grid import Spot, State
from glm_magic.errors import GlmError
from glm_magic.notebook.runs import SavedRun


@dataclass(frozen=True, slots=True, repr=False)
class Run:
    """One answer of a comparison: ``str(run)`` is its text.

    `spot` is its row, column and repeat, each from 0. Its `reply` is None where it has failed or was not asked; an
    interrupted one has what had arrived. `pending` says in which batch it is, if in any. `scores` are numbers or bools
    by name; `score_errors` say what a score raised. A `rating` is from 1 to 5. `saved` is what is kept of it, None if
    it has no whole answer.
    """

    spot: Spot
    row: Row
    column: Configuration
    state: State = "waiting"
    reply: Reply | None = None
    error: GlmError | None = None
    scores: Mapping[str, float | bool] = field(default_factory=dict)
    score_errors: Mapping[str, str] = field(default_factory=dict)
    rating: int | None = None
    note: str = ""
    is_picked: bool = False
    saved: SavedRun | None = None
    is_blind: bool = False
    pending: str = ""

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        where = f"column {self.column.label}, row {self.spot[0]}, repeat {self.spot[2]}"
        if self.is_blind:
            return f"Run({where}: {self.text!r})"
        what = self.error.what if self.error is not None else self.reply or self.pending or self.state
        return f"Run({where}: {what})"

    @property
    def text(self) -> str:
        """The text of the answer, ``""`` where there is none."""
        return self.reply.text if self.reply is not None else ""

    @property
    def is_done(self) -> bool:
        """Whether it has a whole answer."""
        return self.state == "done"


def blank(plan: Plan, spot: Spot) -> Run:
    """Return the run at a spot of a plan, which was not asked yet."""
    row, column, _ = spot
    return Run(spot, plan.wanted.rows[row], plan.wanted.configurations[column])


def kept(saved: SavedRun, run: Run, question: Question, **circumstances: Any) -> Run:
    """Return a run with the answer that is kept of it."""
    reply = saved.attempt.reply(
        request=question.body,
        embedded=question.is_embedded,
        parsed=parsed_of(question, saved.attempt),
        **circumstances,
    )
    return Run(
        run.spot,
        run.row,
        run.column,
        "done",
        reply,
        rating=saved.rating,
        note=saved.note,
        is_picked=saved.is_picked,
        saved=saved,
    )
