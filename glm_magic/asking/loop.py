"""One turn: asks, streams, runs the tools that are called, and asks again, until the reply is complete or fails.

It takes the `Stream` that asks, the clock that measures and the `Toolbox` that runs; it knows no network and
keeps nothing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import astuple, dataclass
from typing import Any, TypeAlias

from glm_magic.chat import strict_json
from glm_magic.chat.events import (
    PART_OF_AN_ANSWER,
    AskedAgain,
    Event,
    Finished,
    Notice,
    ToolCallDelta,
    ToolCalling,
    ToolResult,
)
from glm_magic.chat.fragments import Calls
from glm_magic.chat.growing import ReplyBuilder
from glm_magic.chat.messages import Message, ToolCall, Usage
from glm_magic.chat.reply import Reply, Source, ToolRun
from glm_magic.errors import (
    AnswerError,
    AnswerMismatch,
    BrokenStream,
    ContentFiltered,
    PromptTooLong,
    ServiceDown,
    TooManySteps,
    Withdrawn,
    described,
    quoted,
)
from glm_magic.tools.schemas import Schema, SchemaMismatch, question_again
from glm_magic.tools.signatures import Call
from glm_magic.tools.tool import Outcome, Tool, ToolArgumentsError, arguments

Stream: TypeAlias = Callable[[Mapping[str, Any]], Iterator[Event]]
# Whether a call may run: it, or the call with other arguments; None if it may not.
Approve: TypeAlias = "Callable[[Tool, ToolCall], ToolCall | None]"
# Runs code of the person's own, so that it can be stopped, and returns its result.
RunCode: TypeAlias = Callable[[Callable[[], Any]], Any]

MOST_CALLS = 128  # of tools in one round

# Finish reasons of an answer that failed: GLM's own (confirmed; it comes with HTTP 200, sometimes after text),
# DeepSeek's, and those of vLLM, SGLang and OpenRouter (reported).
_ABORTED = ("network_error", "insufficient_system_resource", "abort", "aborted", "cancelled", "error")

_KEPT = "What had arrived is on the page, but not in the conversation. Run the cell again."


@dataclass(frozen=True, slots=True)
class Toolbox:
    """The `tools` that a turn may call, and how: `run` calls one if `approve` agrees, in at most `max_steps` rounds."""

    tools: tuple[Tool, ...]
    run: Callable[[Tool, Call], Outcome]
    approve: Approve | None = None
    max_steps: int = 8


class Loop:
    """A turn from question to answer. Iterating yields its events; the last is `Finished`.

    Whatever ends the iteration, `partial` says what had arrived.
    """

    def __init__(
        self,
        request: Mapping[str, Any],
        stream: Stream,
        clock: Callable[[], float],
        *,
        toolbox: Toolbox | None = None,
        schema: Schema | None = None,
        run_code: RunCode = lambda code: code(),
        **circumstances: Any,
    ) -> None:
        """`clock` counts seconds; `circumstances` are fields of the `Reply` that the service does not say.

        An answer must fit the `schema`, if there is one. Validators are the person's own code, which `run_code` runs.
        """
        self._request = request
        self._stream = stream
        self._clock = clock
        self._toolbox = toolbox
        self._schema = schema
        self.run_code = run_code
        self.circumstances = circumstances
        offered = toolbox.tools if toolbox else ()  # of which those without a function run at the service
        self._functions = {tool.name: tool for tool in offered if tool.function is not None}
        self._started = 0.0
        self._first_token: float | None = None
        self._source: Iterator[Event] = iter(())
        self._forget()

    def __iter__(self) -> Iterator[Event]:
        """Ask, and yield what happens. Raises `AnswerError`, with `partial` set, if it ends unwell."""
        self._started = self._clock()
        body, was_asked_again = self._request, False
        try:
            while True:
                yield from self._ask(body)
                if self._functions and self._answer.calls:
                    added = yield from self._call_tools()
                elif (fault := self._misfit()) is not None:
                    if was_asked_again:
                        raise AnswerMismatch(
                            f"The answer does not fit, and a second one did not either: {fault}",
                            "Both are on the page; nothing is in the conversation. Reword the prompt, or ask another\n"
                            "model.",
                        )
                    was_asked_again = True
                    yield AskedAgain(str(fault))
                    added = self._dismiss(fault)
                else:
                    break
                body = {**body, "messages": [*body["messages"], *(message.to_api() for message in added)]}
        except ContentFiltered as error:  # also where an error in the stream says it (1301), and not its finish reason
            if self.has_begun:
                self._withdraw(error)
            raise
        except AnswerError as error:
            if self.has_begun:
                error.partial = self.partial()
            raise
        yield Finished(self.partial())

    @property
    def has_begun(self) -> bool:
        """Whether any part of an answer has arrived."""
        return bool(self._earlier) or not self._answer.is_empty

    def partial(self, **circumstances: Any) -> Reply:
        """Return the reply as it stands now.

        Of one that is `interrupted`, the text is the last that arrived, and its steps are those before it: a call
        that nobody has answered is in neither.
        """
        text, steps = self._answer.text, list(self._steps)
        if circumstances.get("interrupted"):
            while steps and not text.strip():
                message = steps.pop()
                text = message.content if message.role == "assistant" else ""
        return self._answer.reply(
            **{
                "text": text,
                "steps": tuple(steps),
                "reasoning": "\n\n".join(filter(None, (*self._thoughts, self._answer.reasoning))),
                "tool_calls": (*self._calls, *self._answer.calls),
                "tool_runs": tuple(self._runs),
                "sources": tuple(dict.fromkeys((*self._sources, *self._answer.sources))),
                "parsed": self._parsed,
                "usage": self._tokens(),
                "request": self._request,
                "seconds": self._seconds,
                "first_token_seconds": self._first_token,
                **self.circumstances,
                **circumstances,
            }
        )

    def rest(self) -> list[Event]:
        """Take what a stream that was left early has held back, and return it; a second time there is nothing."""
        held_back: list[Event] = getattr(self._source, "rest", list)()
        for event in held_back:
            self._answer.add(event)
        return [event for event in held_back if not isinstance(event, ToolCallDelta)]

    @property
    def _seconds(self) -> float:
        """The time so far, to the millisecond, as it is kept: a replay shows what the first answer did."""
        return round(self._clock() - self._started, 3)

    def _tokens(self) -> Usage | None:
        """Return the tokens of all requests together; None if the service did not count one of them."""
        counted = [*self._earlier, *([] if self._answer.is_empty and self._earlier else [self._answer.usage])]
        known = [usage for usage in counted if usage is not None]
        if len(known) < len(counted):
            return None
        return Usage(*map(sum, zip(*map(astuple, known), strict=True)))

    # --- one request -------------------------------------------------------------------------

    def _ask(self, body: Mapping[str, Any]) -> Iterator[Event]:
        waits_since: float | None = None
        since = self._clock()
        self._source = self._stream(body)
        self._started += self._clock() - since  # what the first answer of a kernel loads is not its time
        with contextlib.ExitStack() as stack:
            if (close := getattr(self._source, "close", None)) is not None:  # however this ends, its connection is free
                stack.callback(close)
            for event in self._source:
                if waits_since is not None:
                    self._started += self._clock() - waits_since
                waits_since = self._clock() if isinstance(event, Notice) and event.kind == "wait" else None
                if self._first_token is None and isinstance(event, PART_OF_AN_ANSWER):
                    self._first_token = self._seconds
                if isinstance(event, ToolCallDelta):
                    yield ToolCalling(*self._answer.calling(event))
                    continue
                self._answer.add(event)
                if self._answer.finish_reason == "sensitive":
                    self._withdraw()
                yield event
        self._check_ending()

    def _check_ending(self) -> None:
        """Raise an error unless the answer ended as a whole one does, with something in it."""
        reason = self._answer.finish_reason
        match reason:
            case "stop" | "length" | "tool_calls" | "refusal":
                self._check_not_blank()
            case "":
                raise BrokenStream("The stream ended before the answer did.", _KEPT)
            case "model_context_window_exceeded":
                raise PromptTooLong(
                    "Prompt and answer ran out of the model's context window.",
                    _KEPT.replace(
                        "Run the cell again.",
                        "Send less of the\nconversation: %glm_history --skip TURN, --new or --no-history.",
                    ),
                )
            case _ if reason in _ABORTED:
                raise ServiceDown(f"The service aborted the answer ({reason}).", _KEPT)
            case _:
                raise BrokenStream(
                    f"The answer ended with {quoted(reason)!r}, which is not known as the end of a whole answer.", _KEPT
                )

    def _check_not_blank(self) -> None:
        answer = self._answer
        counted = answer.usage.completion_tokens if answer.usage else 0
        if not answer.is_empty or not (counted or answer.unread or answer.finish_reason == "tool_calls"):
            return
        what = "The answer is empty"
        if answer.finish_reason == "tool_calls":
            what += ", though it ended to call a tool"
        elif counted:
            what += f", though the service counted {counted} {'token' if counted == 1 else 'tokens'}"
        if answer.unread:
            what += f"; it came with fields that are not known here: {', '.join(answer.unread)}"
        if answer.finish_reason == "length":
            raise BrokenStream(f"{what}.", "Raise --max-tokens: the model may have spent them on thinking.")
        raise BrokenStream(f"{what}.", "Run the cell again, or try --no-stream.")

    def _withdraw(self, error: ContentFiltered | None = None) -> None:
        """Confirmed: text already shown must be withdrawn and kept out of the history, however the stream ends."""
        self._forget()
        if error is None:
            raise Withdrawn(
                "The service's content filter withdrew the answer.", "Reword the prompt or what it inserts."
            )
        raise Withdrawn(
            error.what, error.remedy, status=error.status, code=error.code, request_id=error.request_id
        ) from None

    def _forget(self) -> None:
        self._answer = ReplyBuilder()
        self._steps: list[Message] = []
        self._runs: list[ToolRun] = []
        self._calls: list[ToolCall] = []
        self._thoughts: list[str] = []
        self._sources: list[Source] = []
        self._earlier: list[Usage | None] = []  # the tokens of each answer before the one that grows
        self._parsed: Any = None
        self._rounds = 0

    def _go_on(self, *steps: Message) -> tuple[Message, ...]:
        """Begin the next answer and keep this one; `steps` are the messages between the two."""
        answer = self._answer
        self._steps += steps
        self._calls += steps[0].tool_calls if steps else answer.calls
        self._thoughts.append(answer.reasoning)
        self._sources += answer.sources
        self._earlier.append(answer.usage)
        self._answer = ReplyBuilder(
            Calls([call.id for call in self._calls]),
            id=answer.id,
            model=answer.model,
            repeats_key=answer.repeats_key,
        )
        return steps

    # --- tools -------------------------------------------------------------------------------

    def _call_tools(self) -> Generator[Event, None, tuple[Message, ...]]:
        """Run the calls in order, and return the messages to send next."""
        assert self._toolbox is not None, "there are functions to call"
        calls = self._answer.calls
        if self._answer.finish_reason == "length" and not all(strict_json.is_object(call.arguments) for call in calls):
            raise BrokenStream(
                f"The answer was cut off at the token limit, in the middle of a call of {quoted(calls[-1].name)};"
                " nothing of it was run.",
                "Raise --max-tokens.",
            )
        if len(calls) > MOST_CALLS:
            raise TooManySteps(
                f"The model called {len(calls)} tools in one round; at most {MOST_CALLS} may be called. None was run.",
                "Ask for fewer at a time, or offer a tool that takes a list.",
            )
        if self._rounds == self._toolbox.max_steps:
            raise TooManySteps(
                f"The model called tools in {self._rounds} rounds and keeps calling.",
                f"What happened is on the page, but not in the conversation. To allow more rounds:\n"
                f"--max-steps {2 * self._rounds}",
            )
        self._rounds += 1
        ran: list[ToolCall] = []
        results: list[Message] = []
        for number, asked in enumerate(calls, len(self._calls)):
            call, run_it = yield from self._readied(number, asked)
            begun = self._clock()  # the time that a person takes to agree is not the tool's
            outcome = run_it()
            run = ToolRun(call.id, round(self._clock() - begun, 3), outcome.failed)
            self._runs.append(run)
            yield ToolResult(number, call, outcome.text, run.seconds, outcome.failed)
            # what is no JSON could not be sent back: servers put it into their templates as an object
            ran.append(call if strict_json.is_object(call.arguments) else ToolCall(call.id, call.name, "{}"))
            results.append(Message("tool", outcome.text, tool_call_id=call.id))
        return self._go_on(Message("assistant", self._answer.text, tuple(ran)), *results)

    def _readied(self, number: int, call: ToolCall) -> Generator[Event, None, tuple[ToolCall, Callable[[], Outcome]]]:
        """Return a call as it may run, and a function that runs it or returns the error for the model."""
        assert self._toolbox is not None, "there are functions to call"
        tool = self._functions.get(call.name)
        if tool is None:
            there = ", ".join(self._functions)
            return call, lambda: Outcome(f"There is no tool {quoted(call.name)!r}. There are: {there}.", failed=True)
        toolbox = self._toolbox
        try:
            ready = self.run_code(lambda: arguments(tool, call.arguments))
            if toolbox.approve is not None:
                yield ToolCalling(number, call, asks=True)
                approved = toolbox.approve(tool, call)
                if approved is None:
                    return call, lambda: Outcome("The person at the notebook did not allow this call.", failed=True)
                call = approved
                ready = self.run_code(lambda: arguments(tool, call.arguments))
        except ToolArgumentsError as error:
            invalid = Outcome(str(error), failed=True)
            return call, lambda: invalid
        yield ToolCalling(number, call, runs=True)
        return call, lambda: toolbox.run(tool, ready)

    # --- structured answers ------------------------------------------------------------------

    def _misfit(self) -> SchemaMismatch | None:
        """Return how the answer does not fit the schema; None if it fits, or if there is no schema."""
        if self._schema is None or self._answer.calls:
            return None
        if self._answer.finish_reason == "length":
            raise AnswerMismatch("The answer was cut off at the token limit.", f"Raise --max-tokens. {_KEPT}")
        try:
            schema, text = self._schema, self._answer.text
            self._parsed = self.run_code(lambda: schema.read(text))
        except SchemaMismatch as mismatch:
            return mismatch
        except Exception as error:  # a bug in a validator: to ask again would not help
            raise AnswerMismatch(
                f"A validator of {quoted(self._schema.name)} failed: {described(error)}",
                f"Fix it: a validator raises ValueError for a value that does not fit. {_KEPT}",
            ) from error
        return None

    def _dismiss(self, fault: SchemaMismatch) -> tuple[Message, ...]:
        """Return the messages that ask for another answer; this one does not enter the conversation."""
        dismissed = self._answer.text
        self._go_on()
        # no text, no message: an empty one is refused
        answer = (Message("assistant", dismissed),) if dismissed.strip() else ()
        return (*answer, Message("user", question_again(fault)))
