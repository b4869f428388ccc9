"""A comparison as a table: one row per run, or one per column."""

from __future__ import annotations

import contextlib
import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from glm_magic.comparing.axes import Configuration
from glm_magic.comparing.plan import Plan
from glm_magic.comparing.runs import Run
from glm_magic.comparing.shown import as_json
from glm_magic.comparing.summary import Summary
from glm_magic.errors import HistoryError, SetupError


def records(plan: Plan, runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Return a dict per run: its configuration, the fields of its row, its answer, its scores, its error.

    A field of the row, or a score, that has the name of another value gets ``row.`` or ``score.`` before its name.
    """
    varied = _varied(plan)
    return [_record(plan, run, varied) for run in runs]


def blind_records(plan: Plan, runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Return of each run what does not tell which configuration gave it."""
    seen = ("column", "row", "repeat", "state", "text", "rating", "rated_blind", "note", "picked")
    return [
        {name: value for name, value in record.items() if name in seen or name.startswith("row.") or name in run.row}
        for record, run in zip(records(plan, runs), runs, strict=True)
    ]


def _record(plan: Plan, run: Run, varied: Sequence[str]) -> dict[str, Any]:
    question = plan.question(run.spot)
    reply = run.reply
    usage = reply.usage if reply is not None else None
    before = {**_configuration(run.column, question.model, varied), "row": run.spot[0]}
    answer = {
        "repeat": run.spot[2],
        "state": run.state,
        "text": reply.text if reply is not None else None,
        "finish_reason": reply.finish_reason if reply is not None else None,
        "prompt_tokens": usage.prompt_tokens if usage else None,
        "completion_tokens": usage.completion_tokens if usage else None,
        "cost": reply.cost if reply is not None else None,
        "currency": reply.currency if reply is not None and reply.cost is not None else None,
        "seconds": (reply.seconds or None) if reply is not None else None,  # of a batch, nobody knows
        "first_token_seconds": reply.first_token_seconds if reply is not None else None,
    }
    errors = [run.error.what] if run.error is not None else []
    errors += [f"{name}: {what}" for name, what in run.score_errors.items()]
    after = {
        "rating": run.rating,
        "rated_blind": run.saved is not None and run.saved.was_blind,
        "note": run.note,
        "picked": run.is_picked,
        "error": "; ".join(errors) or None,
    }
    own = {*before, *answer, *after, "variant"}  # reserved, also where there is one wording
    fields = {f"row.{name}" if name in own else name: value for name, value in as_json(run.row).items()}
    taken = {*own, *fields}
    scores = {f"score.{name}" if name in taken else name: value for name, value in run.scores.items()}
    return {**before, **fields, **answer, **scores, **after}


def _varied(plan: Plan) -> list[str]:
    """Return the names of the settings that are varied, but for the model."""
    names = dict.fromkeys(name for column in plan.wanted.configurations for name in column.options)
    return [name for name in names if name != "model"]


def _configuration(column: Configuration, model: str, varied: Sequence[str]) -> dict[str, Any]:
    return {
        "column": column.label,
        **({"variant": column.variant} if column.variant else {}),
        **({"preset": column.preset} if column.preset else {}),
        "model": model,
        **{name: column.options.get(name) for name in varied},
    }


def summary_records(plan: Plan, found: Sequence[Summary], sentences: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return a dict per column: what it is, its scores with their intervals, what its runs took, what is decided.

    `sentences` are the verdicts by the columns' labels. Wide tables are shown without their middle, so the first and
    the last of these are what matters most.
    """
    varied = _varied(plan)
    rows = []
    for at, summary in enumerate(found):
        column = summary.column
        row = _configuration(column, plan.questions[0][at].model, varied)
        taken = {
            "runs": summary.runs,
            "answers": summary.done,
            "failed": summary.failed,
            "prompt_tokens": summary.prompt_tokens,
            "completion_tokens": summary.completion_tokens,
            "cost": next(iter(summary.costs.values()), None),
            "currency": next(iter(summary.costs), None),
            "median_seconds": summary.median_seconds,
            "p95_seconds": summary.p95_seconds,
        }
        for score, estimate in summary.scores.items():
            name = score if score not in row and score not in taken else f"score.{score}"
            row |= {name: estimate.mean, f"{name} low": estimate.low, f"{name} high": estimate.high}
        decision: dict[str, Any] = {}
        if any(each.difference is not None for each in found):
            verdict = summary.difference
            row |= {
                "difference": verdict.mean if verdict else None,
                "difference low": verdict.low if verdict else None,
                "difference high": verdict.high if verdict else None,
            }
            decision = {
                "decided": verdict.decided if verdict else "baseline",
                "verdict": sentences.get(column.label, ""),
            }
        rows.append({**row, **taken, **decision})
    return rows


def frame(found: Sequence[Mapping[str, Any]]) -> Any:
    """Return records as a pandas DataFrame, without pandas as a polars one, without both as they are."""
    for make in (_pandas, _polars):
        with contextlib.suppress(ImportError):
            return make(found)
    return list(found)


def _pandas(found: Sequence[Mapping[str, Any]]) -> Any:
    import pandas  # noqa: ICN001, PLC0415 - only where the person has it

    return pandas.DataFrame(list(found))


def _polars(found: Sequence[Mapping[str, Any]]) -> Any:
    import polars  # noqa: ICN001, PLC0415

    return polars.DataFrame(list(found), infer_schema_length=None, strict=False)


def to_csv(found: Sequence[Mapping[str, Any]], path: str | Path) -> None:
    """Write records as CSV with a header. Raises `HistoryError` if the system refuses."""

    def write(target: Path) -> None:
        with target.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(found[0]) if found else [])
            writer.writeheader()
            writer.writerows(found)

    _written(path, write)


def to_jsonl(found: Sequence[Mapping[str, Any]], path: str | Path) -> None:
    """Write records as JSON Lines. Raises `HistoryError` if the system refuses."""
    lines = "".join(json.dumps(record, ensure_ascii=False, default=str) + "\n" for record in found)
    _written(path, lambda target: target.write_text(lines, encoding="utf-8"))


def to_parquet(found: Sequence[Mapping[str, Any]], path: str | Path) -> None:
    """Write records as Parquet, by polars, or else by pandas with pyarrow.

    Raises `HistoryError` if the system refuses, `SetupError` if there is no library that writes it.
    """

    def whole(target: Path) -> None:
        try:
            _polars(found).write_parquet(target)
        except ImportError:
            _pandas(found).to_parquet(target)

    try:
        _written(path, whole)
    except ImportError:
        raise SetupError("Parquet needs polars, or pandas with pyarrow.", "%pip install polars") from None


def _written(path: str | Path, write: Any) -> None:
    target = Path(path).expanduser()
    try:
        write(target)
    except OSError as error:
        raise HistoryError(f"{target} cannot be written: {error.strerror or error}.") from None
