"""`%glm_config`: the settings by line, as a table, and as a panel."""

from __future__ import annotations

import getpass
from typing import TYPE_CHECKING

from glm_magic.asking.recordings import OFF
from glm_magic.errors import OptionError, SettingError, SetupError
from glm_magic.magics.options import Option, Reader, assignments, read_words
from glm_magic.protocol.models import DEFAULT_MODEL
from glm_magic.settings import declared as settings
from glm_magic.settings.declared import SETTINGS, Setting, Value
from glm_magic.settings.layers import Sources

if TYPE_CHECKING:
    from glm_magic.magics.glm import GLMMagics

CONFIG_OPTIONS: tuple[Option, ...] = (
    Option("--reset", "reset the settings that are named after it, or all"),
    Option("--table", "show the settings as a table"),
    Option("--panel", "show the settings as a panel"),
    Option("--login", "ask for the key, without echo, and keep it"),
)

_USAGE = "%glm_config  |  name=value …  |  name …  |  --reset [name …]  |  --table  |  --panel  |  --login"


def run(magics: GLMMagics, line: str) -> None:
    """Do what the line says. Raises `OptionError` or `SettingError`, and then nothing has changed."""
    reader = Reader(line, CONFIG_OPTIONS, "%glm_config")
    flags = [option.flag for option, _ in reader]
    named = list(assignments(read_words(reader.rest), magics.evaluate))
    match flags, named:
        case ["--reset"], _:
            _reset(magics, named)
        case ["--table"], []:
            _show_table(magics)
        case ["--panel"], []:
            _show_panel(magics)
        case ["--login"], []:
            _login(magics)
        case [], []:
            if not (magics.outputs.is_a_page and _panel_is_shown(magics)):
                _show_table(magics)
        case [], _:
            _set_and_show(magics, named)
        case _:
            raise OptionError("That does not go together.", _USAGE)


def config_line(magics: GLMMagics) -> str:
    """Return the ``%glm_config`` line that sets what is set in this kernel."""
    others = Sources(magics.sources.environ, magics.sources.config)
    words = [
        f"{name}=" + ("" if value is None else _quoted(SETTINGS[name].written(value)))
        for name, value in magics.sources.assigned.items()
        if value != others.find(SETTINGS[name])[0]
    ]
    return " ".join(["%glm_config", *words]) if words else "%glm_config --reset"


def _set_and_show(magics: GLMMagics, named: list[tuple[str, str | None]]) -> None:
    changed: dict[str, Value] = {}
    for name, text in named:
        setting = settings.setting(name)
        if text is not None:  # `name=` takes a value away, also one of the environment
            changed[name] = setting.parse(text) if text or setting.may_be_empty else None
    recordings = magics.session.recordings
    if changed.get("record"):
        recordings.file(str(changed["record"]))
    if "replay" in changed:
        recordings.read(str(changed["replay"] or OFF))
    for name, value in changed.items():
        magics.sources.assigned[name] = value
    magics.mirror()
    magics.outputs.show_text("\n".join([*(_line(magics, SETTINGS[name]) for name, _ in named), *recordings.problems()]))


def _reset(magics: GLMMagics, named: list[tuple[str, str | None]]) -> None:
    for name, text in named:
        if text is not None:
            raise OptionError(f"--reset takes names, not {name}={text}.", "%glm_config --reset temperature")
        settings.setting(name)
    names = [name for name, _ in named] or list(SETTINGS)
    for name in names:
        magics.sources.assigned.pop(name, None)
    magics.mirror()
    magics.outputs.show_text(
        "\n".join(_line(magics, SETTINGS[name]) for name in names) if named else "All settings are reset."
    )


def _line(magics: GLMMagics, setting: Setting) -> str:
    value, source = _described(magics, setting)
    return f"{setting.name} = {value}  ({source})"


def _described(magics: GLMMagics, setting: Setting) -> tuple[str, str]:
    try:
        value, source = magics.sources.find(setting)
    except SettingError as error:
        return "—", error.what
    if value is None and setting.name == "model":
        return "not set", f"{DEFAULT_MODEL} is asked, or the embedded model"
    if value is None:
        return "not set", "the server's own default holds" if setting.field else source
    return setting.written(value) or '""', source


def _show_table(magics: GLMMagics) -> None:
    from glm_magic.display.tables import table  # noqa: PLC0415

    rows = [(setting.name, *_described(magics, setting), setting.help) for setting in SETTINGS.values()]
    data = table(
        "glm_magic settings", ("setting", "value", "from", "meaning"), rows, f"Key: {magics.session.key_status()}"
    )
    magics.outputs.show(dict(data))


def _show_panel(magics: GLMMagics) -> None:
    if not _panel_is_shown(magics):
        raise SetupError(
            "The panel needs ipywidgets, and a kernel that widgets can talk to.",
            "%pip install ipywidgets   or:  %glm_config --table",
        )


def _panel_is_shown(magics: GLMMagics) -> bool:
    magics.mirror()
    try:
        from glm_magic.display.page.panel import panel  # noqa: PLC0415

        widget = panel(magics, lambda: config_line(magics), magics.session.key_status)
    except Exception:  # no ipywidgets, or a kernel without comms, which fails in ways of its own
        return False
    from IPython.display import display  # noqa: PLC0415

    display(widget)
    return True


def _login(magics: GLMMagics) -> None:
    from glm_magic.service.keys import Key  # noqa: PLC0415

    try:
        key = Key(getpass.getpass("API key (it is not shown): "), "this kernel only")
    except (EOFError, NotImplementedError, RuntimeError) as error:  # StdinNotImplementedError is the last two
        raise SetupError("Nobody can type a key here.", "Set GLM_API_KEY in the environment instead.") from error
    magics.outputs.show_text(f"The key is kept in {magics.session.keys.keep(key)}.")


def _quoted(text: str) -> str:
    if text and not any(sign.isspace() or sign in "\"'" for sign in text) and "{{" not in text:
        return text
    if "\n" in text or "{{" in text or ('"' in text and "'" in text):
        return "{{ " + repr(text) + " }}"
    return f"'{text}'" if '"' in text else f'"{text}"'
