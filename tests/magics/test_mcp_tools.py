"""The tools of an MCP server in a cell: offered with -T, agreed to, called, and not called again by a replay."""

from __future__ import annotations

from pathlib import Path

import pytest
from glm_server import calls, stream
from ipython_shell import Notebook
from mcp_server import COMMAND

from glm_magic import Chat
from glm_magic.errors import OptionError
from glm_magic.service.mcp import MCP


@pytest.fixture
def served(notebook: Notebook):
    notebook.run(f"from glm_magic import MCP\nfiles = MCP({COMMAND!r})")
    yield notebook
    notebook.shell.user_ns["files"].close()


def offered(notebook: Notebook) -> list[str]:
    return [tool["function"]["name"] for tool in notebook.server.requests[0].body["tools"]]


def test_all_tools_are_offered_and_called(served: Notebook) -> None:
    served.server.answer(calls(("echo", {"text": "hello"})), stream("It said hello."))
    reply = served.run("%%glm -T files\nhi", "a")
    assert {"echo", "files_read_file"} <= set(offered(served))
    assert served.server.last.body["messages"][-1]["content"] == "hello"
    assert str(reply) == "It said hello."


def test_one_tool_is_offered_and_any_other_is_an_error(served: Notebook) -> None:
    served.server.answer(stream("hi"))
    served.run("%%glm -T files.echo\nhi", "a")
    assert offered(served) == ["echo"]
    with pytest.raises(OptionError, match=r"--tool files.ecko: it has no tool ecko. Did you mean echo"):
        served.run("%%glm -T files.ecko\nhi", "b")


def test_a_call_that_is_not_allowed_does_not_reach_the_server(
    served: Notebook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("builtins.input", lambda prompt: "n")
    served.server.answer(calls(("echo", {"text": "a"})), stream("no"), calls(("count", {})), stream("none"))
    served.run("%%glm -T files --approve\nhi", "a")
    assert "did not allow" in served.server.last.body["messages"][-1]["content"]
    served.run("%%glm -T files\nhow many?", "b")
    assert served.server.last.body["messages"][-1]["content"] == "0"


def test_a_replay_calls_nothing(served: Notebook, tmp_path: Path) -> None:
    record = tmp_path / "record.jsonl"
    served.run(f"%glm_config record={record}")
    served.server.answer(calls(("echo", {"text": "a"})), stream("done"), calls(("count", {})), stream("one"))
    served.run("%%glm -H -T files\nhi", "a")
    served.restart()
    served.run(f"%glm_config replay={record}")
    assert str(served.run("%%glm -H -T files\nhi", "a")) == "done"
    assert len(served.server.requests) == 2
    served.run("%%glm -H -T files --no-replay\nhow many?", "b")
    assert served.server.last.body["messages"][-1]["content"] == "1"


def test_a_chat_takes_a_server_and_one_tool_of_it(served: Notebook) -> None:
    files: MCP = served.shell.user_ns["files"]
    served.server.answer(calls(("echo", {"text": "a"})), stream("x"), stream("y"))
    with Chat(tools=files, base_url=served.server.url) as chat:
        assert str(chat("hi")) == "x"
        chat("hi", tools=[files.echo])
    assert [tool["function"]["name"] for tool in served.server.last.body["tools"]] == ["echo"]
