"""An answer in the background, as a person sees it in JupyterLab."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from glm_server import GlmServer, error, stream
from playwright.sync_api import expect
from test_lab import TURN, WIDGET, setup

if TYPE_CHECKING:
    from lab import Lab

pytestmark = pytest.mark.browser

# Notes when the prompt of cell 2 says that it has ended, and when cell 1 is marked as interrupted.
FREED = """() => {
    const cells = document.querySelectorAll('.jp-Notebook .jp-Cell');
    new MutationObserver(() => {
        const now = performance.now();
        if (!cells[2].querySelector('.jp-InputPrompt').textContent.includes('*')) window.freed ??= now;
        if (cells[1].textContent.includes('interrupted')) window.stopped ??= now;
    }).observe(document.querySelector('.jp-Notebook'), { childList: true, characterData: true, subtree: true });
}"""


def test_an_answer_in_the_background_fills_its_own_cell_while_others_run(lab: Lab, server: GlmServer) -> None:
    first, second = threading.Event(), threading.Event()
    server.answer(stream("Half ", first, "and ", second, "whole."))
    lab.open_new("background", setup(server), "%%glm --bg\nTell.", "print('meanwhile')", "%%glm\nMore.")
    lab.run_cell(0, 1)  # the cell has ended
    expect(lab.outputs(1).locator(".glm-bar-stop")).to_be_visible()
    lab.run_cell(2)
    first.set()
    expect(lab.answer(1)).to_have_text("Half and")
    expect(lab.outputs(2)).to_have_text("meanwhile")
    lab.start(3)
    lab.wait_for_text(3, "waiting for an answer in the background")
    second.set()
    lab.wait_idle(3)
    expect(lab.answer(1)).to_have_text("Half and whole.")
    expect(lab.outputs(1).locator(".glm-bar")).to_have_count(0)
    lab.wait_for_text(1, "7 in, 5 out")
    assert server.last.messages[1] == ("assistant", "Half and whole.")
    outputs = lab.save().cells[1].outputs
    assert [TURN in output.data for output in outputs] == [True, False]
    assert not any(WIDGET in output.data for output in outputs)


@pytest.mark.parametrize("version", ["6.31", ""])  # "": what is installed
def test_its_stop_acts_as_soon_as_the_kernel_is_free(
    lab: Lab, server: GlmServer, other_ipykernels: dict[str, str], version: str
) -> None:
    server.answer(stream("Half ", threading.Event(), "never."))
    kernel = {"kernel": other_ipykernels[version]} if version else {}
    lab.open_new(f"stopped-{version}", setup(server), "%%glm --bg\nTell.", "input('hold')", "%%glm\nMore.", **kernel)
    lab.run_cell(0, 1)
    stop = lab.outputs(1).locator(".glm-bar-stop")
    expect(lab.answer(1)).to_have_text("Half")
    lab.start(2)
    held = lab.outputs(2).locator("input.jp-Stdin-input")
    expect(held).to_be_visible()
    lab.page.evaluate(FREED)
    stop.click()
    expect(stop).to_have_text("Stopping")
    expect(lab.outputs(1)).not_to_contain_text("interrupted")
    held.press("Enter")
    lab.wait_idle(2)
    lab.wait_for_text(1, "interrupted", "Half")
    print(
        f"{version or 'installed'}: stopped {lab.page.evaluate('window.stopped - window.freed'):.0f} ms after the cell"
    )
    lab.run_cell(3)
    assert server.last.messages[1] == ("assistant", "Half ")


def test_its_error_stands_below_its_cell(lab: Lab, server: GlmServer) -> None:
    server.answer(error(400, {"error": {"code": "1211", "message": "no such model"}}))
    lab.open_new("failed", setup(server), "%%glm --bg\nTell.", "%%glm\nMore.")
    lab.run_cell(0, 1)
    lab.wait_for_text(1, "1211", "failed")
    lab.run_cell(2)
    lab.wait_for_text(2, "1211")
    lab.run_cell(2)
    expect(lab.answer(2)).to_have_text("You said: More.")
