import pytest

from glm_magic.chat.messages import Message
from glm_magic.errors import PromptError
from glm_magic.protocol.request import body, parameters, reads_text_only, refuse_images, without_images
from glm_magic.protocol.tokens import IMAGE_TOKENS, estimated_content_tokens, estimated_text_tokens, estimated_tokens
from glm_magic.settings.layers import Layers

TEXT = {"type": "text", "text": "abcd"}
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 4000}}
LOOK = [Message.of_parts("user", [TEXT, IMAGE, TEXT])]
HI = [Message("user", "hi")]


def settings(**options):
    return Layers({}).values({"model": "GLM-4-Air", **options})


def test_a_parameter_that_nobody_set_is_not_sent():
    expected = {"model": "GLM-4-Air", "messages": [{"role": "user", "content": "hi"}], "stream": True}
    assert body(settings(), HI) == expected


def test_what_is_set_is_sent():
    sent = parameters(body(settings(temperature=0.2, top_p=0.9, max_tokens=5), HI))
    assert sent == {"model": "GLM-4-Air", "stream": True, "temperature": 0.2, "top_p": 0.9, "max_tokens": 5}


def test_a_temperature_of_zero_is_sent():
    assert body(settings(temperature=0.0, top_p=0.0), HI)["temperature"] == 0.0
    assert body(settings(temperature=0.0, top_p=0.0), HI)["top_p"] == 0.0


def test_a_stop_word_is_sent_as_a_list_of_one():
    assert body(settings(stop="\n"), HI)["stop"] == ["\n"]


def test_an_empty_stop_word_is_not_sent():
    assert "stop" not in body(settings(stop=""), HI)


def test_settings_that_are_no_fields_are_not_sent():
    sent = body(settings(system="s", base_url="http://h", api_key_env="K", format="text"), HI)
    assert set(sent) == {"model", "messages", "stream"}


def test_usage_is_asked_for_only_where_a_stream_needs_it():
    assert body(settings(), HI, stream_usage=True)["stream_options"] == {"include_usage": True}
    assert "stream_options" not in body(settings(), HI, stream_usage=True, stream=False)
    assert body(settings(), HI, stream=False)["stream"] is False


def test_further_fields_are_sent_as_they_are():
    assert body(settings(), HI, extra={"seed": 7, "thinking": {"type": "disabled"}})["thinking"] == {"type": "disabled"}


def test_a_null_for_stream_options_leaves_them_out():
    assert "stream_options" not in body(settings(), HI, stream_usage=True, extra={"stream_options": None})


def test_the_parameters_are_the_body_without_the_conversation():
    assert parameters({"model": "m", "messages": [1], "seed": 2}) == {"model": "m", "seed": 2}


def test_a_chinese_sign_is_about_a_token_and_four_others_are_one():
    assert estimated_text_tokens("中文") == 2
    assert estimated_text_tokens("abcd") == 1
    assert estimated_text_tokens("abcde") == 2
    assert estimated_text_tokens("") == 0


def test_each_message_has_a_few_tokens_of_its_own():
    assert estimated_tokens(body(settings(), HI * 3)) == 3 * (1 + 4)


def test_an_image_is_reckoned_as_so_many_tokens_whatever_its_bytes_are():
    assert estimated_content_tokens([TEXT, IMAGE, TEXT]) == 1 + IMAGE_TOKENS + 1
    assert estimated_content_tokens("abcd") == 1
    assert estimated_tokens(body(settings(), [*HI, *LOOK])) == 1 + 4 + 1 + IMAGE_TOKENS + 1 + 4


@pytest.mark.parametrize("model", ["GLM-4-Air", "glm-4-air", "GLM-4-PLUS", "GLM-4-Air-250414", "glm-4.6", "glm-5"])
def test_a_model_that_reads_text_only_is_given_no_image(model):
    assert reads_text_only(model)
    refuse_images(model, HI[0])
    with pytest.raises(PromptError, match=f"{model} reads text only, and an image is in the prompt") as caught:
        refuse_images(model, LOOK[0])
    assert "-m glm-4.6v" in caught.value.remedy


def test_of_an_earlier_turn_with_an_image_the_text_is_left():
    answer = Message("assistant", "a cat")
    assert without_images([*LOOK, answer]) == [Message("user", LOOK[0].content), answer]
    assert "[image" in LOOK[0].content


@pytest.mark.parametrize("model", ["glm-4.6v", "glm-5.3-flash", "GLM-4V-Plus", "gpt-4o", "llava"])
def test_a_model_of_another_name_is_given_what_the_cell_has(model):
    assert not reads_text_only(model)
    refuse_images(model, LOOK[0])


def test_the_embedded_model_is_given_no_image_whatever_its_name_is():
    refuse_images("any", HI[0], embedded=True)
    with pytest.raises(PromptError, match="any reads text only"):
        refuse_images("any", LOOK[0], embedded=True)
