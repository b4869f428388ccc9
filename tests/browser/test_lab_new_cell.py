"""Code that is put below in JupyterLab: a new cell, not run, and only one of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

if TYPE_CHECKING:
    from lab import Lab

pytestmark = pytest.mark.browser

CODE = "ran = 'the new cell'\nprint(ran)"
PUT = f"from glm_magic.magics.new_cell import put_below\nput_below({CODE!r})"
LAST = "'ran' in globals()"


def sources(lab: Lab) -> list[str]:
    return [cell.source for cell in lab.save().cells]


def run_all(lab: Lab) -> None:
    lab.start_all()
    lab.wait_all()


@pytest.mark.parametrize("lab", ["JupyterLab", "Notebook 7"], indirect=True)
def test_code_comes_into_a_new_cell_below_and_is_not_run(lab: Lab) -> None:
    lab.open_new("below", PUT, LAST)
    lab.run_cell(0)
    lab.wait_for_text(0, "2 lines of code put into a new cell below, not run.")
    expect(lab.cell(2)).to_be_visible()
    assert sources(lab) == [PUT, CODE, LAST]
    assert lab.save().cells[1].execution_count is None
    lab.run_cell(2)
    lab.wait_for_text(2, "False")


def test_run_all_makes_one_new_cell_also_after_a_restart(lab: Lab) -> None:
    lab.open_new("pile", PUT, LAST)
    run_all(lab)
    lab.wait_for_text(2, "False")  # it is the new cell that has not run
    run_all(lab)
    lab.wait_for_text(0, "put below before: nothing done")
    lab.wait_for_text(2, "True")
    assert sources(lab) == [PUT, CODE, LAST]

    lab.restart()
    run_all(lab)
    lab.wait_for_text(0, "has a cell with this code already: nothing done")
    assert sources(lab) == [PUT, CODE, LAST]


def test_what_one_run_puts_below_is_one_cell(lab: Lab) -> None:
    both = "from glm_magic.magics.new_cell import put_below\nput_below('a = 1')\nput_below('b = 2')"
    lab.open_new("both", both)
    lab.run_cell(0)
    expect(lab.cell(1)).to_be_visible()
    assert sources(lab) == [both, "a = 1\n\nb = 2"]

    lab.restart()
    lab.run_cell(0)
    lab.wait_for_text(0, "has a cell with this code already")
    assert sources(lab) == [both, "a = 1\n\nb = 2"]
