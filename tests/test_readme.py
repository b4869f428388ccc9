from __future__ import annotations

from pathlib import Path

import readme

import glm_magic

ROOT = Path(__file__).resolve().parent.parent


def test_the_tables_are_those_of_the_declarations() -> None:
    text = readme.README.read_text(encoding="utf-8")
    assert text == readme.with_tables(text), "python tests/readme.py writes them anew"


def test_ci_runs_the_test_command_of_the_readme() -> None:
    command = (ROOT / ".ci" / "run").read_text().strip().splitlines()[-1]
    assert f"    {command}\n" in readme.README.read_text(encoding="utf-8")


def test_the_changelog_knows_this_version() -> None:
    assert f"## [{glm_magic.__version__}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_every_picture_of_the_readme_is_there() -> None:
    import re

    pictures = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", readme.README.read_text(encoding="utf-8"))
    assert pictures
    assert all((ROOT / picture).is_file() for picture in pictures)
