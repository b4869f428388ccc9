"""The models known by name: context window, output limit, list price, and what each can.

Source: the official model overview, the API's specification and the page of GLM-4. The prices of the GLM-4 models, in
CNY, are those of GLM's host in China: GLM-4-Plus's from its page, the others as reported in two independent copies of
the price list. Those of the newer models, in USD, are Z.ai's, as copied by LiteLLM 1.109.1. A proxy sets its own
prices. Other names are sent as typed.
"""

from __future__ import annotations

from dataclasses import dataclass

from glm_magic import errors
from glm_magic.protocol.prices import Price

DEFAULT_MODEL = "GLM-4-Air"
EMBEDDED = "embedded"

# GLM's own hosts, in China and elsewhere, and the currency of their price lists.
GLM_HOSTS = {"open.bigmodel.cn": "CNY", "api.z.ai": "USD"}
PRICES_OF = "2026-11"  # when the list prices below were collected

SWITCH = ("off", "on")  # thinking: {"type": "disabled"} and {"type": "enabled"}
LEVELS = ("low", "medium", "high", "max")  # reasoning_effort


@dataclass(frozen=True, slots=True)
class Model:
    """A model: `context` and `output` in tokens, and its list `price`, each None where no document says it.

    `thinking` are the levels of ``--think`` that it takes, none if it cannot think; `sees` says whether it reads
    images. `current` is the name under which GLM's own hosts serve it now, ``""`` if that is its name; `successor` is
    the newer model to ask where it is gone.
    """

    name: str
    context: int | None
    output: int | None
    price: Price | None
    thinking: tuple[str, ...] = ()
    sees: bool = False
    current: str = ""
    successor: str = ""


def _cny(price: float, cached: float) -> Price:
    return Price(price, price, cached, "CNY")


def _usd(price: float, output: float, cached: float | None = None) -> Price:
    return Price(price, output, cached, "USD")


_FREE = _usd(0, 0)
# Confirmed: `thinking` is known from GLM-4.5 on, `reasoning_effort` from GLM-5.2 on. Uncertain: its levels' names.
_EITHER = (*SWITCH, *LEVELS)

MODELS: dict[str, Model] = {
    model.name: model
    for model in (
        Model("GLM-4-Plus", 128_000, 4_095, _cny(5.0, 2.5), successor="glm-4.7"),
        Model("GLM-4-Air", 128_000, 16_384, _cny(0.5, 0.25), current="glm-4-air-250414", successor="glm-4.5-air"),
        Model("GLM-4-AirX", 8_192, 4_095, _cny(10.0, 10.0), successor="glm-4.5-airx"),
        Model("GLM-4-Long", 1_000_000, 4_095, _cny(1.0, 0.5), successor="glm-5.3-flash"),
        Model(
            "GLM-4-FlashX", 128_000, 16_384, _cny(0.1, 0.05), current="glm-4-flashx-250414", successor="glm-4.7-flash"
        ),
        Model("GLM-4-Flash", 128_000, 16_384, _cny(0.0, 0.0), current="glm-4-flash-250414", successor="glm-4.7-flash"),
        Model("glm-4.5", 128_000, 98_304, _usd(0.6, 2.2), SWITCH),
        Model("glm-4.5-air", 128_000, 98_304, _usd(0.2, 1.1), SWITCH),
        Model("glm-4.5-airx", None, None, _usd(1.1, 4.5), SWITCH),
        Model("glm-4.5-flash", None, None, _FREE, SWITCH, successor="glm-4.7-flash"),
        Model("glm-4.5v", None, None, None, SWITCH, sees=True),
        Model("glm-4.6", 200_000, 131_072, _usd(0.6, 2.2, 0.11), SWITCH),
        Model("glm-4.6v", None, None, None, SWITCH, sees=True),
        Model("glm-4.7", 200_000, 131_072, _usd(0.6, 2.2, 0.11), SWITCH),
        Model("glm-4.7-flash", 200_000, None, _FREE, SWITCH),
        Model("glm-5", 200_000, 131_072, _usd(1.0, 3.2, 0.2), SWITCH),
        Model("glm-5.1", 200_000, 131_072, _usd(1.4, 4.4, 0.26), SWITCH),
        Model("glm-5.2", 1_000_000, 131_072, _usd(1.4, 4.4, 0.26), _EITHER),
        Model("glm-5.3", 1_000_000, 131_072, _usd(1.4, 4.4, 0.26), _EITHER),
        Model("glm-5.3-flash", 1_000_000, 131_072, _usd(0.15, 0.5, 0.03), _EITHER, sees=True),
    )
}

_BY_NAME = {name.lower(): model for model in MODELS.values() for name in (model.current, model.name) if name}


def known(name: str) -> Model | None:
    """Return the known model of this name, or of the name under which GLM's own hosts serve it; in any capitals."""
    return _BY_NAME.get(name.lower())


def list_price(name: str, host: str) -> Price | None:
    """Return the list price of a model at one of GLM's own hosts; None for other hosts, and where it is not known."""
    model = known(name)
    price = model.price if model is not None else None
    return price if price is not None and price.currency == GLM_HOSTS.get(host) else None


def is_glm(name: str) -> bool:
    """Whether `name` is that of a GLM model: alone, or as other hosts write it (``zai-org/GLM-4.6``)."""
    return name.lower().rpartition("/")[2].startswith(("glm", "chatglm"))


def highest_temperature(name: str, *, is_glm_host: bool = False) -> float:
    """Return the highest temperature that a model takes: 1 for GLM's, 2 for others (confirmed, reported)."""
    return 1.0 if is_glm_host or is_glm(name) else 2.0


def near_miss(name: str) -> str:
    """Return the known model that `name` was probably meant to be, or ``""``."""
    lower = {known.lower(): known for known in MODELS}
    return lower.get(errors.near_miss(name.lower(), lower, cutoff=0.75), "")
