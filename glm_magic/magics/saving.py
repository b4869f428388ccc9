"""What `%glm_config` writes into the settings' files, and lists of them: `--save`, `--save-preset` and `--presets`."""

from __future__ import annotations

from pathlib import Path

from glm_magic.display.tables import table
from glm_magic.errors import SettingError, SetupError
from glm_magic.magics.shared import Shared
from glm_magic.settings import presets
from glm_magic.settings.declared import SETTINGS
from glm_magic.settings.files import USER, shown, write
from glm_magic.settings.setting import Value


def save(shared: Shared) -> None:
    """Write what is set here to the user's file. Raises `SettingError` if nothing is, or it cannot be written."""
    assigned = shared.session.layers.assigned
    if not assigned:
        raise SettingError("Nothing is set here, so nothing was saved.", "%glm_config temperature=0.3, then --save")
    _check_holds_no_key(shared, assigned)
    path = shared.files.path(USER)
    write(USER, path, (), {name: SETTINGS[name].anchored(value, Path.cwd()) for name, value in assigned.items()})
    shared.outputs.show_text(f"Saved in {shown(path)}: {_named(assigned)}")


def keep_preset(shared: Shared, name: str, *, of_project: bool) -> str:
    """Keep the model, parameters and system message that are set now as a preset; return a line that says so.

    Raises `SettingError`.
    """
    values = presets.held_now(shared.session.layers)
    if not values:
        raise SettingError(
            "No model, parameter or system message is set, so there is nothing to keep.",
            "%glm_config temperature=0 system='Be brief.', then --save-preset NAME",
        )
    _check_holds_no_key(shared, values)
    path = presets.save(shared.files, name, values, of_project=of_project)
    return f"Preset {name} saved in {shown(path)}: {_named(values)}"


def list_presets(shared: Shared) -> None:
    """Show the presets with what they hold, and the files they stand in."""
    rows = []
    for name, preset in shared.presets.items():
        try:
            holds = ", ".join(f"{each} {SETTINGS[each].written(value)}" for each, value in preset.values().items())
        except SettingError as error:
            holds = f"{error.what} {error.remedy}"
        rows.append((name, holds, preset.file.where))
    note = (
        "-w NAME asks with one." if rows else "There is none yet. %glm_config --save-preset NAME keeps what is set now."
    )
    shared.outputs.show(table("Presets", ("preset", "holds", "from"), rows, note, most=shared.outputs.width))


def _named(values: dict[str, Value]) -> str:
    return ", ".join(name if value is not None else f"{name} (taken out)" for name, value in values.items())


def _check_holds_no_key(shared: Shared, values: dict[str, Value]) -> None:
    """Raise `SettingError` if a value holds the key: a file that is shared, or put into git, must not."""
    services = shared.session.services
    try:
        key = services.keys.find(str(shared.session.layers.values({})["api_key_env"] or "") or None)
    except SetupError:
        return
    for name, value in values.items():
        texts = value if isinstance(value, tuple) else (value,)
        if key is not None and any(isinstance(text, str) and key.hidden_in(text) != text for text in texts):
            raise SettingError(f"{name} holds your API key, so nothing was saved.", f"%glm_config --reset {name}")
