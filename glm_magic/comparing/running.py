"""Asks the runs of a comparison, many at once, and keeps each answer as it ends."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace

from glm_magic.asking.ask import Circumstances, attempt_of, priced
from glm_magic.asking.loop import Loop
from glm_magic.asking.session import Session
from glm_magic.chat.events import Finished, TextDelta
from glm_magic.chat.reply import Reply
from glm_magic.comparing.plan import Plan
from glm_magic.comparing.runs import Run, blank
from glm_magic.display.grid import Spot
from glm_magic.errors import (
    AnswerError,
    AuthenticationError,
    BalanceError,
    GlmError,
    ModelUnknown,
    SetupError,
    UsageCap,
    described,
)
from glm_magic.notebook.runs import SavedRun

# What one request fails with, all others to the same model will.
_HOPELESS = (AuthenticationError, BalanceError, UsageCap, ModelUnknown, SetupError)

PULL_SECONDS = 0.1
_GRACE_SECONDS = 2.0  # for requests to let go of their connections


@dataclass(slots=True)
class News:
    """What has happened since the last look: runs that `began`, text that has `grown`, and runs that have `ended`."""

    began: list[Spot] = field(default_factory=list)
    grown: dict[Spot, str] = field(default_factory=dict)
    ended: list[Run] = field(default_factory=list)


class Running:
    """The runs of a plan that are under way, each asked once.

    `keep` is called with each answer as it ends, before anybody is told. At most `at_once` are asked of a model at a
    time, each in a thread of its own; `circumstances` say how the code of the notebook takes part.
    """

    def __init__(
        self,
        session: Session,
        plan: Plan,
        missing: Iterable[Spot],
        *,
        at_once: int,
        keep: Callable[[SavedRun], None],
        circumstances: Circumstances,
    ) -> None:
        self._session = session
        self._plan = plan
        self._left: dict[tuple[str, str], deque[Spot]] = {}  # by who is asked: one that is busy holds up no other
        for spot in missing:
            self._left.setdefault(self._asked_of(spot), deque()).append(spot)
        self._at_once = at_once
        self._keep = keep
        self._stopping = threading.Event()
        self._code = threading.RLock()  # functions of the notebook run one at a time
        self._given = circumstances
        self._circumstances = replace(circumstances, stopped=self._stopping.is_set, acting=self._acting)
        self._lock = threading.Condition()
        self._news = News()
        self._threads: list[threading.Thread] = []
        self._working = 0
        self._hopeless: dict[tuple[str, str], GlmError] = {}

    def start(self) -> None:
        """Begin to ask."""
        self._threads = [
            threading.Thread(target=self._work, args=(left,), name="glm_magic comparison", daemon=True)
            for left in self._left.values()
            for _ in range(min(self._at_once, len(left)))
        ]
        self._working = len(self._threads)
        for thread in self._threads:
            thread.start()

    @property
    def is_over(self) -> bool:
        """Whether nothing is under way any more."""
        with self._lock:
            return not self._working

    def news(self, timeout: float) -> News:
        """Wait for at most `timeout` seconds for the end, and return what has happened meanwhile."""
        with self._lock:
            self._lock.wait_for(lambda: not self._working, timeout)
            news, self._news = self._news, News()
            return news

    def stop(self) -> News:
        """Stop what is under way, and return what has happened; what has arrived is in the runs that have ended."""
        self._stopping.set()
        for thread in self._threads:
            thread.join(_GRACE_SECONDS)
        return self.news(0)

    @contextlib.contextmanager
    def _acting(self) -> Iterator[None]:
        with self._code, self._given.acting():
            yield

    # --- in the threads ------------------------------------------------------------------------

    def _asked_of(self, spot: Spot) -> tuple[str, str]:
        return self._plan.key(spot).service, self._plan.question(spot).model

    def _work(self, left: deque[Spot]) -> None:
        try:
            while not self._stopping.is_set():
                try:
                    spot = left.popleft()
                except IndexError:
                    return
                with self._lock:
                    self._news.began.append(spot)
                run = self._ended(spot)
                with self._lock:
                    self._news.grown.pop(spot, None)
                    self._news.ended.append(run)
        finally:
            with self._lock:
                self._working -= 1
                self._lock.notify_all()

    def _ended(self, spot: Spot) -> Run:
        """Ask the run at a spot, and return what came of it."""
        plan = self._plan
        run = blank(plan, spot)
        question = plan.question(spot)
        who = self._asked_of(spot)
        if who in self._hopeless:
            return replace(run, state="failed", error=self._hopeless[who])
        created = time.time()
        under_way = self._session.loop(question, self._circumstances)
        try:
            reply = self._followed(spot, under_way)
        except GlmError as error:
            if isinstance(error, _HOPELESS):
                self._hopeless[who] = error
            partial = error.partial if isinstance(error, AnswerError) else None
            return replace(run, state="failed", error=error, reply=partial)
        except BaseException as error:  # a bug of ours or of a tool: the other runs go on
            return replace(run, state="failed", error=GlmError(described(error)))
        run = with_reply(run, plan, reply, created)
        if run.saved is not None:
            self._keep(run.saved)
        return run

    def _followed(self, spot: Spot, under_way: Loop) -> Reply:
        with contextlib.closing(iter(under_way)) as events:  # type: ignore[type-var]
            for event in events:
                if isinstance(event, TextDelta):
                    self._hear(spot, event.text)
                if self._stopping.is_set() and not isinstance(event, Finished):  # a whole answer is kept
                    break
            else:
                return under_way.partial()
        return under_way.partial(interrupted=True)

    def _hear(self, spot: Spot, text: str) -> None:
        with self._lock:
            grown = self._news.grown
            grown[spot] = grown.get(spot, "") + text


def with_reply(run: Run, plan: Plan, reply: Reply, created: float) -> Run:
    """Return a run that was asked at `created`, in seconds since the epoch, with its reply."""
    question = plan.question(run.spot)
    reply = priced(question, reply)
    if reply.interrupted:
        return replace(run, state="interrupted", reply=reply)
    if (error := unusable(reply)) is not None:
        return replace(run, state="failed", reply=reply, error=error)
    saved = SavedRun(plan.key(run.spot), attempt_of(question, reply, created))
    return replace(run, state="done", reply=reply, saved=saved)


def unusable(reply: Reply) -> AnswerError | None:
    """Return what is wrong with a whole reply that is no answer; None if it is one."""
    if reply.open_calls:
        return AnswerError("The model called a tool that was not run.")
    return None if reply.text.strip() else AnswerError("The answer is empty.")
