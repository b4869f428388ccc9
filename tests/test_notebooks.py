"""Every guide repeats its outputs under strict nbval, offline: the answers come from the notebooks themselves."""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import forked_kernels
import nbformat
import pytest
from nbclient import NotebookClient

from glm_magic.notebook.bundle import MIME_TYPE

NOTEBOOKS = Path(__file__).resolve().parent.parent / "notebooks"


@pytest.fixture
def copies(tmp_path: Path) -> Path:
    for path in (*NOTEBOOKS.glob("*.ipynb"), *NOTEBOOKS.glob("*.jsonl")):
        shutil.copy(path, tmp_path)
    return tmp_path


def strictly(folder: Path, *names: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the named notebooks of a folder, or all. Only recordings can answer: no server listens at the address.

    Each notebook has a kernel of its own, so the kernels are forked.
    """
    record = {"GLM_REPLAY": ".", "GLM_REPLAY_MISSING": "error", "GLM_BASE_URL": "http://127.0.0.1:9/v1"}
    command = [sys.executable, forked_kernels.__file__, "pytest", "-q", "--nbval", "-p", "no:cacheprovider"]
    return subprocess.run(
        [*command, *(names or (str(folder),))],
        env={**os.environ, **record, **environment},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def test_every_notebook_repeats_its_outputs_to_the_letter_and_asks_nobody(copies: Path) -> None:
    ran = strictly(copies)
    assert ran.returncode == 0, ran.stdout


def test_a_prompt_that_was_edited_fails_its_cell_and_asks_nobody(copies: Path) -> None:
    path = copies / "quickstart.ipynb"
    notebook = nbformat.read(path, as_version=4)
    (cell,) = (cell for cell in notebook.cells if cell.id == "ask")
    cell.source = cell.source.replace("the sky", "the sea")
    nbformat.write(notebook, path)
    ran = strictly(copies, "quickstart.ipynb", "conversation.ipynb", NO_COLOR="1")
    assert ran.returncode == 1
    assert "NotRecorded" in ran.stdout
    assert "quickstart.ipynb::Cell 1 " in ran.stdout  # counted in code cells, from 0
    assert "conversation.ipynb::" not in ran.stdout


def test_without_a_key_or_a_server_the_tools_are_answered_from_their_notebook_and_the_answers_say_so(
    copies: Path,
) -> None:
    notebook = nbformat.read(copies / "tools.ipynb", as_version=4)
    resources = {"metadata": {"path": str(copies)}}
    NotebookClient(notebook, timeout=100, kernel_name="python3", resources=resources).execute()
    lines = [
        output.data["text/plain"]
        for cell in notebook.cells
        for output in cell.get("outputs", ())
        if MIME_TYPE in output.get("data", {})
    ]
    assert len(lines) == 4
    assert all("tool call" in line and "replayed" in line for line in lines)


@pytest.mark.parametrize("name", ["tools.ipynb", "scale.ipynb"])
def test_a_notebook_that_a_script_has_answered_says_so_in_its_first_lines(name: str) -> None:
    first, *_ = nbformat.read(NOTEBOOKS / name, as_version=4).cells
    assert "come from a scripted server, not from a model" in "".join(first.source.splitlines()[:3])


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.stem)
def test_a_notebook_keeps_nothing_of_the_machine_that_made_it(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    notebook = nbformat.read(path, as_version=4)
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    if (answers := path.with_suffix(".jsonl")).exists():
        text += answers.read_text(encoding="utf-8")
    assert str(Path.home()) not in text
    assert str(NOTEBOOKS) not in text
    assert "127.0.0.1" not in text
    assert not any(output.output_type == "error" for cell in notebook.cells for output in cell.get("outputs", ()))


def test_the_notebooks_are_opened_as_copies_that_are_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(NOTEBOOKS)
    run = importlib.import_module("run")
    monkeypatch.delitem(sys.modules, "run")
    monkeypatch.setattr(run, "COPIES", tmp_path / "notebooks")
    run.copy_notebooks()
    copy = tmp_path / "notebooks" / "quickstart.ipynb"
    assert copy.read_bytes() == (NOTEBOOKS / "quickstart.ipynb").read_bytes()
    assert (tmp_path / "notebooks" / "python.jsonl").exists()
    copy.write_text("changed by the person", encoding="utf-8")
    run.copy_notebooks()
    assert copy.read_text(encoding="utf-8") == "changed by the person"
