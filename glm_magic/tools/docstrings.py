"""Reads a docstring in Google, NumPy or Sphinx style: the description, and each parameter's."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from docstring_parser import Docstring

# The parser takes the first line as a summary: with this one before it, the whole text is the description.
_SUMMARY = "-\n\n"
_HEADER = re.compile(r"(\w[\w ]*:)[ \t]*\n(?=\S)")
_MORE_PARAMETERS = ("Keyword Args", "Keyword Arguments", "Other Parameters")


@dataclass(frozen=True, slots=True)
class Documentation:
    """The description of a function, with what it returns, and of each parameter."""

    description: str
    parameters: dict[str, str]


def documentation(docstring: str | None, names: Iterable[str]) -> Documentation:
    """Read a docstring in the style that documents the most of the parameters `names`.

    Text in none of these styles is the description. Errors, examples and notes after the parameters are left out.
    """
    from docstring_parser import ParseError, numpydoc, rest  # noqa: PLC0415 - needed only for tools

    text = inspect.cleandoc(docstring or "")
    if header := _HEADER.match(text):  # cleandoc takes the margin from a section that begins in the first line
        text = header[1] + "\n" + "\n".join("    " + line for line in text[header.end() :].split("\n"))
    best, found = -1, Documentation(text, {})
    wanted = set(names)
    for parse in (_google().parse, numpydoc.parse, rest.parse):
        try:
            parsed = parse(_SUMMARY + text)
        except (ParseError, ValueError):  # another style
            continue
        parameters = {name: described for name, described in _parameters(parsed).items() if name in wanted}
        rank = 1000 * len(parameters) + len(parsed.meta)
        if rank > best:
            best, found = rank, Documentation(_description(parsed), parameters)
    return found


def _google() -> Any:
    """Return a parser that reads only the sections of parameters, so that no other section can fail."""
    from docstring_parser.google import (  # noqa: PLC0415
        DEFAULT_SECTIONS,
        GoogleParser,
        Section,
        SectionType,
    )

    known = [
        section if section.key == "param" else Section(section.title, section.key, SectionType.SINGULAR)
        for section in DEFAULT_SECTIONS
    ]
    return GoogleParser([*known, *(Section(title, "param", SectionType.MULTIPLE) for title in _MORE_PARAMETERS)])


def _parameters(parsed: Docstring) -> dict[str, str]:
    return {
        name.strip().lstrip("*\\"): parameter.description.strip()
        for parameter in parsed.params
        if parameter.description
        for name in parameter.arg_name.split(",")
    }


def _description(parsed: Docstring) -> str:
    returns = parsed.returns.description if parsed.returns else None
    parts = [parsed.long_description, f"Returns: {returns.strip()}" if returns else None]
    return "\n\n".join(part for part in parts if part)
