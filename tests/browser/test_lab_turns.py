"""The panel of the history, ticked by mouse and keyboard; what is sent then is read from the request."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from glm_server import GlmServer
from playwright.sync_api import expect

if TYPE_CHECKING:
    from lab import Lab

pytestmark = pytest.mark.browser


def test_a_tick_sends_a_turn_or_skips_it(lab: Lab, server: GlmServer) -> None:
    setup = f"%load_ext glm_magic\n%glm_config base_url={server.url} model=GLM-4-Air"
    lab.open_new(
        "turns", setup, "%%glm\none", "%%glm\ntwo <b>bold</b>", "%glm_history --panel", "%%glm\nthree", "%glm_history"
    )
    lab.run_cell(0, 1, 2, 3)
    panel = lab.outputs(3).locator(".glm-turns")
    expect(panel).to_contain_text("two <b>bold</b>")
    expect(panel).to_contain_text("of 128,000")
    expect(panel.locator("progress")).to_have_attribute("max", "128000")
    first = panel.get_by_label("send turn 1")
    expect(first).to_be_checked()
    first.click()
    expect(panel).to_contain_text("skipped")
    lab.run_cell(4)
    assert [text for role, text in server.last.messages if role == "user"] == ["two <b>bold</b>", "three"]
    expect(panel).to_contain_text("three")
    first.focus()
    lab.page.keyboard.press("Space")
    expect(first).to_be_checked()
    expect(panel).not_to_contain_text("skipped")
    lab.run_cell(5)
    expect(lab.outputs(5)).to_contain_text("The next cell sends 3 of 3 turns")


def test_what_is_saved_is_a_table_with_the_change(lab: Lab, server: GlmServer) -> None:
    setup = f"%load_ext glm_magic\n%glm_config base_url={server.url} model=GLM-4-Air"
    lab.open_new("saved-turns", setup, "%%glm\none", "%glm_history --panel")
    lab.run_cell(0, 1, 2)
    lab.outputs(2).locator(".glm-turns").get_by_label("send turn 1").click()
    expect(lab.outputs(2).locator(".glm-turns")).to_contain_text("skipped")
    lab.wait_for(lambda: "skipped" in lab.save().cells[2].outputs[0].data["text/plain"], "the table to be current")
    (output,) = lab.save().cells[2].outputs
    assert "skipped" in "".join(output["data"]["text/plain"])
    assert output["data"]["application/vnd.glm-magic.turn+json"]["kind"] == "edit"
    assert "widget" not in "".join(output["data"])
