import pytest

from glm_magic.chat.messages import Usage
from glm_magic.protocol.models import DEFAULT_MODEL, MODELS, highest_temperature, known, list_price, near_miss


def test_the_six_models_are_known_and_one_of_them_is_the_default():
    assert list(MODELS)[:6] == ["GLM-4-Plus", "GLM-4-Air", "GLM-4-AirX", "GLM-4-Long", "GLM-4-FlashX", "GLM-4-Flash"]
    assert DEFAULT_MODEL == "GLM-4-Air"
    assert all(name == model.name for name, model in MODELS.items())


def test_a_list_price_holds_at_the_host_that_asks_it():
    price = list_price("GLM-4-Plus", "open.bigmodel.cn")
    assert price is not None
    assert price.cost(Usage(600_000, 400_000, 1_000_000)) == pytest.approx(5.0)
    assert price.cost(Usage(1_000_000, 0, 1_000_000, cached_tokens=400_000)) == pytest.approx(0.6 * 5 + 0.4 * 2.5)
    assert list_price("GLM-4-Plus", "api.z.ai") is None, "Z.ai lists none of the six"
    assert str(list_price("GLM-4.6", "api.z.ai")) == "0.6 in, 2.2 out USD"
    assert list_price("glm-4.6", "127.0.0.1") is None, "a proxy sets its own prices"
    assert list_price("glm-4.6v", "api.z.ai") is None, "it is not documented"


def test_a_model_is_known_in_any_capitals_and_by_its_present_name():
    assert known("GLM-4.6") is MODELS["glm-4.6"]
    assert known("glm-4-air-250414") is MODELS["GLM-4-Air"]
    assert known("zai-org/GLM-4.6") is None
    assert {model.successor for model in MODELS.values()} - {""} <= set(MODELS)


@pytest.mark.parametrize(
    ("model", "is_glm_host", "most"),
    [("GLM-4-Air", False, 1), ("zai-org/GLM-4.6", False, 1), ("gpt-4o", False, 2), ("gpt-4o", True, 1)],
)
def test_glms_models_and_hosts_take_temperatures_up_to_1_and_others_up_to_2(model, is_glm_host, most):
    assert highest_temperature(model, is_glm_host=is_glm_host) == most


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("GLM4-Air", "GLM-4-Air"), ("glm-4-plus", "GLM-4-Plus"), ("GLM-4-Flsh", "GLM-4-Flash"), ("gpt-5", ""), ("", "")],
)
def test_a_near_miss_names_the_model_that_was_meant(typed, meant):
    assert near_miss(typed) == meant
