"""What a comparison has pending at the service's Batch API: it is written down, looked at, collected, cancelled."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, field, replace

from glm_magic.asking.ask import Circumstances
from glm_magic.asking.session import Session
from glm_magic.comparing import batch_words
from glm_magic.comparing.collecting import BatchAtService, Collected
from glm_magic.comparing.kept import BatchesOfCell, Keeping, KeptRuns, Known
from glm_magic.comparing.plan import Plan
from glm_magic.errors import GlmError, HistoryError, SetupError
from glm_magic.notebook.batches import PendingBatch
from glm_magic.notebook.runs import RunKey
from glm_magic.service.endpoint import Endpoint
from glm_magic.settings.setting import Value


@dataclass(slots=True)
class PendingBatches:
    """The batches of one cell, which is run under these `settings`.

    `notes` say, for the page, what was found and done. The base URLs `in_doubt` are those of services of which it is
    not known whether they have a batch.
    """

    session: Session
    keeper: KeptRuns
    keeping: Keeping
    settings: Mapping[str, Value]
    circumstances: Circumstances = field(default_factory=Circumstances)
    notes: list[str] = field(default_factory=list)
    in_doubt: frozenset[str] = frozenset()

    @property
    def cell(self) -> BatchesOfCell | None:
        """Where the batches are written down; None if nowhere."""
        return self.keeper.batches(self.keeping)

    @property
    def now(self) -> float:
        """The time in seconds since the epoch."""
        return self.keeper.wall()

    @property
    def are_there(self) -> bool:
        """Whether something may come of any."""
        cell = self.cell
        with self._reading():
            return cell is not None and bool(cell.batches())
        return False

    def known(self, known: Known, *, fresh: bool = False) -> Known:
        """Return what is known, with the runs that are pending according to the store; nobody is asked.

        Where the comparison is `fresh`, an older answer to what is pending does not count.
        """
        cell = self.cell
        if cell is None:
            return known
        pending: dict[RunKey, str] = {}
        with self._reading():
            for batch in cell.batches():
                if batch.step != "intended":
                    pending |= dict.fromkeys(cell.table.keys(batch.label), batch_words.waits(batch, self.now))
        kept = {key: run for key, run in known.kept.items() if key not in pending} if fresh else known.kept
        return replace(known, kept=kept, pending=pending)

    def collect(self, plan: Plan, known: Known, labels: Container[str] | None = None) -> Known:
        """Look at every batch, or those with these `labels`, keep their answers, and return what is known then.

        What cannot be looked at stays pending. The runs that a batch has failed are not asked at once, so that the
        page shows why.
        """
        cell = self.cell
        if cell is None:
            return known
        found = Collected(frozenset(plan.fingerprints), plan.wanted.wishes.schema, notes=self.notes)
        with self._reading():
            for batch in cell.batches():
                if labels is not None and batch.label not in labels:
                    continue
                try:
                    if batch.step == "intended":  # whoever is still uploading it finds it ended, and creates nothing
                        cell.table.end(batch.label, at="intended")
                    else:
                        with self._at_service(cell, batch, found) as there:
                            there.collect()
                except GlmError as error:
                    self.notes.append(f"{batch_words.name(batch)}: {error.what}")
            self.in_doubt = frozenset(batch.base_url for batch in cell.batches() if batch.step == "creating")
        now = self.known(replace(known, kept={**known.kept, **found.runs}, failed={**known.failed, **found.failed}))
        gone = known.pending.keys() - now.kept.keys() - now.pending.keys() - now.failed.keys()
        if not gone:
            return now
        stored = self.keeper.of(self.keeping)  # another kernel may have collected them meanwhile
        return replace(now, kept={**now.kept, **{key: stored[key] for key in gone if key in stored}})

    def cancel(self) -> str:
        """Cancel what is pending, and return what came of it; what was answered by then can be collected."""
        cell, results = self.cell, list[str]()
        if cell is not None:
            for batch in cell.batches():
                try:
                    if batch.step == "intended":
                        cell.table.end(batch.label, at="intended")
                    elif self._endpoint(batch) is None:
                        cell.table.end(batch.label, at=batch.step)
                        self.session.services.ledger.settle(batch.label)
                        results.append(
                            f"{batch_words.name(batch)} is at {batch.base_url}, and the settings name another service:"
                            " it was dropped here, and not cancelled there."
                        )
                    else:
                        with self._at_service(cell, batch, Collected()) as there:
                            results.append(there.cancel())
                except GlmError as error:
                    results.append(f"{batch_words.name(batch)}: {error}")
        return "\n".join(results) or "Nothing of this comparison is pending in a batch."

    @contextlib.contextmanager
    def _at_service(self, cell: BatchesOfCell, batch: PendingBatch, found: Collected) -> Iterator[BatchAtService]:
        """Give a batch at its service. Raises `SetupError` if the settings name another one."""
        services, endpoint = self.session.services, self._endpoint(batch)
        if endpoint is None:
            raise SetupError(
                f"It is at {batch.base_url}, and the settings name another service.",
                f"%glm_config base_url={batch.base_url}",
            )
        keep = functools.partial(self.keeper.add, self.keeping)
        with services.batches(endpoint, self.settings) as service:
            yield BatchAtService(
                batch, cell.table, service, services.ledger, self.now, self.circumstances, keep=keep, found=found
            )

    def _endpoint(self, batch: PendingBatch) -> Endpoint | None:
        """Return where a batch is; None if the settings name another service, which the key belongs to."""
        endpoint = self.session.services.endpoint({**self.settings, "model": batch.model})
        return endpoint if endpoint is not None and endpoint.base_url == batch.base_url else None

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        """Report a store that cannot be read, and go on."""
        try:
            yield
        except HistoryError as error:
            self.session.recordings.note_once(f"The store of answers: {error.what}")
