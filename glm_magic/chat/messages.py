"""Messages, tool calls and token usage of the chat-completions protocol."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from glm_magic.chat import images

Role = Literal["system", "user", "assistant", "tool"]

_MOST = 2**53  # larger whole numbers are not exact as floats, and no count of tokens

ROLES: tuple[Role, ...] = ("system", "user", "assistant", "tool")


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool call of the model; `arguments` is the JSON text as received."""

    id: str
    name: str
    arguments: str

    def to_api(self) -> dict[str, Any]:
        """Return the call in the protocol's form."""
        return {
            "id": self.id,
            "type": "function",
            "function": {"name": self.name, "arguments": self.arguments},
        }

    @classmethod
    def from_api(cls, data: dict[str, Any]) -> ToolCall:
        """Read a call in the protocol's form. Raises `KeyError` or `TypeError` if it is not one."""
        function = data["function"]
        return cls(str(data["id"]), str(function["name"]), str(function["arguments"]))

    @property
    def length(self) -> int:
        """The length of its arguments in characters."""
        return len(self.arguments)


@dataclass(frozen=True, slots=True)
class GrowingCall:
    """A tool call after so many fragments of its arguments, `length` characters in all.

    `read` joins that many fragments. It is called when the arguments are looked at: a call may come in tens of
    thousands of fragments, of which few are shown.
    """

    id: str
    name: str
    fragments: int
    length: int
    read: Callable[[int], str] = field(repr=False, compare=False)

    @property
    def arguments(self) -> str:
        """The JSON text so far."""
        return self.read(self.fragments)


@dataclass(frozen=True, slots=True)
class Document:
    """The `text` of the file `name`, all of it, as it is inserted into a prompt."""

    name: str
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation.

    If it is more than text, `parts` are its parts in the protocol's form, and `content` is their text with a
    placeholder for each image. `documents` are the files whose text is in it, as long as the kernel knows.
    """

    role: Role
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str = ""
    parts: tuple[Mapping[str, Any], ...] = field(default=(), hash=False)
    documents: tuple[Document, ...] = field(default=(), compare=False, repr=False)

    @classmethod
    def of_parts(cls, role: Role, parts: Iterable[Mapping[str, Any]]) -> Message:
        """Return the message of `parts`. Parts of an unknown type are kept unchanged.

        Raises `KeyError`, `TypeError` or `ValueError` if one of them is not a part.
        """
        kept = tuple(parts)
        if not kept:
            raise ValueError("a message of no parts")
        return cls(role, "".join(map(_text_of, kept)), parts=kept)

    def to_api(self) -> dict[str, Any]:
        """Return the message in the protocol's form, without empty fields."""
        data: dict[str, Any] = {"role": self.role, "content": list(self.parts) or self.content}
        if self.tool_calls:
            data["tool_calls"] = [call.to_api() for call in self.tool_calls]
        if self.tool_call_id:
            data["tool_call_id"] = self.tool_call_id
        return data

    @classmethod
    def from_api(cls, data: dict[str, Any]) -> Message:
        """Read a message in the protocol's form.

        Raises `KeyError`, `TypeError` or `ValueError` if `data` is not one.
        """
        role, content = data["role"], data["content"]
        if role not in ROLES or not isinstance(content, (str, list)):
            raise ValueError(f"not a message: role {role!r}")
        message = cls(role, content) if isinstance(content, str) else cls.of_parts(role, content)
        return replace(
            message,
            tool_calls=tuple(ToolCall.from_api(call) for call in data.get("tool_calls", ())),
            tool_call_id=str(data.get("tool_call_id", "")),
        )


def _text_of(part: Mapping[str, Any]) -> str:
    """Return the text of a part, or its placeholder. Raises as `Message.of_parts` does."""
    kind = part["type"]
    text = part["text"] if kind == "text" else part["image_url"]["url"] if kind == "image_url" else kind
    if not isinstance(kind, str) or not isinstance(text, str):
        raise TypeError("a part of a message is not text")
    return text if kind == "text" else images.placeholder(part)


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens as counted by the service; `cached_tokens` are the prompt tokens read from its cache."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0

    @classmethod
    def from_api(cls, data: object) -> Usage | None:
        """Read the protocol's `usage`; None if it holds no counts.

        Reported: gateways send counts as floats, or under the names of other protocols.
        """
        if not isinstance(data, dict):
            return None
        prompt = _count(data.get("prompt_tokens")) or _count(data.get("input_tokens"))
        completion = _count(data.get("completion_tokens")) or _count(data.get("output_tokens"))
        if not prompt and not completion:
            return None
        return cls(
            prompt,
            completion,
            _count(data.get("total_tokens")) or prompt + completion,
            _detail(data, "prompt_tokens_details", "cached_tokens"),
            _detail(data, "completion_tokens_details", "reasoning_tokens"),
        )

    def to_api(self) -> dict[str, Any]:
        """Return the counts in the protocol's form, without details that are 0."""
        data: dict[str, Any] = {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": self.total_tokens,
        }
        if self.cached_tokens:
            data["prompt_tokens_details"] = {"cached_tokens": self.cached_tokens}
        if self.reasoning_tokens:
            data["completion_tokens_details"] = {"reasoning_tokens": self.reasoning_tokens}
        return data


def _count(value: object) -> int:
    if type(value) not in (int, float) or not 0 < value < _MOST:  # type: ignore[operator]
        return 0
    return int(value)  # type: ignore[call-overload, no-any-return]


def _detail(data: dict[str, Any], group: str, name: str) -> int:
    details = data.get(group)
    return _count(details.get(name)) if isinstance(details, dict) else 0
