"""The magics `%glm`, `%%glm`, `%glm_config` and `%glm_history`, and their place in the shell."""

from __future__ import annotations

import atexit
import os
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from IPython.core.completer import context_matcher
from IPython.core.magic import Magics, line_cell_magic, line_magic, magics_class, needs_local_scope, no_var_expand

from glm_magic.errors import CellError
from glm_magic.magics.cells import Cells, request
from glm_magic.magics.option import documented
from glm_magic.magics.options import ASK_OPTIONS, CONFIG_OPTIONS, HISTORY_OPTIONS
from glm_magic.magics.traits import Mirror, SettingTrait
from glm_magic.magics.transform import AsTyped, asks_for_help
from glm_magic.settings.declared import SETTINGS
from glm_magic.settings.layers import Layers, set_kernel

if TYPE_CHECKING:
    from IPython.core.completer import CompletionContext
    from IPython.core.interactiveshell import ExecutionInfo, ExecutionResult, InteractiveShell

    from glm_magic.asking.session import Session
    from glm_magic.chat.reply import Reply
    from glm_magic.comparing.comparison import Comparison
    from glm_magic.magics.background import Pending
    from glm_magic.magics.shared import Shared

    Answer: TypeAlias = "Reply | Pending | Comparison | None"


@dataclass(slots=True)
class Kept:
    """What a kernel keeps when the extension is loaded again: the settings, the cells and the conversations."""

    layers: Layers
    cells: Cells
    session: Session | None = field(default=None)


@magics_class
class GLMMagics(Magics):
    """Settings of glm_magic, and the magics themselves."""

    vars().update({name: SettingTrait(setting).tag(config=True) for name, setting in SETTINGS.items()})

    def __init__(self, shell: InteractiveShell, kept: Kept | None = None, **kwargs: Any) -> None:
        super().__init__(shell, **kwargs)
        self._shell = shell
        self.kept = kept or Kept(Layers(os.environ), Cells(shell))
        self._mirror = Mirror(self, self.kept.layers)
        self._as_typed = AsTyped(shell)
        self._shared: Shared | None = None
        self._lock = threading.Lock()  # a notebook may ask from threads of its own, and one of them is the first

    def install(self) -> None:
        """Hook into the shell: what is typed, how it is completed, and what runs."""
        set_kernel(self.kept.layers)
        self._as_typed.install()
        self._shell.Completer.custom_matchers.append(self.complete)
        self._shell.events.register("pre_run_cell", self._before_cell)
        self._shell.events.register("post_run_cell", self._after_cell)
        atexit.register(self.close)

    def check_this_cell(self) -> None:
        """Raise `CellError` if IPython has taken a question in this cell, ``%glm …?``, for a request for help."""
        code = request(self._shell, "content").get("code")
        if isinstance(code, str) and asks_for_help(code):
            raise CellError(
                "glm_magic is loaded, but this cell asked nothing: IPython took `%glm …?` for a request for help.",
                "Run the cell again; better, load glm_magic in a cell of its own.",
            )

    def remove(self) -> None:
        """Undo `install`, and free connections and the embedded model."""
        set_kernel(None)
        self._as_typed.remove()
        self._shell.Completer.custom_matchers.remove(self.complete)
        self._shell.events.unregister("pre_run_cell", self._before_cell)
        self._shell.events.unregister("post_run_cell", self._after_cell)
        atexit.unregister(self.close)
        if self._shared is not None:
            self._shared.formatter.remove()
        self.close()

    def close(self) -> None:
        """Free connections and the embedded model."""
        if self._shared is not None:
            self._shared.close()

    @property
    def shared(self) -> Shared:
        """What the magics share, which the first of them loads."""
        with self._lock:
            if self._shared is None:
                from glm_magic.magics.shared import begin  # noqa: PLC0415 - nothing is loaded before a magic runs

                kept = self.kept
                self._shared = begin(self._shell, kept.layers, kept.cells, self._mirror, kept.session)
                kept.session = self._shared.session
            self._shared.note_problems()
            return self._shared

    @no_var_expand
    @needs_local_scope
    @line_cell_magic
    @documented(*ASK_OPTIONS)
    def glm(self, line: str, cell: str | None = None, local_ns: dict[str, Any] | None = None) -> Answer:
        """Ask a model, and stream its answer below the cell.

        ::

            %%glm [options]            the cell's text is the prompt
            %glm [options] prompt      the rest of the line is the prompt

        {{ expression }} in the prompt, and in the values of options, becomes the value of a Python
        expression. Everything else is sent as typed. The value of the cell is the Reply; _glm is the last one.

        Options that multiply (comma lists, -n, --variants, --each) compare: the questions are asked at once, a grid
        shows the answers side by side, and the value of the cell is a Comparison.

        ::

            %%glm -t 0,1 -n 3                            two temperatures, three times each
            %%glm --variants --each rows --score right   wordings after lines `--- NAME`, for each row, scored
        """
        from glm_magic.magics import ask  # noqa: PLC0415 - the door: all that asking needs is loaded here

        return ask.run(self.shared.within(local_ns), line, cell)

    @no_var_expand
    @needs_local_scope
    @line_magic
    @documented(*CONFIG_OPTIONS)
    def glm_config(self, line: str, local_ns: dict[str, Any] | None = None) -> None:
        """Show and change the settings.

        ::

            %glm_config                     the panel; in a terminal, the table
            %glm_config name=value …        set; `name=` unsets
            %glm_config name …              show
        """
        from glm_magic.magics import config  # noqa: PLC0415

        config.run(self.shared.within(local_ns), line)

    @no_var_expand
    @needs_local_scope
    @line_magic
    @documented(*HISTORY_OPTIONS)
    def glm_history(self, line: str, local_ns: dict[str, Any] | None = None) -> Reply | None:
        """Show and change the conversation.

        ::

            %glm_history                    what the next cell will send
        """
        from glm_magic.magics import history  # noqa: PLC0415

        return history.run(self.shared.within(local_ns), line)

    @context_matcher(priority=100)  # before IPython's own, which it silences
    def complete(self, context: CompletionContext) -> dict[str, Any]:
        """Complete what is typed in one of the magics."""
        cursor = self._as_typed.cursor(context.full_text, context.cursor_line, context.cursor_position)
        if cursor is None:
            return {"completions": []}
        from glm_magic.magics import completion  # noqa: PLC0415 - nothing is loaded before a magic is typed

        session = self.kept.session
        chats, listed = (session.chats, session.listed_models) if session else ({}, ())
        return completion.completed(cursor, self._shell, chats, lambda: self.shared.presets, listed)

    def _before_cell(self, info: ExecutionInfo) -> None:
        self.kept.cells.begin(info.raw_cell)

    def _after_cell(self, result: ExecutionResult) -> None:
        count = result.execution_count if result.info and result.info.store_history else None
        run = self.kept.cells.end(count)
        if run is not None and self._shared is not None:
            self._shared.after_cell(run, result)
