"""Folded details of an answer: reasoning, tool calls and sources, all escaped."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from glm_magic.chat.messages import GrowingCall, ToolCall
from glm_magic.chat.reply import Source
from glm_magic.display import links, safe_text
from glm_magic.display.tables import cut, shorten

LONGEST_SHOWN = 20_000  # characters of arguments or of a result; the model sees more

_STYLE = "color: var(--jp-content-font-color2, #767676); font-size: var(--jp-ui-font-size1, 13px); padding: 0 0 0 11px"
_BODY_STYLE = "white-space: pre-wrap; overflow-wrap: anywhere"
# Shared by all calls of an output: there may be hundreds.
_CALLS_STYLE = f"{_STYLE}; {_BODY_STYLE}; font-family: var(--jp-code-font-family, monospace)"
_NAME_STYLE = "color: var(--jp-content-font-color1, inherit)"
_UNDER_STYLE = "padding-left: 14px"  # aligned with the name, which follows a triangle
_LONG_STYLE = "color: inherit; max-height: 24em; overflow-y: auto; margin: 2px 0 6px"
_FAULT_STYLE = "color: var(--jp-error-color1, #d32f2f)"
_SHORTEST = 0.05  # seconds; a shorter time is not shown
_MARKUP = 500  # characters of HTML for a call, roughly
_SHORT = 60  # characters of arguments, and of a result, in the summary line


@dataclass(frozen=True, slots=True)
class CallState:
    """The state of a tool call: `result` is None until there is one; `asks` means that it waits for approval.

    A call that `is_over` without a result was stopped, or never ran.
    """

    call: ToolCall | GrowingCall
    result: str | None = None
    seconds: float = 0.0
    failed: bool = False
    runs: bool = False
    asks: bool = False
    is_over: bool = False

    @property
    def length(self) -> int:
        """The approximate length of its HTML."""
        characters = self.call.length + len(self.result or "")
        return _MARKUP + 2 * min(characters, 2 * LONGEST_SHOWN)

    @property
    def name(self) -> str:
        """The call, in one line."""
        return f"{shorten(self.call.name)}({shorten(_in_short(self.call.arguments), _SHORT)})"

    @property
    def outcome(self) -> str:
        """Its outcome, in one line."""
        if self.is_over:
            return "stopped" if self.runs else "not run"
        if self.result is None:
            # true also in a file that is saved meanwhile; the line above the answer says what happens now
            return "no result yet" if self.runs else "not allowed yet" if self.asks else "…"
        took = f" · {self.seconds:.1f} s" if self.seconds >= _SHORTEST else ""
        return f"{shorten(self.result, _SHORT)}{took}"

    @property
    def is_open(self) -> bool:
        """Whether its details are open: there is more to read than its line shows, and no result yet."""
        if self.result is not None or self.is_over:
            return False
        return self.asks or (not self.runs and len(self.call.arguments) > _SHORT)


def thoughts(text: str) -> dict[str, str]:
    """Return the reasoning, by MIME type."""
    shown = safe_text.plain(text).strip("\n")
    summary = f"Thinking · {len(shown)} characters"
    body = f'<div class="{safe_text.NO_MATHS}" style="{_BODY_STYLE}">{html.escape(shown)}</div>'
    return {"text/html": _fold(summary, body), "text/plain": f"[{summary}]"}


def joined(calls: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Join tool calls that `fold_of_call` has rendered into one output, by MIME type."""
    page = "".join(call["text/html"] for call in calls)
    return {
        "text/html": f'<div class="{safe_text.NO_MATHS}" style="{_CALLS_STYLE}">{page}</div>',
        "text/plain": "\n".join(call["text/plain"] for call in calls),
    }


def line_of_call(call: CallState) -> str:
    """Return a call as one line of plain text."""
    return f"[{call.name} {'failed:' if call.failed else '→'} {call.outcome}]"


def asked_again(reason: str) -> str:
    """Return the line between an answer that does not fit and the next one."""
    return safe_text.one_line(f"The answer does not fit; asking again: {reason}")


def sources(found: Iterable[Source]) -> dict[str, str]:
    """Return the sources, by MIME type; each title is followed by the host that its link leads to."""
    found = list(found)
    items, lines = [], []
    for number, source in enumerate(found, 1):
        title = shorten(source.title or source.link, 200)
        about = [shorten(detail) for detail in (source.media, source.date) if detail]
        address = safe_text.one_line(source.link)
        host = links.host_of(address) if address.lower().startswith(("http://", "https://")) else ""
        link = f'<a href="{html.escape(address)}" target="_blank" rel="noopener noreferrer">{html.escape(host)}</a>'
        parts = [html.escape(title), *([link] if host else []), *map(html.escape, about)]
        items.append(f"<li>{' · '.join(parts)}</li>")
        lines.append(" · ".join([f"{number}. {title}", *([address] if host else []), *about]))
    summary = f"Sources · {len(found)}"
    body = f'<ol class="{safe_text.NO_MATHS}" style="margin: 0">{"".join(items)}</ol>'
    return {"text/html": _fold(summary, body, is_open=True), "text/plain": "\n".join([f"[{summary}]", *lines])}


def fold_of_call(shown: CallState) -> dict[str, str]:
    """Return a call as a fold, by MIME type; `joined` makes an output of several."""
    name, outcome = html.escape(shown.name), html.escape(shown.outcome)
    fault, mark = (f' style="{_FAULT_STYLE}"', "failed:") if shown.failed else ("", "→")
    details = _in_full("arguments", shown.call.arguments)
    if shown.result is not None:
        details += _in_full("error" if shown.failed else "result", shown.result)
    summary = f'<span style="{_NAME_STYLE}">{name}</span> <span{fault}>{mark} {outcome}</span>'
    opened = " open" if shown.is_open else ""
    page = f'<details{opened}><summary>{summary}</summary><div style="{_UNDER_STYLE}">{details}</div></details>'
    return {"text/html": page, "text/plain": line_of_call(shown)}


def _fold(summary: str, body: str, *, is_open: bool = False) -> str:
    opened = " open" if is_open else ""
    head = f'<summary class="{safe_text.NO_MATHS}">{summary}</summary>'
    return f'<details{opened} style="{_STYLE}">{head}{body}</details>'


def _in_short(arguments: str) -> str:
    """Return arguments as in a Python call, or as they are if they are not a JSON object."""
    read = _read(arguments)
    if not isinstance(read, dict):
        return arguments
    return ", ".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in read.items())


def _in_full(label: str, text: str) -> str:
    read = _read(text) if len(text) <= LONGEST_SHOWN else None
    shown = json.dumps(read, ensure_ascii=False, indent=2) if isinstance(read, (dict, list)) else text
    shown = cut(shown, LONGEST_SHOWN, "\n")
    return (
        f'{label}<pre style="{_LONG_STYLE}">{html.escape(safe_text.plain(shown))}</pre>'  # it needs no style to be read
    )


def _read(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
