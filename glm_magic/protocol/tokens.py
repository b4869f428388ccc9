"""Estimates of how many tokens a text, a message or a request is."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

# What an image is reckoned as. Models count by its size and in ways of their own: some hundred to some thousand.
IMAGE_TOKENS = 1_000


def estimated_text_tokens(text: str) -> int:
    """Return roughly how many tokens `text` is."""
    wide = wide_signs(text)
    return tokens_of_signs(wide, len(text) - wide)


def wide_signs(text: str) -> int:
    """Return how many signs of `text` are Chinese, Japanese or Korean."""
    return sum(1 for sign in text if sign >= "\u2e80")


def tokens_of_signs(wide: int, narrow: int) -> int:
    """Return roughly how many tokens so many signs are: a wide one is about one, of the others about four are."""
    return wide + -(-narrow // 4)


def estimated_content_tokens(content: str | Iterable[Mapping[str, Any]]) -> int:
    """Return roughly how many tokens a message's content is: text, or parts; an image counts as `IMAGE_TOKENS`."""
    if isinstance(content, str):
        return estimated_text_tokens(content)
    return sum(estimated_text_tokens(part["text"]) if part["type"] == "text" else IMAGE_TOKENS for part in content)


def estimated_tokens(request: Mapping[str, Any]) -> int:
    """Return roughly how many tokens a request body is to read; each message has a few of its own."""
    tools = request.get("tools")
    offered = estimated_text_tokens(json.dumps(tools, ensure_ascii=False)) if tools else 0
    return offered + sum(estimated_message_tokens(message) for message in request["messages"])


def estimated_message_tokens(message: Mapping[str, Any]) -> int:
    """Return roughly how many tokens a message is, with the calls in it."""
    calls = (call["function"] for call in message.get("tool_calls", ()))
    called = sum(estimated_text_tokens(call["name"] + call["arguments"]) for call in calls)
    return estimated_content_tokens(message["content"]) + called + 4
