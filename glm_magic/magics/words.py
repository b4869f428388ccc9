"""Reads a magic's line as words: quotes group, ``{{ … }}`` is one piece, a backslash is literal."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass

from glm_magic.chat.templates import CLOSE, OPEN, Piece, expression_end
from glm_magic.errors import OptionError

Evaluate = Callable[[str], str]

# What word processors and keyboards of other scripts put in place of " ' and -.
_QUOTES = (
    "\u2018\u2019\u201a\u201b\u201c\u201d\u201e\u201f"
    "\u00ab\u00bb\u2039\u203a\u301d\u301e\uff02\uff07\u300c\u300d\u300e\u300f\uff62\uff63"
)
_DASHES = "\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe58\ufe63\uff0d"

_OPTION_AND_KEY = re.compile(r"--[\w-]+=[\w.-]+=")
_KEY = re.compile(r"[\w.-]+=")


@dataclass(frozen=True, slots=True)
class Word:
    """A word of a line: its pieces, without the quotes, and its offsets in the line."""

    pieces: tuple[Piece, ...]
    start: int
    end: int
    quoted: bool

    @property
    def typed(self) -> str:
        """The text before the first expression."""
        return self.pieces[0] if self.pieces and isinstance(self.pieces[0], str) else ""

    @property
    def looks_like_an_option(self) -> bool:
        return not self.quoted and self.typed.startswith("-") and self.typed != "-"

    def value(self, evaluate: Evaluate) -> str:
        """Return the word with its expressions evaluated; an inserted value is never split."""
        return "".join(piece if isinstance(piece, str) else evaluate(piece.source) for piece in self.pieces)

    def after_equals(self) -> Word:
        """Return the part of the word after its first ``=``."""
        rest = self.typed.partition("=")[2]
        return Word((rest, *self.pieces[1:]), self.start, self.end, quoted=True)


def as_template(source: str) -> str:
    """Return an expression as it is typed, to be evaluated later."""
    return f"{OPEN} {source} {CLOSE}"


def read_word(line: str, at: int, *, is_pair: bool = False) -> Word | None:
    """Return the word that begins at or after `at`; None at the end of the line.

    Quotes group and are removed. Where the word is KEY=VALUE (`is_pair`, or ``--param=KEY=VALUE``), a VALUE that
    begins with ``{`` or ``[`` is read to its bracket, and its quotes are its own. Raises `OptionError` for a quote or
    bracket that is not closed and for a typographic quote, `PromptError` for a template that does not parse.
    """
    while at < len(line) and line[at].isspace():
        at += 1
    if at == len(line):
        return None
    start, quote, text = at, "", ""
    pieces: list[Piece] = []
    while at < len(line) and (quote or not line[at].isspace()):
        if line.startswith(OPEN, at):
            expression, at = expression_end(line, at)
            pieces += [*([text] if text else []), expression]
            text = ""
            continue
        character = line[at]
        at += 1
        if character == quote:
            quote = ""
        elif not quote and character in "\"'":
            quote = character
        elif not (quote or pieces) and character in "{[" and (_KEY if is_pair else _OPTION_AND_KEY).fullmatch(text):
            pieces, text, at = _bracketed(line, at - 1, text)
        else:
            if not (quote or pieces) and character in _QUOTES and _begins_a_value(text):
                raise OptionError(
                    f"{_named(character)} does not quote.",
                    "Type straight quotes, \" or '. To give the character itself, put it between them.",
                )
            text += character
    if quote:
        raise OptionError(
            f"The quote in {line[start:]!r} is not closed.",
            "Close it; or, if it is an apostrophe, put the value in double quotes.",
        )
    if text or not pieces:
        pieces.append(text)
    return Word(tuple(pieces), start, at, quoted=line[start] in "\"'")


def _bracketed(line: str, start: int, key: str) -> tuple[list[Piece], str, int]:
    """Read the JSON value whose bracket is at `start`; return its pieces after `key`, the last text, and its end."""
    pieces: list[Piece] = []
    at, depth, text, in_string = start, 0, key, False
    while at < len(line):
        if line.startswith(OPEN, at):
            expression, at = expression_end(line, at)
            pieces += [text, expression]
            text = ""
            continue
        character = line[at]
        step = 2 if in_string and character == "\\" else 1  # an escaped quote does not end the string
        text += line[at : at + step]
        at += step
        if character == '"':
            in_string = not in_string
        elif not in_string:
            depth += (character in "{[") - (character in "}]")
        if depth == 0:
            return pieces, text, at
    raise OptionError(f"{line[start:]!r} begins as JSON, and its bracket is not closed.", "Close it.")


def _begins_a_value(before: str) -> bool:
    return not before or before.endswith("=") or (len(before) == len("-s") and before.startswith("-"))


def check_dashes(text: str, options: Container[str]) -> None:
    """Raise `OptionError` if `text` begins with one of `options` whose hyphens are other dashes."""
    name = text.lstrip(_DASHES)
    if name == text:
        return
    word = re.split(r"[\s=]", name, maxsplit=1)[0]
    glued = re.match(r"[a-zA-Z](?=[\d.])", word)  # -t0.5
    for meant in (f"--{word}", f"-{word}", *([f"-{glued[0]}"] if glued else [])):
        if meant in options:
            raise OptionError(
                f"{_named(text[0])} is not a hyphen, so this is not the option {meant}.",
                f"Type {meant}. If it is the prompt, put -- before it.",
            )


def _named(character: str) -> str:
    return f"{character} (U+{ord(character):04X}, {unicodedata.name(character).lower()})"


def read_words(line: str) -> Iterator[Word]:
    """Yield each word of a line."""
    at = 0
    while word := read_word(line, at):
        yield word
        at = word.end


def as_word(text: str) -> str:
    """Return a word of a line that `read_word` reads as `text`."""
    if text and not any(character.isspace() or character in "\"'" + _QUOTES for character in text) and "{{" not in text:
        return text
    if "\n" in text or "{{" in text or ('"' in text and "'" in text):
        return as_template(repr(text))
    return f"'{text}'" if '"' in text else f'"{text}"'
