"""The parts of an answer on a page: text, tool calls, notes and sources, each with outputs of its own."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Protocol, TypeVar

from glm_magic.chat.events import AskedAgain, Event, Sources, TextDelta, ToolCalling, ToolResult
from glm_magic.chat.reply import Source
from glm_magic.display import safe_text
from glm_magic.display.pace import Allowance, Pace
from glm_magic.display.page import folds
from glm_magic.display.page.line import line
from glm_magic.display.page.segments import MOST_SEGMENTS
from glm_magic.display.page.text import TextOutputs
from glm_magic.display.view import Form, Show

MOST_PARTS = 16  # together with their segments, fewer outputs than a front end shows

_NOTHING: Mapping[str, Any] = MappingProxyType({})


class Part(Protocol):
    """A part of the answer, of one kind."""

    def paint(self) -> None:
        """Update the page if it is due."""

    def finish(self, carried: Mapping[str, Any] = _NOTHING) -> None:
        """Show everything; the last output also carries this data."""

    def withdraw(self) -> None:
        """Remove it from the page."""


class _One:
    """A part with one output, shown at the first paint."""

    def __init__(self, show: Show, name: str, data: dict[str, str]) -> None:
        self._show = show
        self._name = name
        self._data = data
        self._is_there = False

    def paint(self) -> None:
        if not self._is_there:
            self.finish()

    def finish(self, carried: Mapping[str, Any] = _NOTHING) -> None:
        if carried or not self._is_there:
            self._put({**self._data, **carried})

    def withdraw(self) -> None:
        self._put({"text/plain": "(withdrawn)"})

    def _put(self, data: dict[str, Any]) -> None:
        self._show(data, self._name, update=self._is_there)
        self._is_there = True


class _Calls(_One):
    """The tool calls of one round. `clock` returns seconds."""

    def __init__(self, show: Show, name: str, clock: Callable[[], float]) -> None:
        super().__init__(show, name, {})
        self._pace = Pace(clock)
        self._allowance = Allowance(clock)
        self._calls: dict[int, folds.CallState] = {}
        self._folds: dict[int, dict[str, str]] = {}  # rendered calls that have not changed since
        self._length = 0
        self._is_stale = self._is_urgent = self._is_asked = False
        self.has_results = False

    def __contains__(self, number: int) -> bool:
        return number in self._calls

    def add(self, number: int, call: folds.CallState) -> None:
        before = self._calls.get(number)
        growth = call.length - (before.length if before else 0)
        self._calls[number] = call
        self._folds.pop(number, None)
        self._length += growth
        self._allowance.grow(growth)
        self._is_stale = True
        self.has_results = self.has_results or call.result is not None
        self._is_urgent = (
            self._is_urgent or call.runs or call.result is not None
        )  # nothing is painted while a tool runs
        self._is_asked = call.asks

    def stop(self) -> None:
        """Mark calls without a result as over."""
        for number, call in self._calls.items():
            if call.result is None:
                self._calls[number] = replace(call, is_over=True)
                self._folds.pop(number, None)
                self._is_stale = True

    def paint(self) -> None:
        if not self._is_stale:
            return
        is_time = self._is_urgent or self._pace.is_due
        if self._is_asked or (is_time and self._allowance.take(self._length)):  # the user must see what to approve
            self.finish()

    def finish(self, carried: Mapping[str, Any] = _NOTHING) -> None:
        if not carried and not self._is_stale:
            return
        for number, call in self._calls.items():
            if number not in self._folds:
                self._folds[number] = folds.fold_of_call(call)
        self._put({**folds.joined([self._folds[number] for number in self._calls]), **carried})
        self._is_stale = self._is_urgent = False
        self._pace.painted(self._length)


_Kind = TypeVar("_Kind", TextOutputs, _Calls)


class Parts:
    """All that a page shows of an answer, except its line and reasoning. `clock` returns seconds.

    Parts are in order of arrival. `with_calls` leaves room for tool calls. Each new output takes the next of
    `names`.
    """

    def __init__(
        self,
        show: Show,
        names: Iterator[str],
        *,
        form: Form,
        with_calls: bool = False,
        clock: Callable[[], float],
    ) -> None:
        self._used: list[str] = []  # names of the outputs, in order
        self._show = show
        self._names = names
        self._form: Form = form
        self._clock = clock
        self._most = MOST_SEGMENTS // 2 if with_calls else MOST_SEGMENTS
        self._parts: list[Part] = []
        self._goes_on_elsewhere = False  # there is no room for another part: the next text joins an earlier one
        self._ended: list[Part] = []  # followed by another part, and perhaps not fully shown
        self._sources: dict[Source, None] = {}

    def take(self, event: Event) -> None:
        """Take an event, to be painted later."""
        match event:
            case TextDelta(text):
                self._text().add(("\n\n" if self._goes_on_elsewhere else "") + text)
                self._goes_on_elsewhere = False
            case ToolCalling(number, call, runs, asks):
                self._calls(number).add(number, folds.CallState(call, runs=runs, asks=asks))
            case ToolResult(number, call, text, seconds, failed):
                self._calls(number).add(number, folds.CallState(call, text, seconds, failed))
            case AskedAgain(reason):
                self._append(_One(self._put, next(self._names), line((folds.asked_again(reason),))))
            case Sources(sources):
                self._sources.update(dict.fromkeys(sources))
            case _:
                pass

    def paint(self) -> None:
        """Update what is due on the page."""
        for part in self._ended:
            part.finish()
        self._ended.clear()
        for part in self._parts:
            part.paint()

    def finish(self, carried: Mapping[str, Any] = _NOTHING) -> None:
        """Show the final state; the last output also carries this data."""
        if self._sources:
            self._append(_One(self._put, next(self._names), folds.sources(self._sources)))
        if carried and not self._parts:
            self._text()
        for part in self._parts:
            if isinstance(part, _Calls):
                part.stop()
            part.finish(carried if part is self._parts[-1] else _NOTHING)

    def withdraw(self) -> None:
        """Remove everything from the page."""
        for part in self._parts:
            part.withdraw()

    def rewrite(self, events: Iterable[Event], carried: Mapping[str, Any] = _NOTHING) -> None:
        """Show another answer in the existing outputs; the last one takes what does not fit."""
        if not self._used:
            return
        put: dict[str, dict[str, Any]] = {}

        def keep(data: dict[str, Any], name: str, *, update: bool) -> None:  # noqa: ARG001 - as a `Show` has it
            put[name] = data

        other = Parts(keep, map(str, itertools.count()), form=self._form, with_calls=True, clock=self._clock)
        for event in events:
            other.take(event)
        other.finish()
        shown = [*put.values()]
        at = len(self._used) - 1
        fitting = [*shown[:at], *([_joined(shown[at:])] if shown[at:] else [])]
        blank = [{"text/plain": ""}] * (len(self._used) - len(fitting))
        for name, data in zip(self._used, fitting + blank, strict=True):
            self._show({**data, **(carried if name == self._used[-1] else {})}, name, update=True)

    def _text(self) -> TextOutputs:
        found = self._last(TextOutputs)
        if found is None:
            texts = sum(isinstance(part, TextOutputs) for part in self._parts)
            most = max(1, self._most >> texts)
            found = TextOutputs(self._put, self._names, form=self._form, most=most, clock=self._clock)
            self._append(found)
        return found

    def _calls(self, number: int) -> _Calls:
        for part in self._parts:
            if isinstance(part, _Calls) and number in part:
                return part
        self._goes_on_elsewhere = self._is_full
        found = self._last(_Calls)
        if found is None or (found.has_results and not self._is_full):
            found = _Calls(self._put, next(self._names), self._clock)
            self._append(found)
        return found

    def _last(self, kind: type[_Kind]) -> _Kind | None:
        """Return the last part if it is of this kind, or the last of this kind if the page is full."""
        for part in reversed(self._parts if self._is_full else self._parts[-1:]):
            if isinstance(part, kind):
                return part
        return None

    @property
    def _is_full(self) -> bool:
        return len(self._parts) >= MOST_PARTS

    def _append(self, part: Part) -> None:
        self._ended += self._parts[-1:]
        self._parts.append(part)

    def _put(self, data: dict[str, Any], name: str, *, update: bool) -> None:
        if not update:
            self._used.append(name)
        self._show(data, name, update=update)


def _joined(shown: list[dict[str, Any]]) -> dict[str, Any]:
    """Join several outputs into one, as Markdown."""
    if len(shown) == 1:
        return shown[0]
    plain = [data["text/plain"] for data in shown]
    parts = [data.get("text/markdown") or safe_text.markdown(f"```text\n{data['text/plain']}\n```") for data in shown]
    return {"text/markdown": "\n\n".join(parts), "text/plain": "\n".join(plain)}
