"""Estimates the number of tokens in a text, a message or a request."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

# The estimate for an image. Models count by its size, each in its own way: from some hundred to some thousand.
IMAGE_TOKENS = 1_000


def estimated_text_tokens(text: str) -> int:
    """Return roughly the number of tokens in `text`."""
    wide = wide_characters(text)
    return tokens_of_characters(wide, len(text) - wide)


def wide_characters(text: str) -> int:
    """Return the number of Chinese, Japanese and Korean characters in `text`."""
    return sum(1 for character in text if character >= "\u2e80")


def tokens_of_characters(wide: int, narrow: int) -> int:
    """Return roughly the number of tokens in so many characters: one for each wide one, one for four others."""
    return wide + -(-narrow // 4)


def estimated_content_tokens(content: str | Iterable[Mapping[str, Any]]) -> int:
    """Return roughly the number of tokens in a message's text or parts; an image counts as `IMAGE_TOKENS`."""
    if isinstance(content, str):
        return estimated_text_tokens(content)
    return sum(estimated_text_tokens(part["text"]) if part["type"] == "text" else IMAGE_TOKENS for part in content)


def estimated_tokens(request: Mapping[str, Any]) -> int:
    """Return roughly the number of tokens in a request body; each message adds a few."""
    tools = request.get("tools")
    offered = estimated_text_tokens(json.dumps(tools, ensure_ascii=False)) if tools else 0
    return offered + sum(estimated_message_tokens(message) for message in request["messages"])


def estimated_message_tokens(message: Mapping[str, Any]) -> int:
    """Return roughly the number of tokens in a message, its tool calls included."""
    calls = (call["function"] for call in message.get("tool_calls", ()))
    called = sum(estimated_text_tokens(call["name"] + call["arguments"]) for call in calls)
    return estimated_content_tokens(message["content"]) + called + 4
