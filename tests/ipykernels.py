"""Other generations of ipykernel and IPython, installed once beside this interpreter's packages.

`python tests/ipykernels.py` installs them all.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

OLDEST = "6.29"  # the oldest that is supported, with the oldest IPython
# What is put before the packages that are installed, and what it needs besides.
VERSIONS = {
    OLDEST: ("ipython==8.12.*", "backcall", "decorator", "pickleshare", "ipykernel==6.29.*", "nest-asyncio", "psutil"),
    "6.31": ("ipykernel==6.31.*", "nest-asyncio", "psutil"),  # 7.0 to 7.3 lose requests (ipykernel#1554)
}


def python_path(version: str) -> str:
    """Return the ``PYTHONPATH`` of a kernel with that ipykernel; all else is that of this interpreter."""
    return os.pathsep.join(filter(None, (str(_installed(version)), os.environ.get("PYTHONPATH"))))


def folder_in(environment: str | Path, version: str) -> Path:
    """Return where the packages of `version` are in an environment."""
    return Path(environment) / f"ipykernel-{version}"


def _installed(version: str) -> Path:
    folder = folder_in(sys.prefix, version)
    if folder.exists():
        return folder
    work = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f"{folder.name}-"))
    command = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-deps", "--no-compile"]
    try:
        done = subprocess.run(
            [*command, "--target", work / "packages", *VERSIONS[version]], check=False, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        try:
            (work / "packages").rename(folder)
        except OSError:  # another process was faster
            assert folder.exists()
    finally:
        shutil.rmtree(work)
    return folder


if __name__ == "__main__":
    with ThreadPoolExecutor() as pool:
        [*pool.map(python_path, VERSIONS)]
