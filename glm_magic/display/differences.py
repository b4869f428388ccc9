"""What changed from one text to another, word by word, for a page and for a terminal."""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher

from glm_magic.display import safe_text

# a word, a stretch of white space, or one sign of a script that puts no space between its words, or of Korean
_SIGNS = "\u2e80-\u9fff\uac00-\ud7a3\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff"
_WORD = re.compile(rf"\s+|[{_SIGNS}]|[^\s{_SIGNS}]+")

# How much work comparing may be in all, in pairs of equal words for each word: about a second. What would be more is
# shown as a whole, or line by line.
_MOST_WORK = 250_000_000

_STYLE = "white-space: pre-wrap; overflow-wrap: anywhere; font-family: var(--jp-content-font-family, sans-serif)"
_OUT = '<del style="background: rgba(244, 67, 54, 0.25)">{}</del>'
_IN = '<ins style="background: rgba(76, 175, 80, 0.25)">{}</ins>'


def differences(before: str, after: str) -> dict[str, str]:
    """Return both texts in one as ``text/html`` and ``text/plain``: what left is struck out, what came is underlined.

    In plain text they stand as ``[-left-]`` and ``{+came+}``.
    """
    page, plain = [], []
    for left, came in _changes(safe_text.plain(before), safe_text.plain(after)):
        if left == came:
            page.append(html.escape(left))
            plain.append(left)
            continue
        page += [mark.format(html.escape(text)) for mark, text in ((_OUT, left), (_IN, came)) if text]
        plain += [mark.format(text) for mark, text in (("[-{}-]", left), ("{{+{}+}}", came)) if text]
    shown = f'<div class="{safe_text.NO_MATHS}" style="{_STYLE}">{"".join(page)}</div>'
    return {"text/html": shown, "text/plain": "".join(plain)}


def _changes(before: str, after: str) -> Iterator[tuple[str, str]]:
    """Yield the texts piece by piece: equal where nothing changed, else what left and what came.

    Lines are compared first, and then the words of those that changed.
    """
    compared = _Compared()
    for old, new in compared.pieces(before.splitlines(keepends=True), after.splitlines(keepends=True)):
        if old == new:
            yield "".join(old), "".join(new)
        else:
            for left, came in compared.pieces(_WORD.findall("".join(old)), _WORD.findall("".join(new))):
                yield "".join(left), "".join(came)


class _Compared:
    """Compares two sequences, with so much work in all that no texts take long."""

    def __init__(self) -> None:
        self._left = _MOST_WORK

    def pieces(self, old: Sequence[str], new: Sequence[str]) -> Iterator[tuple[Sequence[str], Sequence[str]]]:
        """Yield both sequences piece by piece, as much of them as there is work left for."""
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
        """Whether they have anything in common, and there is work left to compare them; if so, it is taken.

        SequenceMatcher looks at every pair of equal items for each stretch that it finds, so at worst at all of them
        once for each item.
        """
        counted = Counter(item for item in new if not item.isspace())
        pairs = sum(counted[item] for item in old)
        work = pairs * min(len(old), len(new))
        if not pairs or work > self._left:
            return False
        self._left -= work
        return True


def _common(old: Sequence[str], new: Sequence[str]) -> int:
    """Return how many items they have in common at their start."""
    return next(
        (at for at, (one, other) in enumerate(zip(old, new, strict=False)) if one != other), min(len(old), len(new))
    )
