"""The parameter panel: a control for each setting, linked both ways with the traits of the same name.

A setting that is not set is not sent, so each control has a check mark beside it that says whether it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import ipywidgets

from glm_magic.chat.catalogue import EMBEDDED, MODELS
from glm_magic.chat.settings import SETTINGS, Setting, Value

if TYPE_CHECKING:
    import traitlets

IN_THE_PANEL = ("model", "temperature", "top_p", "max_tokens", "stop", "system", "format", "base_url")

_STARTING_AT: dict[str, Value] = {"temperature": 0.7, "top_p": 0.9, "max_tokens": 1024}
_LABEL = ipywidgets.Layout(width="130px")
_WIDE = ipywidgets.Layout(width="420px")


def panel(traits: traitlets.HasTraits, line: Callable[[], str], key_status: Callable[[], str]) -> ipywidgets.Widget:
    """Return the panel for `traits`; `line` says the same as a ``%glm_config`` line, `key_status` about the key."""
    said = ipywidgets.Text(value=line(), disabled=True, layout=ipywidgets.Layout(width="560px"))
    said.add_class("glm-magic-line")
    key = ipywidgets.Label(value=key_status())

    def say(_change: object = None) -> None:
        said.value = line()
        key.value = key_status()

    rows = [_row(traits, SETTINGS[name]) for name in IN_THE_PANEL]
    traits.observe(say, names=list(IN_THE_PANEL))
    same = ipywidgets.HBox([ipywidgets.Label("The same as a line", layout=_LABEL), said])
    keys = ipywidgets.HBox([ipywidgets.Label("Key", layout=_LABEL), key])
    return ipywidgets.VBox([*rows, keys, same])


def _row(traits: traitlets.HasTraits, setting: Setting) -> ipywidgets.Widget:
    control = _control(setting)
    is_set = ipywidgets.Checkbox(
        indent=False, layout=ipywidgets.Layout(width="28px"), tooltip=f"whether {setting.name} is set"
    )
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
        finally:
            busy = False

    def from_controls(change: dict[str, Any]) -> None:
        if busy:
            return
        if change["owner"] is control and setting.default is None:
            on = not (setting.kind is str and not setting.may_be_empty and not control.value)
        else:
            on = is_set.value
        value = control.value if on else setting.default
        if value == "" and not setting.may_be_empty:
            value = None
        setattr(traits, setting.name, value)
        from_trait()

    from_trait()
    traits.observe(from_trait, names=[setting.name])
    control.observe(from_controls, names=["value"])
    is_set.observe(from_controls, names=["value"])
    label = ipywidgets.Label(setting.name, layout=_LABEL)
    about = ipywidgets.Label(setting.help)
    return ipywidgets.HBox([label, *([is_set] if setting.default is None else []), control, about])


def _control(setting: Setting) -> Any:
    common: dict[str, Any] = {"layout": _WIDE}
    if setting.choices:
        return ipywidgets.Dropdown(options=setting.choices, **common)
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
    return ipywidgets.BoundedIntText(value=start, min=int(setting.low or 0), max=1_000_000, **common)
