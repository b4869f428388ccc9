"""The code blocks of an answer."""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from markdown_it import MarkdownIt


def blocks(text: str) -> list[tuple[str, str]]:
    """Return the language and the code of each block of a Markdown text, in their order.

    Fenced and indented blocks count, also within lists and quotes, and an unfinished one at the end. The language is
    the first word after the fence; an indented block has none.
    """
    tokens = block_parser().parse(text)
    return [
        (next(iter(token.info.split()), ""), token.content) for token in tokens if token.type in ("fence", "code_block")
    ]


def code(text: str) -> str:
    """Return the code of all blocks, separated by blank lines; ``""`` if there is none."""
    return "\n\n".join(code.strip("\n") for _, code in blocks(text) if code.strip())


def only_code(text: str) -> str:
    """Return Markdown of the code blocks alone, each in a fence that its code cannot close.

    A text cut between two top-level blocks gives the same result in two parts. The result is still a model's text:
    the display must neutralise it.
    """
    return "".join(fenced(language, code) for language, code in blocks(text) if code.strip())


def fenced(language: str, code: str) -> str:
    """Return `code` as a fenced Markdown block whose fence is longer than any in the code."""
    marks = marks_around(code)
    end = "" if code.endswith("\n") else "\n"
    return f"{marks}{re.sub(r'[^a-zA-Z0-9_+#.-]', '', language)}\n{code}{end}{marks}\n\n"


def marks_around(code: str) -> str:
    """Return a fence that no line of `code` can close."""
    return "`" * max(3, 1 + max((len(run) for run in re.findall("`+", code)), default=0))


@functools.cache
def block_parser() -> MarkdownIt:
    """Return a parser of the same blocks as on a page, without their inline markup."""
    from markdown_it import MarkdownIt  # noqa: PLC0415 - slow, and needed only for code and for text that is suspect

    return MarkdownIt("commonmark").enable("table").disable("inline")
