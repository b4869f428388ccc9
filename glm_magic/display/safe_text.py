r"""Text of a model or a tool, made so that it cannot act: no script, no fetch, no lying markup.

A notebook trusts live output, so Markdown is neutralised before it is shown. The result is built so
that it does not matter how a front end reads what is ambiguous. Outside a fenced block of the top
level no ``<`` begins a tag but a few without attributes, no ``](`` leads anywhere but to the web or a
mail address, and no ``![`` is left. A fenced block has blank lines on both sides (which no maths and
no paragraph crosses), and a second parse has found it where it was meant to be.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from glm_magic.errors import printable

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

# Without one of these a text has no tag, link, image, definition or macro in it that could act.
_SUSPECT = re.compile(r"<[a-zA-Z/!?]|\]\(|!\[|\]:|\\[a-zA-Z]")
_TAG = re.compile(r"<(?=[a-zA-Z/!?])")
_ACTS_IN_CODE = re.compile(r"<[a-zA-Z/!?]|\]\(|!\[|\]:")
_HARMLESS_TAG = re.compile(r"</?(?:br|sub|sup|kbd|b|i|em|strong|u|s|del|ins|mark|small)\s*/?>", re.IGNORECASE)
_AUTOLINK = re.compile(r"<(?:https?://|mailto:)[^\s<>\"'`\\]+>", re.IGNORECASE)
_WEB_TARGET = re.compile(r"\]\(\s*(?:https?://|mailto:)", re.IGNORECASE)
_WEB_DEFINITION = re.compile(r"\]:[ \t]*https?://[^\s<>\"'`\\]+[ \t]*(?:\n(?![ \t]*[\"'(])|$)", re.IGNORECASE)
_IMAGE = re.compile(r"!\[(?=[^\[\]]*\]\()")
_MATHS_END = {"$": "$", "$$": "$$", "\\\\(": "\\\\)", "\\\\[": "\\\\]"}
_MATHS_START = re.compile(r"\$\$|\$|\\\\[(\[]|\\begin\{[a-zA-Z]*\*?\}")
# Macros with which maths can link, load, or set classes, styles, identifiers and data.
_MACRO = re.compile(
    r"\\(href|url|cssId|class|style|bbox|require|includegraphics|html[a-zA-Z]*|def|newcommand|renewcommand|let)(?![a-zA-Z])"
)
_FENCE_LIKE = re.compile(r"^([ \t]*)([`~])(?=\2{2})", re.MULTILINE)


def plain(text: str) -> str:
    """Return `text` for a terminal, an error or ``text/plain``: no control characters but tab and newline."""
    return printable(text)


def markdown(text: str) -> str:
    """Return `text` as Markdown that reads the same and cannot act.

    Equal input gives equal output; a whole top-level block is treated alike whatever stands around it.
    """
    text = printable(text)
    if not _SUSPECT.search(text):
        return text
    parts = list(_parts(text))
    safe = _join(parts)
    return safe if _holds(safe, parts) else _literally(text)


def last_block_start(text: str) -> int:
    """Return the offset at which the last top-level block of `text` begins.

    Only whole lines count, so that a block which is said to be over stays so whatever comes next.
    """
    whole = text[: text.rfind("\n") + 1]
    starts = [token.map[0] for token in _blocks(whole) if token.map and token.level == 0 and token.nesting >= 0]
    if len(starts) < 2:
        return 0
    offset = _line_offsets(whole)[starts[-1]]
    return offset if whole.count("$$", 0, offset) % 2 == 0 else 0


@dataclass(frozen=True, slots=True)
class _Fence:
    """A fenced block of the top level."""

    info: str
    code: str

    def __str__(self) -> str:
        longest = max((len(run) for run in re.findall("`+", self.code)), default=0)
        marks = "`" * max(3, longest + 1)
        return f"{marks}{self.info}\n{self.code}{marks}\n"


_Part: TypeAlias = "str | _Fence"


@functools.cache
def _parser() -> MarkdownIt:
    from markdown_it import MarkdownIt  # noqa: PLC0415 - slow, and only needed for text that is suspect

    return MarkdownIt("commonmark").enable("table").disable("inline")


def _blocks(text: str) -> list[Token]:
    return _parser().parse(text)


def _line_offsets(text: str) -> list[int]:
    return [0, *(found.end() for found in re.finditer("\n", text))]


def _parts(text: str) -> Iterator[_Part]:
    """Split into the top level's fenced blocks and the neutralised rest."""
    lines = text.splitlines(keepends=True) if "\n" in text else [text]
    done = 0
    for token in _blocks(text):
        if token.map is None or token.map[0] < done:
            continue
        start, end = token.map
        end = min(end, len(lines))
        body: _Part
        source = "".join(lines[start:end])
        match token.type:
            case "fence" if token.level == 0:
                code = token.content if token.content.endswith("\n") or not token.content else token.content + "\n"
                body = _Fence(re.sub(r"[^\w+#.{}=\- ]", "", token.info).strip(), code)
            case "fence" if _ACTS_IN_CODE.search(source) or not _is_closed(token, lines[start:end]):
                prefix = lines[start].partition(token.markup)[0]
                body = prefix + _pre(token.content)
            case "code_block" if _ACTS_IN_CODE.search(source):
                prefix = lines[start][: len(lines[start]) - len(lines[start].lstrip())]
                body = prefix[:-4] + _pre(token.content)
            case "fence" | "code_block":
                body = source
            case "inline":
                body = _inline(source)
            case "tr_open":
                body = _inline(source, in_table=True)
            case "html_block":
                body = _FENCE_LIKE.sub(lambda found: f"{found[1]}&#{ord(found[2])};", _inline(source))
            case _:
                continue
        if start > done:
            yield _inline("".join(lines[done:start]))
        yield body
        done = end
    if done < len(lines):
        yield _inline("".join(lines[done:]))


def _is_closed(fence: Token, lines: list[str]) -> bool:
    return len(lines) > 1 and lines[-1].strip(" >\n").startswith(fence.markup)


def _join(parts: list[_Part]) -> str:
    text = ""
    after_fence = False
    for part in parts:
        if isinstance(part, _Fence):
            if text and not text.endswith("\n\n"):
                text += "\n" if text.endswith("\n") else "\n\n"
            text += str(part)
        else:
            if after_fence and part.strip() and not part.startswith("\n"):
                text += "\n"
            text += part
        after_fence = isinstance(part, _Fence)
    return text


def _holds(safe: str, parts: list[_Part]) -> bool:
    """Whether a parse of the result finds the fenced blocks that were meant, and no others."""
    meant = [part.code for part in parts if isinstance(part, _Fence)]
    found = [token.content for token in _blocks(safe) if token.type == "fence" and token.level == 0]
    return meant == found


def _literally(text: str) -> str:
    """Return `text` as paragraphs in which every sign stands for itself."""
    lines = (re.sub(r"[!-/:-@\[-`{-~]", lambda sign: f"&#{ord(sign[0])};", line.strip()) for line in text.split("\n"))
    return "  \n".join(lines)


def _encoded(code: str) -> str:
    return re.sub(r"[^\w ]", lambda sign: f"&#{ord(sign[0])};", code)


def _pre(code: str) -> str:
    """A block of code as HTML in one line, which no container and no maths can break up."""
    return f"<pre><code>{_encoded(code.rstrip(chr(10)))}</code></pre>\n"


def _inline(text: str, *, in_table: bool = False) -> str:
    """Neutralise prose: code spans, maths, tags, links, images and definitions."""
    out: list[str] = []
    at = 0
    while at < len(text):
        plain_end = _next_sign(text, at)
        if plain_end > at:
            out.append(text[at:plain_end])
            at = plain_end
            continue
        for rule in _RULES:
            if found := rule(text, at, in_table):
                piece, at = found
                out.append(piece)
                break
        else:
            out.append(text[at])
            at += 1
    return "".join(out)


_SIGN = re.compile(r"[`$\\<!\]]")


def _next_sign(text: str, at: int) -> int:
    found = _SIGN.search(text, at)
    return found.start() if found else len(text)


_Found: TypeAlias = "tuple[str, int] | None"


def _code_span(text: str, at: int, in_table: bool) -> _Found:  # noqa: FBT001
    if text[at] != "`":
        return None
    run = re.compile("`+").match(text, at)
    assert run is not None
    marks = run[0]
    close = re.compile(rf"(?<!`){marks}(?!`)").search(text, run.end())
    if close is None:
        return marks, run.end()
    code = text[run.end() : close.start()]
    if not _ACTS_IN_CODE.search(code):
        return text[at : close.end()], close.end()
    code = code.replace("\n", " ")
    if code[:1] == code[-1:] == " " and code.strip():
        code = code[1:-1]
    return f"<code>{_encoded(code.replace(chr(92) + '|', '|') if in_table else code)}</code>", close.end()


def _maths(text: str, at: int, _in_table: bool) -> _Found:  # noqa: FBT001
    start = _MATHS_START.match(text, at)
    if start is None:
        return None
    closing = _MATHS_END.get(start[0]) or "\\end" + start[0].removeprefix("\\begin")
    end = start.end()
    while (end := text.find(closing, end)) >= 0 and text[end - 1] == "\\" and closing[0] == "$":
        end += 1
    if end < 0 or "\n\n" in text[at:end]:
        return start[0], start.end()
    inside = text[start.end() : end]
    inside = _TAG.sub("< ", inside).replace("](", "] (").replace("![", "! [").replace("]:", "] :")
    return start[0] + _MACRO.sub(r"\\text{\1}", inside) + closing, end + len(closing)


def _backslash(text: str, at: int, _in_table: bool) -> _Found:  # noqa: FBT001
    if text[at] != "\\":
        return None
    if text[at + 1 : at + 2] == "<":
        return "&lt;", at + 2
    if macro := _MACRO.match(text, at):
        return "\\text{" + macro[1] + "}", macro.end()
    # an escaped bracket still ends a link's text for a reader that takes the backslash otherwise
    return (text[at], at + 1) if text[at + 1 : at + 2] in ("]", "!") else (text[at : at + 2], at + 2)


def _less_than(text: str, at: int, _in_table: bool) -> _Found:  # noqa: FBT001
    if text[at] != "<":
        return None
    if allowed := _HARMLESS_TAG.match(text, at) or _AUTOLINK.match(text, at):
        return allowed[0], allowed.end()
    return ("&lt;" if _TAG.match(text, at) else "<"), at + 1


def _image(text: str, at: int, _in_table: bool) -> _Found:  # noqa: FBT001
    if not text.startswith("![", at):
        return None
    return ("[image: " if _IMAGE.match(text, at) else "&#33;["), at + 2


def _link(text: str, at: int, _in_table: bool) -> _Found:  # noqa: FBT001
    if text.startswith("](", at):
        return ("](" if _WEB_TARGET.match(text, at) else "]&#40;"), at + 2
    if text.startswith("]:", at):
        return ("]:" if _WEB_DEFINITION.match(text, at) else "]&#58;"), at + 2
    return None


_RULES: tuple[Callable[[str, int, bool], _Found], ...] = (
    _code_span,
    _maths,
    _backslash,
    _less_than,
    _image,
    _link,
)
