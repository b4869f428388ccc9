"""Code is put into a new cell below: by a shell as kernels have it, with a notebook that was saved or not."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
from ipykernel.zmqshell import ZMQInteractiveShell
from IPython.core.interactiveshell import InteractiveShell
from ipython_shell import close, new_shell

from glm_magic.errors import CellError, SetupError
from glm_magic.magics.new_cell import put_below

PUT = "1 line of code put into a new cell below, not run."
BEFORE = "A new cell with this code was put below before: nothing done."
SAVED = "The notebook has a cell with this code already: nothing done."


def as_in_a_kernel(shell: InteractiveShell) -> InteractiveShell:
    """Let a shell tell its front end of a new cell as ipykernel does."""
    shell.set_next_input = ZMQInteractiveShell.set_next_input.__get__(shell)
    return shell


@pytest.fixture
def kernel(shell: InteractiveShell) -> InteractiveShell:
    return as_in_a_kernel(shell)


def run(shell: InteractiveShell, *codes: str) -> tuple[list[str], list[str]]:
    """Put codes below in one run of a cell: what was said, and the cells that the front end makes."""
    shell.user_ns.update(put_below=put_below, codes=codes)
    shell.run_cell("said = [put_below(code) for code in codes]").raise_error()
    payloads = shell.payload_manager.read_payload()
    shell.payload_manager.clear_payload()
    assert all(payload["source"] == "set_next_input" and payload["replace"] is False for payload in payloads)
    return shell.user_ns["said"], [payload["text"] for payload in payloads]


def save(path: Path, *sources: str | list[str]) -> None:
    cells = [{"cell_type": "code", "source": source, "outputs": [], "metadata": {}} for source in sources]
    path.write_text(json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": cells}))


@pytest.fixture(params=["JupyterLab", "VS Code"])
def notebook_path(request, kernel, tmp_path, monkeypatch) -> Path:
    path = tmp_path / "work.ipynb"
    if request.param == "JupyterLab":
        monkeypatch.setenv("JPY_SESSION_NAME", str(path))
    else:
        kernel.user_ns["__vsc_ipynb_file__"] = str(path)
    return path


def test_code_goes_into_a_new_cell_and_is_not_run(kernel, capsys):
    assert run(kernel, "ran = 1\n") == ([PUT], ["ran = 1"])
    assert "ran" not in kernel.user_ns
    assert capsys.readouterr().out == PUT + "\n"


def test_what_happened_is_said_by_its_lines(kernel):
    assert run(kernel, "a = 1\nb = 2")[0] == ["2 lines of code put into a new cell below, not run."]


def test_the_same_code_is_put_below_once_in_a_kernel(kernel):
    run(kernel, "a = 1")
    assert run(kernel, "a = 1\n") == ([BEFORE], [])
    assert run(kernel, "a = 2") == ([PUT], ["a = 2"])


def test_another_kernel_knows_nothing_of_it(kernel, monkeypatch):
    run(kernel, "a = 1")
    other = as_in_a_kernel(new_shell())
    monkeypatch.setattr(InteractiveShell, "_instance", other)
    try:
        assert run(other, "a = 1") == ([PUT], ["a = 1"])
    finally:
        close(other)


@pytest.mark.parametrize("source", ["a = 1\nb = 2", ["a = 1\n", "b = 2"], "\na = 1\nb = 2\n"])
def test_after_a_restart_a_saved_cell_with_this_code_is_enough(kernel, notebook_path, source):
    save(notebook_path, "%load_ext glm_magic", source)
    assert run(kernel, "a = 1\nb = 2") == ([SAVED], [])


def test_a_cell_that_holds_more_or_less_is_another(kernel, notebook_path):
    save(notebook_path, "a = 1\nb = 2", "a =", "")
    assert run(kernel, "a = 1") == ([PUT], ["a = 1"])


@pytest.mark.parametrize("content", [None, "", "no JSON", "[]", '{"nbformat": 4, "cells": [1, {}, {"source": 5}]}'])
def test_a_notebook_that_cannot_be_read_holds_no_cell(kernel, notebook_path, content):
    if content is not None:
        notebook_path.write_text(content)
    assert run(kernel, "a = 1") == ([PUT], ["a = 1"])


def test_what_one_run_puts_below_goes_into_one_cell(kernel):
    added = "1 line of code put into the new cell below, not run."
    assert run(kernel, "a = 1", "b = 2", "a = 1", "c = 3") == ([PUT, added, BEFORE, added], ["a = 1\n\nb = 2\n\nc = 3"])
    assert run(kernel, "a = 1", "b = 2", "c = 3") == ([BEFORE] * 3, [])


def test_after_a_restart_the_one_cell_of_such_a_run_is_enough(kernel, notebook_path):
    save(notebook_path, "a = 1\n\nb = 2")
    assert run(kernel, "a = 1", "b = 2")[1] == []


def test_a_saved_cell_with_the_later_code_leaves_the_new_cell_with_the_earlier(kernel, notebook_path):
    save(notebook_path, "b = 2")
    assert run(kernel, "a = 1", "b = 2") == ([PUT, SAVED], ["a = 1"])


def test_other_requests_to_the_front_end_stay(kernel, notebook_path):
    save(notebook_path, "a = 1\n\nb = 2")
    kernel.payload_manager.write_payload({"source": "page", "data": {}})
    put_below("a = 1")
    put_below("b = 2")
    assert kernel.payload_manager.read_payload() == [{"source": "page", "data": {}}]


def test_in_a_terminal_the_next_prompt_begins_with_the_code(shell):
    del shell.kernel
    put_below("a = 1")
    put_below("b = 2")
    assert shell.rl_next_input == "a = 1\n\nb = 2"


def test_signs_that_hide_what_code_does_are_left_out(kernel):
    assert run(kernel, "ok = '\u202e' # \x1b[2Jfine")[1] == ["ok = '' #  [2Jfine"]


@pytest.mark.parametrize("code", ["", "\n \n"])
def test_without_code_there_is_an_error_and_no_cell(kernel, code):
    with pytest.raises(CellError, match="There is no code to put into a cell"):
        put_below(code)
    assert kernel.payload_manager.read_payload() == []


def test_outside_of_ipython_there_is_an_error(monkeypatch):
    monkeypatch.setattr(InteractiveShell, "_instance", None)
    with pytest.raises(SetupError, match="There is no notebook"):
        put_below("a = 1")


def test_a_reply_that_holds_it_can_be_pickled():
    assert pickle.loads(pickle.dumps(put_below)) is put_below
