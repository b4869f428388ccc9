"""What the panel's knobs change, and what it saves: the page's own part is tested in the browser."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import ipywidgets
import pytest
from ipython_shell import Notebook

from glm_magic.display.page.over import Panel
from glm_magic.settings.declared import SETTINGS


@pytest.fixture(autouse=True)
def widgets() -> Iterator[None]:
    yield
    ipywidgets.Widget.close_all()


class Page:
    """The page's part of the panel below a cell."""

    def __init__(self, notebook: Notebook) -> None:
        notebook.run("%glm_config", "panel cell")
        magics = notebook.shell.magics_manager.registry["GLMMagics"]
        self.panel: Panel = magics.shared.controls["panel"]._panel
        self.replies: list[dict[str, Any]] = []
        self.panel.send = self.replies.append  # type: ignore[method-assign]

    def ask(self, do: str, **more: Any) -> str:
        """Send what the page would send, and return why it was refused."""
        self.panel._heard(self.panel, {"do": do, "id": "1", **more}, [])
        return str(self.replies[-1]["why"])

    def turn(self, name: str, text: str | None) -> str:
        return self.ask("set", name=name, text=text)

    def knob(self, name: str) -> dict[str, Any]:
        return next(row for row in self.panel.rows if row["name"] == name)


def test_every_setting_has_a_knob_with_its_value_and_source(
    notebook: Notebook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GLM_TOP_P", "0.5")
    monkeypatch.setenv("GLM_MAX_TOKENS", "many")
    notebook.run("%glm_config temperature=0.3")
    page = Page(notebook)
    assert [row["name"] for row in page.panel.rows] == [*SETTINGS]
    shown = {name: (page.knob(name)["value"], page.knob(name)["source"]) for name in ("temperature", "top_p", "stop")}
    assert shown == {
        "temperature": ("0.3", "set here"),
        "top_p": ("0.5", "environment (GLM_TOP_P)"),
        "stop": (None, "the server's own default holds"),
    }
    assert "GLM_MAX_TOKENS takes a whole number" in page.knob("max_tokens")["fault"]
    assert page.panel.lines["ask"] == "%%glm -t 0.3"


def test_a_knob_sets_unsets_and_resets_and_follows_the_cells(
    notebook: Notebook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GLM_TEMPERATURE", "0.2")
    page = Page(notebook)
    assert page.turn("temperature", "0.7") == ""
    assert notebook.sent("%glm hi").body["temperature"] == 0.7
    assert page.turn("temperature", None) == ""
    assert "temperature" not in notebook.sent("%glm hi").body
    assert page.panel.lines["config"] == "%glm_config temperature="
    page.ask("reset", name="temperature")
    assert notebook.sent("%glm hi").body["temperature"] == 0.2
    assert not page.knob("temperature")["own"]
    notebook.run("%glm_config temperature=0.9 stop={{ '\\n' }}")
    assert (page.knob("temperature")["value"], page.knob("stop")["value"]) == ("0.9", "\n")


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("temperature", "7", "takes a number from 0 to 2, not 7"),
        ("max_tokens", "1.5", "takes a whole number of tokens of at least 1, not '1.5'"),
        ("max_tokens", "-1", "takes a whole number of tokens of at least 1, not -1"),
        ("base_url", "10.0.0.7", "is not an http(s) address"),
        ("replay", "missing.ipynb", "missing.ipynb"),
        ("record", "answers.txt", "record takes"),
        ("no_such", "1", "There is no setting"),
    ],
)
def test_what_does_not_fit_is_refused_and_changes_nothing(notebook: Notebook, name: str, text: str, why: str) -> None:
    page = Page(notebook)
    assert why in page.turn(name, text)
    assert page.panel.lines["config"] == "%glm_config --reset"


def test_what_the_model_does_not_take_is_said_in_the_row(notebook: Notebook) -> None:
    page = Page(notebook)
    page.turn("temperature", "1.5")
    page.turn("thinking", "low")
    assert page.knob("temperature")["fault"] == "GLM-4-Air takes at most 1."
    assert page.knob("thinking")["fault"] == "GLM-4-Air cannot think."
    page.turn("model", "glm-5.2")
    assert page.knob("thinking")["fault"] == ""
    assert "context 1,000,000 tokens" in page.knob("model")["about"]
    page.turn("model", "llama-4")
    assert (page.knob("temperature")["fault"], page.knob("temperature")["high"]) == ("", 2)


def test_what_is_set_is_kept_as_a_preset_and_taken_again(notebook: Notebook) -> None:
    page = Page(notebook)
    page.turn("temperature", "0")
    page.turn("system", "Be brief.")
    assert "has a name" in page.ask("keep", name="a,b")
    assert page.ask("keep", name="terse") == ""
    assert page.panel.presets == ["terse"]
    notebook.run("%glm_config --reset")
    assert page.ask("preset", name="terse") == ""
    body = notebook.sent("%glm hi").body
    assert (body["temperature"], body["messages"][0]["content"]) == (0, "Be brief.")


def test_the_output_is_a_table_that_follows_the_knobs(notebook: Notebook) -> None:
    page = Page(notebook)
    (output,) = notebook.page.outputs.values()
    assert set(output) == {"text/html", "text/plain"}
    page.turn("temperature", "0.7")
    page.ask("settle")
    (output,) = notebook.page.outputs.values()
    assert "0.7" in output["text/html"]
    assert "<table>" in output["text/html"]


def test_a_key_that_is_typed_is_in_no_trait(notebook: Notebook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "keyring", None)
    page = Page(notebook)
    assert "No key was typed" in page.ask("login", key=" ")
    assert page.ask("login", key="0123456789abcdef.canary-canary") == ""
    assert notebook.sent("%glm hi").headers["authorization"] == "Bearer 0123456789abcdef.canary-canary"
    assert "…nary from this kernel only" in page.panel.status
    assert "canary" not in str(page.panel.get_state()) + str(page.replies)


def test_without_anybody_before_the_page_there_is_no_widget(notebook: Notebook) -> None:
    notebook.run("%glm_config --panel")
    (output,) = notebook.page.outputs.values()
    assert "glm-over" not in output["text/html"]
    assert not ipywidgets.widgets.widget._instances


def test_the_panel_says_what_this_kernel_has_spent(notebook: Notebook) -> None:
    page = Page(notebook)
    assert page.panel.spent == ""
    notebook.run("%glm hi", "a")
    assert page.panel.spent.startswith("This kernel: 1 request, ")
