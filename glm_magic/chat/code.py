"""The code blocks of an answer: what they hold, and the answer with nothing but them."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from markdown_it import MarkdownIt


def blocks(text: str) -> list[tuple[str, str]]:
    """Return the language and the code of each block of a Markdown text, from the top.

    Fenced and indented blocks count, also those in lists and quotes and one whose end has not come yet. The
    language is the first word of a fence's line, as it stands there; an indented block has none.
    """
    return [*_blocks(text)]


def code(text: str) -> str:
    """Return the code of all blocks, a blank line between them; ``""`` if there is none."""
    return "\n\n".join(code.strip("\n") for _, code in _blocks(text) if code.strip())


def only_code(text: str) -> str:
    """Return Markdown of the blocks alone, each fenced so that nothing in it ends the fence.

    What is cut between two top-level blocks gives the same in two parts. It is a model's text still: what shows it
    makes sure that it cannot act.
    """
    return "".join(fenced(language, code) for language, code in _blocks(text) if code.strip())


def _blocks(text: str) -> Iterator[tuple[str, str]]:
    for token in block_parser().parse(text):
        if token.type in ("fence", "code_block"):
            yield next(iter(token.info.split()), ""), token.content


def fenced(language: str, code: str) -> str:
    """Return `code` as a fenced block of Markdown that nothing in it can end."""
    marks = marks_around(code)
    end = "" if code.endswith("\n") else "\n"
    return f"{marks}{re.sub(r'[^a-zA-Z0-9_+#.-]', '', language)}\n{code}{end}{marks}\n\n"


def marks_around(code: str) -> str:
    """Return a fence that no line of `code` can end."""
    return "`" * max(3, 1 + max((len(run) for run in re.findall("`+", code)), default=0))


@functools.cache
def block_parser() -> MarkdownIt:
    """Return the parser that finds blocks as a page shows them, and nothing inside them."""
    from markdown_it import MarkdownIt  # noqa: PLC0415 - slow, and only needed for code and for text that is suspect

    return MarkdownIt("commonmark").enable("table").disable("inline")
