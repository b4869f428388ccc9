"""What the word at the cursor can become: an option, a value of it, or a name in ``{{ }}``, as the options declare."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from IPython.core.completer import SimpleCompletion, has_open_quotes, provisionalcompleter, rectify_completions

from glm_magic.chat.conversation import Conversation, Turn
from glm_magic.chat.place import DEFAULT_CHAT
from glm_magic.chat.templates import open_expression
from glm_magic.comparing.workers import is_executor
from glm_magic.errors import GlmError
from glm_magic.magics import names
from glm_magic.magics.option import Option
from glm_magic.magics.options import OPTIONS
from glm_magic.magics.parsing import Reader
from glm_magic.magics.transform import Cursor
from glm_magic.magics.words import Word, as_word, read_words
from glm_magic.protocol.models import EMBEDDED, MODELS
from glm_magic.settings.declared import SETTINGS
from glm_magic.settings.setting import alternatives

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

_MARK = "\0"  # stands where the cursor is; nobody types it

Found = tuple[str, list[SimpleCompletion]]  # what is typed, and what can take its place


class _Nothing(list[SimpleCompletion]):
    """No completion, counted as one: IPython silences its other matchers only for one that has found something."""

    def __len__(self) -> int:
        return 1

    def __bool__(self) -> bool:
        return False


def completed(
    cursor: Cursor,
    shell: InteractiveShell,
    chats: Mapping[str, Conversation],
    presets: Callable[[], Iterable[str]],
    listed: Sequence[str],
) -> dict[str, Any]:
    """Return the result of a matcher: what completes the word at the cursor, and nothing of IPython's own.

    `presets` returns the names of the presets, which are read from files; `listed` are the models that an endpoint has.
    """
    line = _read(cursor)
    typed, found = _found(cursor, _Values(shell, chats, line, presets, listed))
    return {
        "completions": found or _Nothing(),
        "matched_fragment": typed if found else "",
        "suppress": True,
        "ordered": True,
    }


def _found(cursor: Cursor, values: _Values) -> Found:
    options, line = OPTIONS[cursor.magic], values.line
    is_prompt = cursor.body is not None or (cursor.magic == "%glm" and bool(line.rest))
    expression = open_expression(cursor.before if cursor.body is None else cursor.body)
    if expression is not None and not (is_prompt and line.has("--raw")):
        return _python(values.shell, expression)
    if is_prompt or line.typed is None:
        return "", []
    if line.option is not None:
        typed, found = values.of_option(line.option, line.index)
        is_optional = line.index > 0 or not line.option.metavar
        return typed, [*found, *(_options(line, options) if is_optional and not line.typed else [])]
    if line.rest is not None and cursor.magic == "%glm_config":
        typed, found = values.of_settings(line.rest)
    else:
        typed, found = line.typed, []
    return typed, [*found, *(_options(line, options) if not (line.rest or line.ended) else [])]


def _python(shell: InteractiveShell, source: str) -> Found:
    """Return what IPython completes Python code with: no magics, and files only in a string."""
    with provisionalcompleter():
        found = list(rectify_completions(source, shell.Completer.completions(source, len(source))))
    unfit = {"magic"} if has_open_quotes(source) else {"magic", "path"}
    fitting = [SimpleCompletion(text=each.text, type=each.type) for each in found if each.type not in unfit]
    return (source[found[0].start :] if found else ""), fitting


# --- the line, as far as the cursor ---------------------------------------------------------------


@dataclass(slots=True)
class _Line:
    """What a line says, and what is typed at the cursor.

    `given` holds the options before and after the cursor with their words. `typed` is part of an option's name or,
    if `option` is set, of its word number `index`; None if the line is wrong. `rest` is what follows the options;
    None if the cursor is in them. They have `ended` after ``--``.
    """

    given: list[tuple[Option, tuple[Word, ...]]] = field(default_factory=list)
    typed: str | None = None
    option: Option | None = None
    index: int = 0
    is_quoted: bool = False
    rest: str | None = None
    ended: bool = False

    def has(self, flag: str) -> bool:
        return any(option.flag == flag for option, _ in self.given)

    def word(self, kind: str) -> str:
        """Return the first word that is given of a kind; ``""`` if there is none."""
        found = (words[0].typed for option, words in self.given if words and option.completes.split()[:1] == [kind])
        return next(found, "")


def _read(cursor: Cursor) -> _Line:
    line = _up_to_cursor(cursor)
    with contextlib.suppress(GlmError):
        line.given += Reader(re.sub(r"^\S+", "", cursor.after).lstrip(), cursor.magic)
    return line


def _up_to_cursor(cursor: Cursor) -> _Line:
    wrong = None
    for text, is_quoted in _marked(cursor.before):
        line = _Line(is_quoted=is_quoted)
        reader = Reader(text, cursor.magic)
        try:
            for option, words in reader:
                index = next((at for at, word in enumerate(words) if _at_cursor(word) is not None), None)
                line.given.append((option, words[:index]))
                if index is not None:
                    line.option, line.index, line.typed = option, index, _at_cursor(words[index])
                    return line
        except GlmError:  # an open quote, the name of an option that is not whole yet, or a fault
            if not reader.rest:
                line.typed = cursor.before[max(cursor.before.rfind(" "), cursor.before.rfind("\t")) + 1 :]
            wrong = wrong or line
        else:
            line.rest, line.typed, line.ended = reader.rest.removesuffix(_MARK), "", reader.ended
            return line
    assert wrong is not None, "the first text was wrong too"
    return wrong


def _marked(text: str) -> Iterator[tuple[str, bool]]:
    """Yield `text` with the cursor's mark, first as it is, then with what closes a quote that may be open."""
    for closing in ("", '"', "'"):
        yield text + _MARK + closing, bool(closing)


def _at_cursor(word: Word) -> str | None:
    """Return what is typed of a word after its last expression; None if the cursor is not in it."""
    last = word.pieces[-1]
    return last.removesuffix(_MARK) if isinstance(last, str) and last.endswith(_MARK) else None


def _options(line: _Line, options: tuple[Option, ...]) -> list[SimpleCompletion]:
    """Return the options that begin as typed and go with those that are given."""
    filled = {option.field_name for option, _ in line.given if option.repeats is None}
    excluded = {
        flag
        for option, words in line.given
        if not (words and words[0].typed == option.idle)
        for flag in option.excludes
    }
    fitting = [
        option
        for option in options
        if option.field_name not in filled and option.flag not in excluded and not any(map(line.has, option.excludes))
    ]
    while lonely := [option for option in fitting if not _has_company(option, line, fitting)]:
        fitting = [option for option in fitting if option not in lonely]
    found = [option.flag for option in fitting]
    if line.typed == "-":
        found += [f"-{option.short}" for option in fitting if option.short]
    return [SimpleCompletion(text=flag, type="option") for flag in found if flag.startswith(line.typed or "")]


def _has_company(option: Option, line: _Line, others: list[Option]) -> bool:
    """Whether an option that it goes with is given, or may be."""
    possible = {other.flag for other in (*(given for given, _ in line.given), *others)}
    return not option.goes_with or not possible.isdisjoint(option.goes_with)


# --- values ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Values:
    """Where values come from: the notebook's names, its chats, and what is declared."""

    shell: InteractiveShell
    chats: Mapping[str, Conversation]
    line: _Line
    presets: Callable[[], Iterable[str]]
    listed: Sequence[str]

    def of_option(self, option: Option, index: int) -> Found:
        """Return what completes a word of an option."""
        kinds = option.completes.split()
        kind = kinds[index] if index < len(kinds) else ""
        return self._of(kind, self.line.typed or "", option.choices, is_quoted=self.line.is_quoted)

    def of_settings(self, rest: str) -> Found:
        """Return what completes the last word of a ``%glm_config`` line: a setting, or a value of it."""
        words, is_quoted = _words(rest)
        if not words:
            return "", []
        typed, others = words[-1], {word.partition("=")[0] for word in words[:-1]}
        if self.line.given:  # what follows an option without a value of its own, such as --reset
            kinds = [option.completes for option, _ in self.line.given if not option.metavar]
            typed, found = self._of(kinds[0] if kinds else "", typed, (), is_quoted=is_quoted)
            return typed, [each for each in found if each.text not in others]
        name, equals, value = _in_its_list(words).partition("=")
        if not equals:
            return typed, _fitting(typed, [f"{name}=" for name in SETTINGS if name not in others], "setting")
        if name not in SETTINGS:
            return "", []
        setting = SETTINGS[name]
        return self._of(setting.completes, value, alternatives(setting.metavar), is_quoted=is_quoted)

    def _of(self, kind: str, typed: str, choices: Iterable[str], *, is_quoted: bool) -> Found:
        separators, named = KINDS.get(kind, ("", None))
        typed = re.split(f"[{re.escape(separators)}]", typed)[-1] if separators else typed
        if "." in typed and kind in ("function", "schema", "table", "score"):
            return _python(self.shell, typed)
        texts = named(self, typed) if named else []
        found = _fitting(typed, texts if is_quoted else map(as_word, texts), kind)
        return typed, [*_fitting(typed, choices, "value"), *found]

    def in_notebook(self, fits: Callable[[object], bool]) -> Iterable[str]:
        scope = self.shell.user_ns
        return [name for name in names.public(scope, self.shell.user_ns_hidden) if fits(scope[name])]

    def files(self, typed: str) -> Iterable[str]:
        start, found = _python(self.shell, f'"{typed}')
        return [each.text for each in found if each.type == "path" and start == typed]

    def attempts(self, _: str) -> Iterable[str]:
        turn = self.turns.get(self.line.word("turn"))
        return [str(number) for number in range(1, len(turn.attempts) + 1)] if turn is not None else []

    @property
    def turns(self) -> dict[str, Turn]:
        return self.chats.get(self.line.word("chat") or DEFAULT_CHAT, Conversation()).numbered


# What `completes` may say: what separates several of them in one word, and where they come from.
KINDS: dict[str, tuple[str, Callable[[_Values, str], Iterable[str]]]] = {
    "model": (",", lambda values, _: dict.fromkeys([*values.listed, *MODELS, EMBEDDED])),
    "chat": ("", lambda values, _: dict.fromkeys([DEFAULT_CHAT, *values.chats])),
    "function": (",[", lambda values, _: values.in_notebook(names.is_tool)),
    "table": ("", lambda values, _: values.in_notebook(names.is_table)),
    "executor": ("", lambda values, _: values.in_notebook(is_executor)),
    "score": (",", lambda values, _: values.in_notebook(names.is_score)),
    "schema": (",[]()| ", lambda values, _: values.in_notebook(names.is_schema)),
    "file": ("", _Values.files),
    "turn": ("", lambda values, _: values.turns),
    "attempt": ("", _Values.attempts),
    "setting": ("", lambda *_: SETTINGS),
    "preset": (",", lambda values, _: values.presets()),
}


def _fitting(typed: str, texts: Iterable[str], kind: str) -> list[SimpleCompletion]:
    return [
        SimpleCompletion(text=text, type=kind)
        for text in texts
        if text.strip("\"'").casefold().startswith(typed.casefold())
    ]


def _words(rest: str) -> tuple[list[str], bool]:
    """Return the words of `rest` without quotes, and whether the last one is in an open quote."""
    for text, is_quoted in _marked(rest):
        with contextlib.suppress(GlmError):
            *words, last = read_words(text)
            return [*(word.typed for word in words), _at_cursor(last) or ""], is_quoted
    return [], False


def _in_its_list(words: list[str]) -> str:
    """Return the last word; if a list that is not closed stands before it, with the name of its setting."""
    for word in reversed(words[:-1]):
        name, _, value = word.partition("=")
        if "]" in word:
            break
        if value.startswith("["):
            return f"{name}={words[-1]}"
    return words[-1]
