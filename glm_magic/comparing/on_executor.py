"""Asks the runs of a comparison on an executor: in other processes, or on other machines.

Tools run there, and scores that take nothing but an answer and its row. An answer arrives when it is complete.
"""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import BrokenExecutor, Executor, Future
from dataclasses import replace

from glm_magic.comparing.appraisal import Appraiser, with_scores
from glm_magic.comparing.plan import Plan
from glm_magic.comparing.running import News, with_reply
from glm_magic.comparing.runs import Run, blank
from glm_magic.comparing.task import packed, result_of
from glm_magic.comparing.workers import take_back
from glm_magic.display.grid import Spot
from glm_magic.errors import GlmError, SetupError, described
from glm_magic.notebook.runs import SavedRun
from glm_magic.service.ledger import Ledger

_ASK_THE_REST = "Run this again to ask for what is missing."
_NEW_EXECUTOR = "Create a new executor, then run this again to ask for what is missing."
_PACKAGE = __name__.partition(".")[0]


class OnExecutor:
    """The runs of a plan that are under way on an executor; used as `Running` is.

    `keep` is called with each answer as it comes, before anybody is told. What other processes spend is added to the
    `ledger`. The `appraiser` says how answers are scored.
    """

    def __init__(
        self,
        workers: Executor,
        plan: Plan,
        missing: Iterable[Spot],
        *,
        keep: Callable[[SavedRun], None],
        ledger: Ledger,
        appraiser: Appraiser,
    ) -> None:
        self._workers = workers
        self._plan = plan
        self._missing = tuple(missing)
        self._keep = keep
        self._ledger = ledger
        self._appraiser = appraiser
        self._lock = threading.Condition()
        self._news = News()
        self._waiting: dict[Future[bytes], Spot] = {}
        self._is_stopped = False

    def start(self) -> None:
        """Hand everything to the executor. Raises `OptionError` for a tool or schema that cannot travel."""
        tasks = [(spot, self._packed(spot)) for spot in self._missing]
        refusal: GlmError | None = None
        for spot, task in tasks:
            if refusal is None:
                try:
                    future = self._workers.submit(pickle.loads, task)  # to unpickle it is to ask
                except Exception as error:  # it is shut down, broken, or has lost its scheduler, each in its own words
                    refusal = GlmError(f"The executor accepts no work: {described(error)}", _NEW_EXECUTOR)
            if refusal is not None:
                with self._lock:
                    self._news.ended.append(self._failed(spot, refusal))
                continue
            with self._lock:
                self._waiting[future] = spot
                self._news.began.append(spot)
            future.add_done_callback(self._done)  # at once, if it is done

    def _packed(self, spot: Spot) -> bytes:
        question, appraiser = self._plan.question(spot), self._appraiser
        if not (appraiser.is_simple and appraiser.scorer.names):
            return packed(question)
        return packed(question, appraiser.scorer, self._plan.wanted.rows[spot[0]] if appraiser.has_rows else None)

    @property
    def number(self) -> int:
        """How many runs the executor has been given, and has not ended."""
        with self._lock:
            return len(self._waiting)

    @property
    def is_over(self) -> bool:
        """Whether nothing is under way any more."""
        with self._lock:
            return not self._waiting

    def news(self, timeout: float) -> News:
        """Wait for at most `timeout` seconds for the end, and return what has happened meanwhile."""
        with self._lock:
            self._lock.wait_for(lambda: not self._waiting, timeout)
            news, self._news = self._news, News()
            return news

    def stop(self) -> News:
        """Cancel what has not begun. What is under way is not waited for, but its answer is kept if it arrives."""
        with self._lock:
            self._is_stopped = True
            waiting = list(self._waiting)
        take_back(self._workers, waiting)
        return self.news(0)

    def _done(self, future: Future[bytes]) -> None:
        with self._lock:
            spot = self._waiting[future]
        try:
            run = self._ended(spot, future)
            if run.saved is not None:
                self._keep(run.saved)
        except BaseException as error:  # nobody would hear of it, and the comparison would wait forever
            run = self._failed(spot, GlmError(described(error), _ASK_THE_REST))
        with self._lock:
            if not self._is_stopped:
                self._news.ended.append(run)
            del self._waiting[future]
            self._lock.notify_all()

    def _ended(self, spot: Spot, future: Future[bytes]) -> Run:
        if future.cancelled():
            return self._failed(spot, GlmError("The executor cancelled this request.", _NEW_EXECUTOR))
        error = future.exception()
        if error is not None:
            return self._failed(spot, _worker_failure(error))
        result = result_of(future.result())
        question, reply = self._plan.question(spot), result.reply
        if reply is not None and not result.is_of_this_process:
            self._ledger.add(question.model, 0, reply.usage, question.price, is_free=question.is_embedded)
        if result.failure is not None or reply is None:
            return replace(self._failed(spot, result.failure), reply=reply)
        reply = replace(reply, request=question.body)
        run = with_reply(blank(self._plan, spot), self._plan, reply, result.created)
        return with_scores(run, result.scored) if run.is_done and result.scored is not None else run

    def _failed(self, spot: Spot, error: GlmError | None) -> Run:
        return replace(blank(self._plan, spot), state="failed", error=error)


def _worker_failure(error: BaseException) -> GlmError:
    """Say why a worker returned nothing: it failed or died, its pool is broken, or it has no such package."""
    text = described(error)
    if f"No module named '{_PACKAGE}" in text:
        return SetupError(f"A worker has no {_PACKAGE}: {text}", f"Install {_PACKAGE}[executor] where the workers run.")
    remedy = _NEW_EXECUTOR if isinstance(error, BrokenExecutor) else _ASK_THE_REST
    return GlmError(f"The worker failed: {text}", remedy)
