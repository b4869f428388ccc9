"""Keeps the key out of what a service says: it may repeat what it was sent, in any encoding, cut, or in pieces."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator
from dataclasses import astuple, replace

from glm_magic.chat.events import Event, Facts, Notice, ReasoningDelta, Sources, TextDelta, ToolCallDelta, Unread
from glm_magic.chat.reply import Source
from glm_magic.errors import GlmError

SECRET_FROM = 12  # characters; what is shorter (EMPTY, none) is no secret, and a run of so many gives one away
_IN_HEX, _IN_BASE64 = 2 * SECRET_FROM, 4 * SECRET_FROM // 3
_HELD_FROM = 4  # characters of the key: fewer of them are shown at once, since any text may end in them

_GAP = re.compile(r"(?:=?\s|\\[nrt]|[\u00ad\u200b-\u200f\u2060\ufeff])+")
_ESCAPE = re.compile(
    r"%([0-9a-f]{2})|\\u00([0-9a-f]{2})|\\x([0-9a-f]{2})|&#x0*([0-9a-f]{2});|&#0*([0-9]{2,3});", re.IGNORECASE
)
_DECIMAL = 5  # the group of _ESCAPE that is not hexadecimal
_DEEPEST = 2  # %252E is a full stop that was encoded twice


class Secret:
    """Text to look for, and the `mask` that is shown for it. While it is looked for, no local variable holds it."""

    __slots__ = ("_in_base64", "_in_hex", "_parts", "_spellings", "_text", "mask")

    def __init__(self, text: str, mask: str) -> None:
        self._text = text
        self.mask = mask
        self._spellings: tuple[str, ...] = ()  # itself and its encodings, made when they are needed
        del text

    def __bool__(self) -> bool:
        return len(self._text) >= SECRET_FROM

    def hidden_in(self, text: str) -> str:
        """Return `text` with the mask in place of the secret, and of any part of at least 12 characters of it.

        It is found in base64, hexadecimal and percent-encoding too, and across the ends of lines.
        """
        if not self:
            return text
        if not self._spellings:
            self._spell()
        for times in range(_DEEPEST if _ESCAPE.search(text) else 0, -1, -1):
            letters, spans = _without_gaps(text, [(at, at + 1) for at in range(len(text))])
            for _ in range(times):
                letters, spans = _decoded(letters, spans)
            text = self._masked(text, letters, spans)
        return text

    def _masked(self, text: str, letters: str, spans: list[tuple[int, int]]) -> str:
        pieces, done, at = [], 0, 0
        while at < len(letters):
            end = self._end_of_part(letters, at)
            if end > at:
                pieces += [text[done : spans[at][0]], self.mask]
                done = spans[end - 1][1]
            at = max(end, at + 1)
        return "".join([*pieces, text[done:]])

    def _end_of_part(self, text: str, at: int) -> int:
        """Return where the part of a spelling that begins at `at` ends; `at` if there is none that is long enough."""
        if text[at : at + SECRET_FROM] in self._parts:
            end = at + SECRET_FROM
        elif text[at : at + _IN_BASE64] in self._in_base64:
            end = at + _IN_BASE64
        elif text[at : at + _IN_HEX] in self._in_hex:
            end = at + _IN_HEX
        else:
            return at
        while end < len(text) and any(text[at : end + 1] in spelling for spelling in self._spellings):
            end += 1
        return end

    def _spell(self) -> None:
        content = self._text.encode()
        in_hex = [content.hex(), content.hex().upper()]
        in_base64 = []
        for before in range(3):  # bytes before it in the group of three that base64 encodes
            first, last = (8 * before + 5) // 6, 8 * (before + len(content)) // 6
            encoded = base64.b64encode(bytes(before) + content).decode()[first:last]
            in_base64 += [encoded, encoded.replace("+", "-").replace("/", "_")]  # the second one is for addresses
        self._parts = _parts([self._text], SECRET_FROM)
        self._in_hex, self._in_base64 = _parts(in_hex, _IN_HEX), _parts(in_base64, _IN_BASE64)
        self._spellings = (self._text, *in_hex, *in_base64)

    # --- exactly, in a stream ----------------------------------------------------------------

    def split(self, text: str) -> list[str]:
        """Return what stands around it in `text`: one piece if it is not there."""
        return text.split(self._text)

    def begun_at_end_of(self, text: str) -> int:
        """Return how many characters at the end of `text` may be the beginning of it."""
        at = max(0, len(text) - len(self._text) + 1)
        while (at := text.find(self._text[0], at)) >= 0:
            if self._text.startswith(text[at:]):
                return len(text) - at
            at += 1
        return 0


def _parts(texts: list[str], length: int) -> frozenset[str]:
    return frozenset(text[at : at + length] for text in texts for at in range(len(text) - length + 1))


def _without_gaps(text: str, spans: list[tuple[int, int]]) -> tuple[str, list[tuple[int, int]]]:
    """Return `text` without line ends and the like, and the span that each of its characters has in the original."""
    letters, kept, at = [], [], 0
    for found in _GAP.finditer(text):
        letters.append(text[at : found.start()])
        kept += spans[at : found.start()]
        at = found.end()
    return "".join([*letters, text[at:]]), kept + spans[at:]


def _decoded(text: str, spans: list[tuple[int, int]]) -> tuple[str, list[tuple[int, int]]]:
    """Return `text` with its escapes decoded, and the span that each of its characters has in the original."""
    letters, kept, at = [], [], 0
    for found in _ESCAPE.finditer(text):
        letters += [text[at : found.start()], chr(int(found[found.lastindex or 0], 10 if found[_DECIMAL] else 16))]
        kept += [*spans[at : found.start()], (spans[found.start()][0], spans[found.end() - 1][1])]
        at = found.end()
    return "".join([*letters, text[at:]]), kept + spans[at:]


class Masking:
    """Masks the key in the events of one answer. `rest` gives what was held back when they have ended, or failed.

    In facts, sources and notices it is masked as in an error, in the answer itself only where it is whole: a run of
    its characters may be chance there. A key may be split over events, so the end of a text that may be its beginning
    is held back until more has come. Where the key was found, an event of `Facts` says so.
    """

    def __init__(self, secret: Secret) -> None:
        self._secret = secret
        self._texts: dict[type[TextDelta | ReasoningDelta], _Text] = {}
        self._calls: dict[int | None, list[_Text]] = {}
        self._facts: dict[str, str] = {}  # every chunk repeats them
        self._has_told = False

    def masked(self, events: Iterable[Event]) -> Iterator[Event]:
        """Yield the events without the key; what was held back follows, also before an error that ends them."""
        try:
            for event in events:
                yield from self.add(event)
        except GlmError:
            yield from self.rest()
            raise
        yield from self.rest()

    def add(self, event: Event) -> list[Event]:
        """Return the events to show now, without the key."""
        match event:
            case TextDelta(text) | ReasoningDelta(text):
                channel = self._texts.get(type(event))
                if channel is None:
                    channel = self._texts[type(event)] = _Text(self._secret)
                shown = channel.add(text)
                events: list[Event] = [event if shown is text else type(event)(shown)] if shown else []
                return [*events, *self._told()] if channel.had_it else events
            case ToolCallDelta():
                return self._call(event)
            case Facts():
                id_, model, reason = map(self._fact, (event.id, event.model, event.finish_reason))
                return [replace(event, id=id_, model=model, finish_reason=reason)]
            case Sources(sources):
                return [Sources(tuple(self._source(source) for source in sources))]
            case Unread(fields):
                return [Unread(tuple(map(self._secret.hidden_in, fields)))]
            case Notice(_, text):
                return [replace(event, text=self._secret.hidden_in(text))]
            case _:
                return [event]

    def rest(self, *, is_cut: bool = False) -> list[Event]:
        """Return what was held back and is not the key, when nothing more comes.

        Of an answer that `is_cut`, where the key was perhaps on its way, as many characters of it are masked as give
        it away.
        """
        texts: list[Event] = [kind(held) for kind, text in self._texts.items() if (held := text.rest(is_cut=is_cut))]
        return [*texts, *(event for index in self._calls for event in self._rest_of_calls(index, is_cut=is_cut))]

    def _call(self, event: ToolCallDelta) -> list[Event]:
        calls = self._calls.setdefault(event.index, [])
        text = next((text for text in calls if event.id and text.id == event.id), calls[-1] if calls else None)
        events: list[Event] = []
        if text is None or text.is_of_another_call(event):
            events += self._rest_of_calls(event.index)
            text = _Text(self._secret)
            calls.append(text)
        text.id, text.name = text.id or event.id or "", text.name or event.name or ""
        events.append(
            ToolCallDelta(event.index, self._fact(event.id), self._fact(event.name), text.add(event.arguments))
        )
        return [*events, *self._told()] if text.had_it else events

    def _rest_of_calls(self, index: int | None, *, is_cut: bool = False) -> list[Event]:
        rest = [(text.id, text.rest(is_cut=is_cut)) for text in self._calls[index]]
        return [ToolCallDelta(index, self._fact(id_) or None, None, held) for id_, held in rest if held]

    def _fact(self, fact: str | None) -> str | None:
        if not fact:
            return fact
        if fact not in self._facts:
            self._facts = {**dict(list(self._facts.items())[-7:]), fact: self._secret.hidden_in(fact)}
        return self._facts[fact]

    def _source(self, source: Source) -> Source:
        return Source(*map(self._secret.hidden_in, astuple(source)))

    def _told(self) -> list[Event]:
        told, self._has_told = self._has_told, True
        return [] if told else [Facts(repeats_key=True)]


class _Text:
    """One text of an answer, as far as it has come; `id` and `name` are those of the call whose arguments it is."""

    def __init__(self, secret: Secret) -> None:
        self._secret = secret
        self._end = ""  # of the text, as far as it may be the beginning of the key
        self._shown = 0  # characters of that end which are shown already
        self.had_it = False
        self.id = self.name = ""

    def add(self, text: str) -> str:
        """Return what can be shown now: of what was held back, and of `text`, which comes after it."""
        whole, shown, before = self._end + text, self._shown, ""
        *parts, whole = self._secret.split(whole)
        if parts:
            self.had_it = True
            before, shown = self._secret.mask.join([*parts, ""])[min(shown, len(parts[0])) :], 0
        begins_at = len(whole) - self._secret.begun_at_end_of(whole)
        is_held = len(whole) - begins_at >= _HELD_FROM
        until = max(shown, begins_at if is_held else len(whole))
        self._end, self._shown = whole[begins_at:], until - begins_at
        return before + whole[shown:until]

    def rest(self, *, is_cut: bool) -> str:
        """Return what was held back, which is not the key, or the mask if it may have become the key."""
        if is_cut and len(self._end) >= SECRET_FROM:
            self._end, self._shown = self._secret.mask, 0
        held, self._end, self._shown = self._end[self._shown :], "", 0
        return held

    def is_of_another_call(self, event: ToolCallDelta) -> bool:
        """Whether a fragment with a name begins another call of the same index."""
        if not event.name or not self.name:
            return False
        return event.name != self.name or bool(event.id and self.id and event.id != self.id)
