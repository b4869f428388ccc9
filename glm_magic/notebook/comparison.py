"""A comparison as the JSON that stands beside its grid in the notebook.

Version 1. What many runs share stands once: the questions, the system messages, the parameters of a column.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from glm_magic.chat.fingerprint import canonical
from glm_magic.errors import HistoryError, quoted
from glm_magic.notebook.bundle import attempt_of, fields_of
from glm_magic.notebook.runs import FailedRun, RunKey, SavedRun

MIME_TYPE = "application/vnd.glm-magic.comparison+json"
VERSION = 1

MOST_CHARACTERS = 2_000_000  # beyond them, runs are left out; the store and the record have them

_UNANSWERED = _FAILED, _MISSING = "failed", "missing"
_SHARED = ("after", "new", "role", "system", "messages", "parameters", "fingerprint")


@dataclass(frozen=True, slots=True)
class RunAt:
    """A run as a comparison shows it: its row, column and repeat (each from 0), and its answer or its error."""

    spot: tuple[int, int, int]
    key: RunKey
    saved: SavedRun | None = None
    error: str = ""
    scores: Mapping[str, Any] = field(default_factory=dict)


def encode(
    chat: str,
    *,
    columns: Sequence[Mapping[str, Any]],
    rows: Sequence[Mapping[str, Any]],
    repeats: int,
    runs: Sequence[RunAt],
    after: Sequence[str],
    baseline: int,
    judged: Sequence[SavedRun],
    call: int,
) -> dict[str, Any]:
    """Return the bundle of a comparison, whose `columns` and `rows` are JSON.

    `after` are the ids of the turns that each run was sent after, `judged` the answers of judges. `call` is the index
    of its question in one run of its cell. Where the bundle would have more than two million characters, runs are left
    out from the end: ``left_out`` says how many.
    """
    questions: dict[str, int] = {}
    systems: dict[str, int] = {}
    parameters: dict[str, int] = {}
    written: list[dict[str, Any]] = []
    size = len(json.dumps([columns, rows], ensure_ascii=False))
    for run in runs:
        before = len(questions) + len(systems) + len(parameters)
        data = _run(run, questions, systems, parameters)
        size += len(json.dumps(data, ensure_ascii=False))
        if len(questions) + len(systems) + len(parameters) > before and run.saved is not None:
            size += len(run.saved.attempt.question) + len(run.saved.attempt.system)
        if size > MOST_CHARACTERS:
            break
        written.append(data)
    judging = [_run(RunAt((-1, -1, -1), saved.key, saved), questions, systems, parameters) for saved in judged]
    return {
        "version": VERSION,
        "kind": "comparison",
        "chat": chat,
        "call": call,
        "after": list(after),
        "baseline": baseline,
        "repeats": repeats,
        "columns": [dict(column) for column in columns],
        "rows": [dict(row) for row in rows],
        "questions": [json.loads(text) for text in questions],
        "systems": list(systems),
        "parameters": [json.loads(text) for text in parameters],
        "runs": written,
        **({"judged": judging} if judging else {}),
        "left_out": len(runs) - len(written),
    }


def decode(data: Any, problems: list[str]) -> Iterator[SavedRun]:
    """Yield the runs of a bundle that have an answer; append a sentence to `problems` for each damaged one.

    Raises `HistoryError` if a later version wrote it, or if it is not a comparison.
    """
    version = data.get("version") if isinstance(data, dict) else None
    if isinstance(version, int) and version > VERSION:
        raise HistoryError(
            f"The comparison was written by a later glm_magic (version {version}; this one reads up to {VERSION}).",
            "Update glm_magic as it was installed.",
        )
    if version != VERSION or not isinstance(data.get("runs"), list):
        raise HistoryError("It is not a comparison that glm_magic wrote.")
    for number, run in enumerate([*data["runs"], *data.get("judged", ())], start=1):
        try:
            if run["state"] not in _UNANSWERED:
                yield _saved(run, data)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError, RecursionError) as error:
            problems.append(f"Run {number} is damaged ({type(error).__name__}: {quoted(str(error))}).")


def call_of(data: Any) -> int:
    """Return the index that a bundle has for its question in one run of its cell; 0 if it has none."""
    call = data.get("call") if isinstance(data, dict) else None
    return call if type(call) is int and call >= 0 else 0


def ids(data: Any) -> frozenset[str]:
    """Return the ids of the answers in a bundle, as far as it can be read."""
    if not isinstance(data, dict):
        return frozenset()
    runs = [each for name in ("runs", "judged") if isinstance(data.get(name), list) for each in data[name]]
    return frozenset(run["id"] for run in runs if isinstance(run, dict) and isinstance(run.get("id"), str))


def failures(data: Any) -> Iterator[FailedRun]:
    """Yield the runs of a bundle that failed, as far as they can be read."""
    runs = data.get("runs") if isinstance(data, dict) else None
    for run in runs if isinstance(runs, list) else ():
        with contextlib.suppress(KeyError, TypeError, ValueError, AttributeError):
            if run["state"] == _FAILED:
                key = RunKey("", str(run["fingerprint"]), int(run["nth"]), int(run["repeat"]))
                yield FailedRun(key, str(run["error"]))


def _run(run: RunAt, questions: dict[str, int], systems: dict[str, int], parameters: dict[str, int]) -> dict[str, Any]:
    saved = run.saved
    scores = {"scores": dict(run.scores)} if run.scores else {}
    if saved is None:  # whose service depends on who replays it
        known_by = {"fingerprint": run.key.fingerprint, "nth": run.key.nth, "repeat": run.key.repeat}
        state = _FAILED if run.error else _MISSING
        return {"at": list(run.spot), "state": state, "error": run.error, **known_by, **scores}
    attempt, key = saved.attempt, saved.key
    fields = {name: value for name, value in fields_of(attempt).items() if name not in _SHARED}
    return {
        "at": list(run.spot),
        **fields,
        "service": key.service,
        "fingerprint": key.fingerprint,
        "nth": key.nth,
        "repeat": key.repeat,
        "question": questions.setdefault(canonical(attempt.messages[0].to_api()).decode(), len(questions)),
        "system": systems.setdefault(attempt.system, len(systems)),
        "parameters": parameters.setdefault(json.dumps(attempt.parameters, ensure_ascii=False), len(parameters)),
        "messages": [message.to_api() for message in attempt.messages[1:]],
        **scores,
        **({"rating": saved.rating} if saved.rating is not None else {}),
        **({"rated_blind": True} if saved.was_blind else {}),
        **({"note": saved.note} if saved.note else {}),
        **({"picked": True} if saved.is_picked else {}),
    }


def _saved(run: dict[str, Any], data: dict[str, Any]) -> SavedRun:
    whole = {
        **run,
        "after": data["after"],
        "new": False,
        "role": "user",
        "system": data["systems"][run["system"]],
        "messages": [data["questions"][run["question"]], *run["messages"]],
        "parameters": data["parameters"][run["parameters"]],
    }
    canonical(whole)  # NaN or a lone surrogate, anywhere in it, could be neither sent nor saved
    key = RunKey(str(run["service"]), str(run["fingerprint"]), int(run["nth"]), int(run["repeat"]))
    rating = run.get("rating")
    return SavedRun(
        key,
        attempt_of(whole),
        rating if type(rating) is int else None,
        str(run.get("note", "")),
        is_picked=run.get("picked") is True,
        was_blind=run.get("rated_blind") is True,
    )
