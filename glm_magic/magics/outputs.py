"""What a cell puts on the page, or writes into the terminal, and what of it can be changed later."""

from __future__ import annotations

import itertools
import sys
import time
import uuid
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from glm_magic.chat.conversation import Attempt, Place
    from glm_magic.display.bar import Bars
    from glm_magic.display.view import Ending, View


class Outputs:
    """The outputs of one shell."""

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell
        self._names = (f"glm-{uuid.uuid4().hex[:8]}-{number}" for number in itertools.count())
        self._views: dict[Place, View] = {}
        self._marks: Any = None
        self._bars: Bars | None = None

    @property
    def is_a_page(self) -> bool:
        """Whether this is a notebook's kernel, and not a shell in a terminal."""
        return hasattr(self._shell, "kernel")

    def show(self, data: dict[str, Any], name: str = "", *, update: bool = False) -> None:
        """Put data, by MIME type, on the page, or in place of the output called `name`."""
        transient = {"display_id": name} if name else None
        self._shell.display_pub.publish(data=data, metadata={}, transient=transient, update=update)

    def show_text(self, text: str) -> None:
        """Put plain text on the page."""
        from glm_magic.display import safe_text  # noqa: PLC0415

        self.show({"text/plain": safe_text.plain(text)})

    def show_turn(self, attempt: Attempt) -> None:
        """Put a question and its answer on the page, as they were."""
        from glm_magic.magics.formatters import data_of, data_of_prompt  # noqa: PLC0415

        self.show(data_of_prompt(attempt.question))
        if attempt.role == "user":
            self.show(data_of(attempt.reply()))

    def view(self, place: Place, title: str, *, quiet: bool = False, live: bool = False, **options: Any) -> View:
        """Return a new view for what is asked at `place`; `options` are those of a `PageView`.

        A `live` one has a bar that the browser keeps going, with a Stop.
        """
        if not self.is_a_page:
            from glm_magic.display.terminal import TerminalView  # noqa: PLC0415

            return TerminalView(sys.stdout, quiet=quiet)
        from glm_magic.display.page import PageView  # noqa: PLC0415

        if live:
            options["bars"] = self._live_bars
        view = self._views[place] = PageView(
            self.show, name=next(self._names), title=title, quiet=quiet, clock=time.monotonic, **options
        )
        return view

    def _live_bars(self) -> Bars | None:
        if self._bars is None:
            try:
                from glm_magic.display.bar import Bars  # noqa: PLC0415 - slow, and answers come meanwhile
            except ImportError:
                return None
            self._bars = Bars()
        return self._bars

    def rewrite(self, place: Place, text: str, ending: Ending) -> None:
        """Put another answer in place of the one that stands there, if this kernel has put it on the page."""
        view = self._views.get(place)
        if view is not None:
            view.rewrite(text, ending)

    def mark(self, stale: frozenset[str]) -> None:
        """Mark the lines about the answers with these ids as stale, and no others; nothing of it is saved."""
        if self._marks is None:
            if not stale or not self.is_a_page:
                return
            try:
                from glm_magic.display.marks import Marks  # noqa: PLC0415 - slow, and seldom needed
            except ImportError:  # the lines of later answers and %glm_history say it as well
                return
            self._marks = Marks()
        self._marks.stale = sorted(stale)
