"""JSON as the standard has it: Python's reader takes ``NaN`` and numbers without end as well."""

from __future__ import annotations

import json
import math
from typing import Any


def loads(text: str, **options: Any) -> Any:
    """Read JSON; `options` are those of `json.loads`.

    Raises `ValueError` for what is not JSON, and for a number that no float can hold.
    """
    return json.loads(text, parse_constant=_no_constant, parse_float=_finite, **options)


def is_object(text: str) -> bool:
    """Whether `text` is a JSON object."""
    try:
        return isinstance(loads(text), dict)
    except (ValueError, RecursionError):
        return False


def _no_constant(name: str) -> object:
    """Refuse what Python's reader of JSON takes for a number, and JSON does not. Raises `ValueError`."""
    raise ValueError(f"{name} is not JSON")


def _finite(number: str) -> float:
    """Return the number that JSON writes so. Raises `ValueError` if a float cannot be so large."""
    value = float(number)
    if not math.isfinite(value):
        raise ValueError(f"{number} is larger than a number can be")
    return value
