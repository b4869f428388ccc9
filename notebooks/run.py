"""Opens the quickstart in JupyterLab, in an environment of its own, with the embedded model.

python3 notebooks/run.py              opens a copy of it, with the guides, in build/notebooks
python3 notebooks/run.py --headless   executes it, and prints the path of the answered copy
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / ".ci"))

from environment import ROOT, make, run

QUICKSTART = ROOT / "notebooks" / "quickstart.ipynb"
ANSWERED = ROOT / "build" / QUICKSTART.name
COPIES = ROOT / "build" / "notebooks"


def main() -> None:
    """Make the environment, and open or execute the quickstart."""
    if sys.argv[1:] not in ([], ["--headless"]):
        sys.exit(__doc__)
    python = str(make(".venv", ".[local]", "jupyterlab"))
    if sys.argv[1:]:
        print("Executing the quickstart with the embedded model; the first run downloads it (98 MB) …", flush=True)
        run(
            [
                python,
                "-m",
                "jupyter",
                "nbconvert",
                "--to",
                "notebook",
                "--execute",
                "--ExecutePreprocessor.timeout=900",
                "--log-level=WARN",
                f"--output-dir={ANSWERED.parent}",
                f"--output={ANSWERED.name}",
                str(QUICKSTART),
            ]
        )
        print(f"The answered notebook: {ANSWERED}")
        return
    as_root = ["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    copy_notebooks()
    print(f"The notebooks that you may change: {COPIES}", flush=True)
    where = [f"--ServerApp.root_dir={COPIES}", f"--LabApp.default_url=/lab/tree/{QUICKSTART.name}"]
    run([python, "-m", "jupyter", "lab", *as_root, *where])


def copy_notebooks() -> None:
    """Copy the guides, and what is beside them, to where they may be changed; a copy that is there is left alone."""
    for file in QUICKSTART.parent.rglob("*"):
        copy = COPIES / file.relative_to(QUICKSTART.parent)
        if file.is_file() and file.suffix != ".py" and ".ipynb_checkpoints" not in file.parts and not copy.exists():
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, copy)


if __name__ == "__main__":
    main()
