"""The options of the magics, each declared once: here, or with the setting that it sets.

Parsing, conflicts, help, tables and completion follow from that.
"""

from __future__ import annotations

from typing import Any

from glm_magic.chat.place import ONE_SHOT
from glm_magic.magics.option import Option
from glm_magic.magics.option_values import (
    COMPARED,
    action,
    all_words,
    choice,
    count,
    joined,
    name_like,
    positive,
    python_name,
    request_field,
    setting_value,
    several_names,
    tool_names,
    with_field,
)
from glm_magic.settings.declared import SETTINGS


def _of_setting(name: str, **declared: Any) -> Option:
    setting = SETTINGS[name]
    limits = f" ({setting.range})" if setting.low is not None else ""
    compares = "; a comma list compares" if name in COMPARED else ""
    if name == "system":
        compares = "; given again, compares"
    return Option(
        setting.flag,
        setting.help + limits + compares,
        setting.short,
        setting.metavar,
        fills=f"settings.{name}",
        read=setting_value(setting),
        completes=setting.completes,
        **declared,
    )


ASK_OPTIONS: tuple[Option, ...] = (
    *map(_of_setting, ("model", "temperature", "top_p", "max_tokens")),
    _of_setting("stop", repeats=lambda words, more: (*([words] if isinstance(words, str) else words), more)),
    _of_setting("thinking"),
    _of_setting("system", repeats=joined),
    Option(
        "--preset",
        "a saved set of model, parameters and system message; options of the cell are stronger; a comma list compares",
        "w",
        "NAME",
        fills="presets",
        read=several_names,
        completes="preset",
    ),
    Option(
        "--param",
        "any other request field, repeatable; VALUE is parsed as JSON, else sent as text",
        metavar="KEY=VALUE",
        fills="extra",
        read=request_field,
        repeats=with_field,
    ),
    Option("--json", "ask for a JSON object, and check the answer"),
    Option(
        "--schema",
        "ask for JSON that fits a model, dataclass, TypedDict or JSON Schema",
        metavar="NAME",
        read=name_like("--schema City, or --schema list[City]"),
        excludes={"--json": "--schema asks for JSON too."},
        completes="schema",
    ),
    Option("--no-stream", "one response instead of a stream", fills="stream", value=False),
    Option(
        "--chat",
        "the conversation to use (default main)",
        "c",
        "NAME",
        read=name_like("-c draft"),
        completes="chat",
    ),
    Option("--new", "start anew: this cell and later ones send nothing that stands before it"),
    Option(
        "--no-history",
        f"one-shot: send no earlier turn, and send this one with no later (kept in the chat {ONE_SHOT})",
        "H",
        fills="history",
        value=False,
    ),
    Option("--history", "send the earlier turns, and keep this one, even with history=off"),
    Option(
        "--role",
        "add the cell to the conversation as a system or assistant message, and ask nothing",
        metavar="user|system|assistant",
        read=choice,
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
        read=tool_names,
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
        read=lambda option, given: python_name(given[0].text, option.flag),
    ),
    _of_setting("format"),
    Option("--repeat", "ask N times, and compare the answers", "n", "N", fills="repeats", read=count),
    Option(
        "--variants",
        "compare several wordings, each after a line `--- NAME`; what stands before the first belongs to all",
    ),
    Option(
        "--each",
        "ask about each row of a DataFrame or list of dicts; its columns are names in the prompt",
        metavar="NAME",
        read=name_like("--each reviews"),
        completes="table",
    ),
    Option(
        "--score",
        "score each answer by functions (reply) or (reply, row) (a comma list; the first decides)",
        metavar="NAME",
        fills="scores",
        read=several_names,
        completes="score",
    ),
    Option(
        "--until-decided",
        "with --score: ask in rounds until the first score has decided each column against the baseline",
        goes_with=("--score",),
    ),
    Option(
        "--margin",
        "with --score: a column that differs from the baseline by less than X counts as equal",
        metavar="X",
        read=positive,
        goes_with=("--score",),
    ),
    Option("--blind", "hide which configuration of a comparison wrote which answer, until _glm.reveal()"),
    Option(
        "--executor",
        "run a comparison on a concurrent.futures.Executor, or a client of Dask or ipyparallel",
        metavar="NAME",
        read=name_like("--executor workers"),
        completes="executor",
    ),
    Option(
        "--batch",
        "send a comparison through the service's Batch API, at batch prices; run the cell again to collect the answers",
        excludes={
            "--bg": "A batch ends the cell at once.",
            "--executor": "The service asks the requests of a batch by itself.",
            "--until-decided": "A batch asks everything; --until-decided asks in rounds.",
            "--interact": "The playground asks one question at a time.",
        },
    ),
    Option("--fresh", "with a comparison: ask all anew, also what has an answer"),
    Option("--yes", "with a comparison: ask more than 10,000 requests"),
    Option(
        "--interact",
        "the playground: prompt, names and parameters as controls; sends nothing until Run",
        excludes={
            "--role": "--role asks nothing.",
            "--bg": "The playground runs in the background anyway.",
            "--dry-run": "The playground sends nothing until Run.",
            "--approve": "--approve asks on the input line, which only a running cell has.",
        },
    ),
    Option("--bg", "run in the background: the cell returns at once and goes on filling in", fills="background"),
    Option("--replay", "answer from a recorded answer to the same request, if there is one"),
    Option("--no-replay", "ask, even if an answer is recorded", fills="replay", value=False),
    Option("--dry-run", "show the exact request, and send nothing", "N"),
    Option("--quiet", "show no line about model, tokens and time", "q"),
    Option("--raw", "leave {{ }} in the prompt as it is"),
)


def _action(flag: str, help_: str, metavar: str = "", more: int = 0, completes: str = "") -> Option:
    return Option(flag, help_, "", metavar, fills="action", read=action, more=more, completes=completes)


CONFIG_OPTIONS: tuple[Option, ...] = (
    _action("--reset", "reset the settings named after it, or all of them", completes="setting"),
    _action("--table", "show the settings as a table"),
    _action("--panel", "show the settings as a panel"),
    _action("--models", "ask the endpoint for its models; -m completes them then"),
    _action("--login", "ask for the key without echo, and keep it"),
    _action("--save", "write what is set here to your own settings file"),
    _action("--presets", "list the presets"),
    _action(
        "--save-preset",
        "keep the model, parameters and system message that are set now as a preset",
        "NAME",
        completes="preset",
    ),
    Option("--project", "with --save-preset: in the project's file, pyproject.toml", goes_with=("--save-preset",)),
)

_OF_NO_CHAT = {flag: f"{flag} is not about one chat." for flag in ("--list", "--restore", "--forget")}

HISTORY_OPTIONS: tuple[Option, ...] = (
    Option(
        "--chat",
        "the conversation (default main)",
        "c",
        "NAME",
        excludes=_OF_NO_CHAT,
        completes="chat",
    ),
    _action("--panel", "show the turns with ticks that skip them, and the context window as a bar"),
    _action("--clear", "empty the conversation"),
    _action("--undo", "take the last turn out, or a refresh back"),
    _action("--refresh", "ask the stale turns again, in their order, and show the old answers against the new"),
    _action(
        "--attempt", "make attempt N of a turn (its number in the table) the active one", "TURN N", 1, "turn attempt"
    ),
    _action("--attempts", "list the attempts of a turn: what changed, tokens, first words", "TURN", completes="turn"),
    _action(
        "--text",
        "put the text of a turn, or its attempt N, into a new cell: --text TURN [N]",
        "TURN",
        1,
        "turn attempt",
    ),
    _action(
        "--show",
        "show a turn, or its attempt N, with parameters and system message: --show TURN [N]",
        "TURN",
        1,
        "turn attempt",
    ),
    Option(
        "--diff",
        "with --show: what changed between two attempts, also of parameters and system message: --diff [N M]",
        read=all_words,
        more=2,
        goes_with=("--show",),
        completes="attempt attempt",
    ),
    Option("--side", "with --diff: the two attempts beside each other", goes_with=("--diff",)),
    _action("--skip", "leave a turn out of requests until its cell runs again", "TURN", completes="turn"),
    _action("--unskip", "send a skipped turn again", "TURN", completes="turn"),
    _action("--fork", "copy the conversation into the chat NEW", "NEW"),
    _action("--prune", "take out the turns whose cells were deleted"),
    _action("--order", "put the turns into the order of the page as last saved"),
    _action("--list", "list the chats"),
    _action("--restore", "add the saved turns that are not here: --restore [FILE.ipynb]", more=1, completes="file"),
    _action(
        "--export",
        "write the conversation to a file: .ipynb .jsonl .md .py .sh; requests.jsonl: what the last comparison asks",
        "FILE",
        completes="file",
    ),
    Option(
        "--force",
        "with --restore, --export: replace what is there; with --forget: also what is pending in batches",
        goes_with=("--restore", "--export", "--forget"),
    ),
    _action("--forget", "delete this notebook's answers from the store"),
)

OPTIONS = {"%%glm": ASK_OPTIONS, "%glm": ASK_OPTIONS, "%glm_config": CONFIG_OPTIONS, "%glm_history": HISTORY_OPTIONS}
