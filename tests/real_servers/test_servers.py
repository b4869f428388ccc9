"""The main job against servers that nobody here wrote."""

from __future__ import annotations

import os

import pydantic
import pytest
from servers import RealServer

import glm_magic
from glm_magic import Chat
from glm_magic.errors import AnswerMismatch, AuthenticationError, ModelUnknown, PromptTooLong
from glm_magic.service.services import Services
from glm_magic.settings.layers import Layers

ALL = ("llama_cpp", "litellm", "transformers")
# `transformers serve` reads neither tools nor response_format with this model, and takes any key.
FULL = ("llama_cpp", "litellm")


def of(*names: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("real", names, indirect=True)


STORY = "Write a long story about a city."


def tokens(real: RealServer) -> int:
    """Return how many take the server some seconds: what comes faster than it is read comes in one piece."""
    return 16 if real.name == "transformers" else 200


class City(pydantic.BaseModel):
    name: str


@of(*ALL)
def test_an_answer_streams_and_the_next_question_follows_it(real: RealServer) -> None:
    most = tokens(real)
    with Chat(max_tokens=most) as chat:
        stream = chat.stream(STORY)
        pieces = list(stream)
        assert len(pieces) > 1
        assert stream.reply.text == "".join(pieces)
        assert stream.reply.finish_reason in ("stop", "length")
        assert stream.reply.usage is not None
        assert 0 < stream.reply.usage.completion_tokens <= most
        assert chat("And then?", max_tokens=4).text
        assert [message.role for message in chat.messages] == ["user", "assistant"] * 2


@of(*ALL)
def test_a_stop_keeps_what_has_arrived_and_the_server_goes_on(real: RealServer) -> None:
    with Chat(max_tokens=10 * tokens(real)) as chat:
        with chat.stream(STORY) as stream:
            begun = next(stream)
        assert chat.messages[-1].content.startswith(begun)
        assert stream.reply.interrupted
        assert chat("Say hi.", max_tokens=4, history=False).text


@of(*ALL)
def test_a_comparison_asks_several_at_once(real: RealServer) -> None:
    rows = [{"word": "sun"}, {"word": "moon"}]
    found = glm_magic.compare("A word that rhymes with {{ word }}:", rows=rows, temperature=[0, 1], max_tokens=4)
    assert [run.state for run in found] == ["done"] * 4


@of(*ALL)
def test_its_models_are_listed(real: RealServer) -> None:
    services = Services(dict(os.environ))
    try:
        assert real.model in services.list_models(Layers(os.environ).values({}))
    finally:
        services.close()


@of(*FULL)
def test_a_tool_is_called_and_its_result_is_read(real: RealServer) -> None:
    asked: list[str] = []

    def get_weather(city: str) -> str:
        """Tell the weather of a city."""
        asked.append(city)
        return f"snow in {city}"

    with Chat(tools=[get_weather], max_tokens=60, temperature=0.3, history=False) as chat:
        replies = (chat("What is the weather in Seoul?") for _ in range(10))
        reply = next(reply for reply in replies if reply.tool_calls)  # so small a model does not always call
    assert "Seoul" in asked
    assert reply.text
    assert [message.role for message in reply.steps] == ["assistant", "tool"] * (len(reply.steps) // 2)


@of(*FULL)
def test_an_answer_fits_its_schema(real: RealServer) -> None:
    with Chat(schema=City, schema_mode="json_schema", max_tokens=60) as chat:
        assert isinstance(chat("Name a city, as JSON.").parsed, City)


@of("transformers")
def test_a_server_that_ignores_the_schema_is_found_out(real: RealServer) -> None:
    with Chat(schema=City, max_tokens=8) as chat, pytest.raises(AnswerMismatch):
        chat("Name a city.")


@of(*FULL)
def test_a_wrong_key_is_said(real: RealServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLM_API_KEY", "wrong")
    with Chat() as chat, pytest.raises(AuthenticationError):
        chat("hi")


@of("litellm", "transformers")
def test_a_model_that_is_not_there_is_said(real: RealServer) -> None:  # llama.cpp answers to any name
    with Chat(model="nobody") as chat, pytest.raises(ModelUnknown, match="no model 'nobody'"):
        chat("hi")


@of(*FULL)
def test_a_prompt_that_is_too_long_is_said_with_its_tokens(real: RealServer) -> None:
    with Chat() as chat, pytest.raises(PromptTooLong, match="over the limit of 8192"):
        chat("word " * 9000)
