"""A word-by-word diff of two texts, for a page and for a terminal."""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher

from glm_magic.display import safe_text
from glm_magic.display.tables import WIDTH, beside, wrapped

# A word, a run of white space, or one character of Korean or of a script that puts no space between words.
_SIGNS = "\u2e80-\u9fff\uac00-\ud7a3\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff"
_WORD = re.compile(rf"\s+|[{_SIGNS}]|[^\s{_SIGNS}]+")

# The budget for a diff, in pairs of equal words times words: about a second. What exceeds it is shown as one change.
_MOST_WORK = 250_000_000

_STYLE = "white-space: pre-wrap; overflow-wrap: anywhere; font-family: var(--jp-content-font-family, sans-serif)"
_OUT = '<del style="background: rgba(244, 67, 54, 0.25)">{}</del>'
_IN = '<ins style="background: rgba(76, 175, 80, 0.25)">{}</ins>'
_MARKS = ("[-{}-]", "{{+{}+}}")
_TABLE_STYLE = "width: 100%; table-layout: fixed"
_HALF_STYLE = "width: 50%; text-align: left; vertical-align: top"
_GAP = " │ "
_SHORT = 24  # characters of what did not change, in a line


def differences(before: str, after: str) -> dict[str, str]:
    """Return a diff as ``text/html`` and ``text/plain``: deletions are struck out, insertions underlined.

    In plain text they are written ``[-deleted-]`` and ``{+inserted+}``.
    """
    page, plain = [], []
    for old, new in changes(safe_text.plain(before), safe_text.plain(after)):
        if old == new:
            page.append(html.escape(old))
            plain.append(old)
            continue
        page += [mark.format(html.escape(text)) for mark, text in ((_OUT, old), (_IN, new)) if text]
        plain += [mark.format(text) for mark, text in zip(_MARKS, (old, new), strict=True) if text]
    shown = f'<div class="{safe_text.NO_MATHS}" style="{_STYLE}">{"".join(page)}</div>'
    return {"text/html": shown, "text/plain": "".join(plain)}


def side_by_side(before: str, after: str, *, most: int = WIDTH) -> dict[str, str]:
    """Return both texts side by side as ``text/html`` and ``text/plain``, with deletions and insertions marked.

    A line of plain text is at most `most` wide.
    """
    pages: tuple[list[str], list[str]] = ([], [])
    plains: tuple[list[str], list[str]] = ([], [])
    for texts in changes(safe_text.plain(before), safe_text.plain(after)):
        is_same = texts[0] == texts[1]
        for text, page, plain, on_page, in_plain in zip(texts, pages, plains, (_OUT, _IN), _MARKS, strict=True):
            if text:
                page.append(html.escape(text) if is_same else on_page.format(html.escape(text)))
                plain.append(text if is_same else in_plain.format(text))
    cells = "".join(f'<td style="{_HALF_STYLE}"><div style="{_STYLE}">{"".join(page)}</div></td>' for page in pages)
    column = (most - len(_GAP)) // 2
    lines = [wrapped("".join(plain).expandtabs(), column) for plain in plains]
    return {
        "text/html": f'<table class="{safe_text.NO_MATHS}" style="{_TABLE_STYLE}"><tr>{cells}</tr></table>',
        "text/plain": "\n".join(beside(lines, (column, column), _GAP)),
    }


def in_short(before: str, after: str) -> str:
    """Return a diff in one line; of what did not change, only the words beside a change are shown."""
    pieces: list[str] = []
    pairs = [*changes(safe_text.one_line(before), safe_text.one_line(after))]
    for at, (old, new) in enumerate(pairs):
        if old != new:
            pieces += [mark.format(text) for mark, text in zip(_MARKS, (old, new), strict=True) if text]
        elif len(old) <= _SHORT:
            pieces.append(old)
        else:
            start = old[: old.rfind(" ", 0, _SHORT // 2) + 1] if at > 0 else ""
            end = old[old.find(" ", -_SHORT // 2) :] if at < len(pairs) - 1 else ""
            pieces.append(f"{start}…{end}")
    return "".join(pieces).strip()


def changes(before: str, after: str) -> Iterator[tuple[str, str]]:
    """Yield pairs of pieces of two texts: equal where nothing changed, else what was deleted and what was inserted.

    Lines are compared first, then the words of the lines that changed.
    """
    compared = _Compared()
    for old_lines, new_lines in compared.pieces(before.splitlines(keepends=True), after.splitlines(keepends=True)):
        old, new = "".join(old_lines), "".join(new_lines)
        if old == new:
            yield old, new
        else:
            for old_words, new_words in compared.pieces(_WORD.findall(old), _WORD.findall(new)):
                yield "".join(old_words), "".join(new_words)


class _Compared:
    """Compares sequences until its budget is spent; what is left then is not compared."""

    def __init__(self) -> None:
        self._left = _MOST_WORK

    def pieces(self, old: Sequence[str], new: Sequence[str]) -> Iterator[tuple[Sequence[str], Sequence[str]]]:
        """Yield pairs of pieces of both sequences: equal, or changed."""
        start = _common(old, new)
        end = _common(old[start:][::-1], new[start:][::-1])
        if start:
            yield old[:start], new[:start]
        yield from self._between(old[start : len(old) - end], new[start : len(new) - end])
        if end:
            yield old[len(old) - end :], new[len(new) - end :]

    def _between(self, old: Sequence[str], new: Sequence[str]) -> Iterator[tuple[Sequence[str], Sequence[str]]]:
        if not (old and new) or not self._may_compare(old, new):
            if old or new:
                yield old, new
            return
        for _, old_start, old_end, new_start, new_end in SequenceMatcher(
            str.isspace, old, new, autojunk=False
        ).get_opcodes():
            yield old[old_start:old_end], new[new_start:new_end]

    def _may_compare(self, old: Sequence[str], new: Sequence[str]) -> bool:
        """Spend from the budget; return whether the two have something in common and the budget allows it.

        SequenceMatcher visits every pair of equal items for each match that it finds, so at worst once for each item.
        """
        counted = Counter(item for item in new if not item.isspace())
        pairs = sum(counted[item] for item in old)
        work = pairs * min(len(old), len(new))
        if not pairs or work > self._left:
            return False
        self._left -= work
        return True


def _common(old: Sequence[str], new: Sequence[str]) -> int:
    """Return the length of their common prefix."""
    return next(
        (at for at, (one, other) in enumerate(zip(old, new, strict=False)) if one != other), min(len(old), len(new))
    )
