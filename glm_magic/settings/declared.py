"""Every setting, declared once; its option, trait, variable, panel control and table row are derived from that."""

from __future__ import annotations

from collections.abc import Mapping

from glm_magic.errors import SettingError, did_you_mean
from glm_magic.settings.setting import Setting, Value

SETTINGS: dict[str, Setting] = {
    setting.name: setting
    for setting in (
        Setting(
            "model",
            str,
            "the model that answers",
            field=True,
            option=True,
            short="m",
            metavar="NAME",
            completes="model",
        ),
        Setting(
            "temperature",
            float,
            "sampling temperature; GLM's models take at most 1",
            low=0,
            high=2,
            field=True,
            option=True,
            short="t",
            metavar="X",
        ),
        Setting(
            "top_p", float, "nucleus sampling cutoff", low=0, high=1, field=True, option=True, short="p", metavar="X"
        ),
        Setting(
            "max_tokens",
            int,
            "maximum tokens in the answer",
            low=1,
            field=True,
            option=True,
            metavar="N",
            unit="tokens",
        ),
        Setting(
            "stop",
            str,
            "stop sequence: the answer ends before it",
            may_repeat=True,
            field=True,
            option=True,
            metavar="TEXT",
            may_be_empty=True,
        ),
        Setting(
            "thinking",
            str,
            "how much the model thinks before it answers, as far as it can",
            option=True,
            called="think",
            metavar="off|on|low|medium|high|max",
        ),
        Setting(
            "system", str, 'system message; "" sends none', option=True, short="s", metavar="TEXT", may_be_empty=True
        ),
        Setting(
            "history",
            bool,
            "send the earlier turns with each question; off makes every cell one-shot",
            default=True,
            metavar="on|off",
        ),
        Setting(
            "format",
            str,
            "how the answer is shown; code shows only its code blocks",
            default="markdown",
            option=True,
            short="f",
            metavar="markdown|text|code",
        ),
        Setting(
            "tools",
            str,
            "Python functions that the model may call",
            may_be_empty=True,
            is_list=True,
            metavar="[NAME,…]",
            completes="function",
        ),
        Setting("approve", bool, "ask before each tool call", default=False, option=True, metavar="on|off"),
        Setting(
            "max_steps",
            int,
            "maximum rounds of tool calls",
            default=8,
            low=1,
            option=True,
            metavar="N",
        ),
        Setting(
            "schema_mode",
            str,
            "how the service gets a --schema: in the system message, or as a request field",
            default="json_object",
            metavar="json_object|json_schema",
        ),
        Setting(
            "base_url",
            str,
            "the endpoint's URL, without /chat/completions",
            also=("ZAI_BASE_URL", "ZHIPUAI_BASE_URL"),
            metavar="URL",
        ),
        Setting("api_key_env", str, "the environment variable that holds the key", metavar="NAME"),
        Setting(
            "timeout",
            float,
            "seconds without data before giving up",
            default=300.0,
            low=0,
            above=True,
            unit="seconds",
            metavar="S",
        ),
        Setting(
            "connect_timeout",
            float,
            "seconds to wait for a connection",
            default=10.0,
            low=0,
            above=True,
            unit="seconds",
            metavar="S",
        ),
        Setting(
            "retries",
            int,
            "maximum retries of a request that fails before its first token",
            default=3,
            low=0,
            high=10,
            metavar="N",
        ),
        Setting(
            "concurrency",
            int,
            "maximum requests in flight; fewer are while the service does not take more",
            default=32,
            low=1,
            high=1000,
            option=True,
            metavar="N",
        ),
        Setting(
            "replay",
            str,
            "where recorded answers come from: off, notebook (this one), an .ipynb, .jsonl or .db file, or a folder",
            default="off",
            is_path=True,
            metavar="off|notebook|FILE",
            completes="file",
        ),
        Setting(
            "replay_missing",
            str,
            "what to do if no answer is recorded",
            default="ask",
            metavar="ask|error",
        ),
        Setting(
            "record",
            str,
            "a .jsonl or .db file that each answer is added to",
            is_path=True,
            metavar="FILE.jsonl",
            completes="file",
        ),
        Setting(
            "budget",
            float,
            "the most that this kernel may spend, in the currency of the prices; what would pass it is not sent",
            low=0,
            metavar="X",
        ),
        Setting(
            "prices",
            str,
            "a price list of your own, in place of the list prices: CSV with the columns "
            "model,input,output,cached,currency",
            is_path=True,
            metavar="FILE.csv",
            completes="file",
        ),
        Setting(
            "save_turns",
            bool,
            "keep each turn in the notebook, with its output, and in the store",
            default=True,
            metavar="on|off",
        ),
    )
}

_KEYS = ("api_key", "apikey", "api-key", "key", "token", "glm_api_key")


def setting(name: str) -> Setting:
    """Return the setting `name`. Raises `SettingError`, with the nearest name, if there is none."""
    try:
        return SETTINGS[name]
    except KeyError:
        if name.lower() in _KEYS:
            raise SettingError(
                f"No setting holds the key, so {name} is none; take the key out of this cell.",
                "%glm_config --login asks for it without showing it; or set GLM_API_KEY before Jupyter starts.",
            ) from None
        hint = did_you_mean(name, SETTINGS, "The settings are: " + ", ".join(SETTINGS))
        raise SettingError(f"There is no setting {name!r}.", hint) from None


def number(values: Mapping[str, Value], name: str) -> float:
    """Return the value of a setting that is a number; its default where it is not set."""
    value = values[name] if values[name] is not None else SETTINGS[name].default
    assert isinstance(value, (int, float)), "by its kind"
    return value
