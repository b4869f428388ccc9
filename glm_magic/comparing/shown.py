"""A comparison as the values of a grid."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from glm_magic.comparing.plan import Plan
from glm_magic.comparing.rows import is_missing
from glm_magic.comparing.runs import Run
from glm_magic.comparing.sentences import WITHOUT_SCIPY, sentence
from glm_magic.comparing.summary import Summary
from glm_magic.comparing.verdict import Estimate, Verdict, more_needed
from glm_magic.display.grid import Answer, Column, Grid, Interval, Row, State
from glm_magic.display.reply_facts import flaws, in_json
from glm_magic.display.tables import shorten
from glm_magic.errors import counted
from glm_magic.notebook.database import text_of

_SHORT = {"temperature": "t", "top_p": "p", "max_tokens": "max"}
_LONGEST_SETTING = 40  # characters
_LONGEST_LABEL = 16  # of a line below a plot
_LONGEST_ERROR = 80  # of a score
_LONGEST_VALUE = 200  # of a row's value
_LONGEST_NAME = 60  # of a column of the table
_MOST_SHADOWED = 5


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the runs are: how many were `kept`, are asked and have `ended`; and the `seconds` since the first.

    `in_flight` and `why` (requests wait, or ``""``) are None and ``""`` where nothing is under way. Those in flight are
    requests at once, or `with_workers` runs that an executor has been given.
    """

    kept: int = 0
    asked: int = 0
    ended: int = 0
    seconds: float = 0.0
    in_flight: int | None = None
    why: str = ""
    is_decided: bool = False
    with_workers: bool = False


def answer(run: Run) -> Answer:
    """Return a run as the grid shows it."""
    reply = run.reply
    facts: list[str] = []
    if reply is not None:
        if reply.seconds:  # of an answer in a batch nobody knows how long it took
            facts.append(f"{reply.seconds:.1f} s")
        if reply.usage is not None:
            facts.append(f"{reply.usage.completion_tokens} out")
        unusual = [flaw for flaw in flaws(reply) if flaw not in ("replayed", "interrupted")]
        facts += [flaw.partition(":")[0] for flaw in unusual]  # in every cell, what to do about it would be noise
    return Answer(
        run.text,
        run.state,
        reply.reasoning if reply is not None else "",
        run.error.what if run.error is not None else run.pending,
        tuple(facts),
        {**run.scores, **{name: f"{name}: {what}" for name, what in run.score_errors.items()}},
        run.rating,
        run.note,
        run.is_picked,
    )


def rows(plan: Plan) -> tuple[Row, ...]:
    """Return the rows of the grid, with their values as short texts."""
    if not plan.wanted.has_table:
        return tuple(Row(number) for number in range(1, len(plan.wanted.rows) + 1))
    return tuple(
        Row(number, {_name(name): _text(value) for name, value in row.items()})
        for number, row in enumerate(plan.wanted.rows, start=1)
    )


def columns(plan: Plan, found: Sequence[Summary], primary: str, baseline: int) -> tuple[Column, ...]:
    """Return the heads of the grid's columns; `primary` is the name of the score that decides."""
    several = len({column.prompt for column in plan.wanted.configurations}) > 1
    heads = []
    for at, summary in enumerate(found):
        column = summary.column
        verdict = summary.difference
        heads.append(
            Column(
                column.label,
                settings(plan, at),
                _column_facts(summary),
                _interval(summary.scores.get(primary)),
                primary,
                _interval(verdict) if at != baseline else None,
                verdict.decided if verdict is not None and verdict.decided != "undecided" else "",
                column.prompt if several else "",
            )
        )
    return tuple(heads)


def settings(plan: Plan, column: int) -> tuple[str, ...]:
    """Return what is set for a column, in short: its wording, its model, and what else is varied."""
    configuration = plan.wanted.configurations[column]
    model = plan.questions[0][column].model
    names = (configuration.variant, configuration.preset)
    facts = [shorten(name, _LONGEST_SETTING) for name in names if name]
    facts.append(f"{model} (embedded)" if plan.questions[0][column].is_embedded else model)
    for name, value in configuration.options.items():
        if name == "model":
            continue
        if name == "system":
            facts.append(shorten(f"system: {value}", _LONGEST_SETTING) if value else "no system message")
        else:
            facts.append(shorten(f"{_SHORT.get(name, name)} {_plain(value)}", _LONGEST_SETTING))
    return tuple(facts)


def short_label(plan: Plan, column: int) -> str:
    """Return what a column is called where there is little room, a few words a line: its letter, and what is varied."""
    configuration = plan.wanted.configurations[column]
    facts = list(settings(plan, column))
    if "model" not in configuration.options:
        del facts[bool(configuration.variant) + bool(configuration.preset)]
    return "\n".join([configuration.label, *(shorten(fact, _LONGEST_LABEL) for fact in facts)])


def title(plan: Plan, states: Mapping[State, int], progress: Progress, found: Sequence[Summary]) -> tuple[str, ...]:
    """Return the facts about the whole comparison; `states` says how many runs are in which state."""
    total = plan.wanted.total
    failed, interrupted, pending = (states.get(state, 0) for state in ("failed", "interrupted", "pending"))
    there = states.get("done", 0) + failed + interrupted
    facts = [plan.wanted.shape, f"{there:,} of {total:,}" if there < total else f"{total:,} answers"]
    if failed:
        facts[-1] = f"{total - failed:,} of {total:,} answers" if there == total else facts[-1]
        facts.append(f"{failed:,} failed")
    if there < total and progress.is_decided:
        facts.append("decided: the rest need not be asked")
    elif interrupted or (there + pending < total and progress.in_flight is None):
        facts.append(f"{interrupted + total - there - pending:,} not asked to the end: run the cell again")
    if pending:
        facts.append(f"{pending:,} pending in a batch")
    if progress.kept and progress.asked:
        facts.append(f"{progress.kept:,} kept, {progress.asked:,} asked")
    if progress.in_flight is not None:
        where = "with the workers" if progress.with_workers else "at once"
        facts.append(f"{progress.in_flight:,} {where}{_time_left(progress)}")
        if progress.why:
            facts.append(progress.why)
    facts += _money(_together(found))
    if plan.before:
        facts.append(f"{counted(len(plan.before), 'earlier turn')} sent")
    return tuple(facts)


def verdicts(plan: Plan, found: Sequence[Summary], primary: str, baseline: int) -> tuple[str, ...]:
    """Return what is decided between the columns and the baseline, a sentence for each."""
    compared = {each.column.label: each.difference for each in found if each.difference is not None}
    if compared and all(verdict.why == "no scipy" for verdict in compared.values()):
        return (WITHOUT_SCIPY,)
    against = found[baseline].column.label
    return tuple(
        sentence(
            verdict,
            name=name,
            baseline=against,
            score=primary,
            columns=len(compared),
            more=_more(plan, verdict, found),
        )
        for name, verdict in compared.items()
    )


def grid(
    plan: Plan,
    runs: Sequence[Run],
    found: Sequence[Summary],
    *,
    primary: str,
    baseline: int,
    progress: Progress,
    notes: tuple[str, ...] = (),
    more: bool = False,
) -> Grid:
    """Return the whole comparison as a grid; `notes` stand at the end of its title. It may offer to ask `more`."""
    wanted = plan.wanted
    shape = range(len(wanted.rows)), range(len(wanted.configurations)), range(wanted.repeats)
    answers = tuple(
        tuple(tuple(answer(runs[plan.index((row, column, repeat))]) for repeat in shape[2]) for column in shape[1])
        for row in shape[0]
    )
    return Grid(
        (*title(plan, Counter(run.state for run in runs), progress, found), *notes),
        columns(plan, found, primary, baseline),
        rows(plan),
        answers,
        verdicts(plan, found, primary, baseline),
        baseline,
        more=_offer(plan, found) if more and progress.in_flight is None else "",
    )


def _offer(plan: Plan, found: Sequence[Summary]) -> str:
    """Return what asking each question once more would be, and about what it would cost."""
    requests = len(plan.wanted.rows) * len(plan.wanted.configurations)
    return f"ask {requests:,} more" + "".join(f" ≈ {amount}" for amount in _expected(requests, found))


def shadowed(columns: Collection[str], known: Collection[str]) -> tuple[str, ...]:
    """Return which names of the notebook the columns of a table hide, and that `row` hides a column."""
    names = [_name(name) for name in columns if name in known]
    shown = ", ".join(names[:_MOST_SHADOWED]) + (" …" if len(names) > _MOST_SHADOWED else "")
    hidden = [f"hidden by a column of the table: {shown}"] if names else []
    return (*hidden, *(['the column row is row["row"]: row is the whole row'] if "row" in columns else []))


def _column_facts(summary: Summary) -> tuple[str, ...]:
    facts = []
    if summary.median_seconds is not None and summary.p95_seconds is not None:
        facts.append(f"{summary.median_seconds:.1f} s (p95 {summary.p95_seconds:.1f})")
    if summary.done and summary.completion_tokens:
        facts.append(f"{summary.completion_tokens / summary.done:.0f} out")
    facts += _money(summary.costs)
    if summary.failed:
        facts.append(f"{summary.failed:,} failed")
    if summary.score_errors:
        facts.append(f"{summary.score_errors:,} not scored ({shorten(summary.score_error, _LONGEST_ERROR)})")
    return tuple(facts)


def _together(found: Sequence[Summary]) -> dict[str, float]:
    """Return what all columns cost, by currency."""
    costs: dict[str, float] = {}
    for summary in found:
        for currency, cost in summary.costs.items():
            costs[currency] = costs.get(currency, 0.0) + cost
    return costs


def _money(costs: Mapping[str, float]) -> list[str]:
    """Return costs by currency in words; nothing if they are nothing."""
    amounts = [f"{cost:.6f} {currency}" for currency, cost in costs.items() if cost]
    return [" + ".join(amounts)] if amounts else []


def _expected(requests: int, found: Sequence[Summary]) -> list[str]:
    """Return about what more requests would cost in words, after what those that are answered have cost."""
    done = max(sum(each.done for each in found), 1)
    return _money({currency: cost / done * requests for currency, cost in _together(found).items()})


def _interval(found: Estimate | Verdict | None) -> Interval | None:
    return None if found is None or found.mean is None else Interval(found.mean, found.low, found.high)


def _more(plan: Plan, verdict: Verdict, found: Sequence[Summary]) -> str:
    """Return about how many more requests would decide an undecided column, and what they would cost."""
    per_unit = len(found) * (1 if verdict.is_one_row else plan.wanted.repeats)
    needed = more_needed(verdict, per_unit=per_unit)
    if not needed:
        return ""
    cost = "".join(f" (about {amount})" for amount in _expected(needed, found))
    return f"a difference of this size takes about {needed:,} more requests to show{cost}"


def _time_left(progress: Progress) -> str:
    left = progress.asked - progress.ended
    if not progress.ended or not left:
        return ""
    seconds = progress.seconds / progress.ended * left
    return f", about {math.ceil(seconds)} s left" if seconds < 120 else f", about {math.ceil(seconds / 60)} min left"


def _text(value: object) -> str:
    if is_missing(value):
        return ""
    return _cut(str(value), _LONGEST_VALUE)


def _name(column: str) -> str:
    return _cut(column, _LONGEST_NAME)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else in_json(value)


def as_json(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a row as JSON: what JSON does not have becomes text."""
    return {text_of(name): _json(value) for name, value in values.items()}


def _json(value: Any) -> Any:
    if is_missing(value):
        return None
    if hasattr(value, "item") and not isinstance(value, (str, bytes)):  # numpy's numbers
        try:
            value = value.item()
        except (TypeError, ValueError):
            return _text(value)
    if isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    return text_of(str(value))
