"""How many requests to one endpoint and model are under way at once: found out as they go, and shared by all who ask.

It starts low. Each response that begins lets one more request start, or as many again as are answered now, as long as
there are more to start: a refusal comes at once, so a response that has begun is the evidence that the service bears
as many. The first refusal of a wave halves the number; the rest of the wave, which started before, tells nothing new.
From then on it takes as many accepted requests to grow by one, and many more to reach the number that was refused.
"""

from __future__ import annotations

import random
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from glm_magic.chat.events import Event, Notice, Tick
from glm_magic.errors import RateLimited, ServiceDown, ServiceError

START = 4  # accounts that bear one to four at a time are common (reported)
NO_CAP = sys.maxsize

LONGEST_PAUSE = 120.0  # seconds; a service that asks for more is not waited for

_POLL_SECONDS = 0.1
_ASLEEP_SECONDS = 2.0  # who has not looked for so long does not hold up those behind
_FIRST_PAUSE, _LONGEST_BACKOFF = 0.5, 8.0
_CAUTION, _MOST_CAUTION = 8, 64  # so many times slower is the step to a number that was refused once, or again
_MOST_HALVINGS = 3  # by one request: refused more often, it tells of itself and not of the limit
_MOST_REFUSALS = 20  # of one request while others are accepted

_BUSY = 503


@dataclass(frozen=True, slots=True)
class Pace:
    """What a limiter does now: requests in flight of at most `limit`, and those that wait.

    `reason` says in a few words why it has slowed down, ``""`` if it has not. No text of a service is in it.
    """

    in_flight: int
    limit: int
    waiting: int
    reason: str = ""


class Limiter:
    """The requests to one model of one endpoint. Those that wait start in the order in which they came.

    `cap` is the most that it ever lets start. `at_rest` is called with the limit when the last request has ended.
    `clock` counts seconds, `draw` gives a random number from 0 to 1.
    """

    def __init__(
        self,
        limit: int = START,
        *,
        cap: int = NO_CAP,
        at_rest: Callable[[int], object] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._limit = max(1, min(limit, cap))
        self._cap = cap
        self._at_rest = at_rest
        self._clock = clock
        self._sleep = sleep
        self._draw = draw
        self._lock = threading.Lock()
        # A slot enters and leaves them in one step each, so that an interrupt at any time leaves none behind.
        self._line: dict[Slot, None] = {}
        self._running: set[Slot] = set()
        self._wave = 0  # how many waves of refusals there have been
        self._refused_at = 0  # how many were in flight at the latest one
        self._caution = _CAUTION
        self._accepted = 0  # since the limit changed
        self._reason = ""
        self._label = ""  # of the latest refusal
        self._in_a_row = 0  # waves since a response has begun
        self._refused_since: float | None = None  # when nothing has been accepted since
        self._refused_last = 0.0
        self._opens_at = 0.0  # nobody starts before
        self._asked_until = 0.0  # for how long the service asked to wait; it may be longer than anybody waits

    def slot(self, concurrency: int = NO_CAP, patience: float = 300.0) -> Slot:
        """Return a slot for one request, which is `wait`ed for and `end`s, and then may be had `again`.

        It starts while fewer than `concurrency` are in flight. It gives up when the service has refused every request
        for `patience` seconds, but not before a limit of requests a minute has had the time to pass.
        """
        return Slot(self, min(concurrency, self._cap), max(patience, LONGEST_PAUSE))

    @property
    def pace(self) -> Pace:
        """What it does now."""
        with self._lock:
            return Pace(len(self._running), self._limit, len(self._line), self._reason)

    # --- for its slots -----------------------------------------------------------------------

    def enter(self, slot: Slot) -> bool:
        """Let the request start if it is its turn, and else put it into the line. Raises `RateLimited`: no hope."""
        with self._lock:
            now = slot.seen = self._clock()
            has_room = len(self._running) < min(self._limit, slot.cap)
            if now >= self._opens_at and has_room and self._is_next(slot, now):
                self._line.pop(slot, None)
                slot.wave = self._wave
                self._running.add(slot)
                self._wake()
                return True
            if now < self._opens_at:
                self._check_hope(slot, now)
            self._line.setdefault(slot)
            return False

    def rest(self, slot: Slot) -> None:
        """Wait a tenth of a second, or until something has changed for the slot."""
        left = self._opens_at - self._clock()
        if left > 0:
            self._sleep(min(_POLL_SECONDS, left))
        else:
            slot.turn.wait(_POLL_SECONDS)
            slot.turn.clear()

    @property
    def when(self) -> str:
        """When a request that was refused starts again."""
        left = self._opens_at - self._clock()
        return f"Retrying in {left:.0f} s." if left > 0 else "Retrying when another request ends."

    @property
    def why(self) -> str:
        """What a request that was not refused waits for."""
        left = self._opens_at - self._clock()
        if left > 0:
            return f"The service refused another request ({self._label}). The next one starts in {left:.0f} s."
        reason = f" ({self._reason})" if self._reason else ""
        return f"Waiting for its turn: requests in flight {len(self._running)}{reason}."

    def accept(self, slot: Slot) -> None:
        """Note that the response has begun."""
        with self._lock:
            self._in_a_row, self._refused_since = 0, None
            is_wanted = len(self._running) + len(self._line) >= self._limit
            if slot in self._running and slot.wave == self._wave and is_wanted:
                self._grow(slot)
            self._wake()

    def refuse(self, slot: Slot, error: ServiceError) -> None:
        """Note that the service refused: start fewer, and none before the time that it asks for."""
        with self._lock:
            now = self._clock()
            is_borne = any(each.has_begun for each in tuple(self._running) if each is not slot)
            slot.is_by_limit = isinstance(error, RateLimited) or error.retry_after is not None or is_borne
            self._label = _label(error)
            if self._refused_since is None or now - self._refused_last > LONGEST_PAUSE:
                self._refused_since = now
            self._refused_last = now
            if slot.wave == self._wave:
                self._wave += 1
                self._in_a_row += 1
                if slot.refusals < _MOST_HALVINGS:
                    self._halve()
                if not is_borne and error.retry_after is None:  # else the end of an answer tells when to go on
                    self._opens_at = max(self._opens_at, now + self._backoff())
            if error.retry_after is not None:
                asked = error.retry_after if self._in_a_row < 2 else max(error.retry_after, self._backoff())
                self._opens_at = max(self._opens_at, now + min(asked, LONGEST_PAUSE))
                self._asked_until = max(self._asked_until, now + asked)
            slot.refusals += 1
            is_the_only_one = self._in_a_row < slot.refusals >= _MOST_REFUSALS  # others were accepted meanwhile
            slot.is_hopeless = is_the_only_one or self._hope_ends(slot, now)
            self._running.discard(slot)
            self._wake()

    def leave(self, slot: Slot) -> None:
        """Note that the request has ended, or waits no longer."""
        self._line.pop(slot, None)
        was_running = slot in self._running
        self._running.discard(slot)
        with self._lock:
            self._wake()
            is_at_rest = was_running and not self._running and not self._line
        if is_at_rest:
            self._at_rest(self._limit)

    # --- under the lock ----------------------------------------------------------------------

    def _is_next(self, slot: Slot, now: float) -> bool:
        for other in tuple(self._line):
            if other is slot:
                return True
            if other.is_awake(now):
                return False
        return True

    def _wake(self) -> None:
        """Tell the next one in the line; once it runs, it tells the one behind it."""
        if len(self._running) >= self._limit:
            return
        now = self._clock()
        for slot in tuple(self._line):
            slot.turn.set()
            if slot.is_awake(now):
                return

    def _grow(self, slot: Slot) -> None:
        if self._limit >= slot.cap:
            return
        if not self._refused_at:
            borne = sum(each.has_begun for each in tuple(self._running))
            self._limit = min(max(self._limit + 1, 2 * borne), slot.cap)
            return
        self._accepted += 1
        if self._accepted >= self._limit * (self._caution if self._limit + 1 == self._refused_at else 1):
            self._limit += 1
            self._accepted = 0
            if self._limit > self._refused_at:
                self._reason = ""

    def _halve(self) -> None:
        in_flight = len(self._running)
        level = in_flight if in_flight > 1 else self._limit  # alone, it says nothing of how many
        self._caution = min(2 * self._caution, _MOST_CAUTION) if level == self._refused_at else _CAUTION
        self._refused_at = level
        self._limit = max(1, self._refused_at // 2)
        self._accepted = 0
        self._reason = f"refused at {in_flight}: {self._label}"

    def _backoff(self) -> float:
        most = min(_FIRST_PAUSE * 2.0**self._in_a_row, _LONGEST_BACKOFF)
        return most * (1 + self._draw()) / 2

    def _hope_ends(self, slot: Slot, now: float) -> bool:
        asks_for_long = self._asked_until - now > LONGEST_PAUSE
        return asks_for_long or (self._refused_since is not None and now - self._refused_since >= slot.patience)

    def _check_hope(self, slot: Slot, now: float) -> None:
        if not self._hope_ends(slot, now):
            return
        slot.is_hopeless = True
        left = self._asked_until - now
        if left > LONGEST_PAUSE:
            what, when = f"The service asks to wait {left:.0f} s", "after that"
        else:
            seconds = 0.0 if self._refused_since is None else now - self._refused_since
            what, when = f"The service has refused every request for {seconds:.0f} s", "later"
        raise RateLimited(f"{what} ({self._label}).", f"Run the cell again {when}, or ask another model with -m.")


class Slot:
    """One request's place at its limiter: in the line, running, or neither.

    `end` gives it back, wherever it is, and may be called again. `refusals` counts how often the request has been
    refused, in earlier slots too. After a refusal, `is_by_limit` says that it was for the number of requests, and
    `is_hopeless` that waiting longer does not help.
    """

    def __init__(self, limiter: Limiter, cap: int, patience: float, refusals: int = 0) -> None:
        self._limiter = limiter
        self.cap = cap
        self.patience = patience
        self.refusals = refusals
        self.has_begun = False
        self.is_by_limit = False
        self.is_hopeless = False
        self.wave = -1
        self.seen = 0.0
        self.turn = threading.Event()

    def is_awake(self, now: float) -> bool:
        """Whether it has looked lately, so that it holds up those behind it."""
        return now - self.seen < _ASLEEP_SECONDS

    def wait(self, why: str = "") -> Iterator[Event]:
        """Wait until the request may start, with a `Notice` each tenth of a second, which begins with `why`.

        After a wait a `Tick` says that it is over. Raises `RateLimited` if the service has refused for too long.
        """
        has_waited = False
        while not self._limiter.enter(self):
            has_waited = True
            yield Notice("wait", f"{why} {self._limiter.when}" if why else self._limiter.why)
            self._limiter.rest(self)
        if has_waited:
            yield Tick(0.0)

    def begin(self) -> None:
        """Note that the response has begun."""
        self.has_begun = True
        self._limiter.accept(self)

    def end(self, error: BaseException | None = None) -> None:
        """Give the place back; `error` is what the request ended with."""
        if isinstance(error, RateLimited) or (isinstance(error, ServiceDown) and error.status == _BUSY):
            self._limiter.refuse(self, error)
        self._limiter.leave(self)

    def again(self) -> Slot:
        """Return a slot for the next try of the same request."""
        return Slot(self._limiter, self.cap, self.patience, self.refusals)


def _label(error: ServiceError) -> str:
    """Return the numbers of a refusal, and nothing else that a service may have put into it."""
    numbers = [f"HTTP {error.status}"] if error.status else []
    if re.fullmatch("[0-9]{3,4}", error.code) and error.code != str(error.status):
        numbers.append(f"code {error.code}")
    return ", ".join(numbers) or "too many requests"
