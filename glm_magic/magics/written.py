"""Writes what is set as the line that sets it: a ``%glm_config`` line, or the flags of a ``%%glm`` cell."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from glm_magic.chat.templates import OPEN
from glm_magic.errors import SettingError
from glm_magic.magics.options import ASK_OPTIONS, Option
from glm_magic.magics.words import quoted
from glm_magic.settings.declared import SETTINGS, Value
from glm_magic.settings.layers import Layers

_OF_SETTINGS = "settings."


def config_line(layers: Layers) -> str:
    """Return the ``%glm_config`` line that repeats what is set in this kernel."""
    others = layers.without_assigned()
    return set_line({name: value for name, value in layers.assigned.items() if not _holds(others, name, value)})


def set_line(values: Mapping[str, Value]) -> str:
    """Return the ``%glm_config`` line that sets these values."""
    words = [
        f"{name}={quoted(SETTINGS[name].written(value)) if value is not None else ''}" for name, value in values.items()
    ]
    return " ".join(["%glm_config", *words]) if words else "%glm_config --reset"


def _holds(layers: Layers, name: str, value: Value) -> bool:
    try:
        return value == layers.find(SETTINGS[name])[0]
    except SettingError:  # an environment variable holds a wrong value
        return False


def ask_line(settings: Mapping[str, Any], others: Mapping[str, Any] | None = None) -> str:
    """Return the ``%%glm`` line with options for `settings`, and for the `others` that a line can say.

    A setting without an option, and one that is not set, adds nothing.
    """
    values = {**{_OF_SETTINGS + name: value for name, value in settings.items()}, **(others or {})}
    flags = [flag for option in ASK_OPTIONS for flag in _flags(option, values.get(option.fills))]
    return " ".join(["%%glm", *flags])


def _flags(option: Option, value: Any) -> Iterator[str]:
    called = f"-{option.short}" if option.short else option.flag
    if value is None or value == option.idle:
        return
    if not option.metavar:
        if value == option.value:
            yield called
        return
    setting = SETTINGS.get(option.fills.removeprefix(_OF_SETTINGS))
    if isinstance(value, Mapping):
        for name, each in value.items():
            yield f"{called} {_field(name, each)}"
    elif isinstance(value, tuple):
        for each in value:
            yield f"{called} {quoted(each)}"
    else:
        text = setting.written(value) if setting is not None else str(value)
        if text or setting is not None:
            yield f"{called} {quoted(text)}"


def _field(name: str, value: Any) -> str:
    """Return ``KEY=VALUE``, which is read as JSON where that is what it looks like."""
    text = json.dumps(value, ensure_ascii=False)
    if text[0] in "{[" and OPEN not in text:
        return f"{name}={text}"
    return f"{name}={quoted(text)}"
