"""Neutralises prose: code spans, maths, tags, links, images and link definitions."""

from __future__ import annotations

import functools
import html
import re
import string

from glm_magic.display import links
from glm_magic.display.lookahead import Lookahead, has_display

# Macros with which maths can link, load, redefine, or set classes, styles, identifiers and data.
_MACRO_NAMES = (
    r"(?:href|url|cssId|class|style|data|bbox|require|includegraphics|mmlToken|html[a-z]*|[gex]?def|let|definecolor"
    r"|(?:re)?new(?:command|environment|tagform|extarrow)|Declare[a-z]+|mathtoolsset)(?![a-z])"
)
# The rest of a fence's line, if it says more than a language.
_IN_FENCE_LINE = r"[ \t]*mermaid|(?:(?!```|~~~)[^\n])*[\"&]|[ \t]*[^\s`~]+[ \t]+[^\s`]"
_LOUD = re.compile(  # `re` finds this fast because each alternative begins with a character that is no letter
    rf"<[a-z/!?]|\]\(|!\[|\]:|&(?:\#|bsol)|```(?:{_IN_FENCE_LINE})|~~~(?:{_IN_FENCE_LINE})|\\{_MACRO_NAMES}",
    re.IGNORECASE,
)
# An address or the line of a fence: its text may end up in an HTML attribute.
_ATTRIBUTE = re.compile(r"(?:://|www\.)\S*|(?:```|~~~).*", re.IGNORECASE)
_ATTRIBUTE_START = re.compile(r"://|www\.|```|~~~", re.IGNORECASE)
# A bare address, which front ends turn into a link, up to the end of its host. marked (JupyterLab's parser) drops some
# punctuation at the end.
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
# A label on which all Markdown parsers agree: nothing in it could be or hide a bracket.
_SIMPLE_LABEL = re.compile(r"(?:[^\[\]\\`$]|`[^`\[\]\\$\n]+`(?!`))*")
_IMAGE = re.compile(r"!\[(?=[^\[\]]*\]\()")
_MERMAID = re.compile(r"[ \t]*(?=mermaid)", re.IGNORECASE)
_RUN = re.compile(r"\S*")
_BLANK_LINE = re.compile("\n\n")
_LONGEST_MATHS = 5000  # characters
_MOST_MARKS = 20_000  # in a block
_DENSE_MARKS = ("](", "][", "]:", "![", "<", "&", "://", "www.")
_JOINER = "\u2060"  # invisible: between a backslash and a name it makes an unknown macro of them


def is_quiet(text: str) -> bool:
    """Whether nothing in `text` can act or mislead, however it is parsed."""
    return not _LOUD.search(text) and not _misleads(text)


def acts_in_code(text: str) -> bool:
    """Whether `text` could act if a front end did not parse it as code."""
    return not is_quiet(text) or has_display(text)


def _misleads(text: str) -> bool:
    """Whether an address in `text` cannot be parsed, it or a fence's line may contain maths, or a label lies."""
    if "://" in text or "www." in text.lower() or "```" in text or "~~~" in text:
        if any("$" in run or "\\" in run for run in _ATTRIBUTE.findall(text)):
            return True
        if any(map(_is_broken, _BARE.finditer(text))):
            return True
    before = 0
    for found in re.finditer(r"\]\[", text):
        if _lies(text, before, found.start(), ""):
            return True
        before = found.start()
    return False


def _is_broken(address: re.Match[str]) -> bool:
    """Whether browsers cannot parse a bare address, so that JupyterLab resolves it as a path."""
    before, authority, rest = address.groups()
    if rest is None:  # followed by what no host contains
        return True
    authority = authority.rstrip(_LEFT_OUT)
    has_path = address.string[address.end() : address.end() + 1] in ("/", "?", "#")
    return bool(authority or has_path) and not links.host_of(before + authority)


# A set with the first character of each token comes first: `re` passes over all other text fast. What opens maths is
# `MATHS` of the lookahead.
_TOKEN = re.compile(
    r"[`~hfwHFW\\$&<!\]](?i:(?P<tag>(?<=<)(?=[a-z/!?]))|(?<=\])(?:(?P<target>\()|(?P<reference>\[)|(?P<definition>:))"
    r"|(?<=`)(?P<code>`*)|(?<=&)(?P<entity>(?:#\d+|#x[0-9a-f]+|bsol);?)|(?<=!)(?P<image>\[)|(?<=~)(?P<tildes>~~+)"
    r"|(?P<address>(?:(?<=h)ttps?|(?<=f)tp)://|(?<=w)ww\.)"
    rf"|(?<=\\)(?P<macro>\\?(?={_MACRO_NAMES}))"
    r"|(?P<maths>(?<=\$)\$?|(?<=\\)(?:\\[(\[]|begin\{[a-zA-Z]*\*?\}))|(?<=\\)(?P<escape>[!-/:-@\[-`{-~]))"
)


def has_marks(text: str) -> bool:
    """Whether there is a mark in `text` that `neutralised` looks at."""
    return _TOKEN.search(text) is not None


def neutralised(text: str, *, in_table: bool = False, address_end: int = 0) -> str:  # noqa: PLR0915 - a branch for each mark
    """Return prose that reads the same and cannot act; up to `address_end` it may end up in an attribute."""
    if not has_marks(text):
        return text
    ahead = Lookahead(text)
    out: list[str] = []
    at = bracket = 0  # `bracket`: where the last label ended
    while found := _TOKEN.search(text, at):
        start, end = found.span()
        out.append(text[at:start])
        shown, at = found[0], end
        in_address = start < address_end
        match found.lastgroup:
            case "tag":
                shown, at = _tag(text, start)
                if shown[0] == "[" and at > address_end:
                    address_end = _run_end(text, at)
            case "target":
                shown, at = _target(text, bracket, start, in_address=in_address)
                if at > end and at > address_end:
                    address_end = _run_end(text, at)
                bracket = start
            case "code" if not in_address and (span := _code_span(text, found, ahead, in_table=in_table)):
                shown, at = span
                if _ATTRIBUTE_START.search(shown):
                    address_end = _run_end(text, at)
            case "code" | "tildes" if len(shown) >= 3:
                if gap := _MERMAID.match(text, at):
                    shown, at = shown + gap[0] + _JOINER, gap.end()
                if not in_address:  # make one word of the rest of its line
                    line, at = _one_word(text[at : _line_end(text, at)]), _line_end(text, at)
                    shown += neutralised(line, in_table=in_table, address_end=len(line))
            case "address":
                bare = (_BARE_IN_TABLE if in_table else _BARE).match(text, start)
                if bare and _is_broken(bare):
                    shown = shown.replace(":", "&#58;").replace(".", "&#46;")
                if not in_address:
                    address_end = _run_end(text, at)
            case "macro":
                shown = (shown.replace("\\", "&#92;") if in_address else shown) + _JOINER
            case "maths" | "escape" if in_address:
                shown, at = encoded(shown[0]), start + 1
            case "maths" if maths := read_maths(text, found, ahead):
                shown, at = maths
            case "escape" if shown == "\\<":
                shown = "&lt;"
            case "escape" if shown in ("\\]", "\\!"):
                shown, at = "\\", start + 1  # parsers differ on the backslash
            case "entity":  # an unfinished one would swallow what follows
                shown, at = (_entity(shown), at) if shown.endswith(";") else ("&amp;", start + 1)
            case "image":
                shown = "[image: " if _IMAGE.match(text, start) else "&#33;["
            case "reference":
                shown = " ]&#91;" if _lies(text, bracket, start, "") else shown
                bracket = start
            case "definition" if in_address or not _is_definition(text, bracket, start):
                shown = " ]&#58;" if in_address else "]&#58;"
        out.append(
            _JOINER + shown if shown[0] == "[" and text[start - 1 : start] == "!" else shown
        )  # keep it from becoming an image
    return "".join([*out, text[at:]])


def _tag(text: str, start: int) -> tuple[str, int]:
    """Return the replacement for the tag at `start`, or for its ``<``, and the offset after it."""
    if harmless := _HARMLESS_TAG.match(text, start):
        return harmless[0], harmless.end()
    if (link := _AUTOLINK.match(text, start)) and links.host_of(link[1] + link[2]):  # inside HTML it would be a tag
        return f"[{encoded(link[1] + link[2])}]({link[1]}{encoded(link[2], '[]()&')})", link.end()
    return "&lt;", start + 1


def _target(text: str, after: int, start: int, *, in_address: bool) -> tuple[str, int]:
    """Return a link's target, or its opening escaped if it is not allowed, and the offset after it."""
    target = _WEB_TARGET.match(text, start)
    if target is None or not (host := links.host_of(target[1])):
        return " ]&#40;" if in_address else "]&#40;", start + 2  # a bracket does not end an address
    beside = f" \u2192 {encoded(host)}" if _lies(text, after, start, host) else ""
    return beside + target[0].replace("]:", "]&#58;"), target.end()  # a bracket in an address begins no definition


def _is_definition(text: str, after: int, start: int) -> bool:
    """Whether a link definition is allowed: its host is plain, and its label names no other."""
    link = _WEB_DEFINITION.match(text, start)
    host = links.host_of(link[1]) if link else ""
    return bool(host) and not _lies(text, after, start, host)


def _lies(text: str, after: int, label_end: int, host: str) -> bool:
    """Whether the label that ends at `label_end`, and starts after `after`, may read as another host's address."""
    start = text.rfind("[", after, label_end)
    label = text[start + 1 : label_end]
    is_simple = start >= 0 and text[start - 1 : start] != "\\" and _SIMPLE_LABEL.fullmatch(label)
    return not is_simple or links.names_another(label, host)


def _one_word(line: str) -> str:
    """Return the rest of a fence's line as one word, without quotation marks."""
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
    """Return the formula that starts with `opening`, neutralised, and the offset after it; None if it is not one."""
    start = opening.end()
    end, at = ahead.maths_end(opening[0], start)
    is_short = at - start <= _LONGEST_MATHS
    if not is_short or min(ahead.next(_BLANK_LINE, start)[0], ahead.next(_ATTRIBUTE_START, start)[0]) < end:
        return None
    inside = _TAG.sub("< ", text[start:end]).replace("](", "] (").replace("![", "! [").replace("]:", "] :")
    return opening[0] + unmacroed(inside) + text[end:at], at


def unmacroed(text: str) -> str:
    """Return `text` with dangerous macros disabled, however they are written."""
    text = re.sub(rf"\\(?={_MACRO_NAMES})", r"\\" + _JOINER, text, flags=re.IGNORECASE)
    return re.sub(r"&(?:#\d+|#x[0-9a-f]+|bsol);?", lambda found: _entity(found[0]), text, flags=re.IGNORECASE)


def encoded(text: str, characters: str = "") -> str:
    """Return `text` with these characters, by default all but words and spaces, as entities."""
    return text.translate(_entities_of(characters) if characters else _ENTITIES)


class _Entities(dict[int, str]):
    """Characters for `str.translate`: those that are neither of a word nor a space as entities."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        shown = character if character.isalnum() or character in "_ " else _reference(character)
        if character.isascii():
            self[code] = shown
        return shown


_ENTITIES = _Entities()


@functools.lru_cache(maxsize=16)
def _entities_of(characters: str) -> dict[int, str]:
    return {ord(character): _reference(character) for character in characters}


def _reference(character: str) -> str:
    return f"&#{ord(character)};"


def is_too_dense(block: str) -> bool:
    """Whether a block has so many marks that nobody can read it: each takes its time, and a page is repainted."""
    return len(block) > _MOST_MARKS and sum(map(block.count, _DENSE_MARKS)) > _MOST_MARKS


def literal(text: str) -> str:
    """Return `text` as paragraphs in which every character is literal."""
    lines = encoded(unmacroed(text), string.punctuation).split("\n")
    return "  \n".join(map(str.strip, lines))


@functools.lru_cache(maxsize=1024)
def _entity(entity: str) -> str:
    """Keep an encoded letter or backslash from completing a macro's name."""
    character = html.unescape(entity)
    if character == "\\":
        return entity + _JOINER
    return _JOINER + entity if character.isascii() and character.isalpha() else entity
