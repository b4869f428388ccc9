"""Records the outputs of the notebooks beside it: each is run live once, then replayed, and saved.

python notebooks/record.py [NAME.ipynb …]             in an environment with the extra `test`
python notebooks/record.py --replay [NAME.ipynb …]    replays only, after a change to how outputs look

Strict nbval holds for the result offline, because a replay repeats its outputs exactly. A cell tagged `again` is run
twice, as by a person who wants another answer; if its metadata has another text as `first`, it is first run with that.
A notebook may keep answers in a `.jsonl` file of its own name. The embedded model answers, except where a notebook
needs what it does not have: for tool calls the scripted server of the tests gives the answers in `SCRIPTS`, and for
batches and many requests at once `ReviewServer` answers.
"""

from __future__ import annotations

import os
import random
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests"))

from batch_server import BatchServer
from glm_server import Answer, GlmServer, Received, calls, stream

AGAIN, FIRST = "again", "first"
WIDGET = "application/vnd.jupyter.widget-view+json"

# The answers of the scripted server, in the order of a notebook's questions.
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
        calls(
            (
                "convert_time",
                {"source_timezone": "Asia/Seoul", "time": "09:30", "target_timezone": "Europe/Zurich"},
            )
        ),
        stream("When it is 9:30 in Seoul, it is **1:30 in the morning** in Zurich."),
    )
}


class ReviewServer(BatchServer):
    """Names the feeling of a review, more often the right one if one word is asked for; its batches are soon done."""

    def said(self, body: dict[str, Any]) -> str:
        prompt = body["messages"][-1]["content"]
        is_good = any(word in prompt for word in ("wonderful", "kind", "made our day"))
        luck = random.Random(f"{prompt} {body.get('temperature')}").random()  # noqa: S311 - no secret depends on it
        is_terse = prompt.startswith("One word")
        said = "positive" if is_good == (luck < (0.95 if is_terse else 0.6)) else "negative"
        return said if is_terse else f"The review sounds {said}."

    def echo(self, request: Received) -> Answer:
        return stream(self.said(request.body), model=request.body["model"])

    def other(self, request: Received) -> Answer:
        answer = super().other(request)
        if request.method == "POST" and request.path.endswith("/batches"):
            self.run(next(reversed(self.batches)))
        return answer


class Page(NotebookClient):
    """Runs cells as a front end does: each run names its cell, so that a second run is another attempt."""

    cell_id = ""

    async def async_execute_cell(self, cell: Any, *args: Any, **kwargs: Any) -> Any:
        session = self.kc.session
        make = type(session).msg
        self.cell_id = cell.id

        def with_cell_id(kind: str, content: Any = None, *rest: Any, metadata: Any = None, **more: Any) -> Any:
            named = {"cellId": self.cell_id} if kind == "execute_request" else {}
            return make(session, kind, content, *rest, metadata={**(metadata or {}), **named}, **more)

        session.msg = with_cell_id
        if AGAIN in cell.metadata.get("tags", ()):
            text = cell.source
            cell.source = cell.metadata.get(FIRST, text)
            cell = await super().async_execute_cell(cell, *args, **kwargs)
            cell.source = text
        return await super().async_execute_cell(cell, *args, **kwargs)


def record(path: Path, *, live: bool = True) -> None:
    """Run the notebook at `path` live, then replay it, and save each time. If that fails, its files are restored."""
    before = {file: file.read_bytes() for file in (path, path.with_suffix(".jsonl")) if file.exists()}
    try:
        if live:
            _forget_the_answers(path)
            with answers_of_a_script(*SCRIPTS.get(path.name, ())), reviews_answered(path):
                _run(path, Page, replay="off", missing="ask")
        _run(path, NotebookClient, replay=".", missing="error")
    except BaseException:
        for file, content in before.items():
            file.write_bytes(content)
        raise


@contextmanager
def answers_of_a_script(*script: Any) -> Iterator[None]:
    """Let a server answer with the `script`, all of which must be used; without a script, change nothing."""
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


@contextmanager
def reviews_answered(path: Path) -> Iterator[None]:
    """Let the `ReviewServer` answer the notebook about scale, in a store of its own, where a batch is remembered."""
    if path.name != "scale.ipynb":
        yield
        return
    with ReviewServer() as server, tempfile.TemporaryDirectory() as data:
        own = {"GLM_BASE_URL": server.url, "XDG_DATA_HOME": data, "JPY_SESSION_NAME": str(path)}
        before = {name: os.environ.get(name) for name in own}
        os.environ.update(own)
        try:
            yield
        finally:
            for name, value in before.items():
                os.environ.pop(name) if value is None else os.environ.update({name: value})
        if len(server.batches) != 1:
            sys.exit(f"The notebook says that there is one batch, and there were {len(server.batches)}.")


def _run(path: Path, kind: type[NotebookClient], *, replay: str, missing: str) -> None:
    print(f"{path.name}: {'live' if kind is Page else 'replayed'}", flush=True)
    os.environ.update(GLM_REPLAY=replay, GLM_REPLAY_MISSING=missing)
    notebook = nbformat.read(path, as_version=4)
    resources = {"metadata": {"path": str(path.parent)}}
    # the tag skips a cell where each cell runs once
    as_here = {"kernel_name": "python3", "resources": resources, "skip_cells_with_tag": ""}
    kind(notebook, timeout=900, store_widget_state=False, **as_here).execute()
    _tidy(notebook)
    nbformat.write(notebook, path)


def _forget_the_answers(path: Path) -> None:
    """Empty the outputs and the `.jsonl` file: a notebook that replays itself would not ask again."""
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    nbformat.write(notebook, path)
    if (answers := path.with_suffix(".jsonl")).exists():
        answers.write_bytes(b"")


def _tidy(notebook: Any) -> None:
    """Remove what belongs to this run, and widgets, which a reopened notebook cannot show."""
    kernel = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
    notebook.metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if WIDGET not in output.get("data", {})]


if __name__ == "__main__":
    os.environ["GLM_CONFIG_FILE"] = os.devnull  # a guide shows nobody's own settings
    names = [argument for argument in sys.argv[1:] if argument != "--replay"]
    for name in names or sorted(file.name for file in HERE.glob("*.ipynb")):
        record(HERE / name, live="--replay" not in sys.argv)
