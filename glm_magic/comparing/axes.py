"""What a comparison varies: wordings and settings multiply into configurations, the columns of the grid."""

from __future__ import annotations

import itertools
import random
import re
import string
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from glm_magic.errors import OptionError, PromptError, quoted
from glm_magic.settings.declared import SETTINGS
from glm_magic.settings.setting import Value

_VARIANT = re.compile(r"^--- +(.*?)[ \t]*$", re.MULTILINE)


_NO_PRESETS: Mapping[str, Mapping[str, Value]] = {"": {}}


@dataclass(frozen=True, slots=True)
class Variant:
    """One wording of the prompt, by its name."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Configuration:
    """A column of a comparison: its label, the wording that it asks with, and the settings that it asks under.

    `options` are the settings of this column alone, those of its `preset` among them. `variant` and `preset` are
    ``""`` where only one wording is asked with, and no preset.
    """

    label: str
    prompt: str
    variant: str = ""
    preset: str = ""
    options: Mapping[str, Value] = field(default_factory=dict)


def variants(text: str) -> tuple[Variant, ...]:
    """Return the wordings in a cell's text, each after a line ``--- NAME``.

    What stands before the first belongs to all. Raises `PromptError` if there is none, or if one has no name, no text
    or the name of another.
    """
    marks = list(_VARIANT.finditer(text))
    if not marks:
        raise PromptError(
            "--variants needs wordings, each after a line with its name.", "--- short\nSummarise this.\n--- long\n…"
        )
    common = text[: marks[0].start()]
    found: dict[str, Variant] = {}
    for mark, following in itertools.zip_longest(marks, marks[1:]):
        name = mark[1].strip()
        body = text[mark.end() + 1 : following.start() if following else len(text)]
        whole = common + (body.removesuffix("\n") if following else body)
        if not name:
            raise PromptError("A wording has no name.", "Write it after the dashes: --- short")
        if name in found:
            raise PromptError(f"Two wordings have the name {quoted(name)}.", "Give each a name of its own.")
        if not body.strip():
            raise PromptError(f"The wording {quoted(name)} is empty.", "Write it below its line.")
        found[name] = Variant(name, whole)
    by_text: dict[str, str] = {}
    for variant in found.values():
        if variant.text in by_text:
            raise PromptError(
                f"The wordings {quoted(by_text[variant.text])} and {quoted(variant.name)} are the same.",
                "Change one of them, or ask it again with -n.",
            )
        by_text[variant.text] = variant.name
    return tuple(found.values())


def configurations(
    wordings: Sequence[Variant],
    axes: Mapping[str, Sequence[Value]],
    presets: Mapping[str, Mapping[str, Value]] = _NO_PRESETS,
) -> tuple[Configuration, ...]:
    """Return the product of the wordings, the presets and the values of each setting in `axes`.

    A value of an axis is stronger than a preset's. Raises `OptionError` if a value is given twice, or if there is none.
    """
    for name, values in axes.items():
        if not values:
            raise OptionError(f"{SETTINGS[name].flag} has no values to compare.", "Give at least one.")
        for value in values:
            if list(values).count(value) > 1:
                shown = quoted(str(value)) if isinstance(value, str) else value
                raise OptionError(f"{SETTINGS[name].flag} compares {shown} twice.", "To ask again, use -n.")
    product = itertools.product(wordings, presets.items(), itertools.product(*axes.values()))
    return tuple(
        Configuration(label, wording.text, wording.name, preset, {**held, **dict(zip(axes, values, strict=True))})
        for label, (wording, (preset, held), values) in zip(_labels(), product, strict=False)
    )


def shuffled(columns: Sequence[Configuration]) -> tuple[tuple[Configuration, ...], int]:
    """Return the columns in another order, with new letters, and the number of the one that was the first.

    The order is that of the same columns each time, so that a cell that runs again shows the same.
    """
    order = list(range(len(columns)))
    random.Random("\n".join(map(repr, columns))).shuffle(order)  # noqa: S311 - it hides nothing from a program
    found = [replace(columns[at], label=label) for at, label in zip(order, _labels(), strict=False)]
    return tuple(found), order.index(0)


def _labels() -> Iterator[str]:
    """Yield A to Z, then AA, AB and so on."""
    for size in itertools.count(1):
        for letters in itertools.product(string.ascii_uppercase, repeat=size):
            yield "".join(letters)
