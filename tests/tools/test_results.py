import asyncio
import collections
import decimal
import enum
import io
import itertools
import json
import pathlib
import uuid
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, SecretStr

from glm_magic.chat.reply import Reply
from glm_magic.tools.results import LONGEST_RESULT, MOST_ITEMS, MOST_ROWS, result_text


class Unit(enum.Enum):
    CELSIUS = "C"


class Level(str, enum.Enum):
    LOW = "low"


@dataclass
class Point:
    x: int
    at: date
    tags: set = field(default_factory=set)


class Pair(NamedTuple):
    a: int
    b: Any


class Order(BaseModel):
    sku: str
    key: SecretStr
    thing: Any = None


class Thing:
    def __repr__(self):
        return "Thing()"


class Broken:
    def __repr__(self):
        raise ValueError("no")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("as it is\n  {", "as it is\n  {"),
        ("天气 😀", "天气 😀"),
        ("", '""'),
        (" \n", '" \\n"'),
        (None, "null"),
        (True, "true"),
        (3, "3"),
        (2.5, "2.5"),
        (float("nan"), "NaN"),
        ([float("inf"), -float("inf"), float("nan")], '["Infinity", "-Infinity", "NaN"]'),
        ({"a": [1, None], "天": "气"}, '{"a": [1, null], "天": "气"}'),
        ({1: "a", 2.5: "b", None: "c", ("x", 1): "d", Unit.CELSIUS: "e"},
         '{"1": "a", "2.5": "b", "null": "c", "[\\"x\\", 1]": "d", "C": "e"}'),
        ({3 }, "[3]"),
        (frozenset(), "[]"),
        (range(3), "[0, 1, 2]"),
        ({"a": 1}.keys(), '["a"]'),
        (collections.deque([1]), "[1]"),
        (collections.Counter("aab"), '{"a": 2, "b": 1}'),
        (Unit.CELSIUS, "C"),
        ([Level.LOW], '["low"]'),
        (Pair(1, [2]), '{"a": 1, "b": [2]}'),
        (Point(1, date(2024, 2, 29), {1}), '{"x": 1, "at": "2024-02-29", "tags": [1]}'),
        (datetime(2024, 2, 29, 12, tzinfo=timezone.utc), "2024-02-29T12:00:00Z"),
        (timedelta(hours=1), "PT1H"),
        (decimal.Decimal("1.10"), "1.10"),
        (decimal.Decimal("NaN"), "NaN"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (pathlib.Path("/a/b"), "/a/b"),
        (Order(sku="a", key="secret", thing=Thing()), '{"sku": "a", "key": "**********", "thing": "Thing()"}'),
        ([Thing()], '["Thing()"]'),
        (Thing(), "Thing()"),
        (Broken(), "<Broken>"),
        ([Broken()], '["<Broken>"]'),
        (len, "<built-in function len>"),
        (ValueError("no"), "ValueError('no')"),
        (Reply("the answer", model="x", request={"a": 1}), "the answer"),
        (b"plain \xe5\xa4\xa9\r\n", "plain 天\r\n"),
        (bytearray(b"text"), "text"),
        (memoryview(b"text"), "text"),
        (b"\x89PNG" * 200, "[800 bytes that are not text; they begin with " + repr(b"\x89PNG" * 8) + "]"),
        (b"\x00\x01", "[2 bytes that are not text; they begin with b'\\x00\\x01']"),
        ((n * n for n in range(3)), "[0, 1, 4]"),
        (map(str, [1]), '["1"]'),
        (io.StringIO("a\nb\n"), '["a\\n", "b\\n"]'),
    ],
)  # fmt: skip
def test_a_result_is_text_as_it_is_or_json(value, text):
    assert result_text(value) == text


def test_a_long_text_is_cut_with_a_note():
    text = result_text("x" * 3_000_000)
    assert text.startswith("x" * LONGEST_RESULT + "\n[cut: ")
    assert text.endswith("[cut: these are the first 50,000 of 3,000,000 characters]")
    assert result_text("x" * LONGEST_RESULT) == "x" * LONGEST_RESULT


def test_an_iterator_without_end_is_read_for_a_while():
    read = json.loads(result_text(itertools.repeat(1)))
    assert read == [*[1] * MOST_ITEMS, "[more items: it was not read to its end]"]
    assert json.loads(result_text(iter([1] * MOST_ITEMS))) == [1] * MOST_ITEMS


def test_a_generator_is_closed_where_reading_ends():
    closed = []

    def numbers():
        try:
            while True:
                yield 1
        finally:
            closed.append(True)

    result_text(numbers())
    assert closed == [True]


def test_a_list_of_too_many_says_how_many_more():
    text = json.loads(result_text([1] * (MOST_ITEMS + 5)))
    assert text == [*[1] * MOST_ITEMS, "[5 more]"]
    nested = [[1] * 3000 for _ in range(3000)]
    assert len(result_text(nested)) < LONGEST_RESULT
    assert json.loads(result_text(nested))[-1] == "[2,996 more]"
    many_names = [{}, *[1] * (MOST_ITEMS - 10), dict.fromkeys("abcdefghijklmnopq", 1)]
    assert json.loads(result_text(many_names))[-1] == {**dict.fromkeys("abcdefgh", 1), "[cut]": "[9 more]"}


def test_a_text_that_was_cut_twice_says_that_there_was_more():
    text = result_text(["number"] * (MOST_ITEMS + 5))
    assert text.endswith("\n[cut: these are the first 50,000 of more than 100,012 characters]")


def test_a_structure_that_holds_itself_is_written_once():
    value: dict = {"a": 1}
    value["self"] = [value]
    assert result_text(value) == '{"a": 1, "self": ["[circular]"]}'
    shared = [1]
    assert result_text([shared, shared]) == "[[1], [1]]"


def test_a_structure_without_end_is_cut():
    value: list = []
    for _ in range(100_000):
        value = [value]
    assert "[nested too deeply]" in result_text(value)


def test_half_characters_do_not_break_the_request():
    assert result_text("a\ud83d\ude00b") == "a😀b"
    assert result_text({"\ud800": ["\udc00"]}) == '{"�": ["�"]}'
    assert result_text(Thing) == repr(Thing)


def test_a_number_too_large_to_be_written_does_no_harm():
    assert result_text(10**10_000) == "<int>"


def test_what_fails_when_it_is_looked_at_is_named():
    class Bad(dict):
        def items(self):
            raise RuntimeError("no")

    assert result_text(Bad(a=1)) == "{'a': 1}"


def test_a_generator_that_fails_does_not_fail_the_turn():
    def numbers():
        yield 1
        raise ValueError("no")

    assert "generator" in result_text(numbers())


@pytest.mark.parametrize("kind", [RuntimeError, SystemExit, GeneratorExit, asyncio.CancelledError])
@pytest.mark.parametrize("method", ["__repr__", "__iter__", "__len__", "__getitem__", "items", "__eq__", "__hash__"])
def test_whatever_a_result_raises_when_it_is_looked_at_the_rest_is_kept(kind, method):
    def fail(*_):
        raise kind("no")

    for base in (object, dict, collections.UserList, str, int):
        bad = type("Bad", (base,), {method: fail})()
        assert json.loads(result_text({"ok": 1, "bad": bad}))["ok"] == 1
        assert result_text(bad)


def test_an_interrupt_is_raised_even_where_a_result_is_looked_at():
    class Slow:
        def __repr__(self):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        result_text([Slow()])


def test_a_missing_value_is_null_and_the_rest_is_kept():
    import numpy as np
    import pandas as pd

    assert result_text(pd.NaT) == "null"
    found = {"ok": 1, "when": pd.NaT, "n": pd.NA, "t": np.datetime64("NaT"), "m": np.ma.masked, "d": timedelta(hours=1)}
    assert json.loads(result_text(found)) == {**dict.fromkeys(found), "ok": 1, "d": "PT1H"}
    assert result_text(np.array([1, pd.NaT, pd.Timestamp("2024-02-29")], object)) == '[1, null, "2024-02-29T00:00:00"]'
    assert result_text(pd.Index([pd.Timestamp("2024-02-29"), pd.NaT])) == '["2024-02-29T00:00:00", null]'


def test_a_masked_value_is_null():
    import numpy as np

    assert result_text(np.ma.masked_array([1.5, 2.5], [True, False])) == "[null, 2.5]"
    assert result_text(np.ma.masked_array([[1, 2], [3, 4]], [[0, 1], [1, 0]])) == "[[1, null], [null, 4]]"
    assert result_text(np.ma.masked_array(5, mask=True)) == "null"
    record = np.ma.array([(1, 2.0)], mask=[(True, False)], dtype=[("a", int), ("b", float)])
    assert result_text(record) == "[[null, 2.0]]"


def test_a_number_that_cannot_be_written_costs_only_itself():
    assert result_text({"ok": 1, "n": 10**10_000}) == '{"ok": 1, "n": "<int>"}'


def test_nanoseconds_are_not_lost():
    import numpy as np
    import pandas as pd

    assert result_text([np.datetime64(1, "ns")]) == '["1970-01-01T00:00:00.000000001"]'
    assert result_text([np.timedelta64(1, "ns")]) == '["1 nanoseconds"]'
    assert result_text([pd.Timestamp(1)]) == '["1970-01-01T00:00:00.000000001"]'
    assert result_text([pd.Timedelta(1)]) == '["P0DT0H0M0.000000001S"]'


def test_the_arrays_of_pandas_are_lists():
    import pandas as pd

    assert result_text(pd.Index(range(2_000))).endswith("1998, 1999]")
    assert result_text(pd.Categorical(["a", "b"])) == '["a", "b"]'
    assert result_text(pd.array([1, None], dtype="Int64")) == "[1, null]"


def test_a_table_of_polars_is_csv_or_else_its_rows():
    pl = pytest.importorskip("polars")
    assert result_text(pl.DataFrame({"a": [1, 2]})) == "a\n1\n2\n"
    assert result_text(pl.DataFrame({"a": [[1, 2]]})) == '[{"a": [1, 2]}]'


def test_numpy_values_are_json():
    np = pytest.importorskip("numpy")
    assert result_text(np.float64(1.5)) == "1.5"
    assert result_text(np.int8(3)) == "3"
    assert result_text(np.bool_(True)) == "true"
    assert result_text(np.array([[1, 2], [3, 4]])) == "[[1, 2], [3, 4]]"
    assert result_text(np.array([1.0, np.nan])) == '[1.0, "NaN"]'
    assert result_text(np.array(5)) == "5"
    assert result_text(np.datetime64("2024-02-29")) == "2024-02-29"
    assert result_text({"a": np.longdouble(1)}).startswith('{"a": ')
    assert json.loads(result_text(np.zeros(10**7, int)))[-1] == "[9,990,000 more]"


def test_a_figure_is_named_and_not_sent():
    pytest.importorskip("matplotlib")
    from matplotlib.figure import Figure

    assert result_text(Figure()) == "[an image, which is not sent: <Figure size 640x480 with 0 Axes>]"


def test_a_picture_is_named_and_not_sent():
    image = pytest.importorskip("PIL.Image")
    assert result_text(image.new("RGB", (2, 3))).startswith(
        "[an image, which is not sent: <PIL.Image.Image image mode=RGB"
    )


def test_a_pandas_table_is_csv():
    import pandas as pd

    frame = pd.DataFrame({"city": ["Bern", "Bonn, D"], "t": [1.5, None]})
    assert result_text(frame) == 'city,t\nBern,1.5\n"Bonn, D",\n'
    assert result_text(frame.set_index("city")) == 'city,t\nBern,1.5\n"Bonn, D",\n'
    assert result_text(frame["t"].rename("t")) == 't\n1.5\n""\n'
    assert json.loads(result_text({"rows": 2, "table": frame}))["table"].startswith("city,t\n")
    assert result_text(pd.Timestamp("2024-02-29")) == "2024-02-29T00:00:00"
    many = result_text(pd.DataFrame({"n": range(250_000)}))
    assert many.startswith("n\n0\n1\n")
    assert many.endswith(f"\n{MOST_ROWS - 1}\n[cut: these are the first 1,000 of 250,000 rows]")


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()) | st.binary() | st.dates()
    | st.decimals() | st.timedeltas() | st.complex_numbers()
    | st.builds(Thing) | st.builds(Broken) | st.just(iter([1])),
    lambda value: st.lists(value) | st.dictionaries(st.text() | st.integers() | st.none(), value)
    | st.tuples(value, value).map(lambda pair: Pair(*pair)),
)  # fmt: skip


@given(ANYTHING | st.text(st.characters(categories=["Cs", "L"])))
def test_any_result_is_text_that_can_be_sent(value):
    text = result_text(value)
    assert text.strip()
    json.dumps(text, ensure_ascii=False).encode()


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.text(min_size=1),
        lambda v: st.lists(v, min_size=1),
        max_leaves=20,
    )
)
def test_what_json_has_comes_out_as_it_was(value):
    if isinstance(value, list):
        assert json.loads(result_text(value)) == value
