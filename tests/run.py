"""Runs every check of the project, in environments of its own: python3 tests/run.py

Arguments go to the main run of pytest, in place of the checks before and after it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / ".ci"))

from environment import make, run

# What the browser tests need from the system (the second font is for Chinese and Korean), what runs an exported .sh
# script, and what nbstripout is a filter of.
DEBIAN_PACKAGES = ("chromium", "fonts-dejavu", "fonts-noto-cjk", "curl", "git")
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def main() -> None:
    """Make what is missing, and run everything; the first failure ends it."""
    install_programs()
    python = str(make(".venv-test", ".[test]"))
    if sys.argv[1:]:
        run([python, "-m", "pytest", *sys.argv[1:]])
        return
    for check in (["ruff", "check"], ["ruff", "format", "--check", "--quiet"], ["mypy"]):
        run([python, "-m", *check])
    run([python, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()", "--no-cache"])
    # the oldest IPython and ipykernel that are supported
    oldest = str(
        make(
            ".venv-oldest",
            ".[local]",
            "ipython==8.12.*",
            "ipykernel==6.29.*",
            "nbclient",
            "nbconvert",
            "nbval",
            "pytest",
            "hypothesis",
            "matplotlib",
        )
    )
    run([oldest, "-m", "pytest", "-q", "tests/magics", "tests/kernel", "-p", "no:cacheprovider"])
    run([python, "-m", "pytest", "--nbval-lax", "--nbval-cell-timeout=900", "-q", "notebooks/quickstart.ipynb"])
    run([python, "-m", "pytest"])


def install_programs() -> None:
    """Install what is missing of the programs that tests run, from Debian's packages, where that is possible."""
    if any(shutil.which(name) for name in BROWSERS) and shutil.which("curl") and shutil.which("git"):
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
