"""A conversation as Markdown for people to read: one text, or the cells of a notebook."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from glm_magic.chat.attempt import Attempt
from glm_magic.chat.code import fenced
from glm_magic.errors import quoted
from glm_magic.notebook.ipynb import markdown_notebook


def markdown(chat: str, attempts: tuple[Attempt, ...], neutralise: Callable[[str], str]) -> str:
    """Return the transcript as one text; `neutralise` returns Markdown that cannot run anything."""
    text = "\n\n".join(text for _, text in _pieces(chat, attempts, neutralise))
    # again as a whole: a piece that is harmless alone may not be after one that left a block open
    return neutralise(text) + "\n"


def notebook(chat: str, attempts: tuple[Attempt, ...], neutralise: Callable[[str], str]) -> str:
    """Return the transcript as an .ipynb of Markdown cells; equal attempts give an equal file."""
    return markdown_notebook(_pieces(chat, attempts, neutralise))


def _pieces(chat: str, attempts: tuple[Attempt, ...], neutralise: Callable[[str], str]) -> Iterator[tuple[str, str]]:
    """Yield the transcript as pieces of neutralised Markdown, each with an id."""
    models = ", ".join(dict.fromkeys(_model(made) for made in attempts if _model(made)))
    yield "title", neutralise(f"# Chat {quoted(chat)}" + (f"\n\n{models}" if models else ""))
    system = ""
    for number, attempt in enumerate(attempts, start=1):
        if attempt.new and number > 1:
            system = ""
            yield f"turn-{number}-new", "---\n\n**New conversation**: nothing above is sent with the turns below."
        if attempt.role == "user" and attempt.system != system:
            system = attempt.system
            shown = _verbatim(system) if system else "(none from here on)"
            yield f"turn-{number}-system", neutralise(f"**System**\n\n{shown}").rstrip("\n")
        for part, (label, text) in enumerate(_labelled(attempt), start=1):
            yield f"turn-{number}-message-{part}", neutralise(f"**{label}**\n\n{text}").rstrip("\n")


def _labelled(attempt: Attempt) -> Iterator[tuple[str, str]]:
    """Yield a label and the Markdown of each message. Only answers are rendered; all else is shown exactly as sent.

    An image is shown as its placeholder, so that a reader's page fetches nothing.
    """
    for message in attempt.messages:
        match message.role:
            case "user":
                yield "Prompt", _verbatim(message.content)
            case "assistant" if attempt.role == "user":
                calls = "\n\n".join(_verbatim(f"{call.name}({call.arguments})") for call in message.tool_calls)
                ending = ", interrupted" if attempt.interrupted and message is attempt.messages[-1] else ""
                label = f"{'Tool calls' if calls else 'Answer'} ({_model(attempt)}{ending})"
                yield label, "\n\n".join(filter(None, (_with_fence_closed(message.content), calls)))
            case "assistant":
                yield "Assistant message (--role)", _with_fence_closed(message.content)
            case "system":
                yield "System message (--role)", _verbatim(message.content)
            case "tool":
                yield "Tool result", _verbatim(message.content)


def _model(attempt: Attempt) -> str:
    return quoted(attempt.model or str(attempt.parameters.get("model", "")))


def _verbatim(text: str) -> str:
    return fenced("text", f"{text}\n").rstrip("\n")


def _with_fence_closed(text: str) -> str:
    """Return an answer with its code block closed if it was cut off inside one; all that follows would be code."""
    marks = ""
    for line in text.splitlines():
        if marks and re.fullmatch(rf" {{0,3}}{marks[0]}{{{len(marks)},}}[ \t]*", line):
            marks = ""
        elif not marks and (opening := re.match(r"`{3,}(?!.*`)|~{3,}", line)):
            marks = opening[0]
    return f"{text}\n{marks}" if marks else text
