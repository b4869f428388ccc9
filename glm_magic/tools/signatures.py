"""Reads a Python function's signature, type hints and docstring as the schema of a tool."""

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

_IN_A_FUNCTION = "Wrap it in a function that takes text, numbers, lists, dicts, dataclasses or pydantic models."


@dataclass(frozen=True, slots=True)
class Call:
    """The validated arguments of one call."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Signature:
    """A function's `description` (``""`` without a docstring), and the `schema` of its arguments.

    `model` is a pydantic class whose n-th field, ``argument_n``, is the n-th of the `parameters`.
    """

    description: str
    schema: Mapping[str, Any]
    parameters: tuple[Parameter, ...]
    model: Any

    def call(self, arguments: str) -> Call:
        """Validate the JSON text of arguments. Raises what pydantic and the person's own validators raise."""
        checked = self.model.model_validate_json(arguments)
        given: dict[str, Any] = {}
        for number, parameter in enumerate(self.parameters):
            field = f"argument_{number}"
            # a missing argument takes the function's own default, unless only pydantic knows it
            if field in checked.model_fields_set or not _has_default(parameter):
                given[parameter.name] = getattr(checked, field)
        positional = [parameter for parameter in self.parameters if parameter.kind is Parameter.POSITIONAL_ONLY]
        while positional and positional[-1].name not in given:
            positional.pop()
        args = tuple(given.pop(parameter.name, parameter.default) for parameter in positional)
        return Call(args, given)


def signature(function: Callable[..., Any], name: str) -> Signature:
    """Return the signature of a function as a model sees it; `name` is how the person wrote it.

    * A parameter without a hint takes any JSON. One whose default is None also takes null, whatever its hint.
    * Arguments bound by `functools.partial` are not offered.
    * ``**kwargs`` are not offered: the model would invent names, and could override what a partial has bound.
      ``*args`` are refused, because JSON arguments have names.
    * A default that JSON cannot hold is not in the schema, but still applies.

    Raises `OptionError` if a model cannot call it.
    """
    parameters = _offered(function, name)
    documented = documentation(_docstring(function), (parameter.name for parameter in parameters))
    names = _globals(function)

    def built(*parameters: Parameter) -> tuple[Any, dict[str, Any]]:
        each = (_field(parameter, names, documented.parameters.get(parameter.name, "")) for parameter in parameters)
        return _built({f"argument_{number}": field for number, field in enumerate(each)})

    try:
        model, schema = built(*parameters)
    except Exception:
        for parameter in parameters:
            try:
                built(parameter)
            except Exception as error:  # from a hint, a class of the person's own, or its library
                raise _no_json(name, parameter, error) from None
        raise
    return Signature(documented.description, schema, parameters, model)


def _offered(function: Callable[..., Any], name: str) -> tuple[Parameter, ...]:
    """Return the parameters that the model may fill in."""
    try:
        all_of_them = inspect.signature(function).parameters
    except (TypeError, ValueError, NameError) as error:  # some functions written in C have no signature
        why = quoted(str(error)).rstrip(".")
        raise OptionError(f"-T {name}: its signature is not known: {why}.", _IN_A_FUNCTION) from None
    bound = function.keywords if isinstance(function, partial) else {}
    offered = []
    for parameter in all_of_them.values():
        if parameter.kind is Parameter.VAR_POSITIONAL:
            raise OptionError(
                f"-T {name}: it takes *{parameter.name}, but a model passes every argument by name.",
                "Take a list instead, or wrap it in a function whose parameters have names.",
            )
        if parameter.kind is not Parameter.VAR_KEYWORD and parameter.name not in bound:
            offered.append(parameter)
    if offered and offered[0].name in ("self", "cls") and _is_of_a_class(function):
        raise OptionError(
            f"-T {name}: it is an unbound method.", "Offer the method of an object: tool = thing.method, -T tool"
        )
    return tuple(offered)


def _is_of_a_class(function: Callable[..., Any]) -> bool:
    outer = getattr(function, "__qualname__", "").rpartition(".")[0]
    return inspect.isfunction(function) and bool(outer) and not outer.endswith("<locals>")


def _inner(function: Any) -> Any:
    """Return the function or class behind partials, methods and decorators."""
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
    """Return the docstring of a function; for a callable object, the docstring of ``__call__`` comes first."""
    outer = function
    while isinstance(outer, partial):  # whose own docstring is that of `partial`
        outer = outer.func
    if isinstance(outer, type) or inspect.isroutine(outer) or hasattr(outer, "__wrapped__"):
        return inspect.getdoc(outer)
    of_call: str | None = type(outer).__call__.__doc__  # `getdoc` would find the one of `type` itself
    return of_call or inspect.getdoc(type(outer))


def _globals(function: Callable[..., Any]) -> dict[str, Any]:
    """Return the namespace that a function's hints were written in, such as the notebook's."""
    inner = _inner(function)
    if not hasattr(inner, "__globals__"):
        inner = _inner(getattr(*((inner, "__init__") if isinstance(inner, type) else (type(inner), "__call__"))))
    found: dict[str, Any] = getattr(inner, "__globals__", {})
    return found


def _field(parameter: Parameter, names: dict[str, Any], documented: str) -> tuple[Any, Any]:
    """Return a parameter as a pydantic field: its type, default and description.

    The field's alias is the parameter's name, because field names must not clash with pydantic's own methods.
    """
    from pydantic import Field  # noqa: PLC0415 - slow, and needed only for tools
    from pydantic.fields import FieldInfo  # noqa: PLC0415

    default = parameter.default
    hint, metadata = _hint(parameter, names)
    facts: dict[str, Any] = {"validation_alias": parameter.name}
    notes = (default, *reversed(metadata)) if isinstance(default, FieldInfo) else reversed(metadata)
    if description := _described(notes) or documented:
        facts["description"] = description
    if isinstance(default, FieldInfo):
        return _annotated(hint, *metadata, Field(**facts)), default
    if default is not Parameter.empty:
        facts |= {"default": default} if _is_json(default) else {"default_factory": lambda: None}
    return _annotated(hint, *metadata), Field(**facts)


def _annotated(*hint_and_metadata: Any) -> Any:
    return typing.Annotated[hint_and_metadata] if len(hint_and_metadata) > 1 else hint_and_metadata[0]


def _hint(parameter: Parameter, names: dict[str, Any]) -> tuple[Any, tuple[Any, ...]]:
    """Return the type of a parameter, and the metadata of `Annotated`."""
    if parameter.annotation is Parameter.empty:
        return Any, ()
    written = types.SimpleNamespace(__annotations__={parameter.name: parameter.annotation})
    hint: Any = typing.get_type_hints(written, names, include_extras=True)[parameter.name]
    hint = with_known_typed_dicts(hint)
    metadata: tuple[Any, ...] = ()
    if typing.get_origin(hint) is typing.Annotated:
        hint, metadata = hint.__origin__, hint.__metadata__
    if collections.abc.Iterable in (
        hint,
        typing.get_origin(hint),
    ):  # pydantic would validate it only while it is read, once
        inside = typing.get_args(hint) or (Any,)
        hint = list[inside]  # type: ignore[valid-type]
    if parameter.default is None and hint is not Any and type(None) not in typing.get_args(hint):
        hint = typing.Optional[hint]  # noqa: UP045 - the hint may not support |
    return hint, metadata


def _described(metadata: Iterable[Any]) -> str:
    """Return the first description in the metadata of `Annotated`: of a pydantic ``Field``, a ``Doc``, or a text."""
    for each in metadata:
        text = each if isinstance(each, str) else getattr(each, "description", getattr(each, "documentation", None))
        if isinstance(text, str):
            return text
    return ""


def _is_json(default: Any) -> bool:
    from pydantic_core import to_jsonable_python  # noqa: PLC0415

    try:
        json.dumps(to_jsonable_python(default), allow_nan=False, ensure_ascii=False).encode()
    except Exception:  # from an object of the person's own
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
        return OptionError(f"{which} takes a type that JSON cannot hold.", _IN_A_FUNCTION)
    if isinstance(error, NameError):
        return OptionError(
            f"{which} has an undefined type hint: {error}.", "Run the cell that defines it, and then this one."
        )
    why = quoted(str(error).partition("\n")[0]).rstrip(".") or type(error).__name__
    return OptionError(f"{which} cannot be offered: {why}.", _IN_A_FUNCTION)
