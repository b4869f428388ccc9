"""Reads the content of a message, which may be text or a list of parts, as pieces of text and of reasoning."""

from __future__ import annotations

from typing import TypeAlias

from glm_magic.chat.events import ReasoningDelta, TextDelta
from glm_magic.chat.text import without_halves
from glm_magic.errors import quoted

Piece: TypeAlias = TextDelta | ReasoningDelta

_DEEPEST = 4  # a part in a part in a list; deeper is no content, and must not exhaust the stack
_TEXT_FIELDS = ("text", "thinking", "reasoning", "refusal", "content", "summary", "value")
_METADATA = ("type", "index", "id", "format", "signature", "annotations", "logprobs")


def pieces(content: object, kind: type[Piece], depth: int = 0) -> list[Piece]:
    """Return the text in `content`; parts of reasoning are `ReasoningDelta`, all others `kind`.

    A part of an unknown type is named where it stands: ``[audio]``.
    """
    match content:
        case str():
            return [kind(without_halves(content))] if content else []
        case list() if depth < _DEEPEST:
            return [piece for part in content for piece in pieces(part, kind, depth + 1)]
        case dict() if depth < _DEEPEST:
            type_ = content.get("type")
            named = type_ if isinstance(type_, str) else ""
            if "thinking" in named or "reasoning" in named:  # also thinking of Mistral, reasoning.text of OpenRouter
                kind = ReasoningDelta
            inner = next((content[name] for name in _TEXT_FIELDS if content.get(name)), None)
            if isinstance(inner, (str, list, dict)):
                return pieces(inner, kind, depth + 1)
            if kind is TextDelta and any(value for name, value in content.items() if name not in _METADATA):
                return [kind(f"[{quoted(named or ', '.join(map(str, content)))}]")]
    return []
