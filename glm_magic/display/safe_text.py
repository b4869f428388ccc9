r"""Text of a model or a tool, made so that it cannot act: no script, no fetch, no lying markup.

A notebook trusts live output, so Markdown is neutralised before it is shown. The result is built so
that it does not matter how a front end reads what is ambiguous. Outside a fenced block of the top level

* no ``<`` begins a tag but a few without attributes (and those that would run on are closed);
* no ``](``, no ``]:`` and no bare address leads anywhere but to a mail address, or to a host of the web
  that every browser can parse, and no ``![`` is left;
* no link reads as the address of another host than the one it leads to;
* no maths begins in an address, a title or the line of a fence: JupyterLab cuts maths out before it
  reads Markdown and puts it back, quotation marks and all, be it into an attribute;
* the line of a fence has no quotation mark and adds no class: JupyterLab makes an attribute of it as it is;
* no backslash stands before the name of a macro with which maths could act.

Text of which this holds already is *quiet*, and is left alone. A fenced block has blank lines on both
sides (which no maths and no paragraph crosses), and a second parse has found it where it was meant to be.

Time is linear in the length of any text: a page is repainted while the answer grows.
"""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from glm_magic.chat import code
from glm_magic.chat.text import without_halves
from glm_magic.display import blocks, layout, prose
from glm_magic.display.lookahead import NOWHERE, Lookahead, has_display, open_display
from glm_magic.errors import printable

_LINE_BREAK = re.compile("\r\n|[\n\r\x0b\x0c\x85\u2028\u2029]")  # what is a newline in `plain` text
_LONGEST_STRAY = 5000  # characters after a mark that seems to begin display maths, and is none if nothing ends it
_LONGEST_DISPLAY = 100  # lines
_FENCE_MARKS = re.compile("```|~~~")
_QUOTE = re.compile(r"(?:>(?: (?![ \t]*>)[^\n]*)?(?:\n|\Z))+\n*")  # each line is marked, and none twice
_QUOTE_MARK = re.compile(r"^> ?", re.MULTILINE)
_ONE_LINE = re.compile(r"(?![ \t]|(?:[-+*>]|[0-9]{1,9}[.)])(?: {5}|[^\n]*\t))[^\n]*\n*")
_SHORT = 4000  # characters of a text that is neutralised as a whole if that is possible
_PIECES_TOGETHER = 4000  # characters
_MOST_KEPT = 8000  # characters of pieces whose neutralised form is kept
_DISPLAY_START = re.compile(r"\$\$|\\\\\[|\\begin\{[a-zA-Z]*\*?\}")


# Classes of an HTML element in which no front end renders maths: dollars in escaped text stay dollars.
NO_MATHS = "mathjax_ignore tex2jax_ignore"


def plain(text: str) -> str:
    """Return `text` for a terminal, an error or ``text/plain``: no control characters but tab and newline."""
    return printable(without_halves(text))


def one_line(text: str) -> str:
    """Return `text` as `plain` does, as one line with single spaces."""
    return " ".join(plain(text).split())


def markdown(text: str) -> str:
    """Return `text` as Markdown that reads the same and cannot act.

    Equal input gives equal output. A whole top-level block gives the same whatever surrounds it, unless it has only one
    of the two brackets of a link. A block with so many marks that nobody can read it is shown literally.
    """
    text = plain(text)
    if prose.is_quiet(text):
        return text
    if len(text) < _SHORT and _is_plain(text):
        return prose.neutralised(text)
    parts = list(_parts(text))
    if any(isinstance(part, _Fence) and not prose.is_quiet(part.code) for part in parts):
        parts = [part if isinstance(part, _Fence) else _with_displays_closed(part) for part in parts]
    safe = _join(parts)
    return safe if _holds(safe, parts) else prose.literal(text)


def last_block_start(text: str) -> int:
    """Return the offset at which the last top-level block of `text` begins, or an earlier one that is found faster.

    Only whole lines count, so that a finished block stays finished whatever comes next.
    """
    whole = text[: text.rfind("\n") + 1]
    same = plain(whole)
    cut, left = _last_start(same)
    if not cut:
        return 0
    opened = open_display(left)  # a line of display maths may look like a list; but two dollars may be just a word
    if opened != NOWHERE and len(left) - opened < _LONGEST_STRAY:
        return 0
    if same == whole:
        return cut
    line = same.count("\n", 0, cut)
    return next(itertools.islice(_LINE_BREAK.finditer(whole), line - 1, None)).end()


def _last_start(text: str) -> tuple[int, str]:
    """Return the offset of the last top-level block, and what comes before it without fenced blocks."""
    found, is_sure = blocks.starts(text)
    last = next(at for at in reversed(range(len(found))) if found[at].is_new)
    cut, at, before = found[last].at, 0, list[str]()
    for start, following in itertools.pairwise(found[: last + 1]):
        if start.fence:
            before.append(text[at : start.at])
            at = following.at
    before.append(text[at:cut])
    if not is_sure:
        later, more = _last_parsed(text[cut:])
        return cut + later, "".join(before) + more
    return cut, "".join(before)


def _last_parsed(text: str) -> tuple[int, str]:
    offsets = _line_starts(text)
    found = [
        (token.type, offsets[token.map[0]])
        for token in code.block_parser().parse(text)
        if token.map and token.level == 0 and token.nesting >= 0
    ]
    if len(found) < 2:
        return 0, ""
    ends = [start for _, start in found[1:]]
    left = "".join(text[start:end] for (kind, start), end in zip(found, ends, strict=False) if kind != "fence")
    return ends[-1], left


@dataclass(frozen=True, slots=True)
class _Fence:
    """A fenced block of the top level."""

    info: str
    code: str

    def __str__(self) -> str:
        marks = code.marks_around(self.code)
        return f"{marks}{self.info}\n{self.code}{marks}\n"


_Part: TypeAlias = "str | _Fence"


def _line_starts(text: str) -> list[int]:
    return [0, *(found.end() for found in re.finditer("\n", text))]


def _parts(text: str) -> Iterator[_Part]:
    """Split into the top level's fenced blocks and the neutralised rest; only what needs a parse is parsed."""
    found = _without_maths(text, blocks.starts(text).found)
    ends = [*(start.at for start in found[1:]), len(text)]
    pieces: list[str] = []
    length = 0
    for start, end in zip(found, ends, strict=True):
        alone: _Part | None = None
        if start.fence is not None:
            alone = _Fence(_language(start.fence.info), _ended(text[start.fence.start : start.fence.end]))
        elif prose.is_too_dense(piece := text[start.at : end]):
            alone = prose.literal(piece)
        else:
            pieces.append(piece)
            length += len(piece)
        if pieces and (alone is not None or length >= _PIECES_TOGETHER):
            yield from (_prose_again if length < _MOST_KEPT else _prose)((*pieces,))
            pieces, length = [], 0
        if alone is not None:
            yield alone
    if pieces:
        yield from _prose((*pieces,))


def _without_maths(text: str, found: list[blocks.Start]) -> list[blocks.Start]:
    """Return the places that are not within display maths: a line of it may look like an item of a list."""
    if not has_display(text):
        return found
    ahead, kept, end = Lookahead(text), [], 0
    for start in found:
        if start.at < end:
            continue
        kept.append(start)
        if opening := _DISPLAY_START.match(text, start.at):
            _, display_end = ahead.maths_end(opening[0], opening.end())
            lines = text.count("\n", start.at, min(display_end, start.at + _LONGEST_STRAY))
            if lines < _LONGEST_DISPLAY and prose.read_maths(text, opening, ahead):
                end = display_end
    return kept


@functools.lru_cache(maxsize=256)
def _prose_again(pieces: tuple[str, ...]) -> tuple[_Part, ...]:
    """Return what `_prose` yields: while a long list grows, all of it but its end is neutralised again and again."""
    return (*_prose(pieces),)


def _prose(pieces: tuple[str, ...]) -> Iterator[_Part]:
    """Neutralise pieces, each with whole blocks of the top level."""
    whole = "".join(pieces)
    if not _FENCE_MARKS.search(whole) and prose.is_quiet(whole):
        yield whole
        return
    if _is_plain(whole):
        yield prose.neutralised(whole)
        return
    # a quote, and what may be HTML, is read by itself
    if not has_display(whole) and not any(piece.lstrip(" ").startswith((">", "<")) for piece in pieces):
        found = [*layout.code_and_tables(whole)]
        if None not in found:
            yield _laid_out(whole, filter(None, found))
            return
    for piece in pieces:
        if not _FENCE_MARKS.search(piece):
            if prose.is_quiet(piece):
                yield piece
                continue
            if _ONE_LINE.fullmatch(piece):  # no code, and nothing that goes on in another line
                yield prose.neutralised(piece)
                continue
        if _QUOTE.fullmatch(piece) and not has_display(piece):
            yield _quoted(piece)
            continue
        found = [*layout.code_and_tables(piece)]
        if None in found or (found and has_display(piece)):
            yield from _parsed(piece)
        elif has_display(piece):
            yield prose.neutralised(piece)  # a line of display maths may look like another block
        else:
            yield _laid_out(piece, filter(None, found))


def _quoted(piece: str) -> str:
    """Neutralise what is in a quote, and mark its lines again."""
    quote = piece.rstrip("\n")
    parts = _parts(_QUOTE_MARK.sub("", quote) + "\n")
    within = "".join(
        _pre(part.code) if isinstance(part, _Fence) and prose.acts_in_code(str(part)) else str(part) for part in parts
    )
    marked = "\n".join(f"> {line}" if line else ">" for line in within.removesuffix("\n").split("\n"))
    return marked + piece[len(quote) :]


def _laid_out(text: str, code_and_tables: Iterable[layout.Code | layout.Table]) -> str:
    """Neutralise a text that has this code, these tables and otherwise paragraphs."""
    out: list[str] = []
    done = 0
    for found in code_and_tables:
        out += _paragraphs(text[done : found.start])
        done = found.end
        source = text[found.start : found.end]
        if isinstance(found, layout.Table):
            out += (prose.neutralised(row, in_table=True) for row in source.splitlines(keepends=True))
            continue
        content = _indentation(found.column).sub("", text[slice(*found.content)])
        if found.marks:
            out.append(_nested_fence(source, found.marks, found.info, content))
        else:
            out.append(_nested_code(source, " " * found.column, content))
    out += _paragraphs(text[done:])
    return "".join(out)


def _paragraphs(text: str) -> Iterable[str]:
    """Neutralise a text without code and tables, each paragraph by itself."""
    return map(prose.neutralised, layout.paragraphs(text)) if prose.has_marks(text) else (text,)


@functools.lru_cache(maxsize=64)
def _indentation(columns: int) -> re.Pattern[str]:
    return re.compile(rf"^ {{0,{columns}}}", re.MULTILINE)


def _nested_fence(source: str, marks: str, info: str, content: str) -> str:
    """Neutralise the lines `source` of a fence in a list or a quote."""
    first, _, rest = source.partition(marks)
    language = _language(info)
    if _is_closed(marks, source):
        shown = source if info == language else f"{first}{marks}{language}\n" + rest.partition("\n")[2]
        if not prose.acts_in_code(shown):
            return shown
    return first + _pre(content)


def _nested_code(source: str, prefix: str, content: str) -> str:
    """Neutralise lines of indented code; `prefix` comes before the code in the first one."""
    return re.sub(r" {1,4}$|\t$", "", prefix) + _pre(content) if prose.acts_in_code(source) else source


def _is_plain(text: str) -> bool:
    """Whether it does not matter for any mark in `text` which block it is in."""
    if _FENCE_MARKS.search(text) or layout.has_spans(text):
        return False
    return not any(True for _ in layout.code_and_tables(text))


def _parsed(text: str) -> Iterator[_Part]:
    offsets = _line_starts(text)
    if offsets[-1] < len(text):
        offsets.append(len(text))
    last = len(offsets) - 1
    ahead = Lookahead(text)
    done = 0
    for token in code.block_parser().parse(text):
        if token.map is None or (start := offsets[token.map[0]]) < done:
            continue
        end = offsets[min(token.map[1], last)]
        if end <= start:
            continue
        source = text[start:end]
        body: _Part
        match token.type:
            case "fence" if token.level == 0:
                body = _Fence(_language(token.info), _ended(token.content))
            case "fence":
                body = _nested_fence(source, token.markup, token.info, token.content)
            case "code_block":
                prefix = source.partition("\n")[0].removesuffix(token.content.partition("\n")[0])
                body = _nested_code(source, prefix, token.content)
            case "inline":
                if token.level == 1 and (opening := _DISPLAY_START.match(text, start)):
                    _, display_end = ahead.maths_end(opening[0], opening.end())  # a line of it may look like a list
                    furthest = offsets[min(token.map[0] + _LONGEST_DISPLAY, last)]
                    if display_end <= furthest and prose.read_maths(text, opening, ahead):
                        end = max(end, text.find("\n", display_end) + 1 or len(text))
                body = prose.neutralised(text[start:end])
            case "tr_open":
                body = prose.neutralised(source, in_table=True)
            case "html_block":
                body = re.sub(r"^([ \t]*)([`~])(?=\2{2})", _encoded_mark, prose.neutralised(source), flags=re.MULTILINE)
            case _:
                continue
        if start > done:
            yield prose.neutralised(text[done:start])
        yield body
        done = end
    if done < len(text):
        yield prose.neutralised(text[done:])


def _language(info: str) -> str:
    """Return a fence's info string, without diagrams (which fetch and set styles) and without CSS classes."""
    if not info.strip():
        return ""
    first, *more = re.sub(r"[^\w+#.{}=:/,\- ]", "", info).split() or [""]
    kept = [first, *(word for word in more if re.search(r"[^\w-]", word))]
    return "text" if first.lower().startswith("mermaid") else " ".join(kept)


def _ended(text: str) -> str:
    return text if text.endswith("\n") or not text else text + "\n"


def _is_closed(marks: str, source: str) -> bool:
    _, newline, last = source.removesuffix("\n").rpartition("\n")
    return bool(newline) and last.strip(" >\t").startswith(marks)


def _encoded_mark(found: re.Match[str]) -> str:
    return found[1] + prose.encoded(found[2])


def _join(parts: list[_Part]) -> str:
    joined: list[str] = []
    end = ""  # of what is joined
    after_fence = False
    for part in parts:
        text = str(part)
        if not text:
            continue
        if isinstance(part, _Fence):
            if joined and not end.endswith("\n\n"):
                text = ("\n" if end.endswith("\n") else "\n\n") + text
        elif after_fence and text.strip() and not text.startswith("\n"):
            text = "\n" + text
        joined.append(text)
        end = (end + text)[-2:]
        after_fence = isinstance(part, _Fence)
    return "".join(joined)


def _holds(safe: str, parts: list[_Part]) -> bool:
    """Whether a parse of the result finds exactly the fenced blocks that were intended."""
    meant = [part.code for part in parts if isinstance(part, _Fence)]
    if not meant and "```" not in safe and "~~~" not in safe:
        return True
    return meant == [*_fenced(safe)]


def _fenced(text: str) -> Iterator[str]:
    """Yield the code of each fenced block of the top level."""
    found, _ = blocks.starts(text)
    ends = [*(start.at for start in found[1:]), len(text)]
    for start, end in zip(found, ends, strict=True):
        if start.fence is not None:
            yield text[start.fence.start : start.fence.end]
        elif _FENCE_MARKS.search(piece := text[start.at : end]) and None in layout.code_and_tables(piece):
            tokens = code.block_parser().parse(piece)
            yield from (token.content for token in tokens if token.type == "fence" and token.level == 0)


def _pre(text: str) -> str:
    """Return a code block as one line of HTML, which no container and no maths can break up."""
    return f"<pre><code>{prose.encoded(text.rstrip(chr(10)))}&#10;</code></pre>\n"


def _with_displays_closed(text: str) -> str:
    """Escape display maths that never closes: nbconvert lets it run on into a fenced block."""
    if open_display(text) == NOWHERE:
        return text
    return text.replace("$$", "&#36;&#36;").replace("\\\\[", "&#92;[").replace("\\begin", "&#92;begin")
