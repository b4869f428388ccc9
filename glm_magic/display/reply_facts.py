"""The facts about an answer, in short: who gave it, what was set for it, what it took, what is unusual about it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from glm_magic.chat.reply import Reply
from glm_magic.display.tables import shorten
from glm_magic.settings.declared import SETTINGS

OF_THE_STREAM = ("stream", "stream_options")  # how an answer comes, and not what it says

_LONGEST_FACT = 40
_ORDER = [name for name, setting in SETTINGS.items() if setting.field]
_SHORT = {"temperature": "t", "top_p": "p", "max_tokens": "max"}


def who(asked: str, reply: Reply | None, *, is_embedded: bool) -> str:
    """Return who answered; `asked` is the model that was asked."""
    model = reply.model if reply is not None else asked
    if is_embedded:
        return f"{model} (embedded, for trials only)"
    return model if model.lower() == asked.lower() else f"{asked} (answered by {model})"


def what_was_set(parameters: Mapping[str, Any], system: str) -> list[str]:
    """Return what was set for a request, in short: what nobody has set is not sent, and not named."""
    facts = []
    for name, value in in_order(parameters):
        match name:
            case _ if name == "model" or name in OF_THE_STREAM:  # who answers is said before
                pass
            case "response_format":
                facts.append("json")
            case "tools":
                facts.append(f"{len(value)} {'tool' if len(value) == 1 else 'tools'}")
            case "thinking" if value in ({"type": "enabled"}, {"type": "disabled"}):
                facts.append(f"think {'on' if value['type'] == 'enabled' else 'off'}")
            case "reasoning_effort" if isinstance(value, str):
                facts.append(f"think {value}")
            case "stop":
                facts.append(f"stop {', '.join(map(in_json, value))}")
            case _:
                facts.append(shorten(f"{_SHORT.get(name, name)} {in_json(value)}", _LONGEST_FACT))
    return [*facts, "system"] if system else facts


def in_order(parameters: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield parameters as they are declared, then others: those of a saved answer are sorted by name."""
    known = [name for name in _ORDER if name in parameters]
    return ((name, parameters[name]) for name in dict.fromkeys([*known, *parameters]))


def flaws(reply: Reply) -> list[str]:
    """Return what is unusual about a reply: interrupted, cut off, not kept, replayed."""
    found = []
    if reply.interrupted:
        found.append("interrupted")
    elif reply.finish_reason == "length":
        found.append("cut off at the token limit: raise --max-tokens")
    elif reply.finish_reason == "refusal":
        found.append("the model refused")
    elif reply.open_calls:
        names = ", ".join(call.name for call in reply.open_calls)
        found.append(f"called {names}, which was not run; not kept in the conversation")
    return [*found, "replayed"] if reply.replayed else found


def tokens(reply: Reply) -> list[str]:
    """Return how many tokens an answer took, and what it cost; nothing if that is not known."""
    if reply.usage is None:
        return []
    usage = reply.usage
    cached = f" ({usage.cached_tokens} cached)" if usage.cached_tokens else ""
    thought = f" ({usage.reasoning_tokens} thinking)" if usage.reasoning_tokens else ""
    cost = f", {reply.cost:.6f} {reply.currency}" if reply.cost else ""
    return [f"{usage.prompt_tokens} in{cached}, {usage.completion_tokens} out{thought}{cost}"]


def calls(reply: Reply) -> list[str]:
    """Return how many tools ran; nothing if none did."""
    ran = len(reply.tool_runs)
    return [f"{ran} tool {'call' if ran == 1 else 'calls'}"] if ran else []


def time(reply: Reply) -> str:
    """Return how long an answer took, in seconds."""
    first = reply.first_token_seconds
    return f"{reply.seconds:.1f} s" + (f" (first {first:.1f} s)" if first is not None else "")


def in_json(value: Any) -> str:
    """Return a parameter as JSON, a whole number without ``.0``."""
    return json.dumps(value, ensure_ascii=False).removesuffix(".0")
