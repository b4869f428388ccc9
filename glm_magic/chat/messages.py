"""A message as the chat-completions protocol knows it, a tool call in it, and the tokens it cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, cast

Role = Literal["system", "user", "assistant", "tool"]

_MOST = 2**53  # beyond it a number is no count, and cannot be reckoned with as a float

ROLES: tuple[Role, ...] = ("system", "user", "assistant", "tool")


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A function that the model asks for; `arguments` is the JSON text as it came."""

    id: str
    name: str
    arguments: str

    def to_api(self) -> dict[str, Any]:
        """Return the call as the protocol writes it."""
        return {
            "id": self.id,
            "type": "function",
            "function": {"name": self.name, "arguments": self.arguments},
        }

    @classmethod
    def from_api(cls, data: dict[str, Any]) -> ToolCall:
        """Read a call that `to_api` wrote. Raises `KeyError` or `TypeError` if it is not one."""
        function = data["function"]
        return cls(str(data["id"]), str(function["name"]), str(function["arguments"]))


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation."""

    role: Role
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str = ""

    def to_api(self) -> dict[str, Any]:
        """Return the message as the protocol writes it, with no field that says nothing."""
        data: dict[str, Any] = {"role": self.role, "content": self.content}
        if self.tool_calls:
            data["tool_calls"] = [call.to_api() for call in self.tool_calls]
        if self.tool_call_id:
            data["tool_call_id"] = self.tool_call_id
        return data

    @classmethod
    def from_api(cls, data: dict[str, Any]) -> Message:
        """Read a message that `to_api` wrote.

        Raises `KeyError`, `TypeError` or `ValueError` if `data` is not one.
        """
        role, content = data["role"], data["content"]
        if role not in ROLES or not isinstance(content, str):
            raise ValueError(f"not a message: role {role!r}")
        return cls(
            cast("Role", role),
            content,
            tuple(ToolCall.from_api(call) for call in data.get("tool_calls", ())),
            str(data.get("tool_call_id", "")),
        )


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens as the service counted them; `cached_tokens` are those of the prompt read from its cache."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0

    @classmethod
    def from_api(cls, data: object) -> Usage | None:
        """Read the protocol's `usage`; None where it says nothing (null, empty, no number)."""
        if not isinstance(data, dict):
            return None
        prompt = _count(data.get("prompt_tokens"))
        completion = _count(data.get("completion_tokens"))
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
        """Return the counts as the protocol writes them; details that are 0 are left out."""
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
    return value if type(value) is int and 0 < value < _MOST else 0


def _detail(data: dict[str, Any], group: str, name: str) -> int:
    details = data.get(group)
    return _count(details.get(name)) if isinstance(details, dict) else 0
