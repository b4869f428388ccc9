"""The playground, used by mouse and keyboard; what it asks is read from the requests."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from glm_server import GlmServer, stream
from playwright.sync_api import expect

if TYPE_CHECKING:
    from lab import Lab
    from playwright.sync_api import Locator

pytestmark = pytest.mark.browser

WIDGET = "application/vnd.jupyter.widget-view+json"
TURN = "application/vnd.glm-magic.turn+json"
CELL = "%%glm --interact\nWhat is {{ topic }}?"


def setup(server: GlmServer) -> str:
    return f"%load_ext glm_magic\n%glm_config base_url={server.url} model=GLM-4-Air\ntopic = 'a comet'"


def press(lab: Lab, name: str) -> Locator:
    return lab.outputs(1).get_by_role("button", name=name, exact=True)


@pytest.mark.parametrize("lab", ["JupyterLab", "Notebook 7"], indirect=True)
def test_a_prompt_is_tried_out_stopped_and_put_into_a_cell(lab: Lab, server: GlmServer) -> None:
    gate = threading.Event()
    server.answer(stream("**Ice** and dust."), stream("Half an answer", gate, " and the rest"))
    lab.open_new(f"play-{lab.front_end}", setup(server), CELL, "print('below')")
    lab.run_cell(0, 1)
    prompt = lab.outputs(1).locator(".glm-prompt")
    expect(prompt).to_have_value("What is {{ topic }}?")
    expect(lab.outputs(1).locator("[data-name=topic] textarea")).to_have_value("a comet")
    assert server.requests == []

    lab.outputs(1).locator("[data-name=temperature] input[type=range]").press("ArrowLeft")
    expect(lab.outputs(1).locator(".glm-line-ask")).to_have_text("%%glm -t 0.49")
    press(lab, "Run").click()
    expect(lab.answer(1).locator("strong")).to_have_text("Ice")
    assert (server.last.body["temperature"], server.last.messages) == (0.49, [("user", "What is a comet?")])
    assert "model" not in lab.outputs(1).locator(".glm-line-ask").inner_text()

    expect(press(lab, "Run")).to_be_enabled()  # the first answer has ended
    prompt.press("ControlOrMeta+End")
    prompt.press_sequentially(" Say why.")
    prompt.press("Shift+Enter")  # as in a cell; it must not run the cell, which would empty the box
    expect(lab.answer(1)).to_have_text("Half an answer")
    press(lab, "Stop").click()
    expect(press(lab, "Run")).to_be_enabled()
    lab.wait_for_text(1, "· interrupted ·", "attempt 2 of 2")
    tried = lab.outputs(1).locator(".glm-attempt")
    expect(tried).to_have_count(2)
    press(lab, "Diff").click()
    expect(tried.last.locator("ins").first).to_contain_text("Half")
    expect(prompt).to_have_value("What is {{ topic }}? Say why.")

    topic = lab.outputs(1).locator("[data-name=topic] textarea")
    topic.fill("a star")
    expect(lab.outputs(1).locator("[data-name=topic]")).to_contain_text("changed here")
    press(lab, "Insert as cell").click()
    expect(lab.outputs(1)).to_contain_text("Put below, not run.")
    saved = lab.save()
    assert [cell.source for cell in saved.cells[2:]] == [
        "topic = 'a star'",
        "%%glm -t 0.49\nWhat is {{ topic }}? Say why.",
        "print('below')",
    ]
    outputs = [output for output in saved.cells[1].outputs if "data" in output]
    assert not any(WIDGET in output.data for output in outputs)
    assert [output.data[TURN]["messages"][-1]["content"] for output in outputs if TURN in output.data] == [
        "Half an answer"
    ]
    lab.run_cell(2, 3)
    assert server.last.messages[-1] == ("user", "What is a star? Say why.")
    assert len(server.requests) == 3

    lab.open(lab.path)  # the kernel lives: what was typed is still there, and can be asked
    expect(prompt).to_have_value("What is {{ topic }}? Say why.")
    press(lab, "Run").click()
    expect(tried).to_have_count(3)
    lab.page.evaluate("async () => { await jupyterapp.serviceManager.sessions.shutdownAll() }")
    expect(lab.outputs(1).locator("table").first).to_contain_text("What is {{ topic }}?")
    expect(prompt).to_have_count(0)


def test_run_all_sends_nothing_from_a_playground(lab: Lab, server: GlmServer) -> None:
    lab.open_new("play-all", setup(server), CELL, "%%glm\nnext")
    lab.run_cell(0, 1)
    press(lab, "Run").click()
    expect(lab.answer(1)).to_have_text("You said: What is a comet?")
    lab.start_all()
    lab.wait_all()
    expect(lab.answer(1)).to_have_text("You said: What is a comet?")
    assert [request.messages[-1][1] for request in server.requests] == ["What is a comet?", "next"]
    assert server.last.messages[0] == ("user", "What is a comet?")
