"""Tools that somebody else describes, by name and JSON Schema: they are offered together, or one by one."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from glm_magic.errors import OptionError, SetupError, did_you_mean, quoted
from glm_magic.tools.json_schema import checked_json_schema, faults_by_json_schema, listed
from glm_magic.tools.signatures import Call
from glm_magic.tools.tool import Tool, ToolArgumentsError, plain

_LONGEST_NAME = 64
_NOT_IN_A_NAME = re.compile(r"[^a-zA-Z0-9_-]")


class Toolset:
    """Tools by name. Each is an attribute as well: ``files.read_file``."""

    @property
    def tools(self) -> Mapping[str, Tool]:
        """The tools by the names under which the model calls them."""
        raise NotImplementedError

    def __getattr__(self, name: str) -> Tool:
        if name.startswith("_"):  # of which copy and pickle ask for many
            raise AttributeError(name)
        try:
            tools = self.tools
        except SetupError as error:
            raise AttributeError(error.what.rstrip(".")) from None
        if name in tools:
            return tools[name]
        hint = did_you_mean(name, tools, f"There are: {', '.join(tools) or 'none'}")
        raise AttributeError(f"it has no tool {quoted(name)}. {hint.rstrip('.')}")


@dataclass(frozen=True, slots=True)
class Described:
    """The arguments of a tool that is described by a JSON Schema; one that cannot check anything lets all pass."""

    schema: Mapping[str, Any]
    _checks: dict[str, Any] | None = field(repr=False)

    def call(self, arguments: str) -> Call:
        """Check the JSON text of arguments. Raises `ToolArgumentsError`."""
        try:
            given = json.loads(arguments)
        except (ValueError, RecursionError) as error:
            raise ToolArgumentsError(f"The arguments are not JSON: {quoted(str(error))}") from None
        if not isinstance(given, dict):
            raise ToolArgumentsError("The arguments are not a JSON object.")
        if self._checks is not None and (faults := faults_by_json_schema(self._checks, given)):
            raise ToolArgumentsError(f"The arguments are not valid; the tool was not called.\n{listed(faults)}")
        return Call((), given)


def described(name: str, description: str, schema: Mapping[str, Any], function: Callable[..., Any]) -> Tool:
    """Return a tool with a JSON Schema for its arguments, which is sent as it is.

    GLM requires a description: without one it is ``name(parameter, …)``. Raises `OptionError` if it cannot be sent.
    """
    try:
        checks = checked_json_schema(schema)
    except (TypeError, ValueError):  # whoever runs it checks them
        checks = None
    properties = schema.get("properties")
    head = f"{name}({', '.join(properties) if isinstance(properties, dict) else ''})"
    api = {"name": name, "description": description.strip() or head, "parameters": dict(schema)}
    offered = plain({"type": "function", "function": api}, name)
    return Tool(name, offered, function, Described(schema, checks))


def valid_name(name: str, taken: Mapping[str, Any]) -> str:
    """Return a name that GLM allows for a tool, and that is not `taken`: as like `name` as may be."""
    first = _NOT_IN_A_NAME.sub("_", name)[:_LONGEST_NAME] or "tool"
    found, number = first, 1
    while found in taken:
        number += 1
        found = f"{first[: _LONGEST_NAME - len(str(number)) - 1]}_{number}"
    return found


def tools_of(value: object) -> tuple[Tool, ...] | None:
    """Return the tools that `value` is, if it is one that is described already, or a set of them; else None.

    Raises `OptionError` for a set without any.
    """
    if isinstance(value, Tool):
        return (value,)
    if not isinstance(value, Toolset):
        return None
    found = tuple(value.tools.values())
    if not found:
        raise OptionError(f"{quoted(repr(value))} has no tools.")
    return found
