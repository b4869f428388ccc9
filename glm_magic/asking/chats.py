"""The conversations of one kernel by name, each an immutable value that is swapped under one lock."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping

from glm_magic.chat.attempt import Attempt
from glm_magic.chat.conversation import Conversation, Turn
from glm_magic.chat.messages import Message
from glm_magic.chat.place import DEFAULT_CHAT, ONE_SHOT, Place
from glm_magic.errors import SettingError, did_you_mean, quoted


class Chats(Mapping[str, Conversation]):
    """The chats in use. Apart from forked copies, a place is in at most one of them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._conversations: dict[str, Conversation] = {}

    def __getitem__(self, chat: str) -> Conversation:
        return self._conversations[chat]

    def __iter__(self) -> Iterator[str]:
        return iter(tuple(self._conversations))

    def __len__(self) -> int:
        return len(self._conversations)

    def conversation(self, chat: str = DEFAULT_CHAT) -> Conversation:
        """Return a conversation as it is now; an empty one if the chat has not been used."""
        return self._conversations.get(chat, Conversation(one_shot=chat == ONE_SHOT))

    def known(self, chat: str) -> str:
        """Return `chat` if it has been used; else raise `SettingError` with the near miss."""
        if chat in self or chat in (DEFAULT_CHAT, ONE_SHOT):
            return chat
        raise SettingError(f"There is no chat {chat!r}.", did_you_mean(chat, self, "%glm_history --list shows them."))

    def turn(self, chat: str, place: Place) -> Turn:
        """Return the turn at a place that is taken."""
        found = self.conversation(chat).find(place)
        assert found is not None, "the place was reserved when it was asked"
        return found

    def swap(self, chat: str, change: Callable[[Conversation], Conversation]) -> Conversation:
        """Replace a conversation by what `change` makes of it, and return that."""
        with self._lock:
            changed = self._conversations[chat] = change(self.conversation(chat))
        return changed

    def take(self, chat: str, place: Place, message: Message) -> None:
        """Take a place in `chat` for a question; a turn of the same cell and call in another chat moves there.

        A one-shot question takes only its attempts: its turn keeps the place for when it is sent again.
        """
        leave = Conversation.retire if chat == ONE_SHOT else Conversation.without
        moved: tuple[Attempt, ...] = ()
        for name, conversation in self.items():
            if name != chat and (turn := conversation.find(place)) is not None and not turn.forked:
                moved = (*moved, *turn.attempts)
                self.swap(name, lambda current: leave(current, place))
        self.swap(chat, lambda current: current.adopt(place, moved, message))

    def retire(self, place: Place) -> None:
        """Retire the turn at `place` in the conversation that holds it."""
        for chat, conversation in self.items():
            if (turn := conversation.find(place)) is not None and not turn.forked:
                self.swap(chat, lambda current: current.retire(place))

    def retire_surplus(self, cell: str, calls: int) -> None:
        """Retire the turns of `cell` from number `calls` on: its latest run asked fewer questions."""
        for conversation in self.values():
            for turn in conversation:
                if turn.place.cell == cell and turn.place.call >= calls:
                    self.retire(turn.place)

    def forked(self, chat: str, new: str) -> Conversation:
        """Return a copy of a conversation for the chat `new`; questions asked in an earlier fork are kept.

        Raises `SettingError` if `new` is in use and not a fork, or if there is nothing to copy.
        """
        begun = self.conversation(new).turns
        if new == chat or (begun and not any(turn.forked for turn in begun)):
            raise SettingError(f"Chat {quoted(new)} is in use; nothing has changed.", "Give the fork another name.")
        own = {turn.place: turn for turn in begun if not turn.forked}
        copies = self.conversation(chat).fork().turns
        if not copies:
            raise SettingError(
                f"There is nothing to copy: chat {quoted(chat)} has no active answer.", "Ask something in it first."
            )
        turns = [own.pop(turn.place, turn) for turn in copies]
        return Conversation((*turns, *own.values()))

    def take_over(self, conversations: Mapping[str, Conversation], *, force: bool = False) -> dict[str, int]:
        """Take over saved conversations; return how many turns each chat got that it did not have.

        In a chat that is in use here the saved turns are merged with its own; with `force` they replace them.
        """
        added: dict[str, int] = {}
        with self._lock:
            for chat, saved in conversations.items():
                own = Conversation(one_shot=chat == ONE_SHOT) if force else self.conversation(chat)
                merged = own.merged(saved)
                added[chat] = len(merged.turns) - len(own.turns)
                self._conversations[chat] = merged
        return added
