"""`%%glm --interact`: a prompt is tried out with controls; each Run is an attempt of the cell's turn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from glm_magic.chat.attempt import Attempt
from glm_magic.chat.conversation import Turn
from glm_magic.chat.place import Place
from glm_magic.chat.templates import names_in
from glm_magic.display import safe_text
from glm_magic.display.differences import changes
from glm_magic.display.page.fields import Fields
from glm_magic.display.page.knobs import known_models
from glm_magic.display.page.line import line as line_data
from glm_magic.display.page.over import Playground
from glm_magic.display.page.reused import Reused
from glm_magic.display.tables import table
from glm_magic.errors import CellError, OptionError, PromptError, SetupError
from glm_magic.magics import answering, attempts, facts, planning, settings
from glm_magic.magics.background import Pending
from glm_magic.magics.parsing import AskLine
from glm_magic.magics.shared import Shared
from glm_magic.magics.written import ask_line
from glm_magic.notebook.bundle import MIME_TYPE
from glm_magic.settings.declared import SETTINGS
from glm_magic.settings.declared import setting as known

_MOST_BESIDE = 3  # attempts side by side

_SET_HERE = "set in this playground"
_NOT_HERE = ("approve", "concurrency")  # one asks on the input line of a running cell, the other compares


def open_below(shared: Shared, line: AskLine, text: str, place: Place) -> None:
    """Show the playground of the running cell; nothing is sent, and the cell's turn stays as it was.

    Where nobody is before the page, what it would show is saved. Raises `OptionError` or `SetupError`.
    """
    if line.compares:
        raise OptionError("The playground asks once, and this line compares.", "Leave out --interact, or the lists.")
    if not shared.outputs.is_a_page:
        raise SetupError("The playground needs a notebook page.", "Here, ask with %%glm.")
    line = replace(line, interact=False, presets=())  # its settings are those of the line
    name = f"playground of {place}"
    former = shared.controls.pop(name, None)
    if isinstance(former, PlaygroundHands):
        former.close()
    try:
        hands = PlaygroundHands(shared, line, text, place) if shared.cells.have_ids else None
    except Exception:  # a kernel without comms, which fails in ways of its own
        hands = None
    if hands is None:
        shared.outputs.show(_static(shared, line, text, place))
        shared.keep_on_page(place)
    else:
        shared.controls[name] = hands
        hands.show()


class PlaygroundHands:
    """What the controls of one playground do. It asks at `place`, in the chat that `line` names."""

    def __init__(self, shared: Shared, line: AskLine, text: str, place: Place) -> None:
        self._shared = shared
        self._line = replace(line, settings={})
        self._options = dict(line.settings)
        self._place = place
        self._here = shared.outputs.here()
        self._can_be_updated = shared.outputs.can_be_updated
        self._text = text
        self._pending: Pending | None = None
        actions = {
            "set": self._set,
            "reset": self._reset,
            "preset": self._preset,
            "run": self._run,
            "stop": self._stop,
            "insert": self._insert,
            "diff": self._diff,
            "settle": self._settle,
        }
        self._page = Playground(actions)
        self._name = f"glm-playground-{self._page.key}"
        self._answer = Reused(self._here.show, self._name)
        self._fields = Fields(self._show_fields)

    def show(self) -> None:
        """Show the controls, and below them what the cell's turn holds."""
        self._page.prompt = self._text
        self._page.observe(lambda change: self._type(change["new"]), names="prompt")
        self.refresh()
        self._here.show(self._static(), self._name, update=False)
        self._show_turn()

    def close(self) -> None:
        """Free the controls: another playground takes their place."""
        self._fields.close()
        self._page.close()

    def refresh(self) -> None:
        """Show what holds now: a cell may have changed a name or a setting."""
        self._page.models = known_models(self._shared.session.listed_models)
        self._page.presets = [*self._shared.presets]
        self._page.rows = self._rows()
        self._show_fields()
        self._show_attempts()

    # --- what the page asks for ------------------------------------------------------------------

    def _set(self, asked: Mapping[str, Any]) -> None:
        setting, text = known(str(asked["name"])), asked["text"]
        if text is None:
            self._options.pop(setting.name, None)
        else:
            self._options[setting.name] = setting.parse(str(text))
        self.refresh()

    def _reset(self, asked: Mapping[str, Any]) -> None:
        self._options.pop(str(asked["name"]), None)
        self.refresh()

    def _preset(self, asked: Mapping[str, Any]) -> None:
        self._options.update(self._shared.presets[str(asked["name"])].values())
        self.refresh()

    def _type(self, text: str) -> None:
        self._text = text
        self._show_fields()

    def _run(self, asked: Mapping[str, Any]) -> None:
        """Ask what the box holds. Raises `GlmError`, in which case nothing was sent."""
        shared = self._shared
        answering.check_no_tool_asks()
        if self._is_running:
            raise CellError("The answer before this one is still in progress.", "Wait for it, or stop it.")
        self._type(str(asked["prompt"]))
        with shared.interrupts:
            line = replace(self._line, settings=dict(self._options), background=True)
            line = planning.completed(shared, line)
            if any(not each.done for each in shared.background.before(line.chat)):
                raise CellError("An answer of this chat is still in progress in the background.", "Wait for it.")
            within = replace(shared, local_names={**shared.local_names, **self._fields.typed})
            message = planning.message(within, line, self._text)
            question = shared.session.plan(message, self._place, planning.wishes(within, line))
        self._page.show({"running": True, "fault": ""})
        self._answer.begin()
        self._pending = answering.begin(
            shared, question, line, self._ended, show=self._answer, can_be_updated=self._can_be_updated
        )

    def _ended(self, error: BaseException | None) -> None:
        self._answer.end()
        self._page.show({"running": False, "fault": str(error) if error is not None else ""})
        self._show_attempts()
        self._shared.outputs.mark_stale(tuple(self._shared.session.chats.values()))

    def _stop(self, _asked: Mapping[str, Any]) -> None:
        if self._pending is not None:
            self._pending.stop()

    def _insert(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Return the cells that ask the same without the playground."""
        self._type(str(asked["prompt"]))
        assigned = self._fields.assignments()
        return {"cells": [*([assigned] if assigned else []), f"{self._page.line}\n{self._text}"]}

    def _diff(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        tried = turn.attempts if (turn := self._turn) is not None else ()
        old, new = (tried[int(asked[which]) - 1].answer for which in ("old", "new"))
        return {"pieces": [*map(list, changes(safe_text.plain(old), safe_text.plain(new)))]}

    def _settle(self, _asked: Mapping[str, Any]) -> None:
        """Show what holds in the output too, which is what a notebook saves."""
        self._here.show(self._static(), self._name, update=True)

    # --- what it shows ---------------------------------------------------------------------------

    @property
    def _is_running(self) -> bool:
        return self._pending is not None and not self._pending.done

    @property
    def _chat(self) -> str:
        return planning.chat(self._shared, self._line)

    @property
    def _turn(self) -> Turn | None:
        return self._shared.session.chats.conversation(self._chat).find(self._place)

    def _rows(self) -> list[dict[str, Any]]:
        layers = self._shared.session.layers.with_files_read()
        shown = [each for each in SETTINGS.values() if each.option and each.name not in _NOT_HERE]
        rows = [settings.row(layers, each, self._options, _SET_HERE) for each in shown]
        return [{**row, "optional": False} for row in rows]  # a line cannot say "not set": reset takes an option away

    def _show_fields(self) -> None:
        try:
            names = () if self._line.raw else names_in(self._text)
        except PromptError as error:  # it is being typed; Run says it too
            self._page.fault = str(error)
        else:
            notebook = self._shared.names
            self._page.show({"fields": self._fields.show(names, notebook), "fault": ""})
        self._page.line = ask_line(self._options, self._line)

    def _show_attempts(self) -> None:
        turn = self._turn
        tried = turn.attempts if turn is not None else ()
        first = max(0, len(tried) - _MOST_BESIDE)
        self._page.attempts = [
            self._shown(number, attempt, is_active=turn is not None and attempt is turn.counting)
            for number, attempt in enumerate(tried[first:], start=first + 1)
        ]

    def _shown(self, number: int, attempt: Attempt, *, is_active: bool) -> dict[str, Any]:
        return {
            "number": number,
            "active": is_active,
            "facts": " · ".join(facts.about_attempt(self._shared.session, attempt)),
            "prompt": safe_text.plain(attempt.question),
            "answer": safe_text.plain(attempt.answer),
        }

    def _show_turn(self) -> None:
        """Show the answer of the cell's turn, which running the cell has taken from the page."""
        history, turn = self._shared.session.history, self._turn
        if turn is not None and turn.counting is not None:
            view = self._shared.outputs.view(self._place, "", at_once=True, show=self._answer)
            for event in turn.counting.events():
                view.paint(event)
            view.settle(facts.ending_of_attempt(self._shared.session, self._chat, turn))
        elif history.saves_turns and (kept := history.kept_unasked(self._place)) is not None:
            number, bundle = kept
            said = "1 earlier answer of this cell is" if number == 1 else f"{number} earlier answers of this cell are"
            self._answer({**line_data((f"{said} kept",)), MIME_TYPE: bundle}, "kept", update=False)

    def _static(self) -> dict[str, str]:
        line = replace(self._line, settings=dict(self._options))
        data = _static(self._shared, line, self._text, self._place, chat=self._chat)
        return {**data, "text/html": self._page.over(data["text/html"], self._place.cell)}


def _static(shared: Shared, line: AskLine, text: str, place: Place, *, chat: str = "") -> dict[str, str]:
    """Return what a playground shows where it cannot be used, as ``text/html`` and ``text/plain``."""
    width = shared.outputs.width
    rows = [("line", ask_line(line.settings, line)), ("prompt", text)]
    data = table("Playground", ("", "what Run asks"), rows, most=width)
    numbered = shared.session.chats.conversation(chat or line.chat).numbered
    number = next((at for at, turn in numbered.items() if turn.place == place), None)
    if number is None:
        return data
    tried = attempts.as_table(number, numbered[number], facts.command_for(chat), width=width)
    return {kind: data[kind] + ("\n\n" if kind == "text/plain" else "") + tried[kind] for kind in data}
