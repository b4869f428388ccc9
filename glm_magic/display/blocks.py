"""Finds where blocks of Markdown surely begin, by their lines alone: a parse of a long answer takes far too long.

A parse of a text gives the same blocks as parses of its pieces between these places, so a piece that needs no parse
is left out. Where a line alone does not decide, the place is left out instead.
"""

from __future__ import annotations

import functools
import re
from typing import NamedTuple

_LINE = re.compile(  # it begins with the newline before the line: `re` finds a character fast
    r"""\n(?:
      (?P<blank> (?:[ \t]*\n)+ )
    | (?P<item_fence> [ ]{0,3}(?:[-+*]|[0-9]{1,9}[.)])[ ]{1,4}(?=(?P<inside>`{3,}(?=[^`|\n]*$)|~{3,}(?=[^|\n]*$))) )
    | (?P<quote> >(?=[^\n]*(?:```|~~~))[^\n]*(?:\n>[^\n]*)*\n? )
    | (?P<unsure> (?:```|~~~)[^\n]*\|                                             # it may be the head of a table
                | [ ]{1,3}<(?:[!?]|(?:script|pre|style|textarea)(?=[\s>]|$))      # up to its end, blank lines or not
                | [ \t]*(?:(?:[-+*>]|[0-9]{1,9}[.)])[ \t]*)+(?:```|~~~) )          # the next fence may close this one
    | (?P<raw> <(?: !-- | [?] | !\[CDATA\[ | ![a-z] | (?:script|pre|style|textarea)(?=[\s>]|$) ) )
    | (?P<fence> `{3,}(?=[^`\n]*$) | ~{3,} )
    | (?P<indented> [ ]{1,3}(?=(?P<marks>`{3,}(?=[^`\n]*$)|~{3,})) )
    | (?P<html> [ ]{0,3}< )
    | (?P<heading> \#{1,6}(?=[ \t]|$) )
    | (?P<item> [ ]{0,3}(?: [-+*] | [0-9]{1,9}[.)] )(?=[ \t]|$) ))""",
    re.MULTILINE | re.VERBOSE | re.IGNORECASE,
)
_CLOSING = {mark: re.compile(rf"^(?P<indent>[ \t]*)(?P<marks>{mark}{{3,}})[ \t]*$\n?", re.MULTILINE) for mark in "`~"}
# How HTML ends that goes on over blank lines, by how it begins.
_RAW_ENDS = {
    "<!--": re.compile("-->"),
    "<?": re.compile(r"\?>"),
    "<![cdata[": re.compile(r"\]\]>"),
    "<!": re.compile(">"),
    "<": re.compile("</(?:script|pre|style|textarea)>", re.IGNORECASE),
}
_INDENTS = ("", " ", "  ", "   ")  # of the marks of a fence
_LESS_INDENTED = [re.compile(rf"^(?! {{{indent}}}|\t|[ \t]*$)", re.MULTILINE) for indent in range(len(_INDENTS))]
_RULE = re.compile(r"[ \t]*[:|-][-:| \t]*\n")  # of a table, below its head
_RULE_OF_CELL = re.compile(r"[ \t]*:?-+:?[ \t]*")
_DEFINITION = re.compile(r"[ \t]*\[")  # of a link, perhaps, which is no block
_CONTENT = re.compile(r"[ \t]*\S")
_LONG = 10_000  # characters; the scan of a longer text is kept
_PLACES = 16  # in a text, at which its scan can be resumed
_MOST_SCANS = 8  # that are kept; an answer takes up to two


class Fence(NamedTuple):
    """A fenced block of the top level: the line after its marks, and the span of its code."""

    info: str
    start: int
    end: int


class Start(NamedTuple):
    """A place where a block begins; `is_new` if a block of the top level does, and not another item of a list."""

    at: int
    is_new: bool
    fence: Fence | None = None


class Starts(NamedTuple):
    """The places in a text, in order, and whether its last piece has none that was left out."""

    found: list[Start]
    is_sure: bool


class _Scan(NamedTuple):
    """A scan that can be resumed: nothing in it depends on how the text goes on."""

    text: str  # all that it depends on
    found: list[Start]
    at: int
    fresh: int = -1  # the start of a line that continues no block
    ordered: int = -1  # the start of a line that may be the next item of a numbered list
    in_list: bool = False
    in_html: bool = False


_scans: list[_Scan] = []  # the latest first


def starts(text: str) -> Starts:
    """Find the places in `text`, whose only line ends are newlines. The first one is its beginning.

    If a long text has grown, only its end is read again.
    """
    first = _Scan("", [Start(0, is_new=True)], 0, 0 if text[:1] not in ("", " ", "\t", "\n") else -1)
    if len(text) < _LONG:
        return _scan(text, [first])
    known = next((scan for scan in _scans if text.startswith(scan.text)), None)
    scans = [known or first]
    found = _scan(text, scans)
    if len(scans) > 1:
        _scans[:] = [scans[-1], *(scan for scan in _scans if scan is not known)][:_MOST_SCANS]
    return found


def _scan(text: str, scans: list[_Scan]) -> Starts:  # noqa: PLR0915 - a branch for each kind of line
    """Resume the last of `scans`, and append those that can be resumed next time."""
    _, known, at, fresh, ordered, in_list, in_html = scans[-1]
    found = [*known]
    lines = "\n" + text  # the newline before a line has the offset at which the line begins in `text`
    last_end = text.rfind("\n")
    step = max(len(text), _LONG) // _PLACES
    due = at + step
    while True:
        if due <= at <= last_end:
            scans.append(_Scan(text[: text.index("\n", at) + 1], [*found], at, fresh, ordered, in_list, in_html))
            due = at + step
        line = _LINE.search(lines, at)
        if line is None:
            break
        kind, start, at = line.lastgroup, line.start(), line.end() - 1
        is_fresh = start == fresh
        if fresh >= 0 and not is_fresh:  # an ordinary line
            _put(found, fresh, is_new=not _DEFINITION.match(text, fresh))
            in_list = False
        fresh = -1
        if kind == "blank":
            fresh = at if text[at : at + 1] not in ("", " ", "\t") else -1
            in_html = False
        elif kind == "unsure":
            return Starts(found, is_sure=False)
        elif kind == "raw" and not in_html:
            begins = next(begins for begins in _RAW_ENDS if line["raw"].lower().startswith(begins))
            closing = _RAW_ENDS[begins].search(text, start)
            _put(found, start, is_new=True)
            if closing is None:
                return Starts(found, is_sure=False)
            at = _line_end(text, closing.end())
            _put(found, at, is_new=False)
            fresh, in_list = at if text[at : at + 1] not in ("", "\n") else -1, False
        elif kind == "html":
            in_html = True  # perhaps: up to a blank line it may be no Markdown
            if is_fresh:
                _put(found, start, is_new=True)
                in_list = False
        elif in_html:
            if kind in ("raw", "quote", "fence", "indented", "item_fence"):
                return Starts(found, is_sure=False)
            in_list = in_list or kind == "item"
            at = _line_end(text, at)
        elif kind == "fence":
            fence, at = _fence(text, line["fence"], at)
            _put(found, start, is_new=True, fence=fence)
            if at == len(text):  # perhaps it is not closed
                return Starts(found, is_sure=True)
            _put(found, at, is_new=False)  # it may be a blank line
            fresh, in_list = at if text[at : at + 1] not in ("", "\n") else -1, False
        elif kind == "indented":
            at = _nested_end(text, line["indented"], line["marks"], at)
            if at < 0:
                return Starts(found, is_sure=False)
            in_list = True
        elif kind == "quote":
            if text[at : at + 1] not in ("", "\n"):  # only a blank line surely ends a quote, and its fences
                return Starts(found, is_sure=False)
            if is_fresh:
                _put(found, start, is_new=True)
                in_list = False
        elif kind == "heading":
            _put(found, start, is_new=True)
            at = _line_end(text, at)
            is_head = _may_be_head(text[start:at], text, at)
            fresh, in_list = -1 if is_head or text[at : at + 1] in ("", "\n") else at, False
        else:
            item = line["item_fence"] if kind == "item_fence" else line["item"]
            mark = item.strip()
            is_number = mark[-1] in ".)"
            has_content = kind == "item_fence" or _CONTENT.match(text, at) is not None
            goes_on = not is_number or start == ordered or mark[:-1] == "1"
            is_head = False
            if kind == "item":
                at = _line_end(text, at)
                is_head = in_list and _may_be_head(text[start:at], text, at)
            elif (is_fresh or goes_on) and (end := ends_in_item(text, len(item), line["inside"], at)[1]) > 0:
                at, fresh = end, end if text[end : end + 1] not in ("", " ", "\t", "\n") else -1
            else:
                return Starts(found, is_sure=False)
            interrupts = has_content and item[0] != " " and goes_on
            if (is_fresh or interrupts) and not is_head:
                _put(found, start, is_new=not in_list)
                ordered = at if is_number and has_content else -1
            in_list = True
    if fresh >= 0 and _CONTENT.match(text, fresh):
        _put(found, fresh, is_new=not _DEFINITION.match(text, fresh))
    return Starts(found, is_sure=True)


def _may_be_head(line: str, text: str, end: int) -> bool:
    """Whether `line`, which ends at `end` in `text`, may be the head of a table."""
    if "|" not in line:
        return False
    rule = _RULE.match(text, end)
    if rule is None:
        return text.find("\n", end) < 0  # the next line is not whole
    return "\\" in line or "`" in line or fits(line, rule[0])


def fits(head: str, rule: str) -> bool:
    """Whether `head` and the `rule` below it begin a table. No bar in `head` is escaped."""
    return _inside(head).count("|") == _bars(rule)


@functools.lru_cache(maxsize=64)
def _bars(rule: str) -> int:
    """Return the number of bars between the cells of a rule; -1 if the line is no rule."""
    inside = _inside(rule)
    return inside.count("|") if all(map(_RULE_OF_CELL.fullmatch, inside.split("|"))) else -1


def _inside(row: str) -> str:
    """Return a row without the bars at its ends."""
    return row.strip().removeprefix("|").removesuffix("|")


def ends_in_item(text: str, column: int, marks: str, at: int) -> tuple[int, int]:
    """Return where the code of a fence ends, and its last line, in an item whose text begins at `column`.

    Both are -1 if that is not sure.

    `marks` open the fence and end at `at`.
    """
    start = _line_end(text, at)
    less = less_indented(column).search(text, start)
    end = less.start() if less else len(text)
    for closing in _CLOSING[marks[0]].finditer(text, start, end):
        if "\t" in closing["indent"]:
            return -1, -1
        if len(closing["marks"]) >= len(marks) and len(closing["indent"]) - column < len(_INDENTS):
            return closing.start(), closing.end()
    return (-1, -1) if less and less[0] == "\t" else (end, end)  # it ends with the item


@functools.lru_cache(maxsize=64)
def less_indented(column: int) -> re.Pattern[str]:
    """Return a pattern of lines that have text before `column`."""
    return re.compile(rf"^(?! {{{column}}}|[ \t]*$)\t?", re.MULTILINE)


def _put(found: list[Start], at: int, *, is_new: bool, fence: Fence | None = None) -> None:
    if found[-1].at == at:
        found.pop()
    found.append(Start(at, is_new or not at, fence))


def _line_end(text: str, at: int) -> int:
    return text.find("\n", at) + 1 or len(text)


def _fence(text: str, marks: str, at: int) -> tuple[Fence, int]:
    """Return the fenced block whose `marks` end at `at`, and the offset after its last line."""
    start = _line_end(text, at)
    info = text[at:start]
    for closing in _CLOSING[marks[0]].finditer(text, start):
        if len(closing["marks"]) >= len(marks) and closing["indent"] in _INDENTS:
            return Fence(info, start, closing.start()), closing.end()
    blank = len(text) - len(text.rstrip(" \t"))  # no line of the code
    end = len(text) - blank if text[-1 - blank] == "\n" else len(text)
    return Fence(info, start, max(start, end)), len(text)


def _nested_end(text: str, indent: str, marks: str, at: int) -> int:
    """Return the offset after an indented fence, of the top level or not; -1 if that makes a difference."""
    start = _line_end(text, at)
    closing = _CLOSING[marks[0]].search(text, start)
    while closing is not None and len(closing["marks"]) < len(marks):
        closing = _CLOSING[marks[0]].search(text, closing.end())
    if closing is not None and closing["indent"] not in _INDENTS[len(indent) :]:
        return -1
    end = len(text) if closing is None else closing.start()
    less = _LESS_INDENTED[len(indent)].search(text, start, end)
    return -1 if less else len(text) if closing is None else closing.end()
