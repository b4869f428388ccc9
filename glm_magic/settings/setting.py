"""What a setting is: the values that it takes, and how they are read, checked and written."""

from __future__ import annotations

import contextlib
import json
import math
import numbers
import os
import sys
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, TypeAlias, cast

from glm_magic.errors import SettingError, did_you_mean, quoted

Value: TypeAlias = "str | int | float | bool | tuple[str, ...] | None"

_MOST = 10**300  # about the largest float; a Decimal may be larger than memory

_WORDS = {"on": True, "true": True, "yes": True, "1": True, "off": False, "false": False, "no": False, "0": False}


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting: its name, the values it takes, and what it means.

    `kind` is the type of its value; None always means "not set". `low` and `high` are inclusive, unless `above` says
    that the value must be greater than `low`. `field` marks a field of the request, `is_list` a comma-separated list
    of names, `is_path` the path of a file, and `may_repeat` a text that may also be several. `option` says whether the
    cell magic has one, `short` is the letter of it, and `called` its name where that is another. `metavar` stands for
    its value; alternatives that are typed as they stand are in lower case, and if all are, it takes nothing else.
    `completes` is what its value is completed with besides those. `also` names environment variables that count after
    ``GLM_<NAME>``.
    """

    name: str
    kind: type
    help: str
    default: Value = None
    low: float | None = None
    high: float | None = None
    above: bool = False
    may_be_empty: bool = False
    is_list: bool = False
    is_path: bool = False
    may_repeat: bool = False
    field: bool = False
    option: bool = False
    short: str = ""
    called: str = ""
    metavar: str = ""
    completes: str = ""
    unit: str = ""
    also: tuple[str, ...] = ()

    @property
    def flag(self) -> str:
        """The long option of the cell magic."""
        return "--" + (self.called or self.name.replace("_", "-"))

    @property
    def variables(self) -> tuple[str, ...]:
        """The environment variables that set it; the first that is not empty counts."""
        return (f"GLM_{self.name.upper()}", *self.also)

    @property
    def choices(self) -> tuple[str, ...]:
        """The values that it takes, if its metavar lists all of them; else ``()``."""
        listed = tuple(self.metavar.split("|"))
        return listed if listed == alternatives(self.metavar) else ()

    @property
    def range(self) -> str:
        """The values it takes, in words; ``""`` for any text."""
        if self.choices:
            return " or ".join(self.choices)
        if self.kind is str:
            return ""
        noun = "a whole number" if self.kind is int else "a number"
        unit = f" of {self.unit}" if self.unit else ""
        if self.low is not None and self.high is not None:
            return f"{noun}{unit} from {self.low:g} to {self.high:g}"
        if self.low is not None:
            return f"{noun}{unit} " + (f"above {self.low:g}" if self.above else f"of at least {self.low:g}")
        return noun + unit

    def parse(self, text: str, *, as_typed: str = "") -> Value:
        """Return the value that `text` stands for. Raises `SettingError` if there is none.

        `as_typed` is the setting's name in the error (an option, a variable); by default its own.
        """
        called = as_typed or self.name
        if self.is_list:
            text = text.strip()
            inside = text[1:-1] if text.startswith("[") and text.endswith("]") else text
            names = [item.strip().strip("\"'") for item in inside.split(",")] if inside.strip() else []
            return self.check(names, as_typed=called)
        if self.may_repeat and text.startswith('["'):  # as `written` writes several
            with contextlib.suppress(ValueError):  # else it is a text that begins so
                return self.check(json.loads(text), as_typed=called)
        if self.kind is str:
            return self.check(text, as_typed=called)
        try:
            value: Value = _WORDS[text.strip().lower()] if self.kind is bool else self.kind(text)
        except (KeyError, ValueError):
            raise SettingError(f"{called} takes {self.range}, not {text!r}.") from None
        return self.check(value, as_typed=called)

    def check(self, value: object, *, as_typed: str = "") -> Value:
        """Return `value` as this setting's type: numbers and texts of other libraries become Python's own.

        Raises `SettingError` if the setting does not take it.
        """
        called = as_typed or self.name
        if value is None:
            return None
        given, value = value, self._of_python(value)
        if self.may_repeat and isinstance(value, tuple):
            return value
        if type(value) is not self.kind:
            raise SettingError(f"{called} takes {self._takes}, not {quoted(repr(given))}.")
        value = cast("str | int | float | bool", value)
        if isinstance(value, str):
            if not value.strip() and not self.may_be_empty:
                raise SettingError(f"{called} is empty.", f"Give a value, or %glm_config --reset {self.name}")
            if self.choices and value not in self.choices:
                raise SettingError(f"{called} takes {self.range}, not {value!r}.", did_you_mean(value, self.choices))
            return value
        too_low = self.low is not None and (value < self.low or (self.above and value == self.low))
        too_high = self.high is not None and value > self.high
        if too_low or too_high or (isinstance(value, float) and not math.isfinite(value)):
            raise SettingError(f"{called} takes {self.range}, not {self.written(value)}.")
        return value

    @property
    def _takes(self) -> str:
        return self.range or ("names with commas between them" if self.is_list else "text")

    def _of_python(self, value: object) -> object:
        """Return `value` as this setting's type if it means the same, else unchanged."""
        value = plain(value)
        if self.is_list and isinstance(value, (list, tuple)):
            names = [plain(item) for item in value]
            are_names = all(isinstance(name, str) and name.strip() for name in names)
            return ",".join(map(str, names)) if are_names else value
        if self.may_repeat and isinstance(value, (list, tuple)):
            texts = [plain(item) for item in value]
            are_texts = texts and all(isinstance(text, str) for text in texts)
            return tuple(map(str, texts)) if are_texts else list(value)
        if self.is_path and isinstance(value, os.PathLike):
            return os.fspath(value)
        return _as_float(value) if self.kind is float and type(value) is int else value

    def anchored(self, value: Value, folder: Path) -> Value:
        """Return `value`; the path of a file that is relative is taken from `folder`."""
        if self.is_path and isinstance(value, str) and value not in alternatives(self.metavar):
            return str(folder / Path(value).expanduser())
        return value

    def written(self, value: Value) -> str:
        """Return the text that `parse` reads as `value`."""
        if isinstance(value, bool):
            return "on" if value else "off"
        if isinstance(value, tuple):
            return json.dumps(value, ensure_ascii=False)
        return repr(value).removesuffix(".0") if isinstance(value, float) else str(value)


def alternatives(metavar: str) -> tuple[str, ...]:
    """Return the alternatives of a metavar that are typed as they stand."""
    return tuple(word for word in metavar.split("|") if word.islower())


def plain(value: object) -> object:
    """Return a number, bool or text as Python's own type, whatever library it is from; other values unchanged."""
    if isinstance(value, Enum):
        value = value.value
    if getattr(value, "ndim", None) == 0 and hasattr(value, "item"):  # a scalar of numpy or torch
        value = value.item()
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, bool):
        return value
    if isinstance(value, numbers.Integral):
        return int(value)
    decimal = sys.modules.get("decimal")  # a value of it is only where it has been loaded
    if decimal is not None and isinstance(value, decimal.Decimal):
        is_whole = value.is_finite() and abs(value) < _MOST and value == int(value)
        return int(value) if is_whole else _as_float(value)
    return _as_float(value) if isinstance(value, numbers.Real) else value


def _as_float(number: Any) -> float:
    try:
        return float(number)
    except OverflowError:
        return math.inf
    except ValueError:  # a signalling NaN
        return math.nan
