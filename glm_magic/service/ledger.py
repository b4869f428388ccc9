"""What this process has asked and spent, and how its estimates compare with what was counted."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

from glm_magic.chat.messages import Usage
from glm_magic.protocol.prices import Price
from glm_magic.protocol.tokens import Calibration, Estimate

_ANSWER_TOKENS = 500  # what an answer is taken to have before the first one of its model


@dataclass(frozen=True, slots=True)
class Total:
    """Requests that were answered, their tokens, and what they cost, by currency.

    `unknown` counts those whose cost is not known: without a price, or not counted by the service.
    """

    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    costs: tuple[tuple[str, float], ...] = ()
    unknown: int = 0


@dataclass(slots=True)
class _Model:
    calibration: Calibration = field(default_factory=Calibration)
    answers: int = 0
    answered_tokens: int = 0


class Ledger:
    """The account of one process. Answers in the background and comparisons add to it from threads of their own."""

    def __init__(self) -> None:
        self._lock = threading.RLock()  # the sweep of memory may end an abandoned request while it is held
        self._requests = self._prompt = self._completion = self._unknown = 0
        self._spent: dict[str, float] = {}
        self._under_way: dict[str, float] = {}
        self._pending: dict[str, tuple[str, float]] = {}
        self._models: dict[str, _Model] = {}

    @property
    def total(self) -> Total:
        """What has been asked and spent so far."""
        with self._lock:
            costs = tuple(self._spent.items())
            return Total(self._requests, self._prompt, self._completion, costs, self._unknown)

    def spent(self, currency: str) -> float:
        """Return what has been spent in a currency, and what is expected of requests under way or in batches."""
        with self._lock:
            pending = sum(cost for of, cost in self._pending.values() if of == currency)
            return self._spent.get(currency, 0.0) + self._under_way.get(currency, 0.0) + pending

    def prompt_tokens(self, model: str, estimated: int) -> Estimate:
        """Return how many prompt tokens `model` is expected to count where so many were estimated."""
        with self._lock:
            return self._models.get(model, _Model()).calibration.estimate(estimated)

    def answer_tokens(self, model: str) -> int:
        """Return how many tokens an answer of `model` is expected to have: the mean of those so far."""
        with self._lock:
            known = self._models.get(model)
            return round(known.answered_tokens / known.answers) if known and known.answers else _ANSWER_TOKENS

    @contextlib.contextmanager
    def under_way(self, currency: str, cost: float) -> Iterator[None]:
        """Count the expected cost of a request until it has ended."""
        with self._lock:
            self._under_way[currency] = self._under_way.get(currency, 0.0) + cost
        try:
            yield
        finally:
            with self._lock:
                self._under_way[currency] -= cost

    def expect(self, label: str, currency: str, cost: float) -> None:
        """Count the expected cost of a batch until it is settled."""
        with self._lock:
            self._pending[label] = currency, cost

    def settle(self, label: str) -> None:
        """Expect nothing more of a batch: what it has cost was added."""
        with self._lock:
            self._pending.pop(label, None)

    def add(self, model: str, estimated: int, usage: Usage | None, price: Price | None, *, is_free: bool) -> None:
        """Add a request that was answered; `estimated` are its prompt tokens, 0 if they teach nothing."""
        with self._lock:
            self._requests += 1
            if usage is None:
                self._unknown += not is_free
                return
            self._prompt += usage.prompt_tokens
            self._completion += usage.completion_tokens
            if price is not None:
                self._spent[price.currency] = self._spent.get(price.currency, 0.0) + price.cost(usage)
            else:
                self._unknown += not is_free
            known = self._models.setdefault(model, _Model())
            known.answers += 1
            known.answered_tokens += usage.completion_tokens
            if estimated and usage.prompt_tokens:
                known.calibration = known.calibration.learnt(estimated, usage.prompt_tokens)
