"""What changed from one text to another, word by word, for a page and for a terminal."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from difflib import SequenceMatcher

from glm_magic.display import safe_text

# a word, a stretch of white space, or one sign of a script that puts no space between its words, or of Korean
_SIGNS = "\u2e80-\u9fff\uac00-\ud7a3\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff"
_WORD = re.compile(rf"\s+|[{_SIGNS}]|[^\s{_SIGNS}]+")

_LONG = 5000  # words of both texts; from here on frequent words are no landmarks, else it takes seconds

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
    """Yield the texts piece by piece: equal where nothing changed, else what left and what came."""
    old, new = _WORD.findall(before), _WORD.findall(after)
    matcher = SequenceMatcher(None, old, new, autojunk=len(old) + len(new) > _LONG)
    for _, old_start, old_end, new_start, new_end in matcher.get_opcodes():
        yield "".join(old[old_start:old_end]), "".join(new[new_start:new_end])
