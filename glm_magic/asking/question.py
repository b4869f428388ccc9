"""A question: what a cell wishes, planned into the request that would be sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from glm_magic.asking.chats import DEFAULT_CHAT
from glm_magic.chat.conversation import Attempt
from glm_magic.chat.fingerprint import canonical, fingerprint
from glm_magic.chat.messages import Message
from glm_magic.chat.place import Place
from glm_magic.errors import PromptError, quoted
from glm_magic.notebook.document import SavedTurn
from glm_magic.protocol import request
from glm_magic.protocol.prices import Price
from glm_magic.service.endpoint import Endpoint
from glm_magic.settings.declared import Value
from glm_magic.tools.schemas import Schema
from glm_magic.tools.tool import Tool


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a cell says beside its prompt.

    `options` are settings for this question alone, `extra` further fields of the request. Without `keep` the question
    neither sends nor enters a conversation. `replay` decides whether a recorded answer may be given; None leaves it
    to the settings. The model may call the `tools`, and its answer must fit the `schema`.
    """

    chat: str = DEFAULT_CHAT
    options: Mapping[str, Value] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)
    tools: tuple[Tool, ...] = ()
    schema: Schema | None = None
    new: bool = False
    keep: bool = True
    stream: bool = True
    replay: bool | None = None
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class Question:
    """All that is known before anything is sent: the request body, where it goes, and which turns it is sent after.

    `system` is the system message that the request begins with. A `recorded` turn answers it, if there is one;
    else `endpoint` is asked, or, where that is None, the embedded model. `price` is
    that of its tokens, None where it is not known.
    """

    place: Place
    message: Message
    wishes: Wishes
    settings: Mapping[str, Value]
    system: str
    sent_after: tuple[Attempt, ...]
    body: Mapping[str, Any]
    endpoint: Endpoint | None = None
    is_embedded: bool = False
    recorded: SavedTurn | None = None
    price: Price | None = None

    @property
    def chat(self) -> str:
        """The name of the conversation that it is asked in."""
        return self.wishes.chat

    @property
    def keep(self) -> bool:
        """Whether it sends and enters a conversation."""
        return self.wishes.keep

    @property
    def model(self) -> str:
        """The name of the model that is asked."""
        return str(self.body["model"])

    @property
    def fingerprint(self) -> str:
        """What a recorded answer to it is found by."""
        return fingerprint(self.body)

    def with_recorded(self, turn: SavedTurn) -> Question:
        """Return the question, answered by a recorded turn."""
        return replace(self, recorded=turn)


@dataclass(frozen=True, slots=True)
class Draft:
    """A question that does not say yet whom it asks."""

    place: Place
    message: Message
    wishes: Wishes
    settings: Mapping[str, Value]
    sent_after: tuple[Attempt, ...]

    def to(self, model: str, endpoint: Endpoint | None = None, *, is_embedded: bool = False) -> Question:
        """Return the question as it is put to `model`. Raises `PromptError` if it cannot be sent as UTF-8."""
        wishes, settings, system = self.wishes, self.settings, self._system
        fields = {**self._offered, **wishes.extra}
        messages = [message for attempt in self.sent_after for message in attempt.messages]
        if request.reads_text_only(model, embedded=is_embedded):
            messages = request.without_images(messages)
        leading = [Message("system", system)] if system else []
        check_encodes(*leading, self.message, *fields.values())  # earlier turns have been checked
        body = request.body(
            {**settings, "model": model},
            [*leading, *messages, self.message],
            stream=wishes.stream,
            stream_usage=is_embedded or (endpoint is not None and not endpoint.is_glm),
            extra=fields,
        )
        return Question(
            self.place,
            self.message,
            wishes,
            settings,
            system,
            self.sent_after,
            body,
            endpoint,
            is_embedded,
        )

    @property
    def _system(self) -> str:
        """The system message: what is set, and what a structured answer needs to be told."""
        schema = self.wishes.schema
        parts = [str(self.settings["system"] or "")]
        if schema is not None and self.settings["schema_mode"] == "json_object":
            parts.append(schema.instructions())
        return "\n\n".join(filter(None, parts))

    @property
    def _offered(self) -> dict[str, Any]:
        """The fields of the request that offer tools and ask for a structured answer."""
        fields: dict[str, Any] = {}
        if self.wishes.tools:
            fields["tools"] = [tool.api for tool in self.wishes.tools]
        if self.wishes.schema is not None:
            fields["response_format"] = self.wishes.schema.response_format(str(self.settings["schema_mode"]))
        return fields


def check_encodes(*sent: Any) -> None:
    """Raise `PromptError` if a message, or a value of the request, cannot be sent as JSON."""
    try:
        canonical([part.to_api() if isinstance(part, Message) else part for part in sent])
    except UnicodeEncodeError as error:
        raise PromptError(
            f"Half a character cannot be sent: the prompt has U+{ord(error.object[error.start]):04X} in it.",
            "It comes from text that was decoded wrongly, or cut in the middle.",
        ) from None
    except ValueError as error:
        raise PromptError(
            f"The request cannot be written as JSON: {quoted(str(error))}", "Replace NaN and infinity by null or text."
        ) from None
