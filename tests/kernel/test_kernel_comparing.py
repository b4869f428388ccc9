"""Comparisons in real kernels: killed, interrupted, and replayed as continuous integration does."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from glm_server import Answer, GlmServer, Received, chunk, error, stream
from real_kernel import Kernel, execute
from sharing import command

from glm_magic.notebook.bundle import MIME_TYPE as TURN
from glm_magic.notebook.comparison import MIME_TYPE

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),
]

CELL = "%%glm --each rows\nrow {{ n }}"


class Reached(Exception):
    """As many runs have ended as were to end."""


@pytest.fixture
def held(server: GlmServer) -> Iterator[threading.Event]:
    """Have the server answer 100 requests, and hold all others in mid-answer until the event is set."""
    gate, numbers = threading.Event(), iter(range(1_000_000))

    def echo(request: Received) -> Answer:
        text = request.messages[-1][1]
        is_held = next(numbers) >= 100 and not gate.is_set()
        return Answer([chunk("half of it, "), gate, chunk("the rest")]) if is_held else stream(f"{text}!")

    server.echo = echo
    yield gate
    gate.set()


@pytest.fixture
def kernels(server: GlmServer, tmp_path: Path) -> Iterator[Any]:
    """Start kernels of one notebook, with a table of 200 rows."""
    path = tmp_path / "mine.ipynb"
    nbformat.write(nbformat.v4.new_notebook(), path)
    started: list[Kernel] = []

    def start(**environment: str) -> Kernel:
        kernel = Kernel(GLM_BASE_URL=server.url, JPY_SESSION_NAME=str(path), **environment)
        started.append(kernel)
        kernel.run("%load_ext glm_magic\nrows = [dict(n=n) for n in range(200)]")
        return kernel

    yield start
    for kernel in started:
        kernel.close()


def at_100(act: Any) -> Any:
    """Return what looks at messages, and acts once when the page says that 100 of 200 runs have ended."""
    done = threading.Event()

    def seen(message: dict[str, Any]) -> None:
        if not done.is_set() and "100 of 200" in str(message["content"]):
            done.set()
            act()

    return seen


def texts(kernel: Kernel) -> str:
    _, messages = kernel.run("print(sum(str(run) == f'row {n}!' for n, run in enumerate(_glm)))")
    return next(message["content"]["text"] for message in messages if message["msg_type"] == "stream")


def test_a_kernel_that_is_killed_in_the_middle_of_200_runs_loses_what_was_in_flight(
    server: GlmServer, held: threading.Event, kernels: Any
) -> None:
    kernel = kernels()

    def kill() -> None:
        kernel.manager.signal_kernel(9)
        raise Reached

    with pytest.raises(Reached):
        kernel.run(CELL, "cell", seen=at_100(kill))
    before = {request.messages[-1][1] for request in server.requests[:100]}
    held.set()
    kernel = kernels(GLM_API_KEY="by-which-its-requests-are-known")
    status, _ = kernel.run(CELL, "cell")
    assert status == "ok"
    again = [request.messages[-1][1] for request in server.requests if "authorization" in request.headers]
    assert len(again) == len(set(again)) == 100
    assert not before & set(again)
    assert texts(kernel) == "200\n"


def test_an_interrupt_in_the_middle_keeps_what_has_finished(
    server: GlmServer, held: threading.Event, kernels: Any
) -> None:
    kernel = kernels()
    status, messages = kernel.run(CELL, "cell", seen=at_100(kernel.manager.interrupt_kernel))
    (failed,) = [message["content"] for message in messages if message["msg_type"] == "error"]
    assert (status, failed["ename"]) == ("error", "Interrupted")
    assert "100 of 200 answers are kept" in failed["evalue"]
    held.set()
    asked = len(server.requests)
    assert kernel.run(CELL, "cell")[0] == "ok"
    assert len(server.requests) == asked + 100
    assert texts(kernel) == "200\n"


# --- continuous integration ---------------------------------------------------------------------------

CELLS = (
    "%load_ext glm_magic",
    "from glm_magic.scores import judge\nkind = judge('How kind is it?', model='GLM-4-Plus')",
    "def size(reply, row): return len(str(reply)) > row['most']",
    "rows = [dict(text=text, most=most) for text, most in (('one', 8), ('two', 18), ('three', 8))]",
    "%%glm --each rows -t 0,1 -n 2 --score size\nSay {{ text }}.",
    "%%glm -t 0,0.5,1 --score kind\nhi",
    "_glm.rate(0, 4, note='warm')\n_glm.pick('B')",
    "%%glm\nnext",
    "%%glm -H --variants\n--- short\nhi\n--- long\nhello",
    "print(_glm.summary())",
)


def respond(request: Received) -> Answer:
    body = request.body
    text = body["messages"][-1]["content"]
    if "kind" in text:
        return stream("VERDICT: 4", model=body["model"])
    if "three" in text and body["temperature"] == 1.0:
        return error(400, {"error": {"code": "1214", "message": "not this one"}})
    return stream(f"{text} at ", f"{body.get('temperature')} {len(text)}", model=body["model"])


def bundles(outputs: list[Any], kind: str) -> list[Any]:
    return [output.data[kind] for cell in outputs for output in cell if kind in output.get("data", {})]


def test_replayed_comparisons_are_a_fixed_point_under_strict_nbval(
    server: GlmServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "notebooks"
    folder.mkdir()
    path = folder / "compared.ipynb"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, path)
    server.echo = respond
    monkeypatch.setenv("GLM_BASE_URL", server.url)
    live = execute(path)
    asked = len(server.requests)
    assert asked == 12 + 3 + 3 + 1 + 2
    monkeypatch.delenv("GLM_BASE_URL")
    replayed = {"GLM_REPLAY": ".", "GLM_REPLAY_MISSING": "error"}
    for name, value in replayed.items():
        monkeypatch.setenv(name, value)
    first = execute(path)
    assert bundles(first, MIME_TYPE) == bundles(live, MIME_TYPE)
    assert bundles(first, TURN) == bundles(live, TURN)
    assert execute(path) == first
    words = (sys.executable, "-m", "pytest", "--nbval", "-p", "no:cacheprovider", "-q", path.name)
    command(*words, folder=folder, **replayed)
    assert len(server.requests) == asked
