"""A real restart of the kernel in JupyterLab and Notebook 7: no attempt is lost, and nothing else is sent."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
from glm_server import GlmServer, calls, stream
from playwright.sync_api import expect

from glm_magic.notebook.bundle import MIME_TYPE

if TYPE_CHECKING:
    from lab import Lab

pytestmark = pytest.mark.browser

WIDGET = "application/vnd.jupyter.widget-view+json"
LOAD, FIRST, SECOND, ALONE = range(4)


def attempts(lab: Lab, index: int) -> list[str]:
    """Return the prompts of a cell's attempts, as the file has them."""
    (bundle,) = [
        output.data[MIME_TYPE] for output in lab.save().cells[index].outputs if MIME_TYPE in output.get("data", {})
    ]
    return [made["messages"][0]["content"] for made in (*bundle["attempts"], bundle)]


def opened(lab: Lab, server: GlmServer, name: str, replay: str) -> None:
    """Open a notebook, and ask in three wordings in each of two cells."""
    setup = f"%load_ext glm_magic\n%glm_config base_url={server.url} model=GLM-4-Air replay={replay}"
    lab.open_new(f"{name} {lab.front_end} {replay}", setup, "%%glm\none", "%%glm\nsecond", "%%glm -H\nalone")
    lab.run_cell(LOAD, FIRST, SECOND, ALONE)
    for text in ("uno", "eins"):
        lab.rewrite(FIRST, f"%%glm\n{text}")
        lab.rewrite(ALONE, f"%%glm -H\nalone, {text}")
        lab.run_cell(FIRST, ALONE)


def sent(server: GlmServer, since: int) -> list[Any]:
    return [request.messages for request in server.requests[since:]]


@pytest.mark.parametrize("replay", ["off", "notebook"])
def test_attempts_come_back_whether_or_not_they_were_saved(lab: Lab, server: GlmServer, replay: str) -> None:
    opened(lab, server, "attempts", replay)
    assert attempts(lab, FIRST) == ["one", "uno", "eins"]

    # the first run fails before anything is sent, and the notebook is saved then
    lab.restart()
    lab.run_cell(LOAD)
    lab.rewrite(FIRST, "%%glm\n{{ missing }}")
    lab.run_cell(FIRST)
    lab.wait_for_text(FIRST, "is not defined", "3 earlier answers are kept")
    assert attempts(lab, FIRST) == ["one", "uno", "eins"]
    lab.rewrite(FIRST, "%%glm\nun")
    lab.rewrite(ALONE, "%%glm -H\nalone, un")
    lab.run_cell(FIRST, ALONE)
    lab.wait_for_text(FIRST, "attempt 4 of 4, 3 from before")
    lab.wait_for_text(ALONE, "attempt 4 of 4, 3 from before", "one-shot")

    # nothing of that is saved
    lab.restart()
    lab.run_cell(LOAD)
    lab.rewrite(FIRST, "%%glm\nune")
    lab.run_cell(FIRST)
    lab.wait_for_text(FIRST, "attempt 5 of 5, 4 from before")
    assert attempts(lab, FIRST) == ["one", "uno", "eins", "un", "une"]

    # the cell is cut and pasted
    lab.restart()
    lab.run_cell(LOAD)
    lab.page.evaluate(
        """async index => {
            jupyterapp.shell.currentWidget.content.activeCellIndex = index;
            await jupyterapp.commands.execute('notebook:cut-cell');
            jupyterapp.shell.currentWidget.content.activeCellIndex = index - 1;
            await jupyterapp.commands.execute('notebook:paste-cell-below');
        }""",
        FIRST,
    )
    lab.rewrite(FIRST, "%%glm --no-replay\nune")
    lab.run_cell(FIRST)
    lab.wait_for_text(FIRST, "attempt 6 of 6, 5 from before")


@pytest.mark.parametrize("lab", ["JupyterLab", "Notebook 7"], indirect=True)
def test_restart_and_run_all_sends_what_it_sent_before(lab: Lab, server: GlmServer) -> None:
    opened(lab, server, "all", "off")
    runs = []
    for saves in (True, False, True):
        if saves:
            lab.save()
        lab.restart()
        before = len(server.requests)
        lab.start_all()
        lab.wait_all()
        lab.wait_for_text(ALONE, "You said")
        runs.append(sent(server, before))
    eins = [("user", "eins")]
    assert runs[0] == [eins, [*eins, ("assistant", "You said: eins"), ("user", "second")], [("user", "alone, eins")]]
    assert runs[1] == runs[2] == runs[0]
    lab.wait_for_text(FIRST, "attempt 6 of 6, 5 from before", "saved turn is not sent: %glm_history --restore")


def test_what_was_under_way_when_the_kernel_ended_says_nothing_that_is_no_longer_so(
    lab: Lab, server: GlmServer
) -> None:
    setup = f"%load_ext glm_magic\n%glm_config base_url={server.url} model=GLM-4-Air"
    tool = 'import time\ndef sleep() -> None:\n    """Sleep."""\n    time.sleep(600)'
    cells = ("%%glm --bg\nTell.", "%%glm -c other --bg -T sleep\nSleep.", "%%glm\nMore.")
    server.answer(stream("Half ", threading.Event(), "never."), calls(("sleep", {})))
    lab.open_new(f"under way {lab.front_end}", f"{setup}\n{tool}", *cells)
    lab.run_cell(0, 1)
    lab.wait_for_text(1, "Half", "answering")
    lab.run_cell(2)  # after the first has its answer, which comes from the same list
    lab.wait_for_text(2, "sleep runs", "sleep() → no result yet")
    lab.start(3)
    lab.wait_for_text(3, "this cell · waiting for an answer in the background")
    expect(lab.bar(3).locator("button")).to_be_visible()
    lab.save()  # as an autosave would

    lab.page.evaluate("async () => { await jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart() }")
    for index, what in (1, "GLM-4-Air"), (2, "GLM-4-Air"), (3, "this cell"):
        expect(lab.bar(index).locator(".glm-bar-said")).to_have_text(f"{what} · the kernel has ended")

    saved = lab.save()
    lab.open(lab.path)
    for index, what in (1, "GLM-4-Air"), (2, "GLM-4-Air"), (3, "this cell"):
        expect(lab.outputs(index).locator("[data-glm-bar]")).to_have_text(f"{what} · not finished yet")
        assert not any(word in lab.text(index) for word in ("waiting", "answering", "runs", "widget"))
        assert not any(WIDGET in output.data for output in saved.cells[index].outputs)
    lab.run_cell(0, 3)
    expect(lab.answer(3)).to_have_text("You said: More.")
    expect(lab.outputs(3)).not_to_contain_text("not finished yet")
