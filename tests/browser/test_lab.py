"""What a person sees in JupyterLab: a real page, a real kernel, a scripted service."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import nbformat
import pytest
from glm_server import GlmServer, error, stream
from lab import KERNEL_WITHOUT_THE_PACKAGE
from playwright.sync_api import expect
from sharing import ASKED, JUPYTERLAB, make_sample, row, rows_of_the_reference

if TYPE_CHECKING:
    from lab import Lab

pytestmark = pytest.mark.browser

TURN = "application/vnd.glm-magic.turn+json"
WIDGET = "application/vnd.jupyter.widget-view+json"


def setup(server: GlmServer) -> str:
    """The first cell of every notebook here."""
    return f"%load_ext glm_magic\n%glm_config base_url={server.url} model=GLM-4-Air"


@pytest.fixture
def gate() -> threading.Event:
    return threading.Event()


def test_answer_appears_in_steps_and_stays_in_the_file(lab: Lab, server: GlmServer) -> None:
    first, second = threading.Event(), threading.Event()
    server.answer(stream("# Tides\n\nThe **moon** pulls", first, " the sea.\n\n- high\n", second, "- low\n"))
    lab.open_new("steps", setup(server), "%%glm\nWhy are there tides?")
    lab.run_cell(0)
    lab.start(1)

    answer = lab.answer(1)
    expect(answer.locator("h1")).to_contain_text("Tides")
    expect(answer.locator("strong")).to_have_text("moon")
    lab.wait_for_text(1, "GLM-4-Air", "answering")
    expect(answer).not_to_contain_text("the sea")

    first.set()
    expect(answer.locator("li")).to_have_text(["high"])
    lab.wait_for_text(1, "The moon pulls the sea.", "answering")

    second.set()
    lab.wait_idle(1)
    expect(answer.locator("li")).to_have_text(["high", "low"])
    lab.wait_for_text(1, "7 in, 5 out", "0 earlier turns sent")
    expect(lab.outputs(1)).not_to_contain_text("answering")

    seen = lab.text(1)
    outputs = lab.save().cells[1].outputs
    lab.open(lab.path)
    expect(lab.answer(1).locator("li")).to_have_text(["high", "low"])
    assert lab.text(1) == seen

    (turn,) = [output.data[TURN] for output in outputs if TURN in output.data]
    assert turn["chat"] == "main"
    assert not [output for output in outputs if WIDGET in output.data]
    (text,) = [output.data for output in outputs if "text/markdown" in output.data]
    assert text["text/markdown"] == text["text/plain"] == "# Tides\n\nThe **moon** pulls the sea.\n\n- high\n- low"


def test_running_a_cell_again_replaces_its_turn(lab: Lab, server: GlmServer) -> None:
    server.answer(stream("Ada."), stream("She was the first."), stream("Grace."), stream("She was an admiral."))
    lab.open_new("again", setup(server), "%%glm\nName one.", "%%glm\nWhy?")
    lab.run_cell(0, 1, 2)
    lab.rewrite(1, "%%glm\nName another.")
    lab.run_cell(1)
    assert server.last.messages == [("user", "Name another.")]
    expect(lab.answer(1)).to_have_text("Grace.")
    lab.wait_for_text(1, "0 earlier turns sent", "stale now: turn 2")

    lab.run_cell(2)
    assert server.last.messages == [("user", "Name another."), ("assistant", "Grace."), ("user", "Why?")]
    expect(lab.answer(2)).to_have_text("She was an admiral.")
    lab.wait_for_text(2, "1 earlier turn sent")
    expect(lab.outputs(2)).not_to_contain_text("stale")
    assert len(server.requests) == 4


def test_toolbar_interrupt_keeps_what_had_arrived(lab: Lab, server: GlmServer, gate: threading.Event) -> None:
    server.answer(stream("Half an answer", gate, " and the rest"))
    lab.open_new("interrupt", setup(server), "%%glm\nGo on.", "%%glm\nAnd now?")
    lab.run_cell(0)
    lab.start(1)
    expect(lab.answer(1)).to_have_text("Half an answer")
    lab.interrupt()
    lab.wait_idle(1)
    assert server.hung_up.wait(60)
    expect(lab.answer(1)).to_have_text("Half an answer")
    lab.wait_for_text(1, "Interrupted: Stopped.", "interrupted")

    lab.run_cell(2)
    expect(lab.answer(2)).to_have_text("You said: And now?")
    assert server.last.messages == [("user", "Go on."), ("assistant", "Half an answer"), ("user", "And now?")]

    cell = lab.save().cells[1]
    (said,) = [output for output in cell.outputs if output.output_type == "error"]
    assert said.ename == "Interrupted"
    assert "Half an answer" in [output.data.get("text/markdown") for output in cell.outputs if "data" in output]


def test_hostile_answer_does_nothing(lab: Lab, server: GlmServer) -> None:
    port = urlsplit(server.url).port
    hostile = (
        'Look: <img src=x onerror="window.__pwned=1"> <script>window.__pwned=2</script>\n\n'
        f"![picture](http://127.0.0.1:{port}/leak?markdown) [click](javascript:window.__pwned=3)\n\n"
        f'<img src="http://127.0.0.1:{port}/leak?html"> <a href="javascript:window.__pwned=4">there</a>\n\n'
        '<iframe srcdoc="<script>parent.__pwned=5</script>"></iframe>\n\n'
        "<style>body { display: none }</style>\n\n"
        '<p data-commandlinker-command="notebook:insert-cell-below">press</p>\n\n'
        "The end."
    )
    server.answer(stream(*(hostile[at : at + 7] for at in range(0, len(hostile), 7))))
    # with another mark: the page serves other tests, and a picture may fail after this one has ended
    marked = hostile.replace("<style>", "<i>").replace("__pwned", "__acted")
    raw = f"from IPython.display import Markdown\nMarkdown({marked!r})"
    lab.open_new("hostile", setup(server), "%%glm\nHello", raw)

    def is_harmless(index: int) -> None:
        expect(lab.answer(index)).to_contain_text("The end.")
        assert lab.page.evaluate("() => window.__pwned") is None
        assert not [url for url in lab.fetched if f":{port}/" in url]
        acting = "script, iframe, style, img, [onerror], [data-commandlinker-command], a[href^='javascript:']"
        expect(lab.answer(index).locator(acting)).to_have_count(0)

    lab.run_cell(0, 1)
    expect(lab.answer(1)).to_contain_text("The end.")
    for link in lab.answer(1).get_by_text("click").all():
        link.click()
    is_harmless(1)
    lab.save()
    lab.open(lab.path)
    is_harmless(1)

    lab.run_cell(2)  # the same text by IPython's own Markdown: what would have happened
    lab.wait_until("() => window.__acted")
    lab.wait_for(lambda: any(f":{port}/leak" in url for url in lab.fetched), "the picture to be fetched")


def test_refusal_is_a_few_lines(lab: Lab, server: GlmServer) -> None:
    server.answer(error(401, {"error": {"code": "1000", "message": "身份验证失败。"}}))
    lab.open_new("refusal", setup(server), "%%glm\nHello")
    lab.run_cell(0, 1)
    lab.wait_for_text(1, "AuthenticationError", "身份验证失败。", "none is set")
    assert "Traceback" not in lab.text(1)
    assert "/glm_magic/" not in lab.text(1)


def test_a_shared_notebook_shows_every_answer_without_this_package(
    lab: Lab, lab_server: tuple[str, Path], server: GlmServer, tmp_path: Path
) -> None:
    url, notebooks = lab_server
    make_sample(tmp_path / "shared.ipynb", server)
    shared = nbformat.read(tmp_path / "shared.ipynb", as_version=4)
    shared.metadata.kernelspec.name = KERNEL_WITHOUT_THE_PACKAGE
    nbformat.write(shared, notebooks / "shared.ipynb")
    requests = len(server.requests)

    lab.open("shared.ipynb")
    cells = "jupyterapp.shell.currentWidget.content.widgets.filter(cell => cell.model.type === 'code')"
    assert lab.page.evaluate(f"() => {cells}.some(cell => cell.model.trusted)") is False
    first = len(shared.cells) - len(ASKED)
    for index, asked in enumerate(ASKED, start=first):
        (bar,) = [output.data for output in shared.cells[index].outputs if "text/html" in output.get("data", {})]
        lab.wait_for_text(index, bar["text/plain"], *(words for words in asked.shown if "\\" not in words))
    expect(lab.answer(first).locator("td")).to_have_text(["spring", "12.4"])
    expect(lab.answer(first).locator("pre")).to_contain_text('moon = "full"')
    expect(lab.answer(first).locator("mjx-container")).to_have_count(1)
    acting = "script, iframe, style, img, [onerror], a[href^='javascript:']"
    expect(lab.page.locator(f".jp-Cell-outputWrapper :is({acting})")).to_have_count(0)
    assert lab.page.evaluate("() => window.__pwned") is None
    assert not [address for address in lab.fetched if not address.startswith((f"{url}/", "data:", "blob:"))]
    assert len(server.requests) == requests

    lab.page.evaluate("async () => { await jupyterapp.commands.execute('notebook:clear-all-cell-outputs') }")
    lab.save()
    assert rows_of_the_reference().get(JUPYTERLAB) == row(JUPYTERLAB, lab.path)
    imported = lab.page.evaluate(
        """async () => {
            const kernel = jupyterapp.shell.currentWidget.sessionContext.session.kernel;
            return (await kernel.requestExecute({ code: 'import glm_magic' }).done).content.ename;
        }"""
    )
    assert imported == "ModuleNotFoundError"


def test_a_stale_answer_is_marked_on_the_page_and_not_in_the_file(lab: Lab, server: GlmServer) -> None:
    server.answer(*(stream(answer) for answer in ("Ada.", "She was the first.", "Grace.", "She was an admiral.")))
    lab.open_new("stale", setup(server), "%%glm\nName one.", "%%glm\nWhy?")
    lab.run_cell(0, 1, 2)

    def mark(index: int) -> str:
        line = lab.outputs(index).locator("[data-glm-turn]")
        return str(line.evaluate("line => getComputedStyle(line, '::after').content"))

    assert [mark(1), mark(2)] == ["none", "none"]
    lab.run_cell(1)
    lab.wait_for(lambda: mark(2) == '" · stale"', "the mark of the second answer")
    assert mark(1) == "none"
    lab.wait_for_text(1, "attempt 2 of 2", "stale now: turn 2")

    saved = lab.save()
    assert not any("stale" in str(output) for output in saved.cells[2].outputs)
    assert not any(WIDGET in output.get("data", {}) for cell in saved.cells for output in cell.outputs)
    lab.open(lab.path)
    lab.wait_for(lambda: mark(2) == '" · stale"', "the mark when it is opened again")
    lab.run_cell(2)
    lab.wait_for(lambda: mark(2) == "none", "the mark to leave")


def test_an_earlier_answer_is_brought_back_where_it_stood(lab: Lab, server: GlmServer) -> None:
    server.answer(stream("# Ada\n\nShe was the first."), stream("Grace."))
    lab.open_new(
        "attempts", setup(server), "%%glm\nName one.", "%glm_history --attempt 1 1", "%glm_history --show 1 --diff"
    )
    lab.run_cell(0, 1, 1)
    expect(lab.answer(1)).to_have_text("Grace.")
    lab.run_cell(2)
    expect(lab.answer(1).locator("h1")).to_contain_text("Ada")
    lab.wait_for_text(1, "attempt 1 of 2")
    lab.run_cell(3)
    expect(lab.outputs(3).locator("ins")).to_have_text("Grace.")
    (turn,) = [output.data[TURN] for output in lab.save().cells[1].outputs if TURN in output.data]
    assert turn["messages"][1]["content"].startswith("# Ada")
    assert [earlier["messages"][1]["content"] for earlier in turn["attempts"]] == ["Grace."]
