"""The panel, turned by mouse and keyboard; what is asked with it is read from the request."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from glm_server import GlmServer
from playwright.sync_api import expect

if TYPE_CHECKING:
    from lab import Lab
    from playwright.sync_api import Locator

pytestmark = pytest.mark.browser

WIDGET = "application/vnd.jupyter.widget-view+json"


def setup(server: GlmServer) -> str:
    return f"%load_ext glm_magic\n%glm_config base_url={server.url} model=GLM-4-Air"


def knob(lab: Lab, name: str, cell: int = 1) -> Locator:
    return lab.outputs(cell).locator(f".glm-view [data-name={name}]")


def line(lab: Lab, cell: int = 1) -> Locator:
    return lab.outputs(cell).locator(".glm-line-config")


def drag(lab: Lab, slider: Locator, share: float) -> None:
    """Drag the handle of a slider from its middle to a share of its length."""
    box = slider.bounding_box()
    assert box is not None
    y = box["y"] + box["height"] / 2
    lab.page.mouse.move(box["x"] + box["width"] / 2, y)
    lab.page.mouse.down()
    lab.page.mouse.move(box["x"] + box["width"] * share, y, steps=5)
    lab.page.mouse.up()


def test_what_is_turned_is_what_is_sent_and_both_panels_say_so(lab: Lab, server: GlmServer) -> None:
    lab.open_new("panel", setup(server), "%glm_config", "%glm_config", "%%glm\nhi", "%glm_config temperature=0.9")
    lab.run_cell(0, 1, 2)
    begun = f"%glm_config base_url={server.url} model=GLM-4-Air"
    expect(line(lab)).to_have_text(begun)

    warm = knob(lab, "temperature")
    expect(warm).to_contain_text("the server's own default holds")
    drag(lab, warm.locator("input[type=range]"), 0.25)
    typed = warm.get_by_label("temperature", exact=True)
    expect(typed).not_to_have_value("")
    expect(warm).to_contain_text("set here")
    value = float(typed.input_value())
    assert 0.2 <= value <= 0.3
    expect(line(lab)).to_have_text(f"{begun} temperature={value:g}")
    warm.locator("input[type=range]").press("ArrowRight")
    expect(line(lab)).to_have_text(f"{begun} temperature={value + 0.01:g}")
    knob(lab, "max_tokens").get_by_label("max_tokens", exact=True).press_sequentially("64")
    expect(line(lab)).to_contain_text("max_tokens=64")
    system = knob(lab, "system").locator("textarea")
    system.press_sequentially('Be "brief".')
    expect(lab.outputs(1).locator(".glm-line-ask")).to_have_text(
        f"%%glm -m GLM-4-Air -t {value + 0.01:g} --max-tokens 64 -s 'Be \"brief\".'"
    )
    expect(line(lab, 2)).to_have_text(line(lab).inner_text())
    lab.run_cell(3)
    body = server.last.body
    assert (body["temperature"], body["max_tokens"]) == (pytest.approx(value + 0.01), 64)
    assert body["messages"][0] == {"role": "system", "content": 'Be "brief".'}

    lab.run_cell(4)
    expect(typed).to_have_value("0.9")
    unset = warm.get_by_role("button", name="temperature is not set")
    unset.press("Enter")
    expect(unset).to_have_attribute("aria-pressed", "true")
    expect(typed).to_have_value("")
    reset = knob(lab, "system", 2).get_by_role("button", name="reset system")
    reset.click()
    expect(reset).to_be_disabled()
    expect(system).to_have_value("")
    knob(lab, "model").locator("select").select_option("GLM-4-Plus")
    expect(knob(lab, "model")).to_contain_text("context 128,000 tokens")
    expect(line(lab)).to_contain_text("model=GLM-4-Plus")
    lab.run_cell(3)
    assert "temperature" not in server.last.body
    assert (server.last.body["model"], len(server.last.body["messages"])) == ("GLM-4-Plus", 1)


def test_what_a_setting_does_not_take_is_refused_in_its_row(lab: Lab, server: GlmServer) -> None:
    lab.open_new("wrong", setup(server), "%glm_config", "%%glm -H\nhi")
    lab.run_cell(0, 1)
    begun = line(lab).inner_text()
    wrong = {
        "temperature": ("7", "temperature takes a number from 0 to 2, not 7."),
        "max_tokens": ("1.5", "max_tokens takes a whole number of tokens of at least 1"),
        "base_url": ("http://10.0.0.7:x/v1", "base_url is not an http(s) address"),
    }
    for name, (text, why) in wrong.items():
        typed = knob(lab, name).get_by_label(name, exact=True)
        typed.fill(text)
        typed.press("Enter")
        expect(knob(lab, name).locator(".glm-fault")).to_contain_text(why)
        expect(typed).to_have_value(text)  # what was typed stays, to be put right
        expect(typed).to_have_attribute("aria-invalid", "true")
    expect(line(lab)).to_have_text(begun)
    lab.run_cell(2)
    assert "temperature" not in server.last.body

    typed = knob(lab, "temperature").get_by_label("temperature", exact=True)
    typed.fill("0.7")
    expect(line(lab)).to_contain_text("temperature=0.7")
    expect(knob(lab, "temperature").locator(".glm-fault")).to_have_text("")


def test_a_key_is_kept_and_stands_nowhere(lab: Lab, server: GlmServer) -> None:
    lab.open_new("login", setup(server), "%glm_config", "%%glm\nhi")
    lab.run_cell(0, 1)
    key = lab.outputs(1).locator(".glm-key")
    expect(key).to_contain_text("none; asks")
    key.get_by_role("button", name="Log in").click()
    key.get_by_label("API key").press_sequentially("0123456789abcdef.canary-canary")
    key.get_by_label("API key").press("Enter")
    expect(key).to_contain_text("…nary from this kernel only")
    lab.run_cell(2)
    assert server.last.headers["authorization"] == "Bearer 0123456789abcdef.canary-canary"
    assert "canary" not in json.dumps(lab.save())
    assert "canary" not in lab.page.content()


def test_the_saved_panel_is_a_table_without_a_kernel(lab: Lab, server: GlmServer) -> None:
    lab.open_new(f"saved-{lab.front_end}", setup(server), "%glm_config")
    lab.run_cell(0, 1)
    knob(lab, "top_p").locator("input[type=range]").press("ArrowLeft")
    expect(line(lab)).to_contain_text("top_p=0.49")
    play = lab.outputs(1).get_by_role("button", name="Open a playground below")
    play.click()
    lab.wait_for(lambda: lab.save().cells[-1].source == "%%glm --interact\n", "the new cell")

    lab.wait_for(lambda: "0.49" in lab.save().cells[1].outputs[0].data["text/plain"], "the table to be current")
    (output,) = lab.save().cells[1].outputs
    assert WIDGET not in output.data
    assert "widgets" not in lab.save().metadata
    lab.reload()  # the kernel lives, and so does the panel
    expect(line(lab)).to_contain_text("top_p=0.49")
    lab.page.evaluate("async () => { await jupyterapp.serviceManager.sessions.shutdownAll() }")
    expect(lab.outputs(1).locator("table")).to_be_visible()
    lab.open(lab.path)
    expect(lab.outputs(1).locator("td", has_text="nucleus sampling cutoff")).to_be_visible()
    expect(lab.outputs(1).locator(".glm-view")).to_have_count(0)


def test_nothing_is_cut_off_or_wraps_in_a_narrow_page(lab: Lab, server: GlmServer) -> None:
    lab.page.set_viewport_size({"width": 800, "height": 900})
    try:
        lab.open_new("narrow", setup(server), "%glm_config")
        lab.hide_sidebar()
        lab.run_cell(0, 1)
        lab.outputs(1).locator("summary").click()
        expect(knob(lab, "save_turns")).to_be_visible()
        wide, tall = (
            lab.outputs(1)
            .locator(".glm-view")
            .evaluate(
                """view => [
                [...view.querySelectorAll("*")].filter(el => el.getBoundingClientRect().right
                    > view.getBoundingClientRect().right + 1).map(el => el.className),
                [...view.querySelectorAll("button")].filter(el => el.getClientRects()[0]?.height > 30)
                    .map(el => el.textContent),
            ]"""
            )
        )
        assert (wide, tall) == ([], [])
    finally:
        lab.page.set_viewport_size({"width": 1280, "height": 900})
