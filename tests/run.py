"""Runs every check of the project, in environments of its own: python3 tests/run.py

Arguments go to pytest, in place of all checks.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / ".ci"))

import browsers
from environment import ROOT, make, run
from ipykernels import OLDEST, folder_in

# What the browser tests need from the system (the second font is for Chinese and Korean), what runs an exported .sh
# script, and what nbstripout is a filter of.
DEBIAN_PACKAGES = ("chromium-headless-shell", "fonts-dejavu", "fonts-noto-cjk", "curl", "git")
# They use the magics, and little of IPython: what they need of it, others test too. The tests of tools in a kernel have
# a kernel of each version.
KNOW_NO_IPYTHON = tuple(
    f"--ignore=tests/{folder}/test_{name}.py"
    for folder, names in {
        "magics": "comparing comparing_batch comparing_input comparing_kept options written panel saving budget history"
        " replay restart refresh conversation_machine pictures documents_in_prompts mcp_tools thinking",
        "kernel": "kernel_batch kernel_comparing kernel_replay kernel_tools",
    }.items()
    for name in names.split()
)
PYTEST = ("-m", "pytest", "-q", "-p", "no:cacheprovider")
TWO = ("-n", "2", "--dist", "loadfile")
# One more than there are cores: these tests wait for kernels and servers. They come in the order of tests/conftest.py.
OTHERS = ("-n", "3", "--dist", "loadfile", "--no-loadscope-reorder", "--ignore=tests/browser", "tests")
# Chromium, the server and the kernel are three programs, and now and then a message between them is late or lost: what
# fails is tried once more, and its traceback shown.
BROWSER = ("-m", "browser", "--reruns", "1", "--rerun-show-tracebacks", "tests/browser")
QUICKSTART = ("--nbval-lax", "--nbval-cell-timeout=900", "notebooks/quickstart.ipynb")
# beside other work the threads of the embedded model wait for each other, and take ten times as long
ON_ONE_CORE = """
import os, sys, pytest
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
sys.exit(pytest.main(sys.argv[1:]))
"""
LINT_IMPORTS = "from importlinter.cli import lint_imports_command; lint_imports_command()"


def main() -> None:
    """Install what is missing, and run everything; the first failure ends it."""
    if sys.argv[1:]:
        install_programs()
        run([str(make(".venv-test", ".[test]")), "-m", "pytest", *sys.argv[1:]])
        return
    with ThreadPoolExecutor() as pool:
        programs = pool.submit(install_programs)
        python = str(make(".venv-test", ".[test]"))
        # jsonschema imports it where it is installed, which takes every process more than a second
        run([python, "-m", "pip", "uninstall", "-q", "-y", "--disable-pip-version-check", "rfc3987-syntax"])
        run([python, "tests/ipykernels.py"])
        programs.result()
    oldest = f"PYTHONPATH={folder_in(Path(python).parents[1], OLDEST)}"
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job ignores it, and so would the checks
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # else each of some hundred kernels compiles every module
    checks = Checks()
    checks.run_beside_each_other(
        # one after the other: at once, they take a fifth longer on two cores, and wait for each other
        [
            ("the browser", [python, *PYTEST, *TWO, *BROWSER]),
            ("all but the browser", [python, *PYTEST, *OTHERS]),
            (
                "the oldest IPython",
                ["env", oldest, python, *PYTEST, *TWO, *KNOW_NO_IPYTHON, "tests/magics", "tests/kernel"],
            ),
        ],
        [
            ("ruff", [python, "-m", "ruff", "check"]),
            ("the format", [python, "-m", "ruff", "format", "--check", "--quiet"]),
            ("the imports", [python, "-c", LINT_IMPORTS, "--no-cache"]),
            ("mypy", [python, "-m", "mypy"]),
            ("the quickstart", [python, "-c", ON_ONE_CORE, *PYTEST[2:], *QUICKSTART]),
        ],
    )


class Checks:
    """Runs rows of checks beside each other. What a check writes is shown when it has ended, in one piece."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._failed = False

    def run_beside_each_other(self, *rows: list[tuple[str, list[str]]]) -> None:
        """Run each row's checks one after the other; the first failure ends all."""
        with ThreadPoolExecutor(len(rows)) as pool:
            try:
                codes = [done.result() for done in as_completed([pool.submit(self._run_row, row) for row in rows])]
            except BaseException:
                self._stop()
                raise
        sys.exit(1 if any(codes) else 0)  # a check that a signal ended has a code below 0

    def _run_row(self, row: list[tuple[str, list[str]]]) -> int:
        for name, command in row:
            if code := self._run(name, command):
                return code
        return 0

    def _run(self, name: str, command: list[str]) -> int:
        started = time.monotonic()
        with tempfile.TemporaryFile() as output:
            with self._lock:
                if self._failed:
                    return 0
                process = subprocess.Popen(
                    command,
                    cwd=ROOT,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
                self._running.add(process)
            code = process.wait()
            with self._lock:
                self._running.discard(process)
                if self._failed:  # another was the first
                    return 0
                self._failed = code != 0
                output.seek(0)
                print(f"── {name}: {time.monotonic() - started:.0f} s", flush=True)
                shutil.copyfileobj(output, sys.stdout.buffer)
                sys.stdout.flush()
        if code:
            how = f"with exit code {code}" if code > 0 else f"by signal {-code}"
            print(f"\nFailed {how}: {' '.join(command)}", flush=True)
            self._stop()
        return code

    def _stop(self) -> None:
        with self._lock:
            self._failed = True
            for process in self._running:
                os.killpg(process.pid, signal.SIGINT)  # so that pytest ends its kernels and its browser


def install_programs() -> None:
    """Install what is missing of the programs that tests run, from Debian's packages, where that is possible."""
    if browsers.executable() and shutil.which("curl") and shutil.which("git"):
        return
    if shutil.which("apt-get") and os.geteuid() == 0:
        print("Installing " + " ".join(DEBIAN_PACKAGES), flush=True)
        quiet = {"stdout": subprocess.DEVNULL, "env": {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}}
        subprocess.run(["apt-get", "update", "-qq"], check=True, **quiet)
        command = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *DEBIAN_PACKAGES]
        subprocess.run(command, check=True, **quiet)
        return
    sys.exit("The tests need Chromium, curl and git. Install them: sudo apt-get install " + " ".join(DEBIAN_PACKAGES))


if __name__ == "__main__":
    main()
