"""A cell or line of `%glm` becomes a question, and is answered, shown or put into the conversation."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

from glm_magic.asking.chats import ONE_SHOT
from glm_magic.asking.question import Question, Wishes
from glm_magic.chat import prompt
from glm_magic.chat.messages import Message, Role
from glm_magic.chat.place import Place
from glm_magic.chat.reply import Reply
from glm_magic.comparing.comparison import Comparison
from glm_magic.errors import Interrupted, OptionError
from glm_magic.magics import answering, approving, comparing, facts, forecasts, names
from glm_magic.magics.background import Pending
from glm_magic.magics.parsing import AskLine, read_ask_line
from glm_magic.magics.shared import Shared
from glm_magic.settings import presets
from glm_magic.settings.declared import SETTINGS, Value
from glm_magic.tools.tool import Tool


def run(shared: Shared, written: str, cell: str | None) -> Reply | Pending | Comparison | None:
    """Do what a ``%glm`` line or a ``%%glm`` cell says; `written` is the line.

    Raises `GlmError` or `Interrupted`.
    """
    answering.check_no_tool_asks()
    this_run = shared.cells.run
    place = this_run.next_place()
    with shared.interrupts:
        try:
            line = read_ask_line(written, shared.evaluate, is_cell=cell is not None)
            line = replace(line, settings={**_preset(shared, line), **line.settings}, chat=_chat(shared, line))
            shared.wait_for("" if line.chat == ONE_SHOT else line.chat, place)
            text = line.prompt if cell is None else this_run.as_typed(cell)
            if line.compares:
                compared = comparing.planned(shared, line, text, place, _wishes(shared, line))
                question = None
            else:
                compared, question = None, _planned(shared, line, text, place)
            shared.interrupts.check()
        except BaseException as error:
            shared.keep_on_page(place)
            if isinstance(error, KeyboardInterrupt) and not isinstance(error, Interrupted):
                raise Interrupted("Stopped. Nothing was sent.") from None
            raise
        if compared is not None:
            return comparing.run(shared, compared, line)
        return answering.answer(shared, question, line) if question is not None else None


def _planned(shared: Shared, line: AskLine, text: str, place: Place) -> Question | None:
    """Return the question to ask; None if the cell asks nothing, and has done what it says instead."""
    if line.role != "user":
        _put_in(shared, text if line.raw else prompt.fill(text, shared.evaluate), line, place)
        return None
    question = shared.session.plan(_message(shared, line, text), place, _wishes(shared, line))
    if line.dry_run:
        shared.outputs.show(dict(forecasts.dry_run(question, shared.session)))
        shared.keep_on_page(place)
        return None
    if question.wishes.tools and question.settings["approve"] and question.recorded is None:
        approving.check_can_ask(shared.shell, background=line.background)
    return question


def _preset(shared: Shared, line: AskLine) -> dict[str, Value]:
    files = shared.session.layers.files
    return presets.preset(files, line.preset) if line.preset and files is not None else {}


def _chat(shared: Shared, line: AskLine) -> str:
    """Return the chat that the cell asks in: that of the one-shot answers if it, or the setting, says so."""
    if line.role != "user":
        if line.chat == ONE_SHOT:
            raise OptionError(f"--role puts the cell into a conversation, and the chat {ONE_SHOT} is none.")
        return line.chat
    sends = shared.session.layers.find(SETTINGS["history"])[0] if line.history is None else line.history
    return line.chat if sends else ONE_SHOT


def _message(shared: Shared, line: AskLine, text: str) -> Message:
    if line.raw:
        return Message("user", text)
    with shared.interrupts.acting_at_once():  # the expressions are the notebook's own code
        return prompt.message(text, prompt.value_evaluator(shared.names))


def _wishes(shared: Shared, line: AskLine) -> Wishes:
    with shared.interrupts.acting_at_once():  # the notebook's own code: an expression, or a property
        tools, schema = _tools(shared, line), names.schema(line.schema, shared.names, json=line.json)
    return Wishes(
        chat=line.chat,
        options=line.settings,
        extra=line.extra,
        tools=tools,
        schema=schema,
        new=line.new,
        stream=line.stream,
        replay=False if line.dry_run else line.replay,
        dry_run=line.dry_run,
    )


def _tools(shared: Shared, line: AskLine) -> tuple[Tool, ...]:
    by_option = "tools" in line.settings
    named = line.settings["tools"] if by_option else shared.session.layers.find(SETTINGS["tools"])[0]
    if not named:
        return ()
    known = names.public(shared.names, shared.shell.user_ns_hidden)
    return names.tools(str(named), shared.names, known=known, as_typed="--tool" if by_option else "%glm_config tools")


def _put_in(shared: Shared, text: str, line: AskLine, place: Place) -> None:
    if line.dry_run:
        shared.outputs.show_text(f"Would add a message of the role {line.role} to chat {line.chat}:\n{text}")
        return
    history = shared.session.history
    message = Message(cast("Role", line.role), text)
    attempt = history.put_in(message, place, chat=line.chat, new=line.new, replay=line.replay)
    view = shared.outputs.view(place, f"{line.role} message", quiet=line.quiet, at_once=True)
    view.settle(facts.ending_of_message(history, line.chat, place, attempt))
