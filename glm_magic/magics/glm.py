"""`%glm` and `%%glm`: a cell becomes a question, and its answer appears below it."""

from __future__ import annotations

import atexit
import contextlib
import os
import time
from typing import TYPE_CHECKING, Any, cast

from IPython.core.magic import Magics, line_cell_magic, line_magic, magics_class, no_var_expand
from traitlets import TraitError, TraitType

from glm_magic.errors import AnswerError, Interrupted, SettingError
from glm_magic.magics import new_cell, offers, transform
from glm_magic.magics.background import Background, Pending
from glm_magic.magics.cells import Cells
from glm_magic.magics.formatters import ReplyFormatter
from glm_magic.magics.interrupts import Interrupts
from glm_magic.magics.outputs import Outputs
from glm_magic.settings.declared import SETTINGS, Setting
from glm_magic.settings.layers import Sources

if TYPE_CHECKING:
    from pathlib import Path

    from IPython.core.interactiveshell import ExecutionInfo, ExecutionResult, InteractiveShell
    from traitlets.utils.bunch import Bunch

    from glm_magic.asking.question import Question
    from glm_magic.asking.session import Session
    from glm_magic.chat.conversation import Conversation
    from glm_magic.chat.messages import Role
    from glm_magic.chat.place import Place
    from glm_magic.chat.reply import Reply
    from glm_magic.magics.options import Asked, Evaluate
    from glm_magic.tools.tool import Tool

LAST_REPLY = "_glm"


class SettingTrait(TraitType[Any, Any]):
    """A setting as a trait: the same name, type, range and help."""

    def __init__(self, setting: Setting) -> None:
        super().__init__(default_value=setting.default, allow_none=True, help=setting.help)
        self.setting = setting
        self.info_text = setting.range or "text"

    def validate(self, _obj: object, value: object) -> object:
        """Raise `TraitError` for a value that the setting may not have."""
        try:
            return self.setting.check(value)
        except SettingError as error:
            raise TraitError(str(error)) from None

    def from_string(self, s: str) -> object:
        """Read a value from a command line."""
        return self.setting.parse(s)


@magics_class
class GLMMagics(Magics):
    """Settings of glm_magic, and the magics themselves."""

    vars().update({name: SettingTrait(setting).tag(config=True) for name, setting in SETTINGS.items()})

    def __init__(self, shell: InteractiveShell, **kwargs: Any) -> None:
        super().__init__(shell, **kwargs)
        self._shell = shell
        self.sources = Sources(os.environ)
        self._session: Session | None = None
        self.formatter = ReplyFormatter(shell)
        self.outputs = Outputs(shell)
        self.background = Background()
        self.cells = Cells(shell)
        self._marked: list[Conversation] = []
        self._mirroring = False
        self.interrupts = Interrupts(time.monotonic)
        configured = {name: getattr(self, name) for name in SETTINGS}
        self.sources.config.update(
            {name: value for name, value in configured.items() if value != SETTINGS[name].default}
        )
        self.mirror()
        self.observe(self._trait_was_set, names=list(SETTINGS))

    def install(self) -> None:
        """Hook into the shell: what is typed, what runs, what is shown."""
        transform.install(self._shell)
        self._shell.events.register("pre_run_cell", self._before_cell)
        self._shell.events.register("post_run_cell", self._after_cell)
        atexit.register(self.close)

    def remove(self) -> None:
        """Undo `install`, and free connections and the embedded model."""
        transform.remove(self._shell)
        self._shell.events.unregister("pre_run_cell", self._before_cell)
        self._shell.events.unregister("post_run_cell", self._after_cell)
        self.formatter.remove()
        atexit.unregister(self.close)
        self.close()

    def close(self) -> None:
        """Free connections and the embedded model."""
        self.background.stop()
        if self._session is not None:
            self._session.close()

    @property
    def session(self) -> Session:
        """The session of this kernel, which the first cell begins."""
        if self._session is None:
            from glm_magic.asking.session import Session  # noqa: PLC0415

            self._session = Session(self.sources, notebook=self.notebook_file, put_in_cell=new_cell.put_below)
        return self._session

    def notebook_file(self) -> Path | None:
        """Return the path of this kernel's notebook, as the front end tells it; None if it does not."""
        return new_cell.notebook_file(self._shell)

    # --- the magics --------------------------------------------------------------------------

    @no_var_expand
    @line_cell_magic
    def glm(self, line: str, cell: str | None = None) -> Reply | Pending | None:
        """Ask a model, and stream its answer below the cell.

        ::

            %%glm [options]            the cell's text is the prompt
            %glm [options] prompt      the rest of the line is the prompt

        {{ expression }} in the prompt, and in the values of options, becomes the value of a Python
        expression. Everything else goes out as it is typed. The value of the cell is the Reply; _glm
        is the last one.

        ::

            -m, --model NAME                 the model that answers
            -t, --temperature X              how freely the next token is drawn (a number from 0 to 1)
            -p, --top-p X                    share of the likeliest tokens to draw from (a number from 0 to 1)
            --max-tokens N                   most tokens in the answer (a whole number of tokens of at least 1)
            --stop TEXT                      stop word: the answer ends before it
            -s, --system TEXT                system message; "" sends none
            --param KEY=VALUE                any other request field, repeatable; VALUE is JSON or else text
            --json                           ask for a JSON object, and check that it is one
            --schema NAME                    ask for JSON that fits a model, dataclass, TypedDict or JSON Schema
            --no-stream                      one response instead of a stream
            -c, --chat NAME                  the conversation to use (default main)
            --new                            a boundary: this cell and later ones send nothing before it
            --no-history                     send no earlier turn, keep none
            --role user|system|assistant     put a system or assistant message into the conversation, and ask nothing
            -T, --tool NAME                  a function that the model may call (repeatable, or a comma list)
            --approve                        ask before each tool call
            --max-steps N                    most rounds of tool calls (a whole number of at least 1)
            -o, --out NAME                   bind the reply to NAME; `NAME <<` at the end of a %%glm line does the same
            -f, --format markdown|text|code  how the answer is shown; code shows only its code blocks
            --bg                             ask in the background: the cell ends at once, and goes on filling in
            --replay                         answer from a recorded answer to the same request, if there is one
            --no-replay                      ask, even if an answer is recorded
            -N, --dry-run                    show the exact request, and send nothing
            -q, --quiet                      no line about model, tokens and time
            --raw                            no {{ }} in the prompt
        """
        from glm_magic.magics import answering  # noqa: PLC0415 - so is all that only asking needs
        from glm_magic.magics.options import read_asked  # noqa: PLC0415

        answering.check_no_tool_asks()
        run = self.cells.run
        place = run.next_place()
        evaluate = self._evaluator()
        asked = read_asked(line, evaluate, is_cell=cell is not None)
        self.wait_for(asked.chat if asked.history else "", place)
        text = asked.prompt if cell is None else run.as_typed(cell)
        from glm_magic.chat import prompt  # noqa: PLC0415

        if asked.role != "user":
            self._put_in(text if asked.raw else prompt.fill(text, evaluate), asked, place)
            return None
        question = self.session.prepare(
            text if asked.raw else prompt.message(text, prompt.value_evaluator(self._shell.user_ns)),
            place,
            chat=asked.chat,
            options=asked.settings,
            extra=asked.extra,
            tools=self._tools(asked),
            schema=offers.schema(asked.schema, self._shell.user_ns, json=asked.json),
            new=asked.new,
            keep=asked.history,
            stream=asked.stream,
            replay=False if asked.dry_run else asked.replay,
            dry_run=asked.dry_run,
        )
        if asked.dry_run:
            self._show_request(question)
            return None
        if question.tools and question.settings["approve"] and question.recorded is None:
            offers.check_can_ask(self._shell, background=asked.background)
        with self.interrupts:
            return answering.answer(self, question, asked)

    @no_var_expand
    @line_magic
    def glm_config(self, line: str) -> None:
        """Show and change the settings.

        ::

            %glm_config                     the panel; in a terminal, the table
            %glm_config name=value …        set; `name=` takes the value away
            %glm_config name …              show

            --reset                          reset the settings that are named after it, or all
            --table                          show the settings as a table
            --panel                          show the settings as a panel
            --login                          ask for the key, without echo, and keep it
        """
        from glm_magic.magics import config  # noqa: PLC0415

        config.run(self, line)

    @no_var_expand
    @line_magic
    def glm_history(self, line: str) -> None:
        """Show and change the conversation.

        ::

            %glm_history                    what the next cell will send

            -c, --chat NAME                  the conversation (default main)
            --clear                          empty the conversation
            --undo                           take the last turn out
            --attempt TURN N                 let answer N of a turn (its number in the table) count again
            --show TURN                      show a turn again, or its answer N: --show TURN [N]
            --diff                           with --show: the words that changed between two answers: --diff [N M]
            --skip TURN                      do not send a turn until its cell runs again
            --unskip TURN                    send a turn that was skipped
            --fork NEW                       copy the conversation into the chat NEW
            --prune                          take out the turns whose cells were deleted
            --list                           show the chats
            --restore                        take over the conversations of a saved notebook: --restore [FILE.ipynb]
            --export FILE                    write the conversation to a file: .ipynb .jsonl .md .py .sh
            --force                          with --restore, --export: in place of what is there
            --forget                         empty this notebook's journal of answers for a replay
        """
        from glm_magic.magics import history  # noqa: PLC0415

        history.run(self, line)

    # --- asking ------------------------------------------------------------------------------

    def wait_for(self, chat: str, place: Place | None = None) -> None:
        """Wait for what is under way in the background in `chat` (``""``: in none) or at `place`, and say so.

        Raises the error with which it failed.
        """
        pendings = self.background.before(chat, place)
        is_over = all(pending.done for pending in pendings)
        said = self.outputs.saying("waiting for an answer in the background")
        with contextlib.nullcontext() if is_over else said:
            self.background.wait(pendings, place)

    def _tools(self, asked: Asked) -> tuple[Tool, ...]:
        by_option = "tools" in asked.settings
        named = asked.settings["tools"] if by_option else self.sources.find(SETTINGS["tools"])[0]
        if not named:
            return ()
        scope = self._shell.user_ns
        known = [name for name in scope if name not in self._shell.user_ns_hidden and not name.startswith("_")]
        as_typed = "--tool" if by_option else "%glm_config tools"
        return offers.tools(str(named), scope, known=known, as_typed=as_typed)

    def bind(self, reply: Reply | Pending, name: str) -> None:
        """Let `_glm`, and `name` if there is one, be the reply; it is not shown once more as the cell's value."""
        self.formatter.show_once(reply)
        self._shell.user_ns[LAST_REPLY] = reply
        if name:
            self._shell.user_ns[name] = reply

    def _put_in(self, text: str, asked: Asked, place: Place) -> None:
        if asked.dry_run:
            self.outputs.show_text(f"Would put a message of the role {asked.role} into chat {asked.chat}:\n{text}")
            return
        role = cast("Role", asked.role)
        attempt = self.session.put_in(text, role, place, chat=asked.chat, new=asked.new, replay=asked.replay)
        from glm_magic.magics.ending import ending_of_message  # noqa: PLC0415

        view = self.outputs.view(place, f"{asked.role} message", quiet=asked.quiet, at_once=True)
        view.settle(ending_of_message(self.session, asked.chat, place, attempt))

    def _show_request(self, question: Question) -> None:
        from glm_magic.magics.ending import dry_run  # noqa: PLC0415

        self.outputs.show_text(dry_run(question))

    # --- settings ----------------------------------------------------------------------------

    def mirror(self) -> None:
        """Let the traits show what holds: a variable of the environment may have changed since."""
        self._mirroring = True
        try:
            for name, setting in SETTINGS.items():
                try:
                    value, _ = self.sources.find(setting)
                except SettingError:  # it is raised again where it matters: when something is asked
                    continue
                setattr(self, name, value)
        finally:
            self._mirroring = False

    def _trait_was_set(self, change: Bunch) -> None:
        if not self._mirroring:
            self.sources.assigned[change.name] = change.new

    # --- the cell that runs ------------------------------------------------------------------

    def _evaluator(self) -> Evaluate:
        from glm_magic.chat.prompt import evaluator  # noqa: PLC0415

        return evaluator(self._shell.user_ns)

    def evaluate(self, source: str) -> str:
        """Evaluate an expression among the notebook's names, and make text of its value."""
        return self._evaluator()(source)

    def _before_cell(self, info: ExecutionInfo) -> None:
        self.cells.begin(info.raw_cell)

    def _after_cell(self, result: ExecutionResult) -> None:
        run = self.cells.end(result.execution_count if result.info and result.info.store_history else None)
        if run is None:
            return
        if self.outputs.is_in_a_kernel:
            self.interrupts.forget()
        else:
            self.interrupts.end()
        self.formatter.show_once(None)
        if self._session is not None and (
            result.success or isinstance(result.error_in_exec, (AnswerError, Interrupted))
        ):
            self.session.chats.retire_surplus(run.cell, run.calls)
        self._mark_stale()

    def _mark_stale(self) -> None:
        """Mark stale answers on a page whose cells can be run again one by one."""
        if self._session is None or not self.cells.have_ids:
            return
        conversations = list(self.session.chats.values())
        if list(map(id, conversations)) != list(map(id, self._marked)):  # each change makes another one
            self._marked = conversations
            self.outputs.mark(frozenset().union(*(conversation.stale() for conversation in conversations)))
