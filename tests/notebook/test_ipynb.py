import json

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from glm_magic.errors import HistoryError
from glm_magic.notebook import files
from glm_magic.notebook.bundle import MIME_TYPE
from glm_magic.notebook.ipynb import cells, markdown_notebook


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.ipynb"


def write(path, *cells, version=4, minor=5):
    inside = {"worksheets": [{"cells": cells[:1]}, 7, {"cells": cells[1:]}]} if version == 3 else {"cells": cells}
    text = {"nbformat": version, "nbformat_minor": minor, "metadata": {}, **inside}
    path.write_text(json.dumps(text), encoding="utf-8")


def test_lines_that_were_split_in_the_file_are_joined(path):
    output = new_output("display_data", {"text/plain": "a\nb", MIME_TYPE: ["a", "b"]})
    nbformat.write(new_notebook(cells=[new_code_cell("x\ny", outputs=[output])]), path)
    assert json.loads(path.read_bytes())["cells"][0]["source"] == ["x\n", "y"]
    [cell] = cells(path)
    assert cell["source"] == "x\ny"
    assert cell["outputs"][0]["data"] == {"text/plain": "a\nb", MIME_TYPE: ["a", "b"]}


def test_a_notebook_in_format_3_is_upgraded_and_its_cells_have_no_ids(path):
    code = {
        "cell_type": "code",
        "language": "python",
        "metadata": {},
        "input": ["%%glm\n", "hi"],
        "outputs": [{"output_type": "pyout", "prompt_number": 1, "metadata": {}, "text": ["a\n", "b"], MIME_TYPE: {}}],
    }
    write(path, code, {"cell_type": "heading", "level": 2, "metadata": {}, "source": ["Title"]}, version=3, minor=0)
    first, second = cells(path)
    assert (first["source"], first["outputs"][0]["output_type"]) == ("%%glm\nhi", "execute_result")
    assert first["outputs"][0]["data"] == {"text/plain": "a\nb", MIME_TYPE: {}}
    assert (second["cell_type"], second["source"]) == ("markdown", "## Title")
    assert "id" not in first
    assert "id" not in second


def test_what_nbformat_downgraded_comes_back(path):
    made = new_notebook(cells=[new_code_cell("1 + 1"), new_markdown_cell("text")])
    nbformat.write(nbformat.convert(made, 3), path)
    assert [cell["source"] for cell in cells(path)] == ["1 + 1", "text"]


@pytest.mark.parametrize("wrong", [None, 7, [], "x", {"cell_type": "code"}, {"cell_type": "code", "outputs": [3]}])
def test_a_damaged_cell_in_format_3_costs_that_cell_alone(path, wrong):
    write(path, wrong, {"cell_type": "markdown", "metadata": {}, "source": "text"}, version=3)
    assert [cell.get("source") for cell in cells(path)] == [None, "text"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"source": ["x", 7]},
        {"metadata": None},
        {"attachments": 7},
        {"attachments": {"a": 7}},
        {"outputs": None},
        {"outputs": [3]},
        {"outputs": [{"output_type": "display_data", "data": 7}]},
        {"outputs": [{"output_type": "stream", "text": [7]}]},
    ],
)
def test_a_cell_that_nbformat_cannot_read_stands_as_in_the_file(path, wrong):
    code = {"cell_type": "code", "id": "a", "metadata": {}, "source": ["x\n", "y"], "outputs": []}
    write(path, {**code, **wrong}, code)
    first, second = cells(path)
    assert first == {**code, **wrong}
    assert second == {**code, "source": "x\ny"}


@pytest.mark.parametrize(
    ("change", "minor"),
    [({"id": "same"}, 5), ({"id": None}, 5), ({"id": "not valid!"}, 5), ({"extra": 1}, 5), ({}, 4), ({}, 99)],
)
def test_an_invalid_notebook_is_read_without_a_warning_or_a_log(path, change, minor, recwarn, caplog):
    code = {"cell_type": "code", "id": "same", "metadata": {}, "source": "x", "outputs": [], "execution_count": None}
    write(path, code, {**code, **change}, {"cell_type": "new", "metadata": {}, "source": "y"}, minor=minor)
    assert [cell["source"] for cell in cells(path)] == ["x", "x", "y"]
    assert not recwarn.list
    assert not caplog.records


def test_a_file_that_is_too_large_is_refused_with_the_bound(path, monkeypatch):
    monkeypatch.setattr(files, "MOST_BYTES", 3 * 1024**2)
    with path.open("wb") as file:
        file.truncate(3 * 1024**2 + 1)
    with pytest.raises(HistoryError, match="cannot be read: it is larger than 3 MB"):
        cells(path)


def test_a_notebook_of_markdown_cells_is_valid_and_equal_for_equal_cells():
    sources = [("title", "# A\n\nb"), ("turn-1", "中文 😀")]
    text = markdown_notebook(sources)
    notebook = nbformat.reads(text, as_version=4)
    nbformat.validate(notebook)
    assert [(cell.id, cell.source) for cell in notebook.cells] == sources
    assert notebook.metadata.kernelspec.name == "python3"
    assert markdown_notebook(sources) == text
    assert text.endswith("}\n")


def test_a_cell_that_would_not_be_valid_is_not_written():
    with pytest.raises(nbformat.ValidationError):
        markdown_notebook([("no id!", "x")])
