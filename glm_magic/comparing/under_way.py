"""A comparison under way: what is kept is taken, what is missing is asked, and each answer is scored as it ends."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from glm_magic.comparing import rounds, shown
from glm_magic.comparing.comparison import Comparison
from glm_magic.comparing.on_executor import OnExecutor
from glm_magic.comparing.plan import Plan
from glm_magic.comparing.planned import Planned
from glm_magic.comparing.running import PULL_SECONDS, News, Running
from glm_magic.comparing.runs import Run, blank, kept
from glm_magic.comparing.shown import Progress
from glm_magic.display.grid import Answer, Changes, Spot
from glm_magic.errors import GlmError, NotRecorded
from glm_magic.notebook.comparison import RunAt, encode
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
    """A comparison under way: iterate over its `changes`, in its own context, which stops it where there is an error.

    Only runs that are neither known nor pending in a batch are asked. Raises `NotRecorded` if there are some and
    nothing may be asked: at once, or in `changes` if what is there may decide enough. A `comparison` that is given goes
    on with the runs of this plan.
    """

    def __init__(
        self,
        planned: Planned,
        *,
        until: Until = ALL,
        comparison: Comparison | None = None,
    ) -> None:
        plan = self._plan = planned.plan
        self._planned = planned
        self._appraiser = planned.appraiser
        self._until = until
        self._session = planned.batches.session
        self._keeper, self._keeping = planned.batches.keeper, planned.batches.keeping
        self._at_once = int(number(plan.questions[0][0].settings, "concurrency"))
        self._asked_of = list(dict.fromkeys((each.endpoint, each.model) for each in plan.questions[0]))
        runs = [self._known(spot) for spot in plan.spots()]
        self._kept = sum(run.is_done for run in runs)
        missing = [] if plan.wanted.wishes.in_batch else [run.spot for run in runs if run.state == "waiting"]
        self._not_recorded = _not_recorded(plan, missing) if missing and not planned.may_ask else None
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
        )
        self._rounds = rounds.by_units(plan, missing) if until.decided else rounds.all_at_once(missing)
        self._asked = len(missing) if planned.may_ask else 0
        self._began = time.monotonic()
        self._ended = 0
        self._heads_at = 0.0
        self._running = self._asking(())
        self._scored_spots: set[Spot] = set()
        self._tell(in_flight=0 if missing else None)

    def _known(self, spot: Spot) -> Run:
        """Return the run at a spot as it is known before anything is asked."""
        plan, known = self._plan, self._planned.known
        run, key = blank(plan, spot), plan.key(spot)
        saved = known.of(key)
        if saved is not None:
            self._keeper.note(self._keeping, key, saved)
            return self._scored(kept(saved, run, plan.question(spot), replayed=True))
        failed = None if self._planned.may_ask else known.recorded.failed(key, known.place)
        if failed is not None:
            return replace(run, state="failed", error=GlmError(failed.error))
        if key in known.failed:
            return replace(run, state="failed", error=known.failed[key])
        if key in known.pending:
            return replace(run, state="pending", pending=known.pending[key])
        return run

    def changes(self) -> Iterator[Changes]:
        """Ask and score until the end, and yield what changes, at least ten times a second."""
        self._began = time.monotonic()
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
        workers = self._planned.workers
        if workers is not None:
            ledger = self._session.services.ledger
            return OnExecutor(workers, self._plan, spots, keep=self._keep, ledger=ledger, appraiser=self._appraiser)
        return Running(
            self._session,
            self._plan,
            spots,
            at_once=self._at_once,
            keep=self._keep,
            circumstances=self._planned.batches.circumstances,
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

    def __enter__(self) -> Comparing:  # noqa: PYI034 - Self is of Python 3.11
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        """Stop what is under way after an error, and note that nothing is; no code of the notebook runs any more."""
        if error is not None:
            for run in self._running.stop().ended:
                self.comparison.put(run)
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
            paces = [self._session.services.limits.of(endpoint, model).pace for endpoint, model in self._asked_of]
            why = next((pace.reason for pace in paces if pace.reason), "")
            self._tell(in_flight=sum(pace.in_flight for pace in paces), why=why)
        return self._with_heads(Changes(answers, news.grown))  # a run may have begun and grown since the last look

    def _with_heads(self, changes: Changes) -> Changes:
        """Add the title, and about once a second what the columns come to: intervals are worked out at the end."""
        comparison = self.comparison
        title = (*shown.title(self._plan, comparison.states, comparison.progress, ()), *comparison.notes)
        now = time.monotonic()
        if now < self._heads_at:
            return replace(changes, title=title)
        found = comparison.summaries(with_intervals=False)
        heads = shown.columns(self._plan, found, comparison.primary, comparison.baseline_index)
        taken = time.monotonic() - now
        self._heads_at = now + max(_HEAD_SECONDS, _HEAD_SHARE * taken)
        return replace(changes, title=title, columns=heads)

    def _tell(self, *, in_flight: int | None, why: str = "") -> None:
        self.comparison.progress = Progress(
            kept=self._kept,
            asked=self._asked,
            ended=self._ended,
            seconds=time.monotonic() - self._began,
            in_flight=in_flight,
            why=why,
            with_workers=self._planned.workers is not None,
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
        chat,
        columns=_columns(plan),
        rows=[shown.as_json(row) for row in comparison.rows] if plan.wanted.has_table else [],
        repeats=plan.wanted.repeats,
        runs=runs,
        after=[attempt.id for attempt in plan.before],
        baseline=comparison.baseline_index,
        judged=comparison.judged,
        call=plan.place.call,
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
