"""A comparison before anything is asked: its plan, what is known of it, and how its answers are kept and scored."""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import dataclass

from glm_magic.asking.question import Question
from glm_magic.comparing.appraisal import Appraiser
from glm_magic.comparing.kept import Known
from glm_magic.comparing.pending import PendingBatches
from glm_magic.comparing.plan import Plan


@dataclass(frozen=True, slots=True)
class Planned:
    """A comparison before anything is asked. `workers` ask, if there are any; `notes` are for the title of the grid.

    Where what is missing may not be asked (`replay_missing=error`), `may_ask` is false.
    """

    plan: Plan
    known: Known
    appraiser: Appraiser
    batches: PendingBatches
    may_ask: bool = True
    notes: tuple[str, ...] = ()
    workers: Executor | None = None

    @property
    def to_ask(self) -> list[Question]:
        """The questions of the runs that are to be asked."""
        return [*map(self.plan.question, self.plan.missing(self.known.lacks))]
