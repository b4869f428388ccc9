import collections
import dataclasses
import reprlib
import types

import numpy as np
import pandas as pd
import pytest
from IPython.display import HTML

from glm_magic.chat.inserted import text_of
from glm_magic.chat.reply import Reply
from glm_magic.errors import PromptError


@dataclasses.dataclass
class Holder:
    held: object


class Plain:
    pass


class Stack:
    """A container of the person's own that shortens itself."""

    def __init__(self, items):
        self.items = items

    def __len__(self):
        return len(self.items)

    def __iter__(self):
        return iter(self.items)

    def __repr__(self):
        return f"Stack({reprlib.repr(self.items)})"


async def fetch():
    return 1


LOOP = [1]
LOOP.append(LOOP)
LONG = np.arange(5_000)
FRAME = pd.DataFrame({"n": range(200), "text": ["x" * 90] * 200})


@pytest.mark.parametrize(
    ("table", "lines"),
    [
        (FRAME, ["n,text", *(f"{n},{'x' * 90}" for n in range(200))]),
        (FRAME["n"], ["n", *map(str, range(200))]),
        (pd.DataFrame(np.zeros((1, 90), int)), [",".join(map(str, range(90))), ",".join(["0"] * 90)]),
        (FRAME.set_index("text").head(1), ["text,n", f"{'x' * 90},0"]),
        (pd.DataFrame({"a": ['say "hi", then go...']}), ["a", '"say ""hi"", then go..."']),
    ],
)
def test_a_table_is_inserted_whole_as_csv(table, lines):
    assert text_of(table, "df") == "\n".join(lines)


@pytest.mark.parametrize(
    ("value", "way_out"),
    [
        (LONG, "{{ x.tolist() }}"),
        (np.array([1, None] * 2_000, dtype=object), "{{ x.tolist() }}"),
        (pd.Index([f"{n}" for n in range(500)]), "{{ x.tolist() }}"),
        (pd.Categorical(["a", "b"] * 500), "{{ x.tolist() }}"),
        ([LONG], "tolist"),
        ({"a": {"b": FRAME}}, "by itself"),
        (Holder(LONG), "tolist"),
        (types.SimpleNamespace(a=LONG), "tolist"),
        (LOOP, "part"),
        (Stack(list(range(100))), "part"),
        (Plain(), "part"),
        ([Plain()], "part"),
        (HTML("<b>"), "part"),
        ((n for n in [1]), "{{ list(x) }}"),
        (map(str, [1]), "{{ list(x) }}"),
        (fetch, "inspect.getsource(x)"),
        (fetch(), "Await it"),
    ],
)
def test_a_value_whose_text_leaves_something_out_is_an_error_that_says_how_to_write_it(value, way_out):
    with pytest.raises(PromptError, match="leaves something out") as caught:
        text_of(value, "x")
    assert way_out in caught.value.remedy
    assert "{{ str(x) }}" in caught.value.remedy


@pytest.mark.parametrize(
    "value",
    [
        "cut... here … and <Thing object at 0x12>",
        ["wait...", {"a…": ("...",)}],
        [("...",)] * 2,
        collections.deque(["..."]),
        Holder("..."),
        ValueError("wait..."),
        Reply("so... <Thing object at 0x12>"),
        np.arange(9),
        np.array(["wait...", "go"]),
        np.ma.masked_array([1, 2], [True, False]),
        pd.Index(["wait...", "go"]),
        Stack(["wait..."]),
        {"a": FRAME[["n"]].head(2)},
        range(5_000),
        ...,
    ],
)
def test_a_value_whose_text_is_all_of_it_is_inserted_as_that_text(value):
    assert text_of(value, "x") == str(value)


def test_print_options_that_cut_earlier_count():
    with np.printoptions(threshold=5), pytest.raises(PromptError, match="ndarray leaves"):
        text_of(np.arange(9), "x")


def test_an_array_in_a_cell_of_a_table_is_not_cut_either():
    assert text_of(pd.DataFrame({"v": [[0.5] * 2_000]}), "df").count("0.5") == 2_000
    with pytest.raises(PromptError, match="A cell of this DataFrame holds an array") as caught:
        text_of(pd.DataFrame({"v": [LONG]}), "df")
    assert "map(list)" in caught.value.remedy


def test_tables_of_polars_are_csv_and_their_plans_are_not():
    pl = pytest.importorskip("polars")
    assert text_of(pl.DataFrame({"a": range(100), "b": "x"}), "df").count("\n") == 100
    assert text_of(pl.Series("a", [1, 2]), "s") == "a\n1\n2"
    with pytest.raises(PromptError, match="cannot be written as CSV") as caught:
        text_of(pl.DataFrame({"a": [[1]]}), "df")
    assert "{{ df.to_dicts() }}" in caught.value.remedy
    with pytest.raises(PromptError, match="LazyFrame leaves") as caught:
        text_of(pl.LazyFrame({"a": [1]}), "df")
    assert "{{ df.collect() }}" in caught.value.remedy


def test_tables_of_arrow_are_not_cut():
    pa = pytest.importorskip("pyarrow")
    with pytest.raises(PromptError, match="Table leaves") as caught:
        text_of(pa.table({"a": list(range(1_000))}), "t")
    assert "{{ t.to_pandas() }}" in caught.value.remedy
