"""Text that can be encoded as UTF-8."""

from __future__ import annotations


def without_halves(text: str) -> str:
    """Return `text` without lone surrogates: two halves of a character are joined, a lone half becomes U+FFFD."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:  # a lone \ud83d in JSON, which can be neither shown nor sent back
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text
