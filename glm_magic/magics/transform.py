"""Cells and lines of `%glm` reach the magic as they were typed.

IPython strips prompts and indentation from cells, takes a final ``?`` for a call for help and a quote
for an open string. So these two transformers see such a cell, or such a line, before IPython does.
"""

from __future__ import annotations

import re
import tokenize
from typing import TYPE_CHECKING

from IPython.core.inputtransformer2 import make_tokens_by_line

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

_CELL = re.compile(r"[ \t]*%%glm(?:[ \t]+(.*))?$", re.DOTALL)
_LINE = re.compile(r"([ \t]*)((?:[^\W\d]\w*[ \t]*=[ \t]*)?)%glm(?![\w?])[ \t]*(.*)", re.DOTALL)


def cell_as_typed(lines: list[str]) -> list[str]:
    """Turn a ``%%glm`` cell into the call of its magic, the body untouched."""
    lines = _lines(lines)
    for at, line in enumerate(lines):
        if not line.strip():
            continue
        found = _CELL.match(line.rstrip("\r\n"))
        if found is None:
            return lines
        # an empty body would not reach the magic, and so not be its error
        options, body = (found[1] or "").rstrip(), "".join(lines[at + 1 :]) or "\n"
        return [f"get_ipython().run_cell_magic('glm', {options!r}, {body!r})\n"]
    return lines


# A terminal asks whether a cell is complete before it is run; IPython's own rule serves there.
cell_as_typed.has_side_effects = True  # type: ignore[attr-defined]


def lines_as_typed(lines: list[str]) -> list[str]:
    """Turn each ``%glm`` line, also indented or assigned, into the call of its magic, the rest untouched."""
    lines = _lines(lines)
    found = {at: match for at, line in enumerate(lines) if "%glm" in line and (match := _LINE.match(line))}
    if not found:
        return lines
    neutral = [f"{found[at][1]}pass\n" if at in found else line.rstrip("\r\n") + "\n" for at, line in enumerate(lines)]
    begins = _rows_that_begin_a_statement(neutral)
    return [
        f"{match[1]}{match[2]}get_ipython().run_line_magic('glm', {match[3].rstrip(chr(13) + chr(10))!r})\n"
        if (match := found.get(at)) and at in begins
        else line
        for at, line in enumerate(lines)
    ]


def _lines(lines: list[str]) -> list[str]:
    """Return lines that end where a person's do; IPython's end at a U+2028 or form feed within the text as well."""
    return re.findall(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+", "".join(lines))


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


def install(shell: InteractiveShell) -> None:
    """Put the transformers in front of IPython's own."""
    manager = shell.input_transformer_manager
    manager.cleanup_transforms.insert(0, cell_as_typed)
    manager.line_transforms.append(lines_as_typed)


def remove(shell: InteractiveShell) -> None:
    """Take the transformers out again."""
    manager = shell.input_transformer_manager
    for transforms, own in ((manager.cleanup_transforms, cell_as_typed), (manager.line_transforms, lines_as_typed)):
        if own in transforms:
            transforms.remove(own)
