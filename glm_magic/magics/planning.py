"""What a line and a cell's text ask for: the chat, the message, and the wishes of a question."""

from __future__ import annotations

from dataclasses import replace

from glm_magic.asking import documents
from glm_magic.asking.question import Wishes
from glm_magic.chat import prompt
from glm_magic.chat.messages import Message
from glm_magic.chat.place import ONE_SHOT
from glm_magic.errors import OptionError
from glm_magic.magics import names
from glm_magic.magics.parsing import AskLine
from glm_magic.magics.shared import Shared
from glm_magic.settings.declared import SETTINGS
from glm_magic.settings.presets import preset
from glm_magic.tools.tool import Tool


def completed(shared: Shared, line: AskLine) -> AskLine:
    """Return a line with the settings of its preset, and the chat that it asks in. Raises `CellError`."""
    held = preset(shared.files, line.presets[0]) if len(line.presets) == 1 else {}
    return replace(line, settings={**held, **line.settings}, chat=chat(shared, line))


def chat(shared: Shared, line: AskLine) -> str:
    """Return the chat that the cell asks in: that of the one-shot answers if it, or the setting, says so."""
    if line.role != "user":
        if line.chat == ONE_SHOT:
            raise OptionError(f"--role puts the cell into a conversation, and the chat {ONE_SHOT} is none.")
        return line.chat
    sends = shared.session.layers.find(SETTINGS["history"])[0] if line.history is None else line.history
    return line.chat if sends else ONE_SHOT


def message(shared: Shared, line: AskLine, text: str) -> Message:
    """Return the message of a cell's text. Raises `PromptError` if a template fails."""
    if line.raw:
        return Message("user", text)
    with shared.interrupts.acting_at_once():  # the expressions are the notebook's own code
        return prompt.message(text, prompt.value_evaluator(shared.names, documents.reader()))


def text(shared: Shared, line: AskLine, text: str) -> str:
    """Return a cell's text with its templates filled; images are errors. Raises `PromptError` if a template fails."""
    if line.raw:
        return text
    with shared.interrupts.acting_at_once():
        return prompt.fill(text, prompt.evaluator(shared.names, documents.reader()))


def wishes(shared: Shared, line: AskLine) -> Wishes:
    """Return what a line says besides the prompt. Raises `OptionError` for a tool or schema that is none."""
    with shared.interrupts.acting_at_once():  # the notebook's own code: an expression, or a property
        tools = _tools(shared, line)
        schema = names.schema(line.schema, shared.names, known=shared.known_names, json=line.json)
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
        in_batch=line.batch,
    )


def _tools(shared: Shared, line: AskLine) -> tuple[Tool, ...]:
    by_option = "tools" in line.settings
    named = line.settings["tools"] if by_option else shared.session.layers.find(SETTINGS["tools"])[0]
    if not named:
        return ()
    as_typed = "--tool" if by_option else "%glm_config tools"
    return names.tools(str(named), shared.names, known=shared.known_names, as_typed=as_typed)
