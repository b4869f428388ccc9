"""Joins the fragments of tool calls into whole calls.

Servers disagree about how a call is split. One rule joins all that was met:

**Which call.** A fragment belongs to the call of its index that has its id; if there is none, to the latest call of
its index. Without an index, all calls count. A fragment with neither id nor name belongs to the latest call if its
index is new. A fragment that has a name, for a call that has one too, starts a new call if

- its id is another than that of the call, or
- its name is another, and the call has arguments already, or neither an index nor an id says that it is the same, or
- its name is the same, the arguments of the call are whole, and it brings others.

**The id** is set once. An id that is missing, or that an earlier call has, is replaced by one of our own.

**The name** is set once. Before any arguments, another name goes on with it: ``get_`` and ``weather``.

**The arguments** are one JSON object. Fragments are appended until it is whole. What follows replaces ``{}``, and must
otherwise be the same object again. A fragment that begins with all that came before it repeats it: the fragments were
followed by the whole, or each fragment is the whole so far. What this does not explain stays as it came, so that
it is not JSON and no tool runs with it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from dataclasses import dataclass, field

from glm_magic.chat.events import ToolCallDelta
from glm_magic.chat.messages import GrowingCall, ToolCall

_NOT_BLANK = re.compile(r"\S")
_EMPTY_OBJECT = re.compile(r"\s*\{\s*\}\s*")
_STRUCTURE = re.compile(r'["{}\[\]]')
_IN_STRING = re.compile(r'["\\]')


class Calls:
    """The calls of an answer while they grow; `earlier` are the ids of those before it in its turn.

    `first` is the number of the first one in the turn.
    """

    def __init__(self, earlier: Collection[str] = ()) -> None:
        self.first = len(earlier)
        self._taken = set(earlier)
        self._calls: list[_Call] = []
        self._latest: dict[int | None, int] = {}  # by index; None for the latest of all
        self._of_id: dict[tuple[int | None, str], int] = {}  # by index and id; None for the latest of all with that id

    def __len__(self) -> int:
        return len(self._calls)

    def __getitem__(self, at: int) -> ToolCall:
        call = self._calls[at]
        return ToolCall(call.id, call.name, str(call.arguments))

    def growing(self, at: int) -> GrowingCall:
        """Return the call at this position as it stands now; what comes later does not change it."""
        call = self._calls[at]
        arguments = call.arguments
        return GrowingCall(call.id, call.name, len(arguments), arguments.length, arguments.after)

    def add(self, delta: ToolCallDelta) -> int:
        """Join a fragment to its call; return the position of the call."""
        at = self._found(delta)
        if at is None or _starts_anew(delta, self._calls[at]):
            at = len(self._calls)
            self._calls.append(_Call(delta.index))
        call = self._calls[at]
        if not call.id or (delta.id and not call.given_id):
            self._taken.discard(call.id)
            call.given_id, call.id = delta.id or "", self._own_id(delta.id or "", at)
        self._latest[call.index] = self._latest[None] = at
        if call.given_id:
            self._of_id[call.index, call.given_id] = self._of_id[None, call.given_id] = at
        call.name = _joined_name(call.name, delta.name or "")
        call.arguments.add(delta.arguments)
        return at

    def _found(self, delta: ToolCallDelta) -> int | None:
        """Return the position of the call that a fragment may belong to."""
        at = self._latest.get(delta.index)
        if at is None and not (delta.name or delta.id):
            at = self._latest.get(None)
        if delta.id:
            at = self._of_id.get((delta.index, delta.id), at)
            without_index = self._of_id.get((None, delta.id))
            if without_index is not None and self._calls[without_index].index is None:
                at = without_index
        return at

    def _own_id(self, given: str, at: int) -> str:
        number = self.first + at
        id_ = given or f"call_{number}"
        while id_ in self._taken:
            id_ = f"{id_}_{number}"
        self._taken.add(id_)
        return id_


def _starts_anew(delta: ToolCallDelta, call: _Call) -> bool:
    """Whether a fragment is the beginning of another call than the one that it was found to belong to."""
    if not (delta.name and call.name):
        return False
    has_its_id = bool(delta.id and call.given_id)
    if has_its_id and delta.id != call.given_id:
        return True
    if delta.name != call.name:
        return bool(call.arguments) or not (has_its_id or delta.index is not None)
    if not delta.arguments.strip() or not call.arguments.is_whole:
        return False
    if has_its_id:  # reported: ids that repeat; fragments of what has come before are no other call
        return _is_object(delta.arguments) and not call.arguments.may_become(delta.arguments)
    return delta.index is None or not call.arguments.may_become(delta.arguments)


def _joined_name(name: str, more: str) -> str:
    if not more or more == name:
        return name
    return more if more.startswith(name) else name + more


class _Arguments:
    """The arguments of one call: ``str()`` is what they are by the rule above. Each character is read once."""

    def __init__(self) -> None:
        self._pieces: list[str] = []  # all that came
        self.length = 0  # of it, in characters
        self._objects = 0  # how many objects have begun
        self._whole = ""  # the first object that was whole and not {}
        self._is_unclear = False  # no object, or two that differ
        self._open: list[str] = []  # the pieces of the object that is not whole yet
        self._again = 0  # the latest of them that begins with all that came before it
        self._since = 0  # of the pieces since then
        self._depth = 0  # of the brackets that are open
        self._in_string = False
        self._is_escaped = False

    def __len__(self) -> int:
        """The number of fragments."""
        return len(self._pieces)

    def after(self, fragments: int) -> str:
        """Return what they were after so many fragments."""
        if fragments == len(self._pieces):
            return str(self)
        earlier = _Arguments()
        for piece in self._pieces[:fragments]:
            earlier.add(piece)
        return str(earlier)

    def __str__(self) -> str:
        if self._is_unclear or (self._objects < 2 and not self._again):
            return "".join(self._pieces)
        if not self._depth:
            return self._whole or "{}"
        growing = self._growing()
        if self._whole:
            return self._whole if self._whole.startswith(growing) else "".join(self._pieces)
        return growing

    @property
    def is_whole(self) -> bool:
        """Whether they are an object from its beginning to its end."""
        if self._is_unclear or not self._objects:
            return False
        return not self._depth or (self._again > 0 and _is_object(self._growing()))

    def may_become(self, text: str) -> bool:
        """Whether the object `text` may replace what is whole."""
        return not self._whole or _same(self._whole, text)

    def add(self, fragment: str) -> None:
        """Append a fragment."""
        if fragment:
            self._pieces.append(fragment)
            self.length += len(fragment)
        if fragment and not self._is_unclear:
            if self._open and fragment[0] == "{" and len(fragment) >= self._since:
                self._begin_again(fragment)
            self._read(fragment)

    def _growing(self) -> str:
        return "".join(self._open[self._again :])

    def _begin_again(self, fragment: str) -> None:
        if fragment.startswith(self._growing()):
            self._again, self._since = len(self._open), 0

    def _read(self, fragment: str) -> None:
        """Find the ends of objects in a fragment."""
        begin, at = 0, int(self._is_escaped)
        self._is_escaped = False
        while at < len(fragment):
            pattern = _IN_STRING if self._in_string else _STRUCTURE if self._depth else _NOT_BLANK
            found = pattern.search(fragment, at)
            if found is None:
                break
            mark, at = found[0], found.end()
            if not self._depth:
                if mark != "{":
                    self._is_unclear = True
                    return
                begin = found.start()
                self._objects += 1
            if mark == "\\":
                self._is_escaped = at == len(fragment)
                at += 1
            elif mark == '"':
                self._in_string = not self._in_string
            else:
                self._depth += 1 if mark in "{[" else -1
                if not self._depth:
                    self._end("".join((*self._open, fragment[begin:at])))
        if self._depth:
            self._open.append(fragment[begin:])
            self._since += len(fragment) - begin

    def _end(self, whole: str) -> None:
        """Take in an object that is whole."""
        self._open, self._again, self._since = [], 0, 0
        if not _EMPTY_OBJECT.fullmatch(whole):
            self._is_unclear = not self.may_become(whole)
            self._whole = self._whole or whole


@dataclass(slots=True)
class _Call:
    index: int | None
    id: str = ""
    given_id: str = ""
    name: str = ""
    arguments: _Arguments = field(default_factory=_Arguments)


def _same(one: str, other: str) -> bool:
    """Whether two texts are the same JSON, however it is spaced."""
    try:
        return one == other or bool(json.loads(one) == json.loads(other))
    except (ValueError, RecursionError):
        return False


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False
