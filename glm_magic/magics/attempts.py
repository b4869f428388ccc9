"""What differs between the attempts of a turn: in a table, marked in their texts, or beside each other."""

from __future__ import annotations

from collections.abc import Iterator

from glm_magic.chat.attempt import Attempt
from glm_magic.chat.conversation import Turn
from glm_magic.display.differences import differences, in_short, side_by_side
from glm_magic.display.page.line import line
from glm_magic.display.reply_facts import tokens
from glm_magic.display.tables import shorten, table
from glm_magic.magics.facts import written_parameters

_LONGEST = 120  # characters of a text in the table


def as_table(number: str, turn: Turn, command: str, *, width: int) -> dict[str, str]:
    """Return the attempts of a turn, oldest first: what changed from each to the next, its tokens, its first words.

    `command` is the ``%glm_history`` of its chat.
    """
    rows = []
    before: Attempt | None = None
    for at, attempt in enumerate(turn.attempts, start=1):
        marks = [str(at), *(["active"] if attempt is turn.counting else [])]
        marks += ["interrupted"] if attempt.interrupted else []
        changed = _begun_with(attempt) if before is None else _changed(before, attempt)
        answer = shorten(attempt.answer, _LONGEST) if attempt.role == "user" else ""
        rows.append((", ".join(marks), "; ".join(changed) or "nothing", ", ".join(tokens(attempt.reply())), answer))
        before = attempt
    columns = ("attempt", "changed", "tokens", "answered")
    note = f"{command} --show {number} --diff 1 2 compares two; --attempt {number} N makes one active."
    return table(f"Attempts of turn {number}", columns, rows, note, most=width)


def compared(before: Attempt, after: Attempt, *, side: bool, width: int) -> Iterator[dict[str, str]]:
    """Yield the outputs that show what changed between two attempts, in parameters, prompt and answer."""
    parts = [
        ("Parameters", *map(parameter_lines, (before, after))),
        ("Prompt", before.question, after.question),
    ]
    if "user" in (before.role, after.role):  # a message that was put in has no answer
        parts.append(("Answer", before.answer, after.answer))
    for what, old, new in parts:
        if old == new and what != "Answer":
            continue
        yield line((what,))
        yield side_by_side(old, new, most=width) if side else differences(old, new)


def parameter_lines(attempt: Attempt) -> str:
    """Return the system message and the parameters of an attempt, one in a line."""
    return "\n".join(f"{name}: {value}" for name, value in written_parameters(attempt).items())


def _begun_with(attempt: Attempt) -> list[str]:
    parameters = {name: value for name, value in written_parameters(attempt).items() if name != "system"}
    return [shorten(attempt.question, _LONGEST), *(f"{name} {shorten(value)}" for name, value in parameters.items())]


def _changed(before: Attempt, after: Attempt) -> Iterator[str]:
    if before.question != after.question:
        yield shorten(in_short(before.question, after.question), _LONGEST)
    old, new = written_parameters(before), written_parameters(after)
    for name in {**old, **new}:
        left, came = old.get(name, ""), new.get(name, "")
        if left == came:
            continue
        if name == "system" and left and came:
            yield f"system: {shorten(in_short(left, came), _LONGEST)}"
        else:
            yield f"{name} {shorten(left) or 'not set'} → {shorten(came) or 'not set'}"
