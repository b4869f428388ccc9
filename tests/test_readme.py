"""README, CONTRIBUTING, CHANGELOG and the reference are true: their tables, links, commands and examples."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
import readme
from glm_server import GlmServer, calls, stream
from IPython.core.interactiveshell import InteractiveShell
from ipython_shell import Notebook, close, new_shell

import glm_magic

ROOT = readme.ROOT
DOCUMENTS = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "notebooks/reference.md")
GUIDES = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "notebooks").glob("*.ipynb"))
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[(?:[^\[\]]|\[[^\[\]]*\])*\]\(([^()\s]+)\)")


def text_of(name: str) -> str:
    """Return a document, or the Markdown of a guide."""
    path = ROOT / name
    if path.suffix == ".ipynb":
        return "\n\n".join(
            cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "markdown"
        )
    return path.read_text(encoding="utf-8")


def anchors(text: str) -> set[str]:
    """Return the anchors of the headings, as GitHub forms them."""
    headings = re.findall(r"^#+ (.+)$", FENCED.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_tables_are_generated_from_the_declarations() -> None:
    text = readme.REFERENCE.read_text(encoding="utf-8")
    assert text == readme.with_tables(text), "run: python tests/readme.py"


def test_ci_runs_the_test_command_of_the_readme() -> None:
    command = (ROOT / ".ci" / "run").read_text().strip().splitlines()[-1]
    assert f"    {command}\n" in readme.README.read_text(encoding="utf-8")


def test_the_changelog_knows_this_version() -> None:
    assert f"## [{glm_magic.__version__}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_readme_can_be_read_in_five_minutes() -> None:
    assert len(readme.README.read_text(encoding="utf-8").split()) <= 1000


@pytest.mark.parametrize("name", [*DOCUMENTS, *GUIDES])
def test_every_relative_link_and_picture_of_a_document_is_there(name: str) -> None:
    links = [link for link in LINK.findall(FENCED.sub("", text_of(name))) if not re.match(r"https?:", link)]
    for link in links:
        file, _, anchor = link.partition("#")
        target = (ROOT / name).parent / file if file else ROOT / name
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target.read_text(encoding="utf-8")), link


def test_the_readme_shows_a_picture_and_links_to_every_guide_and_the_reference() -> None:
    links = LINK.findall(readme.README.read_text(encoding="utf-8"))
    assert any(link.endswith(".png") for link in links)
    assert {link for link in links if link.startswith("notebooks/") and not link.endswith(".png")} == {
        *GUIDES,
        "notebooks/reference.md",
    }


def in_the_house(name: str) -> Path:
    """Return the file or folder that CONTRIBUTING calls `name`."""
    return next((path for path in (ROOT / name, ROOT / "glm_magic" / name) if path.exists()), ROOT / name)


def test_what_contributing_names_is_there() -> None:
    text = text_of("CONTRIBUTING.md")
    files = re.findall(r"`([\w/]+(?:\.(?:py|md|ipynb)|/))`", text)
    assert len(files) > 20
    assert [name for name in files if not in_the_house(name).exists()] == []
    inside = re.findall(r"`([\w/]+\.py)`, `(?:\w+\.)?(\w+)`", text)
    assert len(inside) > 4
    for file, name in inside:
        source = in_the_house(file).read_text(encoding="utf-8")
        assert re.search(rf'(?:def|class) {name}\b|"{name}"', source), (file, name)


@pytest.fixture
def notebook(server: GlmServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Notebook]:
    monkeypatch.setattr(InteractiveShell, "_instance", None)
    shell = new_shell()
    monkeypatch.setattr(InteractiveShell, "_instance", shell)  # `display` looks for it there
    monkeypatch.setenv("GLM_BASE_URL", server.url)
    yield Notebook(shell, server)
    close(shell)


def test_the_examples_of_the_readme_run(notebook: Notebook, server: GlmServer, capsys: pytest.CaptureFixture) -> None:
    cities = [{"name": "Seoul", "people": 9_400_000}, {"name": "Busan", "people": 3_300_000}]
    weather = calls(("get_weather", {"city": "Seoul"}))
    server.answer(
        stream("A lump of ice and dust."),
        stream("Gas and dust."),
        stream("Tea was good, service not."),
        stream("They praise the tea."),
        *[stream("Good.")] * 8,
        stream(json.dumps(cities)),
        weather,
        stream("Neither."),
        weather,
        stream("Yes, 21 degrees."),
        stream("There ", "too."),
    )
    blocks = re.findall(r"^```python\n(.*?)^```$", readme.README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    cells = [4 if number == 5 else number for number in range(len(blocks))]  # one is run in two wordings
    values, pages = [], []
    for cell, block in zip(cells, blocks, strict=True):
        values.append(notebook.run(block.rstrip("\n"), f"cell {cell}"))
        pages.append(notebook.page.text)
    assert len(server.requests) == 18
    assert server.requests[2].messages == [("user", "What do guests say?\nstars,text\n5,Good tea.\n2,Nobody smiled.")]
    assert [role for role, _ in server.requests[3].messages] == ["system", "user"]
    assert notebook.shell.user_ns["answer"].text == "They praise the tea."
    for shown in ("Attempts of turn 1", "system not set", "Turn 1: from attempt 1 to attempt 2"):
        assert shown in pages[6]
    assert "Attempt 1 of turn 1 is active: chat reviews now sends 1 turn." in pages[6]
    found = notebook.shell.user_ns["found"]
    assert [run.scores["right"] for run in found] == [True] * 4 + [False] * 4
    assert [len(request.messages) for request in server.requests[4:12]] == [1] * 8
    assert "2 rows × 2 configurations × 2 repeats · 8 answers" in pages[8]
    assert values[11] == 9_400_000
    assert [run.failed for run in values[13].tool_runs] == [False]
    assert capsys.readouterr().out.endswith("Yes, 21 degrees.\nThere too.")
