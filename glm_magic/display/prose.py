"""A model's prose, made so that nothing in it can act: code spans, maths, tags, links, images and definitions."""

from __future__ import annotations

import html
import re

from glm_magic.display import links
from glm_magic.display.lookahead import MATHS, Lookahead, has_display

# Macros with which maths can link, load, redefine, or set classes, styles, identifiers and data.
_MACRO_NAMES = (
    r"(?:href|url|cssId|class|style|data|bbox|require|includegraphics|mmlToken|html[a-z]*|[gex]?def|let|definecolor"
    r"|(?:re)?new(?:command|environment|tagform|extarrow)|Declare[a-z]+|mathtoolsset)(?![a-z])"
)
_LOUD = re.compile(
    r"<[a-z/!?]|\]\(|!\[|\]:|&(?:\#|bsol)|(?:```|~~~)[ \t]*mermaid|\\"
    + _MACRO_NAMES
    + r"|(?:```|~~~)(?:(?:(?!```|~~~)[^\n])*[\"&]|[ \t]*[^\s`~]+[ \t]+[^\s`])",  # a fence's line that says more
    re.IGNORECASE,
)
# An address or the line of a fence: what stands there may become an attribute.
_ATTRIBUTE = re.compile(r"(?:://|www\.)\S*|(?:```|~~~).*", re.IGNORECASE)
_ATTRIBUTE_START = re.compile(r"://|www\.|```|~~~", re.IGNORECASE)
# An address that front ends make a link of, as far as its host goes. What marked (JupyterLab's reader) leaves out at
# its end is no part of it.
_LEFT_OUT = "?!.,:;*_'\"~()&"
_HOST = r"((?:https?|ftp)://|www\.)([\w.-]{0,300}(?::[0-9]{0,5})?)"
_BARE, _BARE_IN_TABLE = (
    re.compile(rf"{_HOST}((?=[/?#])|[{_LEFT_OUT}]*(?=[\s<{mark}]|\][(\[:]|\Z))?", re.IGNORECASE) for mark in ("", "|")
)

_TAG = re.compile(r"<(?=[a-z/!?])", re.IGNORECASE)
_HARMLESS_TAG = re.compile(
    r"<(?:br|sub|sup|kbd|del|ins|mark)\s*/?>|</(?:sub|sup|kbd|b|i|em|strong|u|s|del|ins|mark|small)\s*>"
    # an HTML parser carries these on beyond the output that they were opened in
    r"|<(b|i|em|strong|u|s|small)>(?=(?:(?!</?\1\b)[^\n`$\\])*</\1>)",
    re.IGNORECASE,
)
_TITLE = r"""(?:[ \t]+(?:"[^\n"<>\[\]`$\\]*"|'[^\n'"<>\[\]`$\\]*'))?[ \t]*"""
_PART = r"(?!!\[)[^\s<>\"'`$\\()]"
_AUTOLINK = re.compile(r"<(https?://|mailto:)([^\s<>\"'`$\\]+)>", re.IGNORECASE)
_WEB_TARGET = re.compile(
    rf"\]\(((?:https?://|mailto:)(?:{_PART})*(?:\((?:{_PART})*\)(?:{_PART})*)*){_TITLE}\)", re.IGNORECASE
)
_WEB_DEFINITION = re.compile(
    r"\]:[ \t]*(https?://(?:(?!!\[)[^\s<>\"'`$\\])+)" + _TITLE + r"(?:\n(?![ \t>]*[\"'(])|\Z)", re.IGNORECASE
)
# A label that every reader of Markdown finds to be one: nothing in it could hide a bracket, or be one.
_SIMPLE_LABEL = re.compile(r"(?:[^\[\]\\`$]|`[^`\[\]\\$\n]+`(?!`))*")
_IMAGE = re.compile(r"!\[(?=[^\[\]]*\]\()")
_MERMAID = re.compile(r"[ \t]*(?=mermaid)", re.IGNORECASE)
_RUN = re.compile(r"\S*")
_BLANK_LINE = re.compile("\n\n")
_LONGEST_MATHS = 5000  # characters
_JOINER = "\u2060"  # takes no room: between a backslash and a name it makes another macro of them


def is_quiet(text: str) -> bool:
    """Whether nothing in `text` can act or mislead, however it is read."""
    return (
        not _LOUD.search(text)
        and not any("$" in run or "\\" in run for run in _ATTRIBUTE.findall(text))
        and not _misleads(text)
    )


def acts_in_code(text: str) -> bool:
    """Whether `text` could act if a reader did not take it for code."""
    return not is_quiet(text) or has_display(text)


def _misleads(text: str) -> bool:
    """Whether `text` has an address that no browser can parse, or a reference that reads as an address."""
    if any(map(_is_broken, _BARE.finditer(text))):
        return True
    before = 0
    for found in re.finditer(r"\]\[", text):
        if _lies(text, before, found.start(), ""):
            return True
        before = found.start()
    return False


def _is_broken(address: re.Match[str]) -> bool:
    """Whether a bare address leads nowhere in a browser, so that JupyterLab makes a path of it."""
    before, authority, rest = address.groups()
    if rest is None:  # something follows that no host has
        return True
    authority = authority.rstrip(_LEFT_OUT)
    has_path = address.string[address.end() : address.end() + 1] in ("/", "?", "#")
    return bool(authority or has_path) and not links.host_of(before + authority)


_TOKEN = re.compile(
    rf"(?P<code>`+)|(?P<tildes>~~~+)|(?P<address>(?:https?|ftp)://|www\.)|(?P<macro>\\{{1,2}}(?={_MACRO_NAMES}))"
    rf"|(?P<maths>{MATHS})|(?P<escape>\\[!-/:-@\[-`{{-~])"
    r"|(?P<entity>&(?:#\d+|#x[0-9a-f]+|bsol);?)|(?P<tag><)|(?P<image>!\[)|(?P<target>\]\()|(?P<reference>\]\[)|(?P<definition>\]:)",
    re.IGNORECASE,
)


def neutralised(text: str, *, in_table: bool = False, address_end: int = 0) -> str:  # noqa: PLR0915 - a branch for each mark
    """Return prose that reads the same and cannot act; up to `address_end` it may become an attribute."""
    ahead = Lookahead(text)
    out: list[str] = []
    at = bracket = 0  # the latter is where the last label ended
    while found := _TOKEN.search(text, at):
        out.append(text[at : found.start()])
        sign, start, at = found[0], found.start(), found.end()
        in_address = start < address_end
        match found.lastgroup:
            case "code" if not in_address and (span := _code_span(text, found, ahead, in_table=in_table)):
                sign, at = span
                if _ATTRIBUTE_START.search(sign):
                    address_end = _run_end(text, at)
            case "code" | "tildes" if len(sign) >= 3:
                if gap := _MERMAID.match(text, at):
                    sign, at = sign + gap[0] + _JOINER, gap.end()
                if not in_address:  # the rest of its line is one word
                    line, at = _one_word(text[at : _line_end(text, at)]), _line_end(text, at)
                    sign += neutralised(line, in_table=in_table, address_end=len(line))
            case "address":
                bare = (_BARE_IN_TABLE if in_table else _BARE).match(text, start)
                if bare and _is_broken(bare):
                    sign = sign.replace(":", "&#58;").replace(".", "&#46;")
                if not in_address:
                    address_end = _run_end(text, at)
            case "macro":
                sign = (sign.replace("\\", "&#92;") if in_address else sign) + _JOINER
            case "maths" | "escape" if in_address:
                sign, at = f"&#{ord(sign[0])};", start + 1
            case "maths" if maths := read_maths(text, found, ahead):
                sign, at = maths
            case "escape" if sign == "\\<":
                sign = "&lt;"
            case "escape" if sign in ("\\]", "\\!"):
                sign, at = "\\", start + 1  # a reader may take the backslash otherwise
            case "entity":  # an unfinished one would hide what it takes with it
                sign, at = (_entity(sign), at) if sign.endswith(";") else ("&amp;", start + 1)
            case "tag":
                sign, at = _tag(text, start)
                if sign[0] == "[" and at > address_end:
                    address_end = _run_end(text, at)
            case "image":
                sign = "[image: " if _IMAGE.match(text, start) else "&#33;["
            case "target":
                sign, at = _target(text, bracket, start, in_address=in_address)
                if at > max(found.end(), address_end):
                    address_end = _run_end(text, at)
                bracket = start
            case "reference":
                sign = " ]&#91;" if _lies(text, bracket, start, "") else sign
                bracket = start
            case "definition" if in_address or not _is_definition(text, bracket, start):
                sign = " ]&#58;" if in_address else "]&#58;"
        out.append(_JOINER + sign if sign[0] == "[" and text[start - 1 : start] == "!" else sign)  # it makes no image
    return "".join([*out, text[at:]])


def _tag(text: str, start: int) -> tuple[str, int]:
    """Return what stands in place of the ``<`` there, and where that ends."""
    if harmless := _HARMLESS_TAG.match(text, start):
        return harmless[0], harmless.end()
    if (link := _AUTOLINK.match(text, start)) and links.host_of(link[1] + link[2]):  # within HTML it would be a tag
        return f"[{encoded(link[1] + link[2])}]({link[1]}{encoded(link[2], '[]()&')})", link.end()
    return ("&lt;" if _TAG.match(text, start) else "<"), start + 1


def _target(text: str, after: int, start: int, *, in_address: bool) -> tuple[str, int]:
    """Return the target of a link as it may stand, and where it ends; of one that may lead nowhere, its beginning."""
    target = _WEB_TARGET.match(text, start)
    if target is None or not (host := links.host_of(target[1])):
        return " ]&#40;" if in_address else "]&#40;", start + 2  # a bracket is no end of an address
    beside = f" \u2192 {encoded(host)}" if _lies(text, after, start, host) else ""
    return beside + target[0], target.end()


def _is_definition(text: str, after: int, start: int) -> bool:
    """Whether the definition of a link leads to a host that its label may name."""
    link = _WEB_DEFINITION.match(text, start)
    host = links.host_of(link[1]) if link else ""
    return bool(host) and not _lies(text, after, start, host)


def _lies(text: str, after: int, label_end: int, host: str) -> bool:
    """Whether the label that ends there, and starts `after` there, may read as the address of another host."""
    start = text.rfind("[", after, label_end)
    label = text[start + 1 : label_end]
    is_simple = start >= 0 and text[start - 1 : start] != "\\" and _SIMPLE_LABEL.fullmatch(label)
    return not is_simple or links.names_another(label, host)


def _one_word(line: str) -> str:
    """Return the rest of a fence's line as one word without quotation marks."""
    return re.sub(r"(?<=\S)[ \t]+(?=\S)", "\u00a0", line.replace('"', "&#34;"))


def _run_end(text: str, at: int) -> int:
    found = _RUN.match(text, at)
    return found.end() if found else at


def _line_end(text: str, at: int) -> int:
    end = text.find("\n", at)
    return end if end >= 0 else len(text)


def _code_span(text: str, opening: re.Match[str], ahead: Lookahead, *, in_table: bool) -> tuple[str, int] | None:
    marks, start = opening[0], opening.end()
    end, at = ahead.code_end(marks, start)
    if end > len(text):
        return None
    code = text[start:end]
    if not acts_in_code(code) and not (len(marks) >= 3 and "\n" in code):
        return text[opening.start() : at], at
    code = code.replace("\n", " ")
    if code[:1] == code[-1:] == " " and code.strip():
        code = code[1:-1]
    return f"<code>{encoded(code.replace(chr(92) + '|', '|') if in_table else code)}</code>", at


def read_maths(text: str, opening: re.Match[str], ahead: Lookahead) -> tuple[str, int] | None:
    """Return the maths that starts with `opening`, made so that it cannot act, and its end; None if it is none."""
    start = opening.end()
    end, at = ahead.maths_end(opening[0], start)
    is_short = at - start <= _LONGEST_MATHS
    if not is_short or min(ahead.next(_BLANK_LINE, start)[0], ahead.next(_ATTRIBUTE_START, start)[0]) < end:
        return None
    inside = _TAG.sub("< ", text[start:end]).replace("](", "] (").replace("![", "! [").replace("]:", "] :")
    return opening[0] + unmacroed(inside) + text[end:at], at


def unmacroed(text: str) -> str:
    """Return `text` without a macro with which maths could act, however it is written."""
    text = re.sub(rf"\\(?={_MACRO_NAMES})", r"\\" + _JOINER, text, flags=re.IGNORECASE)
    return re.sub(r"&(?:#\d+|#x[0-9a-f]+|bsol);?", lambda found: _entity(found[0]), text, flags=re.IGNORECASE)


def encoded(text: str, characters: str = "") -> str:
    """Return `text` with these characters, or all but words and spaces, as entities."""
    pattern = f"[{re.escape(characters)}]" if characters else r"[^\w ]"
    return re.sub(pattern, lambda found: f"&#{ord(found[0])};", text)


def _entity(entity: str) -> str:
    """A letter or a backslash in disguise does not make a macro's name."""
    character = html.unescape(entity)
    if character == "\\":
        return entity + _JOINER
    return _JOINER + entity if character.isascii() and character.isalpha() else entity
