"""Cells and lines of `%glm` reach the magic as they were typed, and the cursor's place in them is known.

IPython strips prompts and indentation from cells, takes a final ``?`` for a request for help, a quote for an open
string and U+2028 for the end of a line. So these transformers rewrite such a cell, or such a line, before IPython
sees it.
"""

from __future__ import annotations

import ast
import re
import tokenize
from dataclasses import dataclass
from typing import TYPE_CHECKING

from IPython.core.inputtransformer2 import make_tokens_by_line
from IPython.core.magic import MAGIC_NO_VAR_EXPAND_ATTR, MagicAlias

from glm_magic.magics.options import OPTIONS

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

_CELL_MAGIC = re.compile(r"[ \t]*%%(\w+)(?:[ \t]+(.*))?", re.DOTALL)
_SKIPPED = re.compile(r"\s*(?:#[^\r\n]*)?\s*")  # a blank line, or a comment as jupytext and editors write it
_LINE_MAGIC = re.compile(r"([ \t]*)([^%\r\n]*=[ \t]*)?%(\w+)(?![\w?])[ \t]*(.*)", re.DOTALL)
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")


@dataclass(frozen=True, slots=True)
class Cursor:
    """The cursor in one of the magics: what its line says before and after it, and its body up to the cursor.

    `body` is None where the cursor is in the line; where it is in the body, `before` is the whole line.
    """

    magic: str
    before: str
    after: str = ""
    body: str | None = None


class AsTyped:
    """The transformers of one shell, in front of IPython's own."""

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell

    def install(self) -> None:
        """Put the transformers in front of IPython's own."""
        manager = self._shell.input_transformer_manager
        manager.cleanup_transforms.insert(0, self.cell)
        manager.line_transforms.append(self.lines)

    def remove(self) -> None:
        """Take the transformers out again."""
        manager = self._shell.input_transformer_manager
        for transforms, own in ((manager.cleanup_transforms, self.cell), (manager.line_transforms, self.lines)):
            if own in transforms:
                transforms.remove(own)

    def cell(self, lines: list[str]) -> list[str]:
        """Turn a ``%%glm`` cell, also one below ``%%time`` or another cell magic, into the call of its magic."""
        call = self._cell_call("".join(lines))
        return lines if call is None else [call]

    # A terminal asks whether a cell is complete before it is run; IPython's own rule serves there.
    cell.has_side_effects = True  # type: ignore[attr-defined]

    def _cell_call(self, text: str) -> str | None:
        """Return the call that a cell becomes; None if it has no ``%%glm`` in front."""
        lines = _LINE.findall(text)
        found = _cell_magic(lines)
        if found is None:
            return None
        at, name, options = found
        options, body = options.rstrip(), "".join(lines[at + 1 :])
        parameters = self._parameters(name, "cell")
        if parameters is not None:
            # an empty body would not reach the magic, and so would not be its error
            return f"get_ipython().run_cell_magic('glm', {parameters + options!r}, {body or chr(10)!r})\n"
        is_first = not "".join(lines[:at]).strip()  # IPython's own rule
        if is_first and self._cell_call(body) is not None:
            return f"get_ipython().run_cell_magic({name!r}, {options!r}, {body!r})\n"
        return None

    def lines(self, lines: list[str]) -> list[str]:
        """Turn each ``%glm`` line, also indented or assigned, into the call of its magic, the rest untouched."""
        whole = _LINE.findall("".join(lines))
        calls = {at: call for at, line in enumerate(whole) if "%" in line and (call := self._line_call(line))}
        if not calls:
            return lines
        neutral = [
            _indent(line) + "pass\n" if at in calls else line.rstrip("\r\n") + "\n" for at, line in enumerate(whole)
        ]
        begins = _rows_that_begin_a_statement(neutral)
        rewritten: list[str] = []
        for at, line in enumerate(whole):
            rewritten += [calls[at]] if at in calls and at in begins else line.splitlines(keepends=True)
        return rewritten

    def _line_call(self, line: str) -> str | None:
        found = _LINE_MAGIC.fullmatch(line.rstrip("\r\n"))
        if found is None or (found[2] and not _is_an_assignment(found[2])):
            return None
        indent, target, name, rest = found[1], found[2] or "", found[3], found[4]
        parameters = self._parameters(name, "line")
        if parameters is not None:
            return f"{indent}{target}get_ipython().run_line_magic('glm', {parameters + rest!r})\n"
        # a magic that runs a statement, as %time does: it transforms the statement itself
        if "%" in rest and self._runs_statements(name) and self._line_call(_without_options(rest)) is not None:
            return f"{indent}{target}get_ipython().run_line_magic({name!r}, {rest!r})\n"
        return None

    def cursor(self, text: str, row: int, column: int) -> Cursor | None:
        """Return the cursor's place in one of the magics; None if it is in none. Rows and columns count from 0."""
        lines = text.split("\n")
        before, after = lines[row][:column], lines[row][column:]
        top = 0
        while (found := _cell_magic(lines[top:])) is not None and top + found[0] <= row:
            at, name, options = found
            top += at + 1
            magic, parameters = self._called(name, "cell")
            if magic == "glm" and row < top:
                typed = _CELL_MAGIC.fullmatch(before)
                return Cursor("%%glm", parameters + typed[2], after) if typed and typed[2] is not None else None
            if magic == "glm":
                return Cursor("%%glm", f"{parameters}{options} ", body="\n".join([*lines[top:row], before]))
        return self._cursor_in_line(before, after)

    def _cursor_in_line(self, before: str, after: str) -> Cursor | None:
        found = _LINE_MAGIC.fullmatch(before)
        if found is None or (found[2] and not _is_an_assignment(found[2])) or not before[found.end(3) :]:
            return None
        magic, parameters = self._called(found[3], "line")
        if f"%{magic}" in OPTIONS:
            return Cursor(f"%{magic}", parameters + found[4], after)
        return self._cursor_in_line(_without_options(found[4]), after) if self._runs_statements(found[3]) else None

    def _runs_statements(self, name: str) -> bool:
        return getattr(self._shell.find_line_magic(name), MAGIC_NO_VAR_EXPAND_ATTR, False)

    def _parameters(self, name: str, kind: str) -> str | None:
        """Return what `name`, `glm` or an alias of it, puts before the options; None for any other magic."""
        magic, parameters = self._called(name, kind)
        return parameters if magic == "glm" else None

    def _called(self, name: str, kind: str) -> tuple[str, str]:
        """Return the magic that `name` calls, itself or by an alias, and what the alias puts before the options."""
        alias = self._shell.magics_manager.magics[kind].get(name)
        if isinstance(alias, MagicAlias):
            return alias.magic_name, f"{alias.magic_params} " if alias.magic_params else ""
        return name, ""


def _cell_magic(lines: list[str]) -> tuple[int, str, str] | None:
    """Return the row of a cell's magic, its name and its options; None if the cell begins with none."""
    at = next((at for at, line in enumerate(lines) if not _SKIPPED.fullmatch(line)), None)
    found = _CELL_MAGIC.fullmatch(lines[at].rstrip("\r\n")) if at is not None else None
    return None if at is None or found is None else (at, found[1], found[2] or "")


def _indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip(" \t"))]


def _without_options(statement: str) -> str:
    """Return a statement without the options of the magic that runs it (``-n 1 -r 3``)."""
    return re.sub(r"^(?:-\w+(?:[ \t]+\d+|\d*)[ \t]+)*", "", statement)


def _is_an_assignment(text: str) -> bool:
    """Whether `text`, which ends with ``=``, is all of an assignment but its value."""
    try:
        (statement,) = ast.parse(text.strip() + " None").body
    except (SyntaxError, ValueError):
        return False
    return isinstance(statement, (ast.Assign, ast.AnnAssign, ast.AugAssign))


def _rows_that_begin_a_statement(lines: list[str]) -> set[int]:
    """Return the rows, from 0, that are not inside a string or a bracket."""
    rows: set[int] = set()
    for tokens in make_tokens_by_line(lines):
        first = next(
            (t for t in tokens if t.type not in (tokenize.INDENT, tokenize.DEDENT, tokenize.NL, tokenize.COMMENT)), None
        )
        if first is not None:
            rows.add(first.start[0] - 1)
    return rows


def asks_for_help(code: str) -> bool:
    """Whether a line of `code` is a question that IPython alone takes for a request for help: ``%glm …?``."""
    return any(re.search(r"(?:^|=)[ \t]*%glm[ \t]+\S.*\?\s*$", line) for line in _LINE.findall(code))
