"""The options of the magics, each declared once: parsing, conflicts, help, tables and completion follow from it."""

from __future__ import annotations

import contextlib
import inspect
import keyword
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

from glm_magic.asking.chats import ONE_SHOT
from glm_magic.chat import strict_json
from glm_magic.errors import OptionError
from glm_magic.settings.declared import SETTINGS, Setting, Value, alternatives


class Several(tuple[Any, ...]):
    """The values of a setting that a comparison compares."""

    __slots__ = ()


class Given(NamedTuple):
    """A value as it was given: its text, and whether an expression inserted some of it."""

    text: str
    is_inserted: bool = False


Read = Callable[["Option", tuple[Given, ...]], Any]


@dataclass(frozen=True, slots=True)
class Option:
    """An option of a magic.

    It `fills` a field of what the line says: with `value`, or, where it has a `metavar`, with what `read` makes of
    the words after it (their text by default). Two options that fill the same field cannot be combined. `more` is
    how many further words may follow. Given again, its values are joined by `repeats`; without that it is an error.

    `excludes` names options it cannot be combined with, each with the reason, unless its own value is `idle`.
    `goes_with` names the options of which it needs one. `completes` says what each word after it is completed with,
    besides its `choices`.
    """

    flag: str
    help: str
    short: str = ""
    metavar: str = ""
    fills: str = ""
    value: Any = True
    read: Read | None = None
    repeats: Callable[[Any, Any], Any] | None = None
    more: int = 0
    excludes: Mapping[str, str] = field(default_factory=dict)
    idle: Any = None
    goes_with: tuple[str, ...] = ()
    completes: str = ""

    @property
    def usage(self) -> str:
        """The option as a table of options shows it."""
        names = f"-{self.short}, {self.flag}" if self.short else self.flag
        return f"{names} {self.metavar}".rstrip()

    @property
    def choices(self) -> tuple[str, ...]:
        """The values that it takes, where they are few."""
        return alternatives(self.metavar)

    def filled_by(self, given: tuple[Given, ...]) -> Any:
        """Return what it fills in. Raises `OptionError` or `SettingError` for a wrong value."""
        if self.read is not None:
            return self.read(self, given)
        return given[0].text if given else self.value


_Magic = TypeVar("_Magic", bound=Callable[..., Any])


def documented(*options: Option) -> Callable[[_Magic], _Magic]:
    """Add the table of options to a magic's docstring."""

    def document(magic: _Magic) -> _Magic:
        table = "\n".join(f"    {option.usage:<32} {option.help}" for option in options)
        magic.__doc__ = f"{inspect.cleandoc(magic.__doc__ or '')}\n\n::\n\n{table}\n"
        return magic

    return document


# --- how values are read --------------------------------------------------------------------------


def _setting_value(setting: Setting) -> Read:
    def read(option: Option, given: tuple[Given, ...]) -> Any:
        text, is_inserted = given[0]
        if setting.name in _COMPARED and "," in text and not is_inserted:  # what is inserted is one value, never split
            return Several(_item(setting, item, option) for item in text.split(","))
        return setting.parse(text, as_typed=option.flag)

    return read


def _item(setting: Setting, item: str, option: Option) -> Value:
    if not item.strip():
        raise OptionError(f"{option.flag} has an empty item in its list.", f"For example: {_EXAMPLES[setting.name]}")
    return setting.parse(item.strip(), as_typed=option.flag)


def _both(value: Value | Several, more: Value) -> Several:
    """Return what is compared where an option is given again."""
    return Several((*(value if isinstance(value, Several) else (value,)), more))


def _count(option: Option, given: tuple[Given, ...]) -> int:
    text = given[0].text.strip()
    if not text.isascii() or not text.isdigit() or not int(text):
        raise OptionError(f"{option.flag} takes a whole number of at least 1, not {given[0].text!r}.")
    return int(text)


def _positive(option: Option, given: tuple[Given, ...]) -> float:
    with contextlib.suppress(ValueError):
        if 0 < (number := float(given[0].text)) < math.inf:
            return number
    raise OptionError(f"{option.flag} takes a number above 0, not {given[0].text!r}.")


def _names(option: Option, given: tuple[Given, ...]) -> tuple[str, ...]:
    """Read names with commas between them."""
    text, is_inserted = given[0]
    names = (text,) if is_inserted else tuple(name.strip() for name in text.split(","))
    if not all(names):
        raise OptionError(f"{option.flag} needs a name, or several with commas between them, not {text!r}.")
    return names


def _named(example: str) -> Read:
    def read(option: Option, given: tuple[Given, ...]) -> str:
        if not given[0].text.strip():
            raise OptionError(f"{option.flag} needs a name.", example)
        return given[0].text

    return read


def _choice(option: Option, given: tuple[Given, ...]) -> str:
    if given[0].text not in option.choices:
        raise OptionError(f"{option.flag} takes {' or '.join(option.choices)}, not {given[0].text!r}.")
    return given[0].text


def python_name(text: str, what: str) -> str:
    """Return `text` if it is a Python name that can be bound; else raise `OptionError`."""
    if not text.isidentifier() or keyword.iskeyword(text):
        raise OptionError(f"{what} needs a Python name, not {text!r}.")
    return text


def _tools(option: Option, given: tuple[Given, ...]) -> str:
    text, is_inserted = given[0]
    if is_inserted and "," in text:  # what is inserted is one value, never split
        raise OptionError(f"{option.flag} takes a name, not {text!r}.", "Repeat -T for each tool.")
    return str(SETTINGS["tools"].parse(text, as_typed=option.flag))


# Fields of the protocol that have an option, or a place, of their own.
_SET_OTHERWISE = {
    "messages": "The messages are the cell's text and the history.",
    "stream": "Use --no-stream for one response instead of a stream.",
    "tools": "Use -T NAME, with a function of the notebook, or a dict in the API's own form.",
    "response_format": "Use --json or --schema NAME.",
    "n": "Use -n.",
    **{name: f"Use {setting.flag}." for name, setting in SETTINGS.items() if setting.field},
}


def _field(_: Option, given: tuple[Given, ...]) -> dict[str, Any]:
    """Read ``KEY=VALUE``: VALUE is parsed as JSON, else sent as text."""
    text = given[0].text
    name, equals, written = text.partition("=")
    name = name.strip()
    if not equals or not name:
        raise OptionError(f"--param takes KEY=VALUE, not {text!r}.", "For example: --param seed=7")
    if name in _SET_OTHERWISE:
        raise OptionError(f"--param does not set {name!r}.", _SET_OTHERWISE[name])
    try:
        return {name: strict_json.loads(written)}
    except ValueError as error:
        if written.lstrip()[:1] in ("{", "[", '"'):
            raise OptionError(f"--param {name}: {written!r} begins as JSON but is not JSON: {error}.") from None
    return {name: written}


def _with_field(fields: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    for name in fields.keys() & more:
        raise OptionError(f"--param {name} is given twice.", "Keep one of them.")
    return {**fields, **more}


def _action(option: Option, given: tuple[Given, ...]) -> tuple[str, ...]:
    return option.flag, *(word.text for word in given)


def _words(_: Option, given: tuple[Given, ...]) -> tuple[str, ...]:
    return tuple(word.text for word in given)


# --- the options ----------------------------------------------------------------------------------

# A comma list of these compares.
_COMPARED = ("model", "temperature", "top_p", "max_tokens", "thinking")
_EXAMPLES = {
    "model": "-m GLM-4-Air,GLM-4-Plus",
    "temperature": "-t 0,0.5,1",
    "top_p": "-p 0.5,0.9",
    "max_tokens": "--max-tokens 50,200",
    "thinking": "--think off,high",
}


def _of_setting(name: str, **declared: Any) -> Option:
    setting = SETTINGS[name]
    limits = f" ({setting.range})" if setting.low is not None else ""
    compares = "; a comma list compares" if name in _COMPARED else ""
    if name == "system":
        compares = "; given again, compares"
    return Option(
        setting.flag,
        setting.help + limits + compares,
        setting.short,
        setting.metavar,
        fills=f"settings.{name}",
        read=_setting_value(setting),
        completes=setting.completes,
        **declared,
    )


ASK_OPTIONS: tuple[Option, ...] = (
    *map(_of_setting, ("model", "temperature", "top_p", "max_tokens")),
    _of_setting("stop", repeats=lambda words, more: (*([words] if isinstance(words, str) else words), more)),
    _of_setting("thinking"),
    _of_setting("system", repeats=_both),
    Option(
        "--preset",
        "a saved set of model, parameters and system message; options of the cell are stronger; a comma list compares",
        "w",
        "NAME",
        fills="presets",
        read=_names,
        completes="preset",
    ),
    Option(
        "--param",
        "any other request field, repeatable; VALUE is parsed as JSON, else sent as text",
        metavar="KEY=VALUE",
        fills="extra",
        read=_field,
        repeats=_with_field,
    ),
    Option("--json", "ask for a JSON object, and check the answer", fills="json"),
    Option(
        "--schema",
        "ask for JSON that fits a model, dataclass, TypedDict or JSON Schema",
        metavar="NAME",
        fills="schema",
        read=_named("--schema City, or --schema list[City]"),
        excludes={"--json": "--schema asks for JSON too."},
        completes="schema",
    ),
    Option("--no-stream", "one response instead of a stream", fills="stream", value=False),
    Option(
        "--chat",
        "the conversation to use (default main)",
        "c",
        "NAME",
        fills="chat",
        read=_named("-c draft"),
        completes="chat",
    ),
    Option("--new", "start anew: this cell and later ones send nothing that stands before it", fills="new"),
    Option(
        "--no-history",
        f"one-shot: send no earlier turn, and send this one with no later (kept in the chat {ONE_SHOT})",
        "H",
        fills="history",
        value=False,
    ),
    Option("--history", "send the earlier turns, and keep this one, even with history=off", fills="history"),
    Option(
        "--role",
        "add the cell to the conversation as a system or assistant message, and ask nothing",
        metavar="user|system|assistant",
        fills="role",
        read=_choice,
        idle="user",
        excludes={
            "--no-history": "--role puts the cell into the conversation, and --no-history leaves it out.",
            "--bg": "--role asks nothing, so nothing can run in the background.",
        },
    ),
    Option(
        "--tool",
        "a function that the model may call (repeatable, or a comma list)",
        "T",
        "NAME",
        fills="settings.tools",
        read=_tools,
        repeats=lambda names, more: f"{names},{more}",
        completes=SETTINGS["tools"].completes,
    ),
    Option("--approve", SETTINGS["approve"].help, fills="settings.approve"),
    _of_setting("max_steps"),
    _of_setting("concurrency"),
    Option(
        "--out",
        "bind the reply to NAME; `NAME <<` at the end of a %%glm line does the same",
        "o",
        "NAME",
        fills="out",
        read=lambda option, given: python_name(given[0].text, option.flag),
    ),
    _of_setting("format"),
    Option("--repeat", "ask N times, and compare the answers", "n", "N", fills="repeats", read=_count),
    Option(
        "--variants",
        "compare several wordings, each after a line `--- NAME`; what stands before the first belongs to all",
        fills="variants",
    ),
    Option(
        "--each",
        "ask about each row of a DataFrame or list of dicts; its columns are names in the prompt",
        metavar="NAME",
        fills="each",
        read=_named("--each reviews"),
        completes="table",
    ),
    Option(
        "--score",
        "score each answer by functions (reply) or (reply, row) (a comma list; the first decides)",
        metavar="NAME",
        fills="scores",
        read=_names,
        completes="score",
    ),
    Option(
        "--until-decided",
        "with --score: ask in rounds until the first score has decided each column against the baseline",
        fills="until_decided",
        goes_with=("--score",),
    ),
    Option(
        "--margin",
        "with --score: a column that differs from the baseline by less than X counts as equal",
        metavar="X",
        fills="margin",
        read=_positive,
        goes_with=("--score",),
    ),
    Option(
        "--blind",
        "hide which configuration of a comparison wrote which answer, until _glm.reveal()",
        fills="blind",
    ),
    Option(
        "--executor",
        "ask a comparison on a concurrent.futures.Executor of the notebook: other processes or machines",
        metavar="NAME",
        fills="executor",
        read=_named("--executor workers"),
        completes="executor",
    ),
    Option("--fresh", "with a comparison: ask all anew, also what has an answer", fills="fresh"),
    Option("--yes", "with a comparison: ask more than 10,000 requests", fills="yes"),
    Option(
        "--interact",
        "the playground: prompt, names and parameters as controls; sends nothing until Run",
        fills="interact",
        excludes={
            "--role": "--role asks nothing.",
            "--bg": "The playground runs in the background anyway.",
            "--dry-run": "The playground sends nothing until Run.",
            "--approve": "--approve asks on the input line, which only a running cell has.",
        },
    ),
    Option("--bg", "run in the background: the cell returns at once and goes on filling in", fills="background"),
    Option("--replay", "answer from a recorded answer to the same request, if there is one", fills="replay"),
    Option("--no-replay", "ask, even if an answer is recorded", fills="replay", value=False),
    Option("--dry-run", "show the exact request, and send nothing", "N", fills="dry_run"),
    Option("--quiet", "show no line about model, tokens and time", "q", fills="quiet"),
    Option("--raw", "leave {{ }} in the prompt as it is", fills="raw"),
)

CONFIG_OPTIONS: tuple[Option, ...] = (
    Option(
        "--reset",
        "reset the settings named after it, or all of them",
        fills="action",
        read=_action,
        completes="setting",
    ),
    Option("--table", "show the settings as a table", fills="action", read=_action),
    Option("--panel", "show the settings as a panel", fills="action", read=_action),
    Option("--models", "ask the endpoint for its models; -m completes them then", fills="action", read=_action),
    Option("--login", "ask for the key without echo, and keep it", fills="action", read=_action),
    Option("--save", "write what is set here to your own settings file", fills="action", read=_action),
    Option("--presets", "list the presets", fills="action", read=_action),
    Option(
        "--save-preset",
        "keep the model, parameters and system message that are set now as a preset",
        metavar="NAME",
        fills="action",
        read=_action,
        completes="preset",
    ),
    Option(
        "--project",
        "with --save-preset: in the project's file, pyproject.toml",
        fills="project",
        goes_with=("--save-preset",),
    ),
)

_OF_NO_CHAT = {flag: f"{flag} is not about one chat." for flag in ("--list", "--restore", "--forget")}


def _history_action(flag: str, help_: str, metavar: str = "", more: int = 0, completes: str = "") -> Option:
    return Option(flag, help_, "", metavar, fills="action", read=_action, more=more, completes=completes)


HISTORY_OPTIONS: tuple[Option, ...] = (
    Option(
        "--chat",
        "the conversation (default main)",
        "c",
        "NAME",
        fills="chat",
        excludes=_OF_NO_CHAT,
        completes="chat",
    ),
    _history_action("--panel", "show the turns with ticks that skip them, and the context window as a bar"),
    _history_action("--clear", "empty the conversation"),
    _history_action("--undo", "take the last turn out, or a refresh back"),
    _history_action("--refresh", "ask the stale turns again, in their order, and show the old answers against the new"),
    _history_action(
        "--attempt", "make attempt N of a turn (its number in the table) the active one", "TURN N", 1, "turn attempt"
    ),
    _history_action(
        "--attempts", "list the attempts of a turn: what changed, tokens, first words", "TURN", completes="turn"
    ),
    _history_action(
        "--text",
        "put the text of a turn, or its attempt N, into a new cell: --text TURN [N]",
        "TURN",
        1,
        "turn attempt",
    ),
    _history_action(
        "--show",
        "show a turn, or its attempt N, with parameters and system message: --show TURN [N]",
        "TURN",
        1,
        "turn attempt",
    ),
    Option(
        "--diff",
        "with --show: what changed between two attempts, also of parameters and system message: --diff [N M]",
        fills="diff",
        read=_words,
        more=2,
        goes_with=("--show",),
        completes="attempt attempt",
    ),
    Option("--side", "with --diff: the two attempts beside each other", fills="side", goes_with=("--diff",)),
    _history_action("--skip", "leave a turn out of requests until its cell runs again", "TURN", completes="turn"),
    _history_action("--unskip", "send a skipped turn again", "TURN", completes="turn"),
    _history_action("--fork", "copy the conversation into the chat NEW", "NEW"),
    _history_action("--prune", "take out the turns whose cells were deleted"),
    _history_action("--order", "put the turns into the order of the page as last saved"),
    _history_action("--list", "list the chats"),
    _history_action(
        "--restore", "add the saved turns that are not here: --restore [FILE.ipynb]", more=1, completes="file"
    ),
    _history_action(
        "--export", "write the conversation to a file: .ipynb .jsonl .md .py .sh", "FILE", completes="file"
    ),
    Option(
        "--force",
        "with --restore, --export: replace what is there",
        fills="force",
        goes_with=("--restore", "--export"),
    ),
    _history_action("--forget", "delete this notebook's answers from the store"),
)
