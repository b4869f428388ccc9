"""Splits the text of a model that writes what it thinks into its answer: ``<think>…</think>`` at the beginning.

Servers without a reasoning parser leave it there (confirmed of GLM-Z1 and GLM-4.1V). Only a tag at the very
beginning counts: a later one, or one in a code block, is text. Line breaks after a tag belong to it. A thought
without an end goes on to the end of the answer. A service that sends reasoning in a field of its own has a parser;
its text is left alone.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable

from glm_magic.chat.events import Event, ReasoningDelta, TextDelta

_OPEN, _CLOSE = "<think>", "</think>"
_MOST_BLANK = 64  # characters before the tag; models that write nothing but line breaks do not wait for it
_INDENTED = 4  # columns make a code block


class _Stage(enum.Enum):
    BEGINNING = enum.auto()
    THOUGHT = enum.auto()
    AFTER = enum.auto()  # the end tag, and nothing but line breaks since
    TEXT = enum.auto()


class Thinking:
    """The beginning of one answer."""

    def __init__(self) -> None:
        self._stage = _Stage.BEGINNING
        self._held = ""  # what may be part of a tag
        self._is_blank = True  # no character of the thought has come

    @property
    def is_over(self) -> bool:
        """Whether all that follows is text."""
        return self._stage is _Stage.TEXT

    def split(self, events: Iterable[Event]) -> list[Event]:
        """Return the events with thoughts as `ReasoningDelta`."""
        result: list[Event] = []
        for event in events:
            if isinstance(event, TextDelta) and not self.is_over:
                result += self._read(event.text)
                continue
            if isinstance(event, ReasoningDelta) and self._stage is _Stage.BEGINNING:
                result += self.rest()
                self._stage = _Stage.TEXT
            result.append(event)
        return result

    def rest(self) -> list[Event]:
        """Return what was held back."""
        held, self._held = self._held, ""
        if not held:
            return []
        return [ReasoningDelta(held) if self._stage is _Stage.THOUGHT else TextDelta(held)]

    def _read(self, text: str) -> list[Event]:
        text, self._held = self._held + text, ""
        match self._stage:
            case _Stage.BEGINNING:
                return self._begin(text)
            case _Stage.THOUGHT:
                return self._think(text)
            case _:
                text = text.lstrip("\r\n")
                if text:
                    self._stage = _Stage.TEXT
                return [TextDelta(text)] if text else []

    def _begin(self, text: str) -> list[Event]:
        start = text.lstrip()
        indent = text[: len(text) - len(start)].rpartition("\n")[2]
        may_begin = len(text) - len(start) <= _MOST_BLANK and len(indent.expandtabs()) < _INDENTED
        if may_begin and start.startswith(_OPEN):
            self._stage = _Stage.THOUGHT
            return self._think(start.removeprefix(_OPEN))
        if may_begin and _OPEN.startswith(start):
            self._held = text
            return []
        self._stage = _Stage.TEXT
        return [TextDelta(text)]

    def _think(self, text: str) -> list[Event]:
        thought, tag, after = text.partition(_CLOSE)
        if not tag:
            held = next((size for size in range(len(_CLOSE) - 1, 0, -1) if thought.endswith(_CLOSE[:size])), 0)
            thought, self._held = thought[: len(thought) - held], thought[len(thought) - held :]
        if self._is_blank:
            thought = thought.lstrip("\r\n")
            self._is_blank = not thought
        events: list[Event] = [ReasoningDelta(thought)] if thought else []
        if tag:
            self._stage = _Stage.AFTER
            events += self._read(after)
        return events
