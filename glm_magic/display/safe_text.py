r"""Text of a model or a tool, made so that it cannot act: no script, no fetch, no lying markup.

A notebook trusts live output, so Markdown is neutralised before it is shown. The result is built so
that it does not matter how a front end reads what is ambiguous. Outside a fenced block of the top level

* no ``<`` begins a tag but a few without attributes (and those that would run on are closed);
* no ``](`` and no ``]:`` leads anywhere but to the web or a mail address, and no ``![`` is left;
* no link reads as the address of another host than the one it leads to;
* no maths begins in an address, a title or the line of a fence: JupyterLab cuts maths out before it
  reads Markdown and puts it back, quotation marks and all, be it into an attribute;
* the line of a fence has no quotation mark and adds no class: JupyterLab makes an attribute of it as it is;
* no backslash stands before the name of a macro with which maths could act.

Text of which this holds already is *quiet*, and is left alone. A fenced block has blank lines on both
sides (which no maths and no paragraph crosses), and a second parse has found it where it was meant to be.
"""

from __future__ import annotations

import functools
import html
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from glm_magic.errors import printable

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

# Macros with which maths can link, load, redefine, or set classes, styles, identifiers and data.
_MACRO_NAMES = (
    r"(?:href|url|cssId|class|style|data|bbox|require|includegraphics|mmlToken|html[a-z]*|[gex]?def|let|definecolor"
    r"|(?:re)?new(?:command|environment|tagform|extarrow)|Declare[a-z]+|mathtoolsset)(?![a-z])"
)
_LOUD = re.compile(
    r"<[a-z/!?]|\]\(|!\[|\]:|&(?:\#|bsol)|(?:```|~~~)[ \t]*mermaid|\\"
    + _MACRO_NAMES
    + r"|\[[^\[\]]{0,200}\w\.\w[^\[\]]{0,200}\]\["  # a reference that may read as an address
    + r"|(?:```|~~~)(?:(?:(?!```|~~~)[^\n])*[\"&]|[ \t]*[^\s`~]+[ \t]+[^\s`])",  # a fence's line that says more
    re.IGNORECASE,
)
# An address or the line of a fence: what stands there may become an attribute.
_ATTRIBUTE = re.compile(r"(?:://|www\.)\S*|(?:```|~~~).*", re.IGNORECASE)
_SURROGATE = re.compile("[\ud800-\udfff]")

_TAG = re.compile(r"<(?=[a-z/!?])", re.IGNORECASE)
_HARMLESS_TAG = re.compile(
    r"<(?:br|sub|sup|kbd|del|ins|mark)\s*/?>|</(?:sub|sup|kbd|b|i|em|strong|u|s|del|ins|mark|small)\s*>"
    # an HTML parser carries these on beyond the output that they were opened in
    r"|<(b|i|em|strong|u|s|small)>(?=(?:(?!</?\1\b)[^\n`$\\])*</\1>)",
    re.IGNORECASE,
)
_TITLE = r"""(?:[ \t]+(?:"[^\n"<>\[\]`$\\]*"|'[^\n'"<>\[\]`$\\]*'))?[ \t]*"""
_ADDRESS = r"(?!!\[)[^\s<>\"'`$\\()]"
_AUTOLINK = re.compile(r"<(https?://|mailto:)([^\s<>\"'`$\\]+)>", re.IGNORECASE)
_WEB_TARGET = re.compile(
    rf"\]\((?:https?://|mailto:)(?:{_ADDRESS})*(?:\((?:{_ADDRESS})*\)(?:{_ADDRESS})*)*{_TITLE}\)", re.IGNORECASE
)
_WEB_DEFINITION = re.compile(
    r"\]:[ \t]*https?://(?:(?!!\[)[^\s<>\"'`$\\])+" + _TITLE + r"(?:\n(?![ \t>]*[\"'(])|\Z)", re.IGNORECASE
)
_LABEL = re.compile(r"\[((?:[^\[\]]|\[[^\[\]]*\])*)\Z")
_LONGEST_LABEL = 400  # characters
_NOT_READ = re.compile("[*_~`\\\\\u00ad\u200b-\u200f\u2060\ufeff]")
_CLAIM = re.compile(  # what reads as the address of a host: anything with a scheme, or a name of a known kind alone
    r"(?:://|\bwww\.)(?:[^\s/?#]*@)?([\w.-]+)|^\W*([\w.-]+\.(?:com|org|edu|gov|cn|(?-i:net)))(?:[/:?#]\S*)?\W*$",
    re.IGNORECASE,
)
_HOST = re.compile(r"//(?:[^/?#\s]*@)?([^/?#:\s)]*)")
_IMAGE = re.compile(r"!\[(?=[^\[\]]*\]\()")
_MERMAID = re.compile(r"[ \t]*(?=mermaid)", re.IGNORECASE)
_MATHS_END = {"$": "$", "$$": "$$", "\\\\(": "\\\\)", "\\\\[": "\\\\]"}
_LONGEST_MATHS = 5000  # characters
_LONGEST_DISPLAY = 100  # lines
_DISPLAY_START = re.compile(r"\$\$|\\\\\[|\\begin\{[a-zA-Z]*\*?\}")
_DISPLAY = re.compile(r"\$\$|\\\\\[|\\begin\{")
_WHOLE_DISPLAY = re.compile(
    r"(?<!\\)\$\$.*?(?<!\\)\$\$|\\\\\[.*?\\\\\]|\\begin\{(?P<name>[a-z]*\*?)\}.*?\\end\{(?P=name)\}", re.DOTALL
)
_JOINER = "\u2060"  # nothing to see: between a backslash and a name it makes another macro of them


# The classes of an element of HTML in which no front end reads maths: what is escaped there is text, dollars and all.
NO_MATHS = "mathjax_ignore tex2jax_ignore"


def plain(text: str) -> str:
    """Return `text` for a terminal, an error or ``text/plain``: no control characters but tab and newline."""
    if _SURROGATE.search(text):  # halves of a character: two may have met, one alone cannot be sent on
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return printable(text)


def one_line(text: str) -> str:
    """Return `text` as `plain` does, in one line, its white space made single spaces."""
    return " ".join(plain(text).split())


def markdown(text: str) -> str:
    """Return `text` as Markdown that reads the same and cannot act.

    Equal input gives equal output; a whole top-level block is treated alike whatever stands around it.
    """
    text = plain(text)
    if _is_quiet(text):
        return text
    parts = list(_parts(text))
    if any(isinstance(part, _Fence) and not _is_quiet(part.code) for part in parts):
        parts = [part if isinstance(part, _Fence) else _with_displays_closed(part) for part in parts]
    safe = _join(parts)
    return safe if _holds(safe, parts) else _literally(text)


def last_block_start(text: str) -> int:
    """Return the offset at which the last top-level block of `text` begins.

    Only whole lines count, so that a block which is said to be over stays so whatever comes next.
    """
    whole = text[: text.rfind("\n") + 1]
    blocks = [token for token in _blocks(plain(whole)) if token.map and token.level == 0 and token.nesting >= 0]
    starts = [_line_offsets(whole)[token.map[0]] for token in blocks if token.map]
    if len(starts) < 2:
        return 0
    prose = (whole[at:end] for block, at, end in zip(blocks, starts, starts[1:], strict=False) if block.type != "fence")
    left = _WHOLE_DISPLAY.sub("", "".join(prose))
    opened = _DISPLAY.search(left)  # a line in display maths may look like a list's; but two dollars may be a word too
    return 0 if opened and len(left) - opened.start() < _LONGEST_MATHS else starts[-1]


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
    lines = text.splitlines(keepends=True)
    done = 0
    for token in _blocks(text):
        if token.map is None or token.map[0] < done:
            continue
        start, end = token.map[0], min(token.map[1], len(lines))
        source = "".join(lines[start:end])
        body: _Part
        match token.type:
            case "fence" if token.level == 0:
                body = _Fence(_language(token.info), _ended(token.content))
            case "fence" if token.info != _language(token.info) and _is_closed(token, lines[start:end]):
                first, marks, _ = source.partition(token.markup)
                body = f"{first}{marks}{_language(token.info)}\n" + "".join(lines[start + 1 : end])
                if _acts_in_code(body):
                    body = first + _pre(token.content)
            case "fence" if _acts_in_code(source) or not _is_closed(token, lines[start:end]):
                body = lines[start].partition(token.markup)[0] + _pre(token.content)
            case "code_block" if _acts_in_code(source):
                prefix = lines[start].removesuffix("\n").removesuffix(token.content.partition("\n")[0])
                body = re.sub(r" {1,4}$|\t$", "", prefix) + _pre(token.content)
            case "fence" | "code_block":
                body = source
            case "inline":
                if token.level == 1 and (opening := _DISPLAY_START.match(source)):
                    ahead = "".join(lines[start : start + _LONGEST_DISPLAY])  # a line in it may look like a list's
                    if maths := _maths(ahead, opening):
                        end = max(end, start + ahead.count("\n", 0, maths[1]) + 1)
                body = _inline("".join(lines[start:end]))
            case "tr_open":
                body = _inline(source, in_table=True)
            case "html_block":
                body = re.sub(r"^([ \t]*)([`~])(?=\2{2})", _encoded_mark, _inline(source), flags=re.MULTILINE)
            case _:
                continue
        if start > done:
            yield _inline("".join(lines[done:start]))
        yield body
        done = end
    if done < len(lines):
        yield _inline("".join(lines[done:]))


def _language(info: str) -> str:
    """What a fence says of itself, but for diagrams, which could fetch and set styles, and for the page's classes."""
    first, *more = re.sub(r"[^\w+#.{}=:/,\- ]", "", info).split() or [""]
    kept = [first, *(word for word in more if re.search(r"[^\w-]", word))]
    return "text" if first.lower().startswith("mermaid") else " ".join(kept)


def _ended(code: str) -> str:
    return code if code.endswith("\n") or not code else code + "\n"


def _is_closed(fence: Token, lines: list[str]) -> bool:
    return len(lines) > 1 and lines[-1].strip(" >\t\n").startswith(fence.markup)


def _encoded_mark(found: re.Match[str]) -> str:
    return f"{found[1]}&#{ord(found[2])};"


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
    text = _unmacroed(text)
    lines = (re.sub(r"[!-/:-@\[-`{-~]", lambda sign: f"&#{ord(sign[0])};", line.strip()) for line in text.split("\n"))
    return "  \n".join(lines)


def _encoded(code: str, signs: str = "") -> str:
    pattern = f"[{re.escape(signs)}]" if signs else r"[^\w ]"
    return re.sub(pattern, lambda sign: f"&#{ord(sign[0])};", code)


def _pre(code: str) -> str:
    """A block of code as HTML in one line, which no container and no maths can break up."""
    return f"<pre><code>{_encoded(code.rstrip(chr(10)))}&#10;</code></pre>\n"


def _with_displays_closed(text: str) -> str:
    """Without display maths that begins and does not end: nbconvert lets it run on, into a fenced block."""
    if not _DISPLAY.search(_WHOLE_DISPLAY.sub("", text)):
        return text
    return text.replace("$$", "&#36;&#36;").replace("\\\\[", "&#92;[").replace("\\begin", "&#92;begin")


def _acts_in_code(text: str) -> bool:
    return not _is_quiet(text) or bool(_DISPLAY.search(text))


def _is_quiet(text: str) -> bool:
    """Whether nothing in `text` can act, however it is read."""
    return not _LOUD.search(text) and not any("$" in run or "\\" in run for run in _ATTRIBUTE.findall(text))


_TOKEN = re.compile(
    rf"(?P<code>`+)|(?P<tildes>~~~+)|(?P<address>(?:https?|ftp)://|www\.)|(?P<macro>\\{{1,2}}(?={_MACRO_NAMES}))"
    r"|(?P<maths>\$\$?|\\\\[(\[]|\\begin\{[a-z]*\*?\})|(?P<escape>\\[!-/:-@\[-`{-~])"
    r"|(?P<entity>&(?:#\d+|#x[0-9a-f]+|bsol);?)|(?P<tag><)|(?P<image>!\[)|(?P<target>\]\()|(?P<reference>\]\[)|(?P<definition>\]:)",
    re.IGNORECASE,
)


def _inline(text: str, *, in_table: bool = False) -> str:
    """Neutralise prose: code spans, maths, tags, links, images and definitions."""
    out: list[str] = []
    at = address_end = 0  # up to the latter the text may become an attribute
    while found := _TOKEN.search(text, at):
        out.append(text[at : found.start()])
        sign, start, at = found[0], found.start(), found.end()
        in_address = start < address_end
        match found.lastgroup:
            case "code" if not in_address and (span := _code_span(text, found, in_table)):
                sign, at = span
                if _ATTRIBUTE.search(sign):
                    address_end = _run_end(text, at)
            case "code" | "tildes" if len(sign) >= 3:
                if start >= address_end:  # a line is gone through once
                    text, address_end = _with_one_word(text, at)
                if gap := _MERMAID.match(text, at):
                    sign, at = sign + gap[0] + _JOINER, gap.end()
            case "address" if not in_address:
                address_end = _run_end(text, at)
            case "macro":
                sign = (sign.replace("\\", "&#92;") if in_address else sign) + _JOINER
            case "maths" | "escape" if in_address:
                sign, at = f"&#{ord(sign[0])};", start + 1
            case "maths" if maths := _maths(text, found):
                sign, at = maths
            case "escape" if sign == "\\<":
                sign = "&lt;"
            case "escape" if sign in ("\\]", "\\!"):
                sign, at = "\\", start + 1  # a reader may take the backslash otherwise
            case "entity":  # an unfinished one would hide what it takes with it
                sign, at = (_entity(sign), at) if sign.endswith(";") else ("&amp;", start + 1)
            case "tag" if harmless := _HARMLESS_TAG.match(text, start):
                sign, at = harmless[0], harmless.end()
            case "tag" if link := _AUTOLINK.match(text, start):  # within HTML it would be a tag
                sign, at = f"[{_encoded(link[1] + link[2])}]({link[1]}{_encoded(link[2], '[]()&')})", link.end()
                address_end = max(address_end, _run_end(text, at))
            case "tag" if _TAG.match(text, start):
                sign = "&lt;"
            case "image":
                sign = "[image: " if _IMAGE.match(text, start) else "&#33;["
            case "target" if target := _WEB_TARGET.match(text, start):
                sign, at = _honest(text, start, target[0]), target.end()
                address_end = max(address_end, _run_end(text, at))
            case "target":
                sign = " ]&#40;" if in_address else "]&#40;"  # a bracket is no end of an address
            case "reference" if _lies(text, start, ""):
                sign = " ]&#91;"
            case "definition" if not (target := _WEB_DEFINITION.match(text, start)) or _lies(text, start, target[0]):
                sign = " ]&#58;" if in_address else "]&#58;"
        out.append(_JOINER + sign if sign[0] == "[" and text[start - 1 : start] == "!" else sign)  # it makes no image
    return "".join([*out, text[at:]])


def _with_one_word(text: str, at: int) -> tuple[str, int]:
    """Make one word, without quotation marks, of the rest of the line at `at`; return the text and the line's end."""
    end = _line_end(text, at)
    line = re.sub(r"(?<=\S)[ \t]+(?=\S)", "\u00a0", text[at:end].replace('"', "&#34;"))
    return text[:at] + line + text[end:], at + len(line)


def _honest(text: str, label_end: int, target: str) -> str:
    """Return `target` with the host that it leads to before it, if the label that ends there says another."""
    return f" \u2192 {_encoded(_host_of(target))}{target}" if _lies(text, label_end, target) else target


def _lies(text: str, label_end: int, target: str) -> bool:
    """Whether the label that ends there reads as the address of a host that `target` does not lead to."""
    label = _LABEL.search(text, max(0, label_end - _LONGEST_LABEL), label_end)
    claim = _CLAIM.search(_NOT_READ.sub("", html.unescape(label[1]))) if label else None
    if claim is None:
        return False
    claimed = (claim[1] or claim[2]).lower().strip(".").removeprefix("www.")
    led_to = _host_of(target)
    return led_to != claimed and not led_to.endswith("." + claimed)


def _host_of(target: str) -> str:
    host = _HOST.search(target)
    return host[1].lower().removeprefix("www.") if host else ""


def _run_end(text: str, at: int) -> int:
    found = re.compile(r"\S*").match(text, at)
    return found.end() if found else at


def _line_end(text: str, at: int) -> int:
    end = text.find("\n", at)
    return end if end >= 0 else len(text)


def _code_span(text: str, opening: re.Match[str], in_table: bool) -> tuple[str, int] | None:  # noqa: FBT001
    marks, start = opening[0], opening.end()
    close = re.compile(rf"(?<!`){marks}(?!`)").search(text, start)
    if close is None:
        return None
    code = text[start : close.start()]
    if not _acts_in_code(code) and not (len(marks) >= 3 and "\n" in code):
        return text[opening.start() : close.end()], close.end()
    code = code.replace("\n", " ")
    if code[:1] == code[-1:] == " " and code.strip():
        code = code[1:-1]
    return f"<code>{_encoded(code.replace(chr(92) + '|', '|') if in_table else code)}</code>", close.end()


def _maths(text: str, opening: re.Match[str]) -> tuple[str, int] | None:
    closing = _MATHS_END.get(opening[0]) or "\\end" + opening[0][6:]
    start = end = opening.end()
    while (end := text.find(closing, end, start + _LONGEST_MATHS)) >= 0 and text[end - 1] == "\\" and closing[0] == "$":
        end += 1
    inside = text[start:end]
    if end < 0 or "\n\n" in inside or _ATTRIBUTE.search(inside):
        return None
    inside = _TAG.sub("< ", inside).replace("](", "] (").replace("![", "! [").replace("]:", "] :")
    return opening[0] + _unmacroed(inside) + closing, end + len(closing)


def _unmacroed(text: str) -> str:
    text = re.sub(rf"\\(?={_MACRO_NAMES})", r"\\" + _JOINER, text, flags=re.IGNORECASE)
    return re.sub(r"&(?:#\d+|#x[0-9a-f]+|bsol);?", lambda found: _entity(found[0]), text, flags=re.IGNORECASE)


def _entity(entity: str) -> str:
    """A letter or a backslash in disguise does not make a macro's name."""
    sign = html.unescape(entity)
    if sign == "\\":
        return entity + _JOINER
    return _JOINER + entity if sign.isascii() and sign.isalpha() else entity
