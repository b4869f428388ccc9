"""Every change of a conversation, and what the store and the record keep of it."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from glm_magic.asking.chats import Chats
from glm_magic.asking.question import Question, check_encodes
from glm_magic.asking.recordings import OFF, Recordings, source_of
from glm_magic.asking.refresh import Again
from glm_magic.chat.attempt import Attempt, context_digest, is_whole
from glm_magic.chat.conversation import MOST_EARLIER_ATTEMPTS, Conversation, Turn
from glm_magic.chat.fingerprint import fingerprint
from glm_magic.chat.messages import Message
from glm_magic.chat.place import DEFAULT_CHAT, ONE_SHOT, Place
from glm_magic.errors import PromptError
from glm_magic.notebook import bundle, document
from glm_magic.notebook.document import SavedTurn
from glm_magic.settings.declared import SETTINGS
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
        self._begun: set[Place] = set()  # the cells' turns that have been asked in this kernel
        self._from_before: set[str] = set()  # ids of attempts that were made in another kernel
        self._has_told_unsent = False
        self._refreshed: dict[str, tuple[Conversation, tuple[Again, ...]]] = {}
        self._edits: dict[str, str] = {}  # the chats that were changed, by the id of the change

    @property
    def saves_turns(self) -> bool:
        """Whether the notebook keeps the turns. Raises `SettingError` if a variable holds a wrong value."""
        return bool(self._layers.find(SETTINGS["save_turns"])[0])

    # --- questions ---------------------------------------------------------------------------

    def take_place(self, question: Question) -> None:
        """Take a question's place in its conversation, with the attempts of its turn that other kernels have made."""
        if not question.keep:
            return
        save = bool(question.settings["save_turns"])
        if question.recorded is None and not question.wishes.new and question.chat != ONE_SHOT:
            self._tell_unsent(question, save=save)
        self._take(question.chat, question.place, question.message, save=save, recorded=question.recorded)

    def from_before(self, turn: Turn) -> int:
        """Return how many attempts of a turn were made in another kernel."""
        return sum(attempt.id in self._from_before for attempt in turn.attempts)

    def commit(self, question: Question, attempt: Attempt, others: tuple[Attempt, ...] = ()) -> dict[str, Any] | None:
        """Let `attempt` answer a question, beside the `others` that a recording has; return its bundle."""
        place, save = question.place, bool(question.settings["save_turns"])
        if question.keep:  # its place may have gone meanwhile, as by a tool that clears the history
            self.chats.swap(question.chat, lambda now: now.reserve(place).commit(place, attempt, others))
            kept = self.bundle_at(question.chat, place)
        elif is_whole(attempt.role, attempt.messages):
            kept = bundle.encode("", attempt, call=place.call)
        else:
            return None
        self.recordings.keep(place, kept, save=save, record=str(question.settings["record"] or ""))
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
        return self._kept_at(question.chat, question.place) if question.keep else None

    def kept_unasked(self, place: Place) -> tuple[int, dict[str, Any]] | None:
        """Return how many attempts the turn at `place` has, and its bundle; None if it has none.

        Its cell was run, so the page has lost them, and nothing was asked.
        """
        for chat, conversation in self.chats.items():
            turn = conversation.find(place)
            if turn is not None and turn.attempts and not turn.forked:
                kept = self._kept_at(chat, place)
                return (len(turn.attempts), kept) if kept else None
        if place in self._begun:  # it has left the conversation since
            return None
        saved = self.recordings.archive.turn(place, save=self.saves_turns)
        return (1 + len(saved.earlier), saved.bundle) if saved else None

    def places_of(self, cell: str) -> list[Place]:
        """Return the places of a cell's turns, also of those that were asked in other kernels alone."""
        places = {turn.place for conversation in self.chats.values() for turn in conversation}
        here = {place.call for place in places if place.cell == cell}
        return [Place(cell, call) for call in sorted(here | self.recordings.archive.calls(cell, save=self.saves_turns))]

    def _kept_at(self, chat: str, place: Place) -> dict[str, Any] | None:
        turn = self.chats.turn(chat, place)
        if turn.counting is not None:
            return self.bundle_at(chat, place)
        if not turn.attempts:
            return None
        edit = self.edit(chat, lambda conversation: conversation)
        attempts = bundle.encode(_in_bundle(chat), turn.attempts[-1], turn.attempts)["attempts"]
        return {**edit, "call": place.call, "attempts": attempts}

    def bundle_at(self, chat: str, place: Place) -> dict[str, Any]:
        """Return the bundle of the turn at `place`, in which an attempt counts."""
        turn = self.chats.turn(chat, place)
        assert turn.counting is not None, "it has been answered"
        return bundle.encode(_in_bundle(chat), turn.counting, turn.earlier, place.call)

    # --- what other kernels have asked ---------------------------------------------------------

    def _take(
        self, chat: str, place: Place, message: Message, *, save: bool, recorded: SavedTurn | None = None
    ) -> None:
        """Take a place; the first time, the attempts made in other kernels become earlier attempts of its turn."""
        is_first = place not in self._begun
        self._begun.add(place)
        taken = {turn.place for conversation in self.chats.values() for turn in conversation}
        self.chats.take(chat, place, message)
        if not is_first:
            return
        found = self.recordings.archive.attempts(place, message, save=save, taken=taken)
        if recorded is not None:  # a replay shows what its notebook shows, and that has room for so many
            found = tuple(attempt for attempt in found if attempt.id != recorded.attempt.id)[-MOST_EARLIER_ATTEMPTS:]
            self._from_before |= {attempt.id for attempt in (recorded.attempt, *recorded.earlier)}
        if message.role != "user":  # a message that was put in again is no other attempt
            later = ((message,), *(attempt.messages for attempt in found))
            found = tuple(made for at, made in enumerate(found) if made.messages not in (later[0], *later[at + 2 :]))
        if not found:
            return
        before = self.chats.conversation(chat).sent(place)
        after, context = tuple(attempt.id for attempt in before), context_digest(before)
        dated = tuple(replace(made, context=context if made.after == after else "stale") for made in found)
        self._from_before |= {attempt.id for attempt in found}
        self.chats.swap(chat, lambda conversation: conversation.adopt(place, dated))

    def _tell_unsent(self, question: Question, *, save: bool) -> None:
        """Tell, once, how many turns of the chat the saved notebook holds that this kernel does not send."""
        if self._has_told_unsent:
            return
        self._has_told_unsent = True
        saved = self.recordings.archive.saved(save=save)
        there = document.conversations(saved, []).get(question.chat, Conversation())
        here = self.chats.conversation(question.chat).reserve(question.place, question.message)
        own = here.commit(question.place, Attempt("", (question.message,)))
        unsent = len(own.merged(there).turns) - len(own.turns)
        if unsent:
            turns = f"{unsent} saved turns are" if unsent > 1 else "1 saved turn is"
            self.recordings.note(f"{turns} not sent: %glm_history --restore")

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
        self._take(chat, place, message, save=self.saves_turns)
        self.chats.swap(chat, lambda conversation: conversation.commit(place, attempt))
        self._keep_edit(place, self.bundle_at(chat, place))
        return attempt

    def edit(self, chat: str, change: Callable[[Conversation], Conversation]) -> dict[str, Any]:
        """Change a conversation, and return the bundle by which the notebook remembers it."""
        after = tuple(attempt.id for attempt in change(self.chats.conversation(chat)).sent())
        digest = fingerprint({"chat": chat, "after": after})
        edit = self._dated(Attempt(new_id(), (), after=after, role="", fingerprint=digest), None)
        self.chats.swap(chat, change)
        self._edits[edit.id] = chat
        kept = bundle.encode(_in_bundle(chat), edit)
        self._keep_edit(Place(""), kept)
        return kept

    def note_refresh(self, chat: str, turns: tuple[Again, ...]) -> None:
        """Note that these turns were asked again."""
        self._refreshed[chat] = self.chats.conversation(chat), turns

    def refreshed(self, chat: str) -> tuple[Again, ...]:
        """Return the turns that were asked again, as they were before, if nothing has changed in the chat since."""
        after, turns = self._refreshed.get(chat, (None, ()))
        return turns if after == self.chats.conversation(chat) else ()

    def restore(self, path: Path, *, force: bool = False) -> tuple[dict[str, int], tuple[str, ...]]:
        """Take over the conversations of a saved notebook, beside what this kernel has, or with `force` in its place.

        Return how many turns each chat got, and what could not be read.
        """
        restored = document.restore(path, () if force else self._made_here())
        conversations = dict(restored.conversations)
        if restored.one_shots.turns:
            conversations[ONE_SHOT] = restored.one_shots
        for conversation in conversations.values():
            self._from_before |= {attempt.id for turn in conversation for attempt in turn.attempts}
        return self.chats.take_over(conversations, force=force), restored.warnings

    def unrestored(self) -> int:
        """Return how many turns the saved notebook holds that this kernel does not have."""
        saved = self.recordings.archive.saved(save=self.saves_turns)
        here = {turn.place for conversation in self.chats.values() for turn in conversation}
        return len({turn.place for turn in saved if turn.attempt.messages} - here)

    def _made_here(self) -> frozenset[str]:
        """Return the ids of what stands here, and may stand in the file without the turns that it lacks here."""
        answers = (attempt.id for each in self.chats.values() for turn in each for attempt in turn.attempts)
        edits = (id_ for id_, chat in self._edits.items() if self.chats.conversation(chat).turns)
        return frozenset([*(id_ for id_ in answers if self.recordings.has_given(id_)), *edits])

    def _dated(self, edit: Attempt, place: Place | None, *, replay: bool | None = None) -> Attempt:
        """Return a change with the id and time of its recording, else with the time of now."""
        source = source_of(self._layers.find(SETTINGS["replay"])[0], replay=replay)
        found = None
        if source != OFF:
            found = self.recordings.find(source, edit.fingerprint, place, save=self.saves_turns)
        if found is None:
            return replace(edit, created=round(self._wall(), 3))
        self.recordings.give(found, place)
        return replace(edit, id=found.attempt.id, created=found.attempt.created)

    def _keep_edit(self, place: Place, kept: dict[str, Any]) -> None:
        record = self._layers.find(SETTINGS["record"])[0]
        self.recordings.keep(place, kept, save=self.saves_turns, record=str(record or ""))


def _in_bundle(chat: str) -> str:
    """Return the name that a bundle has for a chat: none for that of the one-shot answers, which are sent alone."""
    return "" if chat == ONE_SHOT else chat
