"""What the runs of each column come to: scores, intervals, the difference from the baseline, time and cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean, median, quantiles

from glm_magic.comparing.axes import Configuration
from glm_magic.comparing.runs import Run
from glm_magic.comparing.verdict import Estimate, Verdict, interval, paired, shared_level

RATED = "rated"  # the score that the ratings by hand are


@dataclass(frozen=True, slots=True)
class Summary:
    """One column: how many runs it has and how they ended, and what they took.

    `scores` are by name. `difference` is that of the first score from the baseline; None for the baseline itself,
    and where there is no score. Times are in seconds, None without an answer; `costs` are by currency, as far as they
    are known.
    `score_errors` counts the answers that a score raised for, and `score_error` is what it raised most often.
    """

    column: Configuration
    runs: int
    done: int
    failed: int
    scores: Mapping[str, Estimate] = field(default_factory=dict)
    difference: Verdict | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    costs: Mapping[str, float] = field(default_factory=dict)
    median_seconds: float | None = None
    p95_seconds: float | None = None
    score_errors: int = 0
    score_error: str = ""


def summaries(
    columns: Sequence[Configuration],
    runs: Sequence[Run],
    baseline: int = 0,
    *,
    margin: float | None = None,
    anytime: bool = False,
    declared: Sequence[str] = (),
    with_intervals: bool = True,
) -> tuple[Summary, ...]:
    """Return the summary of each column; `runs` are those of the whole comparison.

    The scores are named as `score_names` does. Without intervals, which take time, the scores are means alone.
    """
    names = score_names(runs, declared)
    by_column: list[list[Run]] = [[] for _ in columns]
    for run in runs:
        by_column[run.spot[1]].append(run)
    rows = 1 + max((run.spot[0] for run in runs), default=-1)
    level = shared_level(len(columns) - 1)
    first = names[0] if names else ""
    against = _rows(by_column[baseline], first, rows) if names else []
    estimate = interval if with_intervals else _mean
    found = []
    for at, (column, own) in enumerate(zip(columns, by_column, strict=True)):
        difference = None
        if names and at != baseline and with_intervals:
            difference = paired(against, _rows(own, first, rows), level=level, margin=margin, anytime=anytime)
        found.append(_summary(column, own, {name: estimate(_rows(own, name, rows)) for name in names}, difference))
    return tuple(found)


def score_names(runs: Sequence[Run], declared: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the names of the scores: those of the `declared` functions, in their order; ratings by hand come last.

    A function that has raised for every answer counts too, so that another does not decide in its place.
    """
    found = dict.fromkeys(name for run in runs for name in run.scores)
    raised = {name for run in runs for name in run.score_errors}
    names: dict[str, None] = {}
    for function in declared:
        own = [name for name in found if name == function or name.startswith(f"{function}.")]
        names.update(dict.fromkeys(own or ([function] if function in raised else [])))
    names.update(found)
    if any(run.rating is not None for run in runs):
        names[RATED] = None
    return tuple(names)


def score_of(run: Run, name: str) -> float | None:
    """Return a score of a run as a number, None if it has none."""
    if name == RATED and RATED not in run.scores:
        return None if run.rating is None else float(run.rating)
    value = run.scores.get(name)
    return None if value is None else float(value)


def _summary(
    column: Configuration, runs: Sequence[Run], scores: Mapping[str, Estimate], difference: Verdict | None
) -> Summary:
    done = [run.reply for run in runs if run.is_done and run.reply is not None]
    usages = [reply.usage for reply in done if reply.usage is not None]
    costs: dict[str, float] = {}
    for reply in done:
        if reply.cost is not None:
            costs[reply.currency] = costs.get(reply.currency, 0.0) + reply.cost
    seconds = [reply.seconds for reply in done if reply.seconds]  # not those that came in a batch
    errors = Counter(f"{name}: {what}" for run in runs for name, what in run.score_errors.items())
    return Summary(
        column,
        len(runs),
        len(done),
        sum(run.state == "failed" for run in runs),
        scores,
        difference,
        sum(usage.prompt_tokens for usage in usages),
        sum(usage.completion_tokens for usage in usages),
        costs,
        median(seconds) if seconds else None,
        quantiles(seconds, n=20, method="inclusive")[-1] if len(seconds) > 1 else (seconds[0] if seconds else None),
        sum(bool(run.score_errors) for run in runs),
        next((what for what, _ in errors.most_common(1)), ""),
    )


def _mean(rows: Sequence[Sequence[float | None]]) -> Estimate:
    units = [fmean(known) for row in rows if (known := [score for score in row if score is not None])]
    return Estimate(fmean(units) if units else None, None, None, len(units))


def _rows(runs: Sequence[Run], name: str, rows: int) -> list[list[float | None]]:
    by_row: list[list[float | None]] = [[] for _ in range(rows)]
    for run in runs:
        by_row[run.spot[0]].append(score_of(run, name))
    return by_row
