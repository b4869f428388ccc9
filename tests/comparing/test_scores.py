"""The ready-made scores."""

from __future__ import annotations

import builtins
import enum
import math
import re
import subprocess
import sys
from typing import Literal

import numpy as np
import pandas as pd
import pytest

import glm_magic
from glm_magic.chat.reply import Reply
from glm_magic.errors import OptionError, SetupError
from glm_magic.scores import contains, equals, json_valid, length, matches, schema_valid, similar


def reply(text: str, **fields: object) -> Reply:
    return Reply(text, **fields)  # type: ignore[arg-type]


# --- what is compared ---------------------------------------------------------------------------


def test_equals_compares_with_the_rows_column_of_that_name() -> None:
    right = equals("label")
    assert right(reply("negative\n"), {"label": " negative"}) is True
    assert right(reply("positive"), {"label": "negative"}) is False


def test_equals_compares_with_the_text_itself_where_there_is_no_such_column() -> None:
    assert equals("yes")(reply("yes")) is True
    assert equals("yes")(reply("yes"), {"review": "slow", "label": "no"}) is True


def test_a_column_of_nearly_that_name_was_probably_meant() -> None:
    with pytest.raises(ValueError, match="'lable'; did you mean 'label'"):
        equals("lable")(reply("lable"), {"label": "negative"})


@pytest.mark.parametrize("nothing", [None, math.nan, np.float64("nan"), pd.NA, pd.NaT])
def test_a_row_without_the_expected_value_is_an_error(nothing: object) -> None:
    with pytest.raises(ValueError, match="no value in the column 'label'"):
        equals("label")(reply("nan"), {"label": nothing})


def test_a_value_that_no_answer_can_be_is_an_error() -> None:
    with pytest.raises(TypeError, match="got list"):
        equals("label")(reply("a"), {"label": ["a", "b"]})


def test_case_and_punctuation_count_unless_they_are_ignored() -> None:
    assert equals("negative")(reply("Negative")) is False
    assert equals("negative", ignore_case=True)(reply("NEGATIVE")) is True
    assert equals("negative")(reply("negative.")) is False
    assert equals("negative", ignore_punctuation=True)(reply('"negative."')) is True
    assert equals("消极", ignore_punctuation=True)(reply("消极。")) is True


@pytest.mark.parametrize("value", [42, 42.0, np.int64(42), np.float64(42)])
def test_a_number_equals_a_number_however_it_is_written(value: object) -> None:
    assert equals("answer")(reply("42"), {"answer": value}) is True
    assert equals("answer")(reply(" 42.0"), {"answer": value}) is True
    assert equals("answer")(reply("420"), {"answer": value}) is False
    assert equals("answer")(reply("forty-two"), {"answer": value}) is False


def test_true_and_false_are_written_in_any_case() -> None:
    assert equals("fits")(reply("true"), {"fits": np.True_}) is True
    assert equals("fits")(reply("True"), {"fits": False}) is False


def test_of_a_structured_answer_that_is_one_value_the_value_is_compared() -> None:
    class Mood(enum.Enum):
        GOOD = "good"

    assert equals("label")(reply('{"value": "good"}', parsed="good"), {"label": "good"}) is True
    assert equals("label")(reply('{"value": "good"}', parsed=Mood.GOOD), {"label": "good"}) is True
    assert equals("n")(reply('{"value": 3}', parsed=3), {"n": 3}) is True


def test_contains_finds_text_and_whole_numbers() -> None:
    assert contains("Paris")(reply("It is Paris.")) is True
    assert contains("paris")(reply("It is Paris.")) is False
    assert contains("city", ignore_case=True)(reply("It is Paris."), {"city": "PARIS"}) is True
    assert contains("n")(reply("The answer is 4."), {"n": 4.0}) is True
    assert contains("n")(reply("The answer is 42, or 1.4, or 4.5"), {"n": 4}) is False


# --- what stands for itself ---------------------------------------------------------------------


def test_matches_searches_for_a_regular_expression() -> None:
    assert matches(r"\d{4}")(reply("in 1969")) is True
    assert matches(r"^\d{4}$")(reply("in 1969")) is False
    assert matches("IN", ignore_case=True)(reply("in 1969")) is True
    assert matches(re.compile("in", re.IGNORECASE))(reply("IN")) is True
    with pytest.raises(OptionError, match="expected a regular expression"):
        matches("(")
    with pytest.raises(OptionError, match="expected a regular expression"):
        matches(3)  # type: ignore[arg-type]


def test_json_valid_reads_json_as_strictly_as_the_option_json() -> None:
    assert json_valid(reply('[1, {"a": null}]')) is True
    assert json_valid(reply('```json\n{"a": 1}\n```')) is True
    assert json_valid(reply('Here it is: {"a": 1}')) is False
    assert json_valid(reply('{"a": NaN}')) is False
    assert json_valid()(reply("{}")) is True


def test_schema_valid_takes_what_the_option_schema_takes() -> None:
    assert schema_valid(Literal["good", "bad"])(reply('{"value": "good"}')) is True
    assert schema_valid({"type": "object", "required": ["city"]})(reply('{"town": 1}')) is False
    with pytest.raises(OptionError, match=r"^schema_valid: int: |^schema_valid: ") as caught:
        schema_valid(3)
    assert "--schema int" not in caught.value.what


def test_length_counts_characters_or_words() -> None:
    assert length(reply("It is Paris.")) == 12
    assert length("words")(reply("It is  Paris.")) == 3
    assert length("characters")(reply("It")) == 2
    with pytest.raises(OptionError, match="characters or words") as caught:
        length("word")
    assert 'length("words")' in caught.value.remedy


def test_similar_is_between_0_and_1() -> None:
    assert similar("kitten")(reply("kitten ")) == 1
    assert similar("kitten")(reply("sitting")) == pytest.approx(8 / 13)
    assert similar("expected")(reply("abc"), {"expected": "xyz"}) == 0
    assert similar("ABC", ignore_case=True)(reply("abc")) == 1


def test_similar_says_at_once_that_it_needs_rapidfuzz(monkeypatch) -> None:
    real_import = builtins.__import__

    def without(name: str, *args: object, **kwargs: object) -> object:
        if name == "rapidfuzz":
            raise ModuleNotFoundError(name)
        return real_import(name, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(SetupError, match="rapidfuzz") as caught:
        similar("a")
    assert "glm_magic[explore]" in caught.value.remedy


def test_the_scores_are_an_attribute_that_loads_nothing_heavy() -> None:
    code = """
import sys, glm_magic
assert "glm_magic.scores" not in sys.modules
right = glm_magic.scores.equals("label")
for heavy in ("numpy", "scipy", "rapidfuzz", "pydantic", "httpx", "IPython", "markdown_it"):
    assert heavy not in sys.modules, heavy
print(right.__name__)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "equals\n"
    assert callable(glm_magic.scores.judge)
