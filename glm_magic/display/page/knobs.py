"""A setting as a knob: what the page needs to know of it to draw a control for it."""

from __future__ import annotations

from typing import Any

from glm_magic.protocol.models import EMBEDDED, MODELS
from glm_magic.settings.declared import Setting, Value

_MOST_BUTTONS = 3  # choices beside each other; more become a menu


def knob(setting: Setting, value: Value, source: str, *, own: bool, optional: bool, fault: str = "") -> dict[str, Any]:
    """Return a knob as JSON.

    `own` says that a reset takes the value away, `optional` that it can be "not set". `fault` is why the value that
    holds cannot be read.
    """
    return {
        "name": setting.name,
        "kind": _kind(setting),
        "value": None if value is None else setting.written(value),
        "source": source,
        "fault": fault,
        "own": own,
        "optional": optional,
        "help": setting.help,
        "range": setting.range,
        "low": setting.low,
        "high": setting.high,
        "step": 1 if setting.kind is int else 0.01,
        "choices": ["on", "off"] if setting.kind is bool else [*setting.choices],
        "first": is_first(setting),
        "about": about_model(str(value)) if setting.completes == "model" and value else "",
    }


def is_first(setting: Setting) -> bool:
    """Whether a person turns it often: it shapes the question, or says who is asked."""
    return setting.field or setting.option or setting.name == "base_url"


def known_models() -> list[dict[str, str]]:
    """Return the models known by name, each with what there is to say about it."""
    return [{"name": name, "about": about_model(name)} for name in (*MODELS, EMBEDDED)]


def about_model(name: str) -> str:
    """Return a model's context window, output limit and list price, as far as they are known."""
    if name == EMBEDDED:
        return "a small model on this machine, for trials only"
    model = MODELS.get(name)
    if model is None:
        return ""
    facts = [f"context {model.context:,} tokens"] if model.context else []
    facts += [f"answer at most {model.output:,}"] if model.output else []
    if model.price is not None:
        price = str(model.price)
        facts.append(price if price == "free" else f"{price} per million tokens")
    return " · ".join(facts)


def _kind(setting: Setting) -> str:
    if setting.completes == "model":
        return "model"
    if setting.choices or setting.kind is bool:
        return "buttons" if len(setting.choices) <= _MOST_BUTTONS else "menu"
    if setting.kind is not str:
        return "text" if setting.low is None or setting.high is None else "slider"
    return "lines" if setting.may_be_empty and not setting.is_list else "text"
