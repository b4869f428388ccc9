"""The parameter panel: a control for each setting, linked both ways with the trait of the same name.

A setting that is not set is not sent, so each control has a checkbox that shows whether it is set.
"""

from __future__ import annotations

import html
from collections.abc import Callable
from typing import Any

import ipywidgets
import traitlets

from glm_magic.protocol.models import EMBEDDED, MODELS
from glm_magic.settings.declared import SETTINGS, Setting, Value

IN_THE_PANEL = ("model", "temperature", "top_p", "max_tokens", "stop", "system", "format", "base_url")

_STARTING_AT: dict[str, Value] = {"temperature": 0.7, "top_p": 0.9, "max_tokens": 1024}
_FAULT = "var(--jp-error-color1, #d32f2f)"
_LABEL = {"flex": "0 0 130px"}
_MARK = {"flex": "0 0 20px", "width": "20px"}
_NO_MARK = {**_MARK, "margin": "2px"}  # as wide as a checkbox
_CONTROL = {"flex": "0 1 380px", "width": "380px", "min_width": "120px"}
_REST = {"flex": "1 1 0", "min_width": "0"}  # cut with an ellipsis
_ROW = {"align_items": "center"}
_LINE_STYLE = "display: block; white-space: pre-wrap; overflow-wrap: anywhere; user-select: all; line-height: 1.4"


def panel(traits: traitlets.HasTraits, line: Callable[[], str], key_status: Callable[[], str]) -> ipywidgets.Widget:
    """Return the panel for `traits`; `line` returns the same as a ``%glm_config`` line."""
    as_line = ipywidgets.HTML(layout=_REST)
    as_line.add_class("glm-magic-line")
    key = ipywidgets.Label(layout=_REST)

    def say(_change: object = None) -> None:
        as_line.value = f'<code style="{_LINE_STYLE}">{html.escape(line())}</code>'
        key.value = key_status()

    say()
    rows = [_row(traits, SETTINGS[name]) for name in IN_THE_PANEL]
    traits.observe(say, names=list(IN_THE_PANEL))
    same = ipywidgets.HBox([ipywidgets.Label("the same as a line", layout=_LABEL), _no_mark(), as_line], layout=_ROW)
    keys = ipywidgets.HBox([ipywidgets.Label("key", layout=_LABEL), _no_mark(), key], layout=_ROW)
    return ipywidgets.VBox([*rows, keys, same])


def _row(traits: traitlets.HasTraits, setting: Setting) -> ipywidgets.Widget:
    control = _control(setting)
    is_set = ipywidgets.Checkbox(indent=False, layout=_MARK, tooltip=f"whether {setting.name} is set")
    about = ipywidgets.Label(tooltip=setting.help, layout=_REST)
    busy = False

    def from_trait(_change: object = None) -> None:
        nonlocal busy
        busy = True
        try:
            value = getattr(traits, setting.name)
            is_set.value = value is not None
            if value is not None:
                control.value = value
            control.disabled = value is None and setting.kind is not str
            about.value = about.tooltip = setting.help
            about.style.text_color = None
        finally:
            busy = False

    def from_controls(change: dict[str, Any]) -> None:
        if busy:
            return
        on = is_set.value or (change["owner"] is control and setting.default is None)
        value = control.value if on else setting.default
        if isinstance(value, str) and not value.strip() and not setting.may_be_empty:
            value = None
        if setting.kind is int and isinstance(value, float) and value.is_integer():
            value = int(value)
        try:
            setattr(traits, setting.name, value)
        except traitlets.TraitError as error:  # what was typed stays there, and nothing has changed
            about.value = f"not {setting.written(value)}: {setting.range}" if setting.range else str(error)
            about.tooltip = str(error)
            about.style.text_color = _FAULT
        else:
            from_trait()

    from_trait()
    traits.observe(from_trait, names=[setting.name])
    control.observe(from_controls, names=["value"])
    is_set.observe(from_controls, names=["value"])
    label = ipywidgets.Label(setting.name, layout=_LABEL)
    return ipywidgets.HBox([label, is_set if setting.default is None else _no_mark(), control, about], layout=_ROW)


def _no_mark() -> ipywidgets.Widget:
    return ipywidgets.Box(layout=_NO_MARK)


def _control(setting: Setting) -> Any:
    common: dict[str, Any] = {"layout": _CONTROL}
    if setting.choices:
        return ipywidgets.ToggleButtons(options=setting.choices, **common)
    if setting.name == "model":
        return ipywidgets.Combobox(
            options=[*MODELS, EMBEDDED], placeholder="not set", continuous_update=False, **common
        )
    if setting.name == "system":
        return ipywidgets.Textarea(placeholder="not set", continuous_update=False, **common)
    if setting.kind is str:
        return ipywidgets.Text(placeholder="not set", continuous_update=False, **common)
    start = _STARTING_AT[setting.name]
    if setting.kind is float:
        return ipywidgets.FloatSlider(
            value=start,
            min=setting.low,
            max=setting.high,
            step=0.01,
            readout_format=".2f",
            continuous_update=False,
            **common,
        )
    # a widget for whole numbers makes 1 of 1.5, and of -1, without a word
    return ipywidgets.FloatText(value=start, continuous_update=False, **common)
