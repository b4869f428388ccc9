"""Every setting, declared once; option, trait, variable, panel control and table are derived from it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from glm_magic.errors import SettingError, near_miss

Value: TypeAlias = "str | int | float | bool | tuple[str, ...] | None"

_MOST = 10**300  # about as large as a float may be

_WORDS = {"on": True, "true": True, "yes": True, "1": True, "off": False, "false": False, "no": False, "0": False}


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting: what it is called, what it may be, and what it means.

    `kind` is the type of a value; None always means "not set". `low` and `high` are inclusive unless
    `above` says that the value must be more than `low`. `field` says that it is a field of the
    request, `is_list` that its text is names with commas between. `short` is the letter of its option,
    `option` whether the cell magic has one. `also` names variables of the environment that count after
    ``GLM_<NAME>``.
    """

    name: str
    kind: type
    help: str
    default: Value = None
    low: float | None = None
    high: float | None = None
    above: bool = False
    choices: tuple[str, ...] = ()
    may_be_empty: bool = False
    is_list: bool = False
    field: bool = False
    option: bool = False
    short: str = ""
    metavar: str = ""
    unit: str = ""
    also: tuple[str, ...] = ()

    @property
    def flag(self) -> str:
        """The long option of the cell magic."""
        return "--" + self.name.replace("_", "-")

    @property
    def variables(self) -> tuple[str, ...]:
        """The variables of the environment that set it; the first that is not empty counts."""
        return (f"GLM_{self.name.upper()}", *self.also)

    @property
    def range(self) -> str:
        """What a value may be, in words; ``""`` if anything goes."""
        if self.choices:
            return " or ".join(self.choices)
        if self.kind is bool:
            return "on or off"
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
        """Return the value that `text` writes. Raises `SettingError` if it writes none.

        `as_typed` is how the error names the setting (an option, a variable); by default its name.
        """
        called = as_typed or self.name
        if self.is_list:
            text = text.strip()
            inside = text[1:-1] if text.startswith("[") and text.endswith("]") else text
            names = [item.strip().strip("\"'") for item in inside.split(",")] if inside.strip() else []
            return self.check(names, as_typed=called)
        if self.kind is str:
            return self.check(text, as_typed=called)
        try:
            value: Value = _WORDS[text.strip().lower()] if self.kind is bool else self.kind(text)
        except (KeyError, ValueError):
            raise SettingError(f"{called} takes {self.range}, not {text!r}.") from None
        return self.check(value, as_typed=called)

    def check(self, value: object, *, as_typed: str = "") -> Value:
        """Return `value`, of the right type, if this setting may have it; else raise `SettingError`."""
        called = as_typed or self.name
        if value is None:
            return None
        if self.is_list and isinstance(value, (list, tuple)):
            if not all(isinstance(item, str) and item.strip() for item in value):
                raise SettingError(f"{called} takes names with commas between, not {value!r}.")
            value = ",".join(value)
        if self.kind is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value) if abs(value) < _MOST else math.inf
        if type(value) is not self.kind:
            raise SettingError(f"{called} takes {self.range or 'text'}, not {value!r}.")
        if isinstance(value, str):
            if not value.strip() and not self.may_be_empty:
                raise SettingError(f"{called} is empty.", f"Give a value, or %glm_config --reset {self.name}")
            if self.choices and value not in self.choices:
                meant = near_miss(value, self.choices)
                hint = f"Did you mean {meant}?" if meant else ""
                raise SettingError(f"{called} takes {self.range}, not {value!r}.", hint)
            return value
        assert isinstance(value, (int, float))  # by kind: bool, int or float
        too_low = self.low is not None and (value < self.low or (self.above and value == self.low))
        too_high = self.high is not None and value > self.high
        if too_low or too_high or (isinstance(value, float) and not math.isfinite(value)):
            raise SettingError(f"{called} takes {self.range}, not {value!r}.")
        return value

    def written(self, value: Value) -> str:
        """Return `value` as `parse` reads it."""
        if isinstance(value, bool):
            return "on" if value else "off"
        return repr(value).removesuffix(".0") if isinstance(value, float) else str(value)


SETTINGS: dict[str, Setting] = {
    setting.name: setting
    for setting in (
        Setting("model", str, "the model that answers", field=True, option=True, short="m", metavar="NAME"),
        Setting(
            "temperature",
            float,
            "how freely the next token is drawn",
            low=0,
            high=1,
            field=True,
            option=True,
            short="t",
            metavar="X",
        ),
        Setting(
            "top_p",
            float,
            "share of the likeliest tokens to draw from",
            low=0,
            high=1,
            field=True,
            option=True,
            short="p",
            metavar="X",
        ),
        Setting(
            "max_tokens",
            int,
            "most tokens in the answer",
            low=1,
            field=True,
            option=True,
            metavar="N",
            unit="tokens",
        ),
        Setting(
            "stop",
            str,
            "stop word: the answer ends before it",
            field=True,
            option=True,
            metavar="TEXT",
            may_be_empty=True,
        ),
        Setting(
            "system",
            str,
            'system message; "" sends none',
            option=True,
            short="s",
            metavar="TEXT",
            may_be_empty=True,
        ),
        Setting(
            "format",
            str,
            "how the answer is shown; code shows only its code blocks",
            default="markdown",
            choices=("markdown", "text", "code"),
            option=True,
            short="f",
            metavar="markdown|text|code",
        ),
        Setting(
            "tools",
            str,
            "functions of the notebook that the model may call",
            may_be_empty=True,
            is_list=True,
            metavar="[NAME,…]",
        ),
        Setting("approve", bool, "ask before each tool call", default=False, option=True, metavar="on|off"),
        Setting(
            "max_steps",
            int,
            "most rounds of tool calls",
            default=8,
            low=1,
            option=True,
            metavar="N",
        ),
        Setting(
            "schema_mode",
            str,
            "how --schema is said to the service: in the system message, or as a field of the request",
            default="json_object",
            choices=("json_object", "json_schema"),
            metavar="json_object|json_schema",
        ),
        Setting(
            "base_url",
            str,
            "the endpoint, up to but without /chat/completions",
            also=("ZAI_BASE_URL", "ZHIPUAI_BASE_URL"),
            metavar="URL",
        ),
        Setting("api_key_env", str, "the variable of the environment that holds the key", metavar="NAME"),
        Setting(
            "timeout",
            float,
            "longest silence of the service",
            default=300.0,
            low=0,
            above=True,
            unit="seconds",
            metavar="S",
        ),
        Setting(
            "connect_timeout",
            float,
            "longest wait for a connection",
            default=10.0,
            low=0,
            above=True,
            unit="seconds",
            metavar="S",
        ),
        Setting(
            "retries",
            int,
            "most repetitions of a request that failed before its first token",
            default=3,
            low=0,
            high=10,
            metavar="N",
        ),
        Setting(
            "replay",
            str,
            "answer from recorded answers: off, notebook (this one), an .ipynb or .jsonl file, or a folder",
            default="off",
            metavar="off|notebook|FILE",
        ),
        Setting(
            "replay_missing",
            str,
            "what to do where no answer is recorded",
            default="ask",
            choices=("ask", "error"),
            metavar="ask|error",
        ),
        Setting("record", str, "a .jsonl file to which each answer is added", metavar="FILE.jsonl"),
        Setting(
            "save_turns", bool, "keep each turn in the notebook, beside its answer", default=True, metavar="on|off"
        ),
    )
}


def setting(name: str) -> Setting:
    """Return the setting called `name`; raise `SettingError`, with the near miss, if there is none."""
    try:
        return SETTINGS[name]
    except KeyError:
        meant = near_miss(name, SETTINGS)
        hint = f"Did you mean {meant}?" if meant else "There are: " + ", ".join(SETTINGS)
        raise SettingError(f"There is no setting {name!r}.", hint) from None


def number(values: Mapping[str, Value], name: str) -> float:
    """Return the value of a setting that is a number; its default where it is not set."""
    value = values[name] if values[name] is not None else SETTINGS[name].default
    assert isinstance(value, (int, float)), "by its kind"
    return value
