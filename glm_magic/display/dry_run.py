"""A request that is not sent: its messages as text, and below them its exact JSON."""

from __future__ import annotations

import html
from collections.abc import Iterable, Iterator, Sequence

from glm_magic.chat.messages import Message
from glm_magic.display import safe_text

EXACTLY = "The exact request:"

_STYLE = "font-family: var(--jp-code-font-family, monospace); font-size: var(--jp-code-font-size, 13px)"
_TEXT_STYLE = (
    "white-space: pre-wrap; overflow-wrap: anywhere; border-left: 1px solid #9e9e9e; padding-left: 8px; "
    "margin: 2px 0 8px"
)
_JSON_STYLE = "white-space: pre-wrap; overflow-wrap: anywhere"


def dry_run(address: Sequence[str], messages: Iterable[Message], notes: Sequence[str], json: str) -> dict[str, str]:
    """Return a request as ``text/html``, where its JSON is folded, and as ``text/plain``, where it comes last."""
    texts = [(message.role, safe_text.plain(_text_of(message))) for message in messages]
    written = safe_text.plain(json)
    return {
        "text/html": f'<div class="{safe_text.NO_MATHS}" style="{_STYLE}">{"".join(_page(address, texts, notes))}'
        f'<details><summary>{EXACTLY}</summary><div style="{_JSON_STYLE}">{html.escape(written)}</div></details></div>',
        "text/plain": "\n".join(
            [
                *map(safe_text.plain, address),
                *(f"\n{role}:\n{_indented(text)}" for role, text in texts),
                "",
                *map(safe_text.plain, notes),
                "",
                EXACTLY,
                written,
            ]
        ),
    }


def _page(address: Sequence[str], texts: Iterable[tuple[str, str]], notes: Sequence[str]) -> Iterator[str]:
    for line in address:
        yield f"<div>{html.escape(safe_text.plain(line))}</div>"
    for role, text in texts:
        yield f'<div><b>{role}</b></div><div style="{_TEXT_STYLE}">{html.escape(text)}</div>'
    for line in notes:
        yield f"<div>{html.escape(safe_text.plain(line))}</div>"


def _text_of(message: Message) -> str:
    calls = [f"calls {call.name}({call.arguments})" for call in message.tool_calls]
    return "\n".join([*([message.content] if message.content or not calls else []), *calls])


def _indented(text: str) -> str:
    return "\n".join(f"    {line}".rstrip() for line in text.split("\n"))
