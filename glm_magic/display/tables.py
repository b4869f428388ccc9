"""A table of plain-text cells, for a page and for a terminal."""

from __future__ import annotations

import html
import unicodedata
from collections.abc import Sequence

from glm_magic.display import safe_text

_WIDEST = 60


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], note: str = "") -> dict[str, str]:
    """Return the table as ``text/html`` and ``text/plain``; its texts are escaped."""
    return {
        "text/html": _as_html(title, columns, rows, note),
        "text/plain": _as_text(title, columns, rows, note),
    }


def _as_html(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], note: str) -> str:
    def cells(tag: str, row: Sequence[str]) -> str:
        style = ' style="text-align: left; vertical-align: top"'
        return "".join(f"<{tag}{style}>{html.escape(safe_text.plain(cell))}</{tag}>" for cell in row)

    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    head = f"<thead><tr>{cells('th', columns)}</tr></thead>"
    below = f"<p>{html.escape(safe_text.plain(note))}</p>" if note else ""
    titled = f"<p><b>{html.escape(safe_text.plain(title))}</b></p>"
    return f'<div class="{safe_text.NO_MATHS}">{titled}<table>{head}<tbody>{body}</tbody></table>{below}</div>'


def _as_text(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], note: str) -> str:
    lines = [[shorten(cell) for cell in row] for row in (columns, *rows)]
    widths = [max(width(row[at]) for row in lines) for at in range(len(columns))]
    written = [
        "  ".join(cell + " " * (w - width(cell)) for cell, w in zip(row, widths, strict=True)).rstrip() for row in lines
    ]
    return "\n".join(
        [
            safe_text.plain(title),
            written[0],
            "-" * max(map(width, written)),
            *written[1:],
            *([safe_text.plain(note)] if note else []),
        ]
    )


def shorten(text: str, most: int = _WIDEST) -> str:
    """Return `text` as one printable line, cut to at most `most` characters."""
    line = safe_text.one_line(text)
    return line if len(line) <= most else line[: most - 1] + "…"


def width(text: str) -> int:
    """Return the width of `text` in terminal columns; a Chinese or Korean character is two wide."""
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)
