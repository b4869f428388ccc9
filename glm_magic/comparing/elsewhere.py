"""Asks the runs of a comparison on an executor: in other processes, or on other machines.

What travels is pickled by cloudpickle, so that functions of the notebook travel too. A key never does: a worker takes
its own from its environment. Answers come back whole.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Executor, Future
from dataclasses import replace
from typing import Any

from glm_magic.asking.question import Question
from glm_magic.asking.session import Session
from glm_magic.chat.reply import Reply
from glm_magic.comparing.plan import Plan
from glm_magic.comparing.running import News, with_reply
from glm_magic.comparing.runs import Run
from glm_magic.display.grid import Spot
from glm_magic.errors import GlmError, OptionError, SetupError, described, quoted
from glm_magic.notebook.runs import SavedRun
from glm_magic.settings.layers import Layers

_PULL_SECONDS = 0.1


def executor(value: object, name: str) -> Executor:
    """Return the executor that ``--executor`` names. Raises `OptionError` if it is none."""
    if isinstance(value, Executor):
        return value
    maker = next((maker for maker in ("get_executor", "executor") if callable(getattr(value, maker, None))), "")
    raise OptionError(
        f"--executor {quoted(name)}: expected a concurrent.futures.Executor, got {type(value).__name__}.",
        f"Name what it makes: workers = {name}.{maker}()" if maker else "For example, a ProcessPoolExecutor.",
    )


class Elsewhere:
    """The runs of a plan that are under way on an executor; used as `Running` is.

    `keep` is called with each answer as it comes, before anybody is told.
    """

    def __init__(
        self,
        workers: Executor,
        plan: Plan,
        missing: Iterable[Spot],
        *,
        keep: Callable[[SavedRun], None],
    ) -> None:
        self._workers = workers
        self._plan = plan
        self._missing = tuple(missing)
        self._keep = keep
        self._lock = threading.Condition()
        self._news = News()
        self._waiting: dict[Future[bytes], Spot] = {}

    def start(self) -> None:
        """Hand everything to the executor. Raises `OptionError` for a tool or schema that cannot travel."""
        errands = [(spot, _packed(self._plan.question(spot))) for spot in self._missing]
        for spot, errand in errands:
            try:
                future = self._workers.submit(ask_here, errand)
            except RuntimeError as error:  # it is shut down, or broken
                failure = GlmError(f"The executor takes no work: {described(error)}")
                with self._lock:
                    self._news.ended.append(replace(self._run(spot), state="failed", error=failure))
                continue
            with self._lock:
                self._waiting[future] = spot
                self._news.began.append(spot)
            future.add_done_callback(self._done)  # at once, if it is done

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
        for future in waiting:
            future.cancel()
        return self.news(0)

    def _done(self, future: Future[bytes]) -> None:
        with self._lock:
            spot = self._waiting.get(future)
        if spot is None or future.cancelled():
            return
        run = self._ended(spot, future)
        if run.saved is not None:
            self._keep(run.saved)
        with self._lock:
            self._news.ended.append(run)
            self._waiting.pop(future, None)
            self._lock.notify_all()

    def _ended(self, spot: Spot, future: Future[bytes]) -> Run:
        run = self._run(spot)
        error = future.exception()
        if error is not None:  # a worker that died, or a pool that is broken
            failure = GlmError(f"The worker failed: {described(error)}", "Run the cell again: it asks the rest.")
            return replace(run, state="failed", error=failure)
        reply, created, failed = _unpacked(future.result())
        if failed is not None or reply is None:
            return replace(run, state="failed", error=failed, reply=reply)
        return with_reply(run, self._plan, replace(reply, request=self._plan.question(spot).body), created)

    def _run(self, spot: Spot) -> Run:
        wanted = self._plan.wanted
        return Run(spot, wanted.rows[spot[0]], wanted.configurations[spot[1]])


def ask_here(errand: bytes) -> bytes:
    """Ask a question in this worker, and return its reply, when it was asked, and the error, all pickled."""
    cloudpickle = _cloudpickle()
    question: Question = cloudpickle.loads(errand)
    created = time.time()
    session = Session(Layers(os.environ))
    reply: Reply | None = None
    failure: GlmError | None = None
    try:
        endpoint = None if question.is_embedded else session.services.endpoint(question.settings)
        if not question.is_embedded and endpoint is None:
            raise SetupError("This worker has no key, so it would ask its embedded model.", _KEY_OF_ITS_OWN)
        for event in session.loop(replace(question, endpoint=endpoint)):
            reply = getattr(event, "reply", reply)
    except SetupError as error:
        failure = SetupError(f"In a worker: {error.what}", _KEY_OF_ITS_OWN)
    except GlmError as error:
        failure = GlmError(error.what, error.remedy)
    except Exception as error:  # of a tool, say: the others go on
        failure = GlmError(described(error))
    if reply is not None:
        reply = replace(reply, request={}, put_in_cell=None)
    return bytes(
        cloudpickle.dumps((reply, created, failure and (type(failure).__name__, failure.what, failure.remedy)))
    )


_KEY_OF_ITS_OWN = (
    "Workers take the key from their own environment (GLM_API_KEY); a key of --login reaches none, and none is pickled."
)


def _cloudpickle() -> Any:
    try:
        import cloudpickle  # noqa: PLC0415 - of an extra
    except ImportError:
        raise SetupError("--executor needs cloudpickle.", '%pip install "glm_magic[executor]"') from None
    return cloudpickle


def _packed(question: Question) -> bytes:
    cloudpickle = _cloudpickle()
    try:
        return bytes(cloudpickle.dumps(replace(question, endpoint=None, recorded=None, sent_after=())))
    except Exception as error:
        raise OptionError(
            f"A tool or schema cannot be sent to workers: {described(error)}", "Define it in a module, or leave it out."
        ) from None


def _unpacked(result: bytes) -> tuple[Reply | None, float, GlmError | None]:
    reply, created, failure = _cloudpickle().loads(result)
    if failure is None:
        return reply, created, None
    name, what, remedy = failure
    return reply, created, (SetupError if name == "SetupError" else GlmError)(what, remedy)
