"""`%glm_config`: sets and shows the settings, on a line, in a table and in a panel."""

from __future__ import annotations

import getpass
from collections.abc import Mapping

from glm_magic.asking.recordings import OFF
from glm_magic.display.tables import table
from glm_magic.errors import OptionError, SettingError, SetupError
from glm_magic.magics import saving
from glm_magic.magics.options import CONFIG_OPTIONS
from glm_magic.magics.parsing import assignments, parse
from glm_magic.magics.shared import Shared
from glm_magic.magics.words import quoted, read_words
from glm_magic.protocol.models import DEFAULT_MODEL
from glm_magic.service.keys import Key
from glm_magic.settings import declared as settings
from glm_magic.settings.declared import SETTINGS, Setting, Value

_USAGE = "%glm_config  |  name=value …  |  name …  |  --reset [name …]  |  --save  |  --table  |  --panel  |  --login"


def run(shared: Shared, line: str) -> None:
    """Do what the line says. Raises `GlmError`, in which case nothing has changed."""
    parsed = parse(line, CONFIG_OPTIONS, "%glm_config", shared.evaluate)
    named = list(assignments(read_words(parsed.rest), shared.evaluate))
    match parsed.filled.get("action", ()), named:
        case ("--reset",), _:
            _reset(shared, named)
        case ("--table",), []:
            _show_table(shared)
        case ("--panel",), []:
            _show_panel(shared)
        case ("--login",), []:
            _login(shared)
        case ("--save",), []:
            saving.save(shared)
        case ("--presets",), []:
            saving.list_presets(shared)
        case ("--save-preset", name), []:
            saving.save_preset(shared, name, of_project="project" in parsed.filled)
        case (), []:
            if not (shared.outputs.is_a_page and _panel_is_shown(shared)):
                _show_table(shared)
        case (), _:
            _set_and_show(shared, named)
        case _:
            raise OptionError(f"{parsed.filled['action'][0]} takes no names.", _USAGE)
    if problems := shared.session.recordings.problems():
        shared.outputs.show_text("\n".join(problems))


def config_line(shared: Shared) -> str:
    """Return the ``%glm_config`` line that repeats what is set in this kernel."""
    others = shared.session.layers.without_assigned()
    words = [
        f"{name}=" + ("" if value is None else quoted(SETTINGS[name].written(value)))
        for name, value in shared.session.layers.assigned.items()
        if value != others.find(SETTINGS[name])[0]
    ]
    return " ".join(["%glm_config", *words]) if words else "%glm_config --reset"


def set_here(shared: Shared, values: Mapping[str, Value]) -> str:
    """Set settings in this kernel, and return the line that does the same."""
    shared.session.layers.assigned.update(values)
    shared.mirror.show()
    words = [
        f"{name}={quoted(SETTINGS[name].written(value)) if value is not None else ''}" for name, value in values.items()
    ]
    return " ".join(["%glm_config", *words])


def _set_and_show(shared: Shared, named: list[tuple[str, str | None]]) -> None:
    changed: dict[str, Value] = {}
    for name, text in named:
        setting = settings.setting(name)
        if text is not None:  # `name=` takes a value away, also one of the environment
            changed[name] = setting.parse(text) if text or setting.may_be_empty else None
    recordings = shared.session.recordings
    if changed.get("record"):
        recordings.file(str(changed["record"]))
    if changed.get("prices"):
        shared.session.prices.read(str(changed["prices"]))
    if "replay" in changed:
        recordings.read(str(changed["replay"] or OFF))
    if changed.get("base_url"):
        shared.session.services.check_address(shared.session.layers.values(changed))
    for name, value in changed.items():
        shared.session.layers.assigned[name] = value
    shared.mirror.show()
    shared.outputs.show_text("\n".join([*(_line(shared, SETTINGS[name]) for name, _ in named), *recordings.problems()]))


def _reset(shared: Shared, named: list[tuple[str, str | None]]) -> None:
    for name, text in named:
        if text is not None:
            raise OptionError(f"--reset takes names, not {name}={text}.", "%glm_config --reset temperature")
        settings.setting(name)
    names = [name for name, _ in named] or list(SETTINGS)
    for name in names:
        shared.session.layers.assigned.pop(name, None)
    shared.mirror.show()
    shared.outputs.show_text(
        "\n".join(_line(shared, SETTINGS[name]) for name in names) if named else "All settings are reset."
    )


def _line(shared: Shared, setting: Setting) -> str:
    value, source = _described(shared, setting)
    return f"{setting.name} = {value}  ({source})"


def _described(shared: Shared, setting: Setting) -> tuple[str, str]:
    try:
        value, source = shared.session.layers.find(setting)
    except SettingError as error:
        return "—", error.what
    if value is None and setting.name == "model":
        return "not set", f"{DEFAULT_MODEL} is asked, or the embedded model"
    if value is None:
        return "not set", "the server's own default holds" if setting.field else source
    return setting.written(value) or '""', source


def _show_table(shared: Shared) -> None:
    rows = [(setting.name, *_described(shared, setting), setting.help) for setting in SETTINGS.values()]
    data = table(
        "glm_magic settings",
        ("setting", "value", "from", "meaning"),
        rows,
        f"Key: {_key_status(shared)}",
        most=shared.outputs.width,
    )
    shared.outputs.show(dict(data))


def _show_panel(shared: Shared) -> None:
    if not _panel_is_shown(shared):
        raise SetupError(
            "The panel needs ipywidgets, and a kernel that widgets can talk to.",
            "%pip install ipywidgets   or:  %glm_config --table",
        )


def _panel_is_shown(shared: Shared) -> bool:
    shared.mirror.show()
    try:
        from glm_magic.display.page.panel import panel  # noqa: PLC0415

        widget = panel(shared.mirror.traits, lambda: config_line(shared), lambda: _key_status(shared))
    except Exception:  # no ipywidgets, or a kernel without comms, which fails in ways of its own
        return False
    from IPython.display import display  # noqa: PLC0415

    display(widget)
    return True


def _key_status(shared: Shared) -> str:
    try:
        return shared.session.services.status(shared.session.layers.values({}))
    except SettingError as error:  # an environment variable holds a wrong value
        return error.what


def _login(shared: Shared) -> None:
    try:
        key = Key(getpass.getpass("API key (it is not shown): "), "this kernel only")
    except (EOFError, NotImplementedError, RuntimeError) as error:  # StdinNotImplementedError is the last two
        raise SetupError("Nobody can type a key here.", "Set GLM_API_KEY in the environment instead.") from error
    shared.outputs.show_text(f"The key is kept in {shared.session.services.keys.keep(key)}.")
