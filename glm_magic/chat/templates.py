"""Where ``{{ expression }}`` stands in a text.

Text is never formatted, trimmed or split otherwise. An expression ends at the first ``}}`` at which it parses.
"""

from __future__ import annotations

import ast
import builtins
import re
import symtable
from dataclasses import dataclass
from typing import TypeAlias

from glm_magic.errors import PromptError

OPEN, CLOSE = "{{", "}}"

LITERALLY = 'For literal braces use --raw, or write {{ "{{" }}.'


@dataclass(frozen=True, slots=True)
class Expression:
    """A Python expression found between ``{{`` and ``}}``, without the white space around it."""

    source: str


Piece: TypeAlias = "str | Expression"


def pieces(text: str) -> list[Piece]:
    """Split `text` into literal text and expressions. Raises `PromptError` at the first that does not parse."""
    found: list[Piece] = []
    at = 0
    while (start := text.find(OPEN, at)) >= 0:
        if start > at:
            found.append(text[at:start])
        expression, at = expression_end(text, start)
        found.append(expression)
    if at < len(text):
        found.append(text[at:])
    return found


def expression_end(text: str, start: int) -> tuple[Expression, int]:
    """Read the expression whose ``{{`` is at `start`; return it and the offset after its ``}}``.

    Raises `PromptError` if there is no ``}}`` at which it parses.
    """
    body = start + len(OPEN)
    end = _only_possible_end(text, body)
    close = end if end >= 0 else text.find(CLOSE, body)  # a fault is explained by what stands before the first }}
    source = text[body:close].strip()
    fault = _fault(source) if close >= 0 else "it has no }}"
    if end >= 0 and not fault:
        return Expression(source), end + len(CLOSE)
    line = text.count("\n", 0, start) + 1
    shown = text[start : start + 40].split("\n", maxsplit=1)[0]
    raise PromptError(f"Line {line}: {shown!r} is not a Python expression in {{{{ }}}}: {fault}.", LITERALLY)


def open_expression(text: str) -> str | None:
    """Return the beginning of the expression that `text` ends in; None if it ends outside of ``{{ }}``."""
    at = 0
    while (start := text.find(OPEN, at)) >= 0:
        body = start + len(OPEN)
        end = _only_possible_end(text, body)
        if end == _UNFINISHED:
            return text[body:].lstrip()
        close = end if end >= 0 else text.find(CLOSE, body)
        if close < 0:
            return None
        at = close + len(CLOSE)
    return None


def names_in(text: str) -> tuple[str, ...]:
    """Return the names that the expressions of `text` read, each once, in their order; those of Python are left out.

    Raises `PromptError` if an expression does not parse.
    """
    found: dict[str, None] = {}
    for piece in pieces(text):
        if not isinstance(piece, Expression):
            continue
        free = _free(symtable.symtable(piece.source, "<template>", "eval"))
        named = (node for node in ast.walk(ast.parse(piece.source, mode="eval")) if isinstance(node, ast.Name))
        for name in sorted(named, key=lambda node: (node.lineno, node.col_offset)):
            if name.id in free and not hasattr(builtins, name.id):
                found[name.id] = None
    return tuple(found)


def _free(table: symtable.SymbolTable) -> frozenset[str]:
    """Return the names that an expression takes from outside of itself: not the variable of a comprehension."""
    own = (each.get_name() for each in table.get_symbols() if each.is_global() and not each.is_assigned())
    return frozenset(own).union(*map(_free, table.get_children()))


def _fault(source: str) -> str:
    """Return why `source` is not a Python expression; ``""`` if it is one."""
    if not source:
        return "it is empty"
    try:
        ast.parse(source, mode="eval")
    except SyntaxError as error:
        return error.msg
    except (ValueError, RecursionError, MemoryError) as error:  # null bytes, or nested too deeply
        return str(error)
    return ""


# --- the end of an expression -------------------------------------------------------------------
#
# Of all the ``}}`` that follow, one at most can end the expression: the first that is in no string and no
# bracket, for beyond it that brace has no partner. So the text is read once, and parsed once.

_QUOTE = "'''|\"\"\"|'|\""
_BEGINNING = re.compile(r"(?:\s+|#[^\n]*\n)*")
_F_PREFIX = rf"(?<!\w)(?:[fFtT][rR]?|[rR][fFtT])(?={_QUOTE})"
_IN_CODE = re.compile(rf"(?P<f>{_F_PREFIX})?(?P<quote>{_QUOTE})|#[^\n]*|[()\[\]{{}}:]")
_IN_SPEC = re.compile(r"[{}]")  # what follows the colon in f"{x:>10}"
_CLOSER = {"(": ")", "[": "]", "{": "}"}
_CODE, _FIELD, _SPEC, _STRING, _F_STRING = range(5)
_UNFINISHED, _NOWHERE = -1, -2  # the text may go on to an end, or cannot


def _only_possible_end(text: str, at: int) -> int:
    """Return the offset of the one ``}}`` that can end the expression beginning at `at`; negative if there is none."""
    if beginning := _BEGINNING.match(text, at):
        at = beginning.end()
    inside: list[tuple[int, str]] = []  # what has been opened, and what closes it
    while True:
        kind, closer = inside[-1] if inside else (_CODE, "")
        pattern = _IN_SPEC if kind == _SPEC else _IN_CODE if kind in (_CODE, _FIELD) else _in_string(kind, closer)
        token = pattern.search(text, at)
        if token is None:
            return _UNFINISHED
        at, found = token.end(), token[0]
        if kind in (_STRING, _F_STRING):
            if found == closer:
                inside.pop()
            elif found == "\n":
                return _NOWHERE
            elif found == "{":
                inside.append((_FIELD, "}"))
        elif found == "{" and kind == _SPEC:
            inside.append((_FIELD, "}"))
        elif found in _CLOSER:
            inside.append((_CODE, _CLOSER[found]))
        elif found == closer:
            inside.pop()
        elif found == ":":
            if kind == _FIELD:
                inside[-1] = (_SPEC, "}")
        elif found.startswith("#"):
            if not inside and CLOSE in found:  # Python would read on behind the comment, but may also end in it
                return token.start() + found.index(CLOSE)
        elif token["quote"]:
            inside.append((_F_STRING if token["f"] else _STRING, token["quote"]))
        elif not inside and text.startswith(CLOSE, token.start()):
            return token.start()
        else:  # it closes what is not open
            return _NOWHERE


def _in_string(kind: int, closer: str) -> re.Pattern[str]:
    """Return what may end a string, or begin a field of an f-string, whose quotes are `closer`."""
    line_end = "" if len(closer) == 3 else r"|\n"  # three quotes hold lines
    if kind == _STRING:
        return re.compile(rf"\\.|{closer}{line_end}", re.DOTALL)
    return re.compile(rf"\\[^{{}}]|{{{{|{closer}|{{{line_end}", re.DOTALL)
