"""A comparison that is asked from Python, and returned when it has ended."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from glm_magic.asking.question import Wishes
from glm_magic.asking.recordings import source_of
from glm_magic.asking.session import Session
from glm_magic.chat.place import Place
from glm_magic.comparing import axes
from glm_magic.comparing.comparison import Comparison
from glm_magic.comparing.filling import Filling
from glm_magic.comparing.hands import Hands
from glm_magic.comparing.kept import Keeping, KeptRuns
from glm_magic.comparing.pending import PendingBatches
from glm_magic.comparing.plan import Wanted
from glm_magic.comparing.planned import batched, prepared
from glm_magic.comparing.rows import Row, rows_of
from glm_magic.comparing.scoring import scorer
from glm_magic.comparing.under_way import Comparing
from glm_magic.comparing.workers import executor
from glm_magic.errors import OptionError, quoted
from glm_magic.settings.setting import Value


def compared(
    session: Session,
    prompts: object,
    *,
    compared_settings: Mapping[str, Sequence[Value]],
    wishes: Wishes,
    table: object = None,
    repeats: int = 1,
    scores: object = (),
    workers: object = None,
) -> Comparison:
    """Ask every question of the product, wait for the answers, and return them.

    Raises `CellError` or `SetupError` before anything is sent; where all runs fail, the first error.
    """
    if type(repeats) is not int or repeats < 1:
        raise OptionError(f"repeats is a whole number of at least 1, not {quoted(repr(repeats))}.")
    wordings, given = _wordings(prompts)
    if wishes.in_batch and workers is not None:
        raise OptionError(
            "batch and executor cannot be combined.", "The service asks the requests of a batch by itself."
        )
    has_table = table is not None
    rows: tuple[Row, ...] = rows_of(table, "rows") if has_table else ({},)
    filling = Filling(rows, has_table, has_templates=has_table, given=given)
    wanted = Wanted(
        rows,
        axes.configurations(wordings, compared_settings),
        repeats,
        filling.message,
        filling.text,
        wishes,
        has_table=has_table,
    )
    settings = session.layers.values(wishes.options)
    keeping = Keeping(Place(""), save=False, record=str(settings["record"] or ""), source=source_of(settings["replay"]))
    batches = PendingBatches(session, KeptRuns(session.recordings, time.time), keeping, settings)
    found_scores = scorer(scores, has_rows=has_table)
    pool = executor(workers) if workers is not None else None
    comparing = Comparing(batched(prepared(batches, wanted, found_scores, workers=pool)))
    comparison = comparing.comparison
    comparison.hands = Hands(cancel=batches.cancel)
    with comparing:
        for _ in comparing.changes():
            pass
    comparison.notes += (*batches.notes, *session.recordings.problems())
    if comparison.error is not None:
        raise comparison.error
    return comparison


def _wordings(prompts: object) -> tuple[tuple[axes.Variant, ...], dict[str, object]]:
    """Return the wordings, and what each of their texts stands for."""
    if isinstance(prompts, Mapping) and "type" not in prompts:  # a dict with a type is an image part
        if not prompts:
            raise OptionError("There is no wording to compare.", '{"short": "Sum up: {{ text }}", "long": …}')
        found = tuple(axes.Variant(str(name), _text(text)) for name, text in prompts.items())
        return found, dict(zip((each.text for each in found), prompts.values(), strict=True))
    text = _text(prompts)
    return (axes.Variant("", text),), {text: prompts}


def _text(value: object) -> str:
    return value if isinstance(value, str) else repr(value)
