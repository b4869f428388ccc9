"""What is told of a request before it is sent: the request itself, what it is expected to take, and what was spent."""

from __future__ import annotations

import html
import json
from collections.abc import Sequence

from glm_magic.asking import forecast
from glm_magic.asking.forecast import Forecast
from glm_magic.asking.question import Question
from glm_magic.asking.session import Session
from glm_magic.chat import images
from glm_magic.chat.messages import Message
from glm_magic.comparing.plan import Plan
from glm_magic.display.dry_run import dry_run as show_dry_run
from glm_magic.display.reply_facts import what_was_set
from glm_magic.errors import CellError, counted
from glm_magic.magics.facts import images_left_out, turns_named
from glm_magic.protocol import request
from glm_magic.protocol.tokens import estimated_content_tokens, estimated_text_tokens
from glm_magic.service.ledger import Total


def dry_run(question: Question, session: Session) -> dict[str, str]:
    """Return the exact request, without its key, and what it might cost, by MIME type; nothing is sent."""
    endpoint = question.endpoint
    if endpoint is None:
        address = [f"POST to the embedded model {question.model}, on this machine"]
    else:
        key = f"Authorization: Bearer {endpoint.key.masked}" if endpoint.key else "no Authorization"
        address = [f"POST {endpoint.url}  ({key})"]
        if endpoint.is_glm and not endpoint.key:
            address.append("No key is set, so the service would refuse this request. See %glm_config --login")
    was_set = what_was_set(request.parameters(question.body), question.system)
    asked = " · ".join([question.model, *was_set])
    body = endpoint.written(question.body) if endpoint else question.body
    left_out = images_left_out(question)
    return show_dry_run(
        [*address, asked],
        map(Message.from_api, question.body["messages"]),
        [*left_out, *_by_turn(question, session), *_expected(question, session), "Nothing was sent."],
        json.dumps(images.shortened(body), ensure_ascii=False, indent=2),
    )


def _by_turn(question: Question, session: Session) -> list[str]:
    """Return roughly how many tokens each turn takes, and which turns are skipped."""
    conversation = session.chats.conversation(question.chat)
    system = [f"system ~{estimated_text_tokens(question.system):,}"] if question.system else []
    sent = [f"turn {number} ~{tokens:,}" for number, tokens in forecast.turns(question, conversation).items()]
    own = f"this prompt ~{estimated_content_tokens(question.message.to_api()['content']):,}"
    tools = question.body.get("tools")
    offered = [f"tools ~{estimated_text_tokens(json.dumps(tools, ensure_ascii=False)):,}"] if tools else []
    skipped = [at for at, turn in conversation.numbered.items() if turn.skipped] if question.keep else []
    left_out = [f"Not sent: {turns_named(skipped)} (%glm_history --unskip TURN)"] if skipped else []
    inserted = [f"{file.name} ~{estimated_text_tokens(file.text):,}" for file in question.message.documents]
    of_files = [f"Tokens of documents in it: {', '.join(inserted)}"] if inserted else []
    return [f"Tokens: {', '.join([*system, *offered, *sent, own])}", *of_files, *left_out]


def _expected(question: Question, session: Session) -> list[str]:
    """Return what a request is expected to take, and why it would be refused."""
    expected = session.forecast(question)
    facts = f"1 request: {expected.prompt}, and an answer of about {expected.answer:,}"
    if expected.price is not None:
        facts += f"; about {expected.cost:.6f} {expected.price.currency}"
    elif question.settings["budget"] is not None and not question.is_embedded:
        facts += "; its price is not known, so the budget does not count it"
    try:
        session.check_limits(question)
    except CellError as error:
        return [f"{facts}.", f"It would be refused. {error.what.replace('; nothing was sent', '')}", error.remedy]
    return [f"{facts}."]


def spent(total: Total) -> str:
    """Return what this kernel has asked and spent, in one line; ``""`` if nothing."""
    if not total.requests:
        return ""
    costs = [f"{cost:.6f} {currency}" for currency, cost in total.costs]
    unknown = [f"{total.unknown:,} of unknown cost"] if total.unknown else []
    tokens = f"{total.prompt_tokens:,} tokens in, {total.completion_tokens:,} out"
    return f"This kernel: {', '.join([counted(total.requests, 'request'), tokens, *costs, *unknown])}."


def comparison_dry_run(plan: Plan, to_ask: Sequence[Question], session: Session, *, pending: int) -> dict[str, str]:
    """Return what a comparison would ask, and what it might cost, and its first request, by MIME type.

    So many of its requests are `pending` in batches.
    """
    first = plan.questions[0][0]
    shown = dry_run(first, session)
    total = plan.wanted.total
    known = total - len(to_ask) - pending
    kept = f", {known:,} of them kept already" if known else ""
    kept += f", {pending:,} pending in a batch" if pending else ""
    expected = [session.forecast(question) for question in to_ask]
    said = f"{plan.wanted.shape}: {total:,} requests{kept}, {in_sum(expected)}."
    return {
        "text/html": f"<div>{html.escape(said)} The first request:</div>{shown['text/html']}",
        "text/plain": f"{said}\nThe first request:\n\n{shown['text/plain']}",
    }


def in_sum(expected: Sequence[Forecast]) -> str:
    """Return what several requests are expected to take together, in words."""
    costs: dict[str, float] = {}
    for each in expected:
        if each.price is not None:
            costs[each.price.currency] = costs.get(each.price.currency, 0.0) + (each.cost or 0.0)
    tokens = sum(each.prompt.tokens for each in expected)
    error = sum(each.prompt.tokens * each.prompt.error for each in expected) / max(tokens, 1)
    answers = f"{sum(each.answer for each in expected):,} of the answers"
    said = [f"about {cost:.6f} {currency}" for currency, cost in costs.items()]
    return ", ".join([f"about {tokens:,} prompt tokens (±{error:.0%}) and {answers}", *said])
