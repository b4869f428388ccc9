"""The text of a file that is inserted into a prompt, and what the file is called."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Document:
    """The `text` of the file `name`, all of it."""

    name: str
    text: str = field(repr=False)
