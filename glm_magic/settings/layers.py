"""The settings of a session, each from the strongest layer that sets it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from glm_magic.settings.declared import SETTINGS, Setting, Value

# Where a value came from, weakest first.
DEFAULT, CONFIG_FILE, ENVIRONMENT, SET = "default", "ipython_config.py", "environment", "set here"


@dataclass(slots=True)
class Sources:
    """The settings of a session, each from the strongest source that has it; `environ` is read late, each time anew."""

    environ: Mapping[str, str] = field(repr=False)  # it holds the key
    config: dict[str, Value] = field(default_factory=dict)
    assigned: dict[str, Value] = field(default_factory=dict)

    def find(self, setting: Setting) -> tuple[Value, str]:
        """Return a setting's value and the source. Raises `SettingError` if a variable holds a wrong one."""
        if setting.name in self.assigned:
            return self.assigned[setting.name], SET
        for variable in setting.variables:
            text = self.environ.get(variable, "")
            if text.strip() or (text and setting.may_be_empty):  # an empty variable counts as unset
                return setting.parse(text, as_typed=f"The variable {variable}"), f"{ENVIRONMENT} ({variable})"
        if setting.name in self.config:
            return self.config[setting.name], CONFIG_FILE
        return setting.default, DEFAULT

    def values(self, options: Mapping[str, Value]) -> dict[str, Value]:
        """Return every setting's value; `options` are stronger than all sources."""
        return {name: options[name] if name in options else self.find(s)[0] for name, s in SETTINGS.items()}
