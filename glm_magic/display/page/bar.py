"""What is live in the lines of answers: the bar of one that is running, and marks on stale ones."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anywidget
import traitlets

_HERE = Path(__file__).parent


class Bar(anywidget.AnyWidget):
    """A status line that the browser animates; `seconds` is the time since the question when it appears.

    It has no output of its own: the browser draws it over the static line that carries its `key`, so that a file that
    is saved meanwhile holds that line and no widget. When the answer has ended, the bar is reused for the next one:
    closing the widget would leave its code in a notebook that is executed without a front end.
    """

    _esm = _HERE / "bar.js"
    _css = _HERE / "bar.css"

    key = traitlets.Unicode().tag(sync=True)
    title = traitlets.Unicode().tag(sync=True)
    status = traitlets.Unicode().tag(sync=True)
    seconds = traitlets.Float().tag(sync=True)
    first_token_seconds = traitlets.Float().tag(sync=True)
    tokens = traitlets.Int().tag(sync=True)
    marks = traitlets.List(traitlets.Unicode()).tag(sync=True)
    background = traitlets.Bool().tag(sync=True)
    over = traitlets.Unicode().tag(sync=True)

    def __init__(self, idle: list[Bar]) -> None:
        """At its end, the bar joins those that are `idle`."""
        super().__init__()
        self._idle = idle
        self._on_stop: Callable[[], None] | None = None
        self.on_msg(self._heard)

    def begin(self, title: str, marks: tuple[str, ...], seconds: float, on_stop: Callable[[], None] | None) -> str:
        """Start over for another answer; return the key of the line that the bar is to be drawn over.

        Stop calls `on_stop` if the answer runs in the background; else it interrupts the kernel.
        """
        self._on_stop = on_stop
        self.forget_thoughts()
        key = uuid.uuid4().hex
        background = on_stop is not None
        self.update(key=key, title=title, marks=list(marks), seconds=seconds, background=background, tokens=0, over="")
        return key

    def update(self, **values: Any) -> None:
        """Update traits; unchanged values send nothing."""
        with self.hold_sync():
            for name, value in values.items():
                setattr(self, name, value)

    def end(self, line: str) -> None:
        """Show how the answer ended, for a page that was reloaded meanwhile and still shows the bar."""
        self._on_stop = None
        self.update(over=line)
        self._idle.append(self)

    def think(self, text: str) -> None:
        """Append to the reasoning."""
        self.send({"thought": text})

    def forget_thoughts(self) -> None:
        """Clear the reasoning."""
        self.send({"forget": True})

    def _heard(self, _widget: object, content: Any, _buffers: object) -> None:
        if self._on_stop is not None and isinstance(content, dict) and content.get("stop"):
            self._on_stop()


class Bars:
    """A pool of bars: as many as there were answers running at once, and at least one."""

    def __init__(self) -> None:
        self._idle: list[Bar] = []
        self._idle.append(Bar(self._idle))

    def take(self) -> Bar:
        """Return an unused bar, which comes back when it ends."""
        return self._idle.pop() if self._idle else Bar(self._idle)


class Marks(anywidget.AnyWidget):
    """Marks the lines of the answers whose ids are in `stale`, and saves nothing; it has no output of its own."""

    _esm = _HERE / "marks.js"

    stale = traitlets.List(traitlets.Unicode()).tag(sync=True)
