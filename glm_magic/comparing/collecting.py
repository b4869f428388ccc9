"""One batch at the service: whether it is there, what it has answered, and its end."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace

from glm_magic.asking.ask import Circumstances
from glm_magic.asking.loop import Loop
from glm_magic.chat.events import AskedAgain, Event
from glm_magic.chat.messages import Message
from glm_magic.chat.reply import Reply
from glm_magic.comparing import batch_words
from glm_magic.comparing.running import unusable
from glm_magic.errors import AnswerError, AnswerMismatch, GlmError, ServiceError, counted, quoted
from glm_magic.notebook.batches import BatchTable, PendingBatch, PendingRequest
from glm_magic.notebook.runs import RunKey, SavedRun
from glm_magic.protocol.batch_files import Batch, Result
from glm_magic.service.batch import Batches
from glm_magic.service.ledger import Ledger
from glm_magic.tools.schemas import Schema

AGAIN = "Run the cell again to ask for the rest."

_SETTLED_SECONDS = 600.0  # no creation takes so long, so a batch that is not listed by then was never created
_AT_ONCE = 500  # answers that are written together
_GONE = (400, 404, 410)  # what services answer where an id is not theirs, or not any more


@dataclass(slots=True)
class Collected:
    """What was collected of a comparison: `runs` with an answer, those that have `failed`, and `notes` for the page.

    Requests with these `fingerprints` are those that the cell still asks, so their answers have to fit its `schema`.
    """

    fingerprints: frozenset[str] = frozenset()
    schema: Schema | None = None
    runs: dict[RunKey, SavedRun] = field(default_factory=dict)
    failed: dict[RunKey, GlmError] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


@dataclass(slots=True)
class BatchAtService:
    """A batch that is written down in the `table`, and its `service`. `now` is in seconds since the epoch.

    `keep` keeps runs, and returns whether they are written. What was collected is added to `found`.
    """

    batch: PendingBatch
    table: BatchTable
    service: Batches
    ledger: Ledger
    now: float
    circumstances: Circumstances
    keep: Callable[..., bool]
    found: Collected
    _failed: dict[RunKey, GlmError] = field(default_factory=dict)
    _useless: list[Reply] = field(default_factory=list)
    _is_written: bool = True

    @property
    def name(self) -> str:
        """What it is called on the page."""
        return batch_words.name(self.batch)

    def look(self) -> Batch | None:
        """Return it as the service has it; None if that has none, or if it is not known whether it has."""
        if self.batch.step == "submitted":
            found = self._found()
            if found is None:
                raise ServiceError(
                    f"{self.batch.base_url} does not have it, or another key submitted it. _glm.cancel() drops it; the"
                    " next run then asks again."
                )
            return found
        state = self.service.find(self.batch.label, self.batch.file)
        if state is not None:
            self.table.submitted(self.batch.label, state.id)
            self.batch = replace(self.batch, step="submitted", id=state.id)
            return state
        settled = self.batch.since + _SETTLED_SECONDS
        if self.now < settled:
            after = batch_words.clock_time(settled, self.now)
            self.found.notes.append(
                f"{self.name}: the service does not list it (yet); run the cell again after {after}"
            )
        else:
            self.table.end(self.batch.label, at="creating")
        return None

    def _found(self) -> Batch | None:
        """Return a submitted batch as the service has it; None if it has none with this id."""
        try:
            return self.service.get(self.batch.id)
        except ServiceError as error:
            if error.status not in _GONE:
                raise
            return None

    def collect(self) -> None:
        """Keep its answers if it is over, and end it then. Raises `AnswerError` if the service cannot be asked.

        What has come before a download broke off is kept; the rest is pending still.
        """
        state = self.look()
        if state is None:
            return
        if not state.is_over:
            self.found.notes.append(f"{self.name}: {batch_words.progress(state)}")
            return
        before = len(self.found.runs)
        try:
            for results in _in_parts(self.service.results(state)):
                self._take(results)
        except ServiceError as error:
            if error.status not in _GONE:
                raise
            self.found.notes.append(f"{self.name}: the service no longer has its answers")
        number = len(self.found.runs) - before
        self.found.notes.append(f"{self.name}: {state.status}, {counted(number, 'answer')} collected")
        if self._is_written:  # else the page says why, and it is collected again
            unanswered = GlmError(batch_words.why_unanswered(state), AGAIN)
            rest = self.table.keys(self.batch.label)
            self.found.failed |= {key: self._failed.get(key, unanswered) for key in rest}
            self._count(self._useless)
            self._end()

    def cancel(self) -> str:
        """Cancel it, and return what came of that. One that the service does not have is dropped."""
        if self.batch.step == "creating" and self.look() is None:
            return f"{self.name}: the service does not list it, so there is nothing to cancel."
        state = self._found()
        if state is None:
            self._end()
            return f"{self.name} was not found at the service and was dropped. Run the cell again to ask again."
        if state.lacks_answers:
            self._end()
            return f"{self.name} is completed, but the service names no file of its answers: it was dropped."
        if not state.is_over:
            state = self.service.cancel(self.batch.id)
        return f"{self.name} is {quoted(state.status)}. Run the cell again to collect what it has answered."

    def _end(self) -> None:
        self.table.end(self.batch.label, at="submitted")
        self.ledger.settle(self.batch.label)

    def _count(self, replies: Iterable[Reply]) -> None:
        for reply in replies:
            self.ledger.add(self.batch.model, 0, reply.usage, self.batch.price, is_free=False)

    def _take(self, results: Iterable[Result]) -> None:
        """Keep the answers among the results, and note what has failed."""
        found, batch, runs, replies = self.found, self.batch, dict[str, SavedRun](), list[Reply]()
        for result in results:
            request = self.table.request(batch.label, result.custom_id)
            if request is None or request.key in found.runs or request.key in self._failed:  # a wrong line, or a second
                continue
            schema = found.schema if request.key.fingerprint in found.fingerprints else None
            try:
                reply = read_reply(self.service.events(result, batch.model), schema, self.circumstances)
            except GlmError as error:
                self._failed[request.key] = error
                if isinstance(error, AnswerError) and error.partial is not None:  # of no use, and billed
                    self._useless.append(error.partial)
                continue
            replies.append(reply)
            runs[request.name] = found.runs[request.key] = answered(request, reply, batch)
        if self.keep(*runs.values()):
            self.table.answered(batch.label, runs)
            self._count(replies)  # not before: it may be collected again
        else:
            self._is_written = False


def read_reply(events: Iterable[Event], schema: Schema | None, circumstances: Circumstances) -> Reply:
    """Return the reply that the events of an answer come to, of which nobody knows how long it took.

    Raises `AnswerError` if it is not whole, or does not fit the schema; its `partial` is what there is then.
    """
    loop = Loop({"messages": ()}, lambda _: iter(events), lambda: 0.0, schema=schema, run_code=circumstances.run_code)
    error: AnswerError | None = None
    for event in loop:
        if isinstance(event, AskedAgain):
            error = AnswerMismatch(f"The answer does not fit: {event.reason}", AGAIN)
            break
    reply = loop.partial(first_token_seconds=None)
    error = error or unusable(reply)
    if error is not None:
        error.partial = reply
        raise error
    return reply


def answered(request: PendingRequest, reply: Reply, batch: PendingBatch) -> SavedRun:
    """Return the run of a request with its reply."""
    usage, price = reply.usage, batch.price
    attempt = replace(
        request.asked,
        id=hashlib.sha256(f"{batch.label} {request.name}".encode()).hexdigest()[:16],  # the same if it is read again
        messages=(*request.asked.messages, Message("assistant", reply.text)),
        usage=usage,
        cost=price.cost(usage) if price is not None and usage is not None else None,
        currency=price.currency if price is not None else reply.currency,
        reasoning=reply.reasoning,
        finish_reason=reply.finish_reason,
        model=reply.model or batch.model,
        sources=reply.sources,
        repeats_key=reply.repeats_key,
    )
    return SavedRun(request.key, attempt)


def _in_parts(results: Iterator[Result]) -> Iterator[list[Result]]:
    """Yield the results some at a time; what came before they broke off is yielded, too."""
    part: list[Result] = []
    try:
        for result in results:
            part.append(result)
            if len(part) == _AT_ONCE:
                yield part
                part = []
    except AnswerError:
        yield part
        raise
    yield part
