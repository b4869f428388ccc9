"""The settings as traits of the magics: ``%config GLMMagics.temperature = 0.3``, and ``ipython_config.py``."""

from __future__ import annotations

import contextlib
from typing import Any

from traitlets import HasTraits, TraitError, TraitType

from glm_magic.errors import SettingError
from glm_magic.settings.declared import SETTINGS
from glm_magic.settings.layers import Layers
from glm_magic.settings.setting import Setting


class SettingTrait(TraitType[Any, Any]):
    """A setting as a trait: the same name, type, range and help."""

    def __init__(self, setting: Setting) -> None:
        super().__init__(default_value=setting.default, allow_none=True, help=setting.help)
        self.setting = setting
        self.info_text = setting.range or "text"

    def validate(self, _obj: object, value: object) -> object:
        """Raise `TraitError` for a value that the setting does not take."""
        try:
            return self.setting.check(value)
        except SettingError as error:
            raise TraitError(str(error)) from None

    def from_string(self, s: str) -> object:
        """Read a value from a command line."""
        return self.setting.parse(s)


class Mirror:
    """Keeps traits and layers alike: a trait that is assigned becomes a setting, and `show` shows what holds."""

    def __init__(self, traits: HasTraits, layers: Layers) -> None:
        """Take what `traits` have been configured with as the layer of ``ipython_config.py``."""
        self.traits = traits
        self._layers = layers
        self._showing = False
        configured = {name: getattr(traits, name) for name in SETTINGS}
        layers.config.update({name: value for name, value in configured.items() if value != SETTINGS[name].default})
        self.show()
        traits.observe(self._assigned, names=list(SETTINGS))

    def show(self) -> None:
        """Let the traits show what holds: an environment variable may have changed since."""
        self._showing = True
        layers = self._layers.with_files_read()
        try:
            for name, setting in SETTINGS.items():
                with contextlib.suppress(SettingError):  # it is raised where it matters: when something is asked
                    value, _ = layers.find(setting)
                    setattr(self.traits, name, value)
        finally:
            self._showing = False

    def _assigned(self, change: Any) -> None:
        if not self._showing:
            self._layers.assigned[change.name] = change.new
