import pytest

from glm_magic.errors import SettingError
from glm_magic.protocol.effort import check, fields, levels


@pytest.mark.parametrize(
    ("model", "level", "sent"),
    [
        ("glm-4.5", "off", {"thinking": {"type": "disabled"}}),
        ("GLM-5.1", "on", {"thinking": {"type": "enabled"}}),
        ("glm-5.3", "off", {"thinking": {"type": "disabled"}}),
        ("glm-5.2", "high", {"reasoning_effort": "high"}),
        ("gpt-5", "low", {"reasoning_effort": "low"}),
        ("glm-4.5", None, {}),
    ],
)
def test_a_level_becomes_the_field_that_the_model_takes(model, level, sent):
    check(level, model)
    assert fields(level, model) == sent


@pytest.mark.parametrize(
    ("model", "level", "said"),
    [
        ("GLM-4-Air", "on", "GLM-4-Air does not think, so --think on means nothing to it"),
        ("glm-4-flash-250414", "off", "does not think"),
        ("glm-4.6", "high", "glm-4.6 takes --think off or on, not high"),
        ("qwen3", "off", "qwen3 is not known here, so only levels are sent to it (low, medium, high, max), not off"),
    ],
)
def test_a_level_that_the_model_does_not_take_is_refused(model, level, said):
    assert fields(level, model) == {}
    with pytest.raises(SettingError) as caught:
        check(level, model)
    assert said in caught.value.what
    assert caught.value.what.endswith("nothing was sent.")


def test_for_other_services_the_field_itself_is_named():
    with pytest.raises(SettingError) as caught:
        check("off", "qwen3")
    assert """--param 'chat_template_kwargs={"enable_thinking": false}'""" in caught.value.remedy
    with pytest.raises(SettingError) as caught:
        check("off", "glm-9")
    assert """--param 'thinking={"type": "disabled"}'""" in caught.value.remedy


def test_the_embedded_model_does_not_think():
    assert levels("SmolLM2", embedded=True) == ()
    with pytest.raises(SettingError, match="does not think"):
        check("low", "SmolLM2", embedded=True)
