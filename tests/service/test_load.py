from __future__ import annotations

import os
import random
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from glm_server import CUT, Answer, GlmServer, chunk, data, error, stream
from waiting import comes_true, readers

from glm_magic.asking.question import Wishes
from glm_magic.asking.session import Session
from glm_magic.chat.messages import Message
from glm_magic.chat.place import Place
from glm_magic.errors import AnswerError, BrokenStream, ConnectionFailed, ServiceDown, Stalled
from glm_magic.service.client import Client
from glm_magic.service.services import Services
from glm_magic.settings.layers import Layers

REQUESTS, CONNECTIONS = 200, 32

FAULTS: dict[str, tuple[Any, tuple[type[AnswerError], ...]]] = {
    "none": (lambda: stream("a ", "whole ", "answer"), ()),
    "reset before the answer": (lambda: Answer([CUT]), (ConnectionFailed,)),
    "reset in mid-answer": (lambda: Answer([chunk("half"), CUT]), (BrokenStream,)),
    "stall": (lambda: Answer([chunk("half"), threading.Event()]), (Stalled,)),
    "429 once": (lambda: error(429, {"error": {"code": "1302", "message": "slow down"}}), ()),
    "500": (lambda: error(500, {"error": {"code": "500", "message": "no"}}), (ServiceDown,)),
    "cut stream": (lambda: Answer([chunk("half"), data("[DONE]")]), (BrokenStream,)),
}


class FaultyServer(GlmServer):
    """Answers each question with the fault that it names, always the same one, unless it is one that passes."""

    def echo(self, request: Any) -> Answer:
        number, _, fault = request.body["messages"][-1]["content"].partition(": ")
        times = sum(each.body["messages"][-1]["content"].partition(": ")[0] == number for each in self.requests)
        return FAULTS["none" if fault.endswith("once") and times > 1 else fault][0]()


def open_sockets() -> int:
    descriptors = Path("/proc/self/fd")
    return sum(os.path.realpath(fd).rpartition("/")[2].startswith("socket:") for fd in descriptors.iterdir())


@pytest.mark.skipif(sys.platform != "linux", reason="counts the sockets in /proc")
def test_every_request_of_a_rush_ends_in_a_reply_or_in_the_error_that_names_its_fault(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("glm_magic.service.limiter._FIRST_PAUSE", 0.01)
    before = open_sockets()
    chance = random.Random(7)
    # few are refused: each refusal slows all others down
    asked = chance.choices(list(FAULTS), [1 if fault == "429 once" else 8 for fault in FAULTS], k=REQUESTS)
    with FaultyServer() as server:
        settings = {"GLM_BASE_URL": server.url, "GLM_TIMEOUT": "3", "GLM_RETRIES": "1"}
        session = Session(Layers(settings), services=Services(settings, client=Client(draw=lambda: 0.0)))

        def ask(number: int) -> AnswerError | None:
            question = session.plan(
                Message("user", f"{number}: {asked[number]}"),
                Place(f"cell {number}"),
                Wishes(chat=f"chat {number % 10}"),
            )
            try:
                for _ in session.ask(question):
                    pass
            except AnswerError as failed:
                return failed
            return None

        with ThreadPoolExecutor(CONNECTIONS) as pool:
            ended = list(pool.map(ask, range(REQUESTS)))

        for fault, failed in zip(asked, ended, strict=True):
            kinds = FAULTS[fault][1]
            assert (failed is None) if not kinds else type(failed) in kinds, (fault, failed)
        kept = Counter(attempt.answer for chat in session.chats.values() for attempt in chat.sent())
        assert kept == {"a whole answer": asked.count("none") + asked.count("429 once")}
        assert comes_true(lambda: readers() == 0)
        session.close()
    assert comes_true(lambda: open_sockets() <= before)


def test_a_forked_process_does_not_use_the_connections_of_its_parent(server: GlmServer) -> None:
    session = Session(Layers({"GLM_BASE_URL": server.url}))

    def ask(text: str) -> str:
        asking = session.ask(session.plan(Message("user", text), Place(text), Wishes(keep=False)))
        for _ in asking:
            pass
        return asking.reply.text if asking.reply else ""

    assert ask("parent") == "You said: parent"
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:  # the forked process says what it got, and leaves without cleaning up for its parent
        with os.fdopen(writing, "w") as pipe:
            pipe.write(ask("child"))
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        assert pipe.read() == "You said: child"
    os.waitpid(child, 0)
    assert ask("parent again") == "You said: parent again"
    parent, forked, again = (request.client for request in server.requests)
    assert parent == again != forked
    session.close()
