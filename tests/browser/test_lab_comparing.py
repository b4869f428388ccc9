"""A comparison in JupyterLab: stopped from the toolbar, asked to the end, and found again after a restart."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from glm_server import Answer, GlmServer, Received, stream
from playwright.sync_api import expect

from glm_magic.notebook.comparison import MIME_TYPE

if TYPE_CHECKING:
    from lab import Lab

pytestmark = pytest.mark.browser

WIDGET = "application/vnd.jupyter.widget-view+json"


def test_the_toolbars_stop_keeps_what_has_finished_and_the_rest_is_asked_later(lab: Lab, server: GlmServer) -> None:
    gate = threading.Event()

    def echo(request: Received) -> Answer:
        text = request.messages[-1][1]
        return stream("half", gate, " of it") if text in ("row 3", "row 7") else stream(f"{text}!")

    server.echo = echo
    load = (
        f"%load_ext glm_magic\n%glm_config base_url={server.url} model=GLM-4-Air\nrows = [dict(n=n) for n in range(8)]"
    )
    lab.open_new("stopped", load, "%%glm --each rows\nrow {{ n }}", "print('later')")
    lab.start_all()
    expect(lab.outputs(1)).to_contain_text("6 of 8")
    lab.interrupt()
    lab.wait_all()
    lab.wait_for_text(1, "Interrupted: Stopped. 6 of 8 answers are kept.", "row 6!", "2 not asked to the end")
    expect(lab.outputs(2)).not_to_contain_text("later")
    gate.set()
    asked = len(server.requests)

    lab.run_cell(1)
    lab.wait_for_text(1, "8 answers", "6 kept, 2 asked", "half of it")
    assert len(server.requests) == asked + 2

    lab.restart()  # nothing was saved
    lab.run_cell(0, 1)
    lab.wait_for_text(1, "8 answers", "half of it")
    assert len(server.requests) == asked + 2
    saved = lab.save()
    (kept,) = [output.data[MIME_TYPE] for output in saved.cells[1].outputs if MIME_TYPE in output.get("data", {})]
    assert [run["at"][0] for run in kept["runs"]] == list(range(8))
    assert not [output for cell in saved.cells for output in cell.outputs if WIDGET in output.get("data", {})]
