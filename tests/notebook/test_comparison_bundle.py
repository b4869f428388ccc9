"""The bundle of a comparison is as its JSON Schema says, and is read as it was written."""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from test_bundle import FULL, PLAIN, WITH_IMAGE
from test_bundle import SCHEMA as TURN

from glm_magic.errors import HistoryError
from glm_magic.notebook import comparison
from glm_magic.notebook.comparison import RunAt, decode, encode
from glm_magic.notebook.runs import RunKey, SavedRun

SCHEMA = json.loads(Path(comparison.__file__).with_name("comparison.schema.json").read_text(encoding="utf-8"))
COLUMN = {"label": "A", "variant": "", "prompt": "hi", "model": "GLM-4-Air", "settings": ["GLM-4-Air", "t 0"]}
KEY = RunKey("0" * 16, "f" * 64)
KEPT = SavedRun(KEY, dataclasses.replace(FULL, new=False, interrupted=False))
RATED = SavedRun(
    dataclasses.replace(KEY, nth=1, repeat=2),
    dataclasses.replace(PLAIN, fingerprint="f" * 64),
    4,
    "good",
    is_picked=True,
)
ROWS = [{"text": "x", "none": None}]
PICTURE = SavedRun(KEY, dataclasses.replace(PLAIN, messages=(WITH_IMAGE, PLAIN.messages[1])))


def shown(*runs: RunAt, rows: Sequence[dict[str, object]] = ROWS, judged: Sequence[SavedRun] = ()) -> dict[str, Any]:
    return encode(
        "main", columns=[COLUMN], rows=rows, repeats=1, runs=runs, after=["id0"], baseline=0, judged=judged, call=0
    )


def sent_after(run: SavedRun, id_: str) -> SavedRun:
    return dataclasses.replace(run, attempt=dataclasses.replace(run.attempt, after=(id_,)))


EVERY = shown(
    RunAt((0, 0, 0), KEY, KEPT, scores={"right": True, "length": 2.5}),
    RunAt((1, 0, 0), RATED.key, RATED),
    RunAt((2, 0, 0), KEY, error="The service is too busy."),
    RunAt((3, 0, 0), KEY),
    judged=[KEPT],
)


@pytest.mark.parametrize(
    "made", [EVERY, shown(), shown(RunAt((0, 0, 0), KEY, PICTURE)), shown(RunAt((0, 0, 0), KEY, KEPT), rows=[])]
)
def test_every_bundle_is_as_the_schema_in_the_package_says(made: dict[str, Any]) -> None:
    Draft202012Validator.check_schema(SCHEMA)
    Draft202012Validator(SCHEMA).validate(made)


def test_the_schema_knows_every_field_and_no_other() -> None:
    made = EVERY
    assert set(SCHEMA["properties"]) == set(made)
    assert set(SCHEMA["$defs"]["answered"]["properties"]) == {*made["runs"][0], *made["runs"][1]}
    assert set(SCHEMA["$defs"]["unanswered"]["properties"]) == {*made["runs"][2], "scores"}
    assert {"message", "tool_run", "source"} <= set(SCHEMA["$defs"])
    assert all(SCHEMA["$defs"][name] == TURN["$defs"][name] for name in ("message", "tool_run", "source"))


@pytest.mark.parametrize("key", ["version", "columns", "questions", "runs", "left_out"])
def test_a_damaged_bundle_is_not_as_the_schema_says(key: str) -> None:
    assert list(Draft202012Validator(SCHEMA).iter_errors({**EVERY, key: [7.5]}))


def test_the_runs_with_an_answer_are_read_as_they_were_written() -> None:
    problems: list[str] = []
    read = list(decode(json.loads(json.dumps(EVERY)), problems))
    assert read == [sent_after(run, "id0") for run in (KEPT, RATED, KEPT)]
    assert problems == []


def test_a_damaged_run_costs_only_itself_and_a_later_version_is_refused() -> None:
    data, problems = copy.deepcopy(EVERY), []
    data["runs"][0]["question"] = 99
    assert [run.attempt.id for run in decode(data, problems)] == ["id2", "id1"]
    assert len(problems) == 1
    assert "Run 1 is damaged" in problems[0]
    with pytest.raises(HistoryError, match="later glm_magic"):
        list(decode({**data, "version": 2}, problems))


def test_what_would_pass_two_million_characters_is_left_out_from_the_end() -> None:
    long = dataclasses.replace(PLAIN, reasoning="x" * 900_000)
    data = shown(*(RunAt((row, 0, 0), KEY, SavedRun(KEY, long)) for row in range(3)))
    assert len(data["runs"]) == 2
    assert data["left_out"] == 1
