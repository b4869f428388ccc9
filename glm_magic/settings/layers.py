"""The layers that settings come from; each setting has the value of the strongest layer that sets it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeAlias

from glm_magic.settings.declared import SETTINGS
from glm_magic.settings.files import SettingsFile, SettingsFiles
from glm_magic.settings.setting import Setting, Value

DEFAULT, CONFIG_FILE, ENVIRONMENT, SET = "default", "ipython_config.py", "environment", "set here"

Found: TypeAlias = "tuple[Value, str] | None"


@dataclass(slots=True)
class Layers:
    """The places that set settings, strongest first.

    Set here, the environment, ipython_config.py, the project's file, the user's file, the defaults. `environ` is read
    each time, since a cell may change it, and so are the `files`, which are None until something needs them.
    """

    environ: Mapping[str, str] = field(repr=False)  # it holds the key
    config: dict[str, Value] = field(default_factory=dict)
    assigned: dict[str, Value] = field(default_factory=dict)
    files: SettingsFiles | tuple[SettingsFile, ...] | None = None

    def find(self, setting: Setting) -> tuple[Value, str]:
        """Return a setting's value and the layer that sets it.

        Raises `SettingError` if an environment variable holds a value that the setting does not take.
        """
        return (
            _in(self.assigned, setting, SET)
            or self._in_environment(setting)
            or _in(self.config, setting, CONFIG_FILE)
            or _in_files(self.files or (), setting)
            or (setting.default, DEFAULT)
        )

    def with_files_read(self) -> Layers:
        """Return these layers with the files as they are now, to find many settings: reading files is the slow part."""
        return replace(self, files=tuple(self.files or ()))

    def values(self, options: Mapping[str, Value]) -> dict[str, Value]:
        """Return the value of every setting; `options` override all layers."""
        layers = self.with_files_read()
        return {name: options[name] if name in options else layers.find(s)[0] for name, s in SETTINGS.items()}

    def problems(self) -> tuple[str, ...]:
        """Return what the files say that cannot be used."""
        return tuple(problem for file in self.files or () for problem in file.problems)

    def _in_environment(self, setting: Setting) -> Found:
        for variable in setting.variables:
            text = self.environ.get(variable, "")
            if text.strip() or (text and setting.may_be_empty):  # an empty variable counts as unset
                return setting.parse(text, as_typed=f"The variable {variable}"), f"{ENVIRONMENT} ({variable})"
        return None


_kernel: Layers | None = None  # of the process, as its environment is


def set_kernel(layers: Layers | None) -> None:
    """Note the layers of this kernel, where the extension is loaded; None where it no longer is."""
    global _kernel  # noqa: PLW0603
    _kernel = layers


def starting_with(own: Mapping[str, Value]) -> Layers:
    """Return layers that start from what is set in this kernel now, if the extension is loaded, and that set `own`."""
    kernel = _kernel or Layers(os.environ)
    files = kernel.files or SettingsFiles(Path.cwd)
    return Layers(os.environ, dict(kernel.config), {**kernel.assigned, **own}, files)


def _in(values: Mapping[str, Value], setting: Setting, layer: str) -> Found:
    return (values[setting.name], layer) if setting.name in values else None


def _in_files(files: Iterable[SettingsFile], setting: Setting) -> Found:
    return next(((file.values[setting.name], file.where) for file in files if setting.name in file.values), None)
