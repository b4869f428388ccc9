"""The order in which runs are asked, and when enough is known: everything, or rounds until the columns are decided."""

from __future__ import annotations

import random
from collections.abc import Collection, Iterator, Sequence

from glm_magic.comparing.plan import Plan
from glm_magic.comparing.verdict import FIRST_LOOK
from glm_magic.display.grid import Spot

_ROUND = 5  # units between two looks; each look costs a little of what may be claimed, whether it is taken or not


def all_at_once(missing: Collection[Spot]) -> Iterator[Sequence[Spot]]:
    """Yield the missing runs in one round: each row first, then its repeats."""
    if missing:
        yield sorted(missing, key=lambda spot: (spot[2], spot[0], spot[1]))


def by_units(plan: Plan, missing: Collection[Spot]) -> Iterator[Sequence[Spot]]:
    """Yield the missing rows in a random order, twenty at first and then a few at a time, and after them their repeats.

    The order is that of the same cell each time. Where there is one row, its repeats are the units.
    """
    wanted = plan.wanted
    rows = list(range(len(wanted.rows)))
    random.Random(plan.keys[0][0].fingerprint).shuffle(rows)  # noqa: S311 - no secret depends on it
    columns = range(len(wanted.configurations))
    if len(rows) == 1:
        units = [[(0, column, repeat) for column in columns] for repeat in range(wanted.repeats)]
    else:
        units = [[(row, column, repeat) for column in columns] for repeat in range(wanted.repeats) for row in rows]
    left, start, size = set(missing), 0, FIRST_LOOK
    while start < len(units):
        spots = [spot for unit in units[start : start + size] for spot in unit if spot in left]
        if spots:
            yield spots
        start, size = start + size, _ROUND
