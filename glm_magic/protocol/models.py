"""The models known by name: context window, output limit and price.

Source: the official model overview and the page of GLM-4; prices other than GLM-4-Plus's are as
reported in two independent copies of the price list (2026). A proxy sets its own prices. Other names
are sent as typed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from glm_magic import errors

if TYPE_CHECKING:
    from glm_magic.chat.messages import Usage

DEFAULT_MODEL = "GLM-4-Air"
EMBEDDED = "embedded"

# GLM's own hosts, in China and elsewhere.
GLM_HOSTS = ("open.bigmodel.cn", "api.z.ai")

_MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Model:
    """A model: `context` and `output` in tokens, `price` and `cached_price` in CNY per million."""

    name: str
    context: int
    output: int
    price: float
    cached_price: float

    def cost(self, usage: Usage) -> float:
        """Return the list price of `usage` in CNY; input and output cost the same."""
        fresh = usage.total_tokens - usage.cached_tokens
        return (fresh * self.price + usage.cached_tokens * self.cached_price) / _MILLION


MODELS: dict[str, Model] = {
    model.name: model
    for model in (
        Model("GLM-4-Plus", 128_000, 4_095, 5.0, 2.5),
        Model("GLM-4-Air", 128_000, 16_384, 0.5, 0.25),
        Model("GLM-4-AirX", 8_192, 4_095, 10.0, 10.0),
        Model("GLM-4-Long", 1_000_000, 4_095, 1.0, 0.5),
        Model("GLM-4-FlashX", 128_000, 16_384, 0.1, 0.05),
        Model("GLM-4-Flash", 128_000, 16_384, 0.0, 0.0),
    )
}


def is_glm(name: str) -> bool:
    """Whether `name` is that of a GLM model: alone, or as other hosts write it (``zai-org/GLM-4.6``)."""
    return name.lower().rpartition("/")[2].startswith(("glm", "chatglm"))


def near_miss(name: str) -> str:
    """Return the known model that `name` was probably meant to be, or ``""``."""
    lower = {known.lower(): known for known in MODELS}
    return lower.get(errors.near_miss(name.lower(), lower, cutoff=0.75), "")
