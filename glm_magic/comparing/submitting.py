"""Hands the missing runs of a comparison to the service's Batch API, each once, whatever happens meanwhile."""

from __future__ import annotations

import contextlib
import hashlib
import io
import itertools
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from glm_magic.asking.ask import attempt_of
from glm_magic.asking.question import Question
from glm_magic.chat.reply import Reply
from glm_magic.comparing import batch_words
from glm_magic.comparing.kept import BatchesOfCell, Known
from glm_magic.comparing.pending import PendingBatches
from glm_magic.comparing.plan import Plan
from glm_magic.display.grid import Spot
from glm_magic.errors import AnswerError, GlmError, HistoryError, OptionError, ServiceError, counted, quoted
from glm_magic.notebook.batches import PendingBatch, PendingRequest, name_of
from glm_magic.notebook.runs import RunKey
from glm_magic.protocol.batch_files import Batch, files, in_batch, read_result
from glm_magic.service.batch import CELL, LABEL, WITHOUT, Batches
from glm_magic.service.endpoint import Endpoint

_NO_KEY, _TIMEOUT, _TOO_MANY = 401, 408, 429
_MOST_LISTED = 1_000  # of the latest batches, among which one is looked for that the store has lost


def check_missing(pending: PendingBatches, plan: Plan, known: Known, *, limited: bool = True) -> None:
    """Check what is not known and would be asked now; nothing is sent.

    Raises `OptionError` if it is asked by batch and cannot be, or is pending in one that is not looked at; if it is
    `limited`, `OverWindow` or `OverBudget` if it is too much.
    """
    missing = plan.missing(known.lacks)
    overlooked = pending.keeper.overlooked(pending.keeping)
    waiting = sum(plan.key(spot) in overlooked for spot in missing) if overlooked else 0
    if waiting:
        raise OptionError(
            f"{waiting:,} of these requests {'are' if waiting > 1 else 'is'} pending in batches, which save_turns=off"
            " does not look at.",
            "Cancel or collect them first: %glm_config save_turns=on, and run the cell again.",
        )
    if plan.wanted.wishes.in_batch and missing:
        _check(plan, pending)
    if limited:
        pending.session.check_limits(*map(plan.question, missing))


def _check(plan: Plan, pending: PendingBatches) -> None:
    """Raise `OptionError` if what a plan asks cannot be asked in a batch; nothing is sent."""
    if any(tool.function is not None for tool in plan.wanted.wishes.tools):
        raise OptionError(
            "A batch asks each question once, so the model cannot call a function of the notebook.",
            "Ask without a batch (--batch, batch=True), or without tools.",
        )
    if any(question.is_embedded for question in plan.questions[0]):
        raise OptionError("The embedded model has no Batch API.", WITHOUT)
    if pending.cell is None:
        raise OptionError(
            "A batch needs a store that remembers it, and there is none here: save_turns=off, or no cell ids.",
            'Name a file for that: %glm_config record=answers.db, or compare(…, record="answers.db")',
        )


def submit(pending: PendingBatches, plan: Plan, known: Known, missing: list[Spot], *, fresh: bool) -> Known:
    """Submit the `missing` runs, a file or more for each model; return what is known then.

    The runs of a file that the service refuses have failed. Raises `AnswerError` if the service has no Batch API; then
    nothing is uploaded. Raises `HistoryError` if a batch cannot be written down; then it is not submitted. A `fresh`
    comparison is not answered by what another one has asked.
    """
    cell, endpoint = pending.cell, plan.question(missing[0]).endpoint
    assert cell is not None, "it was checked"
    assert endpoint is not None, "it was checked"
    if endpoint.base_url in pending.in_doubt:  # the service may have these requests already
        pending.notes.append("nothing more is submitted until the service lists the batch above")
        return known
    failed: dict[RunKey, GlmError] = {}
    try:
        with pending.session.services.batches(endpoint, pending.settings) as batches:
            batches.check()
            submission = _Submission(pending, plan, cell, endpoint, batches)
            if adopted := submission.adopt(missing, fresh=fresh):
                known = pending.collect(plan, known, adopted)
                missing = plan.missing(known.lacks)
            by_model: dict[str, list[Spot]] = {}
            for spot in missing:
                by_model.setdefault(plan.question(spot).model, []).append(spot)
            for spots in by_model.values():
                failed |= submission.submit(spots)
            if submission.has_submitted:
                again = "run the cell again without --fresh" if fresh else "run the cell again"
                pending.notes.append(f"{again} to collect the answers: a batch takes up to 24 hours")
    except HistoryError as error:
        raise HistoryError(
            f"A batch is written down before it is submitted, and that failed: {error.what}",
            f"{error.remedy}\nNothing is lost: run the cell again when the store can be written.".strip(),
        ) from None
    return pending.known(replace(known, failed={**known.failed, **failed}))


@dataclass(slots=True)
class _Submission:
    """The runs of one cell on their way to one endpoint."""

    pending: PendingBatches
    plan: Plan
    cell: BatchesOfCell
    endpoint: Endpoint
    batches: Batches
    has_submitted: bool = False

    def submit(self, spots: Sequence[Spot]) -> Mapping[RunKey, GlmError]:
        """Submit the runs at these spots, which ask one model; return those that have failed."""
        rest, failed = iter(spots), dict[RunKey, GlmError]()
        lines = (self.batches.line(name_of(self.plan.key(spot)), self.plan.question(spot).body) for spot in spots)
        for file in files(lines):
            part = list(itertools.islice(rest, len(file)))
            try:
                self._submit(part, b"".join(file))
            except AnswerError as error:
                failed |= dict.fromkeys(map(self.plan.key, part), error)
        return failed

    def _submit(self, spots: Sequence[Spot], content: bytes) -> None:
        pending, table, first = self.pending, self.cell.table, self.plan.question(spots[0])
        batch = PendingBatch(
            uuid.uuid4().hex, self.endpoint.base_url, first.model, first.price, pending.now, requests=len(spots)
        )
        if not table.intend(self.cell.notebook, self.cell.place, batch, map(self._request, spots), now=pending.now):
            pending.notes.append("another kernel has just submitted some of these requests: run the cell again")
            return
        try:
            file = self.batches.upload(io.BytesIO(content), f"glm_magic-{batch.label}.jsonl")
        except BaseException:
            with contextlib.suppress(HistoryError):  # else the next run does it
                table.end(batch.label, at="intended")
            raise
        if not table.creating(batch.label, file, now=pending.now):
            pending.notes.append(
                f"{counted(len(spots), 'request')} not submitted: another kernel took them over, or the store was"
                " deleted; run the cell again"
            )
            return
        made = self._created(batch, file)
        if made is None:
            return
        try:
            table.submitted(batch.label, made.id)
        except HistoryError as error:  # its label finds it
            pending.notes.append(f"The store of answers: {error.what}")
        expected = [pending.session.forecast(self.plan.question(spot)).cost or 0.0 for spot in spots]
        if first.price is not None:
            pending.session.services.ledger.expect(batch.label, first.price.currency, sum(expected))
        to = "" if self.plan.wanted.is_blind else f" to {first.model}"
        named = batch_words.name(replace(batch, id=made.id))
        pending.notes.append(f"{counted(len(spots), 'request')}{to} submitted as {named}")
        self.has_submitted = True

    def _created(self, batch: PendingBatch, file: str) -> Batch | None:
        """Create a batch; return None if it is not known whether that worked. Raises `ServiceError` if it did not."""
        where = {CELL: _digest(self.cell)} if self.cell.place.has_id else {}
        try:
            return self.batches.create(file, {LABEL: batch.label, **where})
        except AnswerError as error:
            if isinstance(error, ServiceError) and 400 <= error.status < 500 and error.status != _TIMEOUT:
                self.cell.table.end(batch.label, at="creating")
                raise
            with contextlib.suppress(AnswerError):
                if (made := self.batches.find(batch.label, file)) is not None:
                    return made
            self.pending.notes.append(f"{batch_words.name(batch)}: {error.what} Run the cell again to look for it.")
            return None

    def _request(self, spot: Spot) -> PendingRequest:
        question: Question = self.plan.question(spot)
        asked = attempt_of(question, Reply(""), self.pending.now)
        asked = replace(asked, messages=(question.message,), parameters=in_batch(asked.parameters))
        return PendingRequest(self.plan.key(spot), asked)

    # --- what the store has lost -----------------------------------------------------------------

    def adopt(self, missing: Sequence[Spot], *, fresh: bool) -> frozenset[str]:
        """Write down the batches of this cell that the service has and the store does not; return their labels.

        The store may have been deleted, or the machine have crashed before it was written.
        """
        if not self.cell.place.has_id:
            return frozenset()
        ours, table = _digest(self.cell), self.cell.table
        free = {name_of(self.plan.key(spot)): spot for spot in missing}  # the latest batch of a run counts
        known, adopted = table.labels(), set[str]()
        for found in itertools.islice(self.batches.all(), _MOST_LISTED):
            label = found.metadata.get(LABEL, "")
            if found.metadata.get(CELL) != ours or not label or label in known or (fresh and found.is_over):
                continue
            names = self._names(found)
            asked = [free.pop(name) for name in [*free] if name in names]
            question = self.plan.question(asked[0] if asked else missing[0])
            batch = PendingBatch(
                label=label,
                base_url=self.endpoint.base_url,
                model=question.model,
                price=question.price,
                since=found.created or self.pending.now,
                step="submitted",
                file=found.input_file,
                id=found.id,
            )
            where = self.cell.notebook, self.cell.place
            table.intend(*where, batch, map(self._request, asked), now=self.pending.now)
            if asked:
                adopted.add(label)
            else:  # it is remembered, and not looked at again
                table.end(label, at="submitted")
        return frozenset(adopted)

    def _names(self, found: Batch) -> frozenset[str]:
        """Return the names of a batch's requests: where its input file is deleted, of those it has results of.

        Raises `ServiceError` if nothing tells.
        """
        try:
            lines = map(read_result, self.batches.download(found.input_file))
            return frozenset(line.custom_id for line in lines if line is not None)
        except ServiceError as error:
            if not _is_withheld(error):
                raise
        if not found.is_over:
            raise ServiceError(
                f"The service has batch {quoted(found.id)} of this cell, which the store does not know, and its"
                " requests cannot be read. Nothing was submitted.",
                "Run the cell again when that batch is over.",
            )
        try:
            return frozenset(result.custom_id for result in self.batches.results(found))
        except ServiceError as error:
            if not _is_withheld(error):
                raise
            return frozenset()


def _is_withheld(error: ServiceError) -> bool:
    """Whether the service does not give a file: it is deleted, or not for this key. Asking again would not help."""
    return 400 <= error.status < 500 and error.status not in (_NO_KEY, _TIMEOUT, _TOO_MANY)


def _digest(cell: BatchesOfCell) -> str:
    return hashlib.sha256(f"{cell.place.cell} {cell.place.call}".encode()).hexdigest()[:16]
