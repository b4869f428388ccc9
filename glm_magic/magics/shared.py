"""What the magics of one kernel share, from the first one that runs."""

from __future__ import annotations

import contextlib
import functools
import time
from collections import ChainMap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from glm_magic.asking.session import Session
from glm_magic.chat import prompt
from glm_magic.chat.place import Place
from glm_magic.chat.reply import Reply
from glm_magic.comparing.comparison import Comparison
from glm_magic.comparing.kept import KeptRuns
from glm_magic.display.page.line import line
from glm_magic.errors import AnswerError, GlmError, Interrupted
from glm_magic.magics import names, new_cell
from glm_magic.magics.background import Background, Pending
from glm_magic.magics.cells import Cells, Run
from glm_magic.magics.formatters import ReplyFormatter
from glm_magic.magics.interrupts import Interrupts
from glm_magic.magics.outputs import Outputs
from glm_magic.magics.traits import Mirror
from glm_magic.notebook.bundle import MIME_TYPE
from glm_magic.notebook.comparison import MIME_TYPE as COMPARISON
from glm_magic.notebook.page import SavedPage
from glm_magic.settings.files import SettingsFiles
from glm_magic.settings.layers import Layers
from glm_magic.settings.presets import Preset, presets

if TYPE_CHECKING:
    from IPython.core.interactiveshell import ExecutionResult, InteractiveShell

LAST_REPLY = "_glm"


class Controls(Protocol):
    """Live controls: a panel, or the playground of a cell."""

    def refresh(self) -> None:
        """Show what holds in the kernel now."""


@dataclass(frozen=True, slots=True)
class Shared:
    """The shell and its session, and the kernel's cells, outputs, interrupts, background answers and live controls."""

    shell: InteractiveShell
    session: Session
    cells: Cells
    outputs: Outputs
    interrupts: Interrupts
    background: Background
    formatter: ReplyFormatter
    mirror: Mirror
    page: SavedPage
    kept_runs: KeptRuns
    controls: dict[str, Controls]
    local_names: Mapping[str, Any] = field(default_factory=dict)

    def within(self, local_names: Mapping[str, Any] | None) -> Shared:
        """Return the same for a magic that runs where those names are local: in a function, for example."""
        if not local_names or local_names is self.shell.user_ns:
            return self
        return replace(self, local_names=local_names)

    @property
    def names(self) -> Mapping[str, Any]:
        """The names that an expression may use."""
        return ChainMap(dict(self.local_names), self.shell.user_ns) if self.local_names else self.shell.user_ns

    @property
    def known_names(self) -> list[str]:
        """The names that a person may have meant."""
        return names.public(self.names, self.shell.user_ns_hidden)

    def evaluate(self, source: str) -> str:
        """Evaluate an expression, and return the text of its value."""
        with self.interrupts.acting_at_once():
            return prompt.evaluator(self.names)(source)

    def note_problems(self) -> None:
        """Have the next line say, once, what the settings' files hold that cannot be used."""
        for problem in self.session.layers.problems():
            self.session.recordings.note_once(problem)

    @property
    def files(self) -> SettingsFiles:
        """The settings' files."""
        files = self.session.layers.files
        assert isinstance(files, SettingsFiles), "`begin` has found them"
        return files

    @property
    def presets(self) -> dict[str, Preset]:
        """The presets of the project's file and the user's, by name."""
        return presets(self.files)

    def wait_for(self, chat: str, place: Place | None = None) -> None:
        """Wait for the answers under way in the background in `chat` or at `place`, and say so.

        Raises the error with which one failed.
        """
        pendings = self.background.before(chat, place)
        is_over = all(pending.done for pending in pendings)
        waiting = self.outputs.saying("waiting for an answer in the background")
        with contextlib.nullcontext() if is_over else waiting, self.interrupts.acting_at_once():
            self.background.wait(pendings, place)

    @contextlib.contextmanager
    def before_asking(self, place: Place, if_stopped: str = "Nothing was sent.") -> Iterator[None]:
        """Keep what the page has of the turn at `place` if its cell fails, or is stopped, before it asks."""
        try:
            yield
        except BaseException as error:
            self.keep_on_page(place)
            if isinstance(error, KeyboardInterrupt) and not isinstance(error, Interrupted):
                raise Interrupted(f"Stopped. {if_stopped}") from None
            raise

    def bind(self, reply: Reply | Pending | Comparison, name: str) -> None:
        """Bind the reply to `_glm`, and to `name` unless it is empty; it is not shown again as the cell's value."""
        self.formatter.show_once(reply)
        self.shell.user_ns[LAST_REPLY] = reply
        if name:
            self.shell.user_ns[name] = reply

    def keep_on_page(self, place: Place) -> None:
        """Show the bundle of the turn at `place`, whose cell has run and asked nothing.

        The front end has emptied the cell's outputs, and would save the notebook without them.
        """
        with contextlib.suppress(GlmError):  # a variable that holds a wrong value: the cell says so if it matters
            history, said, data = self.session.history, list[str](), dict[str, Any]()
            if not history.saves_turns:
                return
            kept = history.kept_unasked(place)
            if kept is not None:
                number, data[MIME_TYPE] = kept
                one = number == 1
                said.append("1 earlier answer of this cell is kept" if one else f"{number} earlier answers are kept")
            compared = self.kept_runs.shown_at(place, save=True)
            if compared is not None:
                data[COMPARISON] = compared
                said.append(f"the {len(compared['runs'])} answers of this comparison are kept")
            if data:
                self.outputs.show({**line(tuple(said)), **data})

    def after_cell(self, run: Run, result: ExecutionResult) -> None:
        """Clean up after a cell."""
        if self.outputs.is_in_a_kernel:
            self.interrupts.forget()
        else:
            self.interrupts.end()
        self.formatter.show_once(None)
        for controls in [*self.controls.values()]:
            controls.refresh()
        if result.success or isinstance(result.error_in_exec, (AnswerError, Interrupted)):
            self.session.chats.retire_surplus(run.cell, run.calls)
        elif self.cells.have_ids:
            self._keep_unreached(run)
        if self.cells.have_ids:  # else its cells cannot be run again one by one
            self.outputs.mark_stale(tuple(self.session.chats.values()))

    def _keep_unreached(self, run: Run) -> None:
        """Keep the turns of a cell that failed before it came to them."""
        with contextlib.suppress(GlmError):
            for place in self.session.history.places_of(run.cell):
                if place.call >= run.calls:
                    self.keep_on_page(place)

    def close(self) -> None:
        """Stop what runs in the background, and let go of the services."""
        self.background.stop()
        self.session.close()


def begin(shell: InteractiveShell, layers: Layers, cells: Cells, mirror: Mirror, session: Session | None) -> Shared:
    """Return what the magics share; `session` is that of an earlier load of the extension, if there was one."""
    notebook = functools.partial(new_cell.notebook_file, shell)
    if layers.files is None:
        layers.files = SettingsFiles(lambda: path.parent if (path := notebook()) is not None else Path.cwd())
        mirror.show()
    if session is None:
        session = Session(layers, notebook=notebook, put_in_cell=new_cell.put_below)
    return Shared(
        shell,
        session,
        cells,
        Outputs(shell),
        Interrupts(time.monotonic),
        Background(),
        ReplyFormatter(shell),
        mirror,
        SavedPage(notebook),
        KeptRuns(session.recordings, time.time),
        {},
    )
