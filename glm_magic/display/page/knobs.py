"""A setting as a knob: what the page needs to know of it to draw a control for it."""

from __future__ import annotations

from typing import Any

from glm_magic.protocol import models
from glm_magic.protocol.models import EMBEDDED, MODELS
from glm_magic.settings.setting import Setting, Value

_MOST_BUTTONS = 3  # choices beside each other; more become a menu


def knob(setting: Setting, value: Value, source: str, *, model: str, own: bool, fault: str) -> dict[str, Any]:
    """Return a knob as JSON; `model` is who would be asked.

    `own` says that a reset takes the value away. `fault` is why the value that holds cannot be read. A knob that is
    `optional` can be "not set".
    """
    return {
        "name": setting.name,
        "kind": _kind(setting),
        "value": None if value is None else setting.written(value),
        "source": source,
        "fault": fault,
        "own": own,
        "optional": setting.default is None,
        "help": setting.help,
        "range": setting.range,
        "low": setting.low,
        "high": models.highest_temperature(model) if setting.name == "temperature" else setting.high,
        "step": 1 if setting.kind is int else 0.01,
        "choices": [*setting.choices],
        # what a person often turns: it shapes the question, or says who is asked
        "first": setting.field or setting.option or setting.name == "base_url",
        "about": about_model(model) if setting.completes == "model" else _takes(setting, model),
    }


def known_models(listed: tuple[str, ...]) -> list[dict[str, str]]:
    """Return the models known by name, and those that the endpoint has `listed`, with what there is to say of each."""
    names = dict.fromkeys((*listed, *MODELS, EMBEDDED))
    return [{"name": name, "about": about_model(name)} for name in names]


def about_model(name: str) -> str:
    """Return what a model takes, costs and can; ``""`` if it is not known."""
    if name == EMBEDDED:
        return "a small model on this machine, for trials only"
    model = models.known(name)
    if model is None:
        return ""
    facts = (
        f"context {model.context:,} tokens" if model.context else "",
        f"answer at most {model.output:,}" if model.output else "",
        _priced(str(model.price)) if model.price else "",
        "thinks" if model.thinking else "",
        "reads images" if model.sees else "",
    )
    return " · ".join(filter(None, facts))


def _priced(price: str) -> str:
    return price if price == "free" else f"{price} per million tokens ({models.PRICES_OF})"


def _takes(setting: Setting, model: str) -> str:
    known = models.known(model) if setting.name == "thinking" else None
    if known is None:
        return ""
    return f"{model} takes {', '.join(known.thinking)}" if known.thinking else f"{model} cannot think"


def misfit(setting: Setting, value: Value, model: str) -> str:
    """Return why `model` does not take a value that its setting takes; ``""`` if it may."""
    known = models.known(model)
    if setting.name == "temperature" and isinstance(value, float):
        highest = models.highest_temperature(model)
        return f"{model} takes at most {highest:g}." if value > highest else ""
    if setting.name == "thinking" and value and known is not None and value not in known.thinking:
        return f"{_takes(setting, model)}."
    return ""


def _kind(setting: Setting) -> str:
    if setting.completes == "model":
        return "model"
    if setting.choices:
        return "buttons" if len(setting.choices) <= _MOST_BUTTONS else "menu"
    if setting.kind is not str:
        return "text" if setting.low is None or setting.high is None else "slider"
    return "lines" if setting.may_be_empty and not setting.is_list else "text"
