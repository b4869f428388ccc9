from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import json
import os
import pickle
import subprocess
import sys
from typing import Annotated, Any, Literal, NamedTuple, Optional, TypedDict, Union

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, RootModel, field_validator

from glm_magic.errors import OptionError
from glm_magic.tools.schemas import JSON, SchemaMismatch, question_again, read_json, schema


class Kind(enum.Enum):
    TOWN = "town"
    CITY = "city"


class City(BaseModel):
    """A place where people live."""

    name: str = Field(description="in its own language")
    population: int


@dataclasses.dataclass
class Visit:
    city: str
    day: dt.date
    kind: Kind = Kind.TOWN

    def __post_init__(self):
        if self.city == "Atlantis":
            raise ValueError("it has sunk")


class Point(TypedDict):
    x: int
    y: int


class Named(TypedDict, total=False):
    name: str
    points: list[Point]


class Pair(NamedTuple):
    first: int
    second: str


class Node(BaseModel):
    name: str
    children: list[Node] = []


class Strict(BaseModel):
    model_config = ConfigDict(strict=True)
    day: dt.date
    kind: Kind


BERLIN = '{"name": "Berlin", "population": 3}'
POINT = {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]}


def mismatch(kind: Any, text: str) -> str:
    with pytest.raises(SchemaMismatch) as caught:
        (kind if kind is JSON else schema(kind, "It")).read(text)
    return str(caught.value)


def told(kind: Any) -> Any:
    said, _, written = schema(kind, "It").instructions().partition("\n")
    assert said == "Answer with JSON only, without any other text. The JSON must fit this JSON Schema:"
    return json.loads(written)


# --- reading ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (City, BERLIN, City(name="Berlin", population=3)),
        (
            Visit,
            '{"city": "Ulm", "day": "2024-02-29", "kind": "city"}',
            Visit("Ulm", dt.date(2024, 2, 29), Kind.CITY),
        ),
        (Point, '{"x": 1, "y": 2}', {"x": 1, "y": 2}),
        (Named, '{"points": [{"x": 1, "y": 2}]}', {"points": [{"x": 1, "y": 2}]}),
        (list[City], '{"items": [' + BERLIN + "]}", [City(name="Berlin", population=3)]),
        (list[City], f"[{BERLIN}]", [City(name="Berlin", population=3)]),
        (dict[str, City], f'{{"b": {BERLIN}}}', {"b": City(name="Berlin", population=3)}),
        (City | None, '{"value": null}', None),
        (City | None, BERLIN, City(name="Berlin", population=3)),
        (Optional[list[Union[City, Point]]], f"[{BERLIN}]", [City(name="Berlin", population=3)]),  # noqa: UP007, UP045
        (City | Point, '{"x": 1, "y": 2}', {"x": 1, "y": 2}),
        (list[Point], '{"items": [{"x": 1, "y": 2}]}', [{"x": 1, "y": 2}]),
        (list[Point] | None, '{"value": [{"x": 1, "y": 2}]}', [{"x": 1, "y": 2}]),
        (Annotated[list[Point], Field(max_length=1)], '{"items": [{"x": 1, "y": 2}]}', [{"x": 1, "y": 2}]),
        (Kind, '{"value": "city"}', Kind.CITY),
        (Literal["a", "b"], '"b"', "b"),
        (int, '{"value": 3}', 3),
        (Pair, '{"items": [1, "a"]}', Pair(1, "a")),
        (RootModel[list[int]], '{"items": [1]}', RootModel[list[int]]([1])),
        (Node, '{"name": "a", "children": [{"name": "b"}]}', Node(name="a", children=[Node(name="b")])),
        (Strict, '{"day": "2024-02-29", "kind": "town"}', Strict(day=dt.date(2024, 2, 29), kind=Kind.TOWN)),
        (POINT, '{"x": 1, "more": null}', {"x": 1, "more": None}),
        ({"type": "array", "items": POINT}, '{"items": [{"x": 1}]}', [{"x": 1}]),
        ({"enum": [1, "a"]}, '{"value": "a"}', "a"),
    ],
)
def test_an_answer_becomes_a_value_of_the_kind_that_was_asked_for(kind, text, value):
    assert schema(kind, "It").read(text) == value
    assert type(schema(kind, "It").read(text)) is type(value)


@pytest.mark.parametrize(
    "around",
    [
        "{}",
        "\n  {}\n",
        "\ufeff{}",
        "```json\n{}\n```",
        "```\n{}\n```\n",
        "~~~JSON\n{}\n~~~",
        "\n```json\n\n{}\n\n```",
        "```json\n{}",
    ],
)
def test_white_space_a_byte_order_mark_and_a_fence_may_be_around_an_answer(around):
    assert JSON.read(around.replace("{}", '{"a": "```"}')) == {"a": "```"}


@pytest.mark.parametrize(
    "text", [f"Here it is: {BERLIN}", f"{BERLIN}\nI hope it helps.", f"Sure!\n```json\n{BERLIN}\n```"]
)
def test_words_around_an_answer_are_a_mismatch(text):
    assert mismatch(City, text).startswith("The answer is not only JSON: ")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "The answer is empty."),
        ("```json\n```", "The answer is empty."),
        ("```json\n{" + "\n" * 1_000_000 + "```", "Expecting property name"),
        ('{"a": 1', "line 1, column 8"),
        ('{"a": NaN}', "NaN is not JSON"),
        ('{"a": -Infinity}', "-Infinity is not JSON"),
        ('{"a": 1e999}', "1e999 is too large for a float"),
        ('{"a": {"b": 1, "b": 2}}', 'the key "b" appears twice'),
        ('{"a": "\\ud800"}', "half a character"),
        ("[" * 5000 + "]" * 5000, "nested"),
        ("[" * 200_000, "nested"),
        ('{"a":' * 150 + "1" + "}" * 150, "nested more than 100 levels deep"),
        ("[1]", "Expected a JSON object, got a list"),
        ('"a"', "Expected a JSON object, got a text"),
        ("1", "Expected a JSON object, got a number"),
        ("true", "Expected a JSON object, got true"),
    ],
)
def test_what_is_no_json_object_is_a_mismatch_that_says_why(text, why):
    assert why in mismatch(JSON, text)


def test_a_mismatch_names_the_place_of_each_fault():
    text = '{"items": [{"name": 1, "population": 3}, {"name": "Ulm", "population": "many"}]}'
    assert mismatch(list[City], text).split("\n") == [
        "- items[0].name: Input should be a valid string",
        "- items[1].population: Input should be a valid integer, unable to parse string as an integer",
    ]
    assert mismatch(
        {"type": "object", "properties": {"p": {"type": "array", "items": POINT}}}, '{"p": [{}, {"x": "a"}]}'
    ).split("\n") == [
        "- p[0]: 'x' is a required property",
        "- p[1].x: 'a' is not of type 'integer'",
    ]


def test_a_check_of_ones_own_is_part_of_the_schema():
    assert mismatch(Visit, '{"city": "Atlantis", "day": "2024-02-29"}') == "- Value error, it has sunk"


def test_a_bug_in_a_check_of_ones_own_is_not_asked_about_again():
    class Buggy(BaseModel):
        a: int

        @field_validator("a")
        @classmethod
        def check(cls, value):
            return value / 0

    with pytest.raises(ZeroDivisionError):
        schema(Buggy, "Buggy").read('{"a": 1}')


def test_a_check_that_exits_does_not_end_the_cell():
    class Leaving(BaseModel):
        a: int

        @field_validator("a")
        @classmethod
        def check(cls, value):
            raise SystemExit("bye")

    with pytest.raises(RuntimeError, match="SystemExit: bye"):
        schema(Leaving, "Leaving").read('{"a": 1}')


def test_a_key_that_appears_twice_among_very_many_is_found_in_one_pass():
    many = "{" + "".join(f'"k{n}": 1, ' for n in range(50_000)) + '"k49999": 2}'
    with pytest.raises(SchemaMismatch, match='the key "k49999" appears twice'):
        read_json(many)


def test_a_mismatch_is_short_and_has_no_addresses_of_anybody_elses_documentation():
    many = mismatch(list[City], json.dumps({"items": [{"name": 1, "population": "x" * 9000}] * 50}))
    assert "http" not in many
    assert many.endswith("\n- and 92 more")
    assert len(many) < 1500
    long = mismatch({"type": "object", "properties": {"a": {"maxItems": 2}}}, json.dumps({"a": ["\x1b[2J" * 500] * 3}))
    assert long.startswith("- a: [")
    assert long.endswith("is too long")
    assert len(long) < 300
    assert "\x1b" not in long


def test_a_wrapper_has_nothing_beside_it():
    assert mismatch(list[City], '{"items": [], "count": 0}') == "- only the property 'items' is expected, not count"


def test_an_object_of_the_kind_itself_may_have_a_property_with_the_wrappers_name():
    class Box(BaseModel):
        value: int

    assert schema(Box | None, "Box").read('{"value": 3}') == Box(value=3)
    assert schema(Box | None, "Box").read('{"value": {"value": 3}}') == Box(value=3)


def test_the_model_is_told_what_does_not_fit_and_asked_once_more():
    with pytest.raises(SchemaMismatch) as caught:
        schema(City, "City").read('{"name": "Ulm"}')
    assert question_again(caught.value) == (
        "That answer does not fit.\n- population: Field required\n"
        "Give the whole answer again: JSON only, without any other text."
    )


@given(
    st.text()
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(["items", "value", "name", "population", "x", "children"]) | st.text(), inner
            )
        ),
    ).map(json.dumps)
)
def test_reading_raises_nothing_but_a_mismatch(text):
    for kind in (
        JSON,
        *(
            schema(kind, "It")
            for kind in (City, Node, list[Visit], Point | None, POINT, {"type": "number", "multipleOf": 0.1})
        ),
    ):
        try:
            kind.read(text)
        except SchemaMismatch as error:
            said = str(error)
            assert said


def test_any_json_is_read_where_no_kind_is_asked_for():
    assert read_json("```json\n[1, null]\n```") == [1, None]
    with pytest.raises(SchemaMismatch):
        read_json("Here: [1]")


def test_a_number_beyond_all_bounds_is_a_mismatch():
    assert mismatch({"type": "number", "multipleOf": 0.1}, "1" + "0" * 400)
    assert mismatch(City, '{"name": "a", "population": ' + "1" * 5000 + "}")


# --- what the model is told ------------------------------------------------------------------


def test_the_model_is_told_the_schema_without_titles_that_say_nothing():
    assert told(City) == {
        "description": "A place where people live.",
        "properties": {
            "name": {"description": "in its own language", "type": "string"},
            "population": {"type": "integer"},
        },
        "required": ["name", "population"],
        "type": "object",
    }


def test_a_property_called_title_is_no_title():
    class Book(BaseModel):
        title: str

    assert told(Book)["properties"] == {"title": {"type": "string"}}


def test_titles_in_ones_own_json_schema_are_ones_own_words():
    assert told({**POINT, "title": "A point"})["title"] == "A point"


def test_nothing_is_added_for_any_json_object():
    assert JSON.instructions() == ""


def test_a_typed_dict_of_the_standard_library_is_told_as_it_is():
    assert told(Named) == {
        "$defs": {
            "Point": {
                "properties": {"x": {"type": "integer"}, "y": {"type": "integer"}},
                "required": ["x", "y"],
                "type": "object",
            }
        },
        "properties": {"name": {"type": "string"}, "points": {"items": {"$ref": "#/$defs/Point"}, "type": "array"}},
        "type": "object",
    }


def test_what_is_no_object_is_told_as_the_one_property_of_an_object():
    assert told(list[City]) == {
        "$defs": {"City": told(City)},
        "additionalProperties": False,
        "properties": {"items": {"items": {"$ref": "#/$defs/City"}, "type": "array"}},
        "required": ["items"],
        "type": "object",
    }
    assert told(Kind)["properties"] == {"value": {"enum": ["town", "city"], "type": "string"}}


def test_a_reference_to_the_root_goes_where_the_root_has_gone():
    tree = {"type": "array", "items": {"$ref": "#"}}
    assert told(tree)["properties"]["items"] == {"type": "array", "items": {"$ref": "#/properties/items"}}
    assert schema(tree, "tree").read('{"items": [[], [[]]]}') == [[], [[]]]


@pytest.mark.parametrize("kind", [City, Visit, Node, Point, dict[str, City], City | Visit, POINT])
def test_an_object_is_told_as_it_is(kind):
    assert schema(kind, "It").wrapper == ""


def test_keywords_stand_in_one_order_and_properties_in_the_order_in_which_they_are_to_be_answered():
    one = {"type": "object", "properties": {"reason": {"type": "string"}, "answer": {"minimum": 1, "type": "integer"}}}
    same = {"properties": {"reason": {"type": "string"}, "answer": {"type": "integer", "minimum": 1}}, "type": "object"}
    assert schema(one, "It").instructions() == schema(same, "It").instructions()
    assert list(told(one)["properties"]) == ["reason", "answer"]


def test_the_text_is_the_same_in_every_process():
    script = (
        "from glm_magic.tools.schemas import schema\nimport pydantic\n"
        "class A(pydantic.BaseModel):\n    tags: set[str] = {'a', 'b', 'c', 'd', 'e'}\n    x: object = object()\n"
        "print(schema(A, 'A').instructions())"
    )
    said = set()
    for seed in "0123":
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        run = subprocess.run(
            [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
        )
        said.add(run.stdout)
    assert len(said) == 1
    assert '["a", "b", "c", "d", "e"]' in said.pop()


def test_a_later_change_of_a_dict_changes_no_schema():
    mine = {"type": "object", "properties": {"x": {"type": "integer"}}}
    kind = schema(mine, "mine")
    mine["properties"]["x"]["type"] = "string"
    assert kind.read('{"x": 1}') == {"x": 1}


def test_the_request_asks_for_json_in_the_way_that_the_service_knows():
    kind = schema(list[City], "list[City]")
    assert kind.response_format("json_object") == {"type": "json_object"}
    assert kind.response_format("json_schema") == {
        "type": "json_schema",
        "json_schema": {"name": "list_City", "schema": told(list[City])},
    }
    assert JSON.response_format("json_schema") == {"type": "json_object"}
    assert schema(City, "城市").response_format("json_schema")["json_schema"]["name"] == "answer"


def test_a_schema_can_be_sent_to_a_worker():
    kind = pickle.loads(pickle.dumps(schema(City, "City")))
    assert kind.read(BERLIN) == City(name="Berlin", population=3)


# --- what is no schema -----------------------------------------------------------------------


class Unfit(BaseModel):
    model_config = ConfigDict(arbitrary_types_allowed=True)
    shell: subprocess.Popen


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (City(name="a", population=1), "expected the class City, got an instance of it"),
        (Visit("a", dt.date.min), "expected the class Visit, got an instance of it"),
        ("City", "expected a type, got str"),
        (None, "expected a type, got NoneType"),
        (print, "expected a type, got"),
        (Any, "it "),
        (object, "it checks nothing"),
        (subprocess.Popen, "Popen"),
        (Unfit, "Popen"),
        ({}, "a dict without a keyword of JSON Schema"),
        ({"name": "string"}, "a dict without a keyword of JSON Schema"),
        ({"name": str}, "it is a dict that JSON cannot hold: Object of type type is not JSON serializable"),
        ({"type": "strin"}, "it is not a JSON Schema: type: 'strin' is not valid"),
        ({"type": "object", "properties": {"a": {"pattern": "["}}}, "properties.a.pattern: '[' is not a 'regex'"),
        (
            {"type": "object", "properties": {"a": {"$ref": "#/$defs/no"}}},
            "it refers to '/$defs/no', which is not in it",
        ),
        (
            {"items": {"$ref": "http://elsewhere.invalid/x"}},
            "it refers to 'http://elsewhere.invalid/x', which is not in it",
        ),
        ({"$ref": "#"}, "it refers to itself endlessly"),
    ],
)
def test_what_is_no_schema_is_an_error_that_says_what_is_allowed(value, why):
    with pytest.raises(OptionError) as caught:
        schema(value, "It")
    assert caught.value.what.startswith("--schema It: ")
    assert why in caught.value.what
    assert caught.value.remedy.startswith("It takes a pydantic model, a dataclass, a TypedDict")
    assert "http://errors" not in str(caught.value)
    assert "0x" not in str(caught.value)
