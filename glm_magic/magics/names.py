"""What a cell offers to the model out of the notebook's names: functions as tools, types as schemas."""

from __future__ import annotations

import typing
from collections.abc import Container, Iterable, Mapping
from typing import Any

from glm_magic.errors import OptionError, did_you_mean, quoted
from glm_magic.tools import schemas
from glm_magic.tools.schemas import Schema
from glm_magic.tools.tool import Tool, checked, tool
from glm_magic.tools.toolset import Toolset, tools_of

_DEFINE = "Define the function first, in a cell of its own."


def tools(names: str, scope: Mapping[str, Any], *, known: list[str], as_typed: str) -> tuple[Tool, ...]:
    """Return the tools that `names`, with commas between, are in the notebook. Raises `OptionError`.

    `known` are the names that may be meant, `as_typed` is where they were named.
    """
    offered: list[Tool] = []
    for name in names.split(","):
        value = _named(name, scope, known, as_typed)
        several = tools_of(value)
        offered += [tool(value, name.rpartition(".")[2])] if several is None else several
    return checked(offered)


def schema(written: str, scope: Mapping[str, Any], *, known: list[str], json: bool) -> Schema | None:
    """Return the schema that ``--schema`` writes, or that of ``--json``; None without either. Raises `OptionError`."""
    if not written and not json:
        return None
    if json:
        return schemas.JSON
    try:
        value = eval(written, dict(scope))  # noqa: S307 - the person's own expression, in their own notebook
    except NameError as error:
        hint = did_you_mean(error.name or "", known)
        raise OptionError(f"--schema {quoted(written)}: {error}.", hint) from None
    except Exception as error:
        raise OptionError(f"--schema {quoted(written)}: {type(error).__name__}: {error}") from error
    return schemas.schema(value, written)


def public(scope: Mapping[str, Any], hidden: Container[str]) -> list[str]:
    """Return the names of the notebook, without private ones and those `hidden` by IPython, which are its own."""
    return [name for name in scope if name not in hidden and not name.startswith("_")]


def is_tool(value: object) -> bool:
    """Whether a value looks like a tool: a function, a set of tools, or a dict in the form of the API."""
    if isinstance(value, (Tool, Toolset)):
        return True
    if isinstance(value, Mapping):
        kind = value.get("type")
        return isinstance(kind, str) and kind in value
    return _is_function(value)


def is_table(value: object) -> bool:
    """Whether a value looks like a table: a DataFrame, a list of dicts, or a dict of lists."""
    if isinstance(value, Mapping):
        return bool(value) and all(isinstance(column, (list, tuple)) for column in value.values())
    if isinstance(value, (list, tuple)):
        return bool(value) and isinstance(value[0], Mapping)
    return (
        hasattr(value, "columns")
        and not isinstance(value, type)
        and (hasattr(value, "to_dict") or hasattr(value, "to_dicts"))
    )


def is_score(value: object) -> bool:
    """Whether a value looks like a score: a function, or another value that can be called."""
    return _is_function(value)


def is_schema(value: object) -> bool:
    """Whether a value looks like a schema: a class with fields or members, a type made of others, or a JSON Schema."""
    if isinstance(value, Mapping):
        return not is_tool(value) and any(word in value for word in _JSON_SCHEMA_WORDS)
    return _is_type(value) and (not isinstance(value, type) or any(hasattr(value, mark) for mark in _SCHEMA_MARKS))


def _is_function(value: object) -> bool:
    return callable(value) and not _is_type(value)


def _is_type(value: object) -> bool:
    return isinstance(value, type) or typing.get_origin(value) is not None  # City, or list[City]


# pydantic's models, dataclasses, TypedDicts and Enums
_SCHEMA_MARKS = ("__pydantic_core_schema__", "__dataclass_fields__", "__required_keys__", "__members__")
_JSON_SCHEMA_WORDS = ("type", "properties", "enum", "const", "anyOf", "oneOf", "allOf", "$ref")


def scores(written: Iterable[str], scope: Mapping[str, Any], *, known: list[str]) -> dict[str, object]:
    """Return the values that ``--score`` names, by their names. Raises `OptionError` if there is none."""
    return {name.rpartition(".")[2]: _named(name, scope, known, "--score") for name in written}


def table(name: str, scope: Mapping[str, Any], *, known: list[str]) -> object:
    """Return the value that ``--each`` names. Raises `OptionError` if there is none."""
    return _named(name, scope, known, "--each", "Make the table first, in a cell of its own.")


def executor(name: str, scope: Mapping[str, Any], *, known: list[str]) -> object:
    """Return the value that ``--executor`` names. Raises `OptionError` if there is none."""
    return _named(name, scope, known, "--executor", "Make it first, in a cell of its own.")


def _named(name: str, scope: Mapping[str, Any], known: list[str], as_typed: str, hint: str = _DEFINE) -> object:
    """Return what a name, or a name and its attributes, is in the notebook."""
    where = f"{as_typed} {quoted(name)}"
    first, *attributes = name.split(".")
    if first not in scope:
        raise OptionError(f"{where}: there is no {quoted(first)} in this notebook.", did_you_mean(first, known, hint))
    value = scope[first]
    for attribute in attributes:
        try:
            value = getattr(value, attribute)
        except AttributeError as error:
            raise OptionError(f"{where}: {error}.") from None
    return value
