"""The parameter panel: what its knobs change, and what it shows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from glm_magic.display.page.knobs import known_models
from glm_magic.display.page.over import Action, Panel
from glm_magic.magics import saving, settings
from glm_magic.magics.forecasts import spent
from glm_magic.magics.shared import Shared
from glm_magic.magics.written import ask_line, config_line
from glm_magic.service.keys import Key
from glm_magic.settings.declared import SETTINGS
from glm_magic.settings.declared import setting as known

PLAYGROUND = "%%glm --interact\n"

_ABOUT_THE_KEY = ("base_url", "api_key_env", "model")


class PanelHands:
    """The one panel of a kernel, with the outputs that it is drawn over."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        actions: dict[str, Action] = {
            "set": self._set,
            "reset": self._reset,
            "preset": self._preset,
            "keep": self._keep,
            "settle": self._settle,
            "login": self._login,
        }
        self._panel = Panel(actions)
        self._outputs: dict[str, str] = {}  # by cell: the name of its output

    def show(self, cell: str) -> None:
        """Show the panel below the running cell."""
        name = self._outputs[cell] = f"glm-panel-{len(self._outputs)}-{self._panel.key}"
        self.refresh()
        self._shared.outputs.show(self._static(cell), name)

    def refresh(self) -> None:
        """Show what holds now: a cell, or another panel, may have changed it."""
        self._panel.models = known_models(self._shared.session.listed_models)
        self._panel.presets = [*self._shared.presets]
        self._panel.status = settings.key_status(self._shared)
        self._panel.spent = spent(self._shared.session.services.ledger.total)
        self._show_rows()

    def _show_rows(self) -> None:
        layers = self._shared.session.layers.with_files_read()
        lines = {"config": config_line(layers), "ask": ask_line(layers.assigned), "playground": PLAYGROUND}
        self._panel.show(
            {"rows": [settings.row(layers, each, layers.assigned) for each in SETTINGS.values()], "lines": lines}
        )

    def _set(self, asked: Mapping[str, Any]) -> None:
        setting = known(str(asked["name"]))
        text = asked["text"]
        settings.change(self._shared, {setting.name: None if text is None else setting.parse(str(text))})
        self._after(setting.name)

    def _reset(self, asked: Mapping[str, Any]) -> None:
        settings.reset(self._shared, [str(asked["name"])])
        self._after(str(asked["name"]))

    def _preset(self, asked: Mapping[str, Any]) -> None:
        settings.change(self._shared, self._shared.presets[str(asked["name"])].values())
        self._after("model")

    def _keep(self, asked: Mapping[str, Any]) -> dict[str, str]:
        """Keep what is set as a preset, in the user's file."""
        said = saving.keep_preset(self._shared, str(asked["name"]), of_project=False)
        self.refresh()
        return {"said": said}

    def _login(self, asked: Mapping[str, Any]) -> dict[str, str]:
        kept = self._shared.session.services.keys.keep(Key(str(asked["key"]), "this kernel only"))
        self.refresh()
        return {"said": f"The key is kept in {kept}."}

    def _after(self, name: str) -> None:
        if name in _ABOUT_THE_KEY:
            self._panel.status = settings.key_status(self._shared)
        self._show_rows()

    def _settle(self, _asked: Mapping[str, Any]) -> None:
        """Show what holds in the outputs too, which is what a notebook saves."""
        for cell, output in self._outputs.items():
            self._shared.outputs.show(self._static(cell), output, update=True)

    def _static(self, cell: str) -> dict[str, str]:
        data = settings.as_table(self._shared)
        return {**data, "text/html": self._panel.over(data["text/html"], cell)}
