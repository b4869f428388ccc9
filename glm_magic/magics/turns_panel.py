"""`%glm_history --panel`: ticks that skip turns and send them again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from glm_magic.display.page.over import Turns
from glm_magic.errors import HistoryError, quoted
from glm_magic.magics import turns
from glm_magic.magics.shared import Shared
from glm_magic.notebook.bundle import MIME_TYPE


class TurnsHands:
    """The panel of a chat, with the outputs that it is drawn over; the last one keeps each change."""

    def __init__(self, shared: Shared, chat: str) -> None:
        self._shared = shared
        self._chat = chat
        self._panel = Turns({"tick": self._tick})
        self._outputs: dict[str, str] = {}  # by cell: the name of its output
        self._kept: dict[str, Any] = {}

    def show(self, cell: str) -> None:
        """Show the panel below the running cell."""
        self._outputs.pop(cell, None)
        name = self._outputs[cell] = f"glm-turns-{len(self._outputs)}-{self._panel.key}"
        self._kept = {}
        self.refresh()
        self._shared.outputs.show(self._static(cell), name)

    def refresh(self) -> None:
        """Show what holds now: a cell may have changed it."""
        self._panel.show({"state": turns.as_ticks(self._shared, self._chat)})

    def _tick(self, asked: Mapping[str, Any]) -> None:
        number, history = str(asked["number"]), self._shared.session.history
        turn = self._shared.session.chats.conversation(self._chat).numbered.get(number)
        if turn is None or turn.counting is None:
            raise HistoryError(f"Chat {quoted(self._chat)} has no turn {quoted(number)} to send.")
        place, saves = turn.place, history.saves_turns
        kept = history.edit(
            self._chat,
            lambda conversation: conversation.unskip(place) if asked["ticked"] else conversation.skip(place),
        )
        self._kept = {MIME_TYPE: kept} if saves else {}
        self.refresh()
        self._shared.outputs.mark_stale(tuple(self._shared.session.chats.values()))
        for cell, output in self._outputs.items():
            self._shared.outputs.show(self._static(cell), output, update=True)

    def _static(self, cell: str) -> dict[str, Any]:
        data = turns.as_table(self._shared, self._chat)
        kept = self._kept if cell == [*self._outputs][-1] else {}
        return {**data, "text/html": self._panel.over(data["text/html"], cell), **kept}
