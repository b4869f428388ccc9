"""A comparison under way: what is kept is taken, what is missing is asked, and each answer is scored as it ends."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from glm_magic.asking.session import Session
from glm_magic.comparing import shown
from glm_magic.comparing.comparison import Comparison
from glm_magic.comparing.kept import KeptRuns
from glm_magic.comparing.on_executor import OnExecutor
from glm_magic.comparing.plan import Plan
from glm_magic.comparing.planned import Planned
from glm_magic.comparing.rounds import Rounds
from glm_magic.comparing.running import PULL_SECONDS, News, Running
from glm_magic.comparing.runs import Run, blank, kept
from glm_magic.comparing.shown import Progress
from glm_magic.comparing.summary import summaries
from glm_magic.display.grid import Answer, Changes, Spot
from glm_magic.errors import GlmError, NotRecorded
from glm_magic.notebook.comparison import RunAt, Shown, encode
from glm_magic.notebook.runs import SavedRun
from glm_magic.settings.declared import number

# Between two looks at what the columns come to: a second, and so much more than a look takes, as with many runs.
_HEAD_SECONDS, _HEAD_SHARE = 1.0, 50


@dataclass(frozen=True, slots=True)
class Until:
    """When a comparison has asked enough: when all is asked, or already when each column is `decided`.

    Within `margin` of the baseline a column counts as equal.
    """

    decided: bool = False
    margin: float | None = None


ALL = Until()


class Comparing:
    """A comparison under way: iterate over its `changes`. `stop` ends it early; `end` notes that it has ended.

    Only runs that are neither known nor pending in a batch are asked. Raises `NotRecorded` if there are some and
    nothing may be asked: at once, or in `changes` if what is there may decide enough. A `comparison` that is given goes
    on with the runs of this plan.
    """

    def __init__(
        self,
        session: Session,
        planned: Planned,
        keeper: KeptRuns,
        *,
        until: Until = ALL,
        comparison: Comparison | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        plan, known, keeping, ask = planned.plan, planned.known, planned.keeping, planned.may_ask
        self._appraiser = planned.appraiser
        self._keeper, self._keeping = keeper, keeping
        self._at_once = int(number(plan.questions[0][0].settings, "concurrency"))
        self._limits = session.services.limits
        asked_of = {(each.endpoint, each.model): None for each in plan.questions[0]}
        self._asked_of = list(asked_of)
        runs: list[Run] = []
        missing: list[Spot] = []
        self._kept = 0
        for spot in plan.spots():
            run = blank(plan, spot)
            key = plan.key(spot)
            saved = known.of(key)
            if saved is not None:
                run = kept(saved, run, plan.question(spot), replayed=True)
                runs.append(self._scored(run))
                self._kept += 1
                keeper.note(keeping, key, saved)
            elif not ask and (failed := known.recorded.failed(key, known.place)) is not None:
                runs.append(replace(run, state="failed", error=GlmError(failed.error)))
            elif key in known.failed:
                runs.append(replace(run, state="failed", error=known.failed[key]))
            elif key in known.pending:
                runs.append(replace(run, state="pending", pending=known.pending[key]))
            elif known.by_batch:
                runs.append(run)
            else:
                missing.append(spot)
                runs.append(run)
        self._not_recorded = _not_recorded(plan, missing) if missing and not ask else None
        if self._not_recorded is not None and not until.decided:
            raise self._not_recorded
        if comparison is not None:
            comparison.grow(plan, runs)
        self.comparison = comparison or Comparison(
            plan,
            runs,
            planned.appraiser,
            margin=until.margin,
            anytime=until.decided,
            blind=plan.wanted.is_blind,
            baseline=plan.wanted.baseline,
        )
        rounds = Rounds(plan, missing)
        self._until = until
        self._rounds = rounds.by_units() if until.decided else rounds.all_at_once()
        self.asked = len(missing) if ask else 0
        self._plan = plan
        self._clock = clock
        self._began = clock()
        self._ended = 0
        self._heads_at = 0.0
        self._session = session
        self._circumstances = planned.batches.circumstances
        self._workers = planned.workers
        self._running = self._asking(())
        self._scored_spots: set[Spot] = set()
        self._tell(in_flight=0 if missing else None)

    def changes(self) -> Iterator[Changes]:
        """Ask and score until the end, and yield what changes, at least ten times a second."""
        self._began = self._clock()
        yield from self._judged_changes()  # of what is kept
        if self._not_recorded is not None and not self._is_decided():
            raise self._not_recorded
        for spots in self._rounds:
            if self._until.decided and self._is_decided():
                return
            self._running = self._asking(spots)
            self._running.start()
            is_over = False
            while not is_over:
                is_over = self._running.is_over  # before its news, of which none is missed then
                yield self._taken(self._running.news(0 if is_over else PULL_SECONDS))
            yield from self._judged_changes()

    def _asking(self, spots: Sequence[Spot]) -> Running | OnExecutor:
        if self._workers is not None:
            ledger = self._session.services.ledger
            return OnExecutor(
                self._workers, self._plan, spots, keep=self._keep, ledger=ledger, appraiser=self._appraiser
            )
        return Running(
            self._session,
            self._plan,
            spots,
            at_once=self._at_once,
            keep=self._keep,
            circumstances=self._circumstances,
        )

    def _is_decided(self) -> bool:
        """Whether each column is decided against the baseline."""
        differences = [found.difference for found in self.comparison.summaries() if found.difference is not None]
        return bool(differences) and all(each.decided != "undecided" for each in differences)

    def _judged_changes(self) -> Iterator[Changes]:
        """Score what could not be scored run by run: pairs, and by judges; yield what changes."""
        if self._appraiser.is_simple:  # each run has been scored as it ended
            return
        needs_baseline = self._appraiser.scorer.is_pairwise
        pairs = [
            (run, baseline)
            for run, baseline in self.comparison.pairs()
            if run.spot not in self._scored_spots and (baseline is not None or not needs_baseline)
        ]
        for run in self._appraiser.each(pairs, self._at_once):
            answers = {}
            if run is not None:
                self._scored_spots.add(run.spot)
                self.comparison.put(run)
                answers[run.spot] = shown.answer(run)
            yield self._with_heads(Changes(answers))

    def _keep(self, saved: SavedRun) -> None:
        self._keeper.add(self._keeping, saved)

    def stop(self) -> None:
        """Stop what is under way; what has finished is kept. No code of the notebook runs any more."""
        for run in self._running.stop().ended:
            self.comparison.put(run)

    def end(self) -> None:
        """Note that nothing is under way any more."""
        for run in self.comparison:
            if run.state == "running":  # it did not let go of its connection in time
                self.comparison.put(replace(run, state="interrupted"))
        self._keeper.flush(self._keeping)
        self._tell(in_flight=None)

    def _scored(self, run: Run) -> Run:
        if not self._appraiser.scorer.names or not self._appraiser.is_simple:
            return run
        with self._appraiser.acting():
            return self._appraiser.scored(run)

    def _taken(self, news: News) -> Changes:
        answers: dict[Spot, Answer] = {}
        for spot in news.began:
            run = replace(self.comparison.at(spot), state="running")
            self.comparison.put(run)
            answers[spot] = shown.answer(run)
        for ended in news.ended:
            run = ended if ended.scores or ended.score_errors else self._scored(ended)  # unless a worker has scored it
            self.comparison.put(run)
            answers[run.spot] = shown.answer(run)
        self._ended += len(news.ended)
        if isinstance(self._running, OnExecutor):  # whose limiters are not known here
            self._tell(in_flight=self._running.number)
        else:
            paces = [self._limits.of(endpoint, model).pace for endpoint, model in self._asked_of]
            why = next((pace.reason for pace in paces if pace.reason), "")
            self._tell(in_flight=sum(pace.in_flight for pace in paces), why=why)
        return self._with_heads(Changes(answers, news.grown))  # a run may have begun and grown since the last look

    def _with_heads(self, changes: Changes) -> Changes:
        """Add the title, and about once a second what the columns come to: intervals are worked out at the end."""
        comparison = self.comparison
        title = (*shown.title(self._plan, comparison.states, comparison.progress, ()), *comparison.notes)
        now = self._clock()
        if now < self._heads_at:
            return replace(changes, title=title)
        found = summaries(
            comparison.columns,
            comparison,
            comparison.baseline_index,
            declared=comparison.scored_by,
            with_intervals=False,
        )
        heads = shown.columns(self._plan, found, comparison.primary, comparison.baseline_index)
        taken = self._clock() - now
        self._heads_at = now + max(_HEAD_SECONDS, _HEAD_SHARE * taken)
        return replace(changes, title=title, columns=heads)

    def _tell(self, *, in_flight: int | None, why: str = "") -> None:
        self.comparison.progress = Progress(
            kept=self._kept,
            asked=self.asked,
            ended=self._ended,
            seconds=self._clock() - self._began,
            in_flight=in_flight,
            why=why,
            with_workers=self._workers is not None,
            is_decided=self._until.decided and in_flight is None and self._is_decided(),
        )


def _not_recorded(plan: Plan, missing: Sequence[Spot]) -> NotRecorded:
    row, column, repeat = missing[0]
    return NotRecorded(
        f"{len(missing):,} of {plan.wanted.total:,} answers of this comparison are not recorded; nothing was sent.",
        f"The first is of row {row}, column {plan.wanted.configurations[column].label}, repeat {repeat}.\n"
        "Ask them with --no-replay, then save the notebook (or set record=FILE.jsonl).",
    )


def bundle(comparison: Comparison, chat: str) -> dict[str, Any]:
    """Return what the notebook keeps of a comparison."""
    plan = comparison.plan
    runs = [
        RunAt(
            run.spot, plan.key(run.spot), run.saved, run.error.what if run.error is not None else "", dict(run.scores)
        )
        for run in comparison
    ]
    return encode(
        Shown(
            chat,
            _columns(plan),
            [shown.as_json(row) for row in comparison.rows] if plan.wanted.has_table else [],
            plan.wanted.repeats,
            runs,
            tuple(attempt.id for attempt in plan.before),
            comparison.baseline_index,
            comparison.judged,
            plan.place.call,
        )
    )


def pinned(plan: Plan, before: Any) -> Plan:
    """Return a plan whose baseline is the column that was the baseline `before`, as a bundle tells it, if it has it."""
    try:
        known = before["columns"][before["baseline"]]
        same = [at for at, column in enumerate(_columns(plan)) if {**column, "label": known["label"]} == known]
    except (TypeError, KeyError, IndexError):  # there was none, or the file is damaged
        return plan
    return replace(plan, wanted=replace(plan.wanted, baseline=same[0])) if same else plan


def _columns(plan: Plan) -> list[dict[str, Any]]:
    return [
        {
            "label": column.label,
            "variant": column.variant,
            "prompt": column.prompt,
            "model": plan.questions[0][at].model,
            "settings": list(shown.settings(plan, at)),
        }
        for at, column in enumerate(plan.wanted.configurations)
    ]
