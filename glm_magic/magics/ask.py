"""A cell or line of `%glm` becomes a question, and is answered, shown or put into the conversation."""

from __future__ import annotations

from typing import cast

from glm_magic.asking.question import Question, Wishes
from glm_magic.chat import prompt
from glm_magic.chat.messages import Message, Role
from glm_magic.chat.place import Place
from glm_magic.chat.reply import Reply
from glm_magic.errors import Interrupted
from glm_magic.magics import answering, facts, names
from glm_magic.magics.background import Pending
from glm_magic.magics.parsing import AskLine, read_ask_line
from glm_magic.magics.shared import Shared
from glm_magic.settings.declared import SETTINGS
from glm_magic.tools.tool import Tool


def run(shared: Shared, line: str, cell: str | None) -> Reply | Pending | None:
    """Do what a ``%glm`` line, or a ``%%glm`` cell, says. Raises `GlmError` or `Interrupted`."""
    answering.check_no_tool_asks()
    this_run = shared.cells.run
    place = this_run.next_place()
    with shared.interrupts:
        try:
            said = read_ask_line(line, shared.evaluate, is_cell=cell is not None)
            shared.wait_for(said.chat if said.history else "", place)
            text = said.prompt if cell is None else this_run.as_typed(cell)
            question = _planned(shared, said, text, place)
            shared.interrupts.check()
        except Interrupted:
            raise
        except KeyboardInterrupt:
            raise Interrupted("Stopped. Nothing was sent.") from None
        return answering.answer(shared, question, said) if question is not None else None


def _planned(shared: Shared, said: AskLine, text: str, place: Place) -> Question | None:
    """Return the question to ask; None if the cell asks nothing, and has done what it says instead."""
    if said.role != "user":
        _put_in(shared, text if said.raw else prompt.fill(text, shared.evaluate), said, place)
        return None
    question = shared.session.plan(_message(shared, said, text), place, _wishes(shared, said))
    if said.dry_run:
        shared.outputs.show_text(facts.dry_run(question))
        return None
    if question.wishes.tools and question.settings["approve"] and question.recorded is None:
        names.check_can_ask(shared.shell, background=said.background)
    return question


def _message(shared: Shared, said: AskLine, text: str) -> Message:
    if said.raw:
        return Message("user", text)
    with shared.interrupts.acting_at_once():  # the expressions are the notebook's own code
        return prompt.message(text, prompt.value_evaluator(shared.names))


def _wishes(shared: Shared, said: AskLine) -> Wishes:
    return Wishes(
        chat=said.chat,
        options=said.settings,
        extra=said.extra,
        tools=_tools(shared, said),
        schema=names.schema(said.schema, shared.names, json=said.json),
        new=said.new,
        keep=said.history,
        stream=said.stream,
        replay=False if said.dry_run else said.replay,
        dry_run=said.dry_run,
    )


def _tools(shared: Shared, said: AskLine) -> tuple[Tool, ...]:
    by_option = "tools" in said.settings
    named = said.settings["tools"] if by_option else shared.session.layers.find(SETTINGS["tools"])[0]
    if not named:
        return ()
    scope, hidden = shared.names, shared.shell.user_ns_hidden
    known = [name for name in scope if name not in hidden and not name.startswith("_")]
    return names.tools(str(named), scope, known=known, as_typed="--tool" if by_option else "%glm_config tools")


def _put_in(shared: Shared, text: str, said: AskLine, place: Place) -> None:
    if said.dry_run:
        shared.outputs.show_text(f"Would add a message of the role {said.role} to chat {said.chat}:\n{text}")
        return
    history = shared.session.history
    message = Message(cast("Role", said.role), text)
    attempt = history.put_in(message, place, chat=said.chat, new=said.new, replay=said.replay)
    view = shared.outputs.view(place, f"{said.role} message", quiet=said.quiet, at_once=True)
    view.settle(facts.ending_of_message(history, said.chat, place, attempt))
