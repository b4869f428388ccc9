"""Documents in the prompts of a notebook's cells: sent as text, named in a dry run."""

from __future__ import annotations

import pytest
from glm_server import stream
from ipython_shell import Notebook

from glm_magic.errors import PromptError


@pytest.fixture
def files(notebook: Notebook, tmp_path) -> Notebook:
    (tmp_path / "a.md").write_text("# Title\n" + "word " * 400)
    (tmp_path / "b.csv").write_text("x,y\n1,2\n")
    notebook.run(
        f"from pathlib import Path\nfolder = Path({str(tmp_path)!r})\na, b = folder / 'a.md', folder / 'b.csv'"
    )
    return notebook


def test_a_path_in_a_prompt_is_sent_as_the_text_of_its_file(files: Notebook) -> None:
    assert files.sent("%%glm\nSum up:\n{{ b }}.", "a").messages == [("user", "Sum up:\nx,y\n1,2\n.")]


def test_a_message_put_into_the_conversation_holds_the_text_too(files: Notebook) -> None:
    files.run("%%glm --role system\n{{ b }}", "a")
    assert files.sent("%%glm\nhi", "b").messages[0] == ("system", "x,y\n1,2\n")


def test_a_dry_run_names_each_file_and_its_tokens(files: Notebook) -> None:
    files.run("%%glm -N\n{{ a }} {{ b }}", "a")
    assert "Tokens of documents in it: a.md ~502, b.csv ~2" in files.page.text
    assert files.server.requests == []


def test_a_file_that_is_missing_sends_nothing(files: Notebook) -> None:
    with pytest.raises(PromptError, match=r"\{\{ folder / 'c.pdf' \}\}: c.pdf does not exist"):
        files.run("%%glm\n{{ folder / 'c.pdf' }}", "a")
    assert files.server.requests == []


def test_an_option_takes_the_path_itself(files: Notebook) -> None:
    sent = files.sent("%%glm -s {{ b }}\nhi", "a").messages[0]
    assert sent[0] == "system"
    assert sent[1].endswith("b.csv")


def test_the_rows_of_a_comparison_may_hold_paths(files: Notebook) -> None:
    files.server.answer(stream("one"), stream("two"))
    files.run("rows = [{'file': a}, {'file': b}]")
    files.run("%%glm --each rows --concurrency 1\nOf: {{ file }}", "a")
    sent = {request.messages[0][1][:9] for request in files.server.requests}
    assert sent == {"Of: # Tit", "Of: x,y\n1"}
