"""Two texts of a comparison beside each other, as a notebook shows them."""

from __future__ import annotations

from glm_magic.display.differences import side_by_side


class Difference:
    """Two answers, or two other texts, beside each other, with what differs marked."""

    def __init__(self, before: str, after: str) -> None:
        self._data = side_by_side(before, after)

    def __repr__(self) -> str:
        return self._data["text/plain"]

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        return self._data
