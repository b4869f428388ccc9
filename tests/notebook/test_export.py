import ast
import dataclasses
import html.parser
import json
import os
import re
import stat
import subprocess
import sys
from shutil import which

import nbformat
import pytest
from glm_server import error
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from nbconvert import HTMLExporter
from scripts import run_script

from glm_magic.chat.attempt import Attempt
from glm_magic.chat.messages import Message, ToolCall
from glm_magic.display import safe_text
from glm_magic.errors import HistoryError
from glm_magic.notebook.export import script
from glm_magic.notebook.export.write import FORMATS
from glm_magic.notebook.export.write import export as export_with

GLM = "https://open.bigmodel.cn/api/paas/v4"
PARAMETERS = {"model": "GLM-4-Air", "stream": True}
HOSTILE = (
    '"""\n\'\'\'\n\\"\\\nREQUEST\nHEADERS\nEOF\n$(touch stolen) `touch stolen` ${HOME} $HOME !!\n{curly} {{ twice }}\n'
    '%s"); import os; os.system("touch stolen")\n中文 日本語 😀 \U0001f469\u200d\U0001f4bb é\r\n\ttab\n'
    "\x00 \x1b[31m \x85 \u2028 \u202e\n\n"
)
ACTIVE = (
    "<script>alert(1)</script>\n\n<img src=x onerror=alert(1)>\n\n![pic](https://evil.example/x.png)\n\n"
    "[click](javascript:alert(1)) <iframe srcdoc='<script>1</script>'></iframe>\n\n- ```\n  <svg onload=alert(1)>\n\n"
    "$\\href{javascript:alert(1)}{x}$\n\n<style>*{display:none}</style>\n\n```python\nprint('<b onclick=1>')"
)
IMAGE = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAQAAAADCAIAAAA7ljmRAAAA"
    "EElEQVR4nGP4z8AARwzEcQCukw/x0F8jngAAAABJRU5ErkJggg=="
)
PARTS = [
    {"type": "text", "text": f'"url": "{IMAGE}\n  "url": "{IMAGE}"\n' + HOSTILE},
    {"type": "image_url", "image_url": {"url": IMAGE}},
    {"type": "text", "text": "or"},
    {"type": "image_url", "image_url": {"url": "https://evil.example/a.png"}},
]
HELLO = (Message("assistant", "Hello."),)
BARE = [*PARTS[:1], {"type": "image_url", "image_url": {"url": IMAGE.partition(",")[2]}}, *PARTS[2:]]


def turn(question="ask", answer="answer", **more):
    more.setdefault("parameters", PARAMETERS)
    more.setdefault("model", more["parameters"].get("model", ""))
    return Attempt("id", (Message("user", question), Message("assistant", answer)), **more)


def with_images(*, answer="A cat.", **more):
    """A turn whose question has text, an image, and the address of one in it."""
    messages = (Message.of_parts("user", PARTS), Message("assistant", answer))
    return dataclasses.replace(turn(**more), messages=messages)


def put_in(role, text, **more):
    return Attempt("id", (Message(role, text),), role=role, **more)


def with_tools(**more):
    call = ToolCall("call-1", "weather", '{"city": "서울"}')
    messages = (
        Message("user", "Is it warm?"),
        Message("assistant", "", (call,)),
        Message("tool", "<b>21</b>", tool_call_id="call-1"),
        Message("assistant", "Yes."),
    )
    return dataclasses.replace(turn(**more), messages=messages)


@pytest.fixture
def export(tmp_path):
    def export(ending, *attempts, base_url=GLM, chat="main", **more):
        path = tmp_path / f"out{ending}"
        chats = more.pop("conversations", {chat: attempts})
        export_with(path, chats, base_url=base_url, neutralise=safe_text.markdown, **more)
        return path

    return export


@pytest.fixture
def ask(tmp_path, monkeypatch):
    """Run an exported script as a person would, and return what it printed.

    A Python script runs in a fork, unless it is to be `alone` in a process.
    """

    def ask(path, alone=False, **environment):
        for name in [name for name in os.environ if name.startswith("OPENAI_")]:
            monkeypatch.delenv(name)
        environment = {**os.environ, "PYTHONIOENCODING": "utf-8", **environment}
        command = [sys.executable, path] if path.suffix == ".py" else [path]
        if path.suffix == ".py" and not alone:
            done = subprocess.CompletedProcess(command, *run_script(path, environment, tmp_path))
        else:
            done = subprocess.run(
                command,
                env=environment,
                cwd=tmp_path,
                capture_output=True,
                check=False,
                timeout=60,
                stdin=subprocess.DEVNULL,
            )
        assert not (tmp_path / "stolen").exists()
        return done

    return ask


def lines(path):
    return [json.loads(line)["messages"] for line in path.read_bytes().decode().splitlines()]


def cells(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    return [cell.source for cell in notebook.cells]


# -- the file


def test_an_unknown_ending_is_an_error_that_names_the_known_ones(export, tmp_path):
    for ending in ("", ".txt", ".py.bak"):
        with pytest.raises(HistoryError, match=r"out.*\n.*\.ipynb \.jsonl \.md \.py \.sh"):
            export(ending, turn())
    assert list(tmp_path.glob("out*")) == []


def test_an_ending_may_be_in_capitals(export):
    assert lines(export(".JSONL", turn()))


@pytest.mark.parametrize("ending", FORMATS)
def test_nothing_to_export_is_an_error(export, tmp_path, ending):
    for attempts in ((), (Attempt("edit", ()),)):
        with pytest.raises(HistoryError, match="nothing to export"):
            export(ending, *attempts)
    assert list(tmp_path.glob("out*")) == []


@pytest.mark.parametrize("ending", FORMATS)
def test_a_file_is_replaced_only_when_asked_to(export, ending):
    path = export(ending, turn("first"))
    with pytest.raises(HistoryError, match=r"exists.\nAdd --force"):
        export(ending, turn("second"))
    assert "first" in path.read_text(encoding="utf-8")
    assert "second" in export(ending, turn("second"), force=True).read_text(encoding="utf-8")


@pytest.mark.parametrize("ending", FORMATS)
def test_equal_conversations_give_equal_files(export, ending):
    attempts = (turn(), put_in("system", "brief"), with_tools(new=True))
    first = export(ending, *attempts).read_bytes()
    assert export(ending, *attempts, force=True).read_bytes() == first


def test_only_the_shell_script_can_be_run_as_it_is(export):
    executable = {ending for ending in FORMATS if export(ending, turn()).stat().st_mode & stat.S_IXUSR}
    assert executable == {".sh"}


@pytest.mark.parametrize("ending", [".py", ".sh"])
def test_without_a_question_there_is_nothing_to_ask_again(export, ending):
    with pytest.raises(HistoryError, match="no question"):
        export(ending, put_in("system", "be brief"))


# -- lines to train on


def test_each_stretch_of_each_chat_is_a_line(export):
    other = (turn("c", "d"),)
    path = export(".jsonl", conversations={"main": (turn("a"), turn("b", new=True), turn("e")), "other": other})
    assert [[m["content"] for m in line] for line in lines(path)] == [
        ["a", "answer"],
        ["b", "answer", "e", "answer"],
        ["c", "d"],
    ]


def test_a_line_begins_with_the_latest_system_message_and_keeps_those_put_in_at_their_place(export):
    path = export(
        ".jsonl", turn(system="old"), put_in("system", "here"), turn(system="new"), put_in("assistant", "end")
    )
    assert [m["content"] for m in lines(path)[0]] == ["new", "ask", "answer", "here", "ask", "answer", "end"]
    assert [m["role"] for m in lines(path)[0]][:4] == ["system", "user", "assistant", "system"]


def test_a_line_has_tool_calls_and_results_and_no_reasoning(export):
    [line] = lines(export(".jsonl", with_tools(reasoning="hm")))
    assert line == [message.to_api() for message in with_tools().messages]


def test_a_line_names_the_tools_that_were_offered_each_once(export):
    weather = {"type": "function", "function": {"name": "weather", "description": "Tell.", "parameters": {}}}
    search = {"type": "web_search"}
    asked = [with_tools(parameters={**PARAMETERS, "tools": tools}) for tools in ([weather], [weather, search], [])]
    assert json.loads(export(".jsonl", *asked).read_bytes())["tools"] == [weather, search]
    assert list(json.loads(export(".jsonl", turn(), force=True).read_bytes())) == ["messages"]


def test_a_line_has_images_as_they_were_sent(export):
    [line] = lines(export(".jsonl", with_images()))
    assert line[0] == {"role": "user", "content": PARTS}


@pytest.mark.parametrize("read", [str.splitlines, lambda text: text.split("\n")[:-1]])
def test_a_line_is_one_line_for_every_reader(export, read):
    path = export(".jsonl", turn(HOSTILE, HOSTILE))
    [line] = read(path.read_bytes().decode())
    assert json.loads(line)["messages"][0]["content"] == HOSTILE
    assert "中文" in line


# -- to read


def test_the_notebook_has_the_conversation_in_markdown_cells(export):
    attempts = (turn("# q1\n  *as* typed", "**a1**", system="Be brief."), put_in("assistant", "Noted."), with_tools())
    assert cells(export(".ipynb", *attempts)) == [
        "# Chat main\n\nGLM-4-Air",
        "**System**\n\n```text\nBe brief.\n```",
        "**Prompt**\n\n```text\n# q1\n  *as* typed\n```",
        "**Answer (GLM-4-Air)**\n\n**a1**",
        "**Assistant message (--role)**\n\nNoted.",
        "**System**\n\n(none from here on)",
        "**Prompt**\n\n```text\nIs it warm?\n```",
        '**Tool calls (GLM-4-Air)**\n\n```text\nweather({"city": "서울"})\n```',
        "**Tool result**\n\n```text\n<b>21</b>\n```",
        "**Answer (GLM-4-Air)**\n\nYes.",
    ]


def test_boundaries_and_interrupts_show(export):
    text = export(".md", turn(system="s"), turn("q", "half an", interrupted=True, new=True)).read_text()
    assert (
        "---\n\n**New conversation**: nothing above is sent with the turns below.\n\n**Prompt**\n\n```text\nq\n```"
        in text
    )
    assert text.endswith("**Answer (GLM-4-Air, interrupted)**\n\nhalf an\n")


def test_the_markdown_says_the_same_as_the_notebook(export):
    attempts = (turn("q1", "a1", system="s"), put_in("system", "t"), with_tools(new=True))
    assert "\n\n".join(cells(export(".ipynb", *attempts))) + "\n" == export(".md", *attempts).read_text()


def test_all_models_are_named(export):
    attempts = (turn(), turn(parameters={"model": "GLM-4-Plus"}), turn())
    assert cells(export(".ipynb", *attempts))[0] == "# Chat main\n\nGLM-4-Air, GLM-4-Plus"


@pytest.mark.parametrize("prompt", ["```\ncode\n```", "~~~\n````", "", "\n a \n\n", "a `b` ```c``` d"])
def test_a_prompt_stands_as_it_was_typed_whatever_fences_are_in_it(export, prompt):
    text = export(".md", turn(prompt, "the answer")).read_text()
    fence = re.search(r"^(`{3,})text\n(.*?)\n\1\n\n\*\*Answer", text, re.DOTALL | re.MULTILINE)
    assert fence[2] == prompt


@pytest.mark.parametrize(
    "cut_off", ["```python\nprint(1)", "~~~~\na\n~~~", "````\n```\nx", "```a`b\n```\nx", "1. do\n   ```sh\n   ls"]
)
def test_an_answer_that_was_cut_off_in_its_code_does_not_take_in_the_next_prompt(export, cut_off):
    text = export(".md", turn("q1", cut_off), turn("q2", "a2")).read_text()
    tokens = MarkdownIt().parse(text)
    assert "q2\n" in [token.content for token in tokens if token.type == "fence"]
    assert "a2" in [token.content for token in tokens if token.type == "inline"]


class Acting(html.parser.HTMLParser):
    """What in a page could act."""

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attrs):
        if tag in {"script", "img", "iframe", "svg", "style", "object", "embed", "form", "input", "link", "meta"}:
            self.found.append(tag)
        for name, value in attrs:
            if name.startswith("on") or name == "style" or (value or "").strip().lower().startswith("javascript:"):
                self.found.append(f"{name}={value}")


@pytest.mark.parametrize("ending", [".ipynb", ".md"])
def test_a_hostile_conversation_is_shown_and_cannot_act(export, ending):
    call = ToolCall("1", ACTIVE, ACTIVE)
    tools = (Message("user", ACTIVE), Message("assistant", "", (call,)), Message("tool", ACTIVE, tool_call_id="1"))
    attempts = (
        turn(ACTIVE, ACTIVE, system=ACTIVE, model=ACTIVE),
        turn("$$\n```\n" + ACTIVE, "~~~~~\n$$\n" + ACTIVE),
        put_in("assistant", ACTIVE),
        dataclasses.replace(turn(), messages=(*tools, Message("assistant", ACTIVE)), new=True),
        put_in("system", ACTIVE),
    )
    path = export(ending, *attempts, chat=ACTIVE)
    if ending == ".ipynb":
        notebook = nbformat.read(path, as_version=4)
    else:
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(path.read_text())])
    page, _ = HTMLExporter(template_name="basic").from_notebook_node(notebook)
    acting = Acting()
    acting.feed(page)
    assert acting.found == []
    assert "alert(1)" in page  # said, not done


@pytest.mark.parametrize("ending", [".ipynb", ".md"])
def test_for_an_image_stands_a_word_and_nothing_is_fetched(export, ending):
    path = export(ending, dataclasses.replace(with_images(), messages=(Message.of_parts("user", PARTS[1:]), *HELLO)))
    text = "\n\n".join(cells(path)) if ending == ".ipynb" else path.read_text()
    assert "**Prompt**\n\n```text\n[image 4×3 png]or[image https://evil.example/a.png]\n```" in text
    assert IMAGE not in path.read_text()
    acting = Acting()
    acting.feed(MarkdownIt().render(text))
    assert acting.found == []


# -- to ask again


def test_the_last_question_is_asked_after_the_turns_since_the_boundary(export):
    attempts = (
        turn("before"),
        put_in("system", "put in", new=True),
        turn("q1", "a1", system="old"),
        with_tools(system="Be brief.", parameters={**PARAMETERS, "temperature": 0.5}),
        put_in("assistant", "after"),
    )
    text = export(".py", *attempts).read_text()
    assert literal(text, "messages") == [
        {"role": "system", "content": "Be brief."},
        {"role": "system", "content": "put in"},
        {"role": "user", "content": "q1"},
        {"role": "assistant", "content": "a1"},
        {"role": "user", "content": "Is it warm?"},
    ]
    assert "temperature=0.5" in text


def literal(text, name):
    for node in ast.parse(text).body:
        if isinstance(node, ast.Assign) and node.targets[0].id == name:
            return ast.literal_eval(node.value)
    raise AssertionError(name)


REQUESTS = {
    "a stream": (PARAMETERS, ()),
    "no stream": ({"model": "GLM-4-Plus", "stream": False}, ()),
    "every option": (
        {**PARAMETERS, "temperature": 0.3, "top_p": 1, "max_tokens": 5, "stop": ['"\n'], "stream_options": {}},
        (put_in("system", "put in"), with_tools()),
    ),
    "fields of its own": (
        {
            **PARAMETERS,
            "stream_options": {"include_usage": True},
            "thinking": {"type": "disabled", "深": [1, None, True, {"a": ["\u2028"]}]},
            "seed": None,
            "do_sample": False,
            "extra_body": "mine",
            "timeout": 3,
            "api key'": '"',
            "tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}],
        },
        (turn(HOSTILE, HOSTILE),),
    ),
    "hostile values": (
        {**PARAMETERS, "model": HOSTILE, "stop": [HOSTILE], HOSTILE: HOSTILE},
        (turn(HOSTILE, HOSTILE),),
    ),
}


@pytest.mark.parametrize("ending", [".py", ".sh"])
@pytest.mark.parametrize("name", REQUESTS)
def test_the_script_asks_with_exactly_the_messages_and_parameters(export, ask, server, ending, name):
    parameters, earlier = REQUESTS[name]
    last = turn(HOSTILE, "old answer", system="系统 'x' \"y\"", parameters=parameters)
    done = ask(export(ending, *earlier, last, base_url=server.url))
    assert (done.returncode, done.stderr) == (0, b"")
    assert [request.path for request in server.requests] == ["/v1/chat/completions"]
    messages = [Message("system", last.system), *(m for made in earlier for m in made.messages), last.messages[0]]
    assert server.last.body == {**parameters, "messages": [message.to_api() for message in messages]}
    assert b"old answer" not in server.last.raw


def test_the_python_script_prints_the_answer(export, ask, server):
    for parameters in (PARAMETERS, {"model": "GLM-4-Air", "stream": False}):
        path = export(".py", turn("中文 😀", parameters=parameters), base_url=server.url, force=True)
        assert ask(path, alone=True).stdout.decode() == "You said: 中文 😀\n"


def test_the_shell_script_prints_what_the_service_says(export, ask, server):
    path = export(".sh", turn("hi"), base_url=server.url)
    assert b'"content": "hi"' in ask(path).stdout
    server.answer(error(401, {"error": {"code": "1000", "message": "no such key"}}))
    done = ask(path)
    assert done.returncode != 0
    assert b"no such key" in done.stdout


@pytest.mark.parametrize("ending", [".py", ".sh"])
def test_the_script_asks_with_images_as_each_host_takes_them(export, ask, server, ending):
    sees = {"model": "glm-4.6v", "stream": True}
    path = export(ending, with_images(), with_images(parameters=sees), base_url=server.url)
    hosts = [
        ({}, PARTS),
        ({"GLM_BASE_URL": "http://open.bigmodel.cn/api/paas/v4"}, BARE),
        ({"GLM_BASE_URL": "http://api.z.ai"}, BARE),
        ({"GLM_BASE_URL": "http://open.bigmodel.cn:8080/v4/"}, BARE),
        ({"GLM_BASE_URL": "http://open.bigmodel.cn.example/v4"}, PARTS),
        ({"GLM_BASE_URL": "http://h.example/open.bigmodel.cn/v4"}, PARTS),
    ]
    for environment, parts in hosts:  # the server stands as a proxy for what is elsewhere
        proxy = {"http_proxy": server.url.removesuffix("/v1"), "no_proxy": "127.0.0.1"}
        done = ask(path, **proxy, **environment)
        assert (done.returncode, done.stderr) == (0, b"")
        assert server.last.path.startswith(environment.get("GLM_BASE_URL", "/").rstrip("/"))
        [earlier, answer, last] = server.last.body["messages"]
        assert (earlier["content"], last["content"]) == (parts, parts)
        assert answer == {"role": "assistant", "content": "A cat."}


@pytest.mark.parametrize("ending", [".py", ".sh"])
def test_the_script_leaves_out_what_a_model_that_reads_text_only_was_not_sent(export, ask, server, ending):
    done = ask(export(ending, with_images(), turn("and now?"), base_url=server.url))
    assert (done.returncode, done.stderr) == (0, b"")
    assert server.last.messages[0] == ("user", Message.of_parts("user", PARTS).content)
    assert server.last.messages[-1] == ("user", "and now?")


@pytest.mark.parametrize("ending", [".py", ".sh"])
def test_a_script_without_images_has_no_word_about_them(export, ending):
    assert "image" not in export(ending, turn()).read_text()


@pytest.mark.parametrize("ending", [".py", ".sh"])
def test_the_key_comes_from_the_environment(export, ask, server, ending):
    path = export(ending, turn(), base_url=server.url)
    keys = [
        ({}, "Bearer none" if ending == ".py" else None),
        ({"GLM_API_KEY": "", "ZHIPUAI_API_KEY": "zp"}, "Bearer zp"),
        ({"ZAI_API_KEY": "za", "ZHIPUAI_API_KEY": "zp"}, "Bearer za"),
        ({"GLM_API_KEY": "id.s\"e'c$(touch stolen)`x", "ZAI_API_KEY": "za"}, "Bearer id.s\"e'c$(touch stolen)`x"),
    ]
    for environment, sent in keys:
        assert ask(path, **environment).returncode == 0
        assert server.last.headers.get("authorization") == sent
        assert server.last.headers["content-type"] == "application/json"


@pytest.mark.parametrize("ending", [".py", ".sh"])
def test_the_address_may_come_from_the_environment(export, ask, server, ending):
    path = export(ending, turn(), base_url="http://127.0.0.1:9/'$(touch stolen)")
    for written in ("", "/", "/chat/completions"):
        assert ask(path, GLM_BASE_URL=server.url + written).returncode == 0
        assert server.last.path == "/v1/chat/completions"


@pytest.mark.parametrize("ending", [".py", ".sh"])
def test_the_script_keeps_the_query_of_the_address(export, ask, server, ending):
    path = export(ending, turn(), base_url=f"{server.url}?api-version=1")
    for environment in ({}, {"GLM_BASE_URL": f"{server.url}/chat/completions?api-version=1"}):
        assert ask(path, **environment).returncode == 0
        assert server.last.path == "/v1/chat/completions?api-version=1"


@pytest.mark.parametrize("ending", [".py", ".sh"])
def test_without_an_address_the_script_says_what_to_set(export, ask, server, ending):
    path = export(ending, turn(), base_url="")
    done = ask(path)
    assert done.returncode == 2
    assert done.stderr.decode().startswith("Set GLM_BASE_URL to the address of a server")
    assert ask(path, GLM_BASE_URL=server.url).returncode == 0


def test_a_text_of_several_lines_stands_in_as_many(export):
    text = export(".py", turn("one\n\n  two\n")).read_text()
    assert (
        'messages = [\n    {\n        "role": "user",\n        "content": (\n            "one\\n"\n            "\\n"\n'
        '            "  two\\n"\n        ),\n    },\n]\n'
    ) in text


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)
LINES = st.lists(st.sampled_from(["'", '"', '"""', "\\", "\n", "\r", "\r\n", "REQUEST\n", "\x0c", "a", "é", "#"])).map(
    "".join
)


@given(JSON | LINES)
@example(HOSTILE)
@example("\ud83d")
def test_every_value_comes_back_from_its_literal_and_its_json(value):
    assert ast.literal_eval(script._literal(value)) == value
    assert json.loads(script.json_text(value)) == value
    assert json.loads(script.json_text(value, indent=2)) == value


@given(JSON)
@example([HOSTILE, {HOSTILE: HOSTILE}])
def test_no_line_of_the_json_can_end_a_heredoc(value):
    body = script.json_text({"messages": value}, indent=2)
    assert all(line[:1] in ("{", "}", " ") for line in body.splitlines())


@pytest.mark.parametrize("shell", ["dash", "bash"])
def test_every_byte_reaches_the_service(export, server, shell, tmp_path):
    if which(shell) is None:
        pytest.skip(f"there is no {shell}")
    text = "".join(map(chr, [*range(0x800), *range(0x2000, 0x2100), *range(0x4E00, 0x9FFF, 7), 0x1F600]))
    path = export(".sh", turn(text), base_url=server.url)
    subprocess.run([shell, path], check=True, capture_output=True, timeout=60)
    assert server.last.messages == [("user", text)]
