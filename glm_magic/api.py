"""The same turns from Python, without magics: `Chat` asks, streams, runs tools and keeps the conversation."""

from __future__ import annotations

import itertools
import os
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glm_magic.asking.ask import Circumstances
from glm_magic.asking.chats import DEFAULT_CHAT
from glm_magic.asking.question import Wishes
from glm_magic.asking.session import Session
from glm_magic.chat.conversation import Conversation
from glm_magic.chat.events import Event, TextDelta
from glm_magic.chat.messages import Message, ToolCall
from glm_magic.chat.place import Place
from glm_magic.errors import BrokenStream, HistoryError, SettingError
from glm_magic.settings import declared
from glm_magic.settings.declared import Value
from glm_magic.settings.layers import Layers

if TYPE_CHECKING:
    from glm_magic.asking.ask import Asking
    from glm_magic.chat.reply import Reply
    from glm_magic.tools.schemas import Schema
    from glm_magic.tools.tool import Tool

Approve = Callable[[ToolCall], bool]


class AnswerStream(Iterator[str]):
    """The text of an answer, piece by piece as it comes.

    When it has ended, `reply` is the whole. Whoever leaves it earlier, by `close` or at the end of a ``with``,
    stops the answer; what had arrived is kept in the conversation, marked as interrupted.
    """

    def __init__(self, asking: Asking) -> None:
        self._asking = asking
        self._events = iter(asking)
        self._error: Exception | None = None

    def __next__(self) -> str:
        while (event := self._next_event()) is not None:
            if isinstance(event, TextDelta):
                return event.text
        raise StopIteration

    def events(self) -> Iterator[Event]:
        """Yield all that happens, also thoughts, tool calls and waiting; the last is `Finished`.

        Raises `GlmError` if the answer ends unwell.
        """
        while (event := self._next_event()) is not None:
            yield event

    def _next_event(self) -> Event | None:
        try:
            return next(self._events, None)
        except KeyboardInterrupt:
            self.close()
            raise
        except Exception as error:
            self._error = error
            raise

    @property
    def reply(self) -> Reply:
        """The reply: the rest is waited for. Raises `GlmError` if it ends unwell, or nothing had arrived."""
        for _ in self:
            pass
        if self._error is not None:
            raise self._error
        if self._asking.reply is None:
            raise BrokenStream("It was stopped before anything had arrived.", "Ask again.")
        return self._asking.reply

    def close(self) -> None:
        """Stop the answer, if it has not ended; what had arrived is kept."""
        self._events.close()
        if self._error is None and self._asking.reply is None:
            self._asking.interrupt()

    def __enter__(self) -> AnswerStream:  # noqa: PYI034 - Self is of Python 3.11
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Chat:
    """A conversation with a model.

    ::

        chat = Chat(model="GLM-4-Air", temperature=0.2)
        reply = chat("Name a comet.")
        for text in chat.stream("And its tail?"):
            print(text, end="")

    What a call does not say is as the chat says, then as the environment does (``GLM_API_KEY``,
    ``GLM_BASE_URL``, ``GLM_<SETTING>``), then the server's own default. Without key, base URL and model the
    embedded model answers, where the extra ``local`` is installed.
    """

    def __init__(
        self,
        *,
        tools: Sequence[Callable[..., Any] | Mapping[str, Any]] = (),
        schema: Any = None,
        approve: Approve | None = None,
        **settings: Value,
    ) -> None:
        """`settings` are those of ``%glm_config``: `model`, `temperature` (0 to 1), `system`, `base_url` and so on.

        The model may call the functions `tools` (``GLM_TOOLS`` names those of a notebook, and says nothing here),
        each only if `approve`, where it is given, agrees; its answers must fit `schema` (a pydantic model, dataclass,
        TypedDict, JSON Schema, or ``list`` of one). Raises `SettingError` for a setting that there is not, or a value
        out of its range, and `OptionError` for a tool or schema that cannot be offered.
        """
        self._layers = Layers(os.environ, assigned=_checked(settings))
        self._session = Session(self._layers)
        weakref.finalize(self, self._session.close)
        self._tools = _tools(tools)
        self._schema = _schema(schema)
        if approve is not None and not callable(approve):
            raise SettingError("approve takes a function that is asked before each call.", "approve=lambda call: …")
        self._approve = approve
        self._calls = itertools.count()

    def __call__(self, prompt: str | Sequence[object], **options: Any) -> Reply:
        """Ask `prompt`, and return the whole answer; `options` are those of `stream`."""
        with self.stream(prompt, **options) as stream:
            return stream.reply

    def stream(
        self,
        prompt: str | Sequence[object],
        *,
        tools: Sequence[Callable[..., Any] | Mapping[str, Any]] | None = None,
        schema: Any = None,
        history: bool = True,
        extra: Mapping[str, Any] | None = None,
        **settings: Value,
    ) -> AnswerStream:
        """Ask `prompt`, a text, or texts and images in a list, and return the answer as it comes.

        `tools`, `schema` and `settings` are for this question alone. Without `history` no earlier turn is sent,
        and this one is not kept. `extra` are further fields of the request. Raises `CellError` or `SetupError`
        before anything is sent; the stream raises `AnswerError`.
        """
        wishes = Wishes(
            options=_checked(settings),
            extra=extra or {},
            tools=self._tools if tools is None else _tools(tools),
            schema=self._schema if schema is None else _schema(schema),
            keep=history,
        )
        question = self._session.plan(_message(prompt), Place("chat", next(self._calls)), wishes)
        if wishes.tools and question.settings["approve"] and self._approve is None:
            raise SettingError("approve is on, and this Chat has nobody to ask.", "Chat(approve=function)")
        return AnswerStream(self._session.ask(question, Circumstances(self._agrees if self._approve else None)))

    @property
    def messages(self) -> tuple[Message, ...]:
        """The messages that the next question is sent after, without the system message."""
        return tuple(message for attempt in self._session.chats.conversation().sent() for message in attempt.messages)

    def undo(self) -> None:
        """Take the last turn out."""
        self._session.chats.swap(DEFAULT_CHAT, Conversation.undo)

    def clear(self) -> None:
        """Empty the conversation."""
        self._session.chats.swap(DEFAULT_CHAT, lambda _: Conversation())

    def restore(self, notebook: str | Path, chat: str = DEFAULT_CHAT) -> None:
        """Take over a conversation that a notebook was saved with, in place of the one that is here.

        Raises `HistoryError` if there is none of this name in the file.
        """
        from glm_magic.notebook import document  # noqa: PLC0415 - it needs nbformat

        found = document.restore(Path(notebook)).conversations
        if chat not in found:
            raise HistoryError(f"There is no chat {chat!r} in {notebook}.", f"There are: {', '.join(found) or 'none'}.")
        # no cell comes back here, so nobody claims a turn by asking the same again
        turns = tuple(replace(turn, restored=False) for turn in found[chat])
        self._session.chats.swap(DEFAULT_CHAT, lambda _: Conversation(turns))

    def close(self) -> None:
        """Free connections, and end the embedded model."""
        self._session.close()

    def __enter__(self) -> Chat:  # noqa: PYI034 - as above
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        said = ", ".join(f"{name}={value!r}" for name, value in self._layers.assigned.items())
        return f"Chat({said})"

    def _agrees(self, tool: Tool, call: ToolCall) -> ToolCall | None:  # noqa: ARG002 - as the session asks
        assert self._approve is not None, "it is asked only where there is one"
        return call if self._approve(call) else None


def _checked(settings: Mapping[str, Value]) -> dict[str, Value]:
    return {name: declared.setting(name).check(value) for name, value in settings.items()}


def _tools(offered: Sequence[Callable[..., Any] | Mapping[str, Any]]) -> tuple[Tool, ...]:
    if not offered:
        return ()
    from glm_magic.tools.tool import checked, tool  # noqa: PLC0415 - it needs pydantic

    return checked(tool(each, getattr(each, "__name__", "")) for each in offered)


def _schema(value: Any) -> Schema | None:
    if value is None:
        return None
    from glm_magic.tools.schemas import schema  # noqa: PLC0415 - it needs pydantic

    return schema(value, getattr(value, "__name__", "answer"))


def _message(prompt: str | Sequence[object]) -> Message:
    if isinstance(prompt, str):
        return Message("user", prompt)
    from glm_magic.chat.prompt import joined  # noqa: PLC0415

    return joined(prompt)
