"""The view in a notebook: the status line, below it the reasoning, then the parts of the answer."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from typing import Any

from glm_magic.chat.events import (
    AskedAgain,
    Event,
    Notice,
    ReasoningDelta,
    TextDelta,
    Tick,
    ToolCalling,
    ToolResult,
)
from glm_magic.display.pace import Pace
from glm_magic.display.page import folds
from glm_magic.display.page.line import Line
from glm_magic.display.page.parts import Parts
from glm_magic.display.view import SILENCE_SECONDS, Ending, Form, Show, View


class PageView(View):
    """Paints into a notebook page through `show`. `clock` returns seconds.

    `title` is shown in the status line from the start; a `quiet` view has no line, and its last output
    carries the attached data. An answer `with_calls` may call tools. If `at_once`, everything is shown
    when the view settles, and no output is ever updated. `name` makes the outputs' names unique in the
    kernel.
    """

    def __init__(
        self,
        show: Show,
        *,
        name: str,
        title: str,
        form: Form = "markdown",
        with_calls: bool = False,
        quiet: bool = False,
        at_once: bool = False,
        clock: Callable[[], float],
        **live: Any,
    ) -> None:
        """`live` has the arguments that make the `Line` live."""
        self._show = show
        self._at_once = at_once
        self._names = (f"{name}-{number}" for number in itertools.count())
        self._parts = Parts(show, self._names, form=form, with_calls=with_calls, clock=clock)
        self._thoughts: list[str] = []
        self._thoughts_name = ""
        self._thoughts_are_stale = False
        self._thoughts_pace = Pace(clock)
        self._has_thought = False  # the next reasoning is a new thought
        self._line = None if quiet else Line(show, next(self._names), title, clock=clock, **live)
        if not at_once:
            self._say("asking")

    def paint(self, event: Event) -> None:
        """Take an event; update the page if it is due."""
        match event:
            case ReasoningDelta(text):
                again = "\n\n" if self._thoughts and self._has_thought else ""
                self._has_thought = False
                self._thoughts.append(again + text)
                self._thoughts_are_stale = True
            case _:
                self._has_thought = self._has_thought or isinstance(event, (TextDelta, ToolCalling))
                self._parts.take(event)
        if self._at_once:
            return
        self._tell(event)
        self._parts.paint()
        if self._line is not None:
            blocks = isinstance(event, ToolCalling) and (event.runs or event.asks)  # no event comes while it runs
            self._line.go_on(at_once=blocks)

    def _tell(self, event: Event) -> None:
        """Show the event in the status line."""
        match event:
            case TextDelta(text):
                self._show_thoughts_if_due()
                self._say("answering")
                if self._line is not None:
                    self._line.count(text)
            case ReasoningDelta(text):
                self._say("thinking")
                if self._line is not None:
                    self._line.think(text)
            case ToolCalling(_, call, runs, asks):
                self._show_thoughts_if_due()
                self._say(f"{call.name} {'runs' if runs else 'waits for your answer' if asks else 'is called'}")
            case ToolResult():
                self._say("asking", at_once=False)  # or the next call follows
            case AskedAgain():
                self._say("asking again")
            case Notice(_, text):
                self._say(text)
            case Tick(silence) if silence >= SILENCE_SECONDS:
                self._say(f"silent for {int(silence)} s")
            case _:
                pass

    def settle(self, ending: Ending) -> None:
        """Show the final answer, with the facts and the attached data."""
        if self._at_once and self._line is not None:
            self._line.settle(ending, is_new=True)
        if ending.withdrawn:
            self._parts.withdraw()
            self._forget_thoughts()
        else:
            self._show_thoughts()
            self._parts.finish({} if self._line else ending.attached)
        if self._line is not None and not self._at_once:
            self._line.settle(ending)

    def _show_thoughts(self) -> None:
        """Show the reasoning above the answer, folded, once the answer begins."""
        if not self._thoughts_are_stale:
            return
        self._thoughts_are_stale = False
        if self._line is not None:
            self._line.forget_thoughts()
        is_new = not self._thoughts_name
        self._thoughts_name = self._thoughts_name or next(self._names)
        text = "".join(self._thoughts)
        self._show(dict(folds.thoughts(text)), self._thoughts_name, update=not is_new)
        self._thoughts_pace.painted(len(text))

    def _show_thoughts_if_due(self) -> None:
        if self._thoughts_pace.is_due:  # a model may alternate between reasoning and text
            self._show_thoughts()

    def rewrite(self, events: Iterable[Event], ending: Ending) -> None:
        """Replace the settled answer with another one."""
        self._parts.rewrite(events, {} if self._line else ending.attached)
        self._forget_thoughts()
        if self._line is not None:
            self._line.settle(ending)

    def _forget_thoughts(self) -> None:
        if self._thoughts_name:
            self._show({"text/plain": ""}, self._thoughts_name, update=True)

    def _say(self, what: str, *, at_once: bool = True) -> None:
        if self._line is not None:
            self._line.say(what, at_once=at_once)
