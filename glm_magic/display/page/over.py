"""Live controls that are drawn over a static output while the kernel lives; what is saved stays static."""

from __future__ import annotations

import html
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import anywidget
import traitlets

from glm_magic.errors import GlmError, described

_HERE = Path(__file__).parent

# What the page asks for by name: it gets the message, and returns what goes back with the reply.
Action: TypeAlias = "Callable[[Mapping[str, Any]], Mapping[str, Any] | None]"


def _joined(*names: str) -> str:
    """Return the text of files beside this one, joined: a widget is one module, and is loaded without a build."""
    return "\n".join((_HERE / name).read_text(encoding="utf-8") for name in names)


class Over(anywidget.AnyWidget):
    """Controls without an output of their own, drawn over every output that `over` has marked.

    The page sends messages ``{"do": name, …}``. Each is answered once it has been done: with what the action returns,
    and with the error in ``why``, which the page shows where the person has typed.
    """

    key = traitlets.Unicode().tag(sync=True)

    def __init__(self, actions: Mapping[str, Action]) -> None:
        super().__init__(key=uuid.uuid4().hex[:12])
        self._actions = actions
        self.on_msg(self._heard)

    def over(self, static: str, cell: str) -> str:
        """Return HTML over which the controls are drawn: it shows `static` wherever no kernel draws them.

        `cell` is the id of the cell that shows it.
        """
        return f'<div class="glm-over glm-over-{self.key}" data-cell="{html.escape(cell)}">{static}</div>'

    def show(self, state: Mapping[str, Any]) -> None:
        """Update traits; unchanged values send nothing."""
        with self.hold_sync():
            for name, value in state.items():
                setattr(self, name, value)

    def _heard(self, _widget: object, content: Any, _buffers: object) -> None:
        action = self._actions.get(str(content.get("do"))) if isinstance(content, dict) else None
        if action is None:
            return
        why, result = "", None
        try:
            result = action(content)
        except GlmError as error:
            why = str(error)
        except Exception as error:  # a bug: it is shown too, for a message has no cell to fail
            why = described(error)
        self.send({"to": content.get("id"), "why": why, **(result or {})})


class Turns(Over):
    """The turns of a chat, with ticks, and the context window as a bar.

    The page asks to ``tick`` one by `number`: `ticked` or not.
    """

    _esm = _joined("over.js", "turns.js")
    _css = _joined("controls.css", "turns.css")

    state = traitlets.Dict().tag(sync=True)


class Knobs(Over):
    """Knobs for settings, and presets.

    The page asks to ``set`` a knob by `name` to a `text` (None: not set), to ``reset`` one, to take a ``preset``, and
    to ``settle`` the outputs.
    """

    rows = traitlets.List(traitlets.Dict()).tag(sync=True)
    models = traitlets.List(traitlets.Dict()).tag(sync=True)
    presets = traitlets.List(traitlets.Unicode()).tag(sync=True)


class Panel(Knobs):
    """The parameter panel of a kernel: all its outputs show the same, and change together.

    The page also asks to ``keep`` what is set as a preset, and to ``login`` with a `key`. The key is in that one
    message alone: a trait would be saved.
    """

    _esm = _joined("over.js", "knobs.js", "panel.js")
    _css = _joined("controls.css")

    lines = traitlets.Dict().tag(sync=True)
    status = traitlets.Unicode().tag(sync=True)
    spent = traitlets.Unicode().tag(sync=True)


class Playground(Knobs):
    """The playground of one cell: a prompt, its names and its parameters as controls, and the last attempts.

    The page also asks to ``run`` and to ``insert`` a `prompt`, to ``stop``, and for the ``diff`` of two attempts.
    `prompt` is what the box holds, also on another page that shows it.
    """

    _esm = _joined("over.js", "knobs.js", "playground.js")
    _css = _joined("controls.css", "playground.css")

    prompt = traitlets.Unicode().tag(sync=True)
    fields = traitlets.List(traitlets.Dict()).tag(sync=True)
    line = traitlets.Unicode().tag(sync=True)
    fault = traitlets.Unicode().tag(sync=True)
    running = traitlets.Bool().tag(sync=True)
    attempts = traitlets.List(traitlets.Dict()).tag(sync=True)
