"""The line of an answer under way: what it says, how it looks, who can use it, and what becomes of it."""

from __future__ import annotations

import re
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from glm_server import GlmServer, chunk, stream
from playwright.sync_api import expect

from glm_magic.display.page import bar

if TYPE_CHECKING:
    from lab import Lab
    from playwright.sync_api import Browser

pytestmark = pytest.mark.browser

WIDGET = "application/vnd.jupyter.widget-view+json"
TURN = "application/vnd.glm-magic.turn+json"
THOUGHTS = ("The moon pulls the water.\n", "And the <b>sun</b> a little.\n", "So both.")

# The contrast of an element's text with what is painted behind it, as WCAG 2 counts it.
CONTRAST = """element => {
    const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
    const backgrounds = [];
    for (let node = element; node; node = node.parentElement) {
        backgrounds.unshift(getComputedStyle(node).backgroundColor);
    }
    const paint = colour => { canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1) };
    const luminance = () => [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3)
        .map(part => part / 255).map(part => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
        .reduce((sum, part, at) => sum + part * [0.2126, 0.7152, 0.0722][at], 0);
    ['white', ...backgrounds].forEach(paint);
    const behind = luminance();
    paint(getComputedStyle(element).color);
    const [low, high] = [behind, luminance()].sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
}"""


# Note what a screen reader says of the bars, as it changes.
HEAR = """() => {
    window.heard = [];
    new MutationObserver(() => {
        const text = document.querySelector('.glm-bar [role=status]')?.textContent;
        if (text && text !== heard.at(-1)) heard.push(text);
    }).observe(document.body, { childList: true, characterData: true, subtree: true });
}"""


def heard(lab: Lab) -> list[str]:
    steps: list[str] = lab.page.evaluate("() => window.heard")
    return steps


def setup(server: GlmServer) -> str:
    return f"%load_ext glm_magic\n%glm_config base_url={server.url} model=GLM-4-Air"


def thought(text: str) -> bytes:
    """A part of what the model thinks."""
    return chunk(delta={"role": "assistant", "reasoning_content": text})


@pytest.fixture
def gates() -> list[threading.Event]:
    return [threading.Event() for _ in range(4)]


def test_thinking_is_folded_above_the_answer(lab: Lab, server: GlmServer, gates: list[threading.Event]) -> None:
    first, second, third = map(thought, THOUGHTS)
    server.answer(stream(first, gates[0], second, gates[1], third, "Because of both.", gates[2], " The end."))
    lab.open_new(f"thinking-{lab.front_end}", setup(server), "%%glm\nWhy tides?", "%%glm\nAnd ebbs?")
    lab.run_cell(0)
    lab.start(1)
    fold = lab.bar(1).locator("details")
    expect(fold.locator("summary")).to_have_text("Thinking · 26 characters")
    expect(fold.locator("div")).not_to_be_visible()
    fold.locator("summary").click()
    expect(fold.locator("div")).to_have_text(THOUGHTS[0].strip())
    gates[0].set()
    expect(fold.locator("div")).to_have_text("The moon pulls the water. And the <b>sun</b> a little.")
    expect(fold.locator("div")).to_be_visible()

    gates[1].set()
    expect(lab.answer(1)).to_have_text("Because of both.")
    expect(fold).not_to_be_visible()
    above = lab.outputs(1).locator("details:not(.glm-bar-thinking)")
    expect(above.locator("summary")).to_have_text("Thinking · 63 characters")
    expect(above.locator("div")).not_to_be_visible()
    gates[2].set()
    lab.wait_idle(1)

    def stands() -> None:
        expect(lab.answer(1)).to_have_text("Because of both. The end.")
        boxes = [found.bounding_box() for found in (above, lab.answer(1))]
        assert boxes[0]
        assert boxes[1]
        assert boxes[0]["y"] < boxes[1]["y"]
        expect(above.locator("div")).not_to_be_visible()
        above.locator("summary").click()
        expect(above.locator("div")).to_have_text(re.sub(r"\s+", " ", "".join(THOUGHTS)))
        expect(above.locator("b")).to_have_count(0)
        above.locator("summary").click()

    stands()
    outputs = lab.save().cells[1].outputs
    lab.open(lab.path)
    stands()
    assert not any(WIDGET in output.data for output in outputs)
    (turn,) = [output.data[TURN] for output in outputs if TURN in output.data]
    assert turn["reasoning"] == "".join(THOUGHTS)
    lab.run_cell(2)
    assert "moon" not in str(server.last.body)


def test_it_counts_and_says_what_happens_to_everyone(lab: Lab, server: GlmServer, gates: list[threading.Event]) -> None:
    server.answer(stream(thought(THOUGHTS[0]), gates[0], "Some words of an answer, ", gates[1], "and more."))
    lab.open_new("counts", setup(server), "%%glm\nWhy tides?")
    lab.run_cell(0)
    lab.page.emulate_media(reduced_motion="reduce")
    lab.page.evaluate(HEAR)
    lab.start(1)
    line, counts = lab.bar(1), lab.bar(1).locator(".glm-bar-counts")
    expect(counts).to_have_text(re.compile(r"^ · [\d.]+ s$"))
    lab.wait_for(lambda: "GLM-4-Air · thinking" in heard(lab), "the first step to be said")
    gates[0].set()
    lab.wait_for(lambda: "GLM-4-Air · answering" in heard(lab), "the next step to be said")
    expect(line.get_by_role("status")).to_have_text("")  # it has been said, and stands beside
    expect(counts).to_have_text(re.compile(r"^ · ~7 tokens · \d+ tokens/s · [\d.]+ s$"))
    expect(lab.page.get_by_role("group", name="The answer of GLM-4-Air")).to_have_count(1)
    expect(line.get_by_role("button", name="Stop the answer of GLM-4-Air")).to_be_visible()
    moves = "line => document.getAnimations().filter(one => line.contains(one.effect.target)).length"
    assert line.evaluate(moves) == 0

    for theme in ("light", "dark", "high contrast"):
        lab.theme(theme)
        for part in (".glm-bar-said", ".glm-bar-counts", "button"):
            assert line.locator(part).evaluate(CONTRAST) >= 4.5, (theme, part)
    lab.theme("light")
    lab.page.emulate_media(forced_colors="active")
    square = "stop => getComputedStyle(stop, '::before').backgroundColor !== getComputedStyle(stop).backgroundColor"
    assert line.locator("button").evaluate(square)
    lab.page.emulate_media(forced_colors="none")

    said = line.locator(".glm-bar-said")
    expect(said).to_have_text(re.compile(r"silent for \d+ s$"))
    before = said.inner_text()
    lab.wait_for(lambda: said.inner_text() != before, "the silence to grow")
    steps = [re.sub(r" \d+ s$", "", step) for step in heard(lab)]
    assert steps[-1] == "GLM-4-Air · silent for"
    assert steps[-1] != steps[-2]  # the seconds are not said
    gates[1].set()
    lab.wait_idle(1)
    expect(line).to_have_count(0)


def test_a_bar_that_nobody_serves_says_so(lab: Lab, server: GlmServer, gates: list[threading.Event]) -> None:
    server.answer(*(stream("Half an answer, ", gate, "and the rest.") for gate in gates))
    lab.open_new(f"dead-{lab.front_end}", setup(server), "%%glm\nWhy tides?", "%%glm\nAnd ebbs?")
    lab.run_cell(0)

    lab.start(1)
    expect(lab.bar(1)).to_be_visible()
    expect(lab.answer(1)).to_have_text("Half an answer,")
    lab.save()  # as an autosave would
    lab.reload(busy=True)
    expect(lab.answer(1)).to_have_text("Half an answer,")
    gates[0].set()
    lab.wait_for_text(1, "7 in, 5 out", "The page was loaded again before the answer ended")
    expect(lab.bar(1).locator("button")).not_to_be_visible()
    lab.start(2)  # served by the same bar
    expect(lab.bar(2).locator("button")).to_be_visible()
    expect(lab.bar(1).locator("button")).not_to_be_visible()
    expect(lab.bar(1)).not_to_contain_text("answering")
    gates[1].set()
    lab.wait_idle(2)
    assert server.last.messages[1] == ("assistant", "Half an answer, and the rest.")

    lab.start(1)
    expect(lab.bar(1).locator("button")).to_be_visible()
    lab.page.evaluate("async () => { await jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart() }")
    expect(lab.bar(1).locator(".glm-bar-said")).to_have_text("GLM-4-Air · the kernel has ended")
    expect(lab.bar(1).locator("button")).not_to_be_visible()
    expect(lab.bar(1).locator(".glm-bar-counts")).not_to_be_visible()


# A front end with nothing but the bar in it; what the bar does to the kernel and to the model is noted.
ALONE = """async ([code, values]) => {
    const { default: widget } = await import(`data:text/javascript,${encodeURIComponent(code)}`);
    window.leave?.();
    const handlers = [];
    window.done = [];
    window.kernel = {
        connectionStatus: 'connected',
        isDisposed: false,
        statusChanged: { connect: handler => handlers.push(handler), disconnect: () => done.push('left') },
        interrupt: async () => { done.push('interrupt'); if (window.fails) throw new Error('no') },
    };
    window.status = status => handlers.forEach(handler => handler(kernel, status));
    window.model = {
        widget_manager: { kernel }, on() {}, off() {}, get: name => values[name], send: what => done.push(what),
    };
    document.body.innerHTML = `<div data-glm-bar="${values.key}" style="color: red">M · not finished yet</div>`;
    window.leave = widget.initialize({ model });
}"""


def test_stop_is_an_interrupt_or_a_message_and_never_both(chromium: Browser) -> None:
    page = chromium.new_page()
    values = {"key": "k", "title": "M", "status": "answering", "seconds": 0, "first_token_seconds": 0, "tokens": 0}
    values |= {"marks": ["attempt 2", "stale: turn 3"], "background": False, "over": ""}
    code = Path(bar.__file__).with_name("bar.js").read_text()
    stop, said = page.locator("button"), page.locator(".glm-bar-said")

    page.evaluate(ALONE, [code, values])
    expect(page.locator(".glm-bar-marks")).to_have_text(" · attempt 2 · stale: turn 3")
    stop.dblclick()
    expect(stop).to_have_text("Stopping")
    assert page.evaluate("() => done") == ["interrupt"]
    page.evaluate("() => { kernel.connectionStatus = 'connecting' }")
    expect(said).to_have_text("M · the page has lost the kernel")
    page.evaluate("() => { kernel.isDisposed = true }")
    expect(said).to_have_text("M · the kernel has ended")
    expect(stop).not_to_be_visible()
    assert page.evaluate("() => { leave(); return done }") == ["interrupt", "left"]

    page.evaluate(ALONE, [code, values])
    page.evaluate("() => { window.fails = true }")
    stop.click()
    page.wait_for_function("() => done.length === 1")
    expect(stop).to_have_text("Stop")  # it can be pressed again

    page.evaluate(ALONE, [code, {**values, "background": True}])
    stop.dblclick()
    expect(stop).to_have_attribute("title", "Stops as soon as the kernel is free")
    assert page.evaluate("() => done") == [{"stop": True}]
    page.close()
