"""`Comparison`: the runs of a comparison, what they come to, and what a person makes of them."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, overload

from glm_magic.comparing import frames, shown
from glm_magic.comparing.appraisal import Appraiser
from glm_magic.comparing.axes import Configuration
from glm_magic.comparing.difference import Difference
from glm_magic.comparing.hands import Hands
from glm_magic.comparing.plan import Plan
from glm_magic.comparing.runs import Run
from glm_magic.comparing.scoring import scorer
from glm_magic.comparing.shown import Progress
from glm_magic.comparing.summary import Summary, score_names, summaries
from glm_magic.display.grid import Grid, State, blinded
from glm_magic.errors import GlmError, OptionError, SetupError, did_you_mean, quoted
from glm_magic.notebook.runs import SavedRun

_JUDGED_AT_ONCE = 32


class Comparison(Sequence[Run]):
    """The answers of a comparison: a sequence of `Run`, counted from 0, by row, then by column, then by repeat.

    ::

        found[0].text           an answer
        found.summary()         one row per column: scores, intervals, the difference from the baseline, its verdict
        found.frame()           one row per answer, with the fields of its row
        found.plot()            the first score by column; or "tokens", "seconds", "cost"
        found.diff(0, 1)        two answers beside each other
        found.pick("B")         this answer is the turn's: later cells are sent after it

    Columns are named by their letter (``"B"``), by the name of their wording, or by their number from 0.
    """

    def __init__(
        self,
        plan: Plan,
        runs: Sequence[Run],
        appraiser: Appraiser,
        *,
        margin: float | None = None,
        anytime: bool = False,
    ) -> None:
        """`margin` and `anytime` are those of `verdict.paired`. A blind plan hides what tells the columns apart."""
        self._plan = plan
        self._runs = list(runs)
        self.states: Counter[State] = Counter(run.state for run in runs)  # how many runs are in which state
        self._appraisers = [appraiser]
        self._margin = margin
        self._anytime = anytime
        self._baseline = plan.wanted.baseline
        self._is_blind = plan.wanted.is_blind
        self._lock = threading.Lock()
        self.progress = Progress()
        self.notes: tuple[str, ...] = ()  # that the title of the grid ends with
        self.hands = Hands()

    # --- the runs --------------------------------------------------------------------------------

    @overload
    def __getitem__(self, at: int) -> Run: ...
    @overload
    def __getitem__(self, at: slice) -> list[Run]: ...
    def __getitem__(self, at: int | slice) -> Run | list[Run]:
        found = self._runs[at]
        return [*map(self._seen, found)] if isinstance(found, list) else self._seen(found)

    def __len__(self) -> int:
        return len(self._runs)

    def __iter__(self) -> Iterator[Run]:
        return map(self._seen, self._runs)

    def _seen(self, run: Run) -> Run:
        """Return a run as it may be shown."""
        return replace(run, is_blind=True, pending=run.pending and "pending") if self._is_blind else run

    def __repr__(self) -> str:
        done = sum(run.is_done for run in self._runs)
        pending = f", {self.states['pending']} pending in a batch" if self.states["pending"] else ""
        return f"Comparison({self._plan.wanted.shape}: {done} of {len(self)} answers{pending})"

    def __str__(self) -> str:
        return "\n\n".join(f"[{at}] {run.text}" for at, run in enumerate(self._runs))

    @property
    def done(self) -> bool:
        """Whether it has ended; one in the background (``--bg``) goes on after its cell."""
        return self.hands.pending is None or self.hands.pending.done

    def wait(self, timeout: float | None = None) -> Comparison:
        """Wait for at most `timeout` seconds for its end, and return it.

        Raises the error with which it ended, `StillPending` after `timeout`, `Interrupted` if it was stopped.
        """
        if self.hands.pending is not None:
            self.hands.pending.wait(timeout)
        return self

    def stop(self) -> None:
        """Stop it, if it runs in the background; what has finished is kept."""
        if self.hands.pending is not None:
            self.hands.pending.stop()

    def cancel(self) -> str:
        """Cancel what is pending at the service's Batch API (``--batch``), and return what came of that.

        What it has answered by then is collected when the cell runs again.
        """
        return self.hands.cancel()

    @property
    def plan(self) -> Plan:
        """What it asks."""
        return self._plan

    @property
    def columns(self) -> tuple[Configuration, ...]:
        """The configurations that are compared; of a blind comparison, their letters alone."""
        known = self._plan.wanted.configurations
        return tuple(Configuration(column.label, "") for column in known) if self._is_blind else tuple(known)

    @property
    def rows(self) -> tuple[Mapping[str, Any], ...]:
        """The rows of the table that is asked about; a single empty one where there is no table."""
        return tuple(self._plan.wanted.rows)

    @property
    def failed(self) -> list[Run]:
        """The runs that failed."""
        return [run for run in self._runs if run.state == "failed"]

    @property
    def error(self) -> GlmError | None:
        """The first error, if all runs have failed."""
        failed = self.failed
        return failed[0].error if len(failed) == len(self) else None

    @property
    def picked(self) -> Run | None:
        """The run whose answer is the turn's answer, if any."""
        return next((run for run in self._runs if run.is_picked), None)

    @property
    def cost(self) -> float | None:
        """The cost of all answers, in the currency of the price list; None if none is known."""
        costs = [run.reply.cost for run in self._runs if run.reply is not None and run.reply.cost is not None]
        return sum(costs) if costs else None

    # --- what they come to -----------------------------------------------------------------------

    def frame(self) -> Any:
        """Return one row per run, as a pandas DataFrame; without pandas as a polars one, or as a list of dicts."""
        return frames.frame(self._records())

    def summary(self) -> Any:
        """Return one row per column, as `frame` does: scores, intervals, difference from the baseline, verdict."""
        self._check_is_revealed("summary")
        found = self.summaries()
        compared = zip([each for each in found if each.difference is not None], self._verdicts(found), strict=False)
        sentences = {summary.column.label: text for summary, text in compared}
        return frames.frame(frames.summary_records(self._plan, found, sentences))

    def summaries(self, *, with_intervals: bool = True) -> tuple[Summary, ...]:
        """Return what each column comes to; without intervals, which take time, the scores are means alone."""
        return summaries(
            self._plan.wanted.configurations,
            self._runs,
            self._baseline,
            margin=self._margin,
            anytime=self._anytime,
            declared=self.scored_by,
            with_intervals=with_intervals,
        )

    def verdict(self) -> str:
        """Return what is decided between the columns, in sentences."""
        self._check_is_revealed("verdict")
        return "\n".join(self._verdicts(self.summaries()))

    def diff(self, first: int | Run, second: int | Run) -> Difference:
        """Return two answers beside each other, word by word; they are named by their numbers."""
        return Difference(*(self._run(each).text for each in (first, second)))

    def diff_prompts(self, first: int | str, second: int | str) -> Difference:
        """Return the wordings of two columns beside each other, word by word."""
        self._check_is_revealed("diff_prompts")
        return Difference(*(self.columns[self._column(each)].prompt for each in (first, second)))

    def plot(self, what: str = "") -> Any:
        """Draw a score, ``tokens``, ``seconds`` or ``cost`` by column, and return the figure, which a notebook shows.

        By default it is the first score, with its interval; without scores the seconds. The figure is matplotlib's:
        ``.axes[0]`` changes it, and ``.savefig("plot.png")`` writes it. Raises `SetupError` without matplotlib, which
        the extra ``explore`` installs, and `OptionError` for anything else.
        """
        try:
            from glm_magic.comparing.plots import plot  # noqa: PLC0415 - it needs matplotlib, which is slow to load
        except ImportError:
            raise SetupError("Plots need matplotlib.", '%pip install "glm_magic[explore]"') from None
        self._check_is_revealed("plot")
        labels = [shown.short_label(self._plan, at) for at in range(len(self.columns))]
        return plot(self.summaries(), labels, what or self.primary or "seconds")

    def to_csv(self, path: str | Path) -> None:
        """Write one row per run as CSV."""
        frames.to_csv(self._records(), path)

    def to_parquet(self, path: str | Path) -> None:
        """Write one row per run as Parquet, which pandas with pyarrow, or polars, does."""
        frames.to_parquet(self._records(), path)

    def to_jsonl(self, path: str | Path) -> None:
        """Write one line of JSON per run."""
        frames.to_jsonl(self._records(), path)

    # --- what a person makes of them -------------------------------------------------------------

    def rate(self, run: int | Run, rating: int | None, note: str | None = None) -> None:
        """Keep a rating from 1 to 5 (None takes it back), and a note, with a run. Raises `OptionError`."""
        if rating is not None and (type(rating) is not int or not 1 <= rating <= 5):
            raise OptionError(f"A rating is a whole number from 1 to 5, not {quoted(repr(rating))}.")
        found = self._run(run)
        if found.saved is None:
            raise OptionError(f"Run {self._plan.index(found.spot)} has no answer to rate.", "comparison.failed")
        words = found.note if note is None else note
        saved = replace(found.saved, rating=rating, note=words, was_blind=self._is_blind)
        changed = replace(found, rating=rating, note=words, saved=saved)
        self.put(changed)
        self.hands.judged(changed)
        self.hands.changed()

    def ask_more(self, repeats: int = 1) -> Comparison:
        """Ask each question `repeats` times more, and return the comparison.

        Raises `SetupError` outside a notebook, `OptionError` for a number below 1, `Interrupted` if it is stopped.
        """
        if type(repeats) is not int or repeats < 1:
            raise OptionError(f"repeats is a whole number of at least 1, not {quoted(repr(repeats))}.")
        if self.hands.more is None:
            raise SetupError("Only a cell's comparison can be asked more.", "Call compare() with more repeats.")
        self.hands.more(repeats)
        for appraiser in self._appraisers[1:]:  # the first has scored each answer as it came
            self._appraise(appraiser)
        return self

    def reveal(self) -> Comparison:
        """End the blindness (``--blind``): show which configuration gave which answer. Return the comparison."""
        self._is_blind = False
        self.hands.changed()
        return self

    @property
    def is_blind(self) -> bool:
        """Whether it hides which configuration gave which answer."""
        return self._is_blind

    def _check_is_revealed(self, what: str) -> None:
        if self._is_blind:
            raise OptionError(f"{what} would tell the columns apart.", "First end the blindness: _glm.reveal()")

    def score(self, *scores: Callable[..., Any]) -> Comparison:
        """Score all answers by further functions, without asking again; return the comparison.

        They take ``(reply)``, ``(reply, row)`` or ``(reply, baseline, row)``. Raises `OptionError` for anything else.
        """
        first = self._appraisers[0]
        appraiser = replace(first, scorer=scorer(list(scores), has_rows=self._plan.wanted.has_table))
        self._appraisers.append(appraiser)
        self._appraise(appraiser)
        return self

    def baseline(self, column: int | str, *, ask: bool = False) -> None:
        """Measure the other columns against this one.

        Scores of pairs are worked out anew. Where judges would be asked for that, `ask` must be true. Raises
        `OptionError` otherwise, and if there is no such column.
        """
        before, self._baseline = self._baseline, self._column(column)
        pairwise = [appraiser for appraiser in self._appraisers if appraiser.scorer.is_pairwise]
        requests = sum(appraiser.unknown(self.pairs()) for appraiser in pairwise)
        if requests and not ask:
            self._baseline = before
            raise OptionError(
                f"Judging against another baseline takes {requests:,} requests.",
                f"To ask them: comparison.baseline({column!r}, ask=True)",
            )
        for appraiser in pairwise:
            self._appraise(appraiser)
        self.hands.changed()

    def _appraise(self, appraiser: Appraiser) -> None:
        for run in appraiser.each(self.pairs(), _JUDGED_AT_ONCE):
            if run is not None:
                self.put(run)
        self.hands.changed()

    def pick(self, column: int | str, row: int = 0, repeat: int = 0) -> Run:
        """Make an answer the answer of this cell's turn; later cells are sent after it. Return its run.

        Raises `OptionError` if there is no such answer.
        """
        spot = (row, self._column(column), repeat)
        wanted = self._plan.wanted
        if not (0 <= row < len(wanted.rows) and 0 <= repeat < wanted.repeats):
            raise OptionError(
                f"There is no row {row} with a repeat {repeat}.",
                f"Rows are 0 to {len(wanted.rows) - 1}, repeats 0 to {wanted.repeats - 1}.",
            )
        run = self._runs[self._plan.index(spot)]
        if not run.is_done:
            raise OptionError("That run has no answer to pick.", "Run the cell again: it asks what is missing.")
        for other in self._runs:
            if other.is_picked != (other is run):
                saved = replace(other.saved, is_picked=other is run) if other.saved is not None else None
                self.put(replace(other, is_picked=other is run, saved=saved))
        run = self._runs[self._plan.index(spot)]
        if self.hands.pick is not None:
            self.hands.pick(run)
        self.hands.changed()
        return run

    def use(self, column: int | str) -> str:
        """Set a column's configuration as ``%glm_config`` would, and return that line.

        Raises `SetupError` outside a notebook, `OptionError` if there is no such column, or if nothing but its wording
        sets it apart.
        """
        self._check_is_revealed("use")
        configuration = self.columns[self._column(column)]
        if not configuration.options:
            raise OptionError(
                f"Column {configuration.label} has no options of its own to set.",
                f"Its wording: comparison.columns[{self._column(column)}].prompt",
            )
        if self.hands.use is None:
            raise SetupError("There is no %glm_config here.", f"Its settings: {dict(configuration.options)}")
        return self.hands.use(configuration)

    def pairs(self) -> list[tuple[Run, Run | None]]:
        """Return each run with an answer, with the baseline's run of the same row and repeat, if that has one."""
        found: list[tuple[Run, Run | None]] = []
        for run in self._runs:
            row, _, repeat = run.spot
            other = self.at((row, self._baseline, repeat))
            if run.is_done:
                found.append((run, other if other.is_done else None))
        return found

    @property
    def judged(self) -> list[SavedRun]:
        """The answers of the judges that scored it, in the order of their fingerprints: they come in any order."""
        judges = [appraiser.judges for appraiser in self._appraisers]
        found = {saved.attempt.id: saved for judge in judges for saved in judge.saved.values()}
        return sorted(found.values(), key=lambda saved: saved.key.fingerprint)

    # --- for who asks and shows it -----------------------------------------------------------------

    @property
    def baseline_index(self) -> int:
        """The number of the column that the others are measured against."""
        return self._baseline

    def put(self, run: Run) -> None:
        """Put a run in its place."""
        with self._lock:
            index = self._plan.index(run.spot)
            self.states[self._runs[index].state] -= 1
            self.states[run.state] += 1
            self._runs[index] = replace(run, is_blind=False) if run.is_blind else run

    def grow(self, plan: Plan, runs: Sequence[Run]) -> None:
        """Go on with a plan that asks more, and its runs; their scores are worked out anew."""
        with self._lock:
            self._plan, self._runs = plan, list(runs)
            self.states = Counter(run.state for run in runs)

    def at(self, spot: tuple[int, int, int]) -> Run:
        """Return the run at a spot."""
        return self._runs[self._plan.index(spot)]

    def grid(self) -> Grid:
        """Return it as it is shown."""
        found = self.summaries()
        whole = shown.grid(
            self._plan,
            self._runs,
            found,
            primary=self.primary,
            baseline=self._baseline,
            progress=self.progress,
            notes=self.notes,
            more=self.hands.more is not None,
        )
        return blinded(whole) if self._is_blind else whole

    @property
    def asks_nothing(self) -> bool:
        """Whether all answers, those of judges too, are there already."""
        if self.progress.asked:
            return False
        judging = [each for each in self._appraisers if each.scorer.judges]
        try:
            return not any(each.unknown(self.pairs()) for each in judging)
        except GlmError:  # a judge that cannot be asked: its scores say so
            return False

    @property
    def scored_by(self) -> tuple[str, ...]:
        """The names of the functions that score it, in their order."""
        return tuple(name for appraiser in self._appraisers for name in appraiser.scorer.names)

    @property
    def primary(self) -> str:
        """The name of the score that decides: the first; ``""`` without scores."""
        return next(iter(score_names(self._runs, self.scored_by)), "")

    def _verdicts(self, found: Sequence[Summary]) -> tuple[str, ...]:
        return shown.verdicts(self._plan, found, self.primary, self._baseline)

    def _records(self) -> list[dict[str, Any]]:
        return (frames.blind_records if self._is_blind else frames.records)(self._plan, self._runs)

    def _run(self, which: int | Run) -> Run:
        if isinstance(which, Run):
            return self.at(which.spot)
        try:
            return self._runs[which]
        except (IndexError, TypeError):
            raise OptionError(f"There is no run {which!r}.", f"Runs are 0 to {len(self) - 1}.") from None

    def _column(self, which: int | str) -> int:
        """Return the number of a column. Raises `OptionError` if there is none."""
        names: dict[str | int, int] = {}
        for at, column in enumerate(self.columns):
            names |= {at: at, column.label: at}
            if column.variant:
                names.setdefault(column.variant, at)
        if which in names:
            return names[which]
        known = ", ".join(column.label for column in self.columns)
        raise OptionError(
            f"There is no column {quoted(repr(which))}.",
            did_you_mean(str(which), map(str, names), f"There are {known}."),
        )
