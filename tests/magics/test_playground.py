"""What the playground's controls do; the page's own part is tested in the browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ipywidgets
import pytest
from glm_server import GlmServer, error, stream
from ipython_shell import Notebook

from glm_magic.errors import OptionError
from glm_magic.notebook.bundle import MIME_TYPE

CELL = "%%glm --interact -t 0.2\nWhat is {{ topic }}?"


@pytest.fixture(autouse=True)
def widgets() -> Iterator[None]:
    yield
    ipywidgets.Widget.close_all()


class Page:
    """The page's part of the playground in a cell."""

    def __init__(self, notebook: Notebook, cell: str = CELL) -> None:
        notebook.run(cell, "played")
        self.notebook = notebook
        magics = notebook.shell.magics_manager.registry["GLMMagics"]
        (self.hands,) = (each for name, each in magics.shared.controls.items() if "playground" in name)
        self.page = self.hands._page
        self.replies: list[dict[str, Any]] = []
        self.page.send = self.replies.append

    def ask(self, do: str, **more: Any) -> dict[str, Any]:
        """Send what the page would send, and return the answer to it."""
        self.page._heard(self.page, {"do": do, "id": "1", **more}, [])
        return self.replies[-1]

    def run(self, prompt: str | None = None) -> str:
        """Run, wait for the end, and return why nothing was sent, or what failed."""
        why = str(self.ask("run", prompt=self.page.prompt if prompt is None else prompt)["why"])
        if not why:
            self.hands._pending._ended.wait(60)
        return why or str(self.page.fault)

    def turn(self, name: str, text: str | None) -> str:
        return str(self.ask("set", name=name, text=text)["why"])

    def field(self, name: str) -> Any:
        return self.hands._fields._widgets[name]


def test_nothing_is_sent_until_run_and_each_run_is_an_attempt_of_the_cells_turn(notebook: Notebook) -> None:
    notebook.run("topic = 'a comet'")
    page = Page(notebook)
    assert notebook.server.requests == []
    assert page.run() == ""
    assert page.turn("temperature", "0.7") == ""
    assert page.run("And {{ topic }}?") == ""
    assert [(each.body["temperature"], each.messages) for each in notebook.server.requests] == [
        (0.2, [("user", "What is a comet?")]),
        (0.7, [("user", "And a comet?")]),
    ]
    assert [each["prompt"] for each in page.page.attempts] == ["What is a comet?", "And a comet?"]
    assert page.page.attempts[1]["active"]
    assert notebook.shell.user_ns["_glm"].text == "You said: And a comet?"
    asked = notebook.sent("%%glm\nnext", "later").messages
    assert asked == [("user", "And a comet?"), ("assistant", "You said: And a comet?"), ("user", "next")]


def test_run_all_leaves_the_turn_as_it_was(notebook: Notebook, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("JPY_SESSION_NAME", str(tmp_path / "notebook.ipynb"))
    notebook.run("topic = 'a comet'")
    Page(notebook).run()
    sent = len(notebook.server.requests)
    page = Page(notebook)
    assert len(notebook.server.requests) == sent
    assert "You said: What is a comet?" in notebook.page.text
    assert len(notebook.page.saved(MIME_TYPE)) == 1
    assert notebook.sent("%%glm\nnext", "later").messages[0] == ("user", "What is a comet?")

    notebook.restart()
    page = Page(notebook)
    assert "1 earlier answer of this cell is kept" in notebook.page.text
    assert len(notebook.page.saved(MIME_TYPE)) == 1
    assert page.run() == ""
    assert [each["number"] for each in page.page.attempts] == [1, 2]


def test_runs_share_the_outputs_of_the_cell(notebook: Notebook) -> None:
    notebook.run("topic = 'a comet'")
    long = "\n\n".join(f"Paragraph {at}. " + "word " * 900 for at in range(4))
    notebook.server.answer(stream("Short."), stream(long), stream("Short again."))
    page = Page(notebook)
    page.run()
    page.run()
    most = len(notebook.page.outputs)
    page.run()
    assert len(notebook.page.outputs) == most
    assert "Paragraph" not in "".join(data.get("text/markdown", "") for data in notebook.page.outputs.values())
    assert [bundle["messages"][-1]["content"] for bundle in notebook.page.saved(MIME_TYPE)] == ["Short again."]
    page.ask("settle")
    static = next(iter(notebook.page.outputs.values()))["text/plain"]
    assert "%%glm -t 0.2" in static
    assert "Short again." in static


def test_names_are_fields_that_follow_the_notebook_until_they_are_typed_in(notebook: Notebook) -> None:
    notebook.run("topic, count, brief, rows = 'a comet', 3, True, [1]\ndef shout(text): return text.upper()")
    page = Page(notebook, "%%glm --interact\n{{ shout(topic) }} {{ count }} {{ brief }} {{ rows }} {{ mood }}")
    assert [(each["name"], each["about"]) for each in page.page.fields] == [
        ("topic", ""),
        ("count", ""),
        ("brief", ""),
        ("rows", "list of the notebook"),
        ("mood", "not in the notebook"),
    ]
    kinds = [type(page.field(name)).__name__ for name in ("topic", "count", "brief", "mood")]
    assert kinds == ["Textarea", "IntText", "Checkbox", "Textarea"]
    assert "name 'mood' is not defined" in page.run()
    assert notebook.server.requests == []
    page.field("mood").value = "glad"
    page.field("count").value = 5
    notebook.run("topic, count = 'a star', 4")
    assert (page.field("topic").value, page.field("count").value) == ("a star", 5)
    assert page.run() == ""
    assert notebook.server.last.messages == [("user", "A STAR 5 True [1] glad")]
    assert notebook.shell.user_ns["count"] == 4


def test_what_is_inserted_asks_the_same(notebook: Notebook) -> None:
    notebook.run("topic = 'a comet'")
    page = Page(notebook, "%%glm --interact -c sky --param seed=7 --json\nWhat is {{ topic }} to {{ whom }}? JSON.")
    notebook.server.answer(stream("{}"), stream("{}"))
    page.turn("top_p", "0.5")
    page.turn("system", 'Be "brief".')
    page.field("whom").value = "a child"
    assert page.run() == ""
    played = notebook.server.last.body
    cells = page.ask("insert", prompt=page.page.prompt)["cells"]
    assert cells == [
        "whom = 'a child'",
        "%%glm -p 0.5 -s 'Be \"brief\".' --param seed=7 --json -c sky\nWhat is {{ topic }} to {{ whom }}? JSON.",
    ]
    notebook.run(cells[0])
    notebook.run("%glm_history -c sky --clear")
    assert notebook.sent(cells[1], "inserted").body == played


def test_what_fails_is_said_and_leaves_the_turn(notebook: Notebook) -> None:
    notebook.run("topic = 'a comet'")
    notebook.server.answer(error(401, {"error": {"code": "1000", "message": "no"}}))
    page = Page(notebook)
    assert "401" in page.run() or "1000" in str(page.page.fault)
    assert not page.page.running
    assert page.page.attempts == []
    assert "from 0 to 2" in page.turn("temperature", "7")
    assert "is not a Python expression" in page.run("What is {{ ?")
    assert "The prompt is empty" in page.run(" ")
    assert page.run() == ""


def test_the_kernels_settings_stay_as_they_are(notebook: Notebook) -> None:
    notebook.run("topic = 'a comet'\n%glm_config top_p=0.3")
    page = Page(notebook)
    page.turn("top_p", "0.9")
    page.run()
    assert notebook.server.last.body["top_p"] == 0.9
    assert notebook.sent("%glm hi", "c").body["top_p"] == 0.3
    page.ask("reset", name="top_p")
    page.run()
    assert notebook.server.last.body["top_p"] == 0.3


@pytest.mark.parametrize("other", ["--bg", "--role system", "-N", "--approve", "-n 3", "-t 0,1"])
def test_it_goes_with_nothing_that_asks_otherwise(notebook: Notebook, other: str) -> None:
    with pytest.raises(OptionError):
        notebook.run(f"%%glm --interact {other}\nhi", "c")


def test_where_nobody_is_before_the_page_it_is_a_table(notebook: Notebook, server: GlmServer) -> None:
    notebook.run("%%glm --interact -t 0.2\nhi")
    (output,) = notebook.page.outputs.values()
    assert set(output) == {"text/html", "text/plain"}
    assert "%%glm -t 0.2" in output["text/plain"]
    assert server.requests == []
