"""What a question is expected to take, and whether it may be sent: the budget, and the model's context window."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from glm_magic.asking.question import Question
from glm_magic.chat.attempt import Attempt
from glm_magic.chat.conversation import Conversation
from glm_magic.chat.events import PART_OF_AN_ANSWER, Event, Facts
from glm_magic.chat.messages import Usage
from glm_magic.chat.place import DEFAULT_CHAT
from glm_magic.errors import OverBudget, OverWindow, quoted
from glm_magic.protocol import models
from glm_magic.protocol.prices import Price
from glm_magic.protocol.tokens import Estimate, estimated_content_tokens, estimated_tokens
from glm_magic.service.ledger import Ledger
from glm_magic.settings.setting import Value

_SEE = "%glm -N shows what each turn takes."


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a question is expected to take: tokens of its prompt and of the answer, and their `price`, if known."""

    prompt: Estimate
    answer: int
    price: Price | None = None

    @property
    def cost(self) -> float | None:
        """The expected cost in the currency of its price; None where that is not known."""
        if self.price is None:
            return None
        return self.price.cost(Usage(self.prompt.tokens, self.answer, self.prompt.tokens + self.answer))


def forecast(question: Question, ledger: Ledger, body: Mapping[str, Any] | None = None) -> Forecast:
    """Return what a question is expected to take; `body` is a later request of its turn."""
    body = question.body if body is None else body
    answer = ledger.answer_tokens(question.model)
    most = body.get("max_tokens")
    if isinstance(most, int):
        answer = min(answer, most)
    return Forecast(ledger.prompt_tokens(question.model, estimated_tokens(body)), answer, question.price)


# --- the budget -----------------------------------------------------------------------------------


def check_budget(forecasts: Iterable[Forecast], budget: Value, ledger: Ledger) -> None:
    """Raise `OverBudget` if requests are expected to pass the budget, in any currency; what has no price does not."""
    if not isinstance(budget, (int, float)):
        return
    known = [(each.price.currency, each.cost or 0.0, each) for each in forecasts if each.price is not None]
    for currency in {currency for currency, _, _ in known}:
        own = [(cost, each) for of, cost, each in known if of == currency]
        cost, spent = sum(cost for cost, _ in own), ledger.spent(currency)
        if cost and spent + cost > budget:
            tokens = sum(each.prompt.tokens for _, each in own)
            answers = sum(each.answer for _, each in own)
            what = "This request" if len(own) == 1 else f"These {len(own):,} requests"
            raise OverBudget(
                f"{what} would pass the budget of {budget:g} {currency}: {spent:.6f} {currency} are spent, and "
                f"{cost:.6f} are estimated for about {tokens:,} tokens and {answers:,} of the answer"
                f"{'s' * (len(own) > 1)}; nothing was sent.",
                "Raise it with %glm_config budget=…, ask a cheaper model with -m, or send less of the conversation\n"
                f"(--new, -H, %glm_history --skip TURN). {_SEE}",
            )


def metered(
    question: Question, body: Mapping[str, Any], events: Iterator[Event], ledger: Ledger
) -> Generator[Event, None, None]:
    """Pass on the events of one request, and enter it in the ledger. Raises `OverBudget` before it is sent."""
    expected = forecast(question, ledger, body)
    check_budget([expected], question.settings["budget"], ledger)
    price, usage, has_begun = question.price, None, False
    # each model counts images in its own way
    teaches = all(isinstance(message["content"], str) for message in body["messages"])
    with ledger.under_way(price.currency if price else "", expected.cost or 0.0):
        try:
            for event in events:
                if isinstance(event, Facts):
                    usage = event.usage or usage
                has_begun = has_begun or isinstance(event, (*PART_OF_AN_ANSWER, Facts))
                yield event
        finally:
            if has_begun:
                estimated = estimated_tokens(body) if teaches else 0
                ledger.add(question.model, estimated, usage, price, is_free=question.is_embedded)


# --- the context window ---------------------------------------------------------------------------


def check_window(question: Question, expected: Estimate, conversation: Conversation) -> None:
    """Raise `OverWindow`, naming the turns to skip, if a request cannot fit the model's context window.

    A request fits if it may fit, as far as the estimate is sure.
    """
    known = models.known(question.model)
    if known is None or known.context is None or expected.least <= known.context:
        return
    over = expected.least - known.context
    skipped, saved = [], 0.0
    scale = expected.tokens / max(estimated_tokens(question.body), 1) * (1 - expected.error)
    for number, tokens in sorted(turns(question, conversation).items(), key=lambda turn: -turn[1]):
        if saved < over:
            skipped.append(number)
            saved += tokens * scale
    what = (
        f"The request does not fit the context window of {quoted(question.model)}, {known.context:,} tokens: "
        f"it has {expected}; nothing was sent."
    )
    if saved < over:
        raise OverWindow(what, f"Shorten the prompt: it does not fit even without the conversation. {_SEE}")
    chat = "" if question.chat == DEFAULT_CHAT else f' -c "{question.chat}"'
    lines = [f"%glm_history{chat} --skip {number}" for number in sorted(skipped, key=int)]
    raise OverWindow(what, "\n".join(["Leave out the longest turns, then run the cell again:", *lines]))


def turns(question: Question, conversation: Conversation) -> dict[str, int]:
    """Return roughly how many tokens each turn takes that a question is sent after, by its number."""
    sent = {attempt.id for attempt in question.sent_after}
    return {
        number: attempt_tokens(turn.counting)
        for number, turn in conversation.numbered.items()
        if turn.counting is not None and turn.counting.id in sent
    }


def attempt_tokens(attempt: Attempt) -> int:
    """Return roughly how many tokens the text of an attempt has, as it is sent."""
    return sum(estimated_content_tokens(message.to_api()["content"]) for message in attempt.messages)
