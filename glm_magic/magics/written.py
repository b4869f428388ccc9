"""Writes what is set as the line that sets it: a ``%glm_config`` line, or the flags of a ``%%glm`` cell."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from typing import Any

from glm_magic.chat.templates import OPEN
from glm_magic.errors import SettingError
from glm_magic.magics.option import Option
from glm_magic.magics.options import ASK_OPTIONS
from glm_magic.magics.parsing import AskLine
from glm_magic.magics.words import as_template, as_word
from glm_magic.settings.declared import SETTINGS
from glm_magic.settings.layers import Layers
from glm_magic.settings.setting import Value

_OF_SETTINGS = "settings."
_NOTHING = AskLine()


def config_line(layers: Layers) -> str:
    """Return the ``%glm_config`` line that repeats what is set in this kernel."""
    others = replace(layers.with_files_read(), assigned={})
    return set_line({name: value for name, value in layers.assigned.items() if not _holds(others, name, value)})


def set_line(values: Mapping[str, Value]) -> str:
    """Return the ``%glm_config`` line that sets these values."""
    words = [
        f"{name}={as_word(SETTINGS[name].written(value)) if value is not None else ''}"
        for name, value in values.items()
    ]
    return " ".join(["%glm_config", *words]) if words else "%glm_config --reset"


def _holds(layers: Layers, name: str, value: Value) -> bool:
    try:
        return value == layers.find(SETTINGS[name])[0]
    except SettingError:  # an environment variable holds a wrong value
        return False


def ask_line(settings: Mapping[str, Any], line: AskLine = _NOTHING) -> str:
    """Return the ``%%glm`` line with options for `settings`, and for what `line` says besides its own.

    A setting without an option, and one that is not set, adds nothing.
    """
    values = {_OF_SETTINGS + name: value for name, value in settings.items()}
    for each in fields(AskLine):
        value = getattr(line, each.name)
        if value != getattr(_NOTHING, each.name):
            values[each.name] = value
    flags = [flag for option in ASK_OPTIONS for flag in _flags(option, values.get(option.field_name))]
    return " ".join(["%%glm", *flags])


def _flags(option: Option, value: Any) -> Iterator[str]:
    called = f"-{option.short}" if option.short else option.flag
    if value is None:
        return
    if not option.metavar:
        if value == option.value:
            yield called
    elif isinstance(value, Mapping):
        yield from (f"{called} {_field(name, each)}" for name, each in value.items())
    elif isinstance(value, tuple) and option.repeats is not None:
        yield from (f"{called} {as_word(each)}" for each in value)
    else:
        setting = SETTINGS.get(option.field_name.removeprefix(_OF_SETTINGS))
        text = ",".join(value) if isinstance(value, tuple) else setting.written(value) if setting else str(value)
        is_one = setting is not None and setting.option and not setting.may_be_empty and "," in text
        yield f"{called} {as_template(repr(text)) if is_one else as_word(text)}"  # a comma compares


def _field(name: str, value: Any) -> str:
    """Return ``KEY=VALUE``, which is read as JSON where that is what it looks like."""
    text = json.dumps(value, ensure_ascii=False)
    if text[0] in "{[" and OPEN not in text:
        return f"{name}={text}"
    return f"{name}={as_word(text)}"
