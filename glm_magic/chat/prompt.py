"""A cell's text and the notebook's names become the text of a message.

Prompt text is never formatted, trimmed or split. At each ``{{`` the shortest text before a ``}}``
that parses as a Python expression is evaluated once; its value is inserted with ``str()`` and never
scanned again; an image becomes a part of the message. Nothing else means anything.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from glm_magic.chat.images import image_part, is_picture
from glm_magic.chat.messages import Message
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


def message(text: str, value_of: Callable[[str], object]) -> Message:
    """Return the user's message that `text` is, with each ``{{ expression }}`` replaced by its value, once.

    An image is a part of its own, between the text before it and the text after it; without one, it is all text.
    Raises `PromptError` if a value cannot be inserted.
    """
    return _of_parts(
        _text_part(piece) if isinstance(piece, str) else _part(piece.source, value_of(piece.source))
        for piece in pieces(text)
    )


def joined(values: Iterable[object]) -> Message:
    """Return the user's message of texts and images, one after the other; of any other value, its text is taken.

    Raises `PromptError` if an image cannot be sent.
    """
    return _of_parts(image_part(value) or _text_part(str(value)) for value in values)


def _of_parts(found: Iterable[dict[str, Any]]) -> Message:
    """Return the message of such parts: texts side by side are one, and texts alone are no parts."""
    parts: list[dict[str, Any]] = []
    for part in found:
        if parts and parts[-1]["type"] == part["type"] == "text":
            parts[-1] = _text_part(parts[-1]["text"] + part["text"])
        elif part != _text_part(""):
            parts.append(part)
    if all(part["type"] == "text" for part in parts):
        return Message("user", "".join(part["text"] for part in parts))
    return Message.of_parts("user", parts)


def _text_part(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def _part(source: str, value: object) -> dict[str, Any]:
    try:
        image = image_part(value)
    except PromptError as error:
        raise PromptError(f"{{{{ {source} }}}}: {error.what}", error.remedy) from error
    return _text_part(_text(source, value)) if image is None else image


def _text(source: str, value: object) -> str:
    try:
        return str(value)
    except Exception as error:
        raise _failed(source, error) from error


def _failed(source: str, error: Exception) -> PromptError:
    return PromptError(f"{{{{ {source} }}}}: {type(error).__name__}: {error}")


def evaluator(names: Mapping[str, Any]) -> Callable[[str], str]:
    """Return a function that evaluates an expression among `names` and makes text of its value.

    What the expression raises becomes a `PromptError`; so does an image, of which no text can be made.
    """
    value_of = value_evaluator(names)

    def evaluate(source: str) -> str:
        value = value_of(source)
        if is_picture(value):
            raise PromptError(
                f"{{{{ {source} }}}} is an image, and here only text can stand.",
                "Insert it into the prompt of a question: the cell's text below %%glm, or what follows %glm.",
            )
        return _text(source, value)

    return evaluate


def value_evaluator(names: Mapping[str, Any]) -> Callable[[str], object]:
    """Return a function that evaluates an expression among `names` and returns its value.

    What the expression raises becomes a `PromptError`.
    """
    scope = dict(names)

    def value_of(source: str) -> object:
        try:
            return eval(source, scope)  # noqa: S307 - the person's own expression, in their own notebook
        except NameError as error:
            missing = getattr(error, "name", None) or ""
            meant = near_miss(missing, (name for name in scope if not name.startswith("_")))
            hint = f"Did you mean {meant}? " if meant else ""
            raise PromptError(f"{{{{ {source} }}}}: {error}.", hint + _LITERALLY) from error
        except Exception as error:
            raise _failed(source, error) from error

    return value_of
