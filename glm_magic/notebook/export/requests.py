"""Exporting the requests of a comparison as a file of the Batch API, which ``vllm run-batch`` and the like read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from glm_magic.notebook.batches import name_of
from glm_magic.notebook.files import write_atomically
from glm_magic.notebook.runs import RunKey
from glm_magic.protocol.batch_files import OPENAI_URL, request_line

REQUESTS = "requests.jsonl"  # how the name of such a file ends


def export_requests(path: Path, requests: Iterable[tuple[RunKey, Mapping[str, Any]]], *, force: bool = False) -> int:
    """Write the body of each request, and return how many there are.

    Raises `HistoryError` if the file exists and not `force`, or if it cannot be written.
    """
    lines = [request_line(name_of(key), body, OPENAI_URL).decode() for key, body in requests]
    write_atomically(path, "".join(lines), force=force)
    return len(lines)
