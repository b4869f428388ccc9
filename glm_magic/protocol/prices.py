"""What tokens cost: a price per million of them, and a list of prices as people write it.

A list is CSV, one model a line, with the columns ``model,input,output,cached,currency``::

    model,input,output,cached,currency
    glm-4.6,2,8,0.4,CNY
    my-model,0.15,0.60,,USD

Prices are per million tokens. `cached` is that of input from the service's cache; empty, it is that of input.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass

from glm_magic.chat.messages import Usage
from glm_magic.errors import SettingError, near_miss, quoted

COLUMNS = ("model", "input", "output", "cached", "currency")
_OPTIONAL = ("cached",)
_MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Price:
    """The price of a million tokens in `currency`: of `input`, `output`, and `cached` input (None: as input)."""

    input: float
    output: float
    cached: float | None = None
    currency: str = "CNY"

    def cost(self, usage: Usage) -> float:
        """Return what these tokens cost, in `currency`."""
        cached = self.input if self.cached is None else self.cached
        fresh = usage.prompt_tokens - usage.cached_tokens
        return (fresh * self.input + usage.cached_tokens * cached + usage.completion_tokens * self.output) / _MILLION

    @property
    def in_batch(self) -> Price:
        """The price of the same tokens in a batch: half (confirmed by GLM's and OpenAI's documents)."""
        cached = None if self.cached is None else self.cached / 2
        return Price(self.input / 2, self.output / 2, cached, self.currency)

    def __str__(self) -> str:
        if not (self.input or self.output):
            return "free"
        if self.input == self.output:
            return f"{self.input:g} {self.currency}"
        return f"{self.input:g} in, {self.output:g} out {self.currency}"


def read(text: str, file: str) -> dict[str, Price]:
    """Return the prices in `text`, a list as CSV, by model in lower case. `file` is its name in errors.

    Raises `SettingError`, with the number of the line, for what does not fit.
    """
    lines = csv.reader(text.removeprefix("\ufeff").splitlines(), strict=True)
    prices: dict[str, Price] = {}
    try:
        columns = [name.strip().lower() for name in next(lines, [])]
        _check_columns(columns)
        for row in lines:
            if not any(cell.strip() for cell in row):
                continue
            model, price = _price(dict(zip(columns, map(str.strip, row), strict=False)), len(row), len(columns))
            if model in prices:
                raise _Wrong(f"{model} stands there twice")
            prices[model] = price
    except (csv.Error, _Wrong) as error:
        raise SettingError(
            f"{file}, line {max(lines.line_num, 1)}: {quoted(str(error))}.",
            f"A price list is CSV with the columns {','.join(COLUMNS)}; prices are per million tokens.",
        ) from None
    return prices


class _Wrong(Exception):
    """A line that is no price."""


def _check_columns(columns: list[str]) -> None:
    for name in columns:
        if name not in COLUMNS:
            meant = near_miss(name, COLUMNS)
            raise _Wrong(f"there is no column {name!r}" + (f"; did you mean {meant}?" if meant else ""))
    missing = [name for name in COLUMNS if name not in columns and name not in _OPTIONAL]
    if missing:
        raise _Wrong(f"the column {missing[0]} is missing")


def _price(row: Mapping[str, str], cells: int, columns: int) -> tuple[str, Price]:
    if cells > columns or any(name not in row for name in COLUMNS if name not in _OPTIONAL):
        raise _Wrong(f"{cells} cells where there are {columns} columns")
    if not row["model"]:
        raise _Wrong("the model has no name")
    if not row["currency"].isalpha():
        raise _Wrong(f"currency takes a word such as CNY, not {row['currency']!r}")
    cached = _number("cached", row["cached"]) if row.get("cached") else None
    return row["model"].lower(), Price(
        _number("input", row["input"]), _number("output", row["output"]), cached, row["currency"].upper()
    )


def _number(name: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not (math.isfinite(number) and number >= 0):
        raise _Wrong(f"{name} takes a number of at least 0, not {text!r}")
    return number
