"""Runs the tests against real servers and clusters: python3 tests/real_servers/run.py

It makes an environment for the tests, and the tests make one for each server. Arguments go to pytest.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent / ".ci"))

from environment import make, run

if __name__ == "__main__":
    python = make(".venv-real", ".[test]", "ipyparallel>=9")
    run([str(python), "-m", "pytest", "-p", "no:cacheprovider", "-q", "tests/real_servers", *sys.argv[1:]])
