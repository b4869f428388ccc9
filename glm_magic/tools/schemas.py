"""Structured answers: the JSON Schema that the model gets, and the Python value of its answer."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from glm_magic.chat import strict_json
from glm_magic.errors import OptionError, described, quoted
from glm_magic.tools.json_schema import (
    DEFINITIONS,
    adapter,
    checked_json_schema,
    checked_type,
    faults_by_json_schema,
    is_object,
    json_schema_of,
    listed,
    pydantic_faults,
    shortened,
    tidied,
    with_known_typed_dicts,
)

_DEEPEST = 100  # levels of an answer

_TAKES = (
    "It takes a pydantic model, a dataclass, a TypedDict, an Enum or a JSON Schema (a dict), "
    'and lists, dicts and unions of types: --schema "list[City]"'
)
_FENCE = re.compile(r"(?:```+|~~~+)[^\n`]*(?:\n|\Z)")

WRAPPERS = ("items", "value")  # of a list, and of other values: JSON mode requires an object
_CHECKING_NOTHING = {"title", "description", "default", "examples", "deprecated"}


class SchemaMismatch(ValueError):
    """An answer does not fit; ``str()`` lists the faults with their paths, for the model and the person."""


@dataclass(frozen=True, slots=True)
class Schema:
    """The schema of an answer.

    `json_schema` is sent to the model; None asks for any JSON object. `kind` is the Python type, or the JSON Schema
    itself, that the answer is validated against. The root of `json_schema` is always an object, because the service's
    JSON mode requires one: a `kind` that is not an object is its only property, `wrapper`.
    """

    name: str
    json_schema: Mapping[str, Any] | None = None
    kind: Any = None
    wrapper: str = ""

    def read(self, text: str) -> Any:
        """Return the value of an answer's text: an instance of the type, or plain JSON for a JSON Schema.

        Raises `SchemaMismatch` for text that is not only JSON (see `read_json`), and for a value that does not fit.
        Other errors of the person's own validators pass through, as a RuntimeError where they are no Exception.
        """
        data = read_json(text)
        if self.json_schema is None:
            if not isinstance(data, dict):
                raise SchemaMismatch(f"Expected a JSON object, got {_kind_of(data)}.")
            return data
        if not (self.wrapper and isinstance(data, dict) and self.wrapper in data):
            return self._checked(data)
        others = ", ".join(sorted(data.keys() - {self.wrapper}))
        try:
            if others:
                raise SchemaMismatch(f"- only the property {self.wrapper!r} is expected, not {quoted(others)}")
            return self._checked(data[self.wrapper], self.wrapper)
        except SchemaMismatch as mismatch:
            try:  # an unwrapped object may itself have a property of that name
                return self._checked(data)
            except SchemaMismatch:
                raise mismatch from None

    def instructions(self) -> str:
        """Return the addition to the system message; ``""`` if any JSON object will do."""
        if self.json_schema is None:
            return ""
        written = json.dumps(self.json_schema, ensure_ascii=False)
        return f"Answer with JSON only, without any other text. The JSON must fit this JSON Schema:\n{written}"

    def response_format(self, mode: str) -> dict[str, Any]:
        """Return the request field ``response_format``; `mode` is ``json_object`` or ``json_schema``."""
        if mode == "json_object" or self.json_schema is None:
            return {"type": "json_object"}
        name = re.sub(r"[^a-zA-Z0-9_-]+", "_", self.name).strip("_")[:64] or "answer"
        return {"type": "json_schema", "json_schema": {"name": name, "schema": dict(self.json_schema)}}

    def _checked(self, data: Any, *path: str) -> Any:
        if isinstance(self.kind, dict):
            faults = [((*path, *where), what) for where, what in faults_by_json_schema(self.kind, data)]
            if faults:
                raise SchemaMismatch(listed(faults))
            return data
        from pydantic import ValidationError  # noqa: PLC0415

        try:  # from JSON, because a strict model takes dates and Enums only from JSON text
            return adapter(self.kind).validate_json(json.dumps(data))
        except ValidationError as error:
            faults = [((*path, *fault["loc"]), fault["msg"]) for fault in pydantic_faults(error)]
            raise SchemaMismatch(listed(faults)) from None
        except (Exception, KeyboardInterrupt):
            raise
        except BaseException as error:  # SystemExit of a validator must not end the cell
            raise RuntimeError(described(error)) from error


JSON = Schema("JSON")


def schema(value: object, name: str) -> Schema:
    """Return the schema of a type or of a JSON Schema; `name` is how the person wrote it.

    Raises `OptionError` if `value` is neither.
    """
    try:
        kind = checked_json_schema(value) if isinstance(value, Mapping) else with_known_typed_dicts(checked_type(value))
        json_schema = kind if isinstance(kind, dict) else json_schema_of(kind)
        if json_schema.keys() <= _CHECKING_NOTHING:
            raise ValueError("it checks nothing; --json asks for any JSON object")
        has_object = is_object(json_schema, json_schema)
    except Exception as error:  # from a class of the person's own, or its library
        why = str(error).partition("\n")[0] or type(error).__name__
        raise OptionError(f"--schema {quoted(name)}: {quoted(why).rstrip('.')}.", _TAKES) from None
    is_own = isinstance(kind, dict)  # its titles are the person's own
    if has_object:
        return Schema(name, tidied(json_schema, titles=is_own), kind)
    wrapper = WRAPPERS[json_schema.get("type") != "array"]
    whole: dict[str, Any] = {key: json_schema[key] for key in DEFINITIONS if key in json_schema}
    whole |= {"type": "object", "required": [wrapper], "additionalProperties": False}
    inside = {key: json_schema[key] for key in json_schema if key not in DEFINITIONS}
    whole["properties"] = {wrapper: inside}
    return Schema(name, tidied(whole, titles=is_own, root=f"#/properties/{wrapper}"), kind, wrapper)


def question_again(mismatch: SchemaMismatch) -> str:
    """Return the user message that asks again after an answer that did not fit."""
    return f"That answer does not fit.\n{mismatch}\nGive the whole answer again: JSON only, without any other text."


def read_json(text: str) -> Any:
    """Return the JSON value of an answer's text.

    White space, a byte order mark or a code fence may surround it, but no words. Raises `SchemaMismatch`, also for a
    number beyond a float, a key that appears twice in an object, half a character, and more than 100 levels.
    """
    text = _unfenced(text)
    if not text:
        raise SchemaMismatch("The answer is empty.")
    try:
        data = strict_json.loads(text, object_pairs_hook=_without_doubles)
        json.dumps(data, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        why = "half a character, written as \\ud800 to \\udfff"
    except json.JSONDecodeError as error:
        why = f"{error.msg} at line {error.lineno}, column {error.colno}"
    except ValueError as error:
        why = str(error)
    except RecursionError:
        why = "nested too deeply"
    else:
        if _depth(data) <= _DEEPEST:
            return data
        why = f"nested more than {_DEEPEST} levels deep"
    raise SchemaMismatch(f"The answer is not only JSON: {shortened(why)}.")


# --- the text of an answer -------------------------------------------------------------------


def _unfenced(text: str) -> str:
    """Return `text` without the fence around it; its end may be missing, if a stop sequence cut it off."""
    text = text.strip().lstrip("\ufeff").lstrip()
    fence = _FENCE.match(text)
    return text[fence.end() :].rstrip().rstrip("`~").strip() if fence else text


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        double, _ = Counter(name for name, _ in pairs).most_common(1)[0]
        raise ValueError(f"the key {json.dumps(double)} appears twice in one object")
    return found


def _depth(data: Any) -> int:
    depth, level = 0, [data]
    while level := [
        child
        for item in level
        if isinstance(item, (dict, list))
        for child in (item.values() if isinstance(item, dict) else item)
    ]:
        depth += 1
    return depth


def _kind_of(data: Any) -> str:
    if isinstance(data, (list, str)):
        return "a list" if isinstance(data, list) else "a text"
    return "a number" if type(data) in (int, float) else json.dumps(data)
