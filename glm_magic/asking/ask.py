"""A question, from what would be sent to the turn that it becomes."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from glm_magic.asking.chats import Chats
from glm_magic.asking.question import Question
from glm_magic.asking.turn import Approve, Stream, Toolbox, TurnUnderWay
from glm_magic.chat.conversation import Attempt, context_digest
from glm_magic.chat.events import Event, Finished
from glm_magic.chat.fingerprint import fingerprint
from glm_magic.chat.messages import Message, ToolCall
from glm_magic.errors import AnswerError, GlmError
from glm_magic.protocol import models, request
from glm_magic.settings.declared import SETTINGS

if TYPE_CHECKING:
    from glm_magic.chat.reply import Reply
    from glm_magic.notebook.document import SavedTurn
    from glm_magic.tools.tool import Call, Outcome, Tool


def new_id() -> str:
    """Return an id for a turn; it is short, because each later turn of the conversation names it."""
    return uuid.uuid4().hex[:16]


def toolbox(
    question: Question,
    approve: Approve | None,
    acting: Callable[[], AbstractContextManager[None]],
    stopped: Callable[[], bool] | None,
) -> Toolbox:
    """Return what the model may call; `approve`, and the tools themselves, act within `acting`.

    `stopped` tells whether a person has stopped what runs in the background; None where an interrupt does that.
    """
    from glm_magic.tools import run as calling  # noqa: PLC0415 - few questions offer tools

    def run(tool: Tool, call: Call) -> Outcome:
        with acting():
            return calling.run(tool, call, stopped)

    def agreed(tool: Tool, call: ToolCall) -> ToolCall | None:
        assert approve is not None, "it is asked only where there is one"
        with acting():
            return approve(tool, call)

    steps = int(question.settings["max_steps"] or SETTINGS["max_steps"].default or 0)
    return Toolbox(question.tools, run, agreed if approve else None, steps)


class Asking:
    """A question under way. Its turn is committed whole at the end, or not at all.

    Iterating asks, once, or gives the recorded answer. If it is left early, `interrupt` keeps what has
    arrived. `answered` is called with each attempt as soon as it is made, and before the last event.
    """

    def __init__(
        self,
        question: Question,
        chats: Chats,
        stream: Stream,
        *,
        created: float,
        clock: Callable[[], float],
        toolbox: Toolbox | None = None,
        put_in_cell: Callable[[str], object] | None = None,
        answered: Callable[[Question, Attempt], None],
    ) -> None:
        """`created` is the time of day in seconds since the epoch, `clock` counts seconds.

        `toolbox` runs tools, and `put_in_cell` is what the reply puts its code into a cell with.
        """
        self.question = question
        self._chats = chats
        self._created = created
        self._answered = answered
        self._here = {"embedded": question.is_embedded, "put_in_cell": put_in_cell}
        endpoint = question.endpoint
        self._turn = TurnUnderWay(
            question.body,
            stream,
            clock,
            toolbox=toolbox,
            schema=question.schema,
            **self._here,
        )
        self._lists_price = endpoint is not None and endpoint.is_glm
        self.attempt: Attempt | None = None
        self.reply: Reply | None = None

    def take_place(self) -> None:
        """Take the question's place in its conversation."""
        if self.question.keep:
            self._chats.take(self.question.chat, self.question.place, self.question.message)

    def __iter__(self) -> Generator[Event, None, None]:
        """Ask, and yield what happens; the last event is `Finished`. Raises `GlmError`."""
        self.take_place()
        if self.question.recorded is not None:
            yield from self._replay(self.question.recorded)
            return
        try:
            for event in self._turn:
                if isinstance(event, Finished):
                    self.reply = self._priced(event.reply)
                    self._keep(self._attempt(self.reply), self.reply)
                    yield Finished(self.reply)
                else:
                    yield event
        except GlmError as error:  # where nothing could be asked, nothing has changed
            if isinstance(error, AnswerError) or self._turn.has_begun:
                self._retire()
            raise

    def _replay(self, recorded: SavedTurn) -> Iterator[Event]:
        """Give a recorded turn as it was then; only what it was sent after is of now."""
        attempt = recorded.attempt
        self.reply = attempt.reply(
            request=self.question.body,
            **self._here,
            replayed=True,
            parsed=self._parsed(attempt),
        )
        yield from attempt.events()
        self._keep(replace(attempt, **self._circumstances()), self.reply, recorded.earlier)
        yield Finished(self.reply)

    def _parsed(self, attempt: Attempt) -> Any:
        """Return the value of a recorded structured answer; one that was stopped has none."""
        if self.question.schema is None:
            return None
        with contextlib.suppress(Exception):  # a mismatch, or a bug in a check of the person's own
            return self.question.schema.read(attempt.answer)
        return None

    def interrupt(self) -> Reply | None:
        """Keep what has arrived as the answer; return it, or None if nothing had."""
        if self.attempt is not None:  # it was whole already
            return self.reply
        if not self._turn.has_begun:
            self._retire()
            return None
        reply = self.reply = self._priced(self._turn.partial(interrupted=True))
        if reply.text.strip():
            self._keep(self._attempt(reply), reply)
        else:
            self._retire()
        return reply

    def _circumstances(self) -> dict[str, Any]:
        question = self.question
        return {
            "after": tuple(other.id for other in question.sent_after),
            "context": context_digest(question.sent_after),
            "new": question.new,
        }

    def _attempt(self, reply: Reply) -> Attempt:
        question = self.question
        return Attempt(
            id=new_id(),
            messages=(question.message, *reply.steps, Message("assistant", reply.text)),
            **self._circumstances(),
            system=question.system,
            parameters=request.parameters(question.body),
            fingerprint=fingerprint(question.body),
            usage=reply.usage,
            cost=reply.cost,
            reasoning=reply.reasoning,
            finish_reason=reply.finish_reason,
            model=reply.model,
            created=round(self._created, 3),
            seconds=round(reply.seconds, 3),
            first_token_seconds=None if reply.first_token_seconds is None else round(reply.first_token_seconds, 3),
            tool_runs=tuple(run for run in reply.tool_runs if run.id in {step.tool_call_id for step in reply.steps}),
            sources=reply.sources,
            interrupted=reply.interrupted,
        )

    def _keep(self, attempt: Attempt, reply: Reply, others: tuple[Attempt, ...] = ()) -> None:
        question = self.question
        self.attempt = attempt
        # an unanswered call, or an empty message, could not be sent again; what is left of an interrupted answer
        # is its text, which is on the page
        if (reply.open_calls and not reply.interrupted) or not reply.text.strip():
            self._retire()
            return
        if question.keep:
            self._chats.swap(  # its place may have gone meanwhile, as by a tool that clears the history
                question.chat, lambda current: current.reserve(question.place).commit(question.place, attempt, others)
            )
        self._answered(question, attempt)

    def _retire(self) -> None:
        if self.question.keep:
            place = self.question.place
            self._chats.swap(self.question.chat, lambda current: current.reserve(place).retire(place))

    def _priced(self, reply: Reply) -> Reply:
        known = models.MODELS.get(str(self.question.body["model"]))
        model = reply.model or self.question.model
        cost = known.cost(reply.usage) if known and reply.usage and self._lists_price else None
        return replace(reply, cost=cost, model=model)
