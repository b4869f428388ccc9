"""Runs Python scripts in a fork of a process that has imported openai: to import it takes most of a script's time."""

from __future__ import annotations

import multiprocessing
import os
import runpy
import sys
from pathlib import Path

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["openai", "runpy"])


def run_script(path: Path, environment: dict[str, str], folder: Path) -> tuple[int, bytes, bytes]:
    """Run the script at `path` in `folder`; return its exit code, and what it printed to stdout and to stderr."""
    outputs = folder / "stdout", folder / "stderr"
    process = _FORKS.Process(target=_run, args=(path, environment, folder, outputs))
    process.start()
    process.join(60)
    assert process.exitcode is not None, "the script did not end"
    printed, complained = (output.read_bytes() for output in outputs)
    return process.exitcode, printed, complained


def _run(path: Path, environment: dict[str, str], folder: Path, outputs: tuple[Path, Path]) -> None:
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    for number, output in enumerate(outputs, start=1):
        os.dup2(os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding=environment["PYTHONIOENCODING"])
    sys.argv = [str(path)]
    runpy.run_path(str(path), run_name="__main__")
