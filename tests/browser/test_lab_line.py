"""Copy and Run again in the line above an answer: on the page, and never in the file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from glm_server import GlmServer, stream
from playwright.sync_api import expect

if TYPE_CHECKING:
    from lab import Lab
    from playwright.sync_api import Locator

pytestmark = pytest.mark.browser

WIDGET = "application/vnd.jupyter.widget-view+json"
ANSWER = "# Tides\n\nThe **moon** pulls: $F$ <b>\n\n- high\n- low"
NO_CLIPBOARD = "() => Object.defineProperty(navigator, 'clipboard', { value: undefined, configurable: true })"
CLIPBOARD_AGAIN = "() => { delete navigator.clipboard }"


def setup(server: GlmServer) -> str:
    return f"%load_ext glm_magic\n%glm_config base_url={server.url} model=GLM-4-Air"


def copy(lab: Lab, index: int) -> Locator:
    return lab.outputs(index).get_by_role("button", name="Copy the answer")


def run_again(lab: Lab, index: int) -> Locator:
    return lab.outputs(index).get_by_role("button", name="Run the cell of this answer again")


def copied(lab: Lab) -> str:
    text: str = lab.page.evaluate("() => navigator.clipboard.readText()")
    return text


@pytest.mark.parametrize("lab", ["JupyterLab", "Notebook 7"], indirect=True)
def test_the_line_copies_its_answer_and_runs_its_cell_again(lab: Lab, server: GlmServer) -> None:
    lab.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    server.answer(stream(ANSWER), stream("Grace."), stream("Ada again."))
    lab.open_new(f"line-{lab.front_end}", setup(server), "%%glm\nWhy tides?", "%%glm\nWho?")
    lab.run_cell(0, 1, 2)
    buttons = lab.outputs(1).locator(".glm-line-buttons")
    expect(buttons).to_have_css("opacity", "0")
    lab.outputs(1).locator("[data-glm-turn]").hover()
    expect(buttons).to_have_css("opacity", "1")
    copy(lab, 1).click()
    expect(lab.outputs(1).get_by_role("button", name="Copied")).to_be_visible()
    assert copied(lab) == ANSWER

    lab.page.evaluate(NO_CLIPBOARD)  # as where the page is not served over https
    copy(lab, 2).focus()
    expect(lab.outputs(2).locator(".glm-line-buttons")).to_have_css("opacity", "1")
    lab.page.keyboard.press("Enter")
    expect(lab.outputs(2).get_by_role("button", name="Copied")).to_be_visible()
    lab.page.evaluate(CLIPBOARD_AGAIN)
    assert copied(lab) == "Grace."

    lab.page.keyboard.press("Tab")
    expect(run_again(lab, 2)).to_be_focused()
    lab.page.keyboard.press("Enter")
    lab.wait_for_text(2, "Ada again.", "attempt 2 of 2")
    assert [message[1] for message in server.last.messages if message[0] == "user"] == ["Why tides?", "Who?"]
    expect(run_again(lab, 2)).to_have_count(1)
    assert [request.messages[-1][1] for request in server.requests].count("Who?") == 2


def test_the_buttons_are_never_saved_and_leave_with_the_kernel(lab: Lab, server: GlmServer) -> None:
    server.answer(stream(ANSWER))
    lab.open_new("line-saved", setup(server), "%%glm\nWhy tides?")
    lab.run_cell(0, 1)
    expect(copy(lab, 1)).to_have_count(1)
    assert "Run again" not in lab.text(1)  # what is selected on the page is the answer alone
    saved = lab.save()
    assert "button" not in str(saved.cells[1].outputs)
    assert not any(WIDGET in output.get("data", {}) for output in saved.cells[1].outputs)
    assert "widgets" not in saved.metadata
    lab.open(lab.path)
    expect(copy(lab, 1)).to_have_count(1)  # an answer from the file has them too, while there is a kernel
    lab.page.evaluate("async () => { await jupyterapp.shell.currentWidget.sessionContext.shutdown() }")
    expect(lab.outputs(1).locator(".glm-line-buttons")).to_have_count(0)
    lab.wait_for_text(1, "GLM-4-Air", "moon")
