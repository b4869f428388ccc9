"""Notebook 7, which has its own page around JupyterLab's parts. Stop and the bar are tested in both."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from glm_server import GlmServer, stream
from playwright.sync_api import expect

if TYPE_CHECKING:
    from lab import Lab

pytestmark = [pytest.mark.browser, pytest.mark.parametrize("lab", ["Notebook 7"], indirect=True)]


def test_an_answer_in_steps_the_panel_and_the_file(lab: Lab, server: GlmServer) -> None:
    gate = threading.Event()
    server.answer(stream("# Tides\n\nThe **moon**", gate, " pulls:\n\n$$F = G m$$\n\n- high\n- low\n"))
    setup = f"%load_ext glm_magic\n%glm_config base_url={server.url} model=GLM-4-Air"
    lab.open_new("seven", setup, "%%glm\nWhy are there tides?", "%glm_config", "%glm_config temperature")
    lab.run_cell(0)
    lab.start(1)
    answer = lab.answer(1)
    expect(answer.locator("strong")).to_have_text("moon")
    lab.wait_for_text(1, "GLM-4-Air")
    expect(answer).not_to_contain_text("pulls")
    gate.set()
    lab.wait_idle(1)
    expect(answer.locator("li")).to_have_text(["high", "low"])
    expect(answer.locator("mjx-container")).to_have_count(1)

    lab.run_cell(2)
    row = lab.outputs(2).locator("[data-name=temperature]")
    row.locator("input[type=range]").press("ArrowRight")
    expect(lab.outputs(2).locator(".glm-line-config")).to_contain_text("temperature=0.51")
    lab.run_cell(3)
    lab.wait_for_text(3, "temperature = 0.51")

    lab.theme("dark")
    seen = lab.text(1)
    lab.save()
    lab.reload()
    expect(answer.locator("li")).to_have_text(["high", "low"])
    expect(answer.locator("mjx-container")).to_have_count(1)
    assert lab.text(1) == seen
    lab.theme("light")
