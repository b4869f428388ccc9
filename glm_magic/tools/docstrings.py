"""What a docstring says of a function and of its parameters, in the styles of Google, NumPy and Sphinx."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from docstring_parser import Docstring

# The parser wants a summary, in a line of its own: with this one before it, all of the text is description.
_SUMMARY = "-\n\n"
_HEADER = re.compile(r"(\w[\w ]*:)[ \t]*\n(?=\S)")
_MORE_PARAMETERS = ("Keyword Args", "Keyword Arguments", "Other Parameters")


@dataclass(frozen=True, slots=True)
class Documentation:
    """What is written of a function (what it returns included), and of each parameter that it names."""

    description: str
    parameters: dict[str, str]


def documentation(docstring: str | None, names: Iterable[str]) -> Documentation:
    """Return what a docstring says, in the style in which it documents the most of the parameters `names`.

    Text in none of the styles is all description. Errors, examples and notes behind the parameters are left out.
    """
    from docstring_parser import ParseError, numpydoc, rest  # noqa: PLC0415 - only needed for tools

    text = inspect.cleandoc(docstring or "")
    if header := _HEADER.match(text):  # a section in the first line has lost its margin
        text = header[1] + "\n" + "\n".join("    " + line for line in text[header.end() :].splitlines())
    best, found = -1, Documentation(text, {})
    wanted = set(names)
    for parse in (_google().parse, numpydoc.parse, rest.parse):
        try:
            parsed = parse(_SUMMARY + text)
        except (ParseError, ValueError):  # it is not in this style
            continue
        parameters = {name: said for name, said in _parameters(parsed).items() if name in wanted}
        rank = 1000 * len(parameters) + len(parsed.meta)
        if rank > best:
            best, found = rank, Documentation(_description(parsed), parameters)
    return found


def _google() -> Any:
    """Return a parser that takes sections other than of parameters as they are, and so fails at none of them."""
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
    said = [parsed.long_description, f"Returns: {returns.strip()}" if returns else None]
    return "\n\n".join(part for part in said if part)
