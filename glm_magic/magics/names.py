"""What a cell offers to the model out of the notebook's names: functions as tools, types as schemas; and who agrees."""

from __future__ import annotations

import builtins
from collections.abc import Mapping
from typing import Any

from glm_magic.chat.messages import ToolCall
from glm_magic.errors import OptionError, SetupError, near_miss, printable, quoted
from glm_magic.tools import schemas
from glm_magic.tools.schemas import Schema
from glm_magic.tools.tool import Tool, ToolArgumentsError, arguments, checked, tool


def tools(names: str, scope: Mapping[str, Any], *, known: list[str], as_typed: str) -> tuple[Tool, ...]:
    """Return the tools that `names`, with commas between, are in the notebook. Raises `OptionError`.

    `known` are the names that may be meant, `as_typed` is where they were named.
    """
    offered = []
    for name in names.split(","):
        where = f"{as_typed} {quoted(name)}"
        offered.append(tool(_named(name, scope, known, where), name.rpartition(".")[2]))
    return checked(offered)


def schema(written: str, scope: Mapping[str, Any], *, json: bool = False) -> Schema | None:
    """Return the schema that ``--schema`` writes, or that of ``--json``; None without either. Raises `OptionError`."""
    if not written and not json:
        return None
    if json:
        return schemas.JSON
    try:
        value = eval(written, dict(scope))  # noqa: S307 - the person's own expression, in their own notebook
    except NameError as error:
        public = (name for name in scope if not name.startswith("_"))
        meant = near_miss(getattr(error, "name", None) or "", public)
        raise OptionError(f"--schema {quoted(written)}: {error}.", f"Did you mean {meant}?" if meant else "") from None
    except Exception as error:
        raise OptionError(f"--schema {quoted(written)}: {type(error).__name__}: {error}") from error
    return schemas.schema(value, written)


def _named(name: str, scope: Mapping[str, Any], known: list[str], where: str) -> object:
    """Return what a name, or a name and its attributes, is in the notebook."""
    first, *attributes = name.split(".")
    if first not in scope:
        meant = near_miss(first, known)
        raise OptionError(
            f"{where}: there is no {quoted(first)} in this notebook.",
            f"Did you mean {meant}?" if meant else "Define the function first, in a cell of its own.",
        )
    value = scope[first]
    for attribute in attributes:
        try:
            value = getattr(value, attribute)
        except AttributeError as error:
            raise OptionError(f"{where}: {error}.") from None
    return value


# --- agreeing -------------------------------------------------------------------------------------

_NOBODY = "--approve asks on the input line, and nobody can type there."
_REMEDY = "Run the cell in a notebook or a terminal, or leave --approve out."


def check_can_ask(shell: Any, *, background: bool) -> None:
    """Raise `CellError` or `SetupError` where nobody can be asked: in the background, or with no page."""
    if background:
        raise OptionError(
            "--approve asks on the input line, and in the background nobody is asked.",
            "Leave out --bg, or: %glm_config approve=off",
        )
    kernel = getattr(shell, "kernel", None)
    if kernel is not None and not getattr(kernel, "_allow_stdin", True):
        raise SetupError(_NOBODY, _REMEDY)


def approve(tool: Tool, call: ToolCall) -> ToolCall | None:
    """Ask on the input line whether a call may run; return it as it may run, None if it may not.

    The answers are y, n (also for nothing, or anything else) and e, which asks for other arguments.
    Raises `SetupError` where nobody can be asked.
    """
    try:
        while True:
            answer = _asked(f"Run {quoted(call.name)}({quoted(call.arguments)})? y, n, or e to edit the arguments [n] ")
            match answer.strip().lower():
                case "y" | "yes":
                    return call
                case "e" | "edit":
                    call = _edited(tool, call)
                case _:
                    return None
    except (EOFError, NotImplementedError) as error:  # of which StdinNotImplementedError is one
        raise SetupError(_NOBODY, _REMEDY) from error


def _edited(tool: Tool, call: ToolCall) -> ToolCall:
    fault = ""
    while True:
        written = _asked(f"{fault}Arguments as JSON (nothing: as they are): ")
        if not written.strip():
            return call
        try:
            arguments(tool, written)
        except ToolArgumentsError as error:
            fault = f"{quoted(str(error))} "
        else:
            return ToolCall(call.id, call.name, written)


def _asked(prompt: str) -> str:
    return builtins.input(printable(prompt))  # a kernel puts its own in its place
