"""How a `Reply` is shown: as Markdown that cannot act, and not a second time as its cell's value."""

from __future__ import annotations

import html
import inspect
from typing import TYPE_CHECKING, Any

from IPython.core.displayhook import DisplayHook

from glm_magic.errors import printable

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell
    from IPython.lib.pretty import RepresentationPrinter

    from glm_magic.chat.reply import Reply


class ReplyFormatter:
    """Shows replies in `shell`. It registers itself with the first reply: IPython's formatters are slow to make."""

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell
        self._just_shown: Reply | None = None
        self._by_type: Any = None

    def show_once(self, reply: Reply | None) -> None:
        """Note the reply that the running cell has streamed already; it is not shown again as its value."""
        self._just_shown = reply
        if self._by_type is None and reply is not None:
            self._by_type = self._shell.display_formatter
            self._by_type.ipython_display_formatter.for_type(type(reply), self._display)
            self._by_type.formatters["text/plain"].for_type(type(reply), self._pretty)

    def remove(self) -> None:
        """Take the registration back."""
        if self._by_type is not None:
            from glm_magic.chat.reply import Reply  # noqa: PLC0415 - loaded by now

            self._by_type.ipython_display_formatter.pop(Reply, None)
            self._by_type.formatters["text/plain"].pop(Reply, None)

    def _display(self, reply: Reply) -> None:
        if reply is self._just_shown and _is_the_value_of_a_cell():
            return
        self._shell.display_pub.publish(data=data_of(reply), metadata={})

    @staticmethod
    def _pretty(reply: Reply, printer: RepresentationPrinter, cycle: Any) -> None:  # noqa: ARG004
        printer.text(printable(repr(reply)))


def _is_the_value_of_a_cell() -> bool:
    """Whether IPython's display hook is asking; it tells a formatter nothing of that, so the stack must."""
    frame = inspect.currentframe()
    while frame is not None:
        if frame.f_code is DisplayHook.__call__.__code__:
            return True
        frame = frame.f_back
    return False


def data_of(reply: Reply) -> dict[str, str]:
    """Return a reply by MIME type."""
    from glm_magic.display import safe_text  # noqa: PLC0415 - loaded when something is shown

    return {"text/markdown": safe_text.markdown(reply.text), "text/plain": safe_text.plain(reply.text)}


def data_of_prompt(prompt: str) -> dict[str, str]:
    """Return a prompt by MIME type, exactly as it was typed."""
    from glm_magic.display import safe_text  # noqa: PLC0415

    plain = safe_text.plain(prompt)
    style = (
        "white-space: pre-wrap; overflow-wrap: anywhere; border-left: 1px solid #9e9e9e; padding-left: 8px; "
        "font-family: var(--jp-code-font-family, monospace); font-size: var(--jp-code-font-size, 13px)"
    )
    return {"text/html": f'<div style="{style}">{html.escape(plain)}</div>', "text/plain": plain}
