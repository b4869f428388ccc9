"""Asks the person whether a tool may run, and shows all of what is agreed to."""

from __future__ import annotations

import builtins
import contextlib
import json
import unicodedata
from typing import Any

from glm_magic.chat.messages import ToolCall
from glm_magic.errors import OptionError, SetupError, quoted
from glm_magic.tools.tool import Tool, ToolArgumentsError, arguments

_NOBODY = "--approve asks on the input line, and nobody can type there."
_REMEDY = "Run the cell in a notebook or a terminal, or leave --approve out."

_LONGEST_LINE, _MOST_LINES = 80, 20  # of one page

# Characters that show nothing though they are letters, marks or symbols: the fillers, and Braille's blank.
_BLANK = "\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0"
_UNSEEN = ("Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp", "Zs")  # categories: controls, formats, unassigned, separators


def check_can_ask(shell: Any, *, background: bool) -> None:
    """Raise `CellError` or `SetupError` where nobody can be asked: in the background, or with no page."""
    if background:
        raise OptionError(
            "--approve asks on the input line, and in the background nobody is asked.",
            "Leave out --bg, or: %glm_config approve=off",
        )
    kernel = getattr(shell, "kernel", None)
    if kernel is not None and not getattr(kernel, "_allow_stdin", True):
        raise SetupError(_NOBODY, _REMEDY)


def approve(tool: Tool, call: ToolCall) -> ToolCall | None:
    """Ask on the input line whether a call may run; return it as it may run, None if it may not.

    The answers are y, n (also for nothing, or anything else) and e, which asks for other arguments. A long call is
    shown in pages, and can be agreed to on the last one. Raises `SetupError` where nobody can be asked.
    """
    try:
        while True:
            match _answer(f"{call.name}({shown(call.arguments)})"):
                case "y" | "yes":
                    return call
                case "e" | "edit":
                    call = _edited(tool, call)
                case _:
                    return None
    except (EOFError, NotImplementedError) as error:  # of which StdinNotImplementedError is one
        raise SetupError(_NOBODY, _REMEDY) from error


def shown(written: str) -> str:
    """Return arguments in one line as JSON that shows every character: what is not seen is a JSON escape.

    JSON that hides something is read as it will be: an escape for a letter becomes the letter, and of two values for
    the same name the last is left.
    """
    with contextlib.suppress(ValueError, RecursionError):  # nested too deeply, or a number of too many digits
        written = json.dumps(json.loads(written), ensure_ascii=False)
    return _visible(written)


def _visible(text: str) -> str:
    return "".join(
        character
        if character == " " or (unicodedata.category(character) not in _UNSEEN and not _is_blank(character))
        else json.dumps(character)[1:-1]
        for character in text
    )


def _is_blank(character: str) -> bool:
    return character in _BLANK or "\ufe00" <= character <= "\ufe0f" or "\U000e0000" <= character <= "\U000e0fff"


def _answer(call: str) -> str:
    """Show all of a call, and return the answer on its last page; ``n`` on an earlier page is the answer too."""
    last = "y, n, or e to edit the arguments [n] "
    lines = [call[at : at + _LONGEST_LINE] for at in range(0, len(call), _LONGEST_LINE)]
    if len(lines) == 1:
        return _asked(f"Run {call}? {last}")
    pages = [lines[at : at + _MOST_LINES] for at in range(0, len(lines), _MOST_LINES)]
    for number, page in enumerate(pages, 1):
        which = f" (page {number} of {len(pages)})" if len(pages) > 1 else ""
        # nothing of the call can look like the question: its lines are indented, and it has none of its own
        text = "\n  ".join([f"Run{which}", *page])
        if number == len(pages):
            return _asked(f"{text}\n? {last}")
        if (answer := _asked(f"{text}\nEnter for the next page, n to refuse ")) in ("n", "no"):
            return answer
    raise AssertionError("there is a last page")


def _edited(tool: Tool, call: ToolCall) -> ToolCall:
    fault = ""
    while True:
        written = builtins.input(f"{fault}Arguments as JSON (nothing: as they are): ")
        if not written.strip():
            return call
        try:
            arguments(tool, written)
        except ToolArgumentsError as error:
            fault = f"{_visible(quoted(str(error)))} "
        else:
            return ToolCall(call.id, call.name, written)


def _asked(prompt: str) -> str:
    return builtins.input(prompt).strip().lower()  # a kernel puts its own `input` in its place
