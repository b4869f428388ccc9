"""Makes the outputs of the notebooks beside it anew: each is run live once, and then replayed.

python notebooks/record.py [NAME.ipynb …]      in an environment with the extra `test`

What is committed is the second state: a replay of it gives the same outputs to the letter, so strict nbval holds
offline. A cell with the tag `again` is run twice, as a person does who wants another answer.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

HERE = Path(__file__).resolve().parent
AGAIN, NOT_COMPARED = "again", "nbval-ignore-output"
WIDGET = "application/vnd.jupyter.widget-view+json"


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
    """Run the notebook at `path` live, then replay it, and save each time."""
    for kind, replay, missing in ((Page, "off", "ask"), (NotebookClient, ".", "error")):
        print(f"{path.name}: {'live' if kind is Page else 'replayed'}", flush=True)
        os.environ.update(GLM_REPLAY=replay, GLM_REPLAY_MISSING=missing)
        notebook = nbformat.read(path, as_version=4)
        resources = {"metadata": {"path": str(path.parent)}}
        kind(notebook, timeout=900, kernel_name="python3", resources=resources, store_widget_state=False).execute()
        _tidy(notebook)
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
