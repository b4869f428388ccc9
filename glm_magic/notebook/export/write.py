"""Exporting conversations to a file: to read, to train on, or to ask the last question again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from glm_magic.chat.attempt import Attempt
from glm_magic.chat.messages import Message
from glm_magic.errors import HistoryError
from glm_magic.notebook.export.script import json_text, python, shell
from glm_magic.notebook.export.transcript import markdown, notebook
from glm_magic.notebook.files import write_atomically
from glm_magic.protocol.request import reads_text_only, without_images

FORMATS = (".ipynb", ".jsonl", ".md", ".py", ".sh")


def export(
    path: Path,
    conversations: Mapping[str, tuple[Attempt, ...]],
    *,
    base_url: str,
    neutralise: Callable[[str], str],
    force: bool = False,
) -> None:
    """Write the attempts of each chat to `path`, in the format given by its suffix.

    Only ``.jsonl`` takes more than one chat. The scripts ask at `base_url` unless the environment names another
    (with ``""`` it has to). `neutralise` returns Markdown that cannot run anything. Raises `HistoryError` if the
    suffix is unknown, there is nothing to export, the file exists and not `force`, or it cannot be written.
    """
    suffix = path.suffix.lower()
    if suffix not in FORMATS:
        raise HistoryError(f"{path} has no known format.", f"Use one of: {' '.join(FORMATS)}")
    used = {chat: attempts for chat, attempts in conversations.items() if any(made.messages for made in attempts)}
    if not used:
        raise HistoryError("There is nothing to export: no turn has an answer.", "%glm_history shows the conversation.")
    if suffix == ".jsonl":
        write_atomically(path, "".join(_lines(used)), force=force)
        return
    [(chat, attempts)] = used.items()
    match suffix:
        case ".ipynb":
            text = notebook(chat, attempts, neutralise)
        case ".md":
            text = markdown(chat, attempts, neutralise)
        case ".py":
            text = python(_last_request(attempts), base_url)
        case _:
            text = shell(_last_request(attempts), base_url)
    write_atomically(path, text, force=force, executable=suffix == ".sh")


def _stretches(attempts: tuple[Attempt, ...]) -> list[list[Attempt]]:
    """Split the attempts at each boundary; nothing before a boundary was sent with what follows it."""
    stretches: list[list[Attempt]] = []
    for attempt in attempts:
        if attempt.new or not stretches:
            stretches.append([])
        stretches[-1].append(attempt)
    return stretches


def _sent(system: str, attempts: list[Attempt]) -> list[Message]:
    leading = [Message("system", system)] if system else []
    return [*leading, *(message for made in attempts for message in made.messages)]


def _asked(attempts: list[Attempt] | tuple[Attempt, ...]) -> list[int]:
    return [at for at, attempt in enumerate(attempts) if attempt.role == "user" and attempt.messages]


def _last_request(attempts: tuple[Attempt, ...]) -> dict[str, Any]:
    """Return the request body that asks the last question again."""
    asked = _asked(attempts)
    if not asked:
        raise HistoryError("There is no question to ask again in this chat.")
    last = attempts[asked[-1]]
    before = _stretches(attempts[: asked[-1] + 1])[-1][:-1]
    body = {"model": last.model, **last.parameters}
    messages = _sent(last.system, before)
    if reads_text_only(str(body["model"])):
        messages = without_images(messages)
    return {**body, "messages": [message.to_api() for message in (*messages, last.messages[0])]}


def _lines(conversations: Mapping[str, tuple[Attempt, ...]]) -> Iterator[str]:
    for attempts in conversations.values():
        for stretch in _stretches(attempts):
            asked = _asked(stretch)
            messages = _sent(stretch[asked[-1]].system if asked else "", stretch)
            if messages:
                line: dict[str, Any] = {"messages": [message.to_api() for message in messages]}
                if tools := _tools(stretch):
                    line["tools"] = tools
                yield json_text(line) + "\n"


def _tools(attempts: list[Attempt]) -> list[Any]:
    """Return the tools that were offered, each once: a training line with calls needs their definitions."""
    offered: list[Any] = []
    for attempt in attempts:
        tools = attempt.parameters.get("tools")
        offered += [tool for tool in (tools if isinstance(tools, list) else ()) if tool not in offered]
    return offered
