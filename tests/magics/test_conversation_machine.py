"""Cells run, fail, are stopped and run again in any order: what would be sent is always fit to be sent.

It drives a `Session` as the magics do, over a scripted stream.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from glm_magic.chat.conversation import Conversation, Place
from glm_magic.chat.events import Event, Facts, ReasoningDelta, TextDelta, ToolCallDelta
from glm_magic.chat.messages import ROLES
from glm_magic.chat.settings import Sources
from glm_magic.errors import AnswerError, ContentFiltered, RateLimited
from glm_magic.notebook import bundle
from glm_magic.session import Question, Session

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


class Scripted(Session):
    """A session whose service says what it is told to."""

    script: list[Event | BaseException]

    def events(self, question: Question, body: Mapping[str, Any]) -> Iterator[Event]:
        for step in self.script:
            if isinstance(step, BaseException):
                raise step
            yield step


class Cells(RuleBasedStateMachine):
    """Knows of each place which run counts there, if one does, and which texts must never be sent again."""

    def __init__(self) -> None:
        super().__init__()
        self.session = Scripted(Sources({"GLM_BASE_URL": "http://127.0.0.1:1/v1"}), clock=lambda: 0.0, wall=lambda: 0.0)
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
        question = session.prepare(text, place, chat=chat, options=options, new=new, keep=keep)
        assert {name: session.chats.conversation(name) for name in CHATS} == before, "preparing changes nothing"
        self._check_sent(question.body["messages"], text, system or "", alone=not keep or new)
        if not keep:
            session.chats.retire(place)
        self._supersede(place)

        own = TextDelta(f"answer to {text}")
        session.script = [own if step is TEXT else step for step in ENDINGS[how]]
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
            saved = session.bundle(question, asking.attempt)
            assert saved is None or bundle.decode(json.loads(json.dumps(saved))).chat == chat

    @rule(place=places, chat=chats, role=st.sampled_from(["system", "assistant"]), new=st.booleans())
    def put_message_in(self, place: Place, chat: str, role: Any, new: bool) -> None:
        text = self._own_text()
        self._supersede(place)
        self.put_in[text] = role
        self.session.put_in(text, role, place, chat=chat, new=new)
        self.latest[place] = chat, text

    @rule(chat=chats)
    def undo(self, chat: str) -> None:
        sent = self.session.chats.conversation(chat).sent()
        self.session.edit(chat, Conversation.undo)
        if sent:
            self._supersede(next(p for p, (_, text) in self.latest.items() if text == sent[-1].question))

    @precondition(lambda self: self.latest)
    @rule(data=st.data(), back=st.booleans())
    def skip_or_unskip(self, data: st.DataObject, back: bool) -> None:
        place = data.draw(st.sampled_from(sorted(self.latest, key=str)))
        chat, text = self.latest[place]
        before = self.session.chats.conversation(chat)
        edit = self.session.edit(chat, lambda c: c.unskip(place) if back else c.skip(place))
        after = self.session.chats.conversation(chat)
        assert [turn.place for turn in after] == [turn.place for turn in before]
        assert [turn.attempts for turn in after] == [turn.attempts for turn in before]
        assert edit["after"] == [attempt.id for attempt in after.sent()]
        assert back or text not in [attempt.question for attempt in after.sent()]
        self.skipped = self.skipped - {place} if back else self.skipped | {place}

    @rule(chat=chats)
    def clear(self, chat: str) -> None:
        self.session.edit(chat, lambda _: Conversation())
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
                question = self.session.prepare("now", Place("another cell"), chat=chat, options=options)
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
