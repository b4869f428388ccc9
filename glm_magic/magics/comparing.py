"""A cell that compares: its line becomes a plan, its runs are asked at once, and a grid shows them."""

from __future__ import annotations

import contextlib
import hashlib
import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from glm_magic.asking.ask import Circumstances
from glm_magic.asking.recordings import source_of
from glm_magic.chat.place import Place
from glm_magic.comparing import axes, submitting
from glm_magic.comparing.comparison import Comparison
from glm_magic.comparing.filling import Filling
from glm_magic.comparing.hands import Hands
from glm_magic.comparing.kept import Keeping
from glm_magic.comparing.pending import PendingBatches
from glm_magic.comparing.plan import Wanted
from glm_magic.comparing.planned import Planned, batched, prepared
from glm_magic.comparing.rows import Row, rows_of
from glm_magic.comparing.runs import Run
from glm_magic.comparing.scoring import scorer
from glm_magic.comparing.shown import shadowed
from glm_magic.comparing.under_way import Comparing, Until, bundle, pinned
from glm_magic.comparing.workers import executor
from glm_magic.display.grid import Action, GridView
from glm_magic.display.view import Show
from glm_magic.errors import Interrupted, OptionError, quoted
from glm_magic.magics import answering, forecasts, names, planning
from glm_magic.magics.background import Pending
from glm_magic.magics.parsing import AskLine
from glm_magic.magics.settings import change
from glm_magic.magics.shared import Shared
from glm_magic.magics.written import set_line
from glm_magic.notebook.bundle import MIME_TYPE as TURN
from glm_magic.notebook.comparison import MIME_TYPE as COMPARISON
from glm_magic.settings.presets import preset
from glm_magic.settings.setting import Value


def planned(shared: Shared, line: AskLine, text: str, place: Place) -> Planned:
    """Return what a cell compares; nothing is sent, and nothing changes. Raises `CellError` or `SetupError`."""
    wanted = _wanted(shared, line, text)
    wanted.check_size(yes=line.yes)
    scores = scorer(names.scores(line.scores, shared.names, known=shared.known_names), has_rows=wanted.has_table)
    settings = shared.session.layers.values(line.settings)
    source = source_of(settings["replay"], replay=line.replay)
    keeping = Keeping(place, bool(settings["save_turns"]), str(settings["record"] or ""), source)
    circumstances = Circumstances(acting=answering.acting)
    workers = None
    if line.executor:
        workers = executor(names.executor(line.executor, shared.names, known=shared.known_names), line.executor)
    asked = prepared(
        PendingBatches(shared.session, shared.kept_runs, keeping, settings, circumstances),
        wanted,
        scores,
        fresh=line.fresh,
        limited=not line.dry_run,
        acting=shared.interrupts.acting_at_once,
        notes=shadowed(wanted.rows[0], shared.known_names) if wanted.has_table else (),
        workers=workers,
    )
    before = None if line.blind else shared.kept_runs.shown_at(place, save=keeping.save)
    return replace(asked, plan=pinned(asked.plan, before))


def run(shared: Shared, asked: Planned, line: AskLine) -> Comparison | None:
    """Do what the cell says: ask what is missing, or, in a dry run, show what that would be.

    Raises `Interrupted` if the person stops it, and the first error if all runs failed.
    """
    if line.dry_run:
        _show_dry_run(shared, asked)
        return None
    if_stopped = "Run the cell again: it finds what was submitted." if line.batch else "Nothing was sent."
    with shared.before_asking(asked.plan.place, if_stopped):
        asked = _batched(shared, asked, line)
        until = Until(line.until_decided, line.margin)
        comparing = Comparing(asked, until=until)  # which scores what is kept
    comparison = comparing.comparison
    if line.background:
        return _in_background(shared, asked, line, comparing)
    page = _Page(shared, comparison, asked, line)
    page.begin()
    shared.bind(comparison, line.out)
    _follow(comparing, page, shared.interrupts.check)
    return comparison


def _show_dry_run(shared: Shared, asked: Planned) -> None:
    plan, pending = asked.plan, asked.known.pending
    waiting = sum(plan.key(spot) in pending for spot in plan.spots()) if pending else 0
    shared.outputs.show(forecasts.comparison_dry_run(plan, asked.to_ask, shared.session, pending=waiting))
    shared.keep_on_page(plan.place)


def _batched(shared: Shared, asked: Planned, line: AskLine) -> Planned:
    with shared.interrupts.acting_at_once():
        return batched(asked, fresh=line.fresh, saying=shared.outputs.saying)


def _in_background(shared: Shared, asked: Planned, line: AskLine, comparing: Comparing) -> Comparison:
    here, comparison = shared.outputs.here(), comparing.comparison
    pending = Pending("the comparison")
    page = _Page(shared, comparison, asked, line, show=here.show, pending=pending)
    page.begin()

    def work() -> None:
        error: BaseException | None = None
        try:
            _follow(comparing, page, pending.check)
        except BaseException as failure:
            error = failure
            here.fail(failure)
        finally:
            pending.end(comparison, error)

    shared.background.start(line.chat, asked.plan.place, pending, work)
    shared.bind(comparison, line.out)
    if not shared.outputs.is_a_page:
        shared.outputs.show_text("[the comparison runs in the background: _glm.wait()]")
    return comparison


def _follow(comparing: Comparing, page: _Page, check: Callable[[], None]) -> None:
    """Ask and score until the end; `check` raises `KeyboardInterrupt` where a person wants it to stop.

    Raises `Interrupted` then, and the first error if all runs failed.
    """
    comparison = comparing.comparison
    try:
        with comparing:
            for changes in comparing.changes():
                page.view.paint(changes)
                check()
    except KeyboardInterrupt:
        done = sum(run.is_done for run in comparison)
        raise Interrupted(
            f"Stopped. {done:,} of {len(comparison):,} answers are kept.", "Run the cell again for the rest."
        ) from None
    finally:
        page.settle()
    if comparison.error is not None:
        raise comparison.error


class _Page:
    """What the cell of a comparison shows and keeps, while it runs and as long as the kernel lives."""

    def __init__(
        self,
        shared: Shared,
        comparison: Comparison,
        asked: Planned,
        line: AskLine,
        *,
        show: Show | None = None,
        pending: Pending | None = None,
    ) -> None:
        self._shared = shared
        self._comparison = comparison
        self._asked = asked
        self._line = line
        self._key = _key(comparison)
        self.view: GridView = shared.outputs.grid_view(
            self._key, self._acted, live=shared.cells.have_ids, at_once=comparison.asks_nothing, show=show
        )
        comparison.notes = (*asked.notes, *asked.batches.notes)
        comparison.hands = Hands(
            self._changed,
            self._judged,
            self._pick,
            self._use,
            None if pending else self._more,
            pending,
            self._cancel,
        )

    def begin(self) -> None:
        """Take the turn's place in the conversation, and show the grid."""
        history = self._shared.session.history
        history.take_place(self._asked.plan.questions[0][0])
        self.view.begin(self._comparison.grid())

    def settle(self) -> None:
        """Show the grid as it is saved; a run that was picked before is the turn's answer again."""
        history, picked = self._shared.session.history, self._comparison.picked
        if picked is not None and picked.saved is not None:
            history.commit(self._asked.plan.question(picked.spot), picked.saved.attempt)
        else:
            history.retire(self._asked.plan.questions[0][0])
        self._comparison.notes += self._shared.session.recordings.problems()
        self.view.settle(self._comparison.grid(), self._attached())

    def _attached(self) -> dict[str, Any]:
        """Return what the notebook keeps: the comparison, and the turn, if it has an answer or earlier ones."""
        if not self._asked.batches.keeping.save or self._comparison.is_blind:  # a bundle names the configurations
            return {}
        history, first = self._shared.session.history, self._asked.plan.questions[0][0]
        kept = history.kept_without_answer(first)
        compared = bundle(self._comparison, self._line.chat)
        self._shared.kept_runs.show(self._asked.plan.place, compared)
        return {COMPARISON: compared, **({TURN: kept} if kept else {})}

    # --- what a person does ------------------------------------------------------------------

    def _acted(self, action: Action) -> None:
        comparison = self._comparison
        row, column, repeat = action.spot
        match action.kind:
            case "pick":
                comparison.pick(column, row, repeat)
            case "baseline":
                comparison.baseline(column)
            case "rate":
                comparison.rate(comparison.at(action.spot), action.value)
            case "note":
                run = comparison.at(action.spot)
                comparison.rate(run, run.rating, str(action.value))
            case "stop":
                comparison.stop()
            case "more":
                with contextlib.suppress(Interrupted):  # the grid shows what had come
                    comparison.ask_more()
            case "reveal":
                comparison.reveal()

    def _changed(self) -> None:
        self.view.rewrite(self._comparison.grid(), self._attached())

    def _judged(self, run: Run) -> None:
        assert run.saved is not None, "only an answer is rated"
        self._shared.kept_runs.judge(self._asked.batches.keeping, self._asked.plan.key(run.spot), run.saved)

    def _pick(self, run: Run) -> None:
        key = self._asked.plan.key
        saved = {key(other.spot): other.saved for other in self._comparison if other.saved is not None}
        self._shared.kept_runs.pick(self._asked.batches.keeping, saved)
        if run.saved is not None:
            self._shared.session.history.commit(self._asked.plan.question(run.spot), run.saved.attempt)

    def _more(self, repeats: int) -> None:
        asked, shared = self._asked, self._shared
        wanted = replace(asked.plan.wanted, repeats=asked.plan.wanted.repeats + repeats)
        plan = shared.kept_runs.latest = replace(asked.plan, wanted=wanted)
        known = replace(asked.known, kept=shared.kept_runs.of(asked.batches.keeping, plan.fingerprints), failed={})
        more = replace(asked, plan=plan, known=asked.batches.known(known, fresh=self._line.fresh), may_ask=True)
        submitting.check_missing(more.batches, plan, more.known)
        with shared.interrupts:
            if self._line.batch:
                more = _batched(shared, more, self._line)
                self._comparison.notes = (*more.notes, *more.batches.notes)
            self._asked = more
            until = Until(margin=self._line.margin)
            comparing = Comparing(more, until=until, comparison=self._comparison)
            self.view.begin(self._comparison.grid())
            _follow(comparing, self, shared.interrupts.check)

    def _cancel(self) -> str:
        with self._shared.interrupts, self._shared.interrupts.acting_at_once():
            return self._asked.batches.cancel()

    def _use(self, column: axes.Configuration) -> str:
        change(self._shared, column.options)
        return set_line(column.options)


def _wanted(shared: Shared, line: AskLine, text: str) -> Wanted:
    wishes = planning.wishes(shared, line)
    wordings = axes.variants(text) if line.variants else (axes.Variant("", text),)
    rows: tuple[Row, ...] = ({},)
    if line.each:
        rows = rows_of(names.table(line.each, shared.names, known=shared.known_names), line.each)
    filling = Filling(rows, bool(line.each), has_templates=not line.raw, names=shared.names)
    columns, baseline = axes.configurations(wordings, line.axes, _presets(shared, line)), 0
    if line.blind:
        columns, baseline = axes.shuffled(columns)
    return Wanted(
        rows,
        columns,
        line.repeats or 1,
        filling.message,
        filling.text,
        wishes,
        has_table=bool(line.each),
        baseline=baseline,
        is_blind=line.blind,
    )


def _presets(shared: Shared, line: AskLine) -> dict[str, dict[str, Value]]:
    """Return the settings of the presets that are compared, without those that the cell itself sets."""
    for name in line.presets:
        if line.presets.count(name) > 1:
            raise OptionError(f"--preset compares {quoted(name)} twice.", "To ask again, use -n.")
    if len(line.presets) < 2:
        return {"": {}}
    return {
        name: {of: value for of, value in preset(shared.files, name).items() if of not in line.settings}
        for name in line.presets
    }


def _key(comparison: Comparison) -> str:
    """Return the id by which the grid is found again: that of its answers where nothing is asked, else a new one."""
    if not comparison.asks_nothing or comparison.states["pending"]:
        return uuid.uuid4().hex[:16]
    known_by = (run.saved.attempt.id if run.saved else comparison.plan.key(run.spot).fingerprint for run in comparison)
    return hashlib.sha256(" ".join(known_by).encode()).hexdigest()[:16]
