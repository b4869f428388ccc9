"""Pictures in a prompt, the way a notebook has them."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from glm_server import stream
from ipython_shell import Notebook

from glm_magic.errors import PromptError
from glm_magic.notebook.bundle import MIME_TYPE

FIGURE = """
import matplotlib
matplotlib.use("agg")
from matplotlib.figure import Figure
figure = Figure(figsize=(2, 1), dpi=50)
figure.subplots().plot([1, 2, 3])
"""


def picture(part: dict[str, Any]) -> bytes:
    head, _, code = part["image_url"]["url"].partition(",")
    assert head == "data:image/png;base64"
    return base64.b64decode(code)


@pytest.fixture
def drawn(notebook: Notebook) -> Notebook:
    notebook.run(FIGURE)
    return notebook


def test_a_figure_is_a_part_of_the_prompt_where_it_stands(drawn: Notebook) -> None:
    sent = drawn.sent("%%glm -m glm-4.6v\nWhat is this? {{ figure }} In one word.", "a").body["messages"]
    before, image, after = sent[0]["content"]
    assert (before["text"], after["text"]) == ("What is this? ", " In one word.")
    assert picture(image).startswith(b"\x89PNG")
    (turn,) = drawn.page.saved(MIME_TYPE)
    assert turn["messages"][0]["content"] == sent[0]["content"]


def test_a_later_cell_sends_the_picture_again(drawn: Notebook) -> None:
    drawn.server.answer(stream("A line."))
    drawn.run("%%glm -m glm-4.6v\n{{ figure }}", "a")
    messages = drawn.sent("%%glm -m glm-4.6v\nWhich colour?", "b").body["messages"]
    assert messages[0]["content"][0]["type"] == "image_url"
    assert drawn.sent("%%glm -m GLM-4-Air\nAnd now?", "c").messages[0] == ("user", "[image 100×50 png]")


@pytest.mark.parametrize("model", ["GLM-4-Plus", "GLM-4-Air", "glm-4-flash", "GLM-4-Long"])
def test_models_that_read_text_only_are_refused_before_anything_is_sent(drawn: Notebook, model: str) -> None:
    with pytest.raises(PromptError, match="text"):
        drawn.run(f"%%glm -m {model}\n{{{{ figure }}}}", "a")
    assert drawn.server.requests == []


def test_a_file_is_a_picture_and_other_values_are_text(drawn: Notebook, tmp_path: Path) -> None:
    drawn.run(f"from pathlib import Path\npath = Path({str(tmp_path / 'a.png')!r})\nfigure.savefig(path)")
    (image,) = drawn.sent("%%glm -m glm-4.6v\n{{ path }}", "a").body["messages"][0]["content"]
    assert picture(image) == (tmp_path / "a.png").read_bytes()
    assert drawn.sent("%%glm -m glm-4.6v --new\n{{ str(path) }}", "b").messages == [("user", str(tmp_path / "a.png"))]


def test_the_dry_run_shortens_what_is_long_and_says_so(drawn: Notebook) -> None:
    drawn.run("%%glm -m glm-4.6v -N\nLook: {{ figure }}", "a")
    assert "data:image/png;base64," in drawn.page.text
    assert len(drawn.page.text) < 1500
    assert drawn.server.requests == []


def test_a_picture_belongs_into_the_prompt_alone(drawn: Notebook) -> None:
    with pytest.raises(PromptError, match="prompt"):
        drawn.run("%%glm -m glm-4.6v -s {{ figure }}\nhi", "a")
    assert drawn.server.requests == []


def test_an_unchanged_figure_is_answered_from_the_record(drawn: Notebook, tmp_path: Path) -> None:
    drawn.run(f"%glm_config record={tmp_path / 'a.jsonl'}")
    drawn.run("%%glm -m glm-4.6v\n{{ figure }}", "a")
    asked = len(drawn.server.requests)
    drawn.restart()
    drawn.run(FIGURE)
    drawn.run(f"%glm_config replay={tmp_path / 'a.jsonl'}")
    assert drawn.run("%%glm -m glm-4.6v\n{{ figure }}", "a").replayed
    assert len(drawn.server.requests) == asked
    drawn.run("figure.axes[0].plot([3, 2, 1])")
    drawn.run("%%glm -m glm-4.6v\n{{ figure }}", "a")
    assert len(drawn.server.requests) == asked + 1


def test_the_history_and_what_is_shown_name_the_picture(drawn: Notebook) -> None:
    drawn.server.answer(stream("A line."))
    drawn.run("%%glm -m glm-4.6v\nWhat? {{ figure }}", "a")
    drawn.run("%glm_history", "b")
    assert "[image 100×50 png]" in drawn.page.text
    drawn.run("%glm_history --show 1", "b")
    assert "What? [image 100×50 png]" in drawn.page.text
    assert "base64" not in json.dumps(list(drawn.page.outputs.values()))


def test_an_image_of_an_earlier_turn_is_left_out_for_a_model_that_reads_text_only(drawn: Notebook) -> None:
    drawn.server.answer(stream("A line."))
    drawn.run("%%glm -m glm-4.6v\nWhat? {{ figure }}", "a")
    sent = drawn.sent("%%glm\nAnd in a word?", "b")
    assert sent.messages == [("user", "What? [image 100×50 png]"), ("assistant", "A line."), ("user", "And in a word?")]
    assert "images of earlier turns left out: the model reads text only" in drawn.page.text
    sent = drawn.sent("%%glm -m glm-4.6v\nAnd in a word?", "b")
    assert picture(sent.body["messages"][0]["content"][1])
    assert "left out" not in drawn.page.text
