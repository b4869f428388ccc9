"""Functions of the notebook as tools of a model: what is offered, and what the model's calls of it give."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from glm_magic.errors import OptionError, described, quoted
from glm_magic.tools.json_schema import listed, pydantic_faults
from glm_magic.tools.results import result_text
from glm_magic.tools.signatures import Call, Signature, signature

__all__ = ["MOST_TOOLS", "Call", "Outcome", "Tool", "ToolArgumentsError", "arguments", "checked", "result_text", "tool"]

MOST_TOOLS = 128  # confirmed: GLM takes no more functions than that

# Confirmed: what GLM lets a function be called.
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")

_TAKES = (
    "It takes a Python function of the notebook, or a tool that the service runs itself, as a dict in its form:\n"
    'search = {"type": "web_search", "web_search": {"enable": True}}'
)


class ToolArgumentsError(Exception):
    """The arguments of a call are not those of the function; ``str()`` tells the model which, and why."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a call: the `text` for the model, and whether it is an error."""

    text: str
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool as it is offered: its `name`, and in `api` what the request's field ``tools`` says of it.

    A `function` has its `signature`; without one, the tool is the service's own, and runs there.
    """

    name: str
    api: Mapping[str, Any]
    function: Callable[..., Any] | None = None
    signature: Signature | None = field(default=None, repr=False, compare=False)


def tool(value: object, name: str) -> Tool:
    """Return a value of the notebook as a tool; `name`, by which it was offered, is what the model calls it.

    GLM wants a description of every function. That is the docstring; where there is none, the function's own head,
    ``name(parameter, …)``, for nothing is made up. Raises `OptionError` if it can be no tool.
    """
    if isinstance(value, Mapping):
        return _of_the_service(value, name)
    if not callable(value):
        raise OptionError(f"-T {quoted(name)}: it is no function, but a value of the type {_type(value)}.", _TAKES)
    if not _NAME.fullmatch(name):
        raise OptionError(
            f"-T {quoted(name)}: a tool is called by at most 64 of the signs a-z, A-Z, 0-9, _ and -.",
            "Give it such a name: tool = the_function, -T tool",
        )
    takes = signature(value, name)
    head = f"{name}({', '.join(parameter.name for parameter in takes.parameters)})"
    function = {"name": name, "description": takes.description or head, "parameters": takes.schema}
    return Tool(name, _plain({"type": "function", "function": function}, name), value, takes)


def checked(tools: Iterable[Tool]) -> tuple[Tool, ...]:
    """Return the tools, if they can be offered together: at most 128, no name twice. Raises `OptionError`."""
    offered = tuple(tools)
    names = [one.name for one in offered]
    for name in names:
        if names.count(name) > 1:
            raise OptionError(f"-T {quoted(name)} is there twice.", "Name each tool once.")
    if len(offered) > MOST_TOOLS:
        raise OptionError(f"-T takes at most {MOST_TOOLS} tools, not {len(offered)}.")
    return offered


def arguments(tool: Tool, written: str) -> Call:
    """Return the call of a function that a model has written as JSON. Raises `ToolArgumentsError`, and nothing else.

    What models write in place of the right thing is taken where its meaning is plain: nothing at all for ``{}``;
    ``"3"`` and ``3.0`` for the whole number 3; ``"2.5"`` for 2.5; ``"true"``, ``"yes"``, ``"on"``, ``1`` and their
    opposites for a bool; a number for a date and time, in seconds (from 1970) for a duration; ``NaN``, which is no
    JSON, for a number; a list for a set or a tuple; the last of two values for the same name. Not taken are a number
    for a text, 3.5 for a whole number, JSON within a text, and names that the function does not have.
    """
    from pydantic import ValidationError  # noqa: PLC0415 - slow, and only needed for tools

    if tool.signature is None:
        raise ToolArgumentsError("This tool runs at the service.")
    try:
        return tool.signature.call(written if written.strip() else "{}")
    except ValidationError as error:
        why = listed([(fault["loc"], _fault(fault, tool.signature)) for fault in pydantic_faults(error)])
    except Exception as error:  # a validator of the person's own
        why = f"- {described(error)}"
    raise ToolArgumentsError(f"The arguments are not valid; the function was not called.\n{why}")


def _fault(fault: Mapping[str, Any], takes: Signature) -> str:
    if fault["type"] == "extra_forbidden" and len(fault["loc"]) == 1:
        names = ", ".join(parameter.name for parameter in takes.parameters)
        return f"There is no such argument. There are: {names}" if names else "There are no arguments"
    return str(fault["msg"])


def _of_the_service(value: Mapping[Any, Any], name: str) -> Tool:
    kind = value.get("type")
    if not isinstance(kind, str) or not kind:
        raise OptionError(f"-T {quoted(name)}: it is a dict without a type, and so no tool.", _TAKES)
    if kind == "function":
        raise OptionError(
            f"-T {quoted(name)}: it describes a function, and nothing of the notebook would run that.",
            "Offer the Python function itself: its type hints and docstring are the description.",
        )
    return Tool(name, _plain(dict(value), name))


def _plain(api: dict[str, Any], name: str) -> dict[str, Any]:
    """Return a copy that later changes do not reach, if it can be sent."""
    try:
        text = json.dumps(api, allow_nan=False, ensure_ascii=False)
        text.encode()
        copy: dict[str, Any] = json.loads(text)
    except (TypeError, ValueError, RecursionError) as error:
        raise OptionError(f"-T {quoted(name)}: it cannot be written as JSON: {quoted(str(error))}.") from None
    return copy


def _type(value: object) -> str:
    return type(value).__name__
