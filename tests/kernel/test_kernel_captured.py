"""Where an output cannot be updated, the whole answer is put at the end, once."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from glm_server import GlmServer, stream

# jupyter_client and nbclient leave sockets and loops to the garbage collector
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),
]

WORDS = [f"word{number} " for number in range(200)]
TEXT = "".join(WORDS)
WIDGETS = "import ipywidgets as W\nfrom IPython.display import display\nout = W.Output()\nshell = get_ipython()"
Execute = Callable[..., Any]


def answers(outputs: list[dict[str, Any]]) -> list[str]:
    """The texts of the answers in outputs, and no line about one that says that it is under way."""
    assert "asking" not in json.dumps(outputs)
    return [output["data"]["text/markdown"] for output in outputs if "text/markdown" in output.get("data", {})]


def in_widgets(notebook: Any) -> list[dict[str, Any]]:
    """The outputs that are in Output widgets."""
    states = notebook.metadata["widgets"]["application/vnd.jupyter.widget-state+json"]["state"].values()
    return [output for state in states for output in state["state"].get("outputs", ())]


@pytest.mark.parametrize(
    "source",
    [
        "display(out)\nwith out:\n    %glm hi",
        "@out.capture()\ndef ask():\n    %glm hi\ndisplay(out)\nask()",
        "W.interact(lambda n: shell.run_line_magic('glm', f'hi {n}') and None, n=W.IntSlider(1));",
        "press = W.Button()\n@press.on_click\ndef ask(_):\n    with out:\n        %glm hi\ndisplay(out)\npress.click()",
    ],
    ids=["with", "capture", "interact", "button"],
)
def test_an_output_widget_gets_the_whole_answer_once(execute: Execute, server: GlmServer, source: str) -> None:
    server.answer(stream(*WORDS))
    notebook = execute(WIDGETS, source)
    assert answers(in_widgets(notebook)) == [TEXT]
    assert answers(notebook.cells[-1].outputs) == []


def test_what_comes_after_an_output_widget_is_updated_as_ever(execute: Execute, server: GlmServer) -> None:
    server.answer(stream(*WORDS), stream("Again."))
    notebook = execute(WIDGETS, "display(out)\nwith out:\n    %glm hi\n%glm again")
    assert answers(in_widgets(notebook)) == [TEXT]
    assert answers(notebook.cells[-1].outputs) == ["Again."]


def test_what_is_captured_is_shown_once(execute: Execute, server: GlmServer) -> None:
    server.answer(stream(*WORDS))
    notebook = execute("%%capture cap\n%glm hi", "cap.show()")
    assert answers(notebook.cells[-1].outputs) == [TEXT]
    assert not notebook.cells[-2].outputs


def test_an_answer_that_breaks_off_in_an_output_widget_is_shown_as_far_as_it_came(
    execute: Execute, server: GlmServer
) -> None:
    server.answer(stream(*WORDS[:5], finish_reason=None))
    notebook = execute(WIDGETS, "display(out)\nwith out:\n    %glm hi")
    shown = in_widgets(notebook)
    assert answers(shown) == ["".join(WORDS[:5])]
    assert [output["ename"] for output in shown if output["output_type"] == "error"] == ["BrokenStream"]
