"""Reads JSON strictly: Python's parser also accepts ``NaN`` and numbers that overflow a float."""

from __future__ import annotations

import json
import math
from typing import Any


def loads(text: str, **options: Any) -> Any:
    """Parse JSON; `options` are those of `json.loads`.

    Raises `ValueError` if it is not JSON, or a number overflows a float.
    """
    return json.loads(text, parse_constant=_no_constant, parse_float=_finite, **options)


def is_object(text: str) -> bool:
    """Whether `text` is a JSON object."""
    try:
        return isinstance(loads(text), dict)
    except (ValueError, RecursionError):
        return False


def _no_constant(name: str) -> object:
    """Raise `ValueError` for ``NaN`` and ``Infinity``, which Python accepts and JSON does not."""
    raise ValueError(f"{name} is not JSON")


def _finite(number: str) -> float:
    """Return a number as a float. Raises `ValueError` if it overflows."""
    value = float(number)
    if not math.isfinite(value):
        raise ValueError(f"{number} is too large for a float")
    return value
