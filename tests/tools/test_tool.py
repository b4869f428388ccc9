import enum
import functools
import json
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from typing import Annotated, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AfterValidator, BaseModel

from glm_magic.errors import OptionError
from glm_magic.tools.signatures import Call
from glm_magic.tools.tool import MOST_TOOLS, Tool, ToolArgumentsError, arguments, checked, tool

WEB_SEARCH = {"type": "web_search", "web_search": {"enable": True}}


def weather(city: str, days: int = 3, unit: Literal["C", "F"] = "C"):
    """Look up the weather.

    Args:
        city: where
    """


def call(function, written):
    return arguments(tool(function, "f"), written)


def fault(function, written):
    with pytest.raises(ToolArgumentsError) as caught:
        call(function, written)
    return str(caught.value)


def test_a_function_is_offered_as_the_protocol_writes_it():
    assert tool(weather, "weather").api == {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "Look up the weather.",
            "parameters": {
                "type": "object",
                "properties": {
                    "city": {"type": "string", "description": "where"},
                    "days": {"type": "integer", "default": 3},
                    "unit": {"type": "string", "enum": ["C", "F"], "default": "C"},
                },
                "required": ["city"],
                "additionalProperties": False,
            },
        },
    }


def test_a_tool_is_called_as_it_was_offered():
    assert tool(weather, "forecast").api["function"]["name"] == "forecast"
    assert tool(functools.partial(weather, days=1), "tomorrow").name == "tomorrow"
    assert tool(lambda x: x, "same").name == "same"


def test_a_function_without_a_docstring_is_described_by_its_head():
    def f(a, *, b=1): ...

    assert tool(f, "add").api["function"]["description"] == "add(a, b)"
    assert tool(lambda: 1, "one").api["function"]["description"] == "one()"


@pytest.mark.parametrize("name", ["a", "a" * 64, "get-weather_2", "__"])
def test_a_name_that_glm_takes_is_taken(name):
    assert tool(weather, name).name == name


@pytest.mark.parametrize("name", ["", "a" * 65, "client.get", "größe", "天气", "a b", "a\n", "a[0]"])
def test_another_name_is_an_error_that_says_how_to_give_one(name):
    with pytest.raises(OptionError, match=r"tool = the_function, -T tool"):
        tool(weather, name)


@pytest.mark.parametrize("value", [3, "weather", None, [weather]])
def test_what_cannot_be_called_is_no_tool(value):
    with pytest.raises(OptionError, match="expected a function, got"):
        tool(value, "f")


def test_a_builtin_that_does_not_tell_what_it_takes_is_refused():
    with pytest.raises(OptionError, match="-T most: its signature is not known"):
        tool(max, "most")


def test_a_docstring_with_half_a_character_is_refused_before_anything_is_sent():
    def f(): ...

    f.__doc__ = "\ud800"
    with pytest.raises(OptionError, match="cannot be written as JSON"):
        tool(f, "f")


def test_a_tool_of_the_service_is_sent_as_it_is():
    search = {"type": "web_search", "web_search": {"enable": True, "search_query": "天气"}}
    made = tool(search, "search")
    assert (made.name, made.function, made.api) == ("search", None, search)


def test_what_is_done_to_the_dict_later_does_not_reach_the_tool():
    search = {"type": "web_search", "web_search": {"enable": True}}
    made = tool(search, "search")
    search["web_search"]["enable"] = False
    assert made.api == WEB_SEARCH


@pytest.mark.parametrize(
    ("api", "says"),
    [
        ({}, "a dict without a type"),
        ({"type": ""}, "a dict without a type"),
        ({"type": 3}, "a dict without a type"),
        (tool(weather, "weather").api, "there is nothing to run"),
        ({"type": "retrieval", "x": object()}, "cannot be written as JSON"),
        ({"type": "retrieval", "x": float("nan")}, "cannot be written as JSON"),
        ({"type": "retrieval", "x": "\ud800"}, "cannot be written as JSON"),
    ],
)
def test_a_dict_that_is_no_tool_of_the_service_is_an_error(api, says):
    with pytest.raises(OptionError, match=says):
        tool(api, "search")


def test_a_tool_of_the_service_is_not_called_here():
    with pytest.raises(ToolArgumentsError, match="service runs this tool itself"):
        arguments(tool(WEB_SEARCH, "search"), "{}")


def test_as_many_tools_as_glm_takes_may_be_offered_together():
    tools = [Tool(f"tool{number}", WEB_SEARCH) for number in range(MOST_TOOLS + 1)]
    assert checked(iter(tools[:-1])) == tuple(tools[:-1])
    with pytest.raises(OptionError, match="at most 128 tools, not 129"):
        checked(tools)


def test_a_name_may_be_offered_once():
    with pytest.raises(OptionError, match="-T a is given twice"):
        checked([Tool("a", WEB_SEARCH), Tool("b", WEB_SEARCH), Tool("a", WEB_SEARCH)])


def test_arguments_are_those_of_the_function():
    assert call(weather, '{"city": "Bern", "days": 2}') == Call((), {"city": "Bern", "days": 2})


@pytest.mark.parametrize("written", ["", " \n", "{}"])
def test_nothing_written_is_no_arguments(written):
    assert call(lambda a=1: a, written) == Call((), {})


@pytest.mark.parametrize(
    ("hint", "written", "expected"),
    [
        (int, '"3"', 3),
        (int, "3.0", 3),
        (float, '"2.5"', 2.5),
        (float, "2", 2.0),
        (bool, '"true"', True),
        (bool, '"no"', False),
        (bool, "1", True),
        (tuple[int, ...], "[1]", (1,)),
        (set[int], "[1]", {1}),
        (float, "Infinity", float("inf")),
        (datetime, "0", datetime(1970, 1, 1, tzinfo=timezone.utc)),
        (timedelta, "90", timedelta(seconds=90)),
        (int, '1, "x": 2', 2),
    ],
)
def test_what_models_write_for_the_right_thing_is_taken(hint, written, expected):
    def f(x): ...

    f.__annotations__["x"] = hint
    got = call(f, f'{{"x": {written}}}').kwargs["x"]
    assert (type(got), got) == (type(expected), expected)


@pytest.mark.parametrize(
    ("hint", "written"),
    [(str, "3"), (int, "3.5"), (int, "null"), (list[int], '"[1]"'), (dict, '"{}"'), (bool, "2"), (list[int], "1")],
)
def test_what_is_not_meant_plainly_is_refused(hint, written):
    def f(x): ...

    f.__annotations__["x"] = hint
    assert "\n- x: " in fault(f, f'{{"x": {written}}}')


def test_a_fault_names_each_argument_and_what_is_wrong_with_it():
    assert fault(weather, '{"days": "some", "unit": "K", "where": "Bern"}') == (
        "The arguments are not valid; the function was not called.\n"
        "- city: Field required\n"
        "- days: Input should be a valid integer, unable to parse string as an integer\n"
        "- unit: Input should be 'C' or 'F'\n"
        "- where: Unknown argument. The arguments are: city, days, unit"
    )


def test_a_fault_inside_an_argument_says_where():
    class Item(BaseModel):
        count: int

    def f(items): ...

    f.__annotations__["items"] = list[Item]
    assert "- items[1].count: Input should be" in fault(f, '{"items": [{"count": 1}, {"count": "x"}]}')


@pytest.mark.parametrize(
    "written", ["[", "nonsense", "null", "[]", '"{}"', '{"city": "a"', "[" * 9999, '"\ud800"', "\0"]
)
def test_what_is_no_json_object_is_a_fault(written):
    assert fault(weather, written).count("\n") == 1


def test_a_fault_is_short_and_holds_no_address():
    many = json.dumps({f"x{number}": "y" * 1000 for number in range(1000)})
    said = fault(weather, many)
    assert len(said) < 2500
    assert "http" not in said
    assert "yyy" not in said


@pytest.mark.parametrize("kind", [KeyError, SystemExit, GeneratorExit])
def test_an_error_in_a_validator_of_the_persons_own_goes_to_the_model(kind):
    def fail(value):
        raise kind("no such city")

    def f(x): ...

    f.__annotations__["x"] = Annotated[str, AfterValidator(fail)]
    assert f"{kind.__name__}: {kind('no such city')}" in fault(f, '{"x": "a"}')


class Unit(enum.Enum):
    C = 1


class Tree(BaseModel):
    children: list["Tree"] = []


def everything(a: int, b: list[float], c: Unit, d: Tree, e, f: bytes = b"", g: dict[str, set[int]] | None = None): ...


EVERYTHING = tool(everything, "everything")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda v: st.lists(v) | st.dictionaries(st.text(), v),
)


@given(
    st.text()
    | JSON.map(json.dumps)
    | st.fixed_dictionaries({}, optional=dict.fromkeys("abcdefgh", JSON)).map(json.dumps)
)
def test_whatever_a_model_writes_is_a_call_or_a_fault(written):
    try:
        said = repr(arguments(EVERYTHING, written))
    except ToolArgumentsError as fault:
        said = str(fault)
    assert said


def test_nothing_heavy_is_loaded_before_there_is_a_tool():
    code = (
        "import sys, glm_magic.tools.tool as tools, glm_magic.tools.run\n"
        "heavy = {'pydantic', 'pydantic_core', 'docstring_parser', 'jsonschema'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
        "tools.tool({'type': 'web_search'}, 'search')\n"
        "assert not heavy & set(sys.modules)\n"
        "tools.tool(lambda x: x, 'same')\n"
        "assert 'pydantic' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
