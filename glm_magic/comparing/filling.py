"""A wording becomes the message for a row: its templates are filled with the row's columns as names."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from glm_magic.asking import documents
from glm_magic.chat import prompt
from glm_magic.chat.messages import Message
from glm_magic.comparing.rows import Row, check_is_there


@dataclass(frozen=True, slots=True)
class Filling:
    """Fills templates with the columns of a row, which hide `names`; ``row["any name"]`` reaches them all.

    Wordings without `has_templates` are text as they stand. System messages are filled where there is a table: without
    one they have been. `given` is what a wording stands for if it is another value than its text.
    """

    rows: Sequence[Row]
    has_table: bool
    has_templates: bool
    names: Mapping[str, Any] = field(default_factory=dict)
    given: Mapping[str, object] = field(default_factory=dict)
    read: prompt.Read = field(default_factory=documents.reader)  # each file once

    def message(self, text: str, row: int) -> Message:
        """Return the message of a wording for a row, which is counted from 0. Raises `PromptError`."""
        value = self.given.get(text, text)
        if not self.has_templates or not isinstance(value, str):
            return prompt.given(value, self.read)
        value_of = prompt.value_evaluator(self._scope(row), self.read)

        def there(source: str) -> object:
            check_is_there(self.rows[row], row + 1, source)
            return value_of(source)

        return prompt.message(value, there)

    def text(self, text: str, row: int) -> str:
        """Return the system message for a row. Raises `PromptError`."""
        if not self.has_table:
            return text
        evaluate = prompt.evaluator(self._scope(row))

        def there(source: str) -> str:
            check_is_there(self.rows[row], row + 1, source)
            return evaluate(source)

        return prompt.fill(text, there)

    def _scope(self, row: int) -> Mapping[str, Any]:
        if not self.has_table:
            return self.names
        columns = self.rows[row]
        return ChainMap({**columns, "row": columns}, dict(self.names))
