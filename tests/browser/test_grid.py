"""The grid of a comparison: how it grows, what a person does in it, and what is left without a kernel."""

from __future__ import annotations

import json
import re
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat
import pytest
from attacks import ATTACKS, whole
from glm_server import GlmServer, stream
from playwright.sync_api import expect
from test_bar import CONTRAST

from glm_magic.display.page.grid import widget

if TYPE_CHECKING:
    from conftest import Lab
    from playwright.sync_api import Locator

pytestmark = pytest.mark.browser

EVERYWHERE = pytest.mark.parametrize("lab", ["JupyterLab", "Notebook 7"], indirect=True)
SETUP = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\nfrom scripted_grid import *"
KINDS = ["application/vnd.glm-magic.comparison+json", "text/html", "text/markdown", "text/plain"]
ACTED = "a = Acted({}); a.begin(); a.finish()"
TOLD = "print(a.actions[-1])"
INSTALLED = ""


class Seen:
    """The live grid below a cell."""

    def __init__(self, lab: Lab, index: int = 1) -> None:
        self.root = lab.outputs(index).locator(".glm-live-grid")

    def cell(self, row: int, column: int) -> Locator:
        return self.root.locator(f".glm-live-row[data-row='{row}'] > .glm-live-cell").nth(column)

    def part(self, name: str) -> Locator:
        return self.root.locator(f".glm-live-{name}")

    def rows(self) -> list[int]:
        return [int(node.get_attribute("data-row") or -1) for node in self.part("row").all()]

    def press(self, name: str) -> None:
        self.root.get_by_role("button", name=re.compile(rf"^{name}\b")).click()


def acted(lab: Lab, name: str, how: str, *cells: str) -> Seen:
    """A notebook in which a comparison was acted."""
    lab.open_new(name, SETUP, ACTED.format(how), *cells)
    lab.run_cell(0, 1)
    seen = Seen(lab)
    expect(seen.part("verdict")).to_contain_text("B beats A")
    return seen


def expect_done(lab: Lab, action: str) -> None:
    """Ask the kernel what the person has done last, until that is `action`: a widget sends one message at a time."""

    def is_done() -> bool:
        lab.run_cell(2)
        return action in lab.text(2)

    lab.wait_for(is_done, action)


@EVERYWHERE
def test_answers_stream_into_their_cells_and_the_file_has_no_widget(lab: Lab) -> None:
    name = f"grid-{lab.front_end.replace(' ', '')}"
    begin = "a = Acted(4, 3, 2); a.begin(); a.stream(pause=.02, until=9)"
    (lab.folder / name).unlink(missing_ok=True)
    lab.open_new(name, SETUP, f"{begin}; a.hold('{name}'); a.stream(pause=.02); a.finish()")
    lab.run_cell(0)
    lab.start(1)
    seen = Seen(lab)
    expect(seen.cell(0, 0)).to_contain_text("The review is mixed")
    expect(seen.cell(0, 0)).to_contain_text("2 alike")
    expect(seen.root.locator("[data-state=running]").first).to_be_visible()
    expect(seen.part("title")).to_contain_text("at once")
    progress = seen.root.get_by_role("progressbar")
    expect(progress).to_have_attribute("aria-valuemax", "24")
    expect(progress).to_have_attribute("aria-valuenow", re.compile(r"^([1-9]|1\d|2[0-3])$"))
    expect(seen.part("stop")).to_be_visible()
    lab.path.with_name(name).touch()
    lab.wait_idle(1)
    expect(seen.part("verdict")).to_contain_text("B beats A")
    expect(seen.part("stop")).not_to_be_visible()
    expect(seen.cell(3, 2)).to_have_attribute("data-state", "done")
    expect(seen.part("heard")).to_contain_text("24 of 24 answers. B beats A")
    saved = lab.save()
    (output,) = saved.cells[1].outputs
    assert sorted(output.data) == KINDS
    assert "widget" not in json.dumps(saved)


@pytest.mark.parametrize("version", ["6.31", INSTALLED])
def test_stop_interrupts_a_busy_kernel(lab: Lab, other_ipykernels: dict[str, str], version: str) -> None:
    stopped = "a = Acted(4, 3); a.begin()\ntry:\n    a.hold('never')\nexcept KeyboardInterrupt:\n    a.finish()"
    kernel = {"kernel": other_ipykernels[version]} if version else {}
    lab.open_new(f"grid-stop{version}", SETUP, stopped, **kernel)
    lab.run_cell(0)
    lab.start(1)
    seen = Seen(lab)
    seen.part("stop").click()
    lab.wait_idle(1)
    expect(seen.part("verdict")).to_contain_text("B beats A")


def test_a_grid_in_the_background_is_stopped_by_a_message(lab: Lab) -> None:
    lab.open_new("grid-background", SETUP, "a = Acted(4, 3, in_background=True); a.begin()", TOLD)
    lab.run_cell(0, 1)
    seen = Seen(lab)
    seen.part("stop").click()
    expect(seen.part("stop")).to_have_text("Stopping")
    expect_done(lab, "kind='stop'")


def test_the_keyboard_does_everything(lab: Lab) -> None:
    seen = acted(lab, "grid-keys", "30, 3, 2", TOLD)
    keys = lab.page.keyboard
    seen.cell(0, 0).focus()
    for key in ("ArrowDown", "ArrowRight", "ArrowDown", "ArrowRight", "ArrowRight", "ArrowLeft"):
        keys.press(key)
    expect(seen.cell(2, 1)).to_be_focused()
    keys.press("4")
    expect(seen.cell(2, 1)).to_contain_text("rated 4")
    expect(seen.cell(2, 1)).to_be_focused()
    expect_done(lab, "Action(kind='rate', spot=(2, 1, 0), value=4)")
    seen.cell(2, 1).press("p")
    expect(seen.cell(2, 1)).to_have_attribute("aria-selected", "true")
    expect(seen.cell(2, 1)).to_be_focused()
    keys.press("Enter")
    expect(seen.cell(2, 1)).to_have_attribute("aria-expanded", "true")
    expect(seen.part("panel")).to_contain_text("B, answer 2 of 2")
    keys.press("n")
    keys.type("so so")
    keys.press("Enter")
    expect(seen.cell(2, 1)).to_contain_text("note: so so")
    expect(seen.cell(2, 1)).to_be_focused()
    keys.press("Escape")
    expect(seen.part("panel")).to_have_count(0)
    expect(seen.cell(2, 1)).to_be_focused()
    keys.press("d")
    expect(seen.cell(2, 1).locator("ins").first).to_be_visible()
    keys.press("d")
    expect(seen.cell(2, 1).locator("ins")).to_have_count(0)
    keys.press("b")
    expect(seen.part("head").nth(1)).to_contain_text("★ baseline")
    expect_done(lab, "Action(kind='baseline', spot=(0, 1, 0), value=None)")
    seen.cell(2, 1).press("End")
    expect(seen.cell(29, 1)).to_be_focused()
    expect(seen.cell(29, 1)).to_be_in_viewport()
    keys.press("Home")
    expect(seen.cell(0, 1)).to_be_focused()
    heads, first = seen.part("heads").bounding_box(), seen.cell(0, 1).bounding_box()
    assert heads
    assert first
    assert first["y"] >= heads["y"] + heads["height"] - 1
    seen.cell(29, 1).press("0")
    expect_done(lab, "Action(kind='rate', spot=(29, 1, 0), value=None)")
    saved = lab.save().cells[1].outputs[0].data["text/html"]
    assert "rated 4" in saved
    assert "note: so so" in saved


def test_rows_are_filtered_sorted_and_compared_and_stay_so_when_the_grid_changes(lab: Lab) -> None:
    seen = acted(lab, "grid-rows", "12, 3, 1")
    seen.press("failed 1")
    assert seen.rows() == [1]
    seen.press("rated 0")
    expect(seen.root).to_contain_text("no row is rated")
    seen.press("all")
    seen.root.get_by_label("sort").select_option("B − A: losses first")
    order = seen.rows()
    assert sorted(order) == list(range(12))
    assert order != sorted(order)
    expect(seen.cell(order[0], 0)).to_contain_text("✓")
    expect(seen.cell(order[0], 1)).to_contain_text("✗")
    assert order[-1] == 1  # has no score
    seen.press("diff")
    expect(seen.cell(order[0], 1).locator("ins, del").first).to_be_visible()
    expect(seen.cell(order[0], 0).locator("ins, del")).to_have_count(0)
    seen.cell(order[5], 2).click()
    seen.part("panel").get_by_role("button", name="Rate 3").click()
    expect(seen.cell(order[5], 2)).to_contain_text("rated 3")
    assert seen.rows() == order
    expect(seen.part("panel")).to_be_visible()
    expect(seen.cell(order[0], 1).locator("ins, del").first).to_be_visible()
    seen.press("rated 1")
    assert seen.rows() == [order[5]]


def test_without_a_kernel_everything_can_be_read(lab: Lab) -> None:
    seen = acted(lab, "grid-read", "4, 3, 2")
    lab.save()
    lab.open(lab.path)
    expect(seen.root).to_be_visible()  # the kernel lives, and tells a new view what it knows
    expect(seen.cell(0, 0)).to_contain_text("2 alike")
    lab.restart()
    expect(seen.root).to_have_count(0)
    still = lab.outputs(1).locator("table")
    expect(still.locator("td").first).to_contain_text("The review is mixed: it praises the food")
    replayed = ACTED.format("4, 3, 2, at_once=True")  # in the output that another kernel has made
    lab.rewrite(1, replayed)
    lab.run_cell(0, 1)
    expect(seen.cell(0, 0)).to_contain_text("2 alike")
    lab.page.evaluate("async () => { await jupyterapp.shell.currentWidget.sessionContext.shutdown() }")
    expect(seen.root).to_have_count(0)
    expect(still.locator("td").first).to_contain_text("The review is mixed")
    notebook = nbformat.read(lab.path, as_version=4)
    notebook.cells[1].source += " # changed elsewhere, so nobody has signed it"
    nbformat.write(notebook, lab.path.with_name("grid-untrusted.ipynb"))
    lab.open("grid-untrusted.ipynb")
    expect(still.locator("td").first).to_contain_text("The review is mixed: it praises the food")
    expect(still.locator("td").first).to_have_css("white-space", "pre-wrap")
    expect(still.locator("th").nth(2)).to_contain_text("+0.18 (+0.06 to +0.29) ▲ better")
    still.locator("summary").last.click()
    expect(still.locator("td").last).to_contain_text("1.1 s")


def test_what_a_model_says_cannot_act_in_a_grid(lab: Lab) -> None:
    fetched: list[str] = []
    lab.page.context.route(re.compile("attack-"), lambda route: (fetched.append(route.request.url), route.abort()))
    lab.page.on("request", lambda request: fetched.append(request.url) if "attack-" in request.url else None)
    texts = [whole(name) for name in ATTACKS]
    seen = acted(lab, "grid-attacks", f"{len(texts)}, 2, texts={texts!r}")
    for view in ("full", "diff", "compact"):
        seen.press(view)
        lab.page.evaluate(
            """() => {
                for (const row of document.querySelectorAll('.glm-live-row')) row.scrollIntoView();
                for (const what of document.querySelectorAll('.glm-live-cell, .glm-live-cell *')) {
                    what.dispatchEvent(new MouseEvent('mouseover', { bubbles: true }));
                }
            }"""
        )
    seen.cell(0, 0).click()
    expect(seen.part("panel")).to_contain_text("top.pwned_script=1")
    tags = lab.page.evaluate(
        "() => [...new Set([...document.querySelectorAll('.glm-live-grid *')].map(node => node.localName))]"
    )
    assert set(tags) <= {
        "div",
        "span",
        "button",
        "input",
        "select",
        "option",
        "label",
        "details",
        "summary",
        "ins",
        "del",
    }
    lab.restart()  # and the static one
    expect(seen.root).to_have_count(0)
    expect(lab.outputs(1)).to_contain_text("top.pwned_script=1")
    ran: list[Any] = lab.page.evaluate("() => Object.keys(window).filter(name => name.startsWith('pwned_'))")
    assert (ran, fetched) == ([], [])
    expect(lab.page.locator("[class*=evil-], mjx-container")).to_have_count(0)


def test_a_blind_grid_is_revealed_when_asked(lab: Lab) -> None:
    lab.open_new("grid-blind", SETUP, ACTED.format("4, 3, is_blind=True"), TOLD)
    lab.run_cell(0, 1)
    seen = Seen(lab)
    expect(seen.cell(3, 2)).to_contain_text("complaint")
    assert not re.search(r"GLM-4|baseline|right|1\.1 s", lab.text(1))
    seen.cell(0, 0).focus()
    lab.page.keyboard.press("b")
    lab.page.keyboard.press("3")
    expect(seen.cell(0, 0)).to_contain_text("rated 3")
    expect(seen.part("waits")).to_have_text("")
    expect_done(lab, "kind='rate'")
    seen.press("Reveal")
    expect(seen.part("head").first).to_contain_text("GLM-4-Flash")


def test_what_a_person_chose_stays_when_the_kernel_sends_the_grid_anew(lab: Lab) -> None:
    seen = acted(lab, "grid-anew", "6, 2", "grids().send_whole('acted')")
    seen.press("failed")
    expect(seen.part("row")).to_have_count(1)
    seen.press("all")
    seen.press("diff")
    expect(seen.part("out").first).to_be_attached()
    seen.cell(2, 1).focus()
    lab.page.keyboard.press("Enter")
    expect(seen.part("panel")).to_be_visible()
    seen.root.evaluate("node => { node.dataset.known = 'yes' }")
    lab.run_cell(2)
    expect(seen.root).to_have_attribute("data-known", "yes")
    expect(seen.root).to_have_attribute("data-view", "diff")
    expect(seen.part("out").first).to_be_attached()
    expect(seen.part("panel")).to_be_visible()


def test_it_is_fit_for_every_theme_and_a_narrow_page(lab: Lab) -> None:
    seen = acted(lab, "grid-looks", "12, 4")
    seen.press("diff")
    parts = ("title", "verdict", "option", "settings", "facts", "number", "text", "marks", "bad", "out", "in")
    verdicts = tuple(f"difference[data-verdict={word}]" for word in ("better", "undecided", "worse"))
    for theme in ("light", "dark", "high contrast"):
        lab.theme(theme)
        for part in parts + verdicts:
            assert seen.part(part).first.evaluate(CONTRAST) >= 4.5, f"{part} in {theme}"
    lab.theme("light")
    lab.page.emulate_media(forced_colors="active")
    assert seen.part("dot").first.evaluate("node => getComputedStyle(node).backgroundColor") != "rgba(0, 0, 0, 0)"
    size = lab.page.viewport_size
    lab.hide_sidebar()
    lab.page.set_viewport_size({"width": 800, "height": 700})
    right = "node => node.getBoundingClientRect().right"
    lab.wait_for(lambda: seen.root.evaluate(right) <= 800, "a grid that is as narrow as the page")
    head = seen.part("heads").bounding_box()
    seen.part("scroller").evaluate("node => node.scrollTo(0, 300)")
    assert seen.part("heads").bounding_box() == head
    lab.page.set_viewport_size(size or {"width": 1280, "height": 900})


def test_a_screen_reader_finds_rows_columns_and_names(lab: Lab) -> None:
    seen = acted(lab, "grid-roles", "3, 2, 1")
    grid = seen.root.get_by_role("grid")
    expect(grid).to_have_attribute("aria-rowcount", "4")
    expect(grid).to_have_attribute("aria-colcount", "3")
    assert [head.inner_text().split("\n")[0] for head in grid.get_by_role("columnheader").all()] == [
        "row",
        "A ★ baseline",
        "B",
    ]
    expect(grid.get_by_role("rowheader")).to_have_count(3)
    expect(grid.get_by_role("gridcell")).to_have_count(6)
    expect(grid.locator("[role=gridcell][tabindex='0']")).to_have_count(1)
    expect(seen.root.get_by_role("group", name="show")).to_be_visible()
    expect(seen.root.get_by_role("button", name="compact", pressed=True)).to_be_visible()


def test_a_real_comparison_is_stopped_and_one_of_its_answers_picked(lab: Lab, server: GlmServer) -> None:
    gate = threading.Event()
    server.answer(stream("Yes, ", "it is."))
    server.answer(stream("No", gate))
    setup = f"%load_ext glm_magic\n%glm_config base_url={server.url} model=GLM-4-Air concurrency=1"
    lab.open_new("grid-real", setup, "%%glm -t 0,1\nIs it good?", "%%glm\nWhy?")
    lab.run_cell(0)
    lab.start(1)
    seen = Seen(lab)
    expect(seen.cell(0, 0)).to_contain_text("Yes, it is.")
    expect(seen.cell(0, 1)).to_contain_text("No")
    seen.part("stop").click()
    lab.wait_for_text(1, "Stopped. 1 of 2 answers are kept.")
    gate.set()
    seen.cell(0, 0).get_by_role("button", name="Pick").click()
    expect(seen.cell(0, 0)).to_contain_text("picked")
    server.answer(stream("Because."))
    lab.run_cell(2)
    assert ("assistant", "Yes, it is.") in server.last.messages
    (grid,) = [output for output in lab.save().cells[1].outputs if KINDS[0] in output.get("data", {})]
    assert "picked" in grid.data["text/html"]


def test_the_script_puts_in_text_as_text() -> None:
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|https?://", widget.Grids._esm)
