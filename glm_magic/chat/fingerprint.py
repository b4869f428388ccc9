"""The fingerprint of a request, by which a recorded answer is found again, whatever the endpoint."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

# They change how an answer is delivered, and who asks, but not what is asked.
_LEFT_OUT = frozenset({"stream", "stream_options", "request_id", "user_id"})


def fingerprint(request: Mapping[str, Any]) -> str:
    """Return the SHA-256, in hexadecimal, of the canonical JSON of a request body."""
    asked = {name: value for name, value in request.items() if name not in _LEFT_OUT}
    return hashlib.sha256(canonical(asked)).hexdigest()


def canonical(value: object) -> bytes:
    """Return `value` as UTF-8 JSON with sorted keys and no white space.

    Raises `ValueError` for NaN and infinity, which JSON does not have, and `UnicodeEncodeError` for a lone surrogate.
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode()
