"""What the extension costs, beside what it stands on: python tests/benchmarks/run.py [--quick] [--only NAME …]

Prints each figure beside that of a peer in the same run, and beside the goal for their ratio; judges none. NAME is
one of `history`, `store`, `streams`, `comparing`, `loading`, `showing`.

History: a saved notebook of many turns restored, beside reading its JSON; and the request of the turn after them
built, beside writing that as JSON. Store, streams, comparing: see store.py, streams.py, comparisons.py. Loading:
`%load_ext glm_magic` beside `import httpx`, each in fresh kernels of an environment with the package alone. Showing:
one answer at 200 tokens a second in a real kernel, beside the usual loop that updates one Markdown display with each
chunk: bytes on iopub for each character, and the kernel's CPU time for each token.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jupyter_client.kernelspec import KernelSpecManager

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

import comparisons
import store
import streams
from glm_server import Answer, GlmServer, chunk, data
from goals import beside, figure
from kernels import Kernel

from glm_magic.asking.session import Session
from glm_magic.chat.attempt import Attempt
from glm_magic.chat.messages import Message
from glm_magic.chat.place import Place
from glm_magic.notebook.bundle import MIME_TYPE, encode
from glm_magic.settings.layers import Layers

TOKENS_A_SECOND = 200
LOADS = 7
REPEATS = 7

_PROSE = "The answer goes on with words of about this many letters, and now and then a `name` or a *stress*. "
_CODE = (
    "\n\n```python\ndef area(width: float, height: float) -> float:\n    return width * height  # in metres\n```\n\n"
)
_LIST = "\n\n- one thing to mind is $x<y$ here\n- and another <br> thing\n- a third with `List<int>` in it\n\n"

LOOP = """
import httpx, json
from IPython.display import Markdown, display
def ask(url):
    text, handle = "", display(Markdown(""), display_id=True)
    body = {"model": "GLM-4-Air", "messages": [{"role": "user", "content": "hi"}], "stream": True}
    with httpx.stream("POST", url + "/chat/completions", json=body, timeout=300) as response:
        for line in response.iter_lines():
            if line.startswith("data: ") and line != "data: [DONE]":
                text += json.loads(line[6:])["choices"][0]["delta"].get("content") or ""
                handle.update(Markdown(text))
"""


class Pace:
    """A step of an answer that waits until its time, counted from the first."""

    def __init__(self, tokens: int) -> None:
        self.until = 0.0
        self.tokens = tokens

    def texts(self) -> list[str]:
        """About four characters a token."""
        text = ""
        while len(text) < 4 * self.tokens:
            text += _PROSE * 4 + (_CODE if len(text) // 400 % 3 else _LIST)
        return [text[at : at + 4] for at in range(0, 4 * self.tokens, 4)]


class PacedServer(GlmServer):
    """Streams `tokens` at a steady pace, whatever is asked."""

    tokens = 1000

    def echo(self, _request: Any) -> Answer:
        texts = Pace(self.tokens).texts()
        started = time.monotonic()

        def steps() -> Any:
            for number, text in enumerate(texts):
                left = started + number / TOKENS_A_SECOND - time.monotonic()
                if left > 0:
                    time.sleep(left)
                yield chunk(text)
            yield chunk(finish_reason="stop")
            yield data("[DONE]")

        return Answer(steps())  # type: ignore[arg-type]


def lean() -> KernelSpecManager:
    """Install the package into an environment that has a kernel beside it and nothing else.

    The environment is made once for each state of the dependencies.
    """
    state = hashlib.sha256((ROOT / "pyproject.toml").read_bytes() + sys.version.encode()).hexdigest()[:12]
    folder = Path(tempfile.gettempdir(), f"glm_magic-lean-{state}")
    python = str(folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python"))
    install = [python, "-m", "pip", "install", "--quiet", "--quiet", str(ROOT)]
    kernels = folder / "kernels"
    if not kernels.exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        subprocess.run([*install, "ipykernel"], check=True)
        (kernels / "python3").mkdir(parents=True)
        kernel = {
            "argv": [python, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
            "display_name": "lean",
            "language": "python",
            "env": {"PYTHONPATH": ""},  # the installed package is measured, as people have it
        }
        (kernels / "python3" / "kernel.json").write_text(json.dumps(kernel), encoding="utf-8")
    subprocess.run([*install, "--no-deps", "--force-reinstall"], check=True)
    return KernelSpecManager(kernel_dirs=[str(kernels)], ensure_native_kernel=False)


def load(code: str, specs: KernelSpecManager) -> float:
    """Milliseconds that `code` takes in a fresh kernel."""
    kernel = Kernel(specs=specs)
    _, printed = kernel.run(f"_t = time.perf_counter()\n{code}\nprint((time.perf_counter() - _t) * 1000)")
    kernel.close()
    return float(printed)


def loading() -> None:
    """Print what loading takes."""
    specs = lean()
    extension, httpx = [], []
    for _ in range(LOADS):  # in turn, so that a slow moment of the machine meets both
        extension.append(load("%load_ext glm_magic", specs))
        httpx.append(load("import httpx", specs))
    print(f"loading, median of {LOADS} fresh kernels of a lean environment, beside import httpx")
    beside("%load_ext glm_magic", statistics.median(extension), statistics.median(httpx), "ms", at_most=1.0)


def shown(server: PacedServer, tokens: int, prepare: str, ask: str) -> tuple[float, float]:
    """Bytes on iopub for each character, and the kernel's CPU microseconds for each token."""
    kernel = Kernel(server.url)
    kernel.run(prepare)
    server.tokens = 20
    kernel.run(ask)  # what is loaded with the first answer is not counted with the long one
    server.tokens = tokens
    kernel.run("_c = time.process_time()")
    size, _ = kernel.run(ask)
    _, cpu = kernel.run("print(time.process_time() - _c)")
    kernel.close()
    return size / (4 * tokens), float(cpu) / tokens * 1e6


def saved(turns: int, folder: Path) -> Path:
    """Write a notebook of `turns` turns of about 1000 characters, each sent after all those before it."""
    cells: list[dict[str, Any]] = []
    ids: list[str] = []
    for number in range(turns):
        messages = Message("user", f"Question {number}. {_PROSE * 2}"), Message("assistant", f"{number}. {_PROSE * 8}")
        attempt = Attempt(f"{number:016x}", messages, after=tuple(ids), created=float(number))
        ids.append(attempt.id)
        output = {"output_type": "display_data", "metadata": {}, "data": {MIME_TYPE: encode("main", attempt)}}
        cells.append({"cell_type": "code", "id": f"cell-{number}", "source": "", "metadata": {}, "outputs": [output]})
    path = folder / f"{turns}.ipynb"
    path.write_text(json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": cells}), encoding="utf-8")
    return path


def milliseconds(do: Callable[[], Any]) -> float:
    """The median of some runs."""
    taken = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        do()
        taken.append((time.perf_counter() - started) * 1000)
    return statistics.median(taken)


def history(turns: int) -> None:
    """Print what restoring so many turns takes, and building the request of the next one."""
    # a model whose context window is large enough for all of it
    session = Session(Layers({"GLM_BASE_URL": "http://127.0.0.1:1/v1", "GLM_MODEL": "GLM-4-Long"}))

    def request() -> Any:
        return session.plan(Message("user", "And now?"), Place("next")).body

    with tempfile.TemporaryDirectory() as folder:
        path = saved(turns, Path(folder))
        restoring = milliseconds(lambda: session.history.restore(path, force=True))
        reading = milliseconds(lambda: json.loads(path.read_bytes()))
        size = path.stat().st_size / 1e6
    built = request()
    assert len(built["messages"]) == 2 * turns + 1
    building, writing = milliseconds(request), milliseconds(lambda: json.dumps(built))
    print(
        f"  {turns:6d} turns  {size:5.1f} MB   restore {restoring:6.1f} ms (its JSON {reading:.1f})"
        f"   next request {building:5.2f} ms (as JSON {writing:.1f})"
    )


def showing(*, quick: bool) -> None:
    """Print what an answer costs on its way to the page."""
    print(f"one answer at {TOKENS_A_SECOND} tokens/s, beside a loop that shows Markdown with each chunk")
    with PacedServer() as server:
        loop_size, loop_cpu = shown(server, 1000, LOOP, f"ask({server.url!r})")
        for tokens in (1000,) if quick else (1000, 10_000):
            size, cpu = shown(server, tokens, "%load_ext glm_magic", "%glm hi")
            figure(f"{tokens} tokens, iopub", size, f"bytes a character (the loop: {loop_size:.0f})", at_most=45)
            beside(f"{tokens} tokens, CPU a token", cpu, loop_cpu, "µs", at_most=0.25)


def histories() -> None:
    """Print what long conversations take."""
    print("history, median of", REPEATS)
    for turns in (250, 500, 1000):
        history(turns)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description="What the extension costs, beside what it stands on.")
    parser.add_argument("--quick", action="store_true", help="no answer of 10,000 tokens, and no table of 10,000 rows")
    parser.add_argument("--only", nargs="+", default=["history", "store", "streams", "comparing", "loading", "showing"])
    arguments = parser.parse_args()
    measures = {
        "history": histories,
        "store": store.main,
        "streams": streams.main,
        "comparing": lambda: comparisons.main(quick=arguments.quick),
        "loading": loading,
        "showing": lambda: showing(quick=arguments.quick),
    }
    for name in arguments.only:
        measures[name]()


if __name__ == "__main__":
    main()
