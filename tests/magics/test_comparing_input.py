"""What a table or a prompt of a comparison may be, and what is said of what it may not."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from glm_server import Answer, Received, stream
from ipython_shell import Notebook

from glm_magic.errors import OptionError, PromptError
from glm_magic.notebook.comparison import MIME_TYPE


def echo(request: Received) -> Answer:
    content = request.body["messages"][-1]["content"]
    return stream(content[:50] if isinstance(content, str) else "seen", model=request.body["model"])


@pytest.fixture
def asked(notebook: Notebook) -> Notebook:
    notebook.server.echo = echo
    return notebook


TABLES = {
    "a tuple": "({'x': 'a'}, {'x': 'b'})",
    "a dict of numpy arrays": "{'x': numpy.array(['a', 'b'])}",
    "a dict of pandas Series": "{'x': pandas.Series(['a', 'b'], index=[5, 7])}",
    "a dict of polars Series": "{'x': polars.Series(['a', 'b'])}",
    "a dict of tuples": "{'x': ('a', 'b')}",
    "a DataFrame with an index": "pandas.DataFrame({'x': ['a', 'b']}, index=[9, 9])",
}


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_a_table_may_be_much(asked: Notebook, table: str) -> None:
    asked.run(f"import numpy, pandas, polars\ntable = {table}", "t")
    assert [run.text for run in asked.run("%%glm --each table\n{{ x }}", "a")] == ["a", "b"]


NO_TABLES = {
    "a list of texts": ("['a']", "Row 1 of table is not a dict"),
    "a generator": ("({'x': n} for n in 'ab')", r"can be read only once(.|\n)*list\(table\)"),
    "an endless generator": ("({'x': n} for n in itertools.count())", "can be read only once"),
    "csv's rows": ("csv.DictReader(['x', 'a'])", "can be read only once"),
    "a lazy frame": ("polars.LazyFrame({'x': ['a']})", r"table\.collect\(\)"),
    "a matrix": ("numpy.zeros((2, 2))", r"pandas\.DataFrame\(table\)"),
    "a vector": ("numpy.array(['a', 'b'])", r'\{"text": text\} for text in table'),
    "a text": "'abc'",
    "a number": "3",
    "a Series": ("pandas.Series([1])", r'\{"text": text\} for text in table'),
    "a set": "{1, 2}",
    "nothing": "None",
    "a dict of texts": "{'x': 'ab'}",
    "a dict of numbers": "{'x': 1}",
    "an empty list": ("[]", "has no rows"),
    "an empty DataFrame": ("pandas.DataFrame({'x': []})", "has no rows"),
    "an empty dict": ("{}", "has no rows"),
    "a column twice": ("pandas.DataFrame([[1, 2]], columns=['x', 'x'])", "two columns of one name"),
    "a column twice as text": ("[{1: 'a', '1': 'b'}]", "two columns of one name"),
}


@pytest.mark.parametrize("table", NO_TABLES.values(), ids=NO_TABLES)
def test_what_is_no_table_is_said_before_anything_is_sent(asked: Notebook, table: Any) -> None:
    source, said = table if isinstance(table, tuple) else (table, "table is")
    asked.run(f"import csv, itertools, numpy, pandas, polars\ntable = {source}", "t")
    with pytest.raises(OptionError, match=said):
        asked.run("%%glm --each table\nhi", "a")
    assert asked.server.requests == []


@pytest.mark.parametrize("missing", ["None", "float('nan')", "pandas.NA", "pandas.NaT", "numpy.float32('nan')"])
def test_a_missing_value_is_named_where_it_is_used_and_shown_where_it_is_not(asked: Notebook, missing: str) -> None:
    asked.run(f"import numpy, pandas\ntable = [dict(x='a', y={missing})]", "t")
    with pytest.raises(PromptError, match="Row 1 has nothing in its column y"):
        asked.run("%%glm --each table\n{{ y }}", "a")
    assert asked.server.requests == []
    assert asked.run("%%glm --each table\n{{ x }}", "a")[0].text == "a"
    [kept] = asked.page.saved(MIME_TYPE)
    assert kept["rows"] == [{"x": "a", "y": None}]


def test_names_that_a_column_hides_are_named_in_the_title(asked: Notebook) -> None:
    asked.run("text = 'of the notebook'\nother = 1\ntable = [dict(text='of the row', label='x')]", "t")
    assert asked.run("%%glm --each table\n{{ text }}", "a")[0].text == "of the row"
    assert "hidden by a column of the table: text" in asked.page.text
    asked.run("%%glm -n 2\n{{ text }}", "b")
    assert "hidden" not in asked.page.text


def test_a_column_named_row_is_reached_by_the_row(asked: Notebook) -> None:
    asked.run("table = [{'row': 'r', 'two words': 'w', 3: 'three', 'class': 'c'}]", "t")
    source = "{{ row['row'] }} {{ row['two words'] }} {{ row['3'] }} {{ row['class'] }}"
    assert asked.run(f"%%glm --each table\n{source}", "a")[0].text == "r w three c"
    assert 'row["row"]' in asked.page.text


def test_200_kb_in_a_cell_are_sent_whole_and_shown_in_short(asked: Notebook) -> None:
    asked.run("table = [dict(x='long ' * 40_000), dict(x='short')]", "t")
    found = asked.run("%%glm --each table\n{{ x }}", "a")
    assert sorted(len(request.messages[0][1]) for request in asked.server.requests) == [5, 200_000]
    assert max(len(data.get("text/html", "")) for data in asked.page.outputs.values()) < 50_000
    assert len(found.frame()) == 2


def test_more_than_10_000_requests_are_said_to_be_many(asked: Notebook) -> None:
    asked.run("table = [dict(x='a')] * 10_001", "t")
    with pytest.raises(OptionError, match=r"10,001 requests: 10,001 rows × 1 configuration\."):
        asked.run("%%glm --each table\n{{ x }}", "a")
    with pytest.raises(OptionError, match="90,009 requests: 10,001 rows × 3 configurations × 3 repeats"):
        asked.run("%%glm --each table -t 0,0.5,1 -n 3\n{{ 1 / 0 }}", "a")
    with pytest.raises(OptionError, match="requests"):
        asked.run("%%glm -n 1000000000000\nhi", "a")
    assert asked.server.requests == []


def test_half_a_character_is_said_with_its_row(asked: Notebook) -> None:
    asked.run("table = [dict(x='a'), dict(x='half \\ud83d')]", "t")
    with pytest.raises(PromptError, match=r"Row 2: Half a character.*U\+D83D"):
        asked.run("%%glm --each table\n{{ x }}", "a")
    assert asked.server.requests == []


def test_half_a_character_in_a_column_that_is_not_sent_is_kept_out_of_the_page(asked: Notebook) -> None:
    asked.run("table = [{'x': 'a', 'y': 'half \\ud83d', '\\ud83d': 1}]", "t")
    assert asked.run("%%glm --each table\n{{ x }}", "a")[0].text == "a"
    json.dumps(list(asked.page.outputs.values()), ensure_ascii=False).encode()


def test_rows_with_images_are_sent_as_images(asked: Notebook) -> None:
    asked.run("from PIL import Image\ntable = [dict(x=Image.new('RGB', (n, 2)), n=n) for n in (3, 4)]", "t")
    found = asked.run("%%glm --each table -m glm-4v-plus -t 0,1\nWhat? {{ x }}", "a")
    assert [run.state for run in found] == ["done"] * 4
    kinds = {tuple(part["type"] for part in r.body["messages"][0]["content"]) for r in asked.server.requests}
    assert kinds == {("text", "image_url")}
    assert len({r.raw for r in asked.server.requests}) == 4
    asked.server.requests.clear()
    asked.run("%%glm --each table -m glm-4v-plus -t 0,1\nWhat? {{ x }}", "a")
    assert asked.server.requests == []
    [kept] = asked.page.saved(MIME_TYPE)
    assert len(kept["questions"]) == 2


def test_a_template_is_evaluated_once_for_each_row_and_wording(asked: Notebook) -> None:
    asked.run("seen = []\ndef note(x):\n    seen.append(x)\n    return x\ntable = [dict(x=n) for n in 'abc']", "t")
    cell = "%%glm --each table -t 0,1 -n 2 --variants -s '{{ note(x) }}'\n{{ note(x) }} \n--- one\n1\n--- two\n2"
    asked.run(cell, "a")
    seen = asked.shell.user_ns["seen"]
    assert len(asked.server.requests) == 3 * 2 * 2 * 2
    assert (sorted(seen), len(seen)) == (sorted("abc" * 3), 9)


def test_very_long_names_are_shown_in_short(asked: Notebook) -> None:
    name = "n" * 5000
    asked.run(f"table = [{{'{name}': 'a', 'x': 'b'}}]", "t")
    asked.run(f"%%glm --each table --variants\n{{{{ x }}}}\n--- {name}\n1\n--- other\n2", "a")
    html = next(data["text/html"] for data in asked.page.outputs.values() if "text/html" in data)
    assert not re.search("n{500}", html)
    asked.page.outputs.clear()


def test_a_row_that_raises_is_named(asked: Notebook) -> None:
    asked.run("table = [dict(x=1), dict(x=0)]", "t")
    with pytest.raises(PromptError, match=r"Row 2: .*ZeroDivisionError"):
        asked.run("%%glm --each table\n{{ 1 / x }}", "a")
    with pytest.raises(PromptError, match="Row 1: The prompt is empty"):
        asked.run("%%glm --each table\n{{ '' }}", "a")
    assert asked.server.requests == []


def test_rows_may_have_columns_of_their_own(asked: Notebook) -> None:
    asked.run("table = [dict(x='a', y=1), dict(x='b', z=2)]", "t")
    found = asked.run("%%glm --each table\n{{ x }}", "a")
    assert [run.text for run in found] == ["a", "b"]
    assert len(found.frame()) == 2
    with pytest.raises(PromptError, match=r"Row 2: .*y"):
        asked.run("%%glm --each table\n{{ y }}", "a")


def test_a_table_that_changes_while_it_is_asked_about_stays_as_it_was(asked: Notebook) -> None:
    asked.run("table = [dict(x='a')]", "t")
    found = asked.run("%%glm --each table\n{{ x }}", "a")
    asked.run("table[0]['x'] = 'b'", "t")
    assert found.rows[0]["x"] == "a"
