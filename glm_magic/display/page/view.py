"""The notebook's view: a line about the answer, and below it what the model thought, and the parts of the answer."""

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
from glm_magic.display.view import SILENCE_SECONDS, Ending, Form, Show


class PageView:
    """Paints into a notebook page through `show`. `clock` counts seconds.

    `title` is what the bar says from the start; a `quiet` view has no bar, and its last output
    carries what the bar would. An answer `with_calls` may call tools. A view of what is known already
    is put on the page `at_once`, when it settles, so that no output is ever updated. `name` makes the
    outputs' names unique in the kernel.
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
        """`live` is what the `Line` needs to be live."""
        self._show = show
        self._at_once = at_once
        self._names = (f"{name}-{number}" for number in itertools.count())
        self._parts = Parts(show, self._names, form=form, with_calls=with_calls, clock=clock)
        self._thoughts: list[str] = []
        self._thoughts_name = ""
        self._thoughts_are_stale = False
        self._thoughts_pace = Pace(clock)
        self._has_thought = False  # what it thinks now is another thought
        self._line = None if quiet else Line(show, next(self._names), title, clock=clock, **live)
        if not at_once:
            self._say("asking")

    def paint(self, event: Event) -> None:
        """Show text at once if the last update is a while ago, else with the next event or tick."""
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
            blocks = isinstance(event, ToolCalling) and (event.runs or event.asks)  # no event comes meanwhile
            self._line.go_on(at_once=blocks)

    def _tell(self, event: Event) -> None:
        """Let the line say what happens."""
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
                self._say("asking")
            case AskedAgain():
                self._say("asking once more")
            case Notice(_, text):
                self._say(text)
            case Tick(silence) if silence >= SILENCE_SECONDS:
                self._say(f"silent for {int(silence)} s")
            case _:
                pass

    def settle(self, ending: Ending) -> None:
        """Freeze what is left, and put the facts and the attached data where they are saved."""
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
        """Put what the model has thought above the answer, folded, when it begins to answer."""
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
        if self._thoughts_pace.is_due:  # else they follow with a later event: a model may think and speak by turns
            self._show_thoughts()

    def rewrite(self, events: Iterable[Event], ending: Ending) -> None:
        """Put another answer in place of the one that was shown and has settled."""
        self._parts.rewrite(events, {} if self._line else ending.attached)
        self._forget_thoughts()
        if self._line is not None:
            self._line.settle(ending)

    def _forget_thoughts(self) -> None:
        if self._thoughts_name:
            self._show({"text/plain": ""}, self._thoughts_name, update=True)

    def _say(self, what: str) -> None:
        if self._line is not None:
            self._line.say(what)
