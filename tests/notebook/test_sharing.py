"""The reference's table of what tools keep of a notebook with answers: each row is made by running the tool."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import nbformat
import pytest
from glm_server import GlmServer, stream
from sharing import (
    ASKED,
    FAILURE,
    JUPYTERLAB,
    Page,
    command,
    jupytext,
    make_sample,
    row,
    rows_of_the_reference,
    run,
    shown_below,
)

from glm_magic.notebook.bundle import MIME_TYPE
from glm_magic.notebook.document import restore


@pytest.fixture(scope="module")
def server() -> Iterator[GlmServer]:
    with GlmServer() as server:
        yield server


@pytest.fixture(scope="module")
def sample(server: GlmServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sample") / "shared.ipynb"
    make_sample(path, server)
    return path


@pytest.fixture
def notebook(sample: Path, tmp_path: Path) -> Path:
    """A copy of the sample in a folder of its own."""
    return Path(shutil.copy(sample, tmp_path))


@pytest.fixture(scope="module")
def pages(sample: Path) -> dict[str, Path]:
    """What nbconvert makes of the sample, by the ends of the names."""
    for form in ("html", "markdown"):
        run("nbconvert", "--to", form, sample.name, folder=sample.parent)
    return {end: sample.with_suffix(f".{end}") for end in PAGES.values()}


# --- the tools: each makes files of a notebook, which all have the same fate ---------------------


def strip_for_git(path: Path, server: GlmServer) -> list[Path]:
    before, folder = path.read_bytes(), path.parent
    command("git", "init", "--quiet", folder=folder)
    run("nbstripout", "--install", folder=folder)
    command("git", "add", path.name, folder=folder)
    stored = folder / "stored.ipynb"
    stored.write_text(command("git", "show", f":{path.name}", folder=folder), encoding="utf-8")
    assert path.read_bytes() == before, "the file itself is not stripped"
    return [stored]


def strip_all_but_tagged(path: Path, server: GlmServer) -> list[Path]:
    tagged = nbformat.read(path, as_version=4)
    for cell in tagged.cells:
        if cell.source.startswith("%%glm"):
            cell.metadata.tags = ["keep_output"]
        elif cell.cell_type == "code":
            cell.outputs = [nbformat.v4.new_output("stream", text="of another cell")]
    nbformat.write(tagged, path)
    run("nbstripout", path.name, folder=path.parent)
    assert "of another cell" not in path.read_text(encoding="utf-8")
    return [path]


def strip_but_keep_output(path: Path, server: GlmServer) -> list[Path]:
    run("nbstripout", "--keep-output", path.name, folder=path.parent)
    return [path]


def text_and_back(path: Path, server: GlmServer) -> list[Path]:
    jupytext(
        f"--to py:percent -o script.py {path.name}",
        f"--to md -o markdown.md {path.name}",
        "--to ipynb script.py markdown.md",
        folder=path.parent,
    )
    return [path.parent / "script.ipynb", path.parent / "markdown.ipynb"]


def text_and_back_with_a_lone_quote(path: Path, server: GlmServer) -> list[Path]:
    quoting = nbformat.read(path, as_version=4)
    next(cell for cell in quoting.cells if cell.source == ASKED[1].source).source += ' What does """ mean?'
    nbformat.write(quoting, path)
    return text_and_back(path, server)


def paired_text(path: Path, server: GlmServer) -> list[Path]:
    """Write a remark into the text beside the notebook, and take it over in both ways."""
    made = [path.with_name(name) for name in ("updated.ipynb", "synced.ipynb")]
    for copy in made:
        shutil.copy(path, copy)
    jupytext("--set-formats ipynb,py:percent updated.ipynb synced.ipynb", folder=path.parent)
    for copy in made:
        with copy.with_suffix(".py").open("a", encoding="utf-8") as text:
            text.write("\n# %% [markdown]\n# A remark\n")
    jupytext("--to ipynb --update updated.py", "--sync synced.py", folder=path.parent)
    assert [nbformat.read(copy, as_version=4).cells[-1].source for copy in made] == ["A remark"] * 2
    return made


def clear(path: Path, server: GlmServer) -> list[Path]:
    run("nbconvert", "--clear-output", "--inplace", path.name, folder=path.parent)
    return [path]


def papermill(path: Path, server: GlmServer, *, fails: bool = False) -> list[Path]:
    run("papermill", path.name, "done.ipynb", folder=path.parent, fails=fails, GLM_BASE_URL=server.url)
    return [path.parent / "done.ipynb"]


def papermill_and_a_failure(path: Path, server: GlmServer) -> list[Path]:
    server.answer(stream("New."), FAILURE)
    return papermill(path, server, fails=True)


def execute(path: Path, server: GlmServer, *, fails: bool = False) -> list[Path]:
    run("jupyter", "execute", "--inplace", path.name, folder=path.parent, fails=fails, GLM_BASE_URL=server.url)
    return [path]


def execute_and_a_failure(path: Path, server: GlmServer) -> list[Path]:
    server.answer(stream("New."), FAILURE)
    before = path.read_bytes()
    execute(path, server, fails=True)
    assert path.read_bytes() == before
    return [path]


TOOLS: dict[str, Callable[[Path, GlmServer], list[Path]]] = {
    "`nbstripout --install`, what git stores": strip_for_git,
    "`nbstripout`, cells tagged `keep_output`": strip_all_but_tagged,
    "`nbstripout --keep-output`": strip_but_keep_output,
    "`jupytext --to py:percent` or `md`, and back": text_and_back,
    '`jupytext` there and back, a prompt with a lone `"""`': text_and_back_with_a_lone_quote,
    "`jupytext --update` or `--sync` of a paired notebook": paired_text,
    "`jupyter nbconvert --clear-output`": clear,
    "`papermill`": papermill,
    "`papermill`, and a cell fails": papermill_and_a_failure,
    "`jupyter execute --inplace` (nbclient)": execute,
    "`jupyter execute --inplace`, and a cell fails": execute_and_a_failure,
}
PAGES = {"`jupyter nbconvert --to html`": "html", "`jupyter nbconvert --to markdown`": "md"}


@pytest.mark.parametrize("name", TOOLS)
def test_the_row_of_the_reference_is_what_the_tool_does(name: str, notebook: Path, server: GlmServer) -> None:
    for result in TOOLS[name](notebook, server):
        assert rows_of_the_reference().get(name) == row(name, result)


@pytest.mark.parametrize("name", PAGES)
def test_the_row_of_the_reference_is_what_the_page_shows(name: str, pages: dict[str, Path]) -> None:
    assert rows_of_the_reference().get(name) == row(name, pages[PAGES[name]])


def test_every_row_of_the_reference_is_made_by_a_test() -> None:
    assert sorted(rows_of_the_reference()) == sorted([*TOOLS, *PAGES, JUPYTERLAB])


# --- what the rows do not say --------------------------------------------------------------------


@pytest.mark.parametrize("end", PAGES.values())
def test_a_page_holds_what_is_seen_and_nothing_of_the_turns_behind_it(
    end: str, sample: Path, pages: dict[str, Path]
) -> None:
    turns = restore(sample).conversations["main"].sent()
    assert len(turns) == len(ASKED)  # the system message, and all but the one that failed
    saved, page = sample.read_text(encoding="utf-8"), pages[end].read_text(encoding="utf-8")
    # a line carries the id of its answer, which says nothing of it
    for hidden in (MIME_TYPE, "fingerprint", *(turn.fingerprint for turn in turns)):
        assert hidden in saved
        assert hidden not in page
    assert "7 in, 5 out" in page


def test_a_hostile_answer_does_nothing_in_a_page_of_nbconvert(pages: dict[str, Path]) -> None:
    assert Page(pages["html"].read_text(encoding="utf-8")).acting == []
    assert Page('<main><img src="x"><a href="javascript:1">').acting == ["img", "img src=x", "a href=javascript:1"]
    markdown = pages["md"].read_text(encoding="utf-8")
    assert not [part for part in ("<script", "<img", "<iframe", "<style", "](javascript:", "![") if part in markdown]


def test_jupytext_leaves_the_old_answer_below_a_prompt_that_was_changed_in_the_text(notebook: Path) -> None:
    jupytext(f"--to py:percent {notebook.name}", folder=notebook.parent)
    text = notebook.with_suffix(".py")
    changed = text.read_text(encoding="utf-8").replace("Show me a page.", "Show me a letter.")
    text.write_text(changed, encoding="utf-8")
    jupytext(f"--to ipynb --update {text.name}", folder=notebook.parent)
    last = nbformat.read(notebook, as_version=4).cells[-1]
    assert last.source == "%%glm\nShow me a letter."
    assert all(words in shown_below(last) for words in ASKED[-1].shown)


def test_jupytext_ends_a_cell_of_a_script_at_a_mark_within_its_prompt(notebook: Path, server: GlmServer) -> None:
    marked = nbformat.read(notebook, as_version=4)
    marked.cells[-1].source += "\n# %% a mark\nand more"
    nbformat.write(marked, notebook)
    script, markdown = (nbformat.read(made, as_version=4).cells for made in text_and_back(notebook, server))
    assert [cell.source for cell in script[-2:]] == [ASKED[-1].source, "and more"]
    assert markdown[-1].source == marked.cells[-1].source
