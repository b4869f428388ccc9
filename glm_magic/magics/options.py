"""A magic's line as words, and the words as options; each option is declared once."""

from __future__ import annotations

import keyword
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from glm_magic.asking.chats import DEFAULT_CHAT
from glm_magic.chat.prompt import OPEN, Piece, expression_end
from glm_magic.errors import OptionError, near_miss
from glm_magic.protocol import request
from glm_magic.settings.declared import SETTINGS, Setting, Value

Evaluate = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Option:
    """An option of the magic: `metavar` is ``""`` for one that takes no value."""

    flag: str
    help: str
    short: str = ""
    metavar: str = ""
    setting: Setting | None = None

    @property
    def usage(self) -> str:
        """The option as a table of options writes it."""
        names = f"-{self.short}, {self.flag}" if self.short else self.flag
        return f"{names} {self.metavar}".rstrip()


def _of_setting(name: str) -> Option:
    setting = SETTINGS[name]
    limits = f" ({setting.range})" if setting.low is not None else ""
    return Option(setting.flag, setting.help + limits, setting.short, setting.metavar, setting)


ASK_OPTIONS: tuple[Option, ...] = (
    *map(_of_setting, ("model", "temperature", "top_p", "max_tokens", "stop", "system")),
    Option("--param", "any other request field, repeatable; VALUE is JSON or else text", "", "KEY=VALUE"),
    Option("--json", "ask for a JSON object, and check that it is one"),
    Option("--schema", "ask for JSON that fits a model, dataclass, TypedDict or JSON Schema", "", "NAME"),
    Option("--no-stream", "one response instead of a stream"),
    Option("--chat", "the conversation to use (default main)", "c", "NAME"),
    Option("--new", "a boundary: this cell and later ones send nothing before it"),
    Option("--no-history", "send no earlier turn, keep none"),
    Option(
        "--role",
        "put a system or assistant message into the conversation, and ask nothing",
        "",
        "user|system|assistant",
    ),
    Option("--tool", "a function that the model may call (repeatable, or a comma list)", "T", "NAME"),
    Option("--approve", SETTINGS["approve"].help),
    _of_setting("max_steps"),
    Option("--out", "bind the reply to NAME; `NAME <<` at the end of a %%glm line does the same", "o", "NAME"),
    _of_setting("format"),
    Option("--bg", "ask in the background: the cell ends at once, and goes on filling in"),
    Option("--replay", "answer from a recorded answer to the same request, if there is one"),
    Option("--no-replay", "ask, even if an answer is recorded"),
    Option("--dry-run", "show the exact request, and send nothing", "N"),
    Option("--quiet", "no line about model, tokens and time", "q"),
    Option("--raw", "no {{ }} in the prompt"),
)


@dataclass(slots=True)
class Asked:
    """What a `%glm` or `%%glm` line says; `prompt` is the rest of a `%glm` line, as typed."""

    settings: dict[str, Value] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)
    stream: bool = True
    json: bool = False
    schema: str = ""
    chat: str = DEFAULT_CHAT
    new: bool = False
    history: bool = True
    role: str = "user"
    background: bool = False
    replay: bool | None = None
    out: str = ""
    dry_run: bool = False
    quiet: bool = False
    raw: bool = False
    prompt: str = ""


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


class Reader:
    """Reads the options at the beginning of a line, one after the other."""

    def __init__(self, line: str, options: tuple[Option, ...], magic: str) -> None:
        self._line = line
        self._magic = magic
        self._by_name = {
            name: option for option in options for name in (option.flag, f"-{option.short}") if name != "-"
        }
        self.at = 0

    def __iter__(self) -> Iterator[tuple[Option, Word | None]]:
        """Yield each option with its value; stop before the first word that is none, or after ``--``."""
        while self.rest.startswith("-"):  # a prompt need not be words: it may have an open quote
            word = read_word(self._line, self.at)
            if word is None or not word.looks_like_an_option:
                return
            self.at = word.end
            if word.typed == "--" and len(word.pieces) == 1:
                return
            yield self._option(word)

    def following(self) -> Word | None:
        """Take the next word, for an option that may have more than one; None if it is an option, or there is none."""
        word = read_word(self._line, self.at)
        if word is None or word.looks_like_an_option:
            return None
        self.at = word.end
        return word

    @property
    def rest(self) -> str:
        """What follows the options, as typed."""
        return self._line[self.at :].lstrip()

    def _option(self, word: Word) -> tuple[Option, Word | None]:
        name, equals, _ = word.typed.partition("=")
        option = self._by_name.get(name)
        if option is None and not name.startswith("--"):  # -t0.2
            short = self._by_name.get(name[:2])
            if short is not None and short.metavar and len(word.typed) > 2:
                return short, Word((word.typed[2:], *word.pieces[1:]), word.start, word.end, quoted=True)
        if option is None:
            raise OptionError(f"{self._magic} has no option {name}.", self._hint(name))
        if not option.metavar:
            if equals or len(word.pieces) > 1:
                raise OptionError(f"{name} takes no value after =.", f"{self._magic}? shows how it is written.")
            return option, None
        if equals:
            return option, word.after_equals()
        if len(word.pieces) > 1:  # -t{{ x }}
            if name.startswith("--"):
                raise OptionError(f"{name} needs a space, or =, before its value.")
            return option, Word(word.pieces[1:], word.start, word.end, quoted=True)
        value = read_word(self._line, self.at)
        if value is None:
            raise OptionError(f"{name} needs a value: {option.usage}")
        self.at = value.end
        return option, value

    def _hint(self, name: str) -> str:
        meant = near_miss(name, self._by_name)
        return f"Did you mean {meant}?" if meant else f"{self._magic}? shows them all."


def read_asked(line: str, evaluate: Evaluate, *, is_cell: bool) -> Asked:
    """Read the line of ``%%glm`` (`is_cell`) or ``%glm``. Raises `OptionError`, `SettingError`, `PromptError`."""
    asked = Asked()
    if is_cell and (bound := re.fullmatch(r"(?s)(.*?)(?:^|\s)([^\W\d]\w*)\s*<<\s*", line)):
        line, asked.out = bound[1], _name(bound[2], "NAME <<")
    reader = Reader(line, ASK_OPTIONS, "%%glm" if is_cell else "%glm")
    for option, word in reader:
        _apply(asked, option, word, evaluate)
    asked.prompt = reader.rest
    if is_cell and asked.prompt.strip():
        word = read_word(asked.prompt, 0)
        shown = asked.prompt[: word.end] if word else asked.prompt
        raise OptionError(
            f"A %%glm line has options alone; {shown!r} is none.", "Write the prompt below the line, or use %glm."
        )
    if asked.role != "user" and not asked.history:
        raise OptionError(f"--role {asked.role} puts the cell into the conversation, and --no-history leaves it out.")
    if asked.json and asked.schema:
        raise OptionError("--json and --schema: one of them; --schema asks for JSON too.")
    if asked.role != "user" and asked.background:
        raise OptionError(f"--role {asked.role} asks nothing, so nothing can go on in the background.")
    return asked


# Options without a value: what each sets.
_SWITCHES: dict[str, tuple[str, bool]] = {
    "--json": ("json", True),
    "--no-stream": ("stream", False),
    "--new": ("new", True),
    "--no-history": ("history", False),
    "--bg": ("background", True),
    "--dry-run": ("dry_run", True),
    "--quiet": ("quiet", True),
    "--raw": ("raw", True),
}


def _apply(asked: Asked, option: Option, word: Word | None, evaluate: Evaluate) -> None:
    value = word.value(evaluate) if word else ""
    if option.setting is not None:
        assert word is not None
        asked.settings[option.setting.name] = _setting_value(option, word, value)
        return
    if option.flag in _SWITCHES:
        setattr(asked, *_SWITCHES[option.flag])
        return
    match option.flag:
        case "--param":
            name, sent = request.extra_field(value)
            asked.extra[name] = sent
        case "--schema":
            if not value.strip():
                raise OptionError("--schema needs a name.", "--schema City, or --schema list[City]")
            asked.schema = value
        case "--tool":
            before = str(asked.settings.get("tools") or "")
            is_inserted = word is not None and any(not isinstance(piece, str) for piece in word.pieces)
            if is_inserted and "," in value:  # what is inserted is one value, never split
                raise OptionError(f"--tool takes a name, not {value!r}.", "Repeat -T for each tool.")
            named = str(SETTINGS["tools"].parse(value, as_typed="--tool"))
            asked.settings["tools"] = ",".join(filter(None, (before, named)))
        case "--approve":
            asked.settings["approve"] = True
        case "--chat":
            if not value.strip():
                raise OptionError("--chat needs a name.")
            asked.chat = value
        case "--role":
            roles = option.metavar.split("|")
            if value not in roles:
                raise OptionError(f"--role takes {' or '.join(roles)}, not {value!r}.")
            asked.role = value
        case "--replay" | "--no-replay":
            if asked.replay is not None:
                raise OptionError("--replay and --no-replay: one of them, once.")
            asked.replay = option.flag == "--replay"
        case "--out":
            asked.out = _name(value, "--out")
        case _:
            raise AssertionError(f"{option.flag} is declared and does nothing")


def _setting_value(option: Option, word: Word, value: str) -> Value:
    assert option.setting is not None
    if option.setting.name in ("model", "temperature", "top_p", "max_tokens") and any(
        isinstance(piece, str) and "," in piece for piece in word.pieces
    ):
        raise OptionError(f"{option.flag} takes one value, not a list: {value!r}.", "Ask once for each value.")
    return option.setting.parse(value, as_typed=option.flag)


def _name(value: str, what: str) -> str:
    if not value.isidentifier() or keyword.iskeyword(value):
        raise OptionError(f"{what} needs a Python name, not {value!r}.")
    return value


def assignments(words: Iterable[Word], evaluate: Evaluate) -> Iterator[tuple[str, str | None]]:
    """Yield ``name=value`` as ``(name, value)``, and ``name`` alone as ``(name, None)``.

    The list that a setting may have goes on to its bracket: ``tools=[one, two]``.
    """
    rest = iter(words)
    for word in rest:
        name, equals, _ = word.typed.partition("=")
        if not equals:
            yield word.value(evaluate), None
            continue
        value = word.after_equals().value(evaluate)
        while name in SETTINGS and SETTINGS[name].is_list and value.startswith("[") and not value.endswith("]"):
            following = next(rest, None)
            if following is None:
                raise OptionError(f"{name}={value}: the bracket is not closed.")
            value += following.value(evaluate)
        yield name, value
