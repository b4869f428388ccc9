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

# What the page asks for by name: it gets the message, and returns what goes back with the reply.
Action: TypeAlias = "Callable[[Mapping[str, Any]], Mapping[str, Any] | None]"


def script(*names: str) -> str:
    """Return the text of files beside this one, joined: a widget is one module, and is loaded without a build."""
    return "\n".join(Path(__file__).with_name(name).read_text(encoding="utf-8") for name in names)


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
