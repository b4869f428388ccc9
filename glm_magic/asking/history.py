"""What was said: every change of a conversation, and what the notebook, the journal and the record keep of it."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from glm_magic.asking.chats import DEFAULT_CHAT, Chats
from glm_magic.asking.question import Question, check_encodes
from glm_magic.asking.recordings import OFF, Recordings, source_of
from glm_magic.chat.conversation import Attempt, Conversation, Turn, context_digest, is_whole
from glm_magic.chat.fingerprint import fingerprint
from glm_magic.chat.messages import Message
from glm_magic.chat.place import Place
from glm_magic.errors import PromptError
from glm_magic.notebook import bundle, document
from glm_magic.settings.declared import SETTINGS, Value
from glm_magic.settings.layers import Layers


def new_id() -> str:
    """Return an id for an attempt. It is short, because each later turn of the conversation names it."""
    return uuid.uuid4().hex[:16]


class History:
    """Changes conversations, and keeps each change as a bundle. `wall` tells the seconds since the epoch."""

    def __init__(self, chats: Chats, recordings: Recordings, layers: Layers, wall: Callable[[], float]) -> None:
        self.chats = chats
        self.recordings = recordings
        self._layers = layers
        self._wall = wall

    @property
    def saves_turns(self) -> bool:
        """Whether the notebook keeps the turns. Raises `SettingError` if a variable holds a wrong value."""
        return bool(self._layers.find(SETTINGS["save_turns"])[0])

    # --- questions ---------------------------------------------------------------------------

    def turn(self, question: Question) -> Turn:
        """Return the turn that a question belongs to."""
        return self.chats.turn(question.chat, question.place)

    def take_place(self, question: Question) -> None:
        """Take a question's place in its conversation."""
        if question.keep:
            self.chats.take(question.chat, question.place, question.message)

    def commit(self, question: Question, attempt: Attempt, others: tuple[Attempt, ...] = ()) -> dict[str, Any] | None:
        """Let `attempt` answer a question, beside the `others` that a recording has; return its bundle."""
        place = question.place
        if question.keep:  # its place may have gone meanwhile, as by a tool that clears the history
            self.chats.swap(question.chat, lambda now: now.reserve(place).commit(place, attempt, others))
            kept = self.bundle_at(question.chat, place)
        elif is_whole(attempt.role, attempt.messages):
            kept = bundle.encode("", attempt, call=place.call)
        else:
            return None
        self._keep(place, kept, question.settings["replay"], question.settings["record"])
        return kept

    def retire(self, question: Question) -> None:
        """Let no attempt count at a question's place; the earlier ones are kept."""
        if question.keep:
            place = question.place
            self.chats.swap(question.chat, lambda now: now.reserve(place).retire(place))

    def kept_without_answer(self, question: Question) -> dict[str, Any] | None:
        """Return the bundle of a question without a whole answer: it holds the turn's earlier attempts.

        Where none of them counts, that is a change of the conversation, and is kept as one.
        """
        if not question.keep:
            return None
        turn = self.turn(question)
        if turn.counting is not None:
            return self.bundle_at(question.chat, question.place)
        if not turn.attempts:
            return None
        edit = self.edit(question.chat, lambda conversation: conversation)
        attempts = bundle.encode(question.chat, turn.attempts[-1], turn.attempts)["attempts"]
        return {**edit, "call": question.place.call, "attempts": attempts}

    def bundle_at(self, chat: str, place: Place) -> dict[str, Any]:
        """Return the bundle of the turn at `place`, in which an attempt counts."""
        turn = self.chats.turn(chat, place)
        assert turn.counting is not None, "it has been answered"
        return bundle.encode(chat, turn.counting, turn.earlier, place.call)

    # --- other changes -----------------------------------------------------------------------

    def put_in(
        self,
        message: Message,
        place: Place,
        *,
        chat: str = DEFAULT_CHAT,
        new: bool = False,
        replay: bool | None = None,
    ) -> Attempt:
        """Put a message into a conversation at `place`, and ask nothing. Raises `PromptError` if it is empty."""
        if not message.content.strip():
            raise PromptError("The message is empty; nothing has changed.", "Write it below the %%glm line.")
        check_encodes(message)
        before = self.chats.conversation(chat).reserve(place, message).sent(place, new=new)
        attempt = self._dated(
            Attempt(
                id=new_id(),
                messages=(message,),
                after=tuple(other.id for other in before),
                context=context_digest(before),
                new=new,
                role=message.role,
                fingerprint=fingerprint({"messages": [message.to_api()]}),
            ),
            place,
            replay=replay,
        )
        self.chats.take(chat, place, message)
        self.chats.swap(chat, lambda conversation: conversation.commit(place, attempt))
        self._keep_edit(place, self.bundle_at(chat, place))
        return attempt

    def edit(self, chat: str, change: Callable[[Conversation], Conversation]) -> dict[str, Any]:
        """Change a conversation, and return the bundle by which the notebook remembers it."""
        after = tuple(attempt.id for attempt in change(self.chats.conversation(chat)).sent())
        said = fingerprint({"chat": chat, "after": after})
        edit = self._dated(Attempt(new_id(), (), after=after, role="", fingerprint=said), None)
        self.chats.swap(chat, change)
        kept = bundle.encode(chat, edit)
        self._keep_edit(Place(""), kept)
        return kept

    def restore(self, path: Path, *, force: bool = False) -> tuple[dict[str, Conversation], tuple[str, ...]]:
        """Take over the conversations of a saved notebook; return them, and what could not be read.

        Raises `SettingError` if a chat has been used in this kernel, unless `force`.
        """
        restored = document.restore(path)
        self.chats.take_over(restored.conversations, force=force)
        return restored.conversations, restored.warnings

    def _dated(self, edit: Attempt, place: Place | None, *, replay: bool | None = None) -> Attempt:
        """Return a change with the id and time of its recording, else with the time of now."""
        source = source_of(self._layers.find(SETTINGS["replay"])[0], replay=replay)
        found = self.recordings.find(source, edit.fingerprint, place) if source != OFF else None
        if found is None:
            return replace(edit, created=round(self._wall(), 3))
        self.recordings.give(found, place)
        return replace(edit, id=found.attempt.id, created=found.attempt.created)

    def _keep_edit(self, place: Place, kept: dict[str, Any]) -> None:
        replay, record = (self._layers.find(SETTINGS[name])[0] for name in ("replay", "record"))
        self._keep(place, kept, replay, record)

    def _keep(self, place: Place, kept: dict[str, Any], replay: Value, record: Value) -> None:
        self.recordings.keep(place, kept, source=source_of(replay), record=str(record or ""))
