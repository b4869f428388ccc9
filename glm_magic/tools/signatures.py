"""What a Python function takes from a model, read from its signature, type hints and docstring."""

from __future__ import annotations

import collections.abc
import inspect
import json
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from inspect import Parameter
from typing import Any

from glm_magic.errors import OptionError, quoted
from glm_magic.tools.docstrings import documentation
from glm_magic.tools.json_schema import json_schema_of, tidied, with_known_typed_dicts

_IN_A_FUNCTION = "Offer a function around it that takes text, numbers, lists, dicts, dataclasses or pydantic models."


@dataclass(frozen=True, slots=True)
class Call:
    """The arguments of one call as they were validated, ready for the function."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Signature:
    """What a function says of itself: `description`, ``""`` if it has no docstring, and what it takes.

    `schema` is the JSON Schema of its arguments. `model` is a pydantic class whose n-th field, ``argument_n``, is
    the n-th of the `parameters`.
    """

    description: str
    schema: Mapping[str, Any]
    parameters: tuple[Parameter, ...]
    model: Any

    def call(self, arguments: str) -> Call:
        """Return the call that JSON text writes. Raises what pydantic and the person's own validators raise."""
        checked = self.model.model_validate_json(arguments)
        given: dict[str, Any] = {}
        for number, parameter in enumerate(self.parameters):
            field = f"argument_{number}"
            # what is not given is left to the function's own default, but to those that pydantic knows alone
            if field in checked.model_fields_set or not _has_default(parameter):
                given[parameter.name] = getattr(checked, field)
        positional = [parameter for parameter in self.parameters if parameter.kind is Parameter.POSITIONAL_ONLY]
        while positional and positional[-1].name not in given:
            positional.pop()
        args = tuple(given.pop(parameter.name, parameter.default) for parameter in positional)
        return Call(args, given)


def signature(function: Callable[..., Any], name: str) -> Signature:
    """Return what a function takes from a model; `name` is what the person called it.

    * A parameter without a hint takes any JSON. One whose default is None takes null, whatever its hint.
    * What a `functools.partial` has bound is the person's, and not offered.
    * ``**kwargs`` are not offered: what they may be is written nowhere, so the model would make names up, and could
      give again what a partial has bound. ``*args`` are refused, for JSON arguments have names.
    * A default that JSON cannot write is not told; it holds nevertheless.

    Raises `OptionError` if it cannot be called by a model.
    """
    parameters = _offered(function, name)
    said = documentation(_docstring(function), (parameter.name for parameter in parameters))
    names = _globals(function)

    def fields(numbered: list[tuple[int, Parameter]]) -> dict[str, Any]:
        return {f"argument_{number}": _field(one, names, said.parameters.get(one.name, "")) for number, one in numbered}

    numbered = list(enumerate(parameters))
    try:
        model, schema = _built(fields(numbered))
    except Exception:
        for one in numbered:
            try:
                _built(fields([one]))
            except Exception as error:  # whatever a hint, a class of the person's own, or its library does not like
                raise _no_json(name, one[1], error) from None
        raise
    return Signature(said.description, schema, parameters, model)


def _offered(function: Callable[..., Any], name: str) -> tuple[Parameter, ...]:
    """Return the parameters that the model may give."""
    try:
        all_of_them = inspect.signature(function).parameters
    except (TypeError, ValueError, NameError) as error:  # some that are written in C do not tell
        why = quoted(str(error)).rstrip(".")
        raise OptionError(f"-T {name}: what it takes is not known: {why}.", _IN_A_FUNCTION) from None
    bound = function.keywords if isinstance(function, partial) else {}
    offered = []
    for parameter in all_of_them.values():
        if parameter.kind is Parameter.VAR_POSITIONAL:
            raise OptionError(
                f"-T {name}: it takes *{parameter.name}, and a model gives every argument by its name.",
                "Take a list in their place, or offer a function around it whose parameters have names.",
            )
        if parameter.kind is not Parameter.VAR_KEYWORD and parameter.name not in bound:
            offered.append(parameter)
    if offered and offered[0].name in ("self", "cls") and _is_of_a_class(function):
        raise OptionError(
            f"-T {name}: it is a method without its object.", "Offer that of an object: tool = thing.method, -T tool"
        )
    return tuple(offered)


def _is_of_a_class(function: Callable[..., Any]) -> bool:
    outer = getattr(function, "__qualname__", "").rpartition(".")[0]
    return inspect.isfunction(function) and bool(outer) and not outer.endswith("<locals>")


def _inner(function: Any) -> Any:
    """Return the function that is written with ``def`` or ``class``, behind partials, methods and decorators."""
    while True:
        if isinstance(function, partial):
            function = function.func
        elif inspect.ismethod(function):
            function = function.__func__
        elif hasattr(function, "__wrapped__"):
            function = function.__wrapped__
        else:
            return function


def _docstring(function: Callable[..., Any]) -> str | None:
    """Return the docstring of a function; of an object that can be called, that of its ``__call__`` comes first."""
    outer = function
    while isinstance(outer, partial):  # its own docstring is that of `partial`
        outer = outer.func
    if isinstance(outer, type) or inspect.isroutine(outer) or hasattr(outer, "__wrapped__"):
        return inspect.getdoc(outer)
    of_call: str | None = type(outer).__call__.__doc__  # `getdoc` would find that of `type` itself
    return of_call or inspect.getdoc(type(outer))


def _globals(function: Callable[..., Any]) -> dict[str, Any]:
    """Return the names among which a function's hints were written: in a notebook's cell, those of the notebook."""
    inner = _inner(function)
    if not hasattr(inner, "__globals__"):
        inner = _inner(getattr(*((inner, "__init__") if isinstance(inner, type) else (type(inner), "__call__"))))
    found: dict[str, Any] = getattr(inner, "__globals__", {})
    return found


def _field(parameter: Parameter, names: dict[str, Any], documented: str) -> tuple[Any, Any]:
    """Return a parameter as a pydantic field: the type, and all else that is known of it.

    Any parameter may then have any name; those of fields must not be those of pydantic's own methods.
    """
    from pydantic import Field  # noqa: PLC0415 - slow, and only needed for tools
    from pydantic.fields import FieldInfo  # noqa: PLC0415

    default = parameter.default
    hint, metadata = _hint(parameter, names)
    facts: dict[str, Any] = {"validation_alias": parameter.name}
    said = (default, *reversed(metadata)) if isinstance(default, FieldInfo) else reversed(metadata)
    if description := _described(said) or documented:
        facts["description"] = description
    if isinstance(default, FieldInfo):
        return _annotated(hint, *metadata, Field(**facts)), default
    if default is not Parameter.empty:
        facts |= {"default": default} if _is_json(default) else {"default_factory": lambda: None}
    return _annotated(hint, *metadata), Field(**facts)


def _annotated(*hint_and_metadata: Any) -> Any:
    return typing.Annotated[hint_and_metadata] if len(hint_and_metadata) > 1 else hint_and_metadata[0]


def _hint(parameter: Parameter, names: dict[str, Any]) -> tuple[Any, tuple[Any, ...]]:
    """Return the type that a parameter takes, and what `Annotated` says of it."""
    if parameter.annotation is Parameter.empty:
        return Any, ()
    written = types.SimpleNamespace(__annotations__={parameter.name: parameter.annotation})
    hint: Any = typing.get_type_hints(written, names, include_extras=True)[parameter.name]
    hint = with_known_typed_dicts(hint)
    metadata: tuple[Any, ...] = ()
    if typing.get_origin(hint) is typing.Annotated:
        hint, metadata = hint.__origin__, hint.__metadata__
    if collections.abc.Iterable in (hint, typing.get_origin(hint)):  # pydantic would check it while it is read, once
        inside = typing.get_args(hint) or (Any,)
        hint = list[inside]  # type: ignore[valid-type]
    if parameter.default is None and hint is not Any and type(None) not in typing.get_args(hint):
        hint = typing.Optional[hint]  # noqa: UP045 - also of a hint that knows no |
    return hint, metadata


def _described(metadata: Iterable[Any]) -> str:
    """Return the first words in what `Annotated` says: of a pydantic ``Field``, of a ``Doc``, or a text."""
    for each in metadata:
        said = each if isinstance(each, str) else getattr(each, "description", getattr(each, "documentation", None))
        if isinstance(said, str):
            return said
    return ""


def _is_json(default: Any) -> bool:
    from pydantic_core import to_jsonable_python  # noqa: PLC0415

    try:
        json.dumps(to_jsonable_python(default), allow_nan=False, ensure_ascii=False).encode()
    except Exception:  # whatever an object of the person's own does
        return False
    return True


def _has_default(parameter: Parameter) -> bool:
    from pydantic.fields import FieldInfo  # noqa: PLC0415

    return parameter.default is not Parameter.empty and not isinstance(parameter.default, FieldInfo)


def _built(fields: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    from pydantic import ConfigDict, create_model  # noqa: PLC0415

    model = create_model("Arguments", __config__=ConfigDict(extra="forbid"), **fields)
    schema = tidied(json_schema_of(model), titles=False)
    json.dumps(schema, allow_nan=False, ensure_ascii=False).encode()
    return model, schema


def _no_json(name: str, parameter: Parameter, error: Exception) -> OptionError:
    from pydantic.errors import PydanticInvalidForJsonSchema, PydanticSchemaGenerationError  # noqa: PLC0415

    hint = parameter.annotation
    hint = hint if isinstance(hint, str) else inspect.formatannotation(hint)
    which = f"-T {name}: the parameter {parameter.name} ({quoted(hint)})"
    if isinstance(error, (PydanticSchemaGenerationError, PydanticInvalidForJsonSchema)):
        return OptionError(f"{which} takes what JSON cannot write.", _IN_A_FUNCTION)
    if isinstance(error, NameError):
        return OptionError(
            f"{which} has a type hint that is not known: {error}.", "Run the cell that defines it, and then this one."
        )
    why = quoted(str(error).partition("\n")[0]).rstrip(".") or type(error).__name__
    return OptionError(f"{which} cannot be offered: {why}.", _IN_A_FUNCTION)
