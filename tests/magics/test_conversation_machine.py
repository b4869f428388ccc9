"""Cells run, fail, are stopped and run again in any order: what would be sent is always fit to be sent.

And what the notebook keeps of it gives the same conversation back. Both drive a `Session` as the magics do,
over a scripted stream.
"""

from __future__ import annotations

import itertools
import json
import tempfile
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from glm_magic.asking.question import Wishes
from glm_magic.asking.session import Session
from glm_magic.chat.attempt import is_whole
from glm_magic.chat.conversation import Conversation
from glm_magic.chat.events import Event, Facts, ReasoningDelta, TextDelta, ToolCallDelta
from glm_magic.chat.messages import ROLES, Message
from glm_magic.chat.place import Place
from glm_magic.errors import AnswerError, ContentFiltered, RateLimited, SettingError
from glm_magic.notebook import bundle
from glm_magic.service.services import EventStream, Services
from glm_magic.settings.layers import Layers

CHATS = ("main", "side")
CALL = ToolCallDelta(0, "c1", "look", "{}")
STOP = Facts("id", "m", "stop")

# how an answer may go; `TEXT` stands for the text that is the run's own
TEXT = TextDelta("TEXT")
ENDINGS: dict[str, list[Event | BaseException]] = {
    "whole": [TEXT, TEXT, STOP],
    "whole after thinking": [ReasoningDelta("hm"), TEXT, STOP],
    "length": [TEXT, Facts(finish_reason="length")],
    "without text": [STOP],
    "a tool call": [TEXT, CALL, Facts(finish_reason="tool_calls")],
    "refused": [RateLimited("no")],
    "broken off": [TEXT, RateLimited("no")],
    "no finish reason": [TEXT],
    "network_error": [TEXT, Facts(finish_reason="network_error")],
    "sensitive": [TEXT, Facts(finish_reason="sensitive")],
    "filtered": [TEXT, ContentFiltered("no")],
    "stopped before text": [KeyboardInterrupt()],
    "stopped in thought": [ReasoningDelta("hm"), KeyboardInterrupt()],
    "stopped in a call": [CALL, KeyboardInterrupt()],
    "stopped in text": [TEXT, KeyboardInterrupt()],
    "stopped in text beside a call": [TEXT, CALL, KeyboardInterrupt()],
}
COUNTS = ("whole", "whole after thinking", "length", "stopped in text", "stopped in text beside a call")


class Scripted(Services):
    """Services that say what they are told to."""

    script: list[Event | BaseException]

    def stream(self, endpoint: object, body: object, settings: object) -> EventStream:
        return EventStream(lambda _: self._told())

    def _told(self) -> Generator[Event, None, None]:
        for step in self.script:
            if isinstance(step, BaseException):
                raise step
            yield step


class Cells(RuleBasedStateMachine):
    """Knows of each place which run counts there, if one does, and which texts must never be sent again."""

    def __init__(self) -> None:
        super().__init__()
        environ = {"GLM_BASE_URL": "http://127.0.0.1:1/v1"}
        self.session = Session(Layers(environ), services=Scripted(environ), clock=lambda: 0.0, wall=lambda: 0.0)
        self.runs = 0
        self.put_in: dict[str, str] = {}  # text to role
        self.latest: dict[Place, tuple[str, str]] = {}  # chat and text of the run that counts
        self.skipped: set[Place] = set()
        self.gone: set[str] = set()  # texts that are never sent again

    places = st.builds(Place, st.sampled_from("abcd"), st.integers(0, 1))
    chats = st.sampled_from(CHATS)

    def _own_text(self) -> str:
        self.runs += 1
        return f"run {self.runs}"

    def _supersede(self, place: Place) -> None:
        self.skipped.discard(place)
        if place in self.latest:
            self.gone.add(self.latest.pop(place)[1])

    @rule(
        place=places,
        chat=chats,
        new=st.booleans(),
        keep=st.sampled_from([True, True, True, False]),
        system=st.sampled_from([None, None, "Be brief.", ""]),
        how=st.sampled_from(list(ENDINGS)),
        leaves_early=st.booleans(),
    )
    def ask(
        self, place: Place, chat: str, new: bool, keep: bool, system: str | None, how: str, leaves_early: bool
    ) -> None:
        text = self._own_text()
        options = {} if system is None else {"system": system}
        session = self.session
        before = {name: session.chats.conversation(name) for name in CHATS}
        question = session.plan(Message("user", text), place, Wishes(chat=chat, options=options, new=new, keep=keep))
        assert {name: session.chats.conversation(name) for name in CHATS} == before, "planning changes nothing"
        self._check_sent(question.body["messages"], text, system or "", alone=not keep or new)
        if not keep:
            session.chats.retire(place)
        self._supersede(place)

        own = TextDelta(f"answer to {text}")
        self.session.services.script = [own if step is TEXT else step for step in ENDINGS[how]]
        asking = session.ask(question)
        reply = failed = None
        try:
            for event in asking:
                if leaves_early and event is own:  # Ctrl-C while the page is painted
                    raise KeyboardInterrupt
            reply = asking.reply
        except KeyboardInterrupt:
            reply = asking.interrupt()
        except AnswerError as error:
            failed = error
        assert failed is None or failed.partial is None or how not in ("sensitive", "filtered")

        text_came = TEXT in ENDINGS[how]
        counts = keep and (how in COUNTS or (leaves_early and text_came))
        if counts:
            assert reply is not None
            assert session.chats.turn(chat, place).counting == asking.attempt
            self.latest[place] = chat, text
        else:
            self.gone.add(text)
            if keep:
                assert session.chats.turn(chat, place).counting is None
        if keep:
            saved = asking.bundle
            assert saved is None or bundle.decode(json.loads(json.dumps(saved))).chat == chat

    @rule(place=places, chat=chats, role=st.sampled_from(["system", "assistant"]), new=st.booleans())
    def put_message_in(self, place: Place, chat: str, role: Any, new: bool) -> None:
        text = self._own_text()
        self._supersede(place)
        self.put_in[text] = role
        self.session.history.put_in(Message(role, text), place, chat=chat, new=new)
        self.latest[place] = chat, text

    @rule(chat=chats)
    def undo(self, chat: str) -> None:
        sent = self.session.chats.conversation(chat).sent()
        self.session.history.edit(chat, Conversation.undo)
        if sent:
            self._supersede(next(p for p, (_, text) in self.latest.items() if text == sent[-1].question))

    @precondition(lambda self: self.latest)
    @rule(data=st.data(), back=st.booleans())
    def skip_or_unskip(self, data: st.DataObject, back: bool) -> None:
        place = data.draw(st.sampled_from(sorted(self.latest, key=str)))
        chat, text = self.latest[place]
        before = self.session.chats.conversation(chat)
        edit = self.session.history.edit(chat, lambda c: c.unskip(place) if back else c.skip(place))
        after = self.session.chats.conversation(chat)
        assert [turn.place for turn in after] == [turn.place for turn in before]
        assert [turn.attempts for turn in after] == [turn.attempts for turn in before]
        assert edit["after"] == [attempt.id for attempt in after.sent()]
        assert back or text not in [attempt.question for attempt in after.sent()]
        self.skipped = self.skipped - {place} if back else self.skipped | {place}

    @rule(chat=chats)
    def clear(self, chat: str) -> None:
        self.session.history.edit(chat, lambda _: Conversation())
        for place in [place for place, (where, _) in self.latest.items() if where == chat]:
            self._supersede(place)

    @rule(cell=st.sampled_from("abcd"), calls=st.integers(0, 1))
    def run_with_fewer_questions(self, cell: str, calls: int) -> None:
        self.session.chats.retire_surplus(cell, calls)
        for place in [place for place in self.latest if place.cell == cell and place.call >= calls]:
            self._supersede(place)

    # --- what always holds -----------------------------------------------------------------------

    @invariant()
    def what_a_new_cell_would_send_is_valid(self) -> None:
        for chat in CHATS:
            for system in (None, "Be brief."):
                options = {} if system is None else {"system": system}
                question = self.session.plan(
                    Message("user", "now"), Place("another cell"), Wishes(chat=chat, options=options)
                )
                self._check_sent(question.body["messages"], "now", system or "", alone=False)

    @invariant()
    def every_turn_that_counts_is_whole_and_is_the_latest_of_its_cell(self) -> None:
        counting: dict[Place, tuple[str, str]] = {}
        for chat in CHATS:
            conversation = self.session.chats.conversation(chat)
            for turn in conversation:
                assert turn.counting is None or turn.counting in turn.attempts
                assert turn.skipped == (turn.place in self.skipped)
                for attempt in turn.attempts:
                    roles = [message.role for message in attempt.messages]
                    assert roles == (["user", "assistant"] if attempt.role == "user" else [attempt.role])
                    assert all(message.content and not message.tool_calls for message in attempt.messages)
                if turn.counting is not None:
                    assert turn.place not in counting, "a turn is in one chat"
                    counting[turn.place] = chat, turn.counting.question
            not_skipped = [t.counting for t in conversation if t.counting is not None and not t.skipped]
            sent = list(conversation.sent())
            assert sent == not_skipped[len(not_skipped) - len(sent) :], "what is sent is the end of what counts"
        assert counting == self.latest

    def _check_sent(self, messages: list[dict[str, Any]], text: str, system: str, *, alone: bool) -> None:
        if system:
            assert messages[0] == {"role": "system", "content": system}
            messages = messages[1:]
        assert messages[-1] == {"role": "user", "content": text}
        assert not alone or len(messages) == 1
        expects: list[dict[str, Any]] = []
        for message in messages[:-1]:
            assert set(message) == {"role", "content"}, "no tool call, and none that waits for its result"
            assert message["role"] in ROLES
            assert message["content"].strip()
            said = message["content"]
            if expects:
                assert message["role"] == "assistant"
                assert said.startswith(expects.pop()["content"])
            elif message["role"] == "user":
                assert said not in self.gone
                expects.append({"content": f"answer to {said}"})
            else:
                assert self.put_in[said] == message["role"], "only a cell's own message stands alone"
                assert said not in self.gone
        assert not expects, "every question has its answer"


TestCells = Cells.TestCase
TestCells.settings = settings(max_examples=150, stateful_step_count=25, deadline=None)


class SavedNotebook(RuleBasedStateMachine):
    """Knows the bundles in the outputs of each cell, as a front end saves them.

    `noted` says of a chat whether its last bundle tells all that it sends. That is so after every change of the
    history, and after each cell that goes last; a re-run in the middle tells only what it was sent after.
    """

    cells = st.sampled_from("abcd")
    chats = st.sampled_from(CHATS)

    def __init__(self) -> None:
        super().__init__()
        self.time = itertools.count()
        self.runs = itertools.count()
        self.file: dict[str, list[dict[str, Any]]] = {}
        self.noted: dict[str, bool] = {}
        self.session = self._new_session()

    def _new_session(self) -> Session:
        sources = Layers({"GLM_BASE_URL": "http://127.0.0.1:1/v1"})
        return Session(sources, services=Scripted({}), clock=lambda: 0.0, wall=lambda: float(next(self.time)))

    def _sent(self, chat: str) -> tuple[str, ...]:
        return tuple(attempt.id for attempt in self.session.chats.conversation(chat).sent())

    def _run(self, cell: str, run: Callable[[], tuple[str, dict[str, Any] | None]]) -> None:
        """Run a cell that returns its chat and its bundle; its outputs are replaced."""
        before = dict(self.session.chats)
        lost = {saved["chat"] for saved in self.file.get(cell, ())}
        self.file[cell] = []
        chat, kept = run()
        self.session.chats.retire_surplus(cell, 1)
        for other in {*before, *lost} - {chat}:
            if other in lost or before[other] != self.session.chats.conversation(other):
                self.noted[other] = False
        if kept is None:
            self.noted[chat] = self.noted.get(chat, True) and chat not in lost
            return
        self.file[cell] = [json.loads(json.dumps(kept))]
        self.noted[chat] = self._told(kept) == self._sent(chat)

    @staticmethod
    def _told(kept: dict[str, Any]) -> tuple[str, ...]:
        return (*kept["after"], *([kept["id"]] if kept["messages"] else []))

    def _change(self, chat: str, change: Callable[[Conversation], Conversation]) -> None:
        cell = f"h{next(self.runs)}"
        self._run(cell, lambda: (chat, self.session.history.edit(chat, change)))
        assert self.noted[chat], "a change of the history tells all that is sent"

    @rule(
        cell=cells,
        chat=chats,
        new=st.booleans(),
        text=st.sampled_from(["hi", "and?", "more"]),
        how=st.sampled_from(["whole", "whole", "whole", "refused", "stopped in text"]),
    )
    def ask(self, cell: str, chat: str, new: bool, text: str, how: str) -> None:
        def run() -> tuple[str, dict[str, Any] | None]:
            question = self.session.plan(Message("user", text), Place(cell), Wishes(chat=chat, new=new))
            own = TextDelta(f"answer {next(self.runs)}")
            self.session.services.script = [own if step is TEXT else step for step in ENDINGS[how]]
            asking = self.session.ask(question)
            try:
                list(asking)
            except KeyboardInterrupt:
                asking.interrupt()
            except AnswerError:
                pass
            return chat, asking.bundle

        is_last = self.session.chats.conversation(chat).find(Place(cell)) is None
        waits = any(turn.restored for turn in self.session.chats.conversation(chat))
        self._run(cell, run)
        assert how == "refused" or self.noted[chat] or waits or not is_last, "the last turn tells all that is sent"

    @rule(cell=cells, chat=chats, role=st.sampled_from(["system", "assistant"]))
    def put_message_in(self, cell: str, chat: str, role: Any) -> None:
        def run() -> tuple[str, dict[str, Any]]:
            self.session.history.put_in(Message(role, f"put in {next(self.runs)}"), Place(cell), chat=chat)
            return chat, self.session.history.bundle_at(chat, Place(cell))

        self._run(cell, run)

    @rule(data=st.data(), chat=chats)
    def choose(self, data: st.DataObject, chat: str) -> None:
        there = [turn for turn in self.session.chats.conversation(chat) if turn.attempts]
        if not there:
            return
        turn = data.draw(st.sampled_from(there))
        attempt = data.draw(st.sampled_from(turn.attempts))
        self._change(chat, lambda conversation: conversation.choose(turn.place, attempt))
        if not turn.forked and not turn.restored and self.file.get(turn.place.cell):  # its own output is rewritten
            lost = {saved["chat"] for saved in self.file[turn.place.cell]} - {chat}
            assert not lost, "a turn is in the chat in which its cell ran last"
            self.file[turn.place.cell] = [self.session.history.bundle_at(chat, turn.place)]

    @rule(data=st.data(), chat=chats, back=st.booleans())
    def skip_or_unskip(self, data: st.DataObject, chat: str, back: bool) -> None:
        there = [turn.place for turn in self.session.chats.conversation(chat) if turn.counting is not None]
        if there:
            place = data.draw(st.sampled_from(there))
            self._change(chat, lambda c: c.unskip(place) if back else c.skip(place))

    @rule(chat=chats, what=st.sampled_from(["undo", "clear"]))
    def undo_or_clear(self, chat: str, what: str) -> None:
        self._change(chat, Conversation.undo if what == "undo" else lambda _: Conversation())

    @rule(cell=cells, chat=chats)
    def delete_and_prune(self, cell: str, chat: str) -> None:
        for saved in self.file.pop(cell, ()):
            self.noted[saved["chat"]] = False
        self._change(chat, lambda c: c.without(*(t.place for t in c if t.place.cell == cell and not t.forked)))

    @rule(chat=chats, new=st.sampled_from([*CHATS, "third"]))
    def fork(self, chat: str, new: str) -> None:
        try:
            forked = self.session.chats.forked(chat, new)
        except SettingError:
            return
        assert self.session.chats.forked(chat, new) == forked
        self._change(new, lambda _: forked)
        assert self.session.chats.forked(chat, new) == forked, "the cell of a fork may run again"

    @rule()
    def restart_and_restore(self) -> None:
        self.session = self._restored()
        for chat, conversation in self.session.chats.items():
            self.noted[chat] = self._missing(chat) == 0
            assert all(turn.restored for turn in conversation)
        for chat in set(self.noted) - set(self.session.chats):
            self.noted[chat] = True

    def _restored(self) -> Session:
        cells = [
            {"id": cell, "outputs": [{"data": {bundle.MIME_TYPE: kept}} for kept in bundles]}
            for cell, bundles in self.file.items()
        ]
        session = self._new_session()
        with tempfile.TemporaryDirectory() as folder:
            saved = Path(folder, "saved.ipynb")
            saved.write_text(json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": cells}))
            session.history.restore(saved)
        return session

    def _missing(self, chat: str) -> int:
        """How many of the turns that the chat's last bundle names are not in the file."""
        every = [kept for bundles in self.file.values() for kept in bundles]
        own = [kept for kept in every if kept["chat"] == chat]
        there = {made["id"] for kept in every for made in (kept, *kept["attempts"]) if made["messages"]}
        return len({*self._told(max(own, key=lambda kept: kept["created"]))} - there) if own else 0

    @invariant()
    def what_is_restored_is_what_the_last_bundle_tells(self) -> None:
        restored = self._restored()
        for chat in {*self.session.chats, *restored.chats}:
            sent = restored.chats.conversation(chat).sent()
            if self.noted.get(chat, True) and not self._missing(chat):
                before = self.session.plan(Message("user", "now"), Place("another cell"), Wishes(chat=chat)).body
                assert restored.plan(Message("user", "now"), Place("another cell"), Wishes(chat=chat)).body == before
                assert tuple(attempt.id for attempt in sent) == self._sent(chat)
                own = self.session.chats.conversation(chat)
                known = {made.id: made for turn in own for made in turn.attempts}
                assert all(known[attempt.id].messages == attempt.messages for attempt in sent)
            for turn in restored.chats.conversation(chat):
                assert turn.counting in turn.attempts
                assert all(is_whole(made.role, made.messages) and made.messages for made in turn.attempts)


TestSavedNotebook = SavedNotebook.TestCase
TestSavedNotebook.settings = settings(max_examples=150, stateful_step_count=20, deadline=None)
