import pytest

from glm_magic.chat.messages import Usage
from glm_magic.protocol.models import DEFAULT_MODEL, MODELS, near_miss


def test_the_six_models_are_known_and_one_of_them_is_the_default():
    assert list(MODELS) == ["GLM-4-Plus", "GLM-4-Air", "GLM-4-AirX", "GLM-4-Long", "GLM-4-FlashX", "GLM-4-Flash"]
    assert DEFAULT_MODEL == "GLM-4-Air"
    assert all(name == model.name for name, model in MODELS.items())


def test_input_and_output_cost_the_same():
    assert MODELS["GLM-4-Plus"].cost(Usage(600_000, 400_000, 1_000_000)) == pytest.approx(5.0)


def test_tokens_from_the_cache_cost_less():
    usage = Usage(1_000_000, 0, 1_000_000, cached_tokens=400_000)
    assert MODELS["GLM-4-Plus"].cost(usage) == pytest.approx(0.6 * 5 + 0.4 * 2.5)


def test_a_free_model_costs_nothing():
    assert MODELS["GLM-4-Flash"].cost(Usage(1000, 1000, 2000)) == 0


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("GLM4-Air", "GLM-4-Air"), ("glm-4-plus", "GLM-4-Plus"), ("GLM-4-Flsh", "GLM-4-Flash"), ("gpt-5", ""), ("", "")],
)
def test_a_near_miss_names_the_model_that_was_meant(typed, meant):
    assert near_miss(typed) == meant
