"""IPython on a real terminal, asked by keys, against the scripted server."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from emulator import Shell
from glm_server import Answer, GlmServer, chunk, data, error, stream

OpenShell = Callable[..., Shell]
SCREEN = "glm_magic.display.terminal.screen"  # what imports rich; httpx does so as well, for its command line


def test_an_answer_longer_than_the_screen_is_rendered_while_it_comes_and_is_there_once(
    open_shell: OpenShell, server: GlmServer
) -> None:
    gate = threading.Event()
    words = [f"word{number:03}" for number in range(60)]
    server.answer(
        stream("## Head\n\nSome **bold** text.\n\nand", gate, " more\n\n", *(f"- {word}\n" for word in words))
    )
    shell = open_shell()
    shell.type("%glm hi\n")
    assert shell.shows("Some bold text.")
    gate.set()
    shell.wait_for_prompt()
    assert re.findall(r"word\d+", shell.text) == words
    assert [line for line in shell.lines if "Some bold text." in line or "and more" in line] == [
        "Some bold text.",
        "and more",
    ]
    assert "[GLM-4-Air · 7 in, 5 out" in shell.text
    assert "\x1b[?25l" not in shell.raw, "the cursor is never hidden"


def test_ctrl_c_in_mid_answer_keeps_what_came_once_and_the_next_cell_works(
    open_shell: OpenShell, server: GlmServer
) -> None:
    server.answer(stream("A first block.\n\nHalf a sen", threading.Event()))
    shell = open_shell()
    shell.type("%glm hi\n")
    assert shell.shows("Half a sen")
    shell.type("\x03")
    shell.wait_for_prompt()
    assert shell.text.count("A first block.") == shell.text.count("Half a sen") == 1
    assert "interrupted" in shell.text
    assert "Interrupted: Stopped. What had arrived is kept." in shell.text
    shell.run("%glm go on")
    assert "You said: go on" in shell.text
    assert server.last.messages == [("user", "hi"), ("assistant", "A first block.\n\nHalf a sen"), ("user", "go on")]


def test_ctrl_c_before_anything_came_leaves_no_draft(open_shell: OpenShell, server: GlmServer) -> None:
    server.answer(Answer([threading.Event()]))
    shell = open_shell()
    shell.type("%glm hi\n")
    assert shell.shows("asking …")
    shell.type("\x03")
    shell.wait_for_prompt()
    assert "asking" not in shell.text
    assert "nothing is kept" in shell.text


def test_errors_and_names_of_a_service_do_not_act_on_the_terminal(open_shell: OpenShell, server: GlmServer) -> None:
    evil = "\x1b]0;owned\x07\x1b[2J\x9b2J\x1b]52;c;eA==\x07\rover\u202e"
    server.answer(
        error(400, {"error": {"code": f"1214{evil}", "message": f"field {evil}"}}),
        stream("half ", model=f"GLM{evil}"),
        Answer([chunk("Before the break."), data({"error": {"code": "500", "message": evil}})]),
    )
    shell = open_shell()
    for _ in range(3):
        shell.run("%glm hi")
    assert shell.text.count("Before the break.") == 1
    assert not [
        part for part in ("\x1b]0;owned", "\x1b]52", "\x1b[2J", "\x9b", "\rover", "\u202e") if part in shell.raw
    ]


def test_a_cell_sends_what_it_would_send_from_a_notebook_and_has_no_empty_out(
    open_shell: OpenShell, server: GlmServer
) -> None:
    shell = open_shell()
    shell.type("%%glm\nhi\n\n  there\n\n\n")
    shell.wait_for_prompt()
    assert server.last.messages == [("user", "hi\n\n  there")]
    shell.run("%glm again")
    assert "Out[" not in shell.text
    shell.run("_.text, Out[2].text, 1 + 1")
    assert "'You said: again', 'You said: hi" in shell.text
    shell.run("%unload_ext glm_magic")
    shell.run("6 * 7")
    assert "42" in shell.text


def test_the_tables_fit_into_the_terminal(open_shell: OpenShell) -> None:
    shell = open_shell(columns=80, rows=70)
    shell.run("%glm_config --table")
    wide = [line for line in shell.lines if line.startswith(("model ", "max_tokens ", "replay "))]
    assert [line.split()[0] for line in wide] == ["model", "max_tokens", "replay"]
    assert all(line.startswith(" ") for line in shell.lines if "the embedded model" in line and "asks" not in line)


def test_rich_is_loaded_by_the_first_answer_and_not_before(open_shell: OpenShell) -> None:
    shell = open_shell()
    shell.run("import sys; print('rich was', 'rich' in sys.modules)")
    shell.run("%glm hi")
    shell.run(f"print('screen is', '{SCREEN}' in sys.modules)")
    assert "rich was False" in shell.text
    assert "screen is True" in shell.text


def test_no_control_sequence_is_written_into_a_pipe(server: GlmServer, tmp_path: Path) -> None:
    server.answer(stream("# Head\n\n", "**bold** \x1b[2J"))
    script = tmp_path / "asks.ipy"
    script.write_text(f"%load_ext glm_magic\n%glm hi\nimport sys\nprint('{SCREEN}' in sys.modules)\n", encoding="utf-8")
    words = [sys.executable, "-m", "IPython", "--no-banner", "--HistoryManager.enabled=False", str(script)]
    environment = {**os.environ, "GLM_BASE_URL": server.url, "TERM": "xterm-256color", "FORCE_COLOR": "1"}
    done = subprocess.run(words, env=environment, capture_output=True, check=True, timeout=120)
    text = done.stdout.decode()
    assert "\x1b" not in text
    assert text.startswith("# Head\n\n**bold**  [2J\n[GLM-4-Air")
    assert text.endswith("False\n")


@pytest.mark.parametrize("environment", [{"TERM": "dumb"}, {"NO_COLOR": "1"}])
def test_a_poor_terminal_gets_what_it_can_show(
    open_shell: OpenShell, server: GlmServer, environment: dict[str, str]
) -> None:
    server.answer(stream("# Head\n\n", "`code`"))
    shell = open_shell(**environment)
    before = len(shell.raw)
    shell.run("%glm hi")
    codes = re.findall(r"\x1b\[([\d;]*)([A-Za-z])", shell.raw[before:].partition("[GLM-4-Air")[0])
    if "TERM" in environment:
        assert codes == []
    assert not [code for code, letter in codes if letter == "m" for part in code.split(";") if int(part or 0) >= 30]
