"""Presets: named sets of model, parameters and system message, in the project's file and in the user's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glm_magic.errors import SettingError, did_you_mean, quoted
from glm_magic.settings.declared import SETTINGS, setting
from glm_magic.settings.files import PRESETS, PROJECT, USER, SettingsFile, SettingsFiles, write
from glm_magic.settings.layers import Layers
from glm_magic.settings.setting import Value

HELD = tuple(name for name, each in SETTINGS.items() if each.field or name in ("thinking", "system"))


@dataclass(frozen=True, slots=True)
class Preset:
    """A preset as it stands in a file."""

    name: str
    written: Any
    file: SettingsFile

    def values(self) -> dict[str, Value]:
        """Return its settings. Raises `SettingError`, naming preset and file, for what does not fit."""
        where = f"The preset {quoted(self.name)!r} in {self.file.where}"
        if not isinstance(self.written, dict):
            raise SettingError(f"{where} is not a table.", f"[{PRESETS}.NAME]")
        values = {}
        for name, value in self.written.items():
            try:
                of = setting(name)
            except SettingError as error:
                hint = did_you_mean(name, HELD, f"It may hold: {', '.join(HELD)}")
                raise SettingError(f"{where}: {error.what}", hint) from None
            if name not in HELD:
                raise SettingError(f"{where} holds {name}.", f"A preset may hold: {', '.join(HELD)}")
            values[name] = of.check(value, as_typed=f"{where}: {name}")
        return values


def presets(files: SettingsFiles) -> dict[str, Preset]:
    """Return the presets by name; one of the project stands before the user's own of that name."""
    found: dict[str, Preset] = {}
    for file in files:
        for name, written in file.presets.items():
            found.setdefault(name, Preset(name, written, file))
    return found


def preset(files: SettingsFiles, name: str) -> dict[str, Value]:
    """Return the settings of a preset. Raises `SettingError` if there is none of this name, or it does not fit."""
    found = presets(files)
    if name not in found:
        there = f"There are: {', '.join(found)}" if found else "There is none: %glm_config --save-preset NAME"
        raise SettingError(f"There is no preset {quoted(name)!r}.", did_you_mean(name, found, there))
    return found[name].values()


def held_now(layers: Layers) -> dict[str, Value]:
    """Return what a preset of now would hold: the model, parameters and system message that are set anywhere."""
    layers = layers.with_files_read()
    found = {name: layers.find(SETTINGS[name])[0] for name in HELD}
    return {name: value for name, value in found.items() if value is not None}


def save(files: SettingsFiles, name: str, values: Mapping[str, Value], *, of_project: bool = False) -> Path:
    """Keep `values` as a preset, in the project's file or the user's; what it held before and holds no longer goes.

    Return its path. Raises `SettingError` if it cannot be written, or `name` is not one to be typed after ``-w``.
    """
    if not name.strip() or "," in name or not name.isprintable():
        raise SettingError(f"A preset has a name without commas, not {name!r}.", "%glm_config --save-preset terse")
    kind = PROJECT if of_project else USER
    path = files.path(kind)
    write(kind, path, (PRESETS, name), {**dict.fromkeys(HELD), **values})
    return path
