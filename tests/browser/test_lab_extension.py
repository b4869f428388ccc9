"""A prompt looks like a prompt where the extension is installed; it changes nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

if TYPE_CHECKING:
    from lab import Lab

pytestmark = pytest.mark.browser

PROMPT = """%%glm -t 0.2 --variants -s 'import *this*'
# What is {{ f"{x:.1f}" }}, import?
{{ {"a": {"b": 1}} }} and {{ open
--- short
Be brief."""


def types(lab: Lab) -> list[str]:
    cells = "jupyterapp.shell.currentWidget.content.widgets"
    found: list[str] = lab.page.evaluate(f"() => {cells}.map(cell => cell.model.mimeType)")
    return found


@pytest.mark.parametrize("lab", ["JupyterLab", "Notebook 7"], indirect=True)
def test_a_prompt_is_markdown_with_its_templates_picked_out(lab: Lab) -> None:
    cells = (PROMPT, "import this", "%%glm --raw\n{{ as it is }}", "%%timeit -n 1 -r 1\npass")
    lab.open_new(f"looks-{lab.front_end}", *cells)
    python = types(lab)[1]
    assert "python" in python
    lab.wait_for(lambda: types(lab) == ["text/x-ipythongfm", python, "text/x-ipythongfm", python], "the colours")
    expect(lab.cell(0).locator(".glm-cell-magic")).to_have_text("%%glm")
    expect(lab.cell(0).locator(".glm-cell-option")).to_have_text(["-t", "--variants", "-s"])
    expect(lab.cell(0).locator(".glm-cell-template")).to_have_text(['{{ f"{x:.1f}" }}', '{{ {"a": {"b": 1}} }}'])
    expect(lab.cell(0).locator(".glm-cell-variant")).to_have_text("--- short")
    expect(lab.cell(2).locator(".glm-cell-template")).to_have_count(0)

    lab.rewrite(0, "import this")
    lab.rewrite(1, "%%glm\nhi")
    lab.wait_for(lambda: types(lab)[:2] == [python, "text/x-ipythongfm"], "the colours of what was typed")
    lab.restart()
    lab.run_cell(3)  # the kernel says its language anew
    assert types(lab) == [python, "text/x-ipythongfm", "text/x-ipythongfm", python]
    assert [cell.cell_type for cell in lab.save().cells] == ["code"] * 4
