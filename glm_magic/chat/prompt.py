"""A cell's text and the notebook's names become the text of a message.

Prompt text is never formatted, trimmed or split. At each ``{{`` the shortest text before a ``}}``
that parses as a Python expression is evaluated once; its value is inserted with ``str()`` and never
scanned again. Nothing else means anything.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from glm_magic.errors import PromptError, near_miss

OPEN, CLOSE = "{{", "}}"

_LITERALLY = 'For literal braces use --raw, or write {{ "{{" }}.'


@dataclass(frozen=True, slots=True)
class Expression:
    """A Python expression found between ``{{`` and ``}}``, without the white space around it."""

    source: str


Piece: TypeAlias = "str | Expression"


def expression_end(text: str, start: int) -> tuple[Expression, int]:
    """Read the expression whose ``{{`` stands at `start`; return it and the offset after its ``}}``.

    Raises `PromptError` if no ``}}`` follows at which it parses.
    """
    body = start + len(OPEN)
    close = text.find(CLOSE, body)
    fault = "it has no }}"
    while close >= 0:
        source = text[body:close].strip()
        try:
            ast.parse(source, mode="eval")
        except SyntaxError as error:
            fault = error.msg if source else "it is empty"
        except (ValueError, RecursionError, MemoryError) as error:  # null bytes, or nested too deeply
            fault = str(error)
        else:
            return Expression(source), close + len(CLOSE)
        close = text.find(CLOSE, close + 1)
    line = text.count("\n", 0, start) + 1
    shown = text[start : start + 40].split("\n", maxsplit=1)[0]
    raise PromptError(f"Line {line}: {shown!r} is not a Python expression in {{{{ }}}}: {fault}.", _LITERALLY)


def pieces(text: str) -> list[Piece]:
    """Split `text` into what stands as it is and the expressions between. Raises `PromptError`."""
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


def fill(text: str, evaluate: Callable[[str], str]) -> str:
    """Return `text` with each ``{{ expression }}`` replaced by what `evaluate` makes of it, once."""
    return "".join(piece if isinstance(piece, str) else evaluate(piece.source) for piece in pieces(text))


def evaluator(names: Mapping[str, Any]) -> Callable[[str], str]:
    """Return a function that evaluates an expression among `names` and makes text of its value.

    What the expression raises becomes a `PromptError`.
    """
    scope = dict(names)

    def evaluate(source: str) -> str:
        try:
            return str(eval(source, scope))  # noqa: S307 - the person's own expression, in their own notebook
        except NameError as error:
            missing = getattr(error, "name", None) or ""
            meant = near_miss(missing, (name for name in scope if not name.startswith("_")))
            hint = f"Did you mean {meant}? " if meant else ""
            raise PromptError(f"{{{{ {source} }}}}: {error}.", hint + _LITERALLY) from error
        except Exception as error:
            raise PromptError(f"{{{{ {source} }}}}: {type(error).__name__}: {error}") from error

    return evaluate
