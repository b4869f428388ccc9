"""Opens the quickstart in JupyterLab, in an environment of its own, with the embedded model.

python3 notebooks/run.py              opens it
python3 notebooks/run.py --headless   executes it, and prints the path of the answered copy
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / ".ci"))

from environment import ROOT, make, run

QUICKSTART = ROOT / "notebooks" / "quickstart.ipynb"
ANSWERED = ROOT / "build" / QUICKSTART.name


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
    where = [f"--ServerApp.root_dir={QUICKSTART.parent}", f"--LabApp.default_url=/lab/tree/{QUICKSTART.name}"]
    run([python, "-m", "jupyter", "lab", *as_root, *where])


if __name__ == "__main__":
    main()
