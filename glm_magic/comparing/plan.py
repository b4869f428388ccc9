"""What a comparison asks: a question for each row and configuration, and what each of its runs is known by."""

from __future__ import annotations

import functools
import hashlib
import inspect
from collections import Counter
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from glm_magic.asking.question import Draft, Question, Wishes
from glm_magic.asking.session import Session
from glm_magic.chat.attempt import Attempt
from glm_magic.chat.messages import Message
from glm_magic.chat.place import Place
from glm_magic.comparing.axes import Configuration
from glm_magic.comparing.rows import Row
from glm_magic.display.grid import Spot
from glm_magic.errors import GlmError, OptionError, PromptError, counted
from glm_magic.notebook.runs import RunKey
from glm_magic.settings.setting import Value
from glm_magic.tools.tool import Tool

MOST_REQUESTS = 10_000  # without --yes

# Makes the message of a prompt, and its system message, with the columns of a row as names: `row` is its number from 0.
Fill = Callable[[str, int], Message]
FillText = Callable[[str, int], str]
# A recorded run: the fingerprint of its request, which of several equal requests it is, and its repeat.
Recorded: TypeAlias = tuple[str, int, int]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a person wants to compare.

    Each of the `rows` is asked about under each of the `configurations`, `repeats` times. `fill` makes the message of
    a wording for a row, `fill_text` the system message. The rows have `names` only where a table was given.
    """

    rows: Sequence[Row]
    configurations: Sequence[Configuration]
    repeats: int
    fill: Fill
    fill_text: FillText
    wishes: Wishes = field(default_factory=Wishes)
    has_table: bool = False
    baseline: int = 0
    is_blind: bool = False

    @property
    def total(self) -> int:
        """The number of runs."""
        return len(self.rows) * len(self.configurations) * self.repeats

    def check_size(self, *, yes: bool) -> None:
        """Raise `OptionError` if there are more than 10,000 requests, unless the person has said `yes`."""
        if self.total > MOST_REQUESTS and not yes:
            raise OptionError(
                f"That is {self.total:,} requests: {self.shape}.",
                f"Add --yes to ask more than {MOST_REQUESTS:,}, or ask for less.",
            )

    @property
    def shape(self) -> str:
        """The factors of the product, in words."""
        rows = [counted(len(self.rows), "row")] if self.has_table else []
        repeats = [counted(self.repeats, "repeat")] if self.repeats > 1 else []
        return " × ".join([*rows, counted(len(self.configurations), "configuration"), *repeats])


@dataclass(frozen=True, slots=True)
class Plan:
    """The questions of a comparison: ``questions[row][column]``, with the key of each one's first run.

    `place` is where its cell stands in the conversation.
    """

    wanted: Wanted
    place: Place
    before: tuple[Attempt, ...]
    questions: tuple[tuple[Question, ...], ...]
    keys: tuple[tuple[RunKey, ...], ...]

    def question(self, spot: Spot) -> Question:
        """Return the question that the run at a spot asks."""
        return self.questions[spot[0]][spot[1]]

    def key(self, spot: Spot) -> RunKey:
        """Return what the run at a spot is known by."""
        return replace(self.keys[spot[0]][spot[1]], repeat=spot[2])

    @property
    def fingerprints(self) -> Iterator[str]:
        """The fingerprints of the requests."""
        return (key.fingerprint for row in self.keys for key in row)

    def spots(self) -> Iterator[Spot]:
        """Yield all spots in the order of their runs: by row, then by column, then by repeat."""
        wanted = self.wanted
        for row in range(len(wanted.rows)):
            for column in range(len(wanted.configurations)):
                for repeat in range(wanted.repeats):
                    yield row, column, repeat

    def missing(self, lacks: Callable[[RunKey], bool]) -> list[Spot]:
        """Return the spots whose runs are to be asked: `lacks` says whether one is, by its key."""
        return [spot for spot in self.spots() if lacks(self.key(spot))]

    @property
    def requests(self) -> Iterator[tuple[RunKey, Mapping[str, Any]]]:
        """The request of each run, with its key."""
        return ((self.key(spot), self.question(spot).body) for spot in self.spots())

    def index(self, spot: Spot) -> int:
        """Return the number of a spot's run, from 0."""
        wanted = self.wanted
        return (spot[0] * len(wanted.configurations) + spot[1]) * wanted.repeats + spot[2]


def plan(
    session: Session, wanted: Wanted, place: Place, recorded: Container[Recorded] = (), *, ask: bool = True
) -> Plan:
    """Return what `wanted` asks; nothing is sent, and nothing changes.

    Where all repeats of a question are `recorded`, nobody need be there to answer it, nor where `ask` is false and
    nothing will be asked. Limits are not checked: they hold for what is asked in the end. Raises `CellError` if a
    prompt or a setting is wrong, naming the row; `SetupError` if nobody can be asked.
    """
    before = session.sent_before(place, wanted.wishes)
    seen: Counter[str] = Counter()
    questions: list[tuple[Question, ...]] = []
    keys: list[tuple[RunKey, ...]] = []
    tools = _source(wanted.wishes.tools)

    def recorded_repeats(question: Question) -> int:
        known = question.fingerprint
        return sum((known, seen[known], repeat) in recorded for repeat in range(wanted.repeats))

    def asked(message: Message, wishes: Wishes, settings: Mapping[str, Value]) -> Question:
        if recorded or not ask:
            put = session.as_recorded(Draft(place, message, wishes, settings, before))
            found = max(put, key=recorded_repeats)
            if not ask or recorded_repeats(found) == wanted.repeats:
                return found
        return session.plan(message, place, wishes, before, settings, limited=False)

    under = [_under(session, wanted.wishes, column) for column in wanted.configurations]
    for row in range(len(wanted.rows)):
        of_row: list[Question] = []
        known: list[RunKey] = []
        messages: dict[str, Message] = {}
        systems: dict[str, str] = {}
        for column, (wishes, settings) in zip(wanted.configurations, under, strict=True):
            try:
                if column.prompt not in messages:
                    messages[column.prompt] = wanted.fill(column.prompt, row)
                system = wishes.options.get("system")
                if isinstance(system, str) and system:
                    if system not in systems:
                        systems[system] = wanted.fill_text(system, row)
                    settings = {**settings, "system": systems[system]}  # noqa: PLW2901 - of this row
                question = asked(messages[column.prompt], wishes, settings)
            except PromptError as error:
                raise _of_row(error, row, wanted) from error
            of_row.append(question)
            fingerprint = question.fingerprint
            known.append(RunKey(service_of(question, tools), fingerprint, seen[fingerprint]))
            seen[fingerprint] += 1
        questions.append(tuple(of_row))
        keys.append(tuple(known))
    return Plan(wanted, place, before, tuple(questions), tuple(keys))


def _under(session: Session, wishes: Wishes, column: Configuration) -> tuple[Wishes, Mapping[str, Value]]:
    """Return the wishes and the settings of a column, which its rows share."""
    wishes = replace(wishes, options={**wishes.options, **column.options}, replay=False)
    return wishes, session.layers.values(wishes.options)


def _of_row(error: PromptError, row: int, wanted: Wanted) -> GlmError:
    if not wanted.has_table or error.what.startswith("Row "):
        return error
    return PromptError(f"Row {row + 1}: {error.what}", error.remedy)


def service_of(question: Question, tools: str = "") -> str:
    """Return the digest of who is asked, and of what the tools do."""
    return _digest(question.endpoint.base_url if question.endpoint is not None else "embedded", tools)


@functools.lru_cache(16)
def _digest(where: str, tools: str) -> str:
    return hashlib.sha256(f"{where}\n{tools}".encode()).hexdigest()[:16]


def _source(tools: Sequence[Tool]) -> str:
    """Return the source of the functions that are offered: another source may give another answer."""
    sources = []
    for tool in tools:
        if tool.function is None:
            continue
        try:
            sources.append(inspect.getsource(tool.function))
        except (OSError, TypeError):  # built in, or typed where nothing keeps it
            sources.append(tool.name)
    return "\n".join(sources)
