"""Asks the runs of a comparison on an executor: in other processes, or on other machines.

Tools run there, scores in the kernel. What travels is pickled by cloudpickle, so that functions of the notebook travel
too. A key never does: a worker takes its own from its environment. Answers come back whole.
"""

from __future__ import annotations

import os
import pickle
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import uuid4

from glm_magic.asking.question import Question
from glm_magic.asking.session import Session
from glm_magic.chat.events import Event
from glm_magic.chat.reply import Reply
from glm_magic.comparing.plan import Plan
from glm_magic.comparing.running import News, with_reply
from glm_magic.comparing.runs import Run
from glm_magic.comparing.workers import take_back
from glm_magic.display.grid import Spot
from glm_magic.errors import AnswerError, AuthenticationError, GlmError, OptionError, SetupError, described
from glm_magic.notebook.runs import SavedRun
from glm_magic.service.endpoint import Endpoint
from glm_magic.service.ledger import Ledger
from glm_magic.service.services import Services
from glm_magic.settings.layers import Layers

_PULL_SECONDS = 0.1
_HERE = uuid4().hex  # together with its id, a process: a fork has a copy

_ASK_THE_REST = "Run the cell again: it asks the rest."
_ANEW = "Make the executor anew, then run the cell again: it asks the rest."
_KEY_OF_ITS_OWN = (
    "Workers take the key from their own environment (GLM_API_KEY); a key of --login reaches none, and none is pickled."
)
_TRAVELS = (
    "What the notebook defines travels with the question; what a module defines must be installed on the workers."
)
_PACKAGE = __name__.partition(".")[0]


def _process() -> str:
    return f"{_HERE} {os.getpid()}"


@dataclass(frozen=True, slots=True)
class Errand:
    """A question on its way to a worker, without the key, which the worker must have if `needs_key`.

    `process` is where it comes from.
    """

    question: Question
    needs_key: bool
    process: str = field(default_factory=_process)
    id: str = field(default_factory=lambda: uuid4().hex)  # Dask would answer equal errands once


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a worker brings back: the reply, when it was asked (in seconds since the epoch), and what it failed with.

    `process` is where it was asked.
    """

    created: float
    reply: Reply | None
    failure: GlmError | None
    process: str = field(default_factory=_process)


class Elsewhere:
    """The runs of a plan that are under way on an executor; used as `Running` is.

    `keep` is called with each answer as it comes, before anybody is told. What other processes spend is added to the
    `ledger`.
    """

    def __init__(
        self,
        workers: Executor,
        plan: Plan,
        missing: Iterable[Spot],
        *,
        keep: Callable[[SavedRun], None],
        ledger: Ledger,
    ) -> None:
        self._workers = workers
        self._plan = plan
        self._missing = tuple(missing)
        self._keep = keep
        self._ledger = ledger
        self._lock = threading.Condition()
        self._news = News()
        self._waiting: dict[Future[bytes], Spot] = {}

    def start(self) -> None:
        """Hand everything to the executor. Raises `OptionError` for a tool or schema that cannot travel."""
        errands = [(spot, _packed(self._plan.question(spot))) for spot in self._missing]
        refusal: GlmError | None = None
        for spot, errand in errands:
            if refusal is None:
                try:
                    future = self._workers.submit(pickle.loads, errand)  # which asks, see `_Call`
                except Exception as error:  # it is shut down, broken, or has lost its scheduler, each in its own words
                    refusal = GlmError(f"The executor takes no work: {described(error)}", _ANEW)
            if refusal is not None:
                with self._lock:
                    self._news.ended.append(self._failed(spot, refusal))
                continue
            with self._lock:
                self._waiting[future] = spot
                self._news.began.append(spot)
            future.add_done_callback(self._done)  # at once, if it is done

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

    def news(self, timeout: float = _PULL_SECONDS) -> News:
        """Wait for at most `timeout` seconds for the end, and return what has happened meanwhile."""
        with self._lock:
            self._lock.wait_for(lambda: not self._waiting, timeout)
            news, self._news = self._news, News()
            return news

    def stop(self) -> News:
        """Take back what has not begun; what is under way goes on there, and is not waited for."""
        with self._lock:
            waiting, self._waiting = list(self._waiting), {}
        take_back(self._workers, waiting)
        return self.news(0)

    def _done(self, future: Future[bytes]) -> None:
        with self._lock:
            spot = self._waiting.get(future)
        if spot is None:  # it was taken back
            return
        try:
            run = self._ended(spot, future)
            if run.saved is not None:
                self._keep(run.saved)
        except BaseException as error:  # nobody would hear of it, and the comparison would wait forever
            run = self._failed(spot, GlmError(described(error), _ASK_THE_REST))
        with self._lock:
            self._news.ended.append(run)
            self._waiting.pop(future, None)
            self._lock.notify_all()

    def _ended(self, spot: Spot, future: Future[bytes]) -> Run:
        if future.cancelled():
            return self._failed(spot, GlmError("The executor has given up this question.", _ANEW))
        error = future.exception()
        if error is not None:
            return self._failed(spot, _worker_failure(error))
        outcome: Outcome = _cloudpickle().loads(future.result())
        question, reply = self._plan.question(spot), outcome.reply
        if reply is not None and outcome.process != _process():
            self._ledger.add(question.model, 0, reply.usage, question.price, is_free=question.is_embedded)
        if outcome.failure is not None or reply is None:
            return replace(self._failed(spot, outcome.failure), reply=reply)
        return with_reply(self._run(spot), self._plan, replace(reply, request=question.body), outcome.created)

    def _failed(self, spot: Spot, error: GlmError | None) -> Run:
        return replace(self._run(spot), state="failed", error=error)

    def _run(self, spot: Spot) -> Run:
        wanted = self._plan.wanted
        return Run(spot, wanted.rows[spot[0]], wanted.configurations[spot[1]])


def _packed(question: Question) -> bytes:
    needs_key = question.endpoint is not None and question.endpoint.key is not None
    errand = Errand(replace(question, endpoint=None, recorded=None, sent_after=()), needs_key)
    try:
        return pickle.dumps(_Call(bytes(_cloudpickle().dumps(errand))))
    except SetupError:
        raise
    except Exception as error:
        raise OptionError(
            f"A tool or schema cannot be sent to workers: {described(error)}", "Define it in a module, or leave it out."
        ) from None


@dataclass(frozen=True, slots=True)
class _Call:
    """Asks when it is unpickled.

    So a worker without this package fails in its task, and the executor reports that. Dask would lose the connection
    to a worker that cannot read which function to run, and try again without end.
    """

    packed: bytes

    def __reduce__(self) -> tuple[Callable[[bytes], bytes], tuple[bytes]]:
        return ask_here, (self.packed,)


def _worker_failure(error: BaseException) -> GlmError:
    """Say why a worker brought back nothing: it died, its pool is broken, or it knows none of this."""
    said = described(error)
    if f"No module named '{_PACKAGE}" in said:
        return SetupError(f"A worker has no {_PACKAGE}: {said}", f"Install {_PACKAGE}[executor] where the workers run.")
    return GlmError(f"The worker failed: {said}", _ASK_THE_REST)


# --- in the worker --------------------------------------------------------------------------------


def ask_here(packed: bytes) -> bytes:
    """Ask the question of a pickled `Errand` in this worker, and return the pickled `Outcome`."""
    cloudpickle = _cloudpickle()
    created = time.time()
    reply: Reply | None = None
    failure: GlmError | None = None
    try:
        for event in _events_of(_unpacked(packed)):
            reply = getattr(event, "reply", reply)
    except SetupError as error:
        failure = SetupError(f"In a worker: {error.what}", error.remedy)
    except AuthenticationError as error:
        failure = SetupError(f"In a worker: {error.what}", _KEY_OF_ITS_OWN)
    except GlmError as error:
        failure = error
        if isinstance(error, AnswerError):
            reply, error.partial = error.partial, None
    except Exception as error:  # of a tool, say: the others go on
        failure = GlmError(described(error))
    if reply is not None:
        reply = replace(reply, request={}, put_in_cell=None)
    return bytes(cloudpickle.dumps(Outcome(created, reply, failure)))


def _unpacked(packed: bytes) -> Errand:
    try:
        errand: Errand = _cloudpickle().loads(packed)
    except Exception as error:
        raise GlmError(f"A worker cannot load the question: {described(error)}", _TRAVELS) from None
    return errand


def _events_of(errand: Errand) -> Iterator[Event]:
    """Ask in this process, with the key of its own environment."""
    session = Session(Layers(os.environ))
    question = errand.question
    try:
        endpoint = None if question.is_embedded else _endpoint(session.services, errand)
        yield from session.loop(replace(question, endpoint=endpoint))
    finally:
        if errand.process == _process():  # any other keeps its connections for the questions to come
            session.close()


def _endpoint(services: Services, errand: Errand) -> Endpoint:
    """Return whom this worker asks. Raises `SetupError` if it lacks the key for that."""
    try:
        endpoint = services.endpoint(errand.question.settings)
    except SetupError as error:
        raise SetupError(error.what, _KEY_OF_ITS_OWN) from None
    if endpoint is None or (errand.needs_key and endpoint.key is None):
        raise SetupError("There is no key.", _KEY_OF_ITS_OWN)
    return endpoint


def _cloudpickle() -> Any:
    try:
        import cloudpickle  # noqa: PLC0415 - of an extra
    except ImportError:
        raise SetupError("--executor needs cloudpickle.", '%pip install "glm_magic[executor]"') from None
    return cloudpickle
