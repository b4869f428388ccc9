"""The names of a template as fields, each a control of ipywidgets for the kind of its value."""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping
from typing import Any

import ipywidgets

from glm_magic.display import safe_text

_MISSING = object()
_KINDS: dict[type, type[ipywidgets.Widget]] = {
    bool: ipywidgets.Checkbox,
    int: ipywidgets.IntText,
    float: ipywidgets.FloatText,
    str: ipywidgets.Textarea,
}


class Fields:
    """The fields of one playground. A field holds the notebook's value until a person types another one."""

    def __init__(self, changed: Callable[[], None]) -> None:
        """`changed` is called when a person has changed a field."""
        self._changed = changed
        self._widgets: dict[str, Any] = {}
        self._notebook: dict[str, Any] = {}
        self._is_filling = False
        self.typed: dict[str, Any] = {}  # what a person has set, by name

    def show(self, names: tuple[str, ...], notebook: Mapping[str, Any]) -> list[dict[str, str]]:
        """Return a field for each of `names` as JSON, filled from the notebook.

        Functions, classes and modules have none. A value of another kind than a text, a number or a bool is said, and
        cannot be changed here.
        """
        shown = []
        for name in names:
            value = notebook.get(name, _MISSING)
            if callable(value) or isinstance(value, types.ModuleType):
                continue
            if value is not _MISSING and type(value) not in _KINDS:
                self._forget(name)
                shown.append({"name": name, "about": f"{type(value).__name__} of the notebook", "widget": ""})
                continue
            about = "not in the notebook" if value is _MISSING else "changed here" if name in self.typed else ""
            shown.append({"name": name, "about": about, "widget": self._widget(name, value).model_id})
        for gone in self._widgets.keys() - set(names):
            self._forget(gone)
        return shown

    def assignments(self) -> str:
        """Return the code that gives the notebook what has been set here."""
        return "\n".join(
            f"{name} = {value!r}" for name, value in self.typed.items() if self._notebook.get(name, _MISSING) != value
        )

    def close(self) -> None:
        """Free the widgets."""
        for name in [*self._widgets]:
            self._forget(name)

    def _widget(self, name: str, value: Any) -> Any:
        self._notebook[name] = value
        kind = _KINDS[str if value is _MISSING else type(value)]
        widget: Any = self._widgets.get(name)
        if type(widget) is not kind:
            self._forget(name)
            options = {"layout": {"width": "auto"}} | ({"rows": 1} if kind is ipywidgets.Textarea else {})
            widget = self._widgets[name] = kind(**options)
            widget.observe(lambda change: self._take(name, change["new"]), names="value")
        if name not in self.typed and value is not _MISSING:
            self._is_filling = True
            try:
                widget.value = safe_text.plain(value) if isinstance(value, str) else value
            finally:
                self._is_filling = False
        return widget

    def _take(self, name: str, value: Any) -> None:
        if not self._is_filling:
            self.typed[name] = value
            self._changed()

    def _forget(self, name: str) -> None:
        widget = self._widgets.pop(name, None)
        self.typed.pop(name, None)
        if widget is not None:
            widget.close()
