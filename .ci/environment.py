"""Makes a virtual environment with this project in it, on any machine that has Python and pip."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_OLDEST = (3, 10)


def make(folder: str, *requirements: str) -> Path:
    """Make the environment `folder`, install `requirements` there, and return its Python.

    `.` is this project, editable. Nothing is done again as long as neither the requirements nor
    pyproject.toml change.
    """
    if sys.version_info < _OLDEST:
        sys.exit(f"glm_magic needs Python 3.10 or later; this is {sys.version.split()[0]}.")
    home = ROOT / folder
    python = home / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    wanted = hashlib.sha256(repr(requirements).encode() + (ROOT / "pyproject.toml").read_bytes()).hexdigest()
    stamp = home / "made-for"
    if python.exists() and stamp.exists() and stamp.read_text() == wanted:
        return python
    print(f"Making {home} (once) …", flush=True)
    # Debian's Python comes without ensurepip, so the pip that is here installs into the environment.
    run([sys.executable, "-m", "venv", "--clear", "--without-pip", str(home)])
    words = [word for name in requirements for word in (["-e", name] if name.startswith(".") else [name])]
    install = ["install", "-qq", "--disable-pip-version-check", "--no-compile"]  # Python compiles what is imported
    run([sys.executable, "-m", "pip", "--python", str(python), *install, "pip"])
    run([str(python), "-m", "pip", *install, *words])  # the newest pip takes half the time of Debian's
    stamp.write_text(wanted)
    return python


def run(command: list[str], **environment: str) -> None:
    """Run a command in the project's folder; end with its exit code if it fails."""
    code = subprocess.run(command, cwd=ROOT, env={**os.environ, **environment}, check=False).returncode
    if code:
        print(f"Failed: {' '.join(command)}", file=sys.stderr, flush=True)
        sys.exit(code)
