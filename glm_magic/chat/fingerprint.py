"""The fingerprint by which an answer is found again: what was asked, whatever the endpoint."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

# How an answer travels, and who asks, does not change what is asked.
_LEFT_OUT = frozenset({"stream", "stream_options", "request_id", "user_id"})


def fingerprint(request: Mapping[str, Any]) -> str:
    """Return the SHA-256, in hexadecimal, of the canonical JSON of a request body."""
    asked = {name: value for name, value in request.items() if name not in _LEFT_OUT}
    return hashlib.sha256(canonical(asked)).hexdigest()


def canonical(value: object) -> bytes:
    """Return `value` as JSON with sorted keys and no white space, in UTF-8.

    Raises `UnicodeEncodeError` if half a character (a lone surrogate) is in it.
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode()
