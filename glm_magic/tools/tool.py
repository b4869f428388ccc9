"""The tools that a model may call: functions of the notebook, and tools that the service runs itself."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from glm_magic.errors import OptionError, described, quoted
from glm_magic.tools.json_schema import listed, pydantic_faults
from glm_magic.tools.signatures import Call, Signature, signature

MOST_TOOLS = 128  # confirmed: GLM takes at most so many functions

# Confirmed: the names that GLM allows for a function.
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")

_TAKES = (
    "A tool is a Python function of the notebook, or, as a dict, a tool that the service runs itself:\n"
    'search = {"type": "web_search", "web_search": {"enable": True}}'
)


class ToolArgumentsError(Exception):
    """The arguments of a call do not fit the function; ``str()`` tells the model which, and why."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a call: the `text` for the model, and whether it is an error."""

    text: str
    failed: bool = False


class Takes(Protocol):
    """What a tool takes."""

    def call(self, arguments: str) -> Call:
        """Return the call of the JSON text of arguments, checked."""


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool as it is offered: its `name`, and its entry `api` in the request's field ``tools``.

    A tool without `function` and `signature` is the service's own, and runs there.
    """

    name: str
    api: Mapping[str, Any]
    function: Callable[..., Any] | None = None
    signature: Takes | None = field(default=None, repr=False, compare=False)


def tool(value: object, name: str) -> Tool:
    """Return a value of the notebook as a tool, which the model calls by `name`.

    GLM requires a description of every function: the docstring, or without one ``name(parameter, …)``. Raises
    `OptionError` if the value cannot be a tool.
    """
    if isinstance(value, Mapping):
        return _of_the_service(value, name)
    if not callable(value):
        raise OptionError(f"-T {quoted(name)}: expected a function, got {type(value).__name__}.", _TAKES)
    if not _NAME.fullmatch(name):
        raise OptionError(
            f"-T {quoted(name)}: the name of a tool has at most 64 characters of a-z, A-Z, 0-9, _ and -.",
            "Give it another name: tool = the_function, -T tool",
        )
    takes = signature(value, name)
    head = f"{name}({', '.join(parameter.name for parameter in takes.parameters)})"
    function = {"name": name, "description": takes.description or head, "parameters": takes.schema}
    return Tool(name, plain({"type": "function", "function": function}, name), value, takes)


def checked(tools: Iterable[Tool]) -> tuple[Tool, ...]:
    """Return the tools. Raises `OptionError` if there are more than 128, or two of the same name."""
    offered = tuple(tools)
    if len(offered) > MOST_TOOLS:
        raise OptionError(f"-T takes at most {MOST_TOOLS} tools, not {len(offered)}.")
    names = [one.name for one in offered]
    for name in names:
        if names.count(name) > 1:
            raise OptionError(f"-T {quoted(name)} is given twice.", "Name each tool once.")
    return offered


def arguments(tool: Tool, written: str) -> Call:
    """Validate the arguments that a model has written as JSON. Raises `ToolArgumentsError`, and nothing else.

    Common deviations of models are accepted if their meaning is clear: empty text for ``{}``; ``"3"`` and ``3.0`` for
    the int 3; ``"2.5"`` for 2.5; ``"true"``, ``"yes"``, ``"on"``, ``1`` and their opposites for a bool; a number for a
    datetime, or in seconds for a timedelta; ``NaN``, which JSON does not have; a list for a set or a tuple; the last
    of two values for the same name. A number for a text, 3.5 for an int, JSON within a text, and unknown names are
    refused.
    """
    from pydantic import ValidationError  # noqa: PLC0415 - slow, and needed only for tools

    if tool.signature is None:
        raise ToolArgumentsError("The service runs this tool itself.")
    try:
        return tool.signature.call(written if written.strip() else "{}")
    except ValidationError as error:
        assert isinstance(tool.signature, Signature), "pydantic checks functions alone"
        why = listed([(fault["loc"], _fault(fault, tool.signature)) for fault in pydantic_faults(error)])
    except (KeyboardInterrupt, ToolArgumentsError):
        raise
    except BaseException as error:  # from a validator of the person's own; SystemExit must not end the cell
        why = f"- {described(error)}"
    raise ToolArgumentsError(f"The arguments are not valid; the function was not called.\n{why}")


def _fault(fault: Mapping[str, Any], takes: Signature) -> str:
    if fault["type"] == "extra_forbidden" and len(fault["loc"]) == 1:
        names = ", ".join(parameter.name for parameter in takes.parameters)
        return f"Unknown argument. The arguments are: {names}" if names else "Unknown argument. It takes none"
    return str(fault["msg"])


def _of_the_service(value: Mapping[Any, Any], name: str) -> Tool:
    kind = value.get("type")
    if not isinstance(kind, str) or not kind:
        raise OptionError(f"-T {quoted(name)}: expected a function, got a dict without a type.", _TAKES)
    if kind == "function":
        raise OptionError(
            f"-T {quoted(name)}: it describes a function, but there is nothing to run.",
            "Offer the Python function itself; its type hints and docstring describe it.",
        )
    return Tool(name, plain(dict(value), name))


def plain(api: dict[str, Any], name: str) -> dict[str, Any]:
    """Return a deep copy as plain JSON. Raises `OptionError` if it cannot be sent."""
    try:
        text = json.dumps(api, allow_nan=False, ensure_ascii=False)
        text.encode()
        copy: dict[str, Any] = json.loads(text)
    except (TypeError, ValueError, RecursionError) as error:
        raise OptionError(f"-T {quoted(name)}: it cannot be written as JSON: {quoted(str(error))}.") from None
    return copy
