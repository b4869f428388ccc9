"""A question is asked: its events are passed on, and its turn is committed whole at the end, or not at all."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

from glm_magic.asking.history import History, new_id
from glm_magic.asking.loop import Approve, Loop, RunCode, Toolbox
from glm_magic.asking.question import Question
from glm_magic.chat.attempt import Attempt, context_digest
from glm_magic.chat.conversation import Conversation, Turn
from glm_magic.chat.events import Event, Finished
from glm_magic.chat.messages import Message, ToolCall
from glm_magic.chat.reply import Reply, details_of
from glm_magic.errors import AnswerError, GlmError
from glm_magic.notebook.document import SavedTurn
from glm_magic.protocol import request
from glm_magic.settings.declared import number
from glm_magic.tools import run as tool_run
from glm_magic.tools.signatures import Call
from glm_magic.tools.tool import Outcome, Tool


@dataclass(frozen=True, slots=True)
class Circumstances:
    """How the code of the notebook takes part in an answer.

    `approve` says whether a tool that the model calls may run, and with what arguments; None lets all run. It, the
    tools and the validators run within `acting`. In the background, `stopped` tells whether a person has stopped the
    answer.
    """

    approve: Approve | None = None
    acting: Callable[[], AbstractContextManager[None]] = contextlib.nullcontext
    stopped: Callable[[], bool] | None = None

    def toolbox(self, question: Question) -> Toolbox:
        """Return what the model may call."""
        steps = int(number(question.settings, "max_steps"))
        return Toolbox(question.wishes.tools, self._run, self._agreed if self.approve else None, steps)

    def run_code(self, code: Callable[[], Any]) -> Any:
        """Run a validator, which a first interrupt stops, and return its result."""
        with self.acting():
            return tool_run.stoppable(code, self.stopped)

    def _run(self, tool: Tool, call: Call) -> Outcome:
        with self.acting():
            return tool_run.run(tool, call, self.stopped)

    def _agreed(self, tool: Tool, call: ToolCall) -> ToolCall | None:
        assert self.approve is not None, "it is asked only where there is one"
        with self.acting():
            return self.approve(tool, call)


class Asking:
    """A question under way. Iterating asks it, once, or gives the recorded answer.

    If the iteration is left early, `interrupt` keeps what has arrived. When it has ended, `reply`, `attempt` and
    `bundle` tell what came of it.
    """

    def __init__(self, question: Question, history: History, under_way: Loop, *, created: float) -> None:
        """`created` is the time of asking in seconds since the epoch."""
        self.question = question
        self.history = history
        self._under_way = under_way
        self._created = created
        self.attempt: Attempt | None = None
        self.reply: Reply | None = None
        self.bundle: dict[str, Any] | None = None  # what the notebook keeps of it

    @property
    def turn(self) -> Turn:
        """The turn that the question belongs to, as it is now."""
        return self.history.chats.turn(self.question.chat, self.question.place)

    @property
    def conversation(self) -> Conversation:
        """The conversation that the question belongs to, as it is now."""
        return self.history.chats.conversation(self.question.chat)

    def take_place(self) -> None:
        """Take the question's place in its conversation."""
        self.history.take_place(self.question)

    def __iter__(self) -> Generator[Event, None, None]:
        """Ask, and yield what happens; the last event is `Finished`. Raises `GlmError`."""
        self.take_place()
        if self.question.recorded is not None:
            yield from self._replay(self.question.recorded)
            return
        try:
            for event in self._under_way:
                if isinstance(event, Finished):
                    self.reply = priced(self.question, event.reply)
                    self._commit(attempt_of(self.question, self.reply, self._created), self.reply)
                    yield Finished(self.reply)
                else:
                    yield event
        except GlmError as error:  # where nothing could be asked, nothing has changed
            self._end_without_answer(retire=isinstance(error, AnswerError) or self._under_way.has_begun)
            raise

    def _replay(self, recorded: SavedTurn) -> Iterator[Event]:
        """Give a recorded turn as it was; only what it is sent after is of now."""
        attempt = recorded.attempt
        self.reply = attempt.reply(
            request=self.question.body,
            **self._under_way.circumstances,
            replayed=True,
            parsed=parsed_of(self.question, attempt, self._under_way.run_code),
        )
        yield from attempt.events()
        self._commit(replace(attempt, **_context(self.question)), self.reply, recorded.earlier)
        yield Finished(self.reply)

    def rest(self) -> list[Event]:
        """Return the last of an answer that was left early: the stream held it back, to see whether it is the key."""
        return self._under_way.rest() if self.attempt is None else []

    def interrupt(self) -> Reply | None:
        """Keep what has arrived as the answer; return it, or None if nothing has."""
        if self.attempt is not None:  # it had finished
            return self.reply
        self.rest()
        if not self._under_way.has_begun:
            self._end_without_answer()
            return None
        reply = self.reply = priced(self.question, self._under_way.partial(interrupted=True))
        if reply.text.strip():
            self._commit(attempt_of(self.question, reply, self._created), reply)
        else:
            self._end_without_answer()
        return reply

    def _commit(self, attempt: Attempt, reply: Reply, others: tuple[Attempt, ...] = ()) -> None:
        self.attempt = attempt
        # an open call, or an empty message, could not be sent again; of an interrupted answer the text is on the page
        if (reply.open_calls and not reply.interrupted) or not reply.text.strip():
            self._end_without_answer()
        else:
            self.bundle = self.history.commit(self.question, attempt, others)

    def _end_without_answer(self, *, retire: bool = True) -> None:
        if retire:
            self.history.retire(self.question)
        self.bundle = self.history.kept_without_answer(self.question)


def attempt_of(question: Question, reply: Reply, created: float) -> Attempt:
    """Return the reply to a question as an attempt of its turn, asked `created` seconds after the epoch."""
    answered = {step.tool_call_id for step in reply.steps}
    kept = replace(reply, tool_runs=tuple(run for run in reply.tool_runs if run.id in answered))
    return Attempt(
        id=new_id(),
        messages=(question.message, *reply.steps, Message("assistant", reply.text)),
        system=question.system,
        parameters=request.parameters(question.body),
        fingerprint=question.fingerprint,
        created=round(created, 3),
        **_context(question),
        **details_of(kept),
    )


def priced(question: Question, reply: Reply) -> Reply:
    """Return the reply to a question with what it cost, and with the model that gave it."""
    price, model = question.price, reply.model or question.model
    if price is None or reply.usage is None:
        return replace(reply, model=model)
    return replace(reply, cost=price.cost(reply.usage), currency=price.currency, model=model)


def parsed_of(question: Question, attempt: Attempt, run_code: RunCode = lambda code: code()) -> Any:
    """Return the value of a structured answer that is kept; one that was interrupted has none."""
    schema = question.wishes.schema
    if schema is None:
        return None
    with contextlib.suppress(Exception):  # a mismatch, or a bug in a validator
        return run_code(lambda: schema.read(attempt.answer))
    return None


def _context(question: Question) -> dict[str, Any]:
    before = question.sent_after
    return {
        "after": tuple(other.id for other in before),
        "context": context_digest(before),
        "new": question.wishes.new,
    }
