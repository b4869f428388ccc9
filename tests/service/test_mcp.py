"""Tools of MCP servers: one of others over stdio, one over HTTP, and one that misbehaves."""

from __future__ import annotations

import gc
import json
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from mcp_server import COMMAND
from waiting import comes_true

from glm_magic import MCP
from glm_magic.errors import OptionError, SetupError
from glm_magic.service import mcp
from glm_magic.tools.run import run
from glm_magic.tools.tool import Outcome, Tool, ToolArgumentsError, arguments


def called(tool: Tool, **given: object) -> Outcome:
    return run(tool, arguments(tool, json.dumps(given)))


@pytest.fixture(scope="module")
def small() -> Iterator[MCP]:
    server = MCP(COMMAND, env={"TOLD": "yes"})
    yield server
    server.close()


# --- servers that nobody here wrote -------------------------------------------------------------


def test_a_server_from_the_index_is_started_and_its_tools_are_called():
    clock = MCP("python -m mcp_server_time")
    assert list(clock.tools) == ["get_current_time", "convert_time"]
    function = clock.get_current_time.api["function"]
    assert function["parameters"]["required"] == ["timezone"]
    assert "current time" in function["description"]
    assert json.loads(called(clock.get_current_time, timezone="Etc/UTC").text)["timezone"] == "Etc/UTC"
    assert called(clock.get_current_time, timezone="Nowhere").failed
    clock.close()
    with pytest.raises(SetupError, match="is closed"):
        _ = clock.tools


def test_a_server_over_http_is_joined_and_gets_the_headers():
    script = Path(__file__).parent.parent / "mcp_http_server.py"
    command = [sys.executable, str(script)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            port = process.stdout.readline().strip()
            adder = MCP(f"http://127.0.0.1:{port}/mcp?key=hidden", headers={"x-token": "hidden"})
            assert "hidden" not in repr(adder)
            assert called(adder.add, a=1, b=2).text == "3"
            assert called(adder.seen).text == "hidden"
            process.kill()
            process.wait()
            assert called(adder.add, a=1, b=2).failed
        finally:
            process.kill()
    adder.close()


# --- what is offered ----------------------------------------------------------------------------


def test_names_are_made_fit_for_the_service(small: MCP):
    names = list(small.tools)
    assert "files_read_file" in names
    assert names[-1] == "x" * 64
    assert arguments(small.tools["x" * 64], "{}").kwargs == {}  # its schema is wrong, so the server checks
    assert called(small.files_read_file, text="a").text == "a"


def test_schemas_pass_through_and_a_missing_description_is_made(small: MCP):
    function = small.echo.api["function"]
    assert function["description"] == "echo(text)"
    assert function["parameters"] == {
        "type": "object",
        "properties": {"text": {"type": "string"}},
        "required": ["text"],
    }


def test_a_tool_that_is_not_there_is_an_error_with_the_one_that_was_meant(small: MCP):
    with pytest.raises(AttributeError, match=r"no tool ecko\. Did you mean echo"):
        _ = small.ecko
    assert not hasattr(small, "columns")
    assert {"echo", "close"} <= set(dir(small))


def test_a_server_stays_in_its_process(small: MCP):
    for value in (small, small.echo):
        with pytest.raises(TypeError, match="not pickled"):
            pickle.dumps(value)


def test_wrong_arguments_do_not_reach_the_server(small: MCP):
    for written, fault in (('{"text": 7}', "not of type 'string'"), ("[]", "not a JSON object"), ("{", "not JSON")):
        with pytest.raises(ToolArgumentsError, match=fault):
            arguments(small.echo, written)


# --- results ------------------------------------------------------------------------------------


def test_results_are_text_json_and_the_names_of_images(small: MCP):
    assert called(small.echo, text="a\nb") == Outcome("a\nb")
    assert called(small.data) == Outcome('{"degrees": 21}')
    assert called(small.image).text == "Here:\n[an image, which is not sent: image/png, 5 bytes]"
    assert called(small.fail) == Outcome("MCPError: no such file", failed=True)


def test_a_flood_is_cut_and_nothing_of_it_reaches_the_page(small: MCP, capfd: pytest.CaptureFixture[str]):
    text = called(small.flood).text
    assert text.endswith("[cut: these are the first 50,000 of 1,000,000 characters]")
    assert called(small.echo, text="on it goes").text == "on it goes"
    assert capfd.readouterr() == ("", "")


def test_a_server_gets_no_key_and_what_it_is_told(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GLM_API_KEY", "0123456789abcdef.secret")
    monkeypatch.setenv("OTHER_TOKEN", "0123456789")
    server = MCP(COMMAND, env={"TOLD": "yes"})
    seen = json.loads(called(server.environment).text)
    assert seen["TOLD"] == "yes"
    assert {"GLM_API_KEY", "OTHER_TOKEN"}.isdisjoint(seen)
    server.close()


# --- faults -------------------------------------------------------------------------------------


def test_a_server_that_dies_fails_the_call_and_says_so_when_it_is_offered_again():
    server = MCP(COMMAND)
    echo, die = server.echo, server.die
    outcome = called(die)
    assert outcome.failed
    assert "has ended" in outcome.text
    assert "out of memory" in outcome.text
    assert called(echo, text="a").failed
    with pytest.raises(SetupError, match="has ended; it said: out of memory") as caught:
        _ = server.tools
    assert "Run the cell" in caught.value.remedy
    with pytest.raises(AttributeError, match="has ended"):
        _ = server.echo


def test_a_call_without_an_answer_fails_in_time_and_the_server_stays():
    server = MCP(COMMAND)
    server._connection._timeout = 0.2
    for tool in (server.silence, server.nonsense):
        assert called(tool) == Outcome("MCPError: the MCP server did not answer in 0.2 s", failed=True)
    server._connection._timeout = 60
    assert called(server.echo, text="a").text == "a"
    server.close()


@pytest.mark.skipif(os.name == "nt", reason="the signal comes from the process itself")
def test_an_interrupt_ends_a_call_and_leaves_the_server(small: MCP):
    timer = threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT))

    def call() -> None:
        timer.start()
        called(small.silence)

    with pytest.raises(KeyboardInterrupt):
        call()
    timer.join()
    assert called(small.echo, text="a").text == "a"


@pytest.mark.parametrize(
    ("server", "says"),
    [
        ("no_such_command_here", "no_such_command_here cannot be used: FileNotFoundError"),
        ("python -c 'raise SystemExit(\"no good\")'", "it said: no good"),
        ("python -c 'print(7)'", "cannot be used"),
        ("http://127.0.0.1:9/mcp", "cannot be used: Connect"),
    ],
)
def test_a_server_that_cannot_be_used_is_an_error(server: str, says: str):
    with pytest.raises(SetupError, match=says):
        MCP(server)


def test_the_last_words_of_a_server_may_be_read_late(monkeypatch: pytest.MonkeyPatch):
    run = threading.Thread.run

    def late(thread: threading.Thread) -> None:
        if thread.name == "glm_magic MCP errors":
            time.sleep(3 * mcp._GLANCE_SECONDS)  # the end of a server that was up is not waited for so long
        run(thread)

    monkeypatch.setattr(mcp, "_LAST_WORDS_SECONDS", 60)  # a slow machine is no failure
    monkeypatch.setattr(threading.Thread, "run", late)
    with pytest.raises(SetupError, match="it said: no good"):
        MCP("python -c 'raise SystemExit(\"no good\")'")


def test_a_server_that_never_answers_is_an_error():
    with pytest.raises(SetupError, match=r"did not answer in 0\.5 s") as caught:
        MCP(f"{COMMAND} --mute", timeout=0.5)
    assert "timeout=" in caught.value.remedy


@pytest.mark.parametrize(
    ("server", "options", "says"),
    [
        ("", {}, "a command or a URL"),
        (7, {}, "a command or a URL"),
        ("'a", {}, "No closing quotation"),
        ("python -m x", {"timeout": 0}, "timeout takes"),
        ("python -m x", {"headers": {}}, "headers are for"),
        ("http://h.example/mcp", {"env": {}}, "env is for"),
    ],
)
def test_what_is_no_server_is_refused(server: object, options: dict, says: str):
    with pytest.raises(OptionError, match=says):
        MCP(server, **options)


def test_without_the_package_the_error_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "mcp", None)
    with pytest.raises(SetupError, match=r"glm_magic\[mcp\]"):
        MCP(COMMAND)


# --- its end ------------------------------------------------------------------------------------


def is_gone(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.skipif(os.name == "nt", reason="it asks for a process by a signal")
@pytest.mark.parametrize("last", ["", "os.kill(os.getpid(), 9)"])
def test_it_ends_with_its_process(last: str):
    code = f"""
import os
from glm_magic import MCP
from glm_magic.tools.run import run
from glm_magic.tools.tool import arguments
server = MCP({COMMAND!r})
print(run(server.process, arguments(server.process, "")).text, flush=True)
{last}
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert comes_true(lambda: is_gone(int(done.stdout)))


@pytest.mark.skipif(os.name == "nt", reason="it asks for a process by a signal")
def test_it_ends_when_nothing_refers_to_it():
    server = MCP(COMMAND)
    process = int(called(server.process).text)
    assert not is_gone(process)
    del server
    gc.collect()
    assert comes_true(lambda: is_gone(process))
