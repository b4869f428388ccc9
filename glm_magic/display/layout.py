"""Tells by its lines alone how a piece of Markdown is read, where that takes no parse: a parse takes far too long.

Where its lines do not tell, it says so. Nothing that is safe depends on it: with a mistake, code looks odd.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from glm_magic.display import blocks
from glm_magic.display.lookahead import MATHS

_CODE_COLUMNS = 4  # further in than its container

_SPAN = re.compile(rf"`|{MATHS}")
# Lines in which each span of code or maths ends where it begins.
_WHOLE_LINES = re.compile(r"(?:[^`$\\\n]*(?:(?<![`$])(`+|\$\$?)(?![`$])[^`$\\\n]+\1(?![`$])[^`$\\\n]*)*(?:\n|\Z))*")
_FENCE_MARKS = re.compile("```|~~~")
_LIKE_DELIMITERS = re.compile(r"[:|-][-:| \t]*$", re.MULTILINE)  # of a table, below its head
_DELIMITERS = re.compile(rf"^[ \t>]*{_LIKE_DELIMITERS.pattern}", re.MULTILINE)
_TABLE_START = re.compile(
    r"(?P<head>(?=\||[^\W\d_])[^|\\`\n]*(?:\|[^|\\`\n]*)+)\n"
    r"(?P<rule>(?!- )[|:-](?=[^\n]*\||(?<=\|))[-:| ]*)\n?"  # with a bar: a line of dashes makes a heading
)
_FURTHER_IN = re.compile(r"^ {4}|[-+*.)] {5}|> {4}|\t", re.MULTILINE)
_UNCLEAR = re.compile(r"> {4}|>[^>\n]*(?:```|~~~|\t)")  # in a quote
_QUOTED_TABLE = re.compile(r"^[ \t>]*> *[:|-][-:| ]*$", re.MULTILINE)
# What reads differently in a table, or after one.
_TABLE_MATTERS = re.compile(rf"{_SPAN.pattern}|(?:://|www\.)\S*\||^ {{4}}", re.IGNORECASE | re.MULTILINE)
_LINE = re.compile(
    r"(?P<indent>[ \t]*)(?P<marks>(?:(?:[-+*]|[0-9]{1,9}[.)])[ \t]+(?=[^ \t\n]))*)(?P<first>[^\n]?)[^\n]*\n?"
)
_MARK = re.compile(r"(?P<number>[0-9]*)(?P<kind>[^ \t])[ \t]+")  # of an item of a list
_FENCE = re.compile(r"(?P<marks>`{3,}(?=[^`\n]*(?:\n|\Z))|~{3,})(?P<info>[^\n]*)")
# Ends a paragraph: a quote, a heading, or a rule.
_NO_TEXT = re.compile(r">|#{1,6}(?:[ ]|$)|(?:=+|-+|(?:\* *){3,}|(?:_ *){3,}|(?:- *){3,}) *$", re.MULTILINE)
_EMPTY_ITEM = re.compile(r"(?:[-+*]|[0-9]{1,9}[.)])[ \t]*$", re.MULTILINE)
_BEGINS = re.compile(r"\n(?=[ ]*(?:(?:[-+*]|[0-9]{1,9}[.)]|#{1,6})[ ]|[-=*_ \t]*(?:\n|\Z)))")


@dataclass(frozen=True, slots=True)
class Code:
    """Code within a list: whole lines of the text, from `start` to `end`.

    Its code, in the lines within the span `content`, begins at `column`. A fenced block has `marks` and an `info`; an
    indented one has none.
    """

    start: int
    end: int
    column: int
    content: tuple[int, int]
    marks: str = ""
    info: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """A table: from within its first line, at `start`, to the end of its last, at `end`."""

    start: int
    end: int


def has_spans(text: str) -> bool:
    """Whether `text` may have spans of code or maths over lines, so that it matters where its paragraphs end."""
    return _SPAN.search(text) is not None and not _WHOLE_LINES.fullmatch(text)


def paragraphs(text: str) -> list[str]:
    """Split a text without code and tables into its paragraphs, with their marks."""
    ends = [found.end() for found in _BEGINS.finditer(text)]
    return [text[start:end] for start, end in zip([0, *ends], [*ends, len(text)], strict=True) if start < end]


def code_and_tables(text: str) -> Iterator[Code | Table | None]:
    """Yield the code blocks and tables of `text`, except tables in quotes; at last None if its lines do not decide.

    They do not decide either where it matters that a table in a quote is one.
    """
    if _UNCLEAR.search(text) or (_QUOTED_TABLE.search(text) and _TABLE_MATTERS.search(text)):
        yield None
    elif _FURTHER_IN.search(text) or _FENCE_MARKS.search(text) or ("|" in text and _DELIMITERS.search(text)):
        yield from _by_lines(text)


def _by_lines(text: str) -> Iterator[Code | Table | None]:  # noqa: PLR0915 - a branch for each kind of line
    items = [(0, "")]  # the containers of a line: where the text of each begins, and the last character of its mark
    in_paragraph = is_lazy = False  # lazy: it may continue a paragraph of a container that it is not in
    head = table = -1  # where the line before begins, if it may be the head of a table; where a table begins
    at = 0
    has_tabs = "\t" in text
    width = _width if has_tabs else len
    while at < len(text) and (line := _LINE.match(text, at)):
        start, at, first = at, line.end(), line.start("first")
        indent, marks, letter = line.groups()
        column, within = width(indent), items[-1][0]
        fence = _FENCE.match(text, first) if letter and letter in "`~" else None
        is_text = bool(letter) and not fence and not (letter in ">#=-*_" and _NO_TEXT.match(text, first))
        goes_on = is_text and not marks and 0 <= column - within < _CODE_COLUMNS
        if table >= 0:
            if goes_on:
                continue
            yield Table(table, start)
            table = -1
        if not letter:
            in_paragraph, head = False, -1
            continue
        if head >= 0 and not marks and "|" in text[head:start] and _LIKE_DELIMITERS.match(text, first):
            begun = _TABLE_START.fullmatch(text[head:start] + text[first:at])
            before = text[text.rfind("\n", 0, head) + 1 : head].lstrip()  # parsers differ on which comes first
            if (
                begun is None
                or is_lazy
                or not goes_on
                or (before and blocks.fits(before + begun["head"], begun["rule"]))
            ):
                yield None
                return
            if blocks.fits(begun["head"], begun["rule"]):
                table, in_paragraph, head = head, False, -1
                continue
        head = first if is_text and column < within + _CODE_COLUMNS else -1
        if in_paragraph and ((is_text and not marks) or column >= within + _CODE_COLUMNS):
            is_lazy = is_lazy or column < within
            continue
        left = ""
        while column < items[-1][0]:
            left = items.pop()[1]
        within = items[-1][0]
        if column >= within + _CODE_COLUMNS:
            if not in_paragraph:
                if has_tabs:
                    yield None
                    return
                column = within + _CODE_COLUMNS
                less = blocks.less_indented(column).search(text, at)
                at = less.start() if less else len(text)
                yield Code(start, at, column, (start, at))
            continue
        for mark in _MARK.finditer(marks):
            if in_paragraph and mark["number"] not in ("", "1") and mark["kind"] != left:
                yield None  # it may be a line of the paragraph
                return
            outer, column = column, width(indent + marks[: mark.end()])
            if column > outer + len(mark[0].rstrip()) + _CODE_COLUMNS:
                yield None  # it may be code
                return
            items.append((column, mark["kind"]))
            in_paragraph = False
        if letter in "-+*0123456789" and _EMPTY_ITEM.match(text, first):
            yield None
            return
        is_lazy = letter == ">"  # the next line may be
        in_paragraph = is_text or is_lazy
        if fence:
            code_end, end = -1, -1
            if len(items) > 1 and not has_tabs:
                code_end, end = blocks.ends_in_item(text, items[-1][0], fence["marks"], fence.end("marks"))
            if end < 0:
                yield None
                return
            yield Code(start, end, column, (at, code_end), fence["marks"], fence["info"])
            at = end
    if table >= 0:
        yield Table(table, len(text))


def _width(text: str) -> int:
    return len(text.expandtabs(_CODE_COLUMNS))
