"""A comparison before anything is asked: its plan, what is known of it, and how its answers are kept and scored."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

from glm_magic.asking.question import Question
from glm_magic.asking.recordings import OFF
from glm_magic.comparing.appraisal import Appraiser, Judges
from glm_magic.comparing.kept import Known, RecordedRuns
from glm_magic.comparing.pending import PendingBatches
from glm_magic.comparing.plan import Plan, Wanted, plan
from glm_magic.comparing.scoring import Scorer
from glm_magic.comparing.submitting import check_missing, submit


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


def prepared(
    batches: PendingBatches,
    wanted: Wanted,
    scorer: Scorer,
    *,
    fresh: bool = False,
    limited: bool = True,
    acting: Callable[[], AbstractContextManager[None]] = contextlib.nullcontext,
    notes: tuple[str, ...] = (),
    workers: Executor | None = None,
) -> Planned:
    """Return what is compared, and what is known of it; nothing is sent, and nothing changes.

    A `fresh` comparison takes nothing that is kept or recorded. Code of the notebook runs within `acting`. Unless it is
    `limited`, it may be larger than a window or a budget. Raises `CellError` or `SetupError`.
    """
    session, keeper, keeping = batches.session, batches.keeper, batches.keeping
    recorded = RecordedRuns() if fresh else keeper.recorded(keeping.source)
    may_ask = batches.settings["replay_missing"] != "error" or keeping.source == OFF
    with acting():  # of expressions
        asked = plan(session, wanted, keeping.place, recorded.requests(ask=may_ask), ask=may_ask)
    keeper.latest = asked
    known = _known(batches, asked, recorded, ask=may_ask, fresh=fresh)
    if may_ask:
        check_missing(batches, asked, known, limited=limited)
    appraiser = Appraiser(scorer, Judges(session, keeper, keeping, known, may_ask), wanted.has_table, acting)
    return Planned(asked, known, appraiser, batches, may_ask, notes, workers)


def _known(pending: PendingBatches, plan: Plan, recorded: RecordedRuns, *, ask: bool, fresh: bool) -> Known:
    """Return what is known of a plan before anything is sent: what is recorded, kept, and pending in batches.

    A `fresh` comparison takes nothing that is kept, unless batches of it are under way: then it goes on with what they
    have answered. Where nobody may `ask`, batches do not matter.
    """
    keeping = pending.keeping
    kept = pending.keeper.of(keeping, plan.fingerprints)  # first: it takes over the batches of a cell that was pasted
    known = Known(keeping.place, kept, recorded)
    if ask:
        known = pending.known(known, fresh=fresh)
    is_under_way = bool(known.pending) and any(plan.key(spot) in known.pending for spot in plan.spots())
    return replace(known, kept={}) if fresh and not is_under_way else known


def batched(
    asked: Planned,
    *,
    fresh: bool = False,
    saying: Callable[[str], AbstractContextManager[object]] = contextlib.nullcontext,
) -> Planned:
    """Collect what is pending in batches, and submit what is missing if it is asked by batch.

    `saying` tells what it does meanwhile. Raises as `check_missing` and `submit` do.
    """
    batches, plan, known = asked.batches, asked.plan, asked.known
    by_batch = plan.wanted.wishes.in_batch
    if not asked.may_ask or not (by_batch or batches.are_there):
        return asked
    batches.notes.clear()
    with saying("looking at batches"):
        known = batches.collect(plan, known)
    check_missing(batches, plan, known)  # which may be more than before: a batch was never created, or has lost some
    missing = plan.missing(known.lacks) if by_batch else []
    if missing:
        with saying("submitting"):
            known = submit(batches, plan, known, missing, fresh=fresh)
    return replace(asked, known=known)
