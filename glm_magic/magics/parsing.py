"""A magic's line, read by the options that are declared for it."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from glm_magic.chat.place import DEFAULT_CHAT
from glm_magic.errors import OptionError, did_you_mean
from glm_magic.magics.option import Given, Option, Several
from glm_magic.magics.option_values import python_name
from glm_magic.magics.options import OPTIONS
from glm_magic.magics.words import Evaluate, Word, as_template, as_word, check_dashes, read_word
from glm_magic.settings.declared import SETTINGS
from glm_magic.settings.setting import Value


@dataclass(frozen=True, slots=True)
class Line:
    """What a line says: each field that an option fills, and the rest of the line as typed.

    `bare_text` is the option before the rest, as typed, if its value is a text without quotes.
    """

    filled: dict[str, Any]
    rest: str
    bare_text: str


def parse(line: str, magic: str, evaluate: Evaluate, late: Container[str] = ()) -> Line:
    """Read the options at the beginning of a line; the values of those in `late` keep their ``{{ }}``.

    Raises `OptionError`, `SettingError` or `PromptError`.
    """
    reader = Reader(line, magic)
    filled: dict[str, Any] = {}
    by_field: dict[str, Option] = {}
    for option, words in reader:
        fill = as_template if option.flag in late else evaluate
        value = option.filled_by(tuple(_given(word, fill) for word in words))
        before = by_field.get(option.field_name)
        if before is option and option.repeats is not None:
            value = option.repeats(filled[option.field_name], value)
        elif before is option:
            raise OptionError(f"{option.flag} is given twice.", "Give it once.")
        elif before is not None:
            raise OptionError(f"These options cannot be combined: {before.flag} and {option.flag}.", "Choose one.")
        by_field[option.field_name] = option
        filled[option.field_name] = value
    _check_combination([option for name, option in by_field.items() if filled[name] != option.idle], magic)
    return Line(filled, reader.rest, reader.last)


def _given(word: Word, evaluate: Evaluate) -> Given:
    return Given(word.value(evaluate), any(not isinstance(piece, str) for piece in word.pieces))


def _check_combination(given: list[Option], magic: str) -> None:
    flags = [option.flag for option in given]
    for option in given:
        for flag, reason in option.excludes.items():
            if flag in flags:
                raise OptionError(f"These options cannot be combined: {option.flag} and {flag}.", reason)
        if option.goes_with and not set(option.goes_with) & set(flags):
            raise OptionError(f"{option.flag} goes with {' or '.join(option.goes_with)}.", f"{magic}? shows how.")


class Reader:
    """Reads the options at the beginning of a line, one after the other. It has `ended` after ``--``."""

    def __init__(self, line: str, magic: str) -> None:
        self._line = line
        self._magic = magic
        self._by_name = {
            name: option for option in OPTIONS[magic] for name in (option.flag, f"-{option.short}") if name != "-"
        }
        self._at = 0
        self.last = ""  # the last option as typed, where its value is a text without quotes
        self.ended = False

    def __iter__(self) -> Iterator[tuple[Option, tuple[Word, ...]]]:
        """Yield each option with its words; stop before the first word that is not an option, or after ``--``."""
        while self.rest.startswith("-"):  # a prompt need not consist of words: it may have an open quote
            word = read_word(self._line, self._at)
            if word is None or not word.looks_like_an_option:
                return
            self._at = word.end
            if word.typed == "--" and len(word.pieces) == 1:
                self.ended = True
                return
            option, words = self._option(word)
            typed = self._line[word.start : self._at]
            self.last = typed if option.metavar == "TEXT" and not set(typed) & set("\"'{") else ""
            yield option, (*words, *self._further(option.more))
        check_dashes(self.rest, self._by_name)

    @property
    def rest(self) -> str:
        """What follows the options, as typed."""
        return self._line[self._at :].lstrip()

    def _further(self, most: int) -> Iterator[Word]:
        for _ in range(most):
            word = read_word(self._line, self._at)
            if word is None or word.looks_like_an_option:
                return
            self._at = word.end
            yield word

    def _option(self, word: Word) -> tuple[Option, tuple[Word, ...]]:
        name, equals, _ = word.typed.partition("=")
        option = self._by_name.get(name)
        if option is None and not name.startswith("--"):  # -t0.2
            short = self._by_name.get(name[:2])
            if f"-{name}" in self._by_name:  # not -t with the value emperature
                raise OptionError(f"{self._magic} has no option {name}.", f"Write it with two hyphens: -{name}")
            if short is not None and short.metavar and len(word.typed) > 2:
                return short, (Word((word.typed[2:], *word.pieces[1:]), word.start, word.end, quoted=True),)
        if option is None:
            hint = did_you_mean(name, self._by_name, f"{self._magic}? shows them all.")
            raise OptionError(f"{self._magic} has no option {name}.", hint)
        if not option.metavar:
            if equals or len(word.pieces) > 1:
                raise OptionError(f"{name} takes no value after =.", f"{self._magic}? shows how it is written.")
            return option, ()
        if equals:
            return option, (word.after_equals(),)
        if len(word.pieces) > 1:  # -t{{ x }}
            if name.startswith("--"):
                raise OptionError(f"{name} needs a space, or =, before its value.")
            return option, (Word(word.pieces[1:], word.start, word.end, quoted=True),)
        value = read_word(self._line, self._at, is_pair=option.metavar == "KEY=VALUE")
        if value is None:
            raise OptionError(f"{name} needs a value: {option.usage}")
        self._at = value.end
        return option, (value,)


@dataclass(slots=True)
class AskLine:
    """What a ``%glm`` or ``%%glm`` line says; `prompt` is the rest of a ``%glm`` line, as typed."""

    settings: dict[str, Value] = field(default_factory=dict)
    axes: dict[str, Several] = field(default_factory=dict)
    presets: tuple[str, ...] = ()
    extra: dict[str, Any] = field(default_factory=dict)
    stream: bool = True
    json: bool = False
    schema: str = ""
    chat: str = DEFAULT_CHAT
    new: bool = False
    history: bool | None = None
    role: str = "user"
    interact: bool = False
    background: bool = False
    replay: bool | None = None
    repeats: int = 0
    variants: bool = False
    each: str = ""
    scores: tuple[str, ...] = ()
    until_decided: bool = False
    margin: float | None = None
    blind: bool = False
    executor: str = ""
    batch: bool = False
    fresh: bool = False
    yes: bool = False
    out: str = ""
    dry_run: bool = False
    quiet: bool = False
    raw: bool = False
    prompt: str = ""

    @property
    def compares(self) -> bool:
        """Whether it asks for a comparison."""
        return bool(self.axes or len(self.presets) > 1 or self.repeats or self.variants or self.each or self.scores)


def read_ask_line(line: str, evaluate: Evaluate, *, is_cell: bool) -> AskLine:
    """Read the line of ``%%glm`` (`is_cell`) or ``%glm``. Raises `OptionError`, `SettingError`, `PromptError`."""
    out = ""
    if is_cell and (bound := re.fullmatch(r"(?s)(.*?)(?:^|\s)([^\W\d]\w*)\s*<<\s*", line)):
        line, out = bound[1], python_name(bound[2], "NAME <<")
    magic = "%%glm" if is_cell else "%glm"
    has_rows = any(option.flag == "--each" for option, _ in Reader(line, magic))
    parsed = parse(line, magic, evaluate, late=(SETTINGS["system"].flag,) if has_rows else ())
    if is_cell and parsed.rest.strip():
        if parsed.bare_text:
            option, text = re.split(r"[\s=]+", parsed.bare_text, maxsplit=1)
            raise OptionError(
                f"{option} takes one word, or a text in quotes; {parsed.rest.split()[0]!r} is one word too many.",
                f"Quote it: {option} {as_word(f'{text} {parsed.rest}'.strip())}",
            )
        word = read_word(parsed.rest, 0)
        shown = parsed.rest[: word.end] if word else parsed.rest
        raise OptionError(
            f"Only options may follow %%glm; {shown!r} is not one.", "Write the prompt below the line, or use %glm."
        )
    if out and "out" in parsed.filled:
        raise OptionError(f"These cannot be combined: --out and {out} <<.", "Choose one.")
    chosen = {
        name.removeprefix("settings."): value for name, value in parsed.filled.items() if name.startswith("settings.")
    }
    axes = {name: value for name, value in chosen.items() if isinstance(value, Several)}
    settings = {name: value for name, value in chosen.items() if name not in axes}
    others = {name: value for name, value in parsed.filled.items() if not name.startswith("settings.")}
    asked = AskLine(**{"out": out, **others}, settings=settings, axes=axes, prompt=parsed.rest)
    _check_comparison(asked)
    return asked


def _check_comparison(line: AskLine) -> None:
    if not line.compares:
        for flag, given in (
            ("--fresh", line.fresh),
            ("--yes", line.yes),
            ("--blind", line.blind),
            ("--executor", line.executor),
            ("--batch", line.batch),
        ):
            if given:
                raise OptionError(
                    f"{flag} is about a comparison, and this cell compares nothing.",
                    "A comparison has a list (-t 0,1), -n, --variants, --each or --score.",
                )
        return
    if line.role != "user":
        raise OptionError("--role asks nothing, so there is nothing to compare.", "Leave one of the two out.")
    if line.settings.get("approve"):
        raise OptionError(
            "--approve asks before each call, and a comparison asks many questions at once.",
            "Leave --approve out, or ask one question.",
        )


def assignments(words: Iterable[Word], evaluate: Evaluate) -> Iterator[tuple[str, str | None]]:
    """Yield ``name=value`` as ``(name, value)``, and ``name`` alone as ``(name, None)``.

    The value of a setting that is a list goes on to its bracket: ``tools=[one, two]``.
    """
    words = list(words)
    rest = iter(enumerate(words))
    for at, word in rest:
        name, equals, _ = word.typed.partition("=")
        if not equals:
            _check_is_a_name(words, at)
            yield word.value(evaluate), None
            continue
        if not name and not word.quoted and at:
            raise OptionError(f"{words[at - 1].typed} = has spaces in it.", _without_spaces(words[at - 1 : at + 2]))
        value = word.after_equals().value(evaluate)
        while name in SETTINGS and SETTINGS[name].is_list and value.startswith("[") and not value.endswith("]"):
            _, following = next(rest, (0, None))
            if following is None:
                raise OptionError(f"{name}={value}: the bracket is not closed.")
            value += following.value(evaluate)
        yield name, value


def _check_is_a_name(words: list[Word], at: int) -> None:
    """Raise `OptionError` if a word without ``=`` is no setting, but the next word of a value that is not quoted."""
    if at == 0 or len(words[at].pieces) != 1 or words[at].typed in SETTINGS:
        return
    name, equals, value = words[at - 1].typed.partition("=")
    if not equals or name not in SETTINGS or len(words[at - 1].pieces) != 1 or words[at - 1].quoted:
        return
    if not value:
        raise OptionError(f"{name}= has a space after it.", _without_spaces(words[at - 1 : at + 1]))
    if SETTINGS[name].kind is str:
        text = " ".join([value, *(word.typed for word in words[at:])])
        raise OptionError(
            f"{name} takes one word, or a text in quotes; {words[at].typed!r} is one word too many.",
            f"Quote it: {name}={as_word(text)}",
        )


def _without_spaces(words: Iterable[Word]) -> str:
    return f"Write it without spaces around the =: {''.join(word.typed for word in words)}"
