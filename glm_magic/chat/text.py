"""Text fit to be sent and kept."""

from __future__ import annotations


def without_halves(text: str) -> str:
    """Return `text` as UTF-8 can write it: two halves of a character become one, a lone half U+FFFD."""
    try:
        text.encode()
    except UnicodeEncodeError:  # half a character, as \ud83d alone in JSON: it can be neither shown nor sent back
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text
