"""Notebooks as nbformat reads and writes them; no other module loads it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from glm_magic.errors import HistoryError, quoted
from glm_magic.notebook import files

CURRENT, OLD = 4, 3

# what nbformat raises on a cell that is not as its format wants it
_DAMAGE = (AttributeError, IndexError, KeyError, TypeError, ValueError, RecursionError)


def cells(path: Path) -> list[dict[str, Any]]:
    """Return the cells of the notebook at `path`, from the top, in format 4; cells of format 3 are upgraded.

    A cell that nbformat cannot read is returned as it stands in the file, or empty. The notebook is not
    validated: front ends open invalid ones too. Raises `HistoryError` if the file is not a notebook.
    """
    version, found = _cells(path)
    return [_upgraded(cell) if version == OLD else _read(cell) for cell in found]


def cells_as_saved(path: Path) -> list[dict[str, Any]]:
    """Return what `cells` does, but leave texts of format 4 in lines, as they stand in the file: that is fast."""
    version, found = _cells(path)
    if version == OLD:
        return [*map(_upgraded, found)]
    return [cell if isinstance(cell, dict) else {} for cell in found]


def _cells(path: Path) -> tuple[int, list[Any]]:
    notebook = _json(path)
    version: Any = notebook.get("nbformat") if isinstance(notebook, dict) else None
    if type(version) is int and version not in (CURRENT, OLD):
        raise HistoryError(
            f"{path} is in notebook format {version}; glm_magic reads formats {OLD} and {CURRENT}.",
            f"Open it in JupyterLab and save it in format {CURRENT}.",
        )
    found: Any = None
    if version == CURRENT:
        found = notebook.get("cells")
    elif version == OLD and isinstance(sheets := notebook.get("worksheets"), list):
        cells_of = (sheet.get("cells") for sheet in sheets if isinstance(sheet, dict))
        found = [cell for cells in cells_of if isinstance(cells, list) for cell in cells]
    if not isinstance(found, list):
        raise HistoryError(f"{path} is not a notebook: it has no cells.")
    return version, found


def markdown_notebook(sources: Iterable[tuple[str, str]]) -> str:
    """Return a valid notebook of Markdown cells, each given as its id and source; equal cells give equal text."""
    from nbformat import v4  # noqa: PLC0415 - slow to load

    kernel = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}  # else a page asks
    cells = [v4.new_markdown_cell(source, id=id_) for id_, source in sources]
    return str(v4.writes(v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}))) + "\n"


def _json(path: Path) -> Any:
    try:
        return json.loads(files.read(path))
    except FileNotFoundError:
        raise HistoryError(
            f"{path} cannot be read: there is no such file.", "Give the path of a saved notebook."
        ) from None
    except (ValueError, RecursionError) as error:
        raise HistoryError(
            f"{path} is not a notebook: {quoted(str(error))}", "The file may be damaged or only partly written."
        ) from None


def _read(cell: Any) -> dict[str, Any]:
    """Return a cell of format 4 with its lines joined; each is read alone, so that a damaged one costs only itself."""
    from nbformat import v4  # noqa: PLC0415 - slow to load

    try:
        [read] = v4.to_notebook({"cells": [cell], "metadata": {}}).cells
    except _DAMAGE:
        return cell if isinstance(cell, dict) else {}
    return dict(read)


def _upgraded(cell: Any) -> dict[str, Any]:
    """Return a cell of format 3 in format 4.

    nbformat upgrades whole notebooks too, but then it logs an error about each that is invalid.
    """
    from nbformat import v3  # noqa: PLC0415 - slow to load
    from nbformat.v4.convert import upgrade_cell  # noqa: PLC0415

    try:
        [sheet] = v3.to_notebook_json({"worksheets": [{"cells": [cell]}]}).worksheets
        upgraded = dict(upgrade_cell(sheet.cells[0]))
    except _DAMAGE:
        return {}
    del upgraded["id"]  # random: format 3 has none
    return upgraded
