"""Shows a `Reply` as neutralised Markdown, and not a second time as the value of its cell."""

from __future__ import annotations

import html
import inspect
import sys
import traceback
from typing import TYPE_CHECKING, Any

from IPython.core.displayhook import CapturingDisplayHook, DisplayHook

from glm_magic.display import safe_text
from glm_magic.display.page.grid.static import static
from glm_magic.errors import printable

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell
    from IPython.lib.pretty import RepresentationPrinter

    from glm_magic.chat.reply import Reply
    from glm_magic.comparing.comparison import Comparison
    from glm_magic.magics.background import Pending


class ReplyFormatter:
    """Shows `Reply` and `Pending` values in `shell`.

    It registers itself with the first of each kind: IPython's formatters are slow to make.
    """

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell
        self._just_shown: Reply | Pending | Comparison | None = None
        self._known: set[type] = set()

    def show_once(self, reply: Reply | Pending | Comparison | None) -> None:
        """Remember the reply that the running cell has streamed, so that it is not shown again as the cell's value."""
        self._just_shown = reply
        if reply is not None and not hasattr(self._shell, "kernel"):
            self._take_the_hook()
        if reply is not None and type(reply) not in self._known:
            self._known.add(type(reply))
            formatter: Any = self._shell.display_formatter
            formatter.ipython_display_formatter.for_type(type(reply), self._display)
            formatter.formatters["text/plain"].for_type(type(reply), self._pretty)

    def _take_the_hook(self) -> None:
        """Let a terminal write no ``Out[5]:`` for a reply that it has shown; IPython writes it before it formats.

        The hook that is used from the next cell on is `display_trap`'s; that of the running cell is Python's own.
        """
        own, trap = self._shell.displayhook, self._shell.display_trap
        if trap.hook is own:
            trap.hook = self._hook
        if sys.displayhook is own:
            sys.displayhook = self._hook

    def _hook(self, value: object = None) -> None:
        own: Any = self._shell.displayhook
        if value is None or value is not self._just_shown:
            own(value)
            return
        own.check_for_underscore()
        if not own.quiet():
            own.update_user_ns(value)
            own.fill_exec_result(value)

    def remove(self) -> None:
        """Unregister."""
        if self._shell.display_trap.hook == self._hook:
            self._shell.display_trap.hook = self._shell.displayhook
        formatter: Any = self._shell.display_formatter if self._known else None
        for kind in self._known:
            formatter.ipython_display_formatter.pop(kind, None)
            formatter.formatters["text/plain"].pop(kind, None)

    def _display(self, reply: Reply | Pending | Comparison) -> None:
        if reply is self._just_shown and _is_the_value_of_a_cell():
            return
        is_there = getattr(reply, "done", True) and not getattr(reply, "failed", False)
        if not is_there:
            data = {"text/plain": repr(reply)}
        elif hasattr(reply, "grid"):
            data = static(reply.grid())
        else:
            data = {"text/markdown": safe_text.markdown(reply.text), "text/plain": safe_text.plain(reply.text)}
        self._shell.display_pub.publish(data=data, metadata={})

    @staticmethod
    def _pretty(reply: Reply | Pending | Comparison, printer: RepresentationPrinter, cycle: Any) -> None:  # noqa: ARG004
        printer.text(printable(repr(reply)))


_DISPLAY_HOOKS = (DisplayHook.__call__.__code__, CapturingDisplayHook.__call__.__code__)


def _is_the_value_of_a_cell() -> bool:
    """Whether IPython's display hook is the caller; it does not tell a formatter, so the stack must."""
    return any(frame.f_code in _DISPLAY_HOOKS for frame, _ in traceback.walk_stack(inspect.currentframe()))


def data_of_prompt(prompt: str) -> dict[str, str]:
    """Return the data of a prompt by MIME type, exactly as typed."""
    plain = safe_text.plain(prompt)
    style = (
        "white-space: pre-wrap; overflow-wrap: anywhere; border-left: 1px solid #9e9e9e; padding-left: 8px; "
        "font-family: var(--jp-code-font-family, monospace); font-size: var(--jp-code-font-size, 13px)"
    )
    shown = f'<div class="{safe_text.NO_MATHS}" style="{style}">{html.escape(plain)}</div>'
    return {"text/html": shown, "text/plain": plain}
