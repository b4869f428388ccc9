"""Changes and describes what is set in a kernel, for a line, a table and a panel alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from glm_magic.asking.recordings import OFF
from glm_magic.display.page.knobs import knob, misfit
from glm_magic.display.tables import table
from glm_magic.errors import SettingError
from glm_magic.magics.forecasts import spent
from glm_magic.magics.shared import Shared
from glm_magic.protocol.models import DEFAULT_MODEL
from glm_magic.settings.declared import SETTINGS
from glm_magic.settings.layers import SET, Layers
from glm_magic.settings.setting import Setting, Value

_NOBODY_SET_IT = "the server's own default holds"


def change(shared: Shared, changed: Mapping[str, Value]) -> None:
    """Set what is `changed`, None for "not set". Raises `GlmError`, in which case nothing has changed."""
    recordings = shared.session.recordings
    if changed.get("record"):
        recordings.file(str(changed["record"]))
    if changed.get("prices"):
        shared.session.prices.read(str(changed["prices"]))
    if "replay" in changed:
        recordings.read(str(changed["replay"] or OFF))
    if changed.get("base_url"):
        shared.session.services.check_address(shared.session.layers.values(changed))
    shared.session.layers.assigned.update(changed)
    shared.mirror.show()


def reset(shared: Shared, names: list[str]) -> None:
    """Take back what was set here."""
    for name in names:
        shared.session.layers.assigned.pop(name, None)
    shared.mirror.show()


def described(layers: Layers, setting: Setting) -> tuple[str, str]:
    """Return a setting's value as text, and where it comes from; or, for a wrong one, what is wrong."""
    try:
        value, source = layers.find(setting)
    except SettingError as error:
        return "—", error.what
    text = "not set" if value is None else setting.written(value) or '""'
    return text, _source_of(setting, value, source)


def _source_of(setting: Setting, value: Value, source: str) -> str:
    """Return where a value comes from, and, for one that is not set, what that means."""
    if value is not None:
        return source
    if setting.name == "model":
        return f"{DEFAULT_MODEL} is asked, or the embedded model"
    return _NOBODY_SET_IT if setting.field else source


def row(layers: Layers, setting: Setting, own: Mapping[str, Value], source_of_own: str = SET) -> dict[str, Any]:
    """Return a setting as a knob: its value, where that comes from, and what is wrong with it.

    `own` are the values that the knobs have set, which `source_of_own` names.
    """
    value: Value = None
    fault = ""
    model = _model(layers, own)
    try:
        value, source = (own[setting.name], source_of_own) if setting.name in own else layers.find(setting)
        source = _source_of(setting, value, source)
        fault = misfit(setting, value, model)
    except SettingError as error:
        source, fault = "", error.what
    return knob(setting, value, source, model=model, own=setting.name in own, fault=fault)


def _model(layers: Layers, own: Mapping[str, Value]) -> str:
    try:
        return str((own.get("model") or layers.find(SETTINGS["model"])[0]) or DEFAULT_MODEL)
    except SettingError:
        return ""


def key_status(shared: Shared) -> str:
    """Return whether there is a key, masked, and who would be asked."""
    try:
        return shared.session.services.status(shared.session.layers.values({}))
    except SettingError as error:  # an environment variable holds a wrong value
        return error.what


def as_table(shared: Shared) -> dict[str, str]:
    """Return each setting with its value, where that comes from, and its meaning, by MIME type."""
    layers = shared.session.layers.with_files_read()
    return table(
        "glm_magic settings",
        ("setting", "value", "from", "meaning"),
        [(setting.name, *described(layers, setting), setting.help) for setting in SETTINGS.values()],
        ". ".join(filter(None, [f"Key: {key_status(shared)}", spent(shared.session.services.ledger.total)])),
        most=shared.outputs.width,
    )
