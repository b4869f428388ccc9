"""What is asked: all that is known of a question before anything is sent, and what it adds to a request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from glm_magic.chat.conversation import Attempt
from glm_magic.chat.fingerprint import canonical
from glm_magic.chat.messages import Message
from glm_magic.chat.place import Place
from glm_magic.errors import PromptError, quoted
from glm_magic.settings.declared import Value

if TYPE_CHECKING:
    from glm_magic.notebook.document import SavedTurn
    from glm_magic.service.endpoint import Endpoint
    from glm_magic.tools.schemas import Schema
    from glm_magic.tools.tool import Tool


@dataclass(frozen=True, slots=True)
class Question:
    """All that is known before anything is sent: what would be sent, where, and after which turns.

    `system` is the system message that the request begins with. `keep` is False for a question that neither
    sends nor enters a conversation. A `recorded` turn answers it, if there is one; else `endpoint` is asked, or,
    where it is None, the embedded model. The model may call the `tools`, and its answer must fit the `schema`.
    """

    chat: str
    place: Place
    message: Message
    body: Mapping[str, Any]
    endpoint: Endpoint | None
    sent_after: tuple[Attempt, ...]
    new: bool
    keep: bool
    settings: Mapping[str, Value]
    system: str = ""
    tools: tuple[Tool, ...] = ()
    schema: Schema | None = None
    is_embedded: bool = False
    recorded: SavedTurn | None = None

    @property
    def model(self) -> str:
        """The name of the model that is asked."""
        return str(self.body["model"])


def system_message(settings: Mapping[str, Value], schema: Schema | None) -> str:
    """Return the system message: what is set, and what a structured answer needs to have said."""
    parts = [str(settings["system"] or "")]
    if schema is not None and settings["schema_mode"] == "json_object":
        parts.append(schema.instructions())
    return "\n\n".join(filter(None, parts))


def offered(settings: Mapping[str, Value], tools: tuple[Tool, ...], schema: Schema | None) -> dict[str, Any]:
    """Return the fields of the request that offer tools and ask for a structured answer."""
    fields: dict[str, Any] = {}
    if tools:
        fields["tools"] = [tool.api for tool in tools]
    if schema is not None:
        fields["response_format"] = schema.response_format(str(settings["schema_mode"]))
    return fields


def check_encodes(*sent: Any) -> None:
    """Raise `PromptError` if messages, or values of the request, cannot be sent as JSON."""
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
