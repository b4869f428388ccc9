"""How a magic's line is read as words: quotes group, ``{{ … }}`` is one piece, a backslash is a backslash."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from glm_magic.chat.templates import OPEN, Piece, expression_end
from glm_magic.errors import OptionError

Evaluate = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Word:
    """A word of a line: its pieces, with quotes removed, and where it stands."""

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
        """The word with its expressions evaluated; an inserted value is never split."""
        return "".join(piece if isinstance(piece, str) else evaluate(piece.source) for piece in self.pieces)

    def after_equals(self) -> Word:
        """The part of the word after its first ``=``."""
        rest = self.typed.partition("=")[2]
        return Word((rest, *self.pieces[1:]), self.start, self.end, quoted=True)


def read_word(line: str, at: int) -> Word | None:
    """Return the word that begins at or after `at`; None at the end of the line.

    Quotes group, and are removed; a backslash is a backslash; ``{{ … }}`` is one piece.
    Raises `OptionError` at a quote that is not closed, `PromptError` at a template that does not parse.
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
        sign = line[at]
        at += 1
        if sign == quote:
            quote = ""
        elif not quote and sign in "\"'":
            quote = sign
        else:
            text += sign
    if quote:
        raise OptionError(
            f"The quote in {line[start:]!r} is not closed.",
            "Close it; or, if it is an apostrophe, put the value in double quotes.",
        )
    if text or not pieces:
        pieces.append(text)
    return Word(tuple(pieces), start, at, quoted=line[start] in "\"'")


def read_words(line: str) -> Iterator[Word]:
    """Yield the words of a line."""
    at = 0
    while word := read_word(line, at):
        yield word
        at = word.end
