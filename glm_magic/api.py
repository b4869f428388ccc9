"""`Chat` and `compare`: the same from Python, without IPython."""

from __future__ import annotations

import inspect
import itertools
import json
import warnings
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from glm_magic.asking import documents
from glm_magic.asking.ask import Circumstances
from glm_magic.asking.question import Wishes
from glm_magic.asking.recordings import OFF, THIS_NOTEBOOK
from glm_magic.asking.session import Session
from glm_magic.chat.conversation import Conversation
from glm_magic.chat.events import Event, TextDelta
from glm_magic.chat.messages import Message, ToolCall
from glm_magic.chat.place import DEFAULT_CHAT, Place
from glm_magic.chat.prompt import given
from glm_magic.errors import BrokenStream, HistoryError, SettingError, quoted
from glm_magic.notebook import document
from glm_magic.protocol.models import EMBEDDED
from glm_magic.settings import declared
from glm_magic.settings.layers import Layers, starting_with
from glm_magic.settings.setting import Value, plain
from glm_magic.tools.schemas import schema
from glm_magic.tools.tool import checked, tool
from glm_magic.tools.toolset import Toolset, tools_of

if TYPE_CHECKING:
    from glm_magic.asking.ask import Asking
    from glm_magic.asking.question import Question
    from glm_magic.chat.reply import Reply
    from glm_magic.comparing.comparison import Comparison
    from glm_magic.tools.schemas import Schema
    from glm_magic.tools.tool import Tool

Approve = Callable[[ToolCall], bool]
# What is offered to the model: functions, tools of the service as dicts, and sets of tools, such as an `MCP` server.
Offered: TypeAlias = "Sequence[Callable[..., Any] | Mapping[str, Any] | Tool | Toolset] | Toolset"

# Fields of the request that `extra` does not set, and what does.
_NOT_EXTRA = {
    "messages": "The prompt and the conversation are the messages: history=False sends the prompt alone.",
    "stream": "chat(…) returns the whole answer, chat.stream(…) its pieces.",
    "tools": "Use chat(prompt, tools=[…]).",
    "response_format": "Use chat(prompt, schema=…).",
    "n": "Ask again for another answer.",
    **{name: f"Use chat(prompt, {name}=…)." for name, setting in declared.SETTINGS.items() if setting.field},
}


class AnswerStream(Iterator[str]):
    """The text of an answer, piece by piece as it arrives; `reply` is the whole answer.

    `close`, or leaving a ``with`` block, stops an answer that has not ended. The conversation keeps what had arrived,
    marked as interrupted.
    """

    def __init__(self, asking: Asking) -> None:
        self._asking = asking
        self._events = iter(asking)
        self._error: Exception | None = None

    def __next__(self) -> str:
        for event in self.events():
            if isinstance(event, TextDelta):
                return event.text
        raise StopIteration

    def events(self) -> Iterator[Event]:
        """Yield every event: text, reasoning, tool calls, waiting; the last is `Finished`.

        Raises `GlmError` if the answer fails.
        """
        return iter(self._next_event, None)

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
        """The reply; waits for the end. Raises `GlmError` if the answer failed, or was stopped before any text."""
        for _ in self:
            pass
        if self._error is not None:
            raise self._error
        if self._asking.reply is None:
            raise BrokenStream("The answer was stopped before anything had arrived.", "Ask again.")
        return self._asking.reply

    def close(self) -> None:
        """Stop the answer if it has not ended; what had arrived is kept."""
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

    A setting is taken from the call, else from the chat, else from the environment (``GLM_API_KEY``,
    ``GLM_BASE_URL``, ``GLM_<SETTING>``), else it is the server's default. In a kernel where the extension is loaded,
    a chat starts from what ``%glm_config`` has set when the chat is made (but ``replay=notebook``, which is about the
    answers of cells, and ``tools``). Without key, base URL and model the embedded model answers, if the extra ``local``
    is installed; a warning says so.
    """

    def __init__(
        self,
        *,
        tools: Offered = (),
        schema: Any = None,
        approve: Approve | None = None,
        **settings: Value,
    ) -> None:
        """`settings` are those of ``%glm_config``: `model`, `temperature`, `system`, `base_url` and so on.

        The model may call the functions in `tools`, each call only if `approve` (if given) returns true for it.
        The setting ``tools`` has no effect here. Answers must fit `schema`: a pydantic model, dataclass, TypedDict,
        JSON Schema, or ``list`` of one. Raises `SettingError` for an unknown setting or a value out of its range,
        `SetupError` for a `base_url` that cannot be asked, and `OptionError` for a tool or schema that cannot be used.
        """
        self._layers = _layers(_checked(settings))
        for problem in self._layers.problems():
            warnings.warn(problem, stacklevel=2)
        self._session = Session(self._layers)
        weakref.finalize(self, self._session.close)
        if settings.get("base_url"):
            self._session.services.check_address(self._layers.values({}))
        self._tools = _tools(tools)
        self._schema = _schema(schema)
        if approve is not None and not callable(approve):
            raise SettingError(
                f"approve takes a function that is called before each tool call, not {quoted(repr(approve))}.",
                "approve=lambda call: …",
            )
        self._approve = approve
        self._calls = itertools.count()
        self._has_warned = False

    def __call__(self, prompt: object, **options: Any) -> Reply:
        """Ask `prompt` and return the whole answer; `options` are those of `stream`."""
        with self.stream(prompt, **options) as stream:
            return stream.reply

    def stream(
        self,
        prompt: object,
        *,
        tools: Offered | None = None,
        schema: Any = None,
        history: bool | None = None,
        extra: Mapping[str, Any] | None = None,
        **settings: Value,
    ) -> AnswerStream:
        """Ask `prompt` and return the answer as it arrives.

        `prompt` is a text, an image, the `Path` of a document, a `Reply`, or a list of them and of other values, which
        are inserted as ``{{ value }}`` would. `tools`, `schema` and `settings` are for this question alone. With
        `history` false no earlier turn is sent, and this one is not kept; None leaves that to the setting. `extra`
        holds further fields of the request. Raises `CellError` or `SetupError` before anything is sent; the stream
        raises `AnswerError`.
        """
        wishes = Wishes(
            options=_checked(settings),
            extra=_extra(extra),
            tools=self._tools if tools is None else _tools(tools),
            schema=self._schema if schema is None else _schema(schema),
            keep=bool(self._layers.find(declared.SETTINGS["history"])[0] if history is None else history),
        )
        question = self._session.plan(given(prompt, documents.reader()), Place("chat", next(self._calls)), wishes)
        if wishes.tools and question.settings["approve"] and self._approve is None:
            raise SettingError("approve is on, and this Chat has no function to ask.", "Chat(approve=function)")
        self._warn_of_the_embedded_model(question)
        return AnswerStream(self._session.ask(question, Circumstances(self._agrees if self._approve else None)))

    def _warn_of_the_embedded_model(self, question: Question) -> None:
        """Warn, once, that the embedded model answers though nobody has named it."""
        if not question.is_embedded or question.recorded or self._has_warned or question.settings["model"] == EMBEDDED:
            return
        self._has_warned = True
        frame, level = inspect.currentframe(), 0
        while frame is not None and frame.f_globals is globals():  # the warning names the line that asks
            frame, level = frame.f_back, level + 1
        warnings.warn(
            f"The embedded model {question.model} answers this Chat, since neither key, base_url nor model is set. "
            f'It is not for judging prompts. Chat(model="{EMBEDDED}") asks it without this warning.',
            stacklevel=level + 1,
        )

    @property
    def messages(self) -> tuple[Message, ...]:
        """The messages sent before the next question, without the system message."""
        return tuple(message for attempt in self._session.chats.conversation().sent() for message in attempt.messages)

    def undo(self) -> None:
        """Remove the last turn."""
        self._session.chats.swap(DEFAULT_CHAT, Conversation.undo)

    def clear(self) -> None:
        """Empty the conversation."""
        self._session.chats.swap(DEFAULT_CHAT, lambda _: Conversation())

    def restore(self, notebook: str | Path, chat: str = DEFAULT_CHAT) -> None:
        """Replace the conversation by one that is saved in a notebook.

        Warns of what could not be read. Raises `HistoryError` if the file has no chat of this name.
        """
        restored = document.restore(Path(notebook))
        found = restored.conversations
        for warning in restored.warnings:
            warnings.warn(f"{notebook}: {warning}", stacklevel=2)
        if chat not in found:
            raise HistoryError(f"There is no chat {chat!r} in {notebook}.", f"Its chats: {', '.join(found) or 'none'}.")
        # there are no cells here, so no cell can claim a restored turn
        turns = tuple(replace(turn, restored=False) for turn in found[chat])
        self._session.chats.swap(DEFAULT_CHAT, lambda _: Conversation(turns))

    def close(self) -> None:
        """Close the connections, and stop the embedded model."""
        self._session.close()

    def __enter__(self) -> Chat:  # noqa: PYI034 - as above
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        arguments = ", ".join(f"{name}={value!r}" for name, value in self._layers.assigned.items())
        return f"Chat({arguments})"

    def _agrees(self, tool: Tool, call: ToolCall) -> ToolCall | None:  # noqa: ARG002 - as the session asks
        assert self._approve is not None, "it is asked only where there is one"
        return call if self._approve(call) else None


def compare(
    prompt: object,
    *,
    rows: object = None,
    repeats: int = 1,
    score: object = (),
    executor: object = None,
    batch: bool = False,
    tools: Offered = (),
    schema: Any = None,
    extra: Mapping[str, Any] | None = None,
    **settings: Any,
) -> Comparison:
    """Ask many questions at once, and return the `Comparison` of their answers.

    ::

        found = compare(
            {"plain": "Is this good? {{ text }}", "terse": "One word, good or bad: {{ text }}"},
            model=["GLM-4-Air", "GLM-4-Flash"],
            rows=reviews,
            score=equals("label"),
        )
        found.summary()

    `prompt` is a text, or a dict of wordings by name. Where there are `rows` (a DataFrame, a list of dicts, a dict of
    lists), ``{{ }}`` in the prompt and in `system` is evaluated with a row's columns as names; without rows it is
    plain text. `model`, `temperature`, `top_p`, `max_tokens` and `system` may be lists, which are compared. `score` is
    a function ``(reply)``, ``(reply, row)`` or ``(reply, baseline, row)``, or a list of them. Other settings start
    from what ``%glm_config`` has set, as those of a `Chat` do. With ``record=FILE``, what is recorded there is not
    asked again. The workers of an `executor` ask, if there is one: a `concurrent.futures.Executor`, or a client of Dask
    or ipyparallel. Each takes the key from its own environment. With `batch` the service's Batch API is asked, at its
    price: the comparison comes back at once, with its runs pending, and the same call collects them later;
    ``record=FILE.db`` remembers them. Raises `CellError` or `SetupError` before anything is sent; where all runs fail,
    the first error.
    """
    from glm_magic.comparing.calling import compared  # noqa: PLC0415 - a Chat needs none of it

    several = {
        name: value for name, value in settings.items() if name in _COMPARED and isinstance(value, (list, tuple))
    }
    single = _checked({name: value for name, value in settings.items() if name not in several})
    checked = {name: [declared.setting(name).check(value) for value in values] for name, values in several.items()}
    session = Session(_layers(single))
    try:
        return compared(
            session,
            prompt,
            compared_settings=checked,
            wishes=Wishes(
                options={name: single[name] for name in ("system",) if name in single},  # it is filled for each row
                extra=_extra(extra),
                tools=_tools(tools),
                schema=_schema(schema),
                keep=False,
                in_batch=batch,
            ),
            table=rows,
            repeats=repeats,
            scores=score,
            workers=executor,
        )
    finally:
        session.close()


_COMPARED = ("model", "temperature", "top_p", "max_tokens", "system")


def _layers(own: dict[str, Value]) -> Layers:
    """Return layers that start from what is set in the kernel, but not to replay the answers of its cells."""
    layers = starting_with(own)
    if any(file.values.get("replay") == THIS_NOTEBOOK for file in layers.files or ()):
        layers.config.setdefault("replay", OFF)
    for values in (layers.config, layers.assigned):
        if values.get("replay") == THIS_NOTEBOOK and "replay" not in own:
            values["replay"] = OFF
    return layers


def _checked(settings: Mapping[str, Value]) -> dict[str, Value]:
    return {name: declared.setting(name).check(value) for name, value in settings.items()}


def _tools(offered: Offered) -> tuple[Tool, ...]:
    if not offered:
        return ()
    found: list[Tool] = []
    for each in [offered] if isinstance(offered, Toolset) else offered:
        several = tools_of(each)
        found += [tool(each, getattr(each, "__name__", ""))] if several is None else several
    return checked(found)


def _schema(value: Any) -> Schema | None:
    return None if value is None else schema(value, getattr(value, "__name__", "answer"))


def _extra(fields: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return further fields of the request as plain JSON. Raises `SettingError` for any that cannot be sent."""
    if fields is None:
        return {}
    if not isinstance(fields, Mapping) or not all(isinstance(name, str) for name in fields):
        raise SettingError(f"extra takes a dict of request fields, not {quoted(repr(fields))}.", 'extra={"seed": 7}')
    for name in fields:
        if name in _NOT_EXTRA:
            raise SettingError(f"extra does not set {name!r}.", _NOT_EXTRA[name])
    try:
        found: dict[str, Any] = json.loads(json.dumps(fields, allow_nan=False, default=_as_json))
    except (TypeError, ValueError, RecursionError) as error:
        raise SettingError(
            f"extra cannot be sent as JSON: {quoted(str(error))}.", "Use text, numbers, lists, dicts."
        ) from None
    return found


def _as_json(value: object) -> object:
    """Return a value that `json` does not know as one that it knows. Raises `TypeError`."""
    known = value.tolist() if hasattr(value, "tolist") else plain(value)
    if known is value:
        raise TypeError(f"a {type(value).__name__} is not JSON")
    return known
