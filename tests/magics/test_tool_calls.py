"""Functions of the notebook that a model calls: offered, agreed to, run, and on the page."""

from __future__ import annotations

import json
import signal
from typing import Any

import pytest
from glm_server import Answer, calls, chunk, data, stream
from ipython_shell import Notebook

from glm_magic.errors import BrokenStream, Interrupted, OptionError, SetupError, TooManySteps
from glm_magic.notebook.bundle import MIME_TYPE

WEATHER = '''
def get_weather(city: str, unit: str = "C") -> dict:
    """Tell the weather of today.

    Args:
        city: the name of the city
        unit: C or F
    """
    seen.append((city, unit))
    return {"city": city, "degrees": 21, "unit": unit}

def stop_here():
    """Stop."""
    import signal
    seen.append("begun")
    signal.raise_signal(signal.SIGINT)
    seen.append("went on")

def fail(x: int):
    """Fail."""
    raise KeyError("no such thing")

def loud():
    """Print."""
    print("printed by a tool")
    return "done"

seen = []
'''


@pytest.fixture
def tools(notebook: Notebook) -> Notebook:
    notebook.run(WEATHER)
    return notebook


def seen(notebook: Notebook) -> list[Any]:
    return notebook.shell.user_ns["seen"]


def sent_after(notebook: Notebook) -> list[dict[str, Any]]:
    """What the latest request sent after the prompt of its turn."""
    messages = notebook.server.last.body["messages"]
    last = max(at for at, message in enumerate(messages) if message["role"] == "user")
    return messages[last + 1 :]


# --- the loop ------------------------------------------------------------------------------------


def test_a_function_is_offered_called_and_answered(tools: Notebook) -> None:
    tools.server.answer(calls(("get_weather", {"city": "Seoul"})), stream("It is ", "21 degrees."))
    reply = tools.run("%%glm -T get_weather\nHow is the weather in Seoul?", "a")
    offered = tools.server.requests[0].body["tools"][0]["function"]
    assert offered["name"] == "get_weather"
    assert offered["description"] == "Tell the weather of today."
    assert offered["parameters"]["properties"]["city"]["description"] == "the name of the city"
    assert offered["parameters"]["required"] == ["city"]
    assert seen(tools) == [("Seoul", "C")]
    call, result = sent_after(tools)
    assert call["tool_calls"][0]["function"] == {"name": "get_weather", "arguments": '{"city": "Seoul"}'}
    assert result["tool_call_id"] == call["tool_calls"][0]["id"]
    assert json.loads(result["content"]) == {"city": "Seoul", "degrees": 21, "unit": "C"}
    assert str(reply) == "It is 21 degrees."
    assert [call.name for call in reply.tool_calls] == ["get_weather"]
    assert reply.usage.total_tokens == 24  # of both requests
    assert "1 tool call" in tools.page.text


def test_the_calls_and_results_are_sent_with_later_cells(tools: Notebook) -> None:
    tools.server.answer(calls(("get_weather", {"city": "Seoul"})), stream("21 degrees."))
    tools.run("%%glm -T get_weather\nWeather?", "a")
    roles = [message["role"] for message in tools.sent("%%glm\nand now?", "b").body["messages"]]
    assert roles == ["user", "assistant", "tool", "assistant", "user"]
    assert "tools" not in tools.server.last.body


def test_calls_of_one_round_run_in_order_and_several_rounds_follow(tools: Notebook) -> None:
    tools.server.answer(
        calls(("get_weather", {"city": "Seoul"}), ("get_weather", {"city": "Busan", "unit": "F"}), text="Let me look."),
        calls(("get_weather", {"city": "Jeju"})),
        stream("Warm."),
    )
    reply = tools.run("%%glm -T get_weather\nWeather?", "a")
    assert seen(tools) == [("Seoul", "C"), ("Busan", "F"), ("Jeju", "C")]
    assert [message["role"] for message in sent_after(tools)] == ["assistant", "tool", "tool", "assistant", "tool"]
    assert sent_after(tools)[0]["content"] == "Let me look."
    assert reply.text == "Warm."
    ids = [call.id for call in reply.tool_calls]
    assert len(set(ids)) == 3, "the service counts from 0 in each round"


def test_an_exception_goes_back_to_the_model_and_stands_on_the_page(tools: Notebook) -> None:
    tools.server.answer(calls(("fail", {"x": 1})), stream("Sorry."))
    tools.run("%%glm -T fail\nhi", "a")
    assert sent_after(tools)[1]["content"].startswith("KeyError: 'no such thing'")
    assert "failed: KeyError" in tools.page.text


@pytest.mark.parametrize(
    ("arguments", "said"), [('{"x": "many"}', "x"), ("{not json", "JSON"), ("[1]", "object"), ("{}", "x")]
)
def test_wrong_arguments_go_back_to_the_model_and_nothing_runs(tools: Notebook, arguments: str, said: str) -> None:
    tools.server.answer(calls(("fail", arguments)), stream("Sorry."))
    tools.run("%%glm -T fail\nhi", "a")
    call, result = sent_after(tools)
    assert said in result["content"]
    assert "KeyError" not in result["content"]
    assert isinstance(json.loads(call["tool_calls"][0]["function"]["arguments"]), dict), "servers read it as an object"


def test_a_tool_that_was_not_offered_is_an_error_for_the_model(tools: Notebook) -> None:
    tools.server.answer(calls(("get_whether", {})), stream("Sorry."))
    tools.run("%%glm -T get_weather\nhi", "a")
    assert "There are: get_weather" in sent_after(tools)[1]["content"]


def test_a_call_that_was_cut_off_is_not_run(tools: Notebook) -> None:
    cut = chunk(
        delta={
            "tool_calls": [{"index": 0, "id": "c", "function": {"name": "get_weather", "arguments": '{"city": "Se'}}]
        },
        finish_reason="length",
    )
    tools.server.answer(Answer([cut, data("[DONE]")]))
    with pytest.raises(BrokenStream, match="--max-tokens"):
        tools.run("%%glm -T get_weather\nhi", "a")
    assert seen(tools) == []
    assert tools.page.saved(MIME_TYPE) == []


def test_too_many_rounds_are_an_error_that_keeps_what_happened(tools: Notebook) -> None:
    tools.server.answer(*(calls(("get_weather", {"city": "Seoul"})) for _ in range(3)))
    with pytest.raises(TooManySteps, match="--max-steps 4"):
        tools.run("%%glm -T get_weather --max-steps 2\nhi", "a")
    assert len(seen(tools)) == 2
    assert tools.page.text.count("get_weather(") >= 2
    assert tools.sent("%%glm\nnext", "b").messages == [("user", "next")]


def test_tools_print_into_the_cell(tools: Notebook, capsys: pytest.CaptureFixture[str]) -> None:
    tools.server.answer(calls(("loud", {})), stream("ok"))
    tools.run("%%glm -T loud\nhi", "a")
    assert "printed by a tool" in capsys.readouterr().out


def test_async_functions_run_to_their_end(tools: Notebook) -> None:
    tools.run(
        "async def later(x: int):\n    'Later.'\n    import asyncio\n    await asyncio.sleep(0)\n    return x + 1"
    )
    tools.server.answer(calls(("later", {"x": 41})), stream("ok"))
    tools.run("%%glm -T later\nhi", "a")
    assert sent_after(tools)[1]["content"] == "42"


# --- an interrupt --------------------------------------------------------------------------------


def test_an_interrupt_stops_a_tool_and_leaves_no_open_call(tools: Notebook) -> None:
    tools.server.answer(calls(("stop_here", {}), text="Let me look."))
    with pytest.raises(Interrupted):
        tools.run("%%glm -T stop_here\nhi", "a")
    assert seen(tools) == ["begun"]
    assert tools.sent("%%glm\nnext", "b").messages == [("user", "hi"), ("assistant", "Let me look."), ("user", "next")]


def test_an_interrupt_in_a_second_round_keeps_the_first(tools: Notebook) -> None:
    tools.server.answer(
        calls(("get_weather", {"city": "Seoul"}), text="First."),
        calls(("stop_here", {}), text="Second."),
    )
    with pytest.raises(Interrupted):
        tools.run("%%glm -T get_weather,stop_here\nhi", "a")
    roles = [message["role"] for message in tools.sent("%%glm\nnext", "b").body["messages"]]
    assert roles == ["user", "assistant", "tool", "assistant", "user"]


def test_an_interrupt_before_any_text_keeps_nothing(tools: Notebook) -> None:
    tools.server.answer(calls(("stop_here", {})))
    with pytest.raises(Interrupted, match="only called tools"):
        tools.run("%%glm -T stop_here\nhi", "a")
    assert tools.sent("%%glm\nnext", "b").messages == [("user", "next")]
    assert signal.getsignal(signal.SIGINT) is not None


# --- what is offered -----------------------------------------------------------------------------


@pytest.mark.parametrize("line", ["-T get_weather -T loud", "-T get_weather,loud", "--tool 'get_weather, loud'"])
def test_tools_are_repeated_or_in_a_list(tools: Notebook, line: str) -> None:
    offered = tools.sent(f"%%glm {line}\nhi", "a").body["tools"]
    assert [tool["function"]["name"] for tool in offered] == ["get_weather", "loud"]


@pytest.mark.parametrize("written", ["tools=[get_weather,loud]", "tools=[get_weather, loud]", "tools=get_weather,loud"])
def test_tools_are_set_for_all_cells(tools: Notebook, written: str) -> None:
    tools.run(f"%glm_config {written}")
    offered = tools.sent("%%glm\nhi", "a").body["tools"]
    assert [tool["function"]["name"] for tool in offered] == ["get_weather", "loud"]
    assert "tools" not in tools.sent('%%glm -T ""\nhi', "b").body
    tools.run("%config GLMMagics.tools = ['loud']")
    assert [tool["function"]["name"] for tool in tools.sent("%%glm\nhi", "c").body["tools"]] == ["loud"]


def test_a_method_is_offered_by_its_last_name(tools: Notebook) -> None:
    tools.run(
        "class Shop:\n    def price(self, item: str) -> float:\n        'A price.'\n        return 2.5\nshop = Shop()"
    )
    tools.server.answer(calls(("price", {"item": "tea"})), stream("ok"))
    tools.run("%%glm -T shop.price\nhi", "a")
    assert sent_after(tools)[1]["content"] == "2.5"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("-T get_wether", "get_weather"),
        ("-T 7up", "7up"),
        ("-T seen", "function"),
        ("-T get_weather,get_weather", "get_weather"),
        ("-T get_weather,", "names"),
        ("-T shop.nothing", "shop"),
        ("--max-steps 0", "at least 1"),
        ("--param tools=[] -T loud", "-T"),
    ],
)
def test_what_cannot_be_offered_is_said_before_anything_is_sent(tools: Notebook, line: str, said: str) -> None:
    with pytest.raises((OptionError, Exception), match=said) as caught:
        tools.run(f"%%glm {line}\nhi", "a")
    assert type(caught.value).__module__ == "glm_magic.errors"
    assert tools.server.requests == []


def test_a_tool_of_the_service_is_sent_as_it_is_and_its_sources_are_shown(tools: Notebook) -> None:
    tools.run('search = {"type": "web_search", "web_search": {"enable": True, "search_result": True}}')
    found = [
        {"title": "Comets", "link": "https://example.org/comets", "media": "Example", "refer": "ref_1"},
        {"title": "Bad", "link": "javascript:alert(1)"},
    ]
    tools.server.answer(Answer([chunk("Ice [ref_1]."), chunk(finish_reason="stop", web_search=found), data("[DONE]")]))
    reply = tools.run("%%glm -T search\nWhat is a comet?", "a")
    assert tools.server.last.body["tools"] == [tools.shell.user_ns["search"]]
    assert [source.title for source in reply.sources] == ["Comets", "Bad"]
    shown = "".join(data.get("text/html", "") for data in tools.page.outputs.values())
    assert 'href="https://example.org/comets"' in shown
    assert "javascript:" not in shown
    assert tools.page.saved(MIME_TYPE)[0]["sources"][0]["media"] == "Example"


# --- agreeing ------------------------------------------------------------------------------------


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The questions that were asked; answers are taken from `answers`, set as an attribute."""
    prompts: list[str] = []

    def answer(prompt: str = "") -> str:
        prompts.append(prompt)
        said = answers.pop(0)
        if isinstance(said, BaseException):
            raise said
        return said

    answers: list[Any] = []
    prompts_with_answers = _Asked(prompts, answers)
    monkeypatch.setattr("builtins.input", answer)
    return prompts_with_answers  # type: ignore[return-value]


class _Asked:
    def __init__(self, prompts: list[str], answers: list[Any]) -> None:
        self.prompts, self.answers = prompts, answers


@pytest.mark.parametrize(("answer", "runs"), [("y", True), ("Y ", True), ("n", False), ("", False), ("what?", False)])
def test_nothing_runs_before_the_person_agrees(tools: Notebook, asked: Any, answer: str, runs: bool) -> None:
    asked.answers.append(answer)
    tools.server.answer(calls(("get_weather", {"city": "Seoul"})), stream("ok"))
    tools.run("%%glm -T get_weather --approve\nhi", "a")
    assert "get_weather" in asked.prompts[0]
    assert "Seoul" in asked.prompts[0]
    assert bool(seen(tools)) is runs
    assert ("did not allow" in sent_after(tools)[1]["content"]) is not runs


def test_arguments_are_edited_before_the_call(tools: Notebook, asked: Any) -> None:
    asked.answers += ["e", '{"town": "Busan"}', '{"city": "Busan"}', "y"]
    tools.server.answer(calls(("get_weather", {"city": "Seoul"})), stream("ok"))
    tools.run("%%glm -T get_weather --approve\nhi", "a")
    assert seen(tools) == [("Busan", "C")]
    assert sent_after(tools)[0]["tool_calls"][0]["function"]["arguments"] == '{"city": "Busan"}'
    assert "town" in asked.prompts[2]


def test_all_of_a_long_call_is_shown_before_it_can_be_agreed_to(tools: Notebook, asked: Any) -> None:
    city = "".join(f"{number} " for number in range(900)) + "; rm -rf ~"
    asked.answers += ["y", "", "y"]
    tools.server.answer(calls(("get_weather", {"city": city})), stream("ok"))
    tools.run("%%glm -T get_weather --approve\nhi", "a")
    assert [prompt.partition("\n")[0] for prompt in asked.prompts] == [f"Run (page {page} of 3)" for page in (1, 2, 3)]
    shown = "".join(line[2:] for prompt in asked.prompts for line in prompt.splitlines() if line.startswith("  "))
    assert shown == f'get_weather({{"city": "{city}"}})'
    assert all(len(line) <= 82 for prompt in asked.prompts for line in prompt.splitlines()[:-1])
    assert [prompt.count("y, n, or e") for prompt in asked.prompts] == [0, 0, 1]
    assert seen(tools) == [(city, "C")]


def test_a_long_call_is_refused_on_any_page(tools: Notebook, asked: Any) -> None:
    asked.answers += ["", "n"]
    tools.server.answer(calls(("get_weather", {"city": "x" * 10_000})), stream("ok"))
    tools.run("%%glm -T get_weather --approve\nhi", "a")
    assert len(asked.prompts) == 2
    assert seen(tools) == []


UNSEEN = [
    *("\u200b", "\u200e", "\u061c", "\u2800", "\u00ad", "\u034f", "\u115f", "\u3164", "\ufe0f", "\u2028", "\u202e"),
    *("\u2066", "\u00a0", "\u3000", "\x7f", "\x1b", "\n", "\t", "\U000e0041", "\U000e0100", "\ue000", "\ufff9"),
]


@pytest.mark.parametrize("character", UNSEEN, ids=ascii)
@pytest.mark.parametrize("ascii_only", [True, False])
def test_what_is_not_seen_is_shown_as_an_escape(
    tools: Notebook, asked: Any, character: str, *, ascii_only: bool
) -> None:
    city = f"Se{character}oul 서울 👍 é"
    asked.answers.append("y")
    arguments = json.dumps({"city": city}, ensure_ascii=ascii_only)
    tools.server.answer(calls(("get_weather", arguments)), stream("ok"))
    tools.run("%%glm -T get_weather --approve\nhi", "a")
    escape = json.dumps(character)[1:-1]
    assert asked.prompts[0].startswith(f'Run get_weather({{"city": "Se{escape}oul 서울 👍 é"}})? y')
    assert seen(tools) == [(city, "C")]


@pytest.mark.parametrize(
    "arguments",
    ['{"city": "\\u0053eoul"}', '{"city": "Busan", "city": "Seoul"}', '{\n\t"city":"Seoul"\n}'],
)
def test_arguments_are_shown_as_they_are_read(tools: Notebook, asked: Any, arguments: str) -> None:
    asked.answers.append("n")
    tools.server.answer(calls(("get_weather", arguments)), stream("ok"))
    tools.run("%%glm -T get_weather --approve\nhi", "a")
    assert asked.prompts[0].startswith('Run get_weather({"city": "Seoul"})? y')


def test_wrong_arguments_are_nothing_to_agree_to(tools: Notebook, asked: Any) -> None:
    tools.server.answer(calls(("get_weather", {})), stream("ok"))
    tools.run("%%glm -T get_weather --approve\nhi", "a")
    assert asked.prompts == []


def test_an_interrupt_at_the_question_runs_nothing(tools: Notebook, asked: Any) -> None:
    asked.answers.append(KeyboardInterrupt())
    tools.server.answer(calls(("get_weather", {"city": "Seoul"}), text="Hm."))
    with pytest.raises(Interrupted):
        tools.run("%%glm -T get_weather --approve\nhi", "a")
    assert seen(tools) == []


@pytest.mark.parametrize("nobody", [EOFError(), NotImplementedError()])
def test_where_nobody_can_answer_it_is_an_error(tools: Notebook, asked: Any, nobody: BaseException) -> None:
    asked.answers.append(nobody)
    tools.server.answer(calls(("get_weather", {"city": "Seoul"})))
    with pytest.raises(SetupError, match="nobody can type"):
        tools.run("%%glm -T get_weather --approve\nhi", "a")
    assert seen(tools) == []
    assert tools.sent("%%glm\nnext", "b").messages == [("user", "next")]


def test_a_notebook_without_a_page_is_refused_before_anything_is_sent(tools: Notebook) -> None:
    class Kernel:
        _allow_stdin = False

    tools.shell.kernel = Kernel()
    with pytest.raises(SetupError, match="nobody can type"):
        tools.run("%%glm -T get_weather --approve\nhi", "a")
    assert tools.server.requests == []


def test_agreeing_does_not_go_with_the_background(tools: Notebook) -> None:
    with pytest.raises(OptionError, match="background"):
        tools.run("%%glm -T get_weather --approve --bg\nhi", "a")
    tools.run("%glm_config approve=on")
    with pytest.raises(OptionError, match="background"):
        tools.run("%%glm -T get_weather --bg\nhi", "a")
    assert tools.server.requests == []


# --- what is kept --------------------------------------------------------------------------------


def test_a_replay_runs_no_tool_and_shows_the_same_page(tools: Notebook, tmp_path: Any) -> None:
    record = tmp_path / "answers.jsonl"
    tools.run(f"%glm_config record={record}")
    tools.server.answer(calls(("get_weather", {"city": "Seoul"}), ("fail", {"x": 1}), text="Hm."), stream("21."))
    tools.run("%%glm -T get_weather,fail\nhi", "a")
    asked = len(tools.server.requests)
    pages = []
    for _ in range(2):
        tools.restart()
        tools.run(f"%glm_config replay={record}")
        reply = tools.run("%%glm -T get_weather,fail\nhi", "a")
        pages.append(list(tools.page.outputs.values()))
    assert len(tools.server.requests) == asked
    assert seen(tools) == [("Seoul", "C")]
    assert pages[0] == pages[1]
    assert [(run.failed, call.name) for run, call in zip(reply.tool_runs, reply.tool_calls, strict=True)] == [
        (False, "get_weather"),
        (True, "fail"),
    ]
    text = tools.page.text
    assert text.index("Hm.") < text.index("get_weather(") < text.index("fail(") < text.index("21.")


def test_an_older_attempt_comes_back_with_its_calls(tools: Notebook) -> None:
    tools.server.answer(calls(("get_weather", {"city": "Seoul"})), stream("One."), stream("Two."))
    tools.run("%%glm -T get_weather\nhi", "a")
    tools.run("%%glm -T get_weather\nhi", "a")
    assert "get_weather(" not in tools.page.text
    tools.run("%glm_history --attempt 1 1", "b")
    roles = [message["role"] for message in tools.sent("%%glm\nnext", "c").body["messages"]]
    assert roles == ["user", "assistant", "tool", "assistant", "user"]
    tools.run("%glm_history --show 1")
    assert "get_weather(" in tools.page.text


# --- tools that touch what called them -----------------------------------------------------------

MEDDLING = """
def ask():
    "Ask."
    get_ipython().run_line_magic("glm", "inner")

def clear():
    "Clear."
    get_ipython().run_line_magic("glm_history", "--clear")
    return "done"
"""


@pytest.mark.parametrize("options", ["", "--bg", "-c other"])
def test_a_tool_cannot_ask_with_the_magics(tools: Notebook, options: str) -> None:
    tools.run(MEDDLING)
    tools.server.answer(calls(("ask", {})), stream("ok"))
    reply = tools.run(f"%%glm -T ask {options}\nhi", "a")
    if options == "--bg":
        reply = reply.wait(30)
    assert reply.text == "ok"
    assert "glm_magic.Chat" in sent_after(tools)[1]["content"]
    assert len(tools.server.requests) == 2
    tools.run("%glm next", "b")  # outside of a tool it can


def test_an_answer_survives_a_tool_that_clears_the_history(tools: Notebook) -> None:
    tools.run(MEDDLING)
    tools.server.answer(calls(("clear", {})), stream("ok"))
    tools.run("%%glm -T clear\nhi", "a")
    assert tools.sent("%%glm\nnext", "b").body["messages"][-2] == {"role": "assistant", "content": "ok"}


# --- odd answers ---------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", ['{"x": NaN}', '{"x": 1e999}'])
def test_numbers_that_are_no_json_are_not_sent_back(tools: Notebook, arguments: str) -> None:
    tools.server.answer(calls(("fail", arguments)), stream("ok"))
    tools.run("%%glm -T fail\nhi", "a")
    assert sent_after(tools)[0]["tool_calls"][0]["function"]["arguments"] == "{}"


def test_an_answer_of_white_space_is_none(tools: Notebook) -> None:
    tools.server.answer(calls(("loud", {})), stream("  \n"))
    tools.run("%%glm -T loud\nhi", "a")
    assert tools.page.saved(MIME_TYPE) == []
    assert tools.sent("%%glm\nnext", "b").messages == [("user", "next")]


def test_tokens_that_were_counted_for_one_request_alone_are_not_those_of_the_turn(tools: Notebook) -> None:
    tools.server.answer(calls(("loud", {})), stream("ok", usage=None))
    assert tools.run("%%glm -T loud\nhi", "a").usage is None


def test_a_one_shot_answer_that_is_not_whole_leaves_no_turn_in_the_file(tools: Notebook) -> None:
    tools.server.answer(calls(("loud", {})))
    tools.run("%%glm --no-history\nhi", "a")
    assert tools.page.saved(MIME_TYPE) == []


def test_the_estimate_counts_what_is_offered(tools: Notebook) -> None:
    tools.run("def big():\n    " + repr("word " * 4000) + "\n")
    tools.run("%%glm -T big -N\nhi", "a")
    tokens = int(tools.page.text.split("1 request: about ")[1].split()[0].replace(",", ""))
    assert tokens > 4000


def test_a_setting_that_names_what_is_gone_is_named_as_it_was_set(tools: Notebook) -> None:
    tools.run("%glm_config tools=nope")
    with pytest.raises(OptionError, match=r"%glm_config tools nope"):
        tools.run("%%glm\nhi", "a")
    tools.run("names = 'loud,fail'")
    with pytest.raises(OptionError, match="Repeat -T"):
        tools.run("%%glm -T {{ names }}\nhi", "a")
    assert tools.server.requests == []


def test_thoughts_before_and_after_a_call_are_two(tools: Notebook) -> None:
    tools.server.answer(
        Answer([chunk(delta={"reasoning_content": "First."}), *calls(("loud", {})).steps]),
        Answer([chunk(delta={"reasoning_content": "Second."}), *stream("ok").steps]),
    )
    reply = tools.run("%%glm -T loud\nhi", "a")
    assert reply.reasoning == "First.\n\nSecond."
    assert any("First.\n\nSecond." in data.get("text/html", "") for data in tools.page.outputs.values())
