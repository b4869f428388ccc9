"""How a `Reply` is shown: as Markdown that cannot act, and not a second time as its cell's value."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from IPython.core.displayhook import DisplayHook

from glm_magic.errors import printable

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell
    from IPython.lib.pretty import RepresentationPrinter

    from glm_magic.chat.reply import Reply

_MODULE, _NAME = "glm_magic.chat.reply", "Reply"


class ReplyFormatter:
    """Shows replies in `shell`. `just_shown` is the reply that the running cell has streamed already."""

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell
        assert shell.display_formatter is not None
        self._by_type = shell.display_formatter
        self.just_shown: Reply | None = None

    def install(self) -> None:
        """Register for the type by its name, so that it need not be loaded."""
        formatter = self._by_type
        formatter.ipython_display_formatter.for_type_by_name(_MODULE, _NAME, self._display)
        formatter.formatters["text/plain"].for_type_by_name(_MODULE, _NAME, self._pretty)

    def remove(self) -> None:
        """Take the registration back."""
        formatter = self._by_type
        for of_type in (formatter.ipython_display_formatter, formatter.formatters["text/plain"]):
            of_type.deferred_printers.pop((_MODULE, _NAME), None)
            for known in [t for t in of_type.type_printers if (t.__module__, t.__name__) == (_MODULE, _NAME)]:
                of_type.pop(known)

    def _display(self, reply: Reply) -> None:
        if reply is self.just_shown and _is_the_value_of_a_cell():
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
