"""A batch in words: what stands in the place of its answers, how far it is, and why it has no answer."""

from __future__ import annotations

import time

from glm_magic.errors import counted, quoted
from glm_magic.notebook.batches import PendingBatch
from glm_magic.protocol.batch_files import Batch


def waits(batch: PendingBatch, now: float) -> str:
    """Return what stands in the place of an answer; `now` is in seconds since the epoch."""
    since = clock_time(batch.since, now)
    return f"pending in {name(batch)} since {since}" if batch.id else f"may be in a batch since {since}"


def name(batch: PendingBatch) -> str:
    """Return what a batch is called."""
    if not batch.id:
        return f"a batch of {counted(batch.requests, 'request')}"
    id_ = quoted(batch.id)
    return id_ if id_.startswith("batch") else f"batch {id_}"


def progress(state: Batch) -> str:
    """Return how far a batch is that is not over."""
    status = quoted(state.status.replace("_", " "))
    if not state.total:
        return status
    failed = f", {state.failed:,} failed" if state.failed else ""
    return f"{status}, {state.completed:,} of {state.total:,} answered{failed}"


def why_unanswered(state: Batch) -> str:
    """Return why a request of a batch that is over has no answer."""
    match state.status:
        case "failed":
            problems = "; ".join(state.problems)
            return f"The service refused the batch: {problems}" if problems else "The service refused the batch."
        case "expired":
            return "The batch expired before this was answered."
        case "cancelled":
            return "The batch was cancelled before this was answered."
        case _:
            return "The batch returned no answer to this request."


def clock_time(when: float, now: float) -> str:
    """Return a time as a clock shows it, with the date if that is not today's; both are in seconds since the epoch."""
    then, today = time.localtime(when), time.localtime(now)
    return time.strftime("%H:%M" if then[:3] == today[:3] else "%Y-%m-%d %H:%M", then)
