from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
from glm_server import Answer, GlmServer, chunk, data, error, stream
from jupyter_client import launcher
from jupyter_client.provisioning import local_provisioner
from nbconvert import HTMLExporter, MarkdownExporter
from real_kernel import Kernel
from waiting import comes_true

from glm_magic.notebook.bundle import MIME_TYPE

# jupyter_client and nbclient leave sockets and loops to the garbage collector
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),
]


def errors(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [message["content"] for message in messages if message["msg_type"] == "error"]


def shown(messages: list[dict[str, Any]]) -> str:
    """Everything that was put on the page, the latest state of each output."""
    outputs: dict[str, Any] = {}
    for message in messages:
        content = message["content"]
        if message["msg_type"] in ("display_data", "update_display_data"):
            outputs[content["transient"].get("display_id", str(len(outputs)))] = content["data"]
    return json.dumps(list(outputs.values()), ensure_ascii=False)


def test_the_answer_arrives_in_more_than_one_step(kernel: Kernel, server: GlmServer) -> None:
    gate = threading.Event()
    server.answer(stream("The first part", gate, " and the second."))
    tails: list[str] = []

    def seen(message: dict[str, Any]) -> None:
        text = message["content"].get("data", {}).get("text/markdown", "")
        if text and text not in tails:
            tails.append(text)
            gate.set()  # the second part is let go only when the first is on the page

    assert kernel.run("%%glm\nhi", "a", seen=seen)[0] == "ok"
    assert tails == ["The first part", "The first part and the second."]


def test_an_interrupt_in_mid_answer_keeps_the_text_and_the_next_cell_works(kernel: Kernel, server: GlmServer) -> None:
    server.answer(stream("half an answer", threading.Event()))

    interrupted: list[bool] = []

    def seen(message: dict[str, Any]) -> None:
        if "half" in message["content"].get("data", {}).get("text/markdown", "") and not interrupted:
            interrupted.append(True)
            kernel.manager.interrupt_kernel()  # twice at once, as an impatient person does
            kernel.manager.interrupt_kernel()

    status, messages = kernel.run("%%glm\nhi", "a", seen=seen)
    assert status == "error"
    assert errors(messages)[0]["ename"] == "Interrupted"
    assert len(errors(messages)[0]["traceback"]) <= 3
    assert "half an answer" in shown(messages)
    assert server.hung_up.wait(60)
    assert kernel.run("%%glm\ngo on", "b")[0] == "ok"
    assert server.last.messages == [("user", "hi"), ("assistant", "half an answer"), ("user", "go on")]


def test_an_interrupt_before_the_first_token_keeps_nothing(kernel: Kernel, server: GlmServer) -> None:
    server.answer(Answer([threading.Event()]))

    def interrupt_when_it_is_asked() -> None:
        if comes_true(lambda: len(server.requests) == 1):
            kernel.manager.interrupt_kernel()

    interrupting = threading.Thread(target=interrupt_when_it_is_asked)
    interrupting.start()
    status, messages = kernel.run("%%glm\nhi", "a")
    interrupting.join()
    assert status == "error"
    assert "nothing is kept" in errors(messages)[0]["evalue"]
    assert kernel.run("%%glm\nnext", "b")[0] == "ok"
    assert server.last.messages == [("user", "next")]


def test_cell_ids_of_the_front_end_make_a_rerun_replace_its_turn(kernel: Kernel, server: GlmServer) -> None:
    kernel.run("%%glm\none", "a")
    kernel.run("%%glm\nuno", "a")
    kernel.run("%%glm\ntwo", "b")
    assert [text for role, text in server.last.messages if role == "user"] == ["uno", "two"]


def test_errors_are_error_outputs_in_the_saved_file(execute: Callable[..., Any], server: GlmServer) -> None:
    server.answer(
        error(401, {"error": {"code": "401", "message": "token expired or incorrect"}}),
        Answer([chunk("half"), data("[DONE]")]),
    )
    notebook = execute("%%glm --temprature 1\nhi", "%%glm\nhi", "%%glm\nhi", "%%glm\n", "%%glm\nfine")
    names = [[o.ename for o in cell.outputs if o.output_type == "error"] for cell in notebook.cells[1:]]
    assert names == [["OptionError"], ["AuthenticationError"], ["BrokenStream"], ["PromptError"], []]
    assert server.last.messages == [("user", "fine")]


def test_the_saved_notebook_shows_the_answer_without_a_kernel(execute: Callable[..., Any], server: GlmServer) -> None:
    server.answer(stream("# Head\n\n", "- item\n\n", "```python\nx < y\n```\n", "\nend $x<y$"))
    notebook = execute("%%glm\nhi")
    data = [output["data"] for output in notebook.cells[1].outputs]
    assert [sorted(d) for d in data] == [
        [MIME_TYPE, "text/html", "text/plain"],
        ["text/markdown", "text/plain"],
    ]
    html, _ = HTMLExporter().from_notebook_node(notebook)
    assert all(part in html for part in ("<h1", "Head", "<li>item</li>", "7 in, 5 out", "end"))
    markdown, _ = MarkdownExporter().from_notebook_node(notebook)
    assert "# Head" in markdown
    nbformat.validate(notebook)


def test_a_notebook_that_is_executed_without_a_page_holds_no_widget(
    execute: Callable[..., Any], server: GlmServer
) -> None:
    server.answer(stream("a ", "b"))
    at_once = "from glm_magic.display.page import line\nline.LIVE_AFTER_SECONDS = 0"  # where there is a page
    notebook = execute(at_once, "%%glm\nhi")
    assert "widgets" not in notebook.metadata
    assert notebook.cells[1].outputs == []
    assert notebook.cells[2].outputs
    assert not any("widget" in mime for output in notebook.cells[2].outputs for mime in output["data"])


def test_a_long_answer_is_frozen_in_segments_and_no_character_is_lost(
    execute: Callable[..., Any], server: GlmServer
) -> None:
    blocks = [f"Paragraph {number}: " + "word " * 60 + "\n\n" for number in range(120)]
    server.answer(stream(*blocks))
    notebook = execute("%%glm\nhi")
    segments = [output["data"]["text/markdown"] for output in notebook.cells[1].outputs[1:]]
    assert 5 < len(segments) < 40
    assert "\n\n".join(segments).split() == "".join(blocks).split()


def test_a_cell_of_a_template_and_a_variable_works_as_in_the_readme(
    execute: Callable[..., Any], server: GlmServer
) -> None:
    notebook = execute(
        "text = '서울'", "%%glm -t 0.2 answer <<\nSummarise {{ text }}.", "print(answer.usage)", "answer"
    )
    assert server.last.body["temperature"] == 0.2
    assert server.last.messages == [("user", "Summarise 서울.")]
    assert "total_tokens=12" in notebook.cells[3].outputs[0].text
    assert notebook.cells[4].outputs[0].data["text/markdown"] == "You said: Summarise 서울."


def test_capture_takes_the_answer(execute: Callable[..., Any]) -> None:
    notebook = execute("%%capture taken\n%glm hi", "print(len(taken.outputs) > 0, _glm.text)")
    assert notebook.cells[1].outputs == []
    assert notebook.cells[2].outputs[0].text == "True You said: hi\n"


def test_the_panel_is_a_table_where_nobody_is_before_the_page(execute: Callable[..., Any]) -> None:
    notebook = execute("%glm_config")
    assert set(notebook.cells[1].outputs[0].data) == {"text/html", "text/plain"}
    assert "widgets" not in notebook.metadata


def test_loading_imports_nothing_heavy(
    execute_in_new_kernel: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    # a process of its own, and no fork of one that has imported some of it
    monkeypatch.setattr(local_provisioner, "launch_kernel", launcher.launch_kernel)
    heavy = "{'httpx', 'anywidget', 'pydantic', 'rich', 'nbformat', 'markdown_it', 'ipywidgets', 'keyring'}"
    notebook = execute_in_new_kernel(f"import sys; print(sorted({heavy} & set(sys.modules)))")
    assert notebook.cells[1].outputs[0].text == "[]\n"


def test_a_restored_conversation_goes_on_in_a_new_kernel(
    execute: Callable[..., Any], execute_in_new_kernel: Callable[..., Any], server: GlmServer, tmp_path: Path
) -> None:
    path = tmp_path / "first.ipynb"
    nbformat.write(execute("%%glm\none", "%%glm\ntwo"), path)
    written = path.read_bytes()
    execute_in_new_kernel(f"%glm_history --restore {path}", "%%glm\nthree")
    assert [text for role, text in server.last.messages if role == "user"] == ["one", "two", "three"]
    assert path.read_bytes() == written
