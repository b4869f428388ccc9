"""Makes the outputs of the notebooks beside it anew: each is run live once, and then replayed.

python notebooks/record.py [NAME.ipynb …]      in an environment with the extra `test`

What is committed is the second state: a replay of it gives the same outputs to the letter, so strict nbval holds
offline. A cell with the tag `again` is run twice, as a person does who wants another answer. The embedded model calls
no tools; where a notebook shows them, the server of the tests answers what `SCRIPTS` has for it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests"))

from glm_server import GlmServer, calls, stream

AGAIN, NOT_COMPARED = "again", "nbval-ignore-output"
WIDGET = "application/vnd.jupyter.widget-view+json"

# The answers of the scripted server, in the order in which a notebook asks.
SCRIPTS = {
    "tools.ipynb": (
        calls(("visitors", {"day": "Saturday"}), ("visitors", {"day": "Tuesday"})),
        stream("On Saturday 310 people came and on Tuesday 95, ", "so **215 more** came on Saturday."),
        calls(("visitors", {"day": "일요일"})),
        calls(("visitors", {"day": "Sunday"}), text="요일을 영어로 바꾸어 다시 확인하겠습니다."),
        stream("일요일에는 **280명**이 왔습니다."),
        calls(*(("ticket_price", {"age": age}) for age in (41, 38, 9)), ("visitors", {"day": "Monday"})),
        stream(
            "- Two adults and a child: 2 × 8 + 3 = **19 euros**.\n",
            "- On Monday 120 people came; at the full price of 8 euros that would be 120 × 8 = **960 euros**.",
        ),
    )
}


class Page(NotebookClient):
    """Runs cells as a front end does: each run names its cell, so that a second one is another attempt."""

    cell_id = ""

    async def async_execute_cell(self, cell: Any, *args: Any, **kwargs: Any) -> Any:
        session = self.kc.session
        make = type(session).msg
        self.cell_id = cell.id

        def with_cell_id(kind: str, content: Any = None, *rest: Any, metadata: Any = None, **more: Any) -> Any:
            named = {"cellId": self.cell_id} if kind == "execute_request" else {}
            return make(session, kind, content, *rest, metadata={**(metadata or {}), **named}, **more)

        session.msg = with_cell_id
        for _ in range(2 if AGAIN in cell.metadata.get("tags", ()) else 1):
            cell = await super().async_execute_cell(cell, *args, **kwargs)
        return cell


def record(path: Path) -> None:
    """Run the notebook at `path` live, then replay it, and save each time. If that fails, it is what it was."""
    before = path.read_bytes()
    try:
        _forget_the_answers(path)
        with answers_of_a_script(*SCRIPTS.get(path.name, ())):
            _run(path, Page, replay="off", missing="ask")
        _run(path, NotebookClient, replay=".", missing="error")
    except BaseException:
        path.write_bytes(before)
        raise


@contextmanager
def answers_of_a_script(*script: Any) -> Iterator[None]:
    """Let a server answer with the `script`, which must be used up; without one, who answers is as it was."""
    if not script:
        yield
        return
    with GlmServer() as server:
        server.answer(*script)
        os.environ["GLM_BASE_URL"] = server.url
        try:
            yield
        finally:
            del os.environ["GLM_BASE_URL"]
        if len(server.requests) != len(script):
            sys.exit(f"The script has {len(script)} answers, and {len(server.requests)} were asked for.")


def _run(path: Path, kind: type[NotebookClient], *, replay: str, missing: str) -> None:
    print(f"{path.name}: {'live' if kind is Page else 'replayed'}", flush=True)
    os.environ.update(GLM_REPLAY=replay, GLM_REPLAY_MISSING=missing)
    notebook = nbformat.read(path, as_version=4)
    resources = {"metadata": {"path": str(path.parent)}}
    kind(notebook, timeout=900, kernel_name="python3", resources=resources, store_widget_state=False).execute()
    _tidy(notebook)
    nbformat.write(notebook, path)


def _forget_the_answers(path: Path) -> None:
    """Empty the outputs: a notebook that names itself as its record would not ask anew."""
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    nbformat.write(notebook, path)


def _tidy(notebook: Any) -> None:
    """Leave out what belongs to this run, and widgets, which no reopened notebook could show."""
    kernel = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
    notebook.metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if WIDGET not in output.get("data", {})]


if __name__ == "__main__":
    for name in sys.argv[1:] or sorted(file.name for file in HERE.glob("*.ipynb")):
        record(HERE / name)
