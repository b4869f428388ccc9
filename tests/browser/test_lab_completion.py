"""TAB in JupyterLab: what the popup offers in the lines of the magics, in a prompt and in Python."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from glm_server import GlmServer
from playwright.sync_api import Locator, expect

if TYPE_CHECKING:
    from lab import Lab

pytestmark = pytest.mark.browser


def press_tab(lab: Lab, index: int, text: str) -> None:
    """Type `text` into an empty cell, and press TAB."""
    lab.rewrite(index, "")
    lab.cell(index).locator(".cm-content").click()
    lab.page.keyboard.type(text)
    lab.page.keyboard.press("Tab")


def popup(lab: Lab) -> Locator:
    return lab.page.locator(".jp-Completer:visible .jp-Completer-item .jp-Completer-match")


def source(lab: Lab, index: int) -> str:
    return lab.page.evaluate(
        "index => jupyterapp.shell.currentWidget.content.widgets[index].model.sharedModel.getSource()", index
    )


def test_tab_completes_options_values_and_templates(lab: Lab, server: GlmServer) -> None:
    names = "height, heights = 3, [1, 2]"
    no_jedi = "%config IPCompleter.use_jedi = False"  # JupyterLab waits a second, and jedi may take longer to begin
    lab.open_new("completion", f"%load_ext glm_magic\n%glm_config base_url={server.url}\n{no_jedi}\n{names}", "")
    lab.run_cell(0)

    for typed, offered, whole in (
        ("%%glm -m GLM-4-Air --te", ["--temperature"], "%%glm -m GLM-4-Air --temperature"),
        ("%%glm -m glm-4-lo", ["GLM-4-Long"], "%%glm -m GLM-4-Long"),
        ("%%glm -f ma", ["markdown"], "%%glm -f markdown"),
        ("%glm_config tempe", ["temperature="], "%glm_config temperature="),
        ("%%glm\nAbout {{ heig", ["height", "heights"], "%%glm\nAbout {{ height"),
        ("heig", ["height", "heights"], "height"),
    ):
        press_tab(lab, 1, typed)
        expect(popup(lab)).to_have_text(offered)
        lab.page.keyboard.press("Enter")
        lab.wait_for(lambda whole=whole: source(lab, 1) == whole, f"{typed} to become {whole}")
    assert server.requests == []
