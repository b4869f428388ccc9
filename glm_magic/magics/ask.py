"""A cell or line of `%glm` becomes a question, and is answered, shown or put into the conversation."""

from __future__ import annotations

from typing import cast

from glm_magic.asking.question import Question
from glm_magic.chat.messages import Message, Role
from glm_magic.chat.place import Place
from glm_magic.chat.reply import Reply
from glm_magic.comparing.comparison import Comparison
from glm_magic.comparing.planned import Planned
from glm_magic.magics import answering, approving, comparing, facts, forecasts, planning
from glm_magic.magics.background import Pending
from glm_magic.magics.parsing import AskLine, read_ask_line
from glm_magic.magics.shared import Shared


def run(shared: Shared, written: str, cell: str | None) -> Reply | Pending | Comparison | None:
    """Do what a ``%glm`` line or a ``%%glm`` cell says; `written` is the line.

    Raises `GlmError` or `Interrupted`.
    """
    answering.check_no_tool_asks()
    this_run = shared.cells.run
    place = this_run.next_place()
    with shared.interrupts:
        with shared.before_asking(place):
            line = read_ask_line(written, shared.evaluate, is_cell=cell is not None)
            line = planning.completed(shared, line)
            shared.wait_for(line.chat, place)
            text = line.prompt if cell is None else this_run.as_typed(cell)
            if line.interact:
                from glm_magic.magics import playground  # noqa: PLC0415 - it loads the widgets

                playground.open_below(shared, line, text, place)
                return None
            plan = comparing.planned if line.compares else _planned
            asked = plan(shared, line, text, place)
            shared.interrupts.check()
        if isinstance(asked, Planned):
            return comparing.run(shared, asked, line)
        return answering.answer(shared, asked, line) if asked is not None else None


def _planned(shared: Shared, line: AskLine, text: str, place: Place) -> Question | None:
    """Return the question to ask; None if the cell asks nothing, and has done what it says instead."""
    if line.role != "user":
        _put_in(shared, planning.text(shared, line, text), line, place)
        return None
    question = shared.session.plan(planning.message(shared, line, text), place, planning.wishes(shared, line))
    if line.dry_run:
        shared.outputs.show(forecasts.dry_run(question, shared.session))
        shared.keep_on_page(place)
        return None
    if question.wishes.tools and question.settings["approve"] and question.recorded is None:
        approving.check_can_ask(shared.shell, background=line.background)
    return question


def _put_in(shared: Shared, text: str, line: AskLine, place: Place) -> None:
    if line.dry_run:
        shared.outputs.show_text(f"Would add a message of the role {line.role} to chat {line.chat}:\n{text}")
        return
    history = shared.session.history
    message = Message(cast("Role", line.role), text)
    attempt = history.put_in(message, place, chat=line.chat, new=line.new, replay=line.replay)
    view = shared.outputs.view(place, f"{line.role} message", quiet=line.quiet, at_once=True)
    view.settle(facts.ending_of_message(history, line.chat, place, attempt))
