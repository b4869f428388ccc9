import pytest

from glm_magic.chat.messages import Message
from glm_magic.errors import OptionError, PromptError
from glm_magic.protocol.models import MODELS
from glm_magic.protocol.request import body, extra_field, parameters, refuse_images
from glm_magic.protocol.tokens import IMAGE_TOKENS, estimated_content_tokens, estimated_text_tokens, estimated_tokens
from glm_magic.settings.declared import SETTINGS
from glm_magic.settings.layers import Sources

TEXT = {"type": "text", "text": "abcd"}
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 4000}}
LOOK = [Message.of_parts("user", [TEXT, IMAGE, TEXT])]
HI = [Message("user", "hi")]


def settings(**options):
    return Sources({}).values({"model": "GLM-4-Air", **options})


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


def test_the_parameters_are_the_body_without_the_conversation():
    assert parameters({"model": "m", "messages": [1], "seed": 2}) == {"model": "m", "seed": 2}


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("seed=7", "seed", 7),
        ("do_sample=false", "do_sample", False),
        ("x=null", "x", None),
        ('thinking={"type": "disabled"}', "thinking", {"type": "disabled"}),
        ('user_id="7"', "user_id", "7"),
        ("user_id=ada", "user_id", "ada"),
        ("user_id=a=b", "user_id", "a=b"),
        ("user_id=", "user_id", ""),
        ("note= two words ", "note", " two words "),
        ("x=NaN", "x", "NaN"),
        ("x=-Infinity", "x", "-Infinity"),
        ("x=1e999", "x", "1e999"),
        ("x=1.5e3", "x", 1500.0),
        ("x=1 2", "x", "1 2"),
    ],
)
def test_a_value_is_json_where_it_parses_and_else_text(text, name, value):
    read = extra_field(text)
    assert read == (name, value)
    assert type(read[1]) is type(value)


@pytest.mark.parametrize("text", ['x={"a": 1', "x=[1, 2", 'x="open', "x= {a: 1}", "x=[NaN]", 'x={"a": 1e999}'])
def test_a_value_that_begins_as_json_must_be_json(text):
    with pytest.raises(OptionError, match="begins as JSON and is not"):
        extra_field(text)


@pytest.mark.parametrize("text", ["seed", "=7", " =7", ""])
def test_a_field_needs_a_name_and_a_value(text):
    with pytest.raises(OptionError, match="KEY=VALUE"):
        extra_field(text)


@pytest.mark.parametrize("name", ["model", "temperature", "top_p", "max_tokens", "stop", "messages", "stream"])
def test_a_field_that_is_said_in_another_way_is_refused_and_the_way_is_named(name):
    with pytest.raises(OptionError, match=repr(name)) as caught:
        extra_field(f"{name}=1")
    if name in SETTINGS:
        assert SETTINGS[name].flag in caught.value.remedy
    assert caught.value.remedy


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


@pytest.mark.parametrize("model", [*MODELS, "glm-4-air", "GLM-4-PLUS"])
def test_a_model_that_reads_text_only_is_given_no_image(model):
    refuse_images(body(settings(model=model), HI))
    with pytest.raises(PromptError, match=f"{model} reads text only, and an image is in the prompt") as caught:
        refuse_images(body(settings(model=model), LOOK))
    assert "-m glm-4.6v" in caught.value.remedy
    assert "--skip" not in caught.value.remedy


def test_an_image_of_an_earlier_turn_is_refused_with_the_ways_to_leave_it_out():
    with pytest.raises(PromptError, match="in a turn that is sent before the prompt") as caught:
        refuse_images(body(settings(), [*LOOK, Message("assistant", "a cat"), *HI]))
    assert "--new, or %glm_history --skip TURN" in caught.value.remedy


@pytest.mark.parametrize("model", ["glm-4.6v", "GLM-4V-Plus", "GLM-4-Air-250414", "gpt-4o", "llava"])
def test_a_model_of_another_name_is_given_what_the_cell_has(model):
    refuse_images(body(settings(model=model), LOOK))


def test_the_embedded_model_is_given_no_image_whatever_its_name_is():
    refuse_images(body(settings(model="any"), HI), embedded=True)
    with pytest.raises(PromptError, match="any reads text only"):
        refuse_images(body(settings(model="any"), LOOK), embedded=True)
