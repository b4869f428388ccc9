"""Estimates the number of tokens in a text, a message or a request, and learns from what a service has counted."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

# The estimate for an image. Models count by its size, each in its own way: from some hundred to some thousand.
IMAGE_TOKENS = 1_000

UNCHECKED_ERROR = 0.5  # of an estimate that no count has been compared with: languages and code differ that much
_LEAST_ERROR = 0.01
_MOST_COUNTS = 100  # the latest are kept
# So many tokens are taken to have been estimated rightly before the first count: a short prompt, most of which is what
# the service puts around it, says little about a long one.
_TRUSTED_TOKENS = 500

_WIDE = re.compile("[\u2e80-\U0010ffff]+")


def estimated_text_tokens(text: str) -> int:
    """Return roughly the number of tokens in `text`."""
    wide = wide_characters(text)
    return tokens_of_characters(wide, len(text) - wide)


def wide_characters(text: str) -> int:
    """Return the number of Chinese, Japanese and Korean characters in `text`."""
    return 0 if text.isascii() else len(text) - len(_WIDE.sub("", text))


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


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number of tokens, and how far it may be off, as a fraction. `is_checked` says that this was measured."""

    tokens: int
    error: float = UNCHECKED_ERROR
    is_checked: bool = False

    @property
    def least(self) -> int:
        """The number of tokens where the estimate is as much too high as it may be."""
        return int(self.tokens * (1 - min(self.error, 1)))

    def __str__(self) -> str:
        how = "" if self.is_checked else ", not yet compared with a count of this model"
        return f"about {self.tokens:,} tokens (±{self.error:.0%}{how})"


@dataclass(frozen=True, slots=True)
class Calibration:
    """What one model's service has counted, each beside what was estimated before: `(estimated, counted)`."""

    counts: tuple[tuple[int, int], ...] = ()

    def learnt(self, estimated: int, counted: int) -> Calibration:
        """Return the calibration with one more count."""
        return Calibration((*self.counts, (estimated, counted))[-_MOST_COUNTS:])

    def estimate(self, estimated: int) -> Estimate:
        """Return what is to be expected where so many tokens were estimated.

        Its error is that of the counts so far, each estimated from the others: the sum of what they were off, as a
        fraction of their sum.
        """
        if not self.counts:
            return Estimate(estimated)
        all_estimated, all_counted = (sum(column) for column in zip(*self.counts, strict=True))
        off = sum(abs(_factor(all_estimated - e, all_counted - c) * e - c) for e, c in self.counts)
        error = max(off / all_counted, _LEAST_ERROR) if all_counted else UNCHECKED_ERROR
        return Estimate(round(_factor(all_estimated, all_counted) * estimated), error, is_checked=True)


def _factor(estimated: int, counted: int) -> float:
    return (counted + _TRUSTED_TOKENS) / (estimated + _TRUSTED_TOKENS)
