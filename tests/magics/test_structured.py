"""Answers that are data, or code: asked for, checked, asked for once more, and on the page."""

from __future__ import annotations

import json
from typing import Any

import pytest
from glm_server import calls, stream
from ipython_shell import Notebook
from waiting import comes_true

from glm_magic.errors import AnswerMismatch, CellError, Interrupted, OptionError, SetupError
from glm_magic.notebook.bundle import MIME_TYPE

CITY = """
import dataclasses, typing, pydantic

class City(pydantic.BaseModel):
    name: str
    people: int

@dataclasses.dataclass
class Town:
    name: str
    people: int

class Place(typing.TypedDict):
    name: str
    people: int

as_json = {"type": "object", "properties": {"name": {"type": "string"}, "people": {"type": "integer"}},
           "required": ["name", "people"]}
"""
SEOUL = '{"name": "서울", "people": 9400000}'


@pytest.fixture
def types(notebook: Notebook) -> Notebook:
    notebook.run(CITY)
    return notebook


def html(notebook: Notebook) -> str:
    return "".join(data.get("text/html", "") for data in notebook.page.outputs.values())


@pytest.mark.parametrize("name", ["City", "Town", "Place", "as_json"])
def test_the_answer_is_read_as_what_was_asked_for(types: Notebook, name: str) -> None:
    types.server.answer(stream('{"name": "서', '울", "people": 9400000}'))
    reply = types.run(f"%%glm --schema {name} -o seoul\nTell me of Seoul.", "a")
    assert types.server.last.body["response_format"] == {"type": "json_object"}
    role, said = types.server.last.messages[0]
    assert role == "system"
    assert '"people"' in said
    value = reply.parsed
    people = value["people"] if isinstance(value, dict) else value.people
    assert people == 9_400_000
    assert types.shell.user_ns["seoul"] is reply
    assert "서울" in html(types)
    assert '"people": 9400000' in types.page.text


def test_a_list_of_models_is_a_list(types: Notebook) -> None:
    types.server.answer(stream(json.dumps({"items": [json.loads(SEOUL), {"name": "Busan", "people": 3_300_000}]})))
    reply = types.run("%%glm --schema list[City]\nCities?", "a")
    assert [city.name for city in reply.parsed] == ["서울", "Busan"]
    assert "<table" in html(types)


def test_the_schema_is_said_after_the_system_message_and_in_the_dry_run(types: Notebook) -> None:
    types.run("%%glm -s 'Be short.' --schema City -N\nhi", "a")
    shown = types.page.text
    assert "Be short." in shown
    assert "json_object" in shown
    types.server.answer(stream(SEOUL))
    (_, system), _ = types.sent("%%glm -s 'Be short.' --schema City\nhi", "a").messages
    assert system.startswith("Be short.\n\n")


def test_a_server_that_knows_schemas_gets_it_as_a_field(types: Notebook) -> None:
    types.run("%glm_config schema_mode=json_schema")
    types.server.answer(stream(SEOUL))
    types.run("%%glm --schema City\nhi", "a")
    asked = types.server.last.body
    assert asked["response_format"]["type"] == "json_schema"
    assert "people" in asked["response_format"]["json_schema"]["schema"]["properties"]
    assert [message["role"] for message in asked["messages"]] == ["user"]


def test_an_answer_that_does_not_fit_is_asked_for_once_more(types: Notebook) -> None:
    types.server.answer(stream('{"name": "Seoul", "people": "many"}'), stream(SEOUL))
    reply = types.run("%%glm --schema City\nhi", "a")
    assert reply.parsed.people == 9_400_000
    assert reply.usage.total_tokens == 24
    roles = [role for role, _ in types.server.last.messages]
    assert roles == ["system", "user", "assistant", "user"]
    assert "people" in types.server.last.messages[-1][1]
    assert "asking again" in types.page.text
    sent = types.sent("%%glm\nnext", "b").messages
    assert sent == [("user", "hi"), ("assistant", SEOUL), ("user", "next")]


def test_a_second_answer_that_does_not_fit_is_an_error_that_keeps_both_on_the_page(types: Notebook) -> None:
    types.server.answer(stream('{"name": "One"}'), stream("Two is no JSON."))
    with pytest.raises(AnswerMismatch, match="JSON"):
        types.run("%%glm --schema City\nhi", "a")
    assert "One" in types.page.text
    assert "Two is no JSON." in types.page.text
    assert types.page.saved(MIME_TYPE) == []
    assert types.sent("%%glm\nnext", "b").messages == [("user", "next")]


def test_an_answer_cut_off_at_its_most_tokens_is_not_asked_for_again(types: Notebook) -> None:
    types.server.answer(stream('{"name": "Se', finish_reason="length"))
    with pytest.raises(AnswerMismatch, match="--max-tokens"):
        types.run("%%glm --schema City\nhi", "a")
    assert len(types.server.requests) == 1


def test_json_asks_for_an_object_and_adds_nothing(types: Notebook) -> None:
    types.server.answer(stream('```json\n{"a": [1, 2]}\n```'))
    reply = types.run("%%glm --json\nGive me JSON.", "a")
    assert types.server.last.messages == [("user", "Give me JSON.")]
    assert types.server.last.body["response_format"] == {"type": "json_object"}
    assert reply.parsed == {"a": [1, 2]}


def test_what_streams_is_shown_as_it_comes(types: Notebook) -> None:
    import threading

    gate = threading.Event()
    seen: list[str] = []
    publish = types.page.publish

    def noting(data: dict[str, Any], *args: Any, **kwargs: Any) -> None:
        publish(data, *args, **kwargs)
        if "text/markdown" in data:
            seen.append(data["text/markdown"])
            gate.set()

    types.page.publish = noting  # type: ignore[method-assign]
    types.server.answer(stream('{"name": "Seo', gate, 'ul", "people": 1}'))
    types.run("%%glm --schema City\nhi", "a")
    assert seen[0].startswith("```json")
    assert "Seo" in seen[0]


def test_a_replay_gives_the_value_again(types: Notebook, tmp_path: Any) -> None:
    types.run(f"%glm_config record={tmp_path / 'a.jsonl'}")
    types.server.answer(stream("no"), stream(SEOUL))
    types.run("%%glm --schema City\nhi", "a")
    asked = len(types.server.requests)
    types.restart()
    types.run(f"%glm_config replay={tmp_path / 'a.jsonl'}")
    reply = types.run("%%glm --schema City\nhi", "a")
    assert len(types.server.requests) == asked
    assert reply.parsed.people == 9_400_000
    assert "asking again" not in types.page.text


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("--schema Citty", "City"),
        ("--schema 7", "type"),
        ("--schema list[", "SyntaxError"),
        ("--schema City --json", "cannot be combined"),
        ('--schema ""', "name"),
        ("--param response_format={}", "--json"),
    ],
)
def test_what_is_no_schema_is_said_before_anything_is_sent(types: Notebook, line: str, said: str) -> None:
    with pytest.raises(OptionError, match=said):
        types.run(f"%%glm {line}\nhi", "a")
    assert types.server.requests == []


# --- code ----------------------------------------------------------------------------------------

WITH_CODE = "Here you are:\n\n```python\nprint(1)\n```\n\nand then\n\n```sh\nls\n```\n\nThat is all."


def test_only_the_code_is_shown_and_the_reply_has_all(notebook: Notebook) -> None:
    notebook.server.answer(stream(WITH_CODE))
    reply = notebook.run("%%glm -f code\nhi", "a")
    assert reply.text == WITH_CODE
    assert reply.code == "print(1)\n\nls"
    shown = "".join(data.get("text/markdown", "") for data in notebook.page.outputs.values())
    assert "```python\nprint(1)\n```" in shown
    assert "Here you are" not in shown
    assert "Here you are" not in notebook.page.text
    assert notebook.sent("%%glm\nnext", "b").messages[1] == ("assistant", WITH_CODE)


def test_an_answer_without_code_says_so(notebook: Notebook) -> None:
    notebook.server.answer(stream("No code today."))
    reply = notebook.run("%%glm -f code\nhi", "a")
    assert reply.code == ""
    assert "no code" in notebook.page.text
    with pytest.raises(CellError):
        reply.to_cell()


def test_the_code_goes_into_a_new_cell_once(notebook: Notebook) -> None:
    notebook.server.answer(stream(WITH_CODE))
    reply = notebook.run("%%glm\nhi", "a")
    notebook.run("_glm.to_cell()", "b")
    assert notebook.shell.rl_next_input == reply.code
    notebook.shell.rl_next_input = None
    notebook.run("_glm.to_cell()", "b")
    assert notebook.shell.rl_next_input is None


def test_a_reply_of_another_kernel_has_no_cell() -> None:
    from glm_magic.chat.reply import Reply

    with pytest.raises(SetupError):
        Reply("```\n1\n```").to_cell()


def test_a_bug_in_a_check_of_ones_own_is_an_error_that_is_not_asked_about(notebook: Notebook) -> None:
    notebook.run("""
import pydantic
class City(pydantic.BaseModel):
    name: str
    @pydantic.field_validator("name")
    @classmethod
    def known(cls, name):
        return {"Seoul": "Seoul"}[name]
""")
    notebook.server.answer(stream('{"name": "Seoul"}'), stream('{"name": "Busan"}'))
    notebook.run("%%glm --schema City\nhi", "a")
    with pytest.raises(AnswerMismatch, match="KeyError: 'Busan'"):
        notebook.run("%%glm --schema City\nhi", "a")
    assert len(notebook.server.requests) == 2
    assert "failed" in notebook.page.text
    assert notebook.sent("%%glm\nnext", "b").messages == [("user", "next")]


STOPPED = """
import pydantic, signal, sys, threading, typing
begun, gate = [], threading.Event()

def stopped(value):
    begun.append("begun")
    signal.raise_signal(signal.SIGINT)
    begun.append("went on")
    return value

def waiting(value):
    begun.append("begun")
    gate.wait()
    return value

class Stopped(pydantic.BaseModel):
    name: typing.Annotated[str, pydantic.AfterValidator(stopped)]

class Waiting(pydantic.BaseModel):
    name: typing.Annotated[str, pydantic.AfterValidator(waiting)]

class Leaving(pydantic.BaseModel):
    name: typing.Annotated[str, pydantic.AfterValidator(lambda name: sys.exit())]

def look(name: typing.Annotated[str, pydantic.AfterValidator(stopped)]):
    return begun.append("ran")
"""


def test_a_first_interrupt_stops_a_validator_at_once_and_keeps_the_order(notebook: Notebook) -> None:
    notebook.run(STOPPED)
    notebook.run("%%glm\nfirst", "a")
    notebook.server.answer(stream('{"name": "x"}'))
    with pytest.raises(Interrupted, match="What had arrived is kept"):
        notebook.run("%%glm --schema Stopped\nhi", "b")
    assert notebook.shell.user_ns["begun"] == ["begun"]
    notebook.run("%%glm\nlast", "c")
    notebook.run("%%glm\nagain", "b")
    said = [text for role, text in notebook.sent("%%glm\nnext", "d").messages if role == "user"]
    assert said == ["first", "again", "last", "next"]


def test_a_first_interrupt_stops_a_validator_of_arguments_at_once(notebook: Notebook) -> None:
    notebook.run(STOPPED)
    notebook.server.answer(calls(("look", {"name": "x"}), text="I look."))
    with pytest.raises(Interrupted):
        notebook.run("%%glm -T look\nhi", "a")
    assert notebook.shell.user_ns["begun"] == ["begun"]
    assert notebook.sent("%%glm\nnext", "b").messages == [("user", "hi"), ("assistant", "I look."), ("user", "next")]


def test_a_first_interrupt_stops_the_expression_of_a_schema_at_once(notebook: Notebook) -> None:
    notebook.run(STOPPED)
    with pytest.raises(Interrupted, match="Nothing was sent"):
        notebook.run("%%glm --schema stopped(Stopped)\nhi", "a")
    assert notebook.shell.user_ns["begun"] == ["begun"]


def test_a_stop_in_the_background_leaves_a_validator_behind(notebook: Notebook) -> None:
    notebook.run(STOPPED)
    notebook.server.answer(stream('{"name": "x"}'))
    pending = notebook.run("%%glm --bg --schema Waiting\nhi", "a")
    assert comes_true(lambda: notebook.shell.user_ns["begun"] == ["begun"])
    pending.stop()
    assert pending.wait(60).interrupted
    notebook.shell.user_ns["gate"].set()


def test_a_validator_that_exits_is_an_error_and_ends_nothing(notebook: Notebook) -> None:
    notebook.run(STOPPED)
    notebook.server.answer(stream('{"name": "x"}'))
    with pytest.raises(AnswerMismatch, match="SystemExit"):
        notebook.run("%%glm --schema Leaving\nhi", "a")
