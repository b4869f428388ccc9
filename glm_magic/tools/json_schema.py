"""JSON Schemas: what pydantic makes of Python's types, those that people write, and how a fault is told."""

from __future__ import annotations

import inspect
import json
import re
import sys
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from glm_magic.errors import printable

_MOST_FAULTS = 8
_LONGEST_FAULT = 240  # characters

# The keywords of JSON Schema whose value is a schema by name, and those whose value is none at all.
_SCHEMAS_BY_NAME = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
_NO_SCHEMA = ("const", "default", "enum", "example", "examples", "discriminator", "required", "dependentRequired")
DEFINITIONS = ("$defs", "definitions")

Fault: typing.TypeAlias = "tuple[Iterable[Any], str]"  # where, and what is wrong there


# --- of Python's types ------------------------------------------------------------------------


def checked_type(value: object) -> object:
    """Return `value` if it is a type, or made of types."""
    if not (isinstance(value, type) or typing.get_origin(value) is not None or hasattr(value, "__value__")):
        kind = type(value)
        raise TypeError(
            f"it is an instance of {kind.__name__}: name the class"
            if hasattr(kind, "__dataclass_fields__") or hasattr(kind, "model_fields")
            else f"it is no type, but a value of the type {kind.__name__}"
        )
    return value


def adapter(kind: Any) -> Any:
    """Return pydantic's reader of a type."""
    from pydantic import TypeAdapter  # noqa: PLC0415 - slow, and only needed for structured answers

    return TypeAdapter(kind)


def json_schema_of(kind: Any) -> dict[str, Any]:
    """Return the JSON Schema that pydantic makes of a type."""
    from pydantic.json_schema import GenerateJsonSchema  # noqa: PLC0415

    class Generator(GenerateJsonSchema):
        # a default that JSON cannot hold is left out
        ignored_warning_kinds = {"skipped-choice", "non-serializable-default"}  # noqa: RUF012

        def encode_default(self, dft: Any) -> Any:
            default = super().encode_default(dft)  # that of a set has another order in every process
            return sorted(default, key=repr) if isinstance(dft, (set, frozenset)) else default

    told: dict[str, Any] = adapter(kind).json_schema(schema_generator=Generator)
    return told


def with_known_typed_dicts(kind: Any) -> Any:
    """Return a type with each `typing.TypedDict` in it made one that pydantic knows, before Python 3.12."""
    if sys.version_info >= (3, 12):
        return kind
    import typing_extensions as known_typing  # noqa: PLC0415 - pydantic's own

    if type(kind).__module__ == "typing" and hasattr(kind, "__required_keys__"):
        make: Any = known_typing.TypedDict
        marks: Any = (known_typing.Required, known_typing.NotRequired)
        fields = {}
        for name, hint in known_typing.get_type_hints(kind, include_extras=True).items():
            known = with_known_typed_dicts(hint)
            is_marked = known_typing.get_origin(hint) in marks
            fields[name] = known if is_marked else marks[name not in kind.__required_keys__][known]
        typed_dict = make(kind.__name__, fields)
        typed_dict.__doc__, typed_dict.__module__ = kind.__doc__, kind.__module__
        return typed_dict
    origin, inside = typing.get_origin(kind), typing.get_args(kind)
    if not inside or origin is typing.Literal:
        return kind
    rebuilt = tuple(with_known_typed_dicts(argument) for argument in inside)
    if rebuilt == inside:
        return kind
    if origin is typing.Annotated:
        return typing.Annotated[rebuilt]
    if isinstance(kind, types.UnionType):
        return typing.Union[rebuilt]  # noqa: UP007 - of many
    return kind.copy_with(rebuilt) if hasattr(kind, "copy_with") else origin[rebuilt]


def checked_json_schema(value: Mapping[Any, Any]) -> dict[str, Any]:
    """Return a JSON Schema as plain JSON, if it is one that can be checked against without a look elsewhere."""
    from jsonschema.exceptions import SchemaError  # noqa: PLC0415
    from referencing.exceptions import Unresolvable  # noqa: PLC0415

    try:
        kind: dict[str, Any] = json.loads(json.dumps(dict(value), allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise TypeError(f"it is a dict, and no JSON: {error}") from None
    validator = validator_of(kind)
    if not kind.keys() & validator.VALIDATORS.keys():
        raise ValueError("it is a dict without a keyword of JSON Schema that an answer could fail at")
    try:
        validator.check_schema(kind)
        _look_up_references(validator)
        validator.is_valid({})
    except SchemaError as error:
        raise TypeError(f"it is no JSON Schema: {told_fault(error.absolute_path, error.message)}") from None
    except Unresolvable as error:
        raise ValueError(f"it refers to {error.ref!r}, which is not in it") from None
    except RecursionError:
        raise ValueError("it refers to itself without end") from None
    return kind


def validator_of(kind: dict[str, Any]) -> Any:
    """Return what checks against a JSON Schema; it fetches nothing."""
    from jsonschema import Draft202012Validator  # noqa: PLC0415 - slow, and only needed for JSON Schemas
    from jsonschema.validators import validator_for  # noqa: PLC0415
    from referencing import Registry  # noqa: PLC0415

    return validator_for(kind, default=Draft202012Validator)(kind, registry=Registry())  # one that fetches nothing


def _look_up_references(validator: Any) -> None:
    from referencing import Registry  # noqa: PLC0415
    from referencing.jsonschema import specification_with  # noqa: PLC0415

    specification = specification_with(validator.ID_OF(validator.META_SCHEMA))
    root = specification.create_resource(validator.schema)
    waiting = [(root, Registry().resolver_with_root(root))]
    while waiting:
        resource, resolver = waiting.pop()
        if isinstance(resource.contents, dict):
            for keyword in ("$ref", "$dynamicRef"):
                if isinstance(reference := resource.contents.get(keyword), str):
                    resolver.lookup(reference)
        waiting += [(inner, resolver.in_subresource(inner)) for inner in resource.subresources()]


def is_object(told: Any, root: dict[str, Any]) -> bool:
    """Whether what fits `told` is an object in any case."""
    seen = set()
    while isinstance(told, dict) and isinstance(reference := told.get("$ref"), str):
        found = re.fullmatch(r"#/(\$defs|definitions)/([^/~%]+)", reference)
        if found is None or reference in seen:
            return False
        seen.add(reference)
        told = root.get(found[1], {}).get(found[2])
    if not isinstance(told, dict):
        return False
    if "type" in told:
        return bool(told["type"] == "object")
    branches = told.get("anyOf") or told.get("oneOf") or [False]
    return "properties" in told or all(is_object(branch, root) for branch in branches)


def tidied(told: Any, *, titles: bool, root: str = "#") -> Any:
    """Return a schema in one order, whatever made it; only properties keep theirs, in which a model answers.

    Titles that pydantic makes of names say nothing new. `root` is where the root of a wrapped schema has gone.
    """
    if isinstance(told, list):
        return [tidied(inner, titles=titles, root=root) for inner in told]
    if not isinstance(told, dict):
        return told
    tidy: dict[str, Any] = {}
    for key, value in sorted(told.items()):
        if key in _SCHEMAS_BY_NAME and isinstance(value, dict):
            names = sorted(value) if key in DEFINITIONS else value
            tidy[key] = {name: tidied(value[name], titles=titles, root=root) for name in names}
        elif key == "$ref" and isinstance(value, str) and re.match(r"#(?!/(?:\$defs|definitions)/)(?:/|$)", value):
            tidy[key] = root + value[1:]
        elif key == "description" and isinstance(value, str):
            tidy[key] = inspect.cleandoc(value)  # Python 3.13 takes the margin off docstrings, older ones do not
        elif key in _NO_SCHEMA:
            tidy[key] = value
        elif key != "title" or titles:
            tidy[key] = tidied(value, titles=titles, root=root)
    return tidy


# --- what does not fit -----------------------------------------------------------------------


def listed(faults: Sequence[Fault]) -> str:
    """Return faults as a list, the first few of many."""
    lines = [f"- {told_fault(where, what)}" for where, what in faults[:_MOST_FAULTS]]
    more = len(faults) - _MOST_FAULTS
    return "\n".join([*lines, *([f"- and {more} more"] if more > 0 else [])])


def pydantic_faults(error: Any) -> list[dict[str, Any]]:
    """Return the ``loc``, ``msg`` and ``type`` of each fault in pydantic's `ValidationError`."""
    faults: list[dict[str, Any]] = error.errors(include_url=False, include_context=False, include_input=False)
    return faults


def told_fault(where: Iterable[Any], what: str) -> str:
    """Return a fault in one line, after its place."""
    path = "".join(f"[{step}]" if isinstance(step, int) else f".{shortened(str(step))}" for step in where)
    return (f"{path.removeprefix('.')}: " if path else "") + shortened(what)


def shortened(text: str) -> str:
    """Return `text` in one line without its middle, if it is long: values stand before what is said of them."""
    line = " ".join(printable(text).split())
    half = _LONGEST_FAULT // 2
    return line if len(line) <= _LONGEST_FAULT else f"{line[:half]} … {line[-half:]}"


def faults_by_json_schema(kind: dict[str, Any], data: Any) -> list[Fault]:
    """Return in what `data` does not fit a JSON Schema, ordered by place."""
    from jsonschema.exceptions import best_match  # noqa: PLC0415

    try:
        errors = [best_match([error]) for error in validator_of(kind).iter_errors(data)]
    except (RecursionError, OverflowError) as error:  # a schema of its own making, a number beyond a float
        return [((), f"The answer cannot be checked: {error}")]
    faults: list[Fault] = [(error.absolute_path, error.message) for error in errors]
    return sorted(faults, key=lambda fault: [*map(str, fault[0])])
