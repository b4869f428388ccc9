from __future__ import annotations

import json
import subprocess
import sys
import threading
from typing import Any

import pytest
from glm_server import Answer, GlmServer, chunk, data, error, stream, whole
from IPython.core.interactiveshell import InteractiveShell
from ipython_shell import Notebook, close, interrupt_painting, new_shell
from traitlets.config import Config

from glm_magic.chat.events import Tick
from glm_magic.errors import (
    AuthenticationError,
    BrokenStream,
    ConnectionFailed,
    GlmError,
    Interrupted,
    ModelUnknown,
    OptionError,
    PromptError,
    SettingError,
    SetupError,
    Withdrawn,
)
from glm_magic.notebook.bundle import MIME_TYPE

# --- what is sent --------------------------------------------------------------------------------

VERBATIM = [
    ">>> print(1)\n... 2",
    "In [1]: x\nOut[1]: 2",
    "    indented\n\tmore\n  less",
    '{"a": 1} and {b}',
    "$x ${y} {x} %x",
    r"\frac{a}{b} \n C:\new",
    "What's up?",
    "!ls\n%time x\n?help",
    "{% if %} {# no #} { {",
    "trailing spaces  \n\n  and lines\n\n",
    "北京 서울 🏙\u2028\u0085 x",
    "'''\n\"\"\"\nopen (",
]


@pytest.mark.parametrize("prompt", VERBATIM)
def test_the_cell_goes_out_exactly_as_typed(notebook: Notebook, prompt: str) -> None:
    assert notebook.sent(f"%%glm\n{prompt}").messages == [("user", prompt)]


# Python's splitlines() ends a line at each of them; a person's line ends at \\n, \\r\\n and \\r alone.
NO_LINE_ENDS = ["\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029"]


@pytest.mark.parametrize("character", NO_LINE_ENDS)
def test_a_line_ends_only_where_a_person_ends_it(notebook: Notebook, character: str) -> None:
    text = f"first{character}second"
    assert notebook.sent(f"%glm {text}").messages == [("user", text)]
    notebook.sent(f"if True:\n    r = %glm --no-history -s '{text}' {text}\nx = 1")
    assert notebook.server.last.messages == [("system", text), ("user", text)]
    notebook.sent(f"%%glm --no-history -s '{text}'\n{text}\nthird")
    assert notebook.server.last.messages == [("system", text), ("user", f"{text}\nthird")]
    assert notebook.shell.user_ns["x"] == 1


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_a_line_ends_where_a_person_ends_it(notebook: Notebook, ending: str) -> None:
    notebook.run(f"x = 1{ending}%glm first{ending}y = 2")
    assert notebook.server.last.messages == [("user", "first")]
    assert (notebook.shell.user_ns["x"], notebook.shell.user_ns["y"]) == (1, 2)


@pytest.mark.parametrize("prompt", ["x", "x\n", "x\n\n", "\n x"])
def test_only_the_newline_that_ipython_adds_is_dropped(notebook: Notebook, prompt: str) -> None:
    assert notebook.sent("%%glm\n" + prompt).messages[-1] == ("user", prompt)


@pytest.mark.parametrize("before", ["\n\n", "  ", "\n   \n"])
def test_blank_lines_and_indentation_before_the_magic_do_not_matter(notebook: Notebook, before: str) -> None:
    assert notebook.sent(f"{before}%%glm\n  >>> a").messages == [("user", "  >>> a")]


@pytest.mark.parametrize(
    "prompt", ["What's up?", "what is it?", "why??", r"C:\temp\ ", "a 'b\" c", "{x} $y", "x = 1; y", "# not a comment"]
)
def test_the_rest_of_a_line_goes_out_exactly_as_typed(notebook: Notebook, prompt: str) -> None:
    assert notebook.sent(f"%glm {prompt}").messages == [("user", prompt)]


def test_a_line_may_be_indented_assigned_and_among_others(notebook: Notebook) -> None:
    notebook.run("for i in range(2):\n    r = %glm -c other{{ i }} it's {{ i }}?\nx = 1\n%glm last's one")
    assert [request.messages[-1][1] for request in notebook.server.requests] == ["it's 0?", "it's 1?", "last's one"]
    assert notebook.shell.user_ns["r"].text == "You said: it's 1?"


def test_a_line_inside_a_string_is_only_text(notebook: Notebook) -> None:
    notebook.run("text = '''\n%glm what's this?\n'''")
    assert notebook.shell.user_ns["text"] == "\n%glm what's this?\n"
    assert notebook.server.requests == []


@pytest.mark.parametrize("line", ["%glm?", "%%glm?", "%glm??"])
def test_a_question_mark_right_after_the_magic_is_help(notebook: Notebook, line: str) -> None:
    notebook.run(line)
    assert notebook.server.requests == []


def test_nobody_set_anything_so_nothing_is_sent_but_the_question(notebook: Notebook) -> None:
    assert notebook.sent("%%glm\nhi").body == {
        "model": "GLM-4-Air",
        "messages": [{"role": "user", "content": "hi"}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }


@pytest.mark.parametrize(
    ("options", "field", "value"),
    [
        ("-m GLM-4-Plus", "model", "GLM-4-Plus"),
        ("--model my/Own.Model", "model", "my/Own.Model"),
        ("-t 0.2", "temperature", 0.2),
        ("--temperature=1", "temperature", 1.0),
        ("-p 0.5", "top_p", 0.5),
        ("--top-p 0", "top_p", 0.0),
        ("--max-tokens 7", "max_tokens", 7),
        ("--stop END", "stop", ["END"]),
        ('--stop {{ "\\n" }}', "stop", ["\n"]),
        ("--param seed=7", "seed", 7),
        ("--param user_id=me", "user_id", "me"),
        ("""--param 'thinking={"type": "disabled"}'""", "thinking", {"type": "disabled"}),
        ("-m {{ 'a,b' }}", "model", "a,b"),
    ],
)
def test_what_an_option_says_reaches_the_body(notebook: Notebook, options: str, field: str, value: Any) -> None:
    plain = notebook.sent("%%glm --no-history\nhi").body
    body = notebook.sent(f"%%glm --no-history {options}\nhi").body
    assert body == {**plain, field: value}


@pytest.mark.parametrize("options", ["", "-q", "-f text", "-f markdown", "-o name", "-c main", "--role user"])
def test_what_is_for_the_page_alone_is_not_sent(notebook: Notebook, options: str) -> None:
    plain = notebook.sent("%%glm --no-history\nhi").body
    assert notebook.sent(f"%%glm --no-history {options}\nhi").body == plain


def test_no_stream_asks_for_one_response(notebook: Notebook) -> None:
    notebook.server.answer(whole("all of it"))
    assert notebook.sent("%%glm --no-stream\nhi").body["stream"] is False
    assert notebook.shell.user_ns["_glm"].text == "all of it"
    assert "stream_options" not in notebook.server.last.body


def test_the_system_message_leads_and_belongs_to_the_request(notebook: Notebook) -> None:
    notebook.run('%%glm -s "Be {{ 1 + 1 }} brief."\none')
    assert notebook.server.last.messages[0] == ("system", "Be 2 brief.")
    assert notebook.sent("%%glm\ntwo").messages[0] == ("user", "one")


def test_an_empty_system_message_sends_none(notebook: Notebook) -> None:
    notebook.run("%glm_config system='Always.'")
    assert notebook.sent("%glm hi").messages[0] == ("system", "Always.")
    assert notebook.sent('%%glm -s "" --no-history\nhi').messages == [("user", "hi")]


def test_a_cells_options_never_change_later_cells(notebook: Notebook) -> None:
    notebook.run("%%glm -t 0.1 -m other --stop x\none")
    body = notebook.sent("%%glm\ntwo").body
    assert body["model"] == "GLM-4-Air"
    assert not {"temperature", "stop"} & set(body)


def test_templates_take_the_notebooks_names(notebook: Notebook) -> None:
    notebook.run("x = {'a': [1, 2]}\nsecret = '{{ x }}'")
    sent = notebook.sent('%%glm\n{{ x["a"][1] }} {{ secret }} {{ f"{3.14159:.2f}" }} {x} {{ "{{" }}')
    assert sent.messages == [("user", "2 {{ x }} 3.14 {x} {{")]


def test_raw_leaves_doubled_braces_alone(notebook: Notebook) -> None:
    assert notebook.sent("%%glm --raw\n\\frac{{a}}{b}").messages == [("user", "\\frac{{a}}{b}")]


def test_options_end_at_two_dashes(notebook: Notebook) -> None:
    assert notebook.sent("%glm -t 0 -- -q is an option").messages == [("user", "-q is an option")]


# --- the reply -----------------------------------------------------------------------------------


def test_the_value_of_the_cell_is_the_reply(notebook: Notebook) -> None:
    reply = notebook.run("%%glm\nhi")
    assert str(reply) == reply.text == "You said: hi"
    assert notebook.shell.user_ns["_glm"] is reply
    assert (reply.finish_reason, reply.model, reply.usage.total_tokens) == ("stop", "GLM-4-Air", 12)
    assert reply.request == notebook.server.last.body
    assert reply.seconds >= reply.first_token_seconds > 0


def test_the_answer_is_not_shown_a_second_time(notebook: Notebook) -> None:
    notebook.run("%%glm\nhi")
    assert notebook.page.text.count("You said: hi") == 1


def test_the_reply_is_shown_when_it_is_asked_for(notebook: Notebook) -> None:
    notebook.run("%%glm\n**hi** <script>")
    notebook.run("_glm")
    (shown,) = notebook.page.saved("text/markdown")
    assert shown == "You said: **hi** &lt;script>"
    notebook.run("display(_glm)", "a")
    assert notebook.page.saved("text/plain") == ["You said: **hi** <script>"]


@pytest.mark.parametrize(
    "cell", ["%%glm -o answer\nhi", "%%glm answer <<\nhi", "%%glm -t 0 answer<<\nhi", "answer = %glm hi"]
)
def test_the_reply_is_bound_to_a_name(notebook: Notebook, cell: str) -> None:
    notebook.run(cell)
    assert notebook.shell.user_ns["answer"].text == "You said: hi"


def test_the_page_keeps_markdown_plain_text_a_line_and_the_turn(notebook: Notebook) -> None:
    notebook.server.answer(stream("# Title\n\n", "text"))
    notebook.run("%%glm\nhi")
    assert notebook.page.saved("text/markdown") == ["# Title\n\ntext"]
    bar = next(data for data in notebook.page.outputs.values() if "text/html" in data)
    assert "GLM-4-Air · 7 in, 5 out" in bar["text/plain"]
    assert "0 earlier turns sent" in bar["text/plain"]
    (saved,) = notebook.page.saved(MIME_TYPE)
    assert [message["content"] for message in saved["messages"]] == ["hi", "# Title\n\ntext"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("", "GLM-4-Air · 7 in"),
        ("-t 0.2", "GLM-4-Air · t 0.2 · 7 in"),
        ("-t 0 -p 1 --max-tokens 200", "GLM-4-Air · t 0 · p 1 · max 200 · 7 in"),
        ('-s "Be brief." --json', "GLM-4-Air · json · system · 7 in"),
        ("--stop END --stop {{ chr(10) }}", 'GLM-4-Air · stop "END", "\\n" · 7 in'),
        ("--param seed=7 --no-stream", "GLM-4-Air · seed 7 · 7 in"),
        ("-T lookup", "GLM-4-Air · 1 tool · 7 in"),
        ('--param thinking={"type":"disabled"}', "GLM-4-Air · think off · 7 in"),
    ],
)
def test_the_line_says_what_was_set_and_nothing_else(notebook: Notebook, options: str, said: str) -> None:
    notebook.run("def lookup(word: str) -> str:\n    return word")
    notebook.server.answer(whole("{}") if "--no-stream" in options else stream("{}"))
    notebook.run(f"%%glm {options}\nhi")
    assert said in notebook.page.text


def test_a_quiet_cell_has_the_answer_alone_and_still_keeps_the_turn(notebook: Notebook) -> None:
    notebook.run("%%glm -q\nhi")
    (only,) = notebook.page.outputs.values()
    assert set(only) == {"text/markdown", "text/plain", MIME_TYPE}


def test_text_is_shown_as_text(notebook: Notebook) -> None:
    notebook.run("%%glm -f text -q\n*hi*")
    (only,) = notebook.page.outputs.values()
    assert set(only) == {"text/plain", MIME_TYPE}
    assert only["text/plain"] == "You said: *hi*"


def test_save_turns_off_keeps_the_turn_out_of_the_file(notebook: Notebook) -> None:
    notebook.run("%glm_config save_turns=off")
    notebook.run("%%glm\nhi")
    assert notebook.page.saved(MIME_TYPE) == []


def test_an_answer_cut_at_its_most_tokens_says_what_to_raise(notebook: Notebook) -> None:
    notebook.server.answer(stream("half", finish_reason="length"))
    notebook.run("%%glm\nhi")
    assert "--max-tokens" in notebook.page.text


def test_a_refusal_is_the_answer_and_is_marked(notebook: Notebook) -> None:
    notebook.server.answer(stream(chunk(delta={"role": "assistant", "refusal": "I cannot."})))
    assert notebook.run("%%glm\nhi", "a").text == "I cannot."
    assert "the model refused" in notebook.page.text
    notebook.run("%%glm\nwhy?", "b")
    assert notebook.server.requests[-1].body["messages"][1] == {"role": "assistant", "content": "I cannot."}


def test_dry_run_shows_the_exact_request_and_sends_nothing(notebook: Notebook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLM_API_KEY", "0123456789abcdef.canary-canary")
    notebook.run("%%glm -N -t 0.3\nhi {{ 1 + 1 }}")
    assert notebook.server.requests == []
    assert '"content": "hi 2"' in notebook.page.text
    assert '"temperature": 0.3' in notebook.page.text
    assert "1 request" in notebook.page.text
    assert "canary-c" not in notebook.page.text
    assert notebook.sent("%%glm\nreally").messages == [("user", "really")]


# --- what goes wrong -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cell", "kind", "said"),
    [
        ("%%glm --temprature 0\nhi", OptionError, "Did you mean --temperature"),
        ("%%glm -t 1.5\nhi", SettingError, "from 0 to 1"),
        ("%%glm -t hot\nhi", SettingError, "from 0 to 2"),
        ("%%glm --max-tokens 0\nhi", SettingError, "at least 1"),
        ('%%glm -s "be brief\nhi', OptionError, "not closed"),
        ("%%glm\n", PromptError, "empty"),
        ("%%glm\n   \n\n", PromptError, "empty"),
        ("%glm", PromptError, "empty"),
        ("%%glm\n{{ textt }}", PromptError, "Did you mean text"),
        ("%%glm\n{{ 1 / 0 }}", PromptError, "ZeroDivisionError"),
        ("%%glm\n\\frac{{a}{b}", PromptError, "--raw"),
        ("%%glm hello\nhi", OptionError, "below the line"),
        ("%%glm --param temperature=1\nhi", OptionError, "--temperature"),
        ("%%glm -o 1x\nhi", OptionError, "Python name"),
        ("%%glm -f html\nhi", SettingError, "markdown or text"),
        ("%%glm --role tool\nhi", OptionError, "user or system or assistant"),
        ("%%glm -t 0,,1\nhi", OptionError, "empty item"),
        ("%%glm\n\ud83d", PromptError, "Half a character"),
    ],
)
def test_a_wrong_cell_says_what_to_do_and_nothing_is_sent(
    notebook: Notebook, cell: str, kind: type[GlmError], said: str
) -> None:
    notebook.run("text = 1")
    notebook.run("%%glm\nbefore", "a")
    with pytest.raises(kind) as caught:
        notebook.run(cell, "b")
    lines = caught.value._render_traceback_()
    assert said in "\n".join(lines)
    assert len(lines) <= 5
    assert len(notebook.server.requests) == 1
    assert notebook.sent("%%glm\nafter", "c").messages[:1] == [("user", "before")]


@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        (
            error(401, {"error": {"code": "401", "message": "令牌已过期或验证不正确"}}),
            AuthenticationError,
            "GLM_API_KEY",
        ),
        (error(400, {"error": {"code": "1211", "message": "模型不存在"}}), ModelUnknown, "-m GLM-4-Air"),
        (Answer([chunk("half an "), data("[DONE]")]), BrokenStream, "Run the cell again"),
    ],
)
def test_a_failed_answer_is_an_error_and_nothing_enters_the_history(
    notebook: Notebook, answer: Answer, kind: type[GlmError], said: str
) -> None:
    notebook.server.answer(answer)
    with pytest.raises(kind) as caught:
        notebook.run("%%glm -m GLM4-Air\nhi", "a")
    assert said in str(caught.value)
    assert notebook.sent("%%glm\nnext", "b").messages == [("user", "next")]


def test_a_broken_stream_keeps_its_text_on_the_page(notebook: Notebook) -> None:
    notebook.server.answer(Answer([chunk("half an "), data("[DONE]")]))
    with pytest.raises(BrokenStream) as caught:
        notebook.run("%%glm\nhi")
    assert "half an" in notebook.page.text
    assert caught.value.partial.text == "half an "


def test_a_withdrawn_answer_leaves_the_page(notebook: Notebook) -> None:
    notebook.server.answer(stream("forbidden text", finish_reason="sensitive"))
    with pytest.raises(Withdrawn):
        notebook.run("%%glm\nhi", "a")
    assert "forbidden" not in str(notebook.page.outputs)
    assert notebook.sent("%%glm\nnext", "b").messages == [("user", "next")]


def test_a_refused_connection_says_what_to_check(notebook: Notebook, monkeypatch: pytest.MonkeyPatch) -> None:
    with GlmServer() as gone:
        monkeypatch.setenv("GLM_BASE_URL", gone.url)
    monkeypatch.setenv("GLM_RETRIES", "0")
    with pytest.raises(ConnectionFailed, match="base_url"):
        notebook.run("%%glm\nhi")


def test_without_key_endpoint_and_extra_one_error_names_the_ways_out(
    notebook: Notebook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GLM_BASE_URL")
    monkeypatch.setattr("glm_magic.service.embedded.is_installed", lambda: False)
    with pytest.raises(SetupError) as caught:
        notebook.run("%%glm\nhi")
    for way in ("--login", "GLM_API_KEY", "base_url", ".[local]"):
        assert way in str(caught.value)


def test_a_model_without_a_key_is_not_given_to_the_embedded_model(
    notebook: Notebook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GLM_BASE_URL")
    monkeypatch.setattr("glm_magic.service.services.is_installed", lambda: True)
    with pytest.raises(SetupError, match="no key") as caught:
        notebook.run("%%glm -m GLM-4-Plus\nhi")
    assert "install" not in str(caught.value), "what is there is not to be installed"


def test_a_dry_run_needs_no_key_and_says_that_there_is_none(
    notebook: Notebook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GLM_BASE_URL")
    notebook.run("%%glm -m GLM-4-Plus -N\nhi")
    assert "No key is set" in notebook.page.text
    assert '"model": "GLM-4-Plus"' in notebook.page.text


def test_a_dry_run_shows_the_messages_as_text_and_below_them_the_exact_request(notebook: Notebook) -> None:
    notebook.run('%%glm -N -t 0.2 -s "Be brief."\nline one\n  <b>line two</b>')
    (shown,) = notebook.page.outputs.values()
    text, _, request = shown["text/plain"].partition("The exact request:\n")
    assert (
        "GLM-4-Air · t 0.2 · system\n\nsystem:\n    Be brief.\n\nuser:\n    line one\n      <b>line two</b>\n" in text
    )
    assert json.loads(request)["messages"][-1]["content"] == "line one\n  <b>line two</b>"
    before, _, folded = shown["text/html"].partition("<details>")
    assert "line one\n  &lt;b&gt;line two&lt;/b&gt;" in before
    assert "line one\\n  &lt;b&gt;line two&lt;/b&gt;" in folded
    assert notebook.server.requests == []


def test_an_error_is_shown_without_a_traceback(notebook: Notebook, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(OptionError):
        notebook.run("%%glm --nothing\nhi")
    shown = capsys.readouterr().out
    assert "OptionError: %%glm has no option --nothing." in shown
    assert "Traceback" not in shown
    assert len(shown.strip().splitlines()) <= 3


def test_a_later_line_of_the_cell_does_not_run_after_an_error(notebook: Notebook) -> None:
    with pytest.raises(SettingError):
        notebook.run("%glm -t 2 hi\nreached = True")
    assert "reached" not in notebook.shell.user_ns


def test_an_interrupt_in_mid_answer_keeps_what_arrived(notebook: Notebook, monkeypatch: pytest.MonkeyPatch) -> None:
    notebook.server.answer(stream("first part", threading.Event()))
    with monkeypatch.context() as patch:
        interrupt_painting(patch, lambda event: isinstance(event, Tick) and "first part" in str(notebook.page.outputs))
        with pytest.raises(Interrupted, match="is kept"):
            notebook.run("%%glm -o name\nhi", "a")
    assert "interrupted" in notebook.page.text
    assert notebook.shell.user_ns["name"].text == "first part"
    assert notebook.shell.user_ns["name"].interrupted
    assert notebook.page.saved(MIME_TYPE)[0]["state"] == "interrupted"
    assert notebook.server.hung_up.wait(60)
    assert notebook.sent("%%glm\ngo on", "b").messages == [
        ("user", "hi"),
        ("assistant", "first part"),
        ("user", "go on"),
    ]


def test_an_interrupt_before_the_first_token_keeps_nothing(notebook: Notebook, monkeypatch: pytest.MonkeyPatch) -> None:
    notebook.server.answer(Answer([threading.Event()]))
    with monkeypatch.context() as patch:
        interrupt_painting(patch, lambda event: isinstance(event, Tick) and notebook.server.requests)
        with pytest.raises(Interrupted, match="nothing is kept"):
            notebook.run("%%glm\nhi", "a")
    assert notebook.sent("%%glm\nnext", "b").messages == [("user", "next")]


def test_an_interrupt_is_not_swallowed_by_except_exception(notebook: Notebook, monkeypatch: pytest.MonkeyPatch) -> None:
    notebook.server.answer(stream("a", threading.Event()))
    with monkeypatch.context() as patch:
        interrupt_painting(patch, lambda event: isinstance(event, Tick))
        with pytest.raises(KeyboardInterrupt):
            notebook.run("for i in range(3):\n    try:\n        %glm hi\n    except Exception:\n        pass")


# --- the extension -------------------------------------------------------------------------------


def test_reloading_frees_the_connections_and_works(notebook: Notebook) -> None:
    notebook.run("%%glm\none")
    notebook.run("%reload_ext glm_magic")
    assert notebook.sent("%%glm --new\n>>> two").messages == [("user", ">>> two")]
    assert notebook.server.connections == 2


def test_reloading_keeps_the_conversation_and_what_was_set(
    shell: InteractiveShell, server: GlmServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GLM_BASE_URL", "http://127.0.0.1:1/v1")
    shell.run_line_magic("load_ext", "glm_magic")
    notebook = Notebook(shell, server)
    notebook.run(f"%glm_config base_url={server.url} system='Be brief.'")
    notebook.run("%config GLMMagics.temperature = 0.5")
    notebook.run("%%glm\none", "a")
    notebook.run("%%glm\ntwo", "b")
    notebook.run("%reload_ext glm_magic", "c")
    again = notebook.sent("%%glm\ntwo, again", "b")
    assert again.messages[1:] == [("user", "one"), ("assistant", "You said: one"), ("user", "two, again")]
    assert again.body["temperature"] == 0.5
    notebook.run("%glm_history")
    assert "attempt 2 of 2" in notebook.page.text
    notebook.run("%glm_config --table")
    assert "set here" in notebook.page.text


def test_unloading_takes_everything_back(shell: InteractiveShell) -> None:
    manager = shell.input_transformer_manager
    before = list(manager.cleanup_transforms), list(manager.line_transforms)
    shell.run_line_magic("load_ext", "glm_magic")
    shell.run_line_magic("unload_ext", "glm_magic")
    assert (manager.cleanup_transforms, manager.line_transforms) == before
    assert "glm" not in shell.magics_manager.magics["cell"]
    assert "glm_config" not in shell.magics_manager.magics["line"]


def test_settings_come_from_ipython_config(server: GlmServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(InteractiveShell, "_instance", None)
    config = Config()
    config.GLMMagics.temperature = 0.25
    config.GLMMagics.base_url = server.url
    shell = new_shell(config)
    shell.run_line_magic("load_ext", "glm_magic")
    assert Notebook(shell, server).sent("%glm hi").body["temperature"] == 0.25
    close(shell)


def test_loading_the_extension_imports_no_conversation_and_nothing_heavy() -> None:
    code = """
import sys
from IPython.core.interactiveshell import InteractiveShell
InteractiveShell.instance().run_line_magic("load_ext", "glm_magic")
heavy = {"httpx", "pydantic", "anywidget", "nbformat", "jsonschema", "markdown_it", "rich"}
own = ("asking.session", "chat.conversation", "chat.events", "chat.reply", "service.client")
print(sorted(heavy.union(f"glm_magic.{module}" for module in own).intersection(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("model", ["GLM-4-Air", "glm-4.6", "zai-org/GLM-4.6", "chatglm3-6b"])
def test_a_temperature_above_one_is_refused_for_a_glm_model(notebook: Notebook, model: str) -> None:
    with pytest.raises(SettingError, match="from 0 to 1"):
        notebook.run(f"%glm -m {model} -t 1.5 hi")
    assert notebook.server.requests == []
    assert notebook.sent(f"%glm -m {model} -t 1 hi").body["temperature"] == 1


@pytest.mark.parametrize("model", ["llama-3", "qwen/qwen3", "gpt-glm-like"])
def test_other_models_take_a_temperature_of_up_to_two(notebook: Notebook, model: str) -> None:
    assert notebook.sent(f"%glm -m {model} -t 1.5 hi").body["temperature"] == 1.5
    with pytest.raises(SettingError, match="from 0 to 2"):
        notebook.run(f"%glm -m {model} -t 2.5 hi")
