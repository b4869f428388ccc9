"""A table of plain-text cells, for a page and for a terminal."""

from __future__ import annotations

import html
import itertools
import unicodedata
from collections.abc import Sequence

from glm_magic.display import safe_text

WIDTH = 100  # characters of a line of plain text, where nobody knows how many fit
_LONGEST = 400  # characters of a cell in plain text; the page shows all
_NARROWEST = 6
_GAP = "  "


def table(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], note: str = "", *, most: int = WIDTH
) -> dict[str, str]:
    """Return the table as ``text/html`` and ``text/plain``; its texts are escaped.

    A line of plain text is at most `most` wide, as far as the columns allow; a Chinese or Korean character takes two.
    """
    return {
        "text/html": _as_html(title, columns, rows, note),
        "text/plain": _as_text(title, columns, rows, note, most),
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


def _as_text(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], note: str, most: int) -> str:
    cells = [[shorten(cell, _LONGEST) for cell in row] for row in (columns, *rows)]
    widths = _fitting([max(width(row[at]) for row in cells) for at in range(len(columns))], most)
    written = [beside([wrapped(cell, w) for cell, w in zip(row, widths, strict=True)], widths) for row in cells]
    return "\n".join(
        [
            *wrapped(safe_text.one_line(title), most),
            *written[0],
            "-" * max(width(line) for lines in written for line in lines),
            *(line for lines in written[1:] for line in lines),
            *(wrapped(safe_text.one_line(note), most) if note else []),
        ]
    )


def _fitting(widths: list[int], most: int) -> list[int]:
    """Return widths that fit into `most` together: the widest columns are narrowed."""
    widths = list(widths)
    while sum(widths) + len(_GAP) * (len(widths) - 1) > most and max(widths) > _NARROWEST:
        widths[widths.index(max(widths))] -= 1
    return widths


def beside(columns: Sequence[Sequence[str]], widths: Sequence[int], gap: str = _GAP) -> list[str]:
    """Return the lines of texts side by side, each in a column of its width."""
    return [
        gap.join(line + " " * (w - width(line)) for line, w in zip(lines, widths, strict=True)).rstrip()
        for lines in itertools.zip_longest(*columns, fillvalue="")
    ]


def wrapped(text: str, most: int) -> list[str]:
    """Return the lines of `text`, wrapped at spaces to `most`; a word that is wider is split."""
    lines = []
    for paragraph in text.split("\n"):
        line: str | None = None
        for word in paragraph.split(" "):
            longer = word if line is None else f"{line} {word}"
            if width(longer) <= most:
                line = longer
                continue
            if line is not None:
                lines.append(line)
            *whole, line = _pieces(word, most)
            lines += whole
        lines.append(line or "")
    return lines


def _pieces(word: str, most: int) -> list[str]:
    pieces = [""]
    for character in word:
        if width(pieces[-1] + character) > most and pieces[-1]:
            pieces.append("")
        pieces[-1] += character
    return pieces


def shorten(text: str, most: int = 60) -> str:
    """Return `text` as one printable line, cut to at most `most` characters."""
    line = safe_text.one_line(text)
    return line if len(line) <= most else line[: most - 1] + "…"


def cut(text: str, most: int, before: str = " ") -> str:
    """Return `text`, or its first `most` characters and a note of how many more there are, with `before` between."""
    rest = len(text) - most
    return f"{text[:most]}{before}… ({rest:,} more characters)" if rest > 0 else text


def width(text: str) -> int:
    """Return the width of `text` in terminal columns; a Chinese or Korean character is two wide."""
    if text.isascii():
        return len(text)
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)
