"""Asking from Python, without magics."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Generator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from glm_server import CUT, Answer, GlmServer, calls, chunk, stream
from PIL import Image

from glm_magic import Chat
from glm_magic.chat.attempt import Attempt
from glm_magic.chat.events import Event, Finished, TextDelta, Tick, ToolResult
from glm_magic.chat.messages import Message
from glm_magic.errors import BrokenStream, HistoryError, OptionError, PromptError, SettingError
from glm_magic.notebook.bundle import MIME_TYPE, encode
from glm_magic.service.embedded import EmbeddedModel
from glm_magic.service.endpoint import Endpoint


@pytest.fixture
def chat(server: GlmServer) -> Any:
    with Chat(model="GLM-4-Air", base_url=server.url) as chat:
        yield chat


def double(x: int) -> int:
    """Double a number."""
    return 2 * x


@dataclass
class City:
    name: str


def test_a_question_gives_its_reply_and_the_next_is_sent_after_it(chat: Chat, server: GlmServer) -> None:
    server.answer(stream("Halley."))
    reply = chat("Name a comet.")
    assert str(reply) == "Halley."
    assert reply.usage.total_tokens == 12
    chat("And its tail?")
    assert server.last.messages == [("user", "Name a comet."), ("assistant", "Halley."), ("user", "And its tail?")]
    assert [message.content for message in chat.messages][:2] == ["Name a comet.", "Halley."]


def test_an_answer_is_streamed_as_it_comes(chat: Chat, server: GlmServer) -> None:
    gate = threading.Event()
    server.answer(stream("one ", gate, "two"))
    answer = chat.stream("hi")
    assert next(answer) == "one "
    gate.set()
    assert list(answer) == ["two"]
    assert answer.reply.text == "one two"


def test_who_leaves_early_keeps_what_had_arrived(chat: Chat, server: GlmServer) -> None:
    server.answer(stream("one ", threading.Event(), "two"))
    with chat.stream("hi") as answer:
        assert next(answer) == "one "
    assert answer.reply.interrupted
    assert chat.messages[-1].content == "one "
    assert server.hung_up.wait(60)


def test_settings_of_a_call_are_for_that_call(chat: Chat, server: GlmServer) -> None:
    chat("hi", temperature=0.2, system="Be short.")
    assert server.last.body["temperature"] == 0.2
    assert server.last.messages[0] == ("system", "Be short.")
    chat("hi", extra={"seed": 7})
    assert "temperature" not in server.last.body
    assert server.last.body["seed"] == 7


@pytest.mark.parametrize("value", [float("nan"), [float("inf")]])
def test_a_value_that_json_cannot_hold_is_an_error_before_anything_is_sent(
    chat: Chat, server: GlmServer, value: object
) -> None:
    with pytest.raises(SettingError, match="cannot be"):
        chat("hi", extra={"seed": value})
    assert not server.requests


def test_what_is_wrong_is_said_before_anything_is_sent(chat: Chat, server: GlmServer) -> None:
    with pytest.raises(SettingError, match="temperature"):
        Chat(temperatur=0.2)
    with pytest.raises(SettingError, match="0 to 2"):
        chat("hi", temperature=3.0)
    with pytest.raises(PromptError):
        chat("  ")
    with pytest.raises(OptionError):
        chat("hi", tools=[7])
    assert server.requests == []


def test_tools_run_and_may_be_refused(server: GlmServer) -> None:
    server.answer(calls(("double", {"x": 21})), stream("42"), calls(("double", {"x": 1})), stream("no"))
    allowed: list[str] = []
    chat = Chat(model="m", base_url=server.url, tools=[double], approve=lambda call: allowed.append(call.name) or False)
    events = list(chat.stream("hi").events())
    assert [event.failed for event in events if isinstance(event, ToolResult)] == [True]
    assert isinstance(events[-1], Finished)
    assert allowed == ["double"]
    other = Chat(model="m", base_url=server.url)
    reply = other("hi", tools=[double])
    assert [message.content for message in reply.steps if message.role == "tool"] == ["2"]


def test_a_schema_gives_values(chat: Chat, server: GlmServer) -> None:
    server.answer(stream('{"name": "Seoul"}'), stream('{"items": [{"name": "Busan"}]}'))
    assert chat("hi", schema=City).parsed == City("Seoul")
    assert chat("hi", schema=list[City]).parsed == [City("Busan")]


def test_the_conversation_is_changed(chat: Chat, server: GlmServer) -> None:
    chat("one")
    chat("two")
    chat.undo()
    assert [message.content for message in chat.messages] == ["one", "You said: one"]
    chat("once", history=False)
    assert server.last.messages == [("user", "once")]
    assert len(chat.messages) == 2
    chat.clear()
    assert chat.messages == ()


def test_a_failure_is_raised_and_leaves_nothing(chat: Chat, server: GlmServer) -> None:
    server.answer(Answer([chunk("half"), CUT]))
    with pytest.raises(BrokenStream) as caught:
        chat("hi")
    assert caught.value.partial.text == "half"
    assert chat.messages == ()


def test_a_chat_of_a_notebook_is_taken_over(chat: Chat, tmp_path: Any) -> None:
    empty = tmp_path / "empty.ipynb"
    empty.write_text('{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}')
    with pytest.raises(HistoryError, match="no chat"):
        chat.restore(empty)


def test_what_a_restored_file_has_damaged_is_warned_of(chat: Chat, server: GlmServer, tmp_path: Path) -> None:
    good = encode("main", Attempt("a", (Message("user", "q"), Message("assistant", "r"))))
    outputs = [
        {"output_type": "display_data", "metadata": {}, "data": {MIME_TYPE: turn}} for turn in (good, {"version": 1})
    ]
    cell = {"cell_type": "code", "id": "a", "metadata": {}, "source": "", "execution_count": 1, "outputs": outputs}
    path = tmp_path / "saved.ipynb"
    path.write_text(json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    with pytest.warns(UserWarning, match=r"saved\.ipynb: .*damaged") as caught:
        chat.restore(path)
    assert [warning.filename for warning in caught] == [__file__]
    assert [message.content for message in chat.messages] == ["q", "r"]


@pytest.mark.parametrize("characters", [6, 20])
def test_an_answer_that_is_stopped_has_all_that_came_but_the_key(
    server: GlmServer, monkeypatch: pytest.MonkeyPatch, characters: int
) -> None:
    key = "0123456789abcdef0123456789abcdef"
    monkeypatch.setenv("GLM_API_KEY", key)
    gate = threading.Event()
    server.answer(stream("It is ", key[:characters], gate, key[characters:]))
    with Chat(model="m", base_url=server.url) as chat:
        answer = chat.stream("hi")
        has_begun = False
        for event in answer.events():
            has_begun = has_begun or isinstance(event, TextDelta)
            if has_begun and isinstance(event, Tick) and event.silence > 0.2:  # what came has been read
                break
        answer.close()
        gate.set()
        text = chat.messages[-1].content
    assert text.startswith("It is ")
    assert text.removeprefix("It is ") == (key[:6] if characters == 6 else "…cdef")
    assert key[:12] not in text


def test_neither_ipython_nor_widgets_are_needed(server: GlmServer) -> None:
    code = f"""
import sys
for name in ("IPython", "ipykernel", "ipywidgets", "anywidget", "traitlets", "nbformat", "rich"):
    sys.modules[name] = None
from glm_magic import Chat
print(Chat(model="m", base_url={server.url!r})("hi"))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "You said: hi\n", done.stderr


def test_what_must_be_agreed_to_does_not_run_where_nobody_is_asked(
    server: GlmServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GLM_APPROVE", "on")
    with pytest.raises(SettingError, match="no function to ask"):
        Chat(model="m", base_url=server.url, tools=[double])("hi")
    with pytest.raises(SettingError, match="function"):
        Chat(approve=True)
    assert server.requests == []


def test_questions_from_many_threads_are_all_kept(chat: Chat) -> None:
    begin = threading.Barrier(16)

    def ask(number: int) -> None:
        begin.wait()
        chat(f"question {number}")

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    asked = [message.content for message in chat.messages if message.role == "user"]
    assert sorted(asked) == sorted(f"question {number}" for number in range(16))


def test_an_error_is_raised_again_by_whoever_looks_for_the_reply(chat: Chat, server: GlmServer) -> None:
    server.answer(Answer([chunk("half"), CUT]))
    answer = chat.stream("hi")
    for _ in range(2):
        with pytest.raises(BrokenStream, match="broke"):
            _ = answer.reply


def test_a_prompt_may_be_a_reply_an_image_or_a_list_of_them(chat: Chat, server: GlmServer) -> None:
    reply = chat("hi", history=False)
    chat(reply, history=False)
    assert server.last.messages == [("user", "You said: hi")]
    chat(["Repeat: ", reply, " and ", 7, " of ", pd.DataFrame({"a": [1]})], history=False)
    assert server.last.messages == [("user", "Repeat: You said: hi and 7 of a\n1")]
    other = Chat(model="glm-4.6v", base_url=server.url)
    other(Image.new("RGB", (2, 2)))
    assert [part["type"] for part in server.last.body["messages"][0]["content"]] == ["image_url"]


@pytest.mark.parametrize(
    ("prompt", "hint"),
    [
        (b"hi", "decode"),
        ([b"hi"], "decode"),
        ({"role": "user", "content": "hi"}, "message\\[.content.\\]"),
        ([{"role": "user", "content": "hi"}], "message\\[.content.\\]"),
        (Message("user", "hi"), "message.content"),
        (Path("notes.py"), "read_text"),
        (None, "list"),
        (7, "list"),
        ([["hi"]], "list"),
        ({"hi"}, "list"),
        (pd.DataFrame({"a": [1]}), "list"),
        ((text for text in "hi"), "list"),
    ],
)
def test_what_is_no_prompt_is_refused_with_what_would_be(
    chat: Chat, server: GlmServer, prompt: object, hint: str
) -> None:
    with pytest.raises(PromptError, match=f"(?s)A prompt is text.*{hint}"):
        chat(prompt)
    assert server.requests == []


def test_a_prompt_may_hold_documents(chat: Chat, server: GlmServer, tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("# Title")
    server.answer(stream("A title."), stream("A title."))
    chat(["What is this?\n", tmp_path / "a.md"])
    chat(tmp_path / "a.md", history=False)
    assert [request.messages[-1][1] for request in server.requests] == ["What is this?\n# Title", "# Title"]
    with pytest.raises(PromptError, match=r"^b.md does not exist"):
        chat(tmp_path / "b.md")


def test_a_value_in_a_prompt_is_not_cut(chat: Chat, server: GlmServer) -> None:
    with pytest.raises(PromptError, match="ndarray leaves something out"):
        chat(["Numbers:", np.arange(5_000)])
    assert server.requests == []


def test_settings_and_further_fields_may_be_numbers_of_other_libraries(chat: Chat, server: GlmServer) -> None:
    further = {
        "seed": np.int64(3),
        "weights": np.array([0.5, 1.0]),
        "odds": Decimal("0.1"),
        "of": {"n": np.float32(0.5)},
    }
    chat("hi", temperature=np.float64(0.5), max_tokens=np.int64(7), extra=further)
    sent = server.last.body
    assert (sent["temperature"], sent["max_tokens"]) == (0.5, 7)
    assert {name: sent[name] for name in further} == {"seed": 3, "weights": [0.5, 1.0], "odds": 0.1, "of": {"n": 0.5}}


@pytest.mark.parametrize(
    ("extra", "fault"),
    [
        ({"messages": []}, "does not set 'messages'.*history=False"),
        ({"stream": False}, "does not set 'stream'"),
        ({"tools": []}, "does not set 'tools'.*tools="),
        ({"response_format": {}}, "does not set 'response_format'.*schema="),
        ({"temperature": 0.5}, r"does not set 'temperature'.*temperature="),
        ({"n": 2}, "does not set 'n'"),
        ({"when": date(2024, 2, 29)}, "a date is not JSON"),
        ({"seed": float("nan")}, "not JSON compliant"),
        ({"seed": np.float64("inf")}, "not JSON compliant"),
        ({"of": {1, 2}}, "a set is not JSON"),
        ({"of": {(1, 2): 3}}, "keys must be"),
        ({1: 2}, "takes a dict of request fields"),
        ([("seed", 1)], "takes a dict of request fields"),
    ],
)
def test_further_fields_that_cannot_be_sent_are_refused(chat: Chat, server: GlmServer, extra: Any, fault: str) -> None:
    with pytest.raises(SettingError, match=f"(?s){fault}"):
        chat("hi", extra=extra)
    assert server.requests == []


def test_the_first_answer_of_the_embedded_model_warns_that_it_is_one(
    server: GlmServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("glm_magic.service.services.is_installed", lambda: True)
    monkeypatch.setattr("glm_magic.service.embedded.is_installed", lambda: True)

    def ready(*_: object) -> Generator[Event, None, Endpoint]:
        yield from ()
        return Endpoint(server.url, embedded=True)

    monkeypatch.setattr(EmbeddedModel, "ready", ready)
    with Chat() as chat:
        with pytest.warns(UserWarning, match="embedded model SmolLM2.* answers this Chat") as warned:
            chat("hi")
        assert warned[0].filename == __file__
        chat("again")  # a warning is an error here
    with Chat(model="embedded") as chat:
        chat("who names it knows")
    assert len(server.requests) == 3


def test_several_stop_sequences_are_all_sent(chat: Chat, server: GlmServer) -> None:
    chat("hi", stop=["a", "b"])
    assert server.last.body["stop"] == ["a", "b"]
    chat("hi", stop="a")
    assert server.last.body["stop"] == ["a"]
