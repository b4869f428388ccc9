"""What a cell shows on the page or in the terminal, and how it is updated."""

from __future__ import annotations

import contextlib
import itertools
import re
import shutil
import sys
import time
import traceback
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from IPython.core.displaypub import CapturingDisplayPublisher

from glm_magic.display import safe_text
from glm_magic.display.grid import GridView
from glm_magic.display.page import widgets
from glm_magic.display.page.grid.view import PageGrid
from glm_magic.display.page.line import Line
from glm_magic.display.page.parts import Parts
from glm_magic.display.page.view import PageView
from glm_magic.display.tables import WIDTH
from glm_magic.display.terminal import view as terminal
from glm_magic.display.terminal.grid import TerminalGrid
from glm_magic.display.view import View
from glm_magic.magics.cells import request
from glm_magic.magics.formatters import data_of_prompt

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from glm_magic.chat.attempt import Attempt
    from glm_magic.chat.conversation import Conversation
    from glm_magic.chat.place import Place
    from glm_magic.display.grid import Action
    from glm_magic.display.page.bar import Bars
    from glm_magic.display.page.grid.widget import Grids
    from glm_magic.display.view import Ending, Show


class Here:
    """The outputs of one cell, also from other threads and after the cell has ended."""

    def __init__(self, shell: InteractiveShell) -> None:
        self._publisher: Any = shell.display_pub
        self._parent: Any = getattr(shell, "get_parent", dict)()

    def show(self, data: dict[str, Any], name: str, *, update: bool) -> None:
        """Add an output with data by MIME type, or update the output called `name`."""
        transient = {"display_id": name}
        if self._has_kernel:
            kind = "update_display_data" if update else "display_data"
            self._send(kind, {"data": data, "metadata": {}, "transient": transient})
        else:
            self._publisher.publish(data=data, metadata={}, transient=transient, update=update)

    def fail(self, error: BaseException) -> None:
        """Add an error, as if the cell had raised it."""
        brief = getattr(error, "_render_traceback_", None)
        lines = brief() if brief is not None else traceback.format_exception(error)
        if self._has_kernel:
            self._send("error", {"ename": type(error).__name__, "evalue": str(error), "traceback": lines})
        else:
            self._publisher.publish(data={"text/plain": "\n".join(lines)}, metadata={})

    @property
    def _has_kernel(self) -> bool:
        return hasattr(self._publisher, "pub_socket")

    def _send(self, kind: str, content: dict[str, Any]) -> None:
        # the publisher itself would name the cell that is running by then
        publisher = self._publisher
        publisher.session.send(publisher.pub_socket, kind, content, parent=self._parent, ident=publisher.topic)


class Outputs:
    """The outputs of one shell."""

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell
        # `map` and `count` are safe to share between threads, which a generator is not
        self._names = map(f"glm-{uuid.uuid4().hex[:8]}-{{}}".format, itertools.count())
        self._views: dict[Place, View] = {}
        self._marks: Any = None
        self._marked: tuple[Conversation, ...] = ()
        self._bars: Bars | None = None
        self._grids: Grids | None = None

    @property
    def is_in_a_kernel(self) -> bool:
        """Whether the shell runs in a kernel, not in a terminal."""
        return hasattr(self._shell, "kernel")

    @property
    def is_a_page(self) -> bool:
        """Whether outputs go to a notebook page, where they can be updated.

        A console (jupyter console, qtconsole) shows an output's plain text, and no update of it. Nothing in the
        protocol says who asks, but consoles name the file with the kernel's ports by their process id.
        """
        shell: Any = self._shell
        if not self.is_in_a_kernel:
            return False
        if request(shell, "metadata").get("cellId"):
            return True  # a notebook may use a kernel that a console has started
        file = getattr(getattr(shell.kernel, "parent", None), "connection_file", "")
        return not re.fullmatch(r"kernel-\d+\.json", Path(str(file)).name)

    @property
    def can_be_updated(self) -> bool:
        """Whether an output that a cell makes now can be changed later.

        ``%%capture`` keeps outputs and updates alike, to show all of them; an Output widget ignores updates, and so
        do front ends for what no cell's run has made, such as a button's callback.
        """
        header = request(self._shell, "header")
        is_a_run = header.get("msg_type", "execute_request") == "execute_request"
        is_kept = isinstance(self._shell.display_pub, CapturingDisplayPublisher)
        return is_a_run and not is_kept and not widgets.is_captured(header.get("msg_id", ""))

    @property
    def width(self) -> int:
        """How many characters fit into a line of plain text: those of the terminal; elsewhere that is not known."""
        return WIDTH if self.is_in_a_kernel else shutil.get_terminal_size((WIDTH, 0)).columns

    def show(self, data: Mapping[str, Any], name: str = "", *, update: bool = False) -> None:
        """Show data by MIME type, or update the output called `name`."""
        transient = {"display_id": name} if name else None
        self._shell.display_pub.publish(data=dict(data), metadata={}, transient=transient, update=update)

    def here(self) -> Here:
        """Return the outputs of the running cell, for use while other cells run."""
        return Here(self._shell)

    def show_text(self, text: str) -> None:
        """Show plain text."""
        self.show({"text/plain": safe_text.plain(text)})

    @contextlib.contextmanager
    def saying(self, what: str) -> Iterator[None]:
        """Show what the cell waits for, as long as it waits."""
        if not self.can_be_updated:
            yield
            return
        bars = self._live_bars if self.is_a_page else lambda: None
        line = Line(self.show, next(self._names), "this cell", bars=bars, clock=time.monotonic)
        line.say(what)
        line.go_on(at_once=True)
        try:
            yield
        finally:
            line.remove()

    def show_turn(self, attempt: Attempt) -> None:
        """Show a question and its answer as they were, without the reasoning."""
        self.show(data_of_prompt(attempt.question))
        parts = Parts(self.show, self._names, form="markdown", with_calls=True, clock=time.monotonic)
        for event in attempt.events():
            parts.take(event)
        parts.finish()

    def view(self, place: Place, title: str, *, quiet: bool = False, live: bool = False, **options: Any) -> View:
        """Return a new view for the question at `place`; `options` are those of a `PageView`.

        A `live` one has a bar that the browser keeps going, with a Stop. `show` is what it paints through, if the
        cell does not go on running. Where outputs cannot be updated, the whole answer is shown at the end;
        `can_be_updated` says so of outputs that another run has made.
        """
        show: Show | None = options.pop("show", None)
        can_be_updated = options.pop("can_be_updated", self.can_be_updated)
        if not self.is_a_page:
            if show is not None:
                return View()  # an answer in the background has nowhere to go
            return terminal.view(sys.stdout, title=title, form=options.get("form", "markdown"), quiet=quiet)
        if live:
            options["bars"] = self._live_bars
        options["at_once"] = options.get("at_once", False) or not can_be_updated
        view = PageView(
            show or self.show, name=next(self._names), title=title, quiet=quiet, clock=time.monotonic, **options
        )
        if can_be_updated:
            self._views[place] = view
        else:
            self._views.pop(place, None)
        return view

    def grid_view(
        self,
        key: str,
        on_action: Callable[[Action], None],
        *,
        live: bool,
        at_once: bool = False,
        show: Show | None = None,
    ) -> GridView:
        """Return a new view for a comparison, which is found again by `key`; `on_action` hears what a person does.

        A `live` one can be used while the kernel lives. If `at_once`, everything is shown when the view settles.
        `show` is what it paints through, if the cell does not go on running.
        """
        if not self.is_a_page:
            return TerminalGrid(sys.stdout) if show is None else GridView()  # one in the background has nowhere to go
        return PageGrid(
            show or self.show,
            next(self._names),
            time.monotonic,
            on_action,
            key=key,
            grids=self._live_grids if live else lambda: None,
            in_background=show is not None,
            at_once=at_once or not self.can_be_updated,
        )

    def _live_grids(self) -> Grids | None:
        if self._grids is None:
            try:
                from glm_magic.display.page.grid.widget import Grids  # noqa: PLC0415 - slow, and seldom needed

                self._grids = Grids()
            except Exception:  # no widgets, or no comms: the grid is static
                return None
        return self._grids

    def _live_bars(self) -> Bars | None:
        if self._bars is None:
            try:
                from glm_magic.display.page.bar import Bars  # noqa: PLC0415 - slow, and answers come meanwhile

                self._bars = Bars()
            except Exception:  # no widgets, or a kernel without comms, which fails in its own way: the plain line does
                return None
        return self._bars

    def rewrite(self, place: Place, attempt: Attempt, ending: Ending) -> None:
        """Replace the answer that is shown for `place`, if this kernel has shown it."""
        view = self._views.get(place)
        if view is not None:
            view.rewrite(attempt.events(), ending)

    def mark_stale(self, conversations: tuple[Conversation, ...]) -> None:
        """Mark the lines of the stale answers in these conversations, and no others. The marks are never saved."""
        if [*map(id, conversations)] == [*map(id, self._marked)]:  # each change makes another one
            return
        self._marked = conversations
        stale = frozenset().union(*(conversation.stale() for conversation in conversations))
        if self._marks is None:
            if not stale or not self.is_a_page:
                return
            try:
                from glm_magic.display.page.bar import Marks  # noqa: PLC0415 - slow, and seldom needed

                self._marks = Marks()
            except Exception:  # no widgets, or no comms: the lines of later answers and %glm_history say it as well
                return
        self._marks.stale = sorted(stale)
