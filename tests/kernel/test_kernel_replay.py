"""Recorded notebooks in real kernels, as tools run them: nbclient, and nbval in continuous integration."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from glm_server import GlmServer, stream
from real_kernel import Kernel, execute
from sharing import command

from glm_magic.notebook.bundle import MIME_TYPE

# jupyter_client and nbclient leave sockets and loops to the garbage collector
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),
]

CELLS = (
    "%load_ext glm_magic",
    "%%glm --role system\nBe brief.",
    "topic = 'tides'",
    "%%glm -t 0.2 answer <<\nWhat are {{ topic }}?",
    "print(answer.usage.total_tokens, answer.replayed in (True, False))",
    "%glm and why?\n%glm -q and when?",
    "%glm_history --undo",
    "%%glm --no-history -f text\nAlone.",
    "_glm.text",
)


@pytest.fixture
def offline(server: GlmServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A notebook that was run live once, in a folder of its own; from here on there is no service."""
    folder = tmp_path / "notebooks"
    folder.mkdir()
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, folder / "asked.ipynb")
    server.answer(stream("# Tides\n\nThe **moon** pulls.\n\n```python\nx < y\n```\n"))
    monkeypatch.setenv("GLM_BASE_URL", server.url)
    execute(folder / "asked.ipynb")
    assert len(server.requests) == 4
    monkeypatch.delenv("GLM_BASE_URL")
    return folder / "asked.ipynb"


def turns(outputs: list[Any]) -> list[Any]:
    return [output.data[MIME_TYPE] for cell in outputs for output in cell if MIME_TYPE in output.get("data", {})]


def test_a_recorded_notebook_runs_without_a_service_and_stays_as_it_is(
    offline: Path, server: GlmServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = turns([cell.outputs for cell in nbformat.read(offline, as_version=4).cells])
    monkeypatch.setenv("GLM_REPLAY", ".")
    monkeypatch.setenv("GLM_REPLAY_MISSING", "error")
    first = execute(offline)
    assert turns(first) == live
    assert len(live) == 6
    assert execute(offline) == first
    assert len(server.requests) == 4


def test_nbval_holds_for_a_replayed_notebook_and_fails_when_a_prompt_is_changed(
    offline: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replayed = {"GLM_REPLAY": ".", "GLM_REPLAY_MISSING": "error"}
    for name, value in replayed.items():
        monkeypatch.setenv(name, value)
    execute(offline)

    def nbval(**how: Any) -> str:
        words = (sys.executable, "-m", "pytest", "--nbval", "-p", "no:cacheprovider", "-q", offline.name)
        return command(*words, folder=offline.parent, **how, **replayed)

    nbval()
    offline.write_text(offline.read_text(encoding="utf-8").replace("%glm and why?", "%glm and how?"), encoding="utf-8")
    failed = nbval(fails=True)
    assert "NotRecorded: No answer to this request is recorded" in failed


def test_a_replayed_answer_is_put_on_the_page_once(
    offline: Path, server: GlmServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel = Kernel(GLM_REPLAY=str(offline))
    try:
        kernel.run(CELLS[0])
        for cell in CELLS[1:6]:
            status, messages = kernel.run(cell)
            kinds = [message["msg_type"] for message in messages]
            assert (status, "update_display_data" in kinds) == ("ok", False)
    finally:
        kernel.close()
    assert len(server.requests) == 4


def test_a_killed_kernel_leaves_its_answers_in_the_store(server: GlmServer, tmp_path: Path) -> None:
    path = tmp_path / "mine.ipynb"
    nbformat.write(nbformat.v4.new_notebook(), path)
    ran: list[list[str]] = []
    for _ in range(2):
        kernel = Kernel(GLM_BASE_URL=server.url, JPY_SESSION_NAME=str(path))
        try:
            kernel.run("%load_ext glm_magic\n%glm_config replay=notebook")
            ran.append([kernel.run(f"%%glm\n{text}", text)[0] for text in ("one", "two")])
            kernel.manager.signal_kernel(9)
        finally:
            kernel.close()
    assert ran == [["ok", "ok"]] * 2
    assert [request.messages[-1][1] for request in server.requests] == ["one", "two"]


def shown(messages: list[dict[str, Any]]) -> tuple[str, list[Any]]:
    """Return the text of a cell's outputs as they are at last, and the bundles in them."""
    outputs: dict[str, Any] = {}
    for message in messages:
        if message["msg_type"] in ("display_data", "update_display_data"):
            content = message["content"]
            outputs[content["transient"].get("display_id", f"unnamed {len(outputs)}")] = content["data"]
    bundles = [data[MIME_TYPE] for data in outputs.values() if MIME_TYPE in data]
    return "\n".join(data.get("text/plain", "") for data in outputs.values()), bundles


def test_attempts_outlive_a_killed_kernel_and_one_whose_first_run_fails(server: GlmServer, tmp_path: Path) -> None:
    path = tmp_path / "mine.ipynb"
    nbformat.write(nbformat.v4.new_notebook(), path)  # nothing that is shown is ever saved
    where = {"GLM_BASE_URL": server.url, "JPY_SESSION_NAME": str(path)}
    kernel = Kernel(**where)
    try:
        kernel.run("%load_ext glm_magic")
        for text in ("one", "uno", "eins"):
            kernel.run(f"%%glm\n{text}", "cell")
        kernel.manager.signal_kernel(9)
    finally:
        kernel.close()
    kernel = Kernel(**where)
    try:
        kernel.run("%load_ext glm_magic")
        status, messages = kernel.run("%%glm\n{{ missing }}", "cell")
        text, (bundle,) = shown(messages)
        assert (status, text) == ("error", "3 earlier answers are kept")
        assert len(bundle["attempts"]) == 2
        status, messages = kernel.run("%%glm\nun", "cell")
        text, (bundle,) = shown(messages)
        assert (status, len(bundle["attempts"])) == ("ok", 3)
        assert "attempt 4 of 4, 3 from before" in text
    finally:
        kernel.close()
    assert [request.messages for request in server.requests][3:] == [[("user", "un")]]
