"""A question: what a cell wishes, planned into the request that would be sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from glm_magic.chat.attempt import Attempt
from glm_magic.chat.fingerprint import canonical, fingerprint
from glm_magic.chat.messages import Message
from glm_magic.chat.place import DEFAULT_CHAT, Place
from glm_magic.errors import OptionError, PromptError, quoted
from glm_magic.notebook.document import SavedTurn
from glm_magic.protocol import effort, request
from glm_magic.protocol.prices import Price
from glm_magic.service.endpoint import Endpoint
from glm_magic.settings.setting import Value
from glm_magic.tools.schemas import Schema
from glm_magic.tools.tool import Tool


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a cell says beside its prompt.

    `options` are settings for this question alone, `extra` further fields of the request. Without `keep` the question
    neither sends nor enters a conversation. `replay` decides whether a recorded answer may be given; None leaves it
    to the settings. The model may call the `tools`, and its answer must fit the `schema`. What is asked `in_batch` has
    the price of that.
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
    in_batch: bool = False

    @property
    def sets_thinking_itself(self) -> bool:
        """Whether its further fields say how much the model thinks, in place of the setting `thinking`."""
        return not self.extra.keys().isdisjoint(effort.FIELDS)


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

    def check(self) -> None:
        """Raise `CellError` if the model does not take what the question says, as far as that is known here."""
        is_embedded = self.is_embedded
        request.check_temperature(self.body, is_glm_host=self.endpoint is not None and self.endpoint.is_glm)
        request.refuse_images(self.model, self.message, embedded=is_embedded)
        level = cast("str | None", self.settings["thinking"])
        if not self.wishes.sets_thinking_itself:
            effort.check(level, self.model, embedded=is_embedded)
        elif self.wishes.options.get("thinking") is not None:
            named = " and ".join(name for name in effort.FIELDS if name in self.wishes.extra)
            raise OptionError(f"--think {level} and the field {named} say the same thing twice.", "Keep one of them.")


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
        thinking = None if wishes.sets_thinking_itself else settings["thinking"]
        fields = {
            **self._offered,
            **effort.fields(cast("str | None", thinking), model, embedded=is_embedded),
            **wishes.extra,
        }
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
            self.place, self.message, wishes, settings, system, self.sent_after, body, endpoint, is_embedded
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
