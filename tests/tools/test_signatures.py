# ruff: noqa: B008, UP007, UP045 - hints and defaults as people write them
import enum
import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Generic, Literal, Optional, TypedDict, TypeVar, Union

import pytest
from pydantic import BaseModel, Field, field_validator

from glm_magic.errors import OptionError
from glm_magic.tools.signatures import Call, signature


class Unit(enum.Enum):
    """Of temperature."""

    CELSIUS = "C"
    FAHRENHEIT = "F"


@dataclass
class Point:
    x: int
    y: int = 0
    tags: list[str] = field(default_factory=list)


class Row(TypedDict, total=False):
    name: str
    at: Point


class Order(BaseModel):
    """An order."""

    sku: str = Field(description="the article")
    count: int = 1


class Node(BaseModel):
    value: int
    next: Optional["Node"] = None


def properties(function):
    return signature(function, "f").schema["properties"]


def property_of(hint):
    def f(x): ...

    f.__annotations__["x"] = hint
    return properties(f)["x"]


def given(function, arguments):
    return signature(function, "f").call(arguments)


@pytest.mark.parametrize(
    ("hint", "expected"),
    [
        (str, {"type": "string"}),
        (int, {"type": "integer"}),
        (float, {"type": "number"}),
        (bool, {"type": "boolean"}),
        (Any, {}),
        (None, {"type": "null"}),
        (list, {"items": {}, "type": "array"}),
        (list[int], {"items": {"type": "integer"}, "type": "array"}),
        (Sequence[int], {"items": {"type": "integer"}, "type": "array"}),
        (Iterable[int], {"items": {"type": "integer"}, "type": "array"}),
        (set[int], {"items": {"type": "integer"}, "type": "array", "uniqueItems": True}),
        (dict[str, float], {"additionalProperties": {"type": "number"}, "type": "object"}),
        (Literal["a", "b"], {"enum": ["a", "b"], "type": "string"}),
        (Optional[str], {"anyOf": [{"type": "string"}, {"type": "null"}]}),
        (int | None, {"anyOf": [{"type": "integer"}, {"type": "null"}]}),
        (Union[int, str], {"anyOf": [{"type": "integer"}, {"type": "string"}]}),
        (date, {"format": "date", "type": "string"}),
        (Unit, {"$ref": "#/$defs/Unit"}),
        (Point, {"$ref": "#/$defs/Point"}),
        (Row, {"$ref": "#/$defs/Row"}),
        (list[Row], {"items": {"$ref": "#/$defs/Row"}, "type": "array"}),
        (Order, {"$ref": "#/$defs/Order"}),
        (Annotated[int, Field(ge=1, le=9, description="how many")],
         {"description": "how many", "maximum": 9, "minimum": 1, "type": "integer"}),
        (Annotated[str, "where"], {"description": "where", "type": "string"}),
    ],
)  # fmt: skip
def test_a_type_hint_becomes_a_json_schema(hint, expected):
    assert property_of(hint) == expected


def test_what_hints_refer_to_is_defined_beside_without_noise():
    def f(unit: Unit, row: Row, order: Order): ...

    assert signature(f, "f").schema["$defs"] == {
        "Order": {
            "description": "An order.",
            "properties": {
                "sku": {"description": "the article", "type": "string"},
                "count": {"default": 1, "type": "integer"},
            },
            "required": ["sku"],
            "type": "object",
        },
        "Point": {
            "additionalProperties": False,
            "properties": {
                "x": {"type": "integer"},
                "y": {"default": 0, "type": "integer"},
                "tags": {"items": {"type": "string"}, "type": "array"},
            },
            "required": ["x"],
            "type": "object",
        },
        "Row": {
            "additionalProperties": False,
            "properties": {"name": {"type": "string"}, "at": {"$ref": "#/$defs/Point"}},
            "type": "object",
        },
        "Unit": {"description": "Of temperature.", "enum": ["C", "F"], "type": "string"},
    }


def test_the_function_gets_values_of_the_types_of_its_hints():
    def f(unit: Unit, point: Point, row: Row, order: Order, day: date, price: Decimal, ids: set[int], tree: Node): ...

    call = given(
        f,
        '{"unit": "F", "point": {"x": 1}, "row": {"at": {"x": 2, "y": 3}}, "order": {"sku": "a"}, "day": "2024-02-29",'
        ' "price": "1.10", "ids": [1, 1], "tree": {"value": 1, "next": {"value": 2}}}',
    )
    assert call.kwargs == {
        "unit": Unit.FAHRENHEIT,
        "point": Point(1),
        "row": {"at": Point(2, 3)},
        "order": Order(sku="a"),
        "day": date(2024, 2, 29),
        "price": Decimal("1.10"),
        "ids": {1},
        "tree": Node(value=1, next=Node(value=2)),
    }


def test_only_parameters_without_a_default_are_required():
    def f(a, b: int, c=1, *, d: str, e: str = "x"): ...

    schema = signature(f, "f").schema
    assert schema["required"] == ["a", "b", "d"]
    assert schema["properties"]["c"] == {"default": 1}
    assert schema["properties"]["e"] == {"default": "x", "type": "string"}
    assert schema["additionalProperties"] is False


def test_a_function_without_parameters_takes_an_empty_object():
    assert signature(lambda: 1, "f").schema == {"additionalProperties": False, "properties": {}, "type": "object"}


@pytest.mark.parametrize(
    "default", [object(), float("nan"), [float("inf")], b"\xff", len, "\ud800", {1: {2: object()}}]
)
def test_a_default_that_is_no_json_holds_and_is_not_told(default):
    def f(x=default): ...

    schema = signature(f, "f").schema
    assert schema["properties"] == {"x": {}}
    assert "required" not in schema
    assert given(f, "{}") == Call((), {})


def test_a_default_that_cannot_be_copied_does_no_harm():
    import threading

    def f(x: int = 1, lock=threading.Lock()): ...

    assert given(f, '{"x": 2}').kwargs == {"x": 2}


@pytest.mark.parametrize("hint", [int, Optional[int], Annotated[int, Field(ge=1)], "int"])
def test_a_parameter_whose_default_is_none_takes_null(hint):
    def f(x=None): ...

    f.__annotations__["x"] = hint
    assert given(f, '{"x": null}').kwargs == {"x": None}
    assert properties(f)["x"]["default"] is None


def test_pydantic_defaults_are_known_to_pydantic_alone_and_so_are_given():
    def f(a: int = Field(description="one", ge=1), b: int = Field(2), c: list = Field(default_factory=list)): ...

    assert signature(f, "f").schema["required"] == ["a"]
    assert properties(f)["a"] == {"description": "one", "minimum": 1, "type": "integer"}
    assert given(f, '{"a": 1}').kwargs == {"a": 1, "b": 2, "c": []}


def test_a_default_within_annotated_is_given():
    def f(a: Annotated[int, Field(default=5)]): ...

    assert given(f, "{}").kwargs == {"a": 5}


def test_what_annotated_says_comes_before_the_docstring():
    def f(a: Annotated[int, Field(description="from the hint")], b: int = 1):
        """Add.

        Args:
            a: from the docstring
            b: from the docstring too
        """

    assert properties(f)["a"]["description"] == "from the hint"
    assert properties(f)["b"]["description"] == "from the docstring too"
    assert signature(f, "f").description == "Add."


@pytest.mark.parametrize(
    "name", ["schema", "json", "copy", "model_config", "_private", "self_", "title", "description"]
)
def test_a_parameter_may_have_any_name(name):
    scope: dict = {}
    exec(f"def f({name}: int): ...", scope)
    assert properties(scope["f"]) == {name: {"type": "integer"}}
    assert given(scope["f"], f'{{"{name}": 1}}').kwargs == {name: 1}


def test_positional_only_parameters_are_given_by_position():
    def f(a: int, b: int = 2, c: int = 3, /, d: int = 4): ...

    assert given(f, '{"a": 1}') == Call((1,), {})
    assert given(f, '{"a": 1, "c": 5, "d": 6}') == Call((1, 2, 5), {"d": 6})


def test_keyword_only_parameters_are_given_by_name():
    def f(*, a: int, b: int = 2): ...

    assert given(f, '{"a": 1}') == Call((), {"a": 1})


def test_extra_keywords_are_not_offered_and_extra_positions_are_refused_with_the_reason():
    def options(a: int, **options): ...

    def many(a: int, *numbers: int): ...

    assert properties(options) == {"a": {"type": "integer"}}
    with pytest.raises(OptionError, match=r"-T many: it takes \*numbers, but a model passes every argument by name"):
        signature(many, "many")


class Station:
    """A station."""

    def __init__(self, offset: int) -> None:
        self.offset = offset

    def read(self, hour: int) -> int:
        """Read it."""
        return hour + self.offset

    @classmethod
    def nearest(cls, city: str):
        """Find one."""

    @staticmethod
    def convert(value: float):
        """Convert it."""

    def __call__(self, day: int):
        """Call it."""
        return day + self.offset


class Silent:
    """What it is."""

    def __call__(self, day: int): ...


def test_bound_methods_class_methods_and_static_methods_are_tools():
    assert list(properties(Station(1).read)) == ["hour"]
    assert list(properties(Station.nearest)) == ["city"]
    assert list(properties(Station.convert)) == ["value"]
    assert signature(Station(1).read, "f").description == "Read it."


def test_an_object_that_can_be_called_is_a_tool():
    assert list(properties(Station(1))) == ["day"]
    assert signature(Station(1), "f").description == "Call it."
    assert signature(Silent(), "f").description == "What it is."


def test_a_method_without_its_object_is_refused():
    with pytest.raises(OptionError, match="it is an unbound method"):
        signature(Station.read, "f")


def test_a_class_is_a_function_that_makes_one():
    assert list(properties(Point)) == ["x", "y", "tags"]
    assert given(Order, '{"sku": "a"}').kwargs == {"sku": "a"}


def test_what_a_partial_has_bound_is_not_offered():
    def fetch(url: str, key: str, timeout: int = 3):
        """Fetch it."""

    bound = functools.partial(fetch, key="secret")
    assert list(properties(bound)) == ["url", "timeout"]
    assert "secret" not in str(signature(bound, "f").schema)
    assert signature(bound, "f").description == "Fetch it."
    assert list(properties(functools.partial(functools.partial(fetch, "u"), timeout=1))) == ["key"]
    assert given(bound, '{"url": "u"}').kwargs == {"url": "u"}


def test_a_decorated_function_is_what_it_wraps():
    def logged(function):
        @functools.wraps(function)
        def wrapper(*args, **kwargs):
            return function(*args, **kwargs)

        return wrapper

    @functools.lru_cache
    @logged
    def add(a: "int", unit: "Unit"):
        """Add."""

    assert properties(add)["a"] == {"type": "integer"}
    assert properties(add)["unit"] == {"$ref": "#/$defs/Unit"}
    assert signature(add, "f").description == "Add."


def test_an_async_function_is_described_as_any_other():
    async def f(a: int):
        """Wait."""

    assert properties(f) == {"a": {"type": "integer"}}


class Frame:
    pass


@pytest.mark.parametrize("hint", [Frame, Callable[[int], int], list[Frame], Optional[Frame], Frame | int, "Frame"])
def test_a_hint_that_json_cannot_write_is_an_error_that_names_the_parameter(hint):
    def f(a: int, x): ...

    f.__annotations__["x"] = hint
    with pytest.raises(
        OptionError, match=r"-T f: the parameter x \(.*(Frame|Callable).*\) takes a type that JSON cannot hold"
    ):
        signature(f, "f")


@pytest.mark.parametrize(
    ("hint", "says"),
    [("Unknown", "undefined type hint: name 'Unknown'"), ("list[", "cannot be offered"), ("1 +", "cannot be offered")],
)
def test_a_hint_that_cannot_be_read_is_an_error_that_names_the_parameter(hint, says):
    def f(x): ...

    f.__annotations__["x"] = hint
    with pytest.raises(OptionError, match=rf"the parameter x \(.*\) .*{says}"):
        signature(f, "f")


def test_what_it_returns_need_not_be_known():
    def f(x: int) -> "Unknown": ...  # noqa: F821

    assert properties(f) == {"x": {"type": "integer"}}


def test_a_generic_hint_is_read():
    kind = TypeVar("kind")

    class Page(BaseModel, Generic[kind]):
        items: list[kind]

    def f(page): ...

    f.__annotations__["page"] = Page[int]
    assert given(f, '{"page": {"items": ["1"]}}').kwargs["page"].items == [1]


def test_a_dict_default_and_a_set_default_say_the_same_each_time():
    def f(x={"b", "a", "c"}, y={"k": 1}): ...  # noqa: B006

    assert properties(f) == {"x": {"default": ["a", "b", "c"]}, "y": {"default": {"k": 1}}}


def test_a_validator_of_the_persons_own_counts():
    class Even(BaseModel):
        n: int

        @field_validator("n")
        @classmethod
        def even(cls, n):
            if n % 2:
                raise ValueError("not even")
            return n

    def f(even): ...

    f.__annotations__["even"] = Even
    with pytest.raises(ValueError, match="not even"):
        given(f, '{"even": {"n": 1}}')


FUTURE_CELL = """
from __future__ import annotations
from dataclasses import dataclass
from typing import TypedDict
from pydantic import BaseModel

def ask(query: Query, where: list[Place], row: Row) -> Later:
    "Ask."

class Query(BaseModel):
    text: str
    near: Place | None = None

@dataclass
class Place:
    name: str
    inside: Place | None = None

class Row(TypedDict):
    at: Place
"""


@pytest.fixture
def namespace():
    from ipython_shell import close, new_shell

    shell = new_shell()
    yield shell
    close(shell)


def test_a_cell_may_hint_at_names_that_it_defines_later(namespace):
    namespace.run_cell(FUTURE_CELL).raise_error()
    ask = namespace.user_ns["ask"]
    assert ask.__module__ == "__main__"
    call = given(
        ask,
        '{"query": {"text": "a", "near": {"name": "b"}}, "where": [{"name": "c", "inside": {"name": "d"}}],'
        ' "row": {"at": {"name": "e"}}}',
    )
    place = namespace.user_ns["Place"]
    assert call.kwargs["where"] == [place("c", place("d"))]
    assert call.kwargs["query"].near == place("b")
    assert call.kwargs["row"] == {"at": place("e")}


def test_a_class_that_is_defined_anew_is_the_one_that_counts(namespace):
    namespace.run_cell("from dataclasses import dataclass\ndef f(a: 'A'): ...").raise_error()
    namespace.run_cell("@dataclass\nclass A:\n    x: int").raise_error()
    signature(namespace.user_ns["f"], "f")
    namespace.run_cell("@dataclass\nclass A:\n    y: str").raise_error()
    assert given(namespace.user_ns["f"], '{"a": {"y": "z"}}').kwargs["a"].y == "z"
