import math
from decimal import Decimal
from enum import Enum, IntEnum
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from glm_magic.errors import SettingError
from glm_magic.settings.declared import SETTINGS, setting
from glm_magic.settings.layers import CONFIG_FILE, DEFAULT, SET, Layers


class Name(str, Enum):
    PLUS = "GLM-4-Plus"


class Level(IntEnum):
    HIGH = 2


GOOD = [
    ("model", "glm-4.6", "glm-4.6"),
    ("temperature", "0", 0.0),
    ("temperature", "1", 1.0),
    ("top_p", ".5", 0.5),
    ("max_tokens", "1", 1),
    ("stop", "END", "END"),
    ("stop", "", ""),
    ("stop", "\n", "\n"),
    ("system", "", ""),
    ("system", " be brief ", " be brief "),
    ("thinking", "off", "off"),
    ("thinking", "max", "max"),
    ("format", "text", "text"),
    ("format", "code", "code"),
    ("tools", "", ""),
    ("tools", "one", "one"),
    ("tools", "[one, two.three]", "one,two.three"),
    ("tools", "['one', \"two\"]", "one,two"),
    ("approve", "on", True),
    ("max_steps", "1", 1),
    ("schema_mode", "json_schema", "json_schema"),
    ("base_url", "http://127.0.0.1:8000/v1", "http://127.0.0.1:8000/v1"),
    ("api_key_env", "MY_KEY", "MY_KEY"),
    ("timeout", "0.5", 0.5),
    ("connect_timeout", "5", 5.0),
    ("retries", "0", 0),
    ("retries", "10", 10),
    ("concurrency", "1", 1),
    ("replay", "notebook", "notebook"),
    ("replay", "a b.ipynb", "a b.ipynb"),
    ("replay_missing", "error", "error"),
    ("record", "answers.jsonl", "answers.jsonl"),
    ("budget", "2", 2.0),
    ("budget", "0", 0.0),
    ("prices", "prices.csv", "prices.csv"),
    ("history", "off", False),
    ("save_turns", "off", False),
    ("save_turns", " True ", True),
]

BAD = [
    ("model", ""),
    ("model", "  "),
    ("temperature", "warm"),
    ("temperature", ""),
    ("temperature", "-0.1"),
    ("temperature", "2.01"),
    ("temperature", "nan"),
    ("temperature", "inf"),
    ("top_p", "2"),
    ("top_p", "nan"),
    ("max_tokens", "0"),
    ("max_tokens", "1.5"),
    ("max_tokens", "1e3"),
    ("thinking", "some"),
    ("thinking", ""),
    ("format", "html"),
    ("tools", "one,,two"),
    ("tools", "[one,]"),
    ("approve", "perhaps"),
    ("max_steps", "0"),
    ("schema_mode", "yaml"),
    ("base_url", ""),
    ("api_key_env", ""),
    ("timeout", "0"),
    ("timeout", "inf"),
    ("timeout", "nan"),
    ("connect_timeout", "0"),
    ("retries", "-1"),
    ("retries", "11"),
    ("concurrency", "0"),
    ("replay", ""),
    ("replay_missing", "fail"),
    ("record", ""),
    ("budget", "-1"),
    ("budget", "much"),
    ("prices", ""),
    ("history", "maybe"),
    ("save_turns", "maybe"),
]


def test_every_setting_is_parsed_below():
    assert {name for name, *_ in GOOD} == set(SETTINGS)


@pytest.mark.parametrize(("name", "text", "value"), GOOD)
def test_a_text_that_writes_a_value_is_parsed(name, text, value):
    parsed = SETTINGS[name].parse(text)
    assert (parsed, type(parsed)) == (value, type(value))


@pytest.mark.parametrize(("name", "text"), BAD)
def test_a_text_that_writes_no_value_is_an_error_that_names_the_setting(name, text):
    with pytest.raises(SettingError, match=f"^{name} "):
        SETTINGS[name].parse(text)


@pytest.mark.parametrize(
    ("name", "text", "allowed"),
    [
        ("temperature", "3", "a number from 0 to 2"),
        ("max_tokens", "0", "a whole number of tokens of at least 1"),
        ("timeout", "0", "a number of seconds above 0"),
        ("retries", "x", "a whole number from 0 to 10"),
        ("format", "x", "markdown or text or code"),
        ("save_turns", "x", "on or off"),
    ],
)
def test_a_range_error_says_what_is_allowed_and_what_was_given(name, text, allowed):
    with pytest.raises(SettingError) as caught:
        SETTINGS[name].parse(text)
    assert caught.value.what.startswith(f"{name} takes {allowed}, not ")
    assert text in caught.value.what


def test_an_error_names_the_setting_as_it_was_typed():
    with pytest.raises(SettingError, match=r"^--temperature takes"):
        SETTINGS["temperature"].parse("hot", as_typed="--temperature")


def test_a_choice_that_is_nearly_right_is_named():
    with pytest.raises(SettingError, match=r"Did you mean markdown\?"):
        SETTINGS["format"].parse("markdwon")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_tokens", True),
        ("temperature", True),
        ("retries", False),
        ("max_tokens", 1.0),
        ("temperature", "0.5"),
        ("temperature", math.nan),
        ("timeout", math.inf),
        pytest.param("timeout", 10**400, id="timeout-huge"),
        ("save_turns", 1),
        ("model", 4),
        ("model", ["GLM-4-Air"]),
        ("system", b"x"),
        ("system", Path("notes.txt")),
        ("max_tokens", Decimal("1.5")),
        ("max_tokens", np.float64(1)),
        ("temperature", np.zeros(1)),
        ("temperature", np.float32("nan")),
        ("temperature", Decimal("sNaN")),
        pytest.param("timeout", Decimal("1e400"), id="timeout-huge-decimal"),
        ("temperature", np.str_("0.5")),
        ("tools", [np.int64(1)]),
        ("tools", ["one", " "]),
        ("model", Level.HIGH),
    ],
)
def test_a_value_of_another_type_is_refused(name, value):
    with pytest.raises(SettingError):
        SETTINGS[name].check(value)


@pytest.mark.parametrize(
    ("name", "value", "checked"),
    [
        ("temperature", np.float64(0.5), 0.5),
        ("temperature", np.float32(0.5), 0.5),
        ("temperature", np.longdouble(0.5), 0.5),
        ("temperature", np.array(0.5), 0.5),
        ("temperature", np.int8(1), 1.0),
        ("temperature", Decimal("0.3"), 0.3),
        ("temperature", Fraction(1, 2), 0.5),
        ("max_tokens", np.int64(7), 7),
        ("max_tokens", np.uint8(7), 7),
        ("max_tokens", Decimal(7), 7),
        ("max_tokens", Level.HIGH, 2),
        ("approve", np.bool_(True), True),
        ("model", np.str_("GLM-4-Plus"), "GLM-4-Plus"),
        ("model", Name.PLUS, "GLM-4-Plus"),
        ("format", np.str_("text"), "text"),
        ("tools", [np.str_("one"), "two"], "one,two"),
        ("tools", np.str_("one"), "one"),
        ("replay", Path("answers.jsonl"), "answers.jsonl"),
        ("record", Path("answers.jsonl"), "answers.jsonl"),
    ],
)
def test_a_value_of_another_library_that_means_the_same_is_taken_as_pythons_own(name, value, checked):
    found = SETTINGS[name].check(value)
    assert (found, type(found)) == (checked, type(checked))


def test_a_refused_value_is_shown_in_one_short_line():
    with pytest.raises(SettingError) as caught:
        SETTINGS["temperature"].check(np.zeros((900, 900)))
    assert "\n" not in caught.value.what
    assert len(caught.value.what) < 700


def test_a_whole_number_is_a_number():
    checked = SETTINGS["temperature"].check(1)
    assert (checked, type(checked)) == (1.0, float)


def test_a_number_too_large_for_a_float_is_still_a_whole_number():
    assert SETTINGS["max_tokens"].parse("9" * 400) == int("9" * 400)


@pytest.mark.parametrize("name", SETTINGS)
def test_none_means_not_set(name):
    assert SETTINGS[name].check(None) is None


@pytest.mark.parametrize("name", SETTINGS)
def test_a_default_is_a_value_that_the_setting_may_have(name):
    assert SETTINGS[name].check(SETTINGS[name].default) == SETTINGS[name].default


def test_a_parameter_that_nobody_set_has_no_default():
    assert {s.name for s in SETTINGS.values() if s.field and s.default is not None} == set()


@pytest.mark.parametrize(("name", "text", "value"), GOOD)
def test_a_value_is_written_as_it_is_parsed(name, text, value):
    assert SETTINGS[name].parse(SETTINGS[name].written(value)) == value


@given(st.floats(0, 1))
def test_every_temperature_is_written_exactly(value):
    assert SETTINGS["temperature"].parse(SETTINGS["temperature"].written(value)) == value


def test_numbers_are_written_as_a_person_writes_them():
    assert [SETTINGS["timeout"].written(value) for value in (300.0, 0.5, 1234567.0)] == ["300", "0.5", "1234567"]


def test_a_wrong_name_is_an_error_with_the_near_miss():
    with pytest.raises(SettingError, match=r"(?s)no setting 'temprature'.*Did you mean temperature\?"):
        setting("temprature")


def test_a_name_that_resembles_none_is_an_error_with_all_names():
    with pytest.raises(SettingError) as caught:
        setting("zzz")
    assert all(name in caught.value.remedy for name in SETTINGS)


def test_a_known_name_is_its_setting():
    assert setting("top_p") is SETTINGS["top_p"]
    assert SETTINGS["top_p"].flag == "--top-p"


def test_a_value_comes_from_the_strongest_source():
    sources = Layers({})
    find = lambda: sources.find(SETTINGS["temperature"])  # noqa: E731
    assert find() == (None, DEFAULT)
    sources.config["temperature"] = 0.1
    assert find() == (0.1, CONFIG_FILE)
    sources.environ = {"GLM_TEMPERATURE": "0.2"}
    assert find() == (0.2, "environment (GLM_TEMPERATURE)")
    sources.assigned["temperature"] = 0.3
    assert find() == (0.3, SET)
    assert sources.values({"temperature": 0.4})["temperature"] == 0.4


def test_an_option_may_unset_what_is_set():
    assert Layers({}, assigned={"system": "be brief"}).values({"system": ""})["system"] == ""


def test_every_setting_has_a_value_in_values():
    values = Layers({}).values({})
    assert set(values) == set(SETTINGS)
    assert values["timeout"] == 300.0


@pytest.mark.parametrize("name", SETTINGS)
def test_every_setting_has_a_variable_of_the_environment(name):
    text = next(text for known, text, value in GOOD if known == name and text.strip())
    value, source = Layers({f"GLM_{name.upper()}": text}).find(SETTINGS[name])
    assert value == SETTINGS[name].parse(text)
    assert source == f"environment (GLM_{name.upper()})"


@pytest.mark.parametrize("variable", ["GLM_BASE_URL", "ZAI_BASE_URL", "ZHIPUAI_BASE_URL"])
def test_the_endpoint_is_named_by_each_of_its_variables(variable):
    assert Layers({variable: "http://h/v1"}).find(SETTINGS["base_url"])[0] == "http://h/v1"


def test_the_own_variable_comes_before_the_others():
    environ = {"ZHIPUAI_BASE_URL": "http://z", "ZAI_BASE_URL": "http://y", "GLM_BASE_URL": "http://x"}
    assert Layers(environ).find(SETTINGS["base_url"])[0] == "http://x"


@pytest.mark.parametrize("empty", ["", "  ", "\n"])
def test_an_empty_variable_counts_as_unset(empty):
    sources = Layers({"GLM_BASE_URL": empty, "ZAI_BASE_URL": "http://y", "GLM_TEMPERATURE": empty})
    assert sources.find(SETTINGS["base_url"])[0] == "http://y"
    assert sources.find(SETTINGS["temperature"]) == (None, DEFAULT)


def test_a_wrong_value_in_a_variable_is_an_error_that_names_the_variable():
    with pytest.raises(SettingError, match="The variable GLM_TEMPERATURE takes a number from 0 to 2"):
        Layers({"GLM_TEMPERATURE": "hot"}).values({})


def test_a_wrong_variable_does_not_matter_where_a_stronger_source_has_a_value():
    sources = Layers({"GLM_TEMPERATURE": "hot"})
    assert sources.values({"temperature": 0.4})["temperature"] == 0.4


def test_the_environment_is_read_each_time():
    environ: dict[str, str] = {}
    sources = Layers(environ)
    environ["GLM_TOP_P"] = "0.9"
    assert sources.find(SETTINGS["top_p"])[0] == 0.9


def test_stop_sequences_may_be_several() -> None:
    stop = SETTINGS["stop"]
    assert stop.check(["a", "b, c"]) == ("a", "b, c")
    assert stop.check(("a",)) == ("a",)
    assert stop.parse(stop.written(("a", "b\n"))) == ("a", "b\n")
    assert stop.parse('["a') == '["a'
    for wrong in ([], ["a", 1], [["a"]], {"a": 1}):
        with pytest.raises(SettingError, match="stop takes text"):
            stop.check(wrong)
    with pytest.raises(SettingError):
        SETTINGS["system"].check(["a", "b"])
