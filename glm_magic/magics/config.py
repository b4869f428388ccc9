"""`%glm_config`: sets and shows the settings, on a line, in a table and in a panel."""

from __future__ import annotations

import getpass

from glm_magic.display.tables import table
from glm_magic.errors import OptionError, SetupError
from glm_magic.magics import saving
from glm_magic.magics.parsing import assignments, parse
from glm_magic.magics.settings import as_table, change, described, reset
from glm_magic.magics.shared import Shared
from glm_magic.magics.words import read_words
from glm_magic.service.keys import Key
from glm_magic.settings import declared as settings
from glm_magic.settings.declared import SETTINGS
from glm_magic.settings.setting import Setting, Value

_USAGE = (
    "%glm_config  |  name=value …  |  name …  |  --reset [name …]  |  --save  |  --table  |  --panel  |  --models"
    "  |  --login"
)
_PANEL = "panel"  # its name among the live controls


def run(shared: Shared, line: str) -> None:
    """Do what the line says. Raises `GlmError`, in which case nothing has changed."""
    parsed = parse(line, "%glm_config", shared.evaluate)
    named = list(assignments(read_words(parsed.rest), shared.evaluate))
    match parsed.filled.get("action", ()), named:
        case ("--reset",), _:
            _reset(shared, named)
        case ("--table",), []:
            shared.outputs.show(as_table(shared))
        case ("--panel",), []:
            _show_panel(shared)
        case ("--login",), []:
            _login(shared)
        case ("--models",), []:
            _list_models(shared)
        case ("--save",), []:
            saving.save(shared)
        case ("--presets",), []:
            saving.list_presets(shared)
        case ("--save-preset", name), []:
            shared.outputs.show_text(saving.keep_preset(shared, name, of_project="project" in parsed.filled))
        case (), []:
            if not _panel_is_shown(shared):
                shared.outputs.show(as_table(shared))
        case (), _:
            _set_and_show(shared, named)
        case _:
            raise OptionError(f"{parsed.filled['action'][0]} takes no names.", _USAGE)
    if problems := shared.session.recordings.problems():
        shared.outputs.show_text("\n".join(problems))


def _set_and_show(shared: Shared, named: list[tuple[str, str | None]]) -> None:
    changed: dict[str, Value] = {}
    for name, text in named:
        setting = settings.setting(name)
        if text is not None:  # `name=` takes a value away, also one of the environment
            changed[name] = setting.parse(text) if text or setting.may_be_empty else None
    change(shared, changed)
    problems = shared.session.recordings.problems()
    shared.outputs.show_text("\n".join([*(_line(shared, SETTINGS[name]) for name, _ in named), *problems]))


def _reset(shared: Shared, named: list[tuple[str, str | None]]) -> None:
    for name, text in named:
        if text is not None:
            raise OptionError(f"--reset takes names, not {name}={text}.", "%glm_config --reset temperature")
        settings.setting(name)
    names = [name for name, _ in named] or list(SETTINGS)
    reset(shared, names)
    shared.outputs.show_text(
        "\n".join(_line(shared, SETTINGS[name]) for name in names) if named else "All settings are reset."
    )


def _line(shared: Shared, setting: Setting) -> str:
    value, source = described(shared.session.layers, setting)
    return f"{setting.name} = {value}  ({source})"


def _show_panel(shared: Shared) -> None:
    if _panel_is_shown(shared):
        return
    if shared.outputs.is_a_page and not shared.cells.have_ids:  # nobody is before the page
        shared.outputs.show(as_table(shared))
    else:
        raise SetupError(
            "The panel needs ipywidgets, and a kernel that widgets can talk to.",
            "%pip install ipywidgets   or:  %glm_config --table",
        )


def _panel_is_shown(shared: Shared) -> bool:
    """Show the panel, if somebody may be before the page: a front end that sends cell ids."""
    if not (shared.outputs.is_a_page and shared.cells.have_ids):
        return False
    try:
        from glm_magic.magics.panel import PanelHands  # noqa: PLC0415 - it loads the widgets

        hands = shared.controls.get(_PANEL) or PanelHands(shared)
    except Exception:  # no widgets, or a kernel without comms, which fails in ways of its own
        return False
    assert isinstance(hands, PanelHands), "by its name"
    shared.controls[_PANEL] = hands
    hands.show(shared.cells.run.cell)
    return True


def _list_models(shared: Shared) -> None:
    """Ask the endpoint for its models, and show them; from then on they complete after ``-m``."""
    with shared.interrupts, shared.interrupts.acting_at_once():
        names = shared.session.services.list_models(shared.session.layers.values({}))
    where = shared.session.services.base_url(shared.session.layers.values({})) or "this machine"
    title = f"{len(names):,} models at {where}" if len(names) != 1 else f"1 model at {where}"
    shared.outputs.show(table(title, ("model",), [(name,) for name in names], most=shared.outputs.width))


def _login(shared: Shared) -> None:
    try:
        key = Key(getpass.getpass("API key (it is not shown): "), "this kernel only")
    except (EOFError, NotImplementedError, RuntimeError) as error:  # StdinNotImplementedError is the last two
        raise SetupError("Nobody can type a key here.", "Set GLM_API_KEY in the environment instead.") from error
    shared.outputs.show_text(f"The key is kept in {shared.session.services.keys.keep(key)}.")
