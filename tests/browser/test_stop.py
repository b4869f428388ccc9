"""Stop in the bar: in both front ends, with ipykernel 6 and 7 in JupyterLab, at every moment of an answer."""

from __future__ import annotations

import re
import threading
from typing import TYPE_CHECKING

import pytest
from glm_server import GlmServer, error, stream
from playwright.sync_api import expect

if TYPE_CHECKING:
    from lab import Lab

pytestmark = pytest.mark.browser

EVERYWHERE = pytest.mark.parametrize("lab", ["JupyterLab", "Notebook 7"], indirect=True)
WIDGET = "application/vnd.jupyter.widget-view+json"
INSTALLED = ""
COUNTDOWN = re.compile(r"Retrying in \d+ s\.")


def setup(server: GlmServer) -> str:
    return f"%load_ext glm_magic\n%glm_config base_url={server.url} model=GLM-4-Air"


@pytest.fixture
def gate() -> threading.Event:
    return threading.Event()


def stop(lab: Lab, index: int) -> None:
    """Click on Stop, and wait until the cell's prompt says that it has ended; the time is printed."""
    expect(lab.bar(index).locator("button")).to_be_visible()
    milliseconds: float = lab.page.evaluate(
        """index => new Promise((resolve, reject) => {
            const cell = document.querySelectorAll('.jp-Notebook .jp-Cell')[index];
            const prompt = cell.querySelector('.jp-InputPrompt');
            const clicked = performance.now();
            const seen = new MutationObserver(() => {
                if (!prompt.textContent.includes('*')) resolve(performance.now() - clicked);
            });
            seen.observe(prompt, { childList: true, characterData: true, subtree: true });
            setTimeout(() => reject(new Error('Stop stopped nothing')), 60000);
            cell.querySelector('.glm-bar-stop').click();
        })""",
        index,
    )
    print(f"stopped after {milliseconds:.0f} ms")


@pytest.mark.parametrize(
    ("lab", "version"),
    [("JupyterLab", "6.31"), ("JupyterLab", INSTALLED), ("Notebook 7", INSTALLED)],
    indirect=["lab"],
)
def test_what_has_arrived_stays_and_run_all_ends(
    lab: Lab, server: GlmServer, gate: threading.Event, other_ipykernels: dict[str, str], version: str
) -> None:
    server.answer(stream("Half an answer", gate, " and the rest"))
    cells = ("%%glm\nGo on.", "print('later')", "%%glm\nAnd now?", "import ipykernel; print(ipykernel.__version__)")
    kernel = {"kernel": other_ipykernels[version]} if version else {}
    lab.open_new(f"stop-{lab.front_end}-{version}", setup(server), *cells, **kernel)
    lab.start_all()
    expect(lab.answer(1)).to_have_text("Half an answer")
    print(lab.front_end, version or "installed", end=": ")
    stop(lab, 1)
    lab.wait_all()
    assert server.hung_up.wait(60)
    expect(lab.answer(1)).to_have_text("Half an answer")
    lab.wait_for_text(1, "Interrupted: Stopped. What had arrived is kept.", "· interrupted ·")
    expect(lab.bar(1)).to_have_count(0)
    expect(lab.outputs(2)).not_to_contain_text("later")
    assert len(server.requests) == 1

    lab.run_cell(3, 4)
    expect(lab.answer(3)).to_have_text("You said: And now?")
    assert server.last.messages == [("user", "Go on."), ("assistant", "Half an answer"), ("user", "And now?")]
    lab.wait_for_text(4, version)

    seen = lab.text(1)
    saved = lab.save()
    (said,) = [output.ename for output in saved.cells[1].outputs if output.output_type == "error"]
    assert said == "Interrupted"
    assert not [output for cell in saved.cells for output in cell.outputs if WIDGET in output.get("data", {})]
    assert set(saved.metadata) == {"kernelspec", "language_info"}
    lab.open(lab.path)
    expect(lab.answer(1)).to_have_text("Half an answer")
    assert lab.text(1) == seen


def test_stop_while_nothing_has_come(lab: Lab, server: GlmServer, gate: threading.Event) -> None:
    overloaded = error(503, {"error": {"message": "Too busy."}}, Retry_After="10")
    server.answer(stream(gate, "Never"), overloaded)
    cells = ("%%glm\nBefore the first token", "%%glm\nBefore another try", "%%glm\nAnd now?")
    lab.open_new(f"waiting-{lab.front_end}", setup(server), *cells)
    lab.run_cell(0)
    lab.start(1)
    stop(lab, 1)
    lab.wait_for_text(1, "stopped before any text", "Nothing had arrived, so nothing is kept.")

    lab.start(2)
    countdown = lab.bar(2).locator(".glm-bar-said")
    expect(countdown).to_contain_text(COUNTDOWN)
    before = countdown.inner_text()
    lab.wait_for(lambda: countdown.inner_text() != before, "the countdown to go on")
    expect(countdown).to_contain_text(COUNTDOWN)
    stop(lab, 2)
    lab.wait_for_text(2, "stopped before any text", "Nothing had arrived, so nothing is kept.")

    lab.run_cell(3)  # not before the service is ready for it
    assert server.last.messages == [("user", "And now?")]
    assert len(server.requests) == 3


@EVERYWHERE
def test_stop_twice_and_by_keyboard_and_at_once_again(lab: Lab, server: GlmServer, gate: threading.Event) -> None:
    server.answer(*(stream("Half", gate, " and the rest") for _ in range(3)))
    lab.open_new(f"hands-{lab.front_end}", setup(server), "%%glm\nGo on.", "%%glm\nAnd now?")
    lab.run_cell(0)
    lab.start(1)
    button = lab.bar(1).locator("button")
    expect(lab.answer(1)).to_have_text("Half")
    button.dblclick()
    lab.wait_idle(1)
    lab.wait_for_text(1, "Interrupted: Stopped.", "Half")

    for key in ("Enter", "Space"):
        lab.start(1)
        expect(button).to_be_visible()
        expect(lab.answer(1)).to_have_text("Half")
        for _ in range(9):
            lab.page.keyboard.press("Tab")
            if button.evaluate("stop => stop === document.activeElement"):
                break
        expect(button).to_be_focused()
        assert button.evaluate("stop => getComputedStyle(stop).outlineStyle") == "solid"
        lab.page.keyboard.press(key)
        lab.wait_idle(1)
        lab.wait_for_text(1, "Interrupted: Stopped.", "Half")
        expect(lab.bar(1)).to_have_count(0)
        expect(lab.cell(1)).to_be_focused()  # and not lost with the button

    lab.run_cell(2)
    expect(lab.answer(2)).to_have_text("You said: And now?")


@pytest.mark.embedded
def test_the_embedded_model_survives(lab: Lab) -> None:
    children = (
        "from pathlib import Path\n"
        "files = Path('/proc/self/task').glob('*/children')\n"
        "print('children', *sorted(child for file in files for child in file.read_text().split()))"
    )
    count = "%%glm -t 0 --max-tokens 2000\nCount from one to five hundred in words."
    load = "import os\nos.sched_setaffinity(0, {max(os.sched_getaffinity(0))})\n%load_ext glm_magic"  # on one core
    lab.open_new("embedded", load, count, children, "%%glm -t 0 --max-tokens 4\nHello", children)
    lab.run_cell(0)
    lab.start(1)
    lab.wait_until(
        "() => document.querySelectorAll('.jp-Notebook .jp-Cell')[1].querySelector('.jp-RenderedMarkdown')",
        seconds=300,  # the model may have to be fetched
    )
    stop(lab, 1)
    lab.wait_idle(1)
    lab.wait_for_text(1, "Interrupted: Stopped. What had arrived is kept.")
    lab.run_cell(2, 3, 4)
    lab.wait_for_text(3, "embedded, for trials only", "1 earlier turn sent")
    lab.wait_for_text(2, "children ")
    lab.wait_for_text(4, "children ")
    assert lab.text(2) == lab.text(4) != "children"
