"""How the words after an option become its value."""

from __future__ import annotations

import contextlib
import keyword
import math
from typing import Any

from glm_magic.chat import strict_json
from glm_magic.errors import OptionError
from glm_magic.magics.option import Given, Option, Read, Several
from glm_magic.settings.declared import SETTINGS
from glm_magic.settings.setting import Setting, Value

# A comma list of these compares, as in these examples.
COMPARED = {
    "model": "-m GLM-4-Air,GLM-4-Plus",
    "temperature": "-t 0,0.5,1",
    "top_p": "-p 0.5,0.9",
    "max_tokens": "--max-tokens 50,200",
    "thinking": "--think off,high",
}


def setting_value(setting: Setting) -> Read:
    """Return what reads the value of a setting; a comma list of one that is compared gives `Several`."""

    def read(option: Option, given: tuple[Given, ...]) -> Any:
        text, is_inserted = given[0]
        if setting.name in COMPARED and "," in text and not is_inserted:  # what is inserted is one value, never split
            return Several(_item(setting, item, option) for item in text.split(","))
        return setting.parse(text, as_typed=option.flag)

    return read


def _item(setting: Setting, item: str, option: Option) -> Value:
    if not item.strip():
        raise OptionError(f"{option.flag} has an empty item in its list.", f"For example: {COMPARED[setting.name]}")
    return setting.parse(item.strip(), as_typed=option.flag)


def joined(value: Value | Several, more: Value) -> Several:
    """Return what is compared where an option is given again."""
    return Several((*(value if isinstance(value, Several) else (value,)), more))


def count(option: Option, given: tuple[Given, ...]) -> int:
    """Read a whole number of at least 1."""
    text = given[0].text.strip()
    if not text.isascii() or not text.isdigit() or not int(text):
        raise OptionError(f"{option.flag} takes a whole number of at least 1, not {given[0].text!r}.")
    return int(text)


def positive(option: Option, given: tuple[Given, ...]) -> float:
    """Read a number above 0."""
    with contextlib.suppress(ValueError):
        if 0 < (number := float(given[0].text)) < math.inf:
            return number
    raise OptionError(f"{option.flag} takes a number above 0, not {given[0].text!r}.")


def several_names(option: Option, given: tuple[Given, ...]) -> tuple[str, ...]:
    """Read names with commas between them."""
    text, is_inserted = given[0]
    names = (text,) if is_inserted else tuple(name.strip() for name in text.split(","))
    if not all(names):
        raise OptionError(f"{option.flag} needs a name, or several with commas between them, not {text!r}.")
    return names


def name_like(example: str) -> Read:
    """Return what reads a name; `example` says how it is given."""

    def read(option: Option, given: tuple[Given, ...]) -> str:
        if not given[0].text.strip():
            raise OptionError(f"{option.flag} needs a name.", example)
        return given[0].text

    return read


def choice(option: Option, given: tuple[Given, ...]) -> str:
    """Read one of the values that the option takes."""
    if given[0].text not in option.choices:
        raise OptionError(f"{option.flag} takes {' or '.join(option.choices)}, not {given[0].text!r}.")
    return given[0].text


def python_name(text: str, what: str) -> str:
    """Return `text` if it is a Python name that can be bound; else raise `OptionError`."""
    if not text.isidentifier() or keyword.iskeyword(text):
        raise OptionError(f"{what} needs a Python name, not {text!r}.")
    return text


def tool_names(option: Option, given: tuple[Given, ...]) -> str:
    """Read the names of tools, with commas between them."""
    text, is_inserted = given[0]
    if is_inserted and "," in text:  # what is inserted is one value, never split
        raise OptionError(f"{option.flag} takes a name, not {text!r}.", "Repeat -T for each tool.")
    return str(SETTINGS["tools"].parse(text, as_typed=option.flag))


# Fields of the protocol that have an option, or a place, of their own.
_SET_OTHERWISE = {
    "messages": "The messages are the cell's text and the history.",
    "stream": "Use --no-stream for one response instead of a stream.",
    "tools": "Use -T NAME, with a function of the notebook, or a dict in the API's own form.",
    "response_format": "Use --json or --schema NAME.",
    "n": "Use -n.",
    **{name: f"Use {setting.flag}." for name, setting in SETTINGS.items() if setting.field},
}


def request_field(_: Option, given: tuple[Given, ...]) -> dict[str, Any]:
    """Read ``KEY=VALUE``: VALUE is parsed as JSON, else sent as text."""
    text = given[0].text
    name, equals, written = text.partition("=")
    name = name.strip()
    if not equals or not name:
        raise OptionError(f"--param takes KEY=VALUE, not {text!r}.", "For example: --param seed=7")
    if name in _SET_OTHERWISE:
        raise OptionError(f"--param does not set {name!r}.", _SET_OTHERWISE[name])
    try:
        return {name: strict_json.loads(written)}
    except ValueError as error:
        if written.lstrip()[:1] in ("{", "[", '"'):
            raise OptionError(f"--param {name}: {written!r} begins as JSON but is not JSON: {error}.") from None
    return {name: written}


def with_field(fields: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    """Return the request fields of an option that is repeated. Raises `OptionError` if one is given twice."""
    for name in fields.keys() & more:
        raise OptionError(f"--param {name} is given twice.", "Keep one of them.")
    return {**fields, **more}


def action(option: Option, given: tuple[Given, ...]) -> tuple[str, ...]:
    """Read what a magic is to do: the option itself, and the words after it."""
    return option.flag, *(word.text for word in given)


def all_words(_: Option, given: tuple[Given, ...]) -> tuple[str, ...]:
    """Read the words after the option."""
    return tuple(word.text for word in given)
