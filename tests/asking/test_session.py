from __future__ import annotations

import pytest

from glm_magic.asking.session import Session
from glm_magic.chat.messages import Message
from glm_magic.chat.place import Place
from glm_magic.errors import PromptError, SetupError
from glm_magic.settings.layers import Layers

PLACE = Place("a")
HI = Message("user", "hi")


def body(environ: dict[str, str], text: str = "hi") -> dict[str, object]:
    return dict(Session(Layers(environ)).plan(Message("user", text), PLACE).body)


def test_glms_own_hosts_get_model_messages_and_stream_alone() -> None:
    assert set(body({"GLM_API_KEY": "id.secret"})) == {"model", "messages", "stream"}
    assert set(body({"GLM_API_KEY": "id.secret", "GLM_BASE_URL": "https://api.z.ai/api/paas/v4"})) == {
        "model",
        "messages",
        "stream",
    }


def test_other_hosts_are_asked_to_count_the_tokens_of_a_stream() -> None:
    assert body({"GLM_BASE_URL": "https://h.example/v1"})["stream_options"] == {"include_usage": True}


def test_a_key_without_an_endpoint_goes_to_glms_own() -> None:
    endpoint = Session(Layers({"ZAI_API_KEY": "id.secret"})).plan(HI, PLACE).endpoint
    assert endpoint is not None
    assert endpoint.url == "https://open.bigmodel.cn/api/paas/v4/chat/completions"


@pytest.mark.parametrize("variable", ["GLM_BASE_URL", "ZAI_BASE_URL", "ZHIPUAI_BASE_URL"])
def test_the_endpoint_comes_from_these_variables(variable: str) -> None:
    endpoint = Session(Layers({variable: "http://127.0.0.1:1/v1/", "GLM_MODEL": "m"})).plan(HI, PLACE).endpoint
    assert endpoint is not None
    assert endpoint.url == "http://127.0.0.1:1/v1/chat/completions"


def test_the_embedded_model_is_asked_for_by_name_even_with_a_key() -> None:
    environ = {"GLM_API_KEY": "id.secret", "GLM_MODEL": "embedded"}
    question = Session(Layers(environ)).plan(HI, PLACE)
    assert question.is_embedded
    assert question.body["model"] == "SmolLM2-135M-Instruct.Q4_1"


def test_a_name_is_sent_as_it_is_typed() -> None:
    assert body({"GLM_API_KEY": "id.secret", "GLM_MODEL": "glm-4-AIR"})["model"] == "glm-4-AIR"


def test_planning_changes_nothing() -> None:
    session = Session(Layers({"GLM_BASE_URL": "http://127.0.0.1:1/v1"}))
    session.plan(HI, PLACE)
    assert session.chats == {}


def test_half_a_character_cannot_be_put_into_a_conversation() -> None:
    session = Session(Layers({}))
    with pytest.raises(PromptError):
        session.history.put_in(Message("system", "\ud83d"), PLACE)
    assert session.chats == {}


def test_the_key_goes_nowhere_unencrypted() -> None:
    with pytest.raises(SetupError, match="unencrypted"):
        body({"GLM_API_KEY": "id.secret", "GLM_BASE_URL": "http://10.0.0.1/v1"})
