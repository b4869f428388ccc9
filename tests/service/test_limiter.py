"""How many requests are under way at once: by a fake clock, and against a server that takes so many."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from glm_server import Answer, GlmServer, chunk, data, stream
from waiting import comes_true

from glm_magic.chat.events import Event, Notice, TextDelta, Tick
from glm_magic.errors import AnswerError, RateLimited, ServiceDown
from glm_magic.service.client import Client, Patience
from glm_magic.service.endpoint import Endpoint
from glm_magic.service.limiter import LONGEST_PAUSE, Limiter, Slot
from glm_magic.service.limits import Limits


class Clock:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


def limiter(clock: Clock, limit: int = 4, **more: Any) -> Limiter:
    return Limiter(limit, clock=clock, sleep=clock.sleep, draw=lambda: 1.0, **more)


def started(limiter: Limiter, number: int, **wishes: Any) -> list[Slot]:
    """Slots that may start at once."""
    slots = [limiter.slot(**wishes) for _ in range(number)]
    for slot in slots:
        assert list(slot.wait()) == []
    return slots


def in_line(limiter: Limiter, **wishes: Any) -> tuple[Slot, Iterator[Event]]:
    """A slot that has to wait."""
    slot = limiter.slot(**wishes)
    waiting = slot.wait()
    assert isinstance(next(waiting), Notice)
    return slot, waiting


def refusal(status: int = 429, retry_after: float | None = None) -> AnswerError:
    error = (RateLimited if status == 429 else ServiceDown)("no", status=status, code="1302")
    error.retry_after = retry_after
    return error


def test_four_start_at_once_and_the_fifth_waits_and_says_why(clock: Clock) -> None:
    all_of_them = limiter(clock)
    slots = started(all_of_them, 4)
    _, waiting = in_line(all_of_them)
    assert (all_of_them.pace.in_flight, all_of_them.pace.limit, all_of_them.pace.waiting) == (4, 4, 1)
    slots[2].end()
    assert list(waiting) == [Tick(0.0)]
    assert (all_of_them.pace.in_flight, all_of_them.pace.waiting) == (4, 0)


def test_each_response_that_begins_lets_one_more_start_while_there_are_more(clock: Clock) -> None:
    all_of_them = limiter(clock)
    running, waiting = started(all_of_them, 4), [in_line(all_of_them) for _ in range(40)]
    for rounds in (8, 16, 32):
        for slot in running[:]:
            if not slot.has_begun:
                slot.begin()
        while all_of_them.pace.in_flight < all_of_them.pace.limit:
            slot, line = waiting.pop(0)
            assert list(line) == [Tick(0.0)]
            running.append(slot)
        assert all_of_them.pace.limit == len(running) == rounds


def test_answers_one_by_one_prove_nothing(clock: Clock) -> None:
    all_of_them = limiter(clock)
    for _ in range(10):
        (slot,) = started(all_of_them, 1)
        slot.begin()
        slot.end()
    assert all_of_them.pace.limit == 4


def test_it_never_passes_the_concurrency_that_is_set(clock: Clock) -> None:
    all_of_them = limiter(clock)
    slots = started(all_of_them, 2, concurrency=2)
    _, waiting = in_line(all_of_them, concurrency=2)
    for slot in slots:
        slot.begin()
    assert isinstance(next(waiting), Notice)
    slots[0].end()
    assert list(waiting) == [Tick(0.0)]


def test_a_wave_of_refusals_halves_once_and_those_that_started_after_it_halve_again(clock: Clock) -> None:
    all_of_them = limiter(clock, 16)
    slots = started(all_of_them, 16)
    for slot in slots[8:]:
        slot.end(refusal())
    assert all_of_them.pace.limit == 8
    assert all_of_them.pace.reason == "refused at 16: HTTP 429, code 1302"
    for slot in slots[:8]:
        slot.begin()
    assert all_of_them.pace.limit == 8  # they started before it was halved
    for slot in slots[:8]:
        slot.end()
    clock.now += 1
    started(all_of_them, 8)[0].end(refusal())
    assert all_of_them.pace.limit == 4


@pytest.mark.parametrize("status", [429, 503])
def test_after_a_refusal_it_grows_slowly_and_most_slowly_to_what_was_refused(clock: Clock, status: int) -> None:
    all_of_them = limiter(clock)
    slots = started(all_of_them, 4)
    for slot in slots[1:]:
        slot.begin()
    slots[0].end(refusal(status))
    for slot in slots[1:]:
        slot.end()
    grown = {2: 0}
    for answers in range(1, 36):
        running = started(all_of_them, all_of_them.pace.limit)
        line = in_line(all_of_them)
        running[0].begin()
        for slot in (*running, line[0]):
            slot.end()
        grown.setdefault(all_of_them.pace.limit, answers)
    assert grown == {2: 0, 3: 2, 4: 2 + 8 * 3, 5: 2 + 8 * 3 + 4, 6: 2 + 8 * 3 + 4 + 5}


def test_what_is_refused_again_and_again_is_tried_ever_less_often(clock: Clock) -> None:
    all_of_them = limiter(clock, 2)
    tries: list[int] = []
    for answers in range(390):
        running = started(all_of_them, all_of_them.pace.limit)
        line = in_line(all_of_them)
        if len(running) == 2:  # the service bears one
            running[0].begin()
            running[1].end(refusal())
            tries.append(answers)
        else:
            running[0].begin()
        for slot in (*running, line[0]):
            slot.end()
    assert [late - early for early, late in itertools.pairwise(tries)] == [9, 17, 33, *[65] * 5]


def test_retry_after_holds_for_all(clock: Clock) -> None:
    all_of_them = limiter(clock)
    refused, accepted = started(all_of_them, 2)
    accepted.begin()
    refused.end(refusal(retry_after=7.0))
    accepted.end()
    notices = list(all_of_them.slot().wait())
    assert clock.now == pytest.approx(7.0)
    assert isinstance(notices[0], Notice)
    assert "starts in 7 s" in notices[0].text
    assert len(notices) >= 70  # one in each tenth of a second


def test_the_pauses_grow_while_nothing_is_accepted(clock: Clock) -> None:
    all_of_them = limiter(clock)
    pauses, slot = [], all_of_them.slot()
    for _ in range(6):
        since = clock.now
        list(slot.wait())
        pauses.append(round(clock.now - since, 1))
        slot.end(refusal())
        slot = slot.again()
    assert pauses == [0, 1, 2, 4, 8, 8]
    assert all_of_them.pace.limit == 1


def test_a_request_that_is_always_refused_ends_and_halves_the_limit_three_times_at_most(clock: Clock) -> None:
    all_of_them = limiter(clock, 64)
    slot, (other,) = all_of_them.slot(), started(all_of_them, 1)
    other.begin()
    for refusals in range(1, 21):
        if refusals == 4:
            assert all_of_them.pace.limit == 1
            all_of_them._limit = 2  # as if it had grown
        elif refusals < 4:
            all_of_them._limit = 64
        assert list(slot.wait()) == []
        slot.end(refusal())
        other.begin()
        assert slot.is_hopeless == (refusals == 20)
        slot = slot.again()
    assert all_of_them.pace.limit == 2


def test_a_service_that_asks_for_a_longer_wait_than_anybody_waits_gets_no_request_meanwhile(clock: Clock) -> None:
    all_of_them = limiter(clock)
    (slot,) = started(all_of_them, 1)
    slot.end(refusal(retry_after=3600.0))
    assert slot.is_hopeless
    clock.now += 60
    with pytest.raises(RateLimited, match="asks to wait 3540 s"):
        list(all_of_them.slot().wait())
    clock.now += LONGEST_PAUSE
    assert list(all_of_them.slot().wait()) == []  # the account may have been topped up


def test_those_that_wait_start_in_the_order_in_which_they_came(clock: Clock) -> None:
    all_of_them = limiter(clock, 1)
    (slot,) = started(all_of_them, 1)
    _, first = in_line(all_of_them)
    _, second = in_line(all_of_them)
    slot.end()
    assert isinstance(next(second), Notice)
    assert list(first) == [Tick(0.0)]


def test_who_looks_no_longer_does_not_hold_up_those_behind(clock: Clock) -> None:
    all_of_them = limiter(clock, 1)
    (slot,) = started(all_of_them, 1)
    in_line(all_of_them)
    slot.end()
    clock.now += 10
    started(all_of_them, 1)


def test_whoever_starts_tells_the_next_one_alone(clock: Clock) -> None:
    all_of_them = limiter(clock)
    running, waiting = started(all_of_them, 4), [in_line(all_of_them) for _ in range(30)]
    for slot, _ in waiting:
        slot.turn.clear()
    for slot in running:
        slot.end()
    for slot, until_its_turn in waiting[:4]:
        assert [other for other, _ in waiting if other.turn.is_set()] == [slot]
        assert list(until_its_turn) == [Tick(0.0)]
    assert not any(slot.turn.is_set() for slot, _ in waiting)


def test_who_looks_no_longer_is_told_together_with_those_behind_who_do(clock: Clock) -> None:
    all_of_them = limiter(clock)
    (running, *_), (asleep, _) = started(all_of_them, 4), in_line(all_of_them)
    clock.now += 3.0
    (awake, _), (behind, _) = in_line(all_of_them), in_line(all_of_them)
    for slot in (asleep, awake, behind):
        slot.turn.clear()
    running.end()
    assert [slot.turn.is_set() for slot in (asleep, awake, behind)] == [True, True, False]


def test_who_stops_waiting_leaves_the_line(clock: Clock) -> None:
    all_of_them = limiter(clock, 1)
    started(all_of_them, 1)
    slot, _ = in_line(all_of_them)
    slot.end()
    slot.end()
    assert (all_of_them.pace.in_flight, all_of_them.pace.waiting) == (1, 0)


# --- on a server -------------------------------------------------------------------------------


class Paced(GlmServer):
    """Its answers take a twentieth of a second."""

    def echo(self, request: Any) -> Answer:
        def steps() -> Iterator[bytes]:
            yield chunk("yes")
            time.sleep(0.05)
            yield chunk(finish_reason="stop")
            yield data("[DONE]")

        return Answer(steps())  # type: ignore[arg-type]


def ask(client: Client, server: GlmServer, model: str = "GLM-4-Air") -> str:
    body = {"model": model, "messages": [{"role": "user", "content": "hi"}], "stream": True}
    events = client.stream(Endpoint(server.url), body, Patience(retries=0))
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def test_a_server_that_takes_three_at_once_answers_all_and_refuses_few() -> None:
    with Paced(bears=3) as server:
        client = Client()
        with ThreadPoolExecutor(24) as pool:
            assert list(pool.map(lambda _: ask(client, server), range(24))) == ["yes"] * 24
        print(f"refused {len(server.refused)} of {len(server.requests)}")
        assert len(server.refused) <= 8
        client.close()


def test_a_server_without_a_limit_gets_thirty_two_after_three_first_tokens() -> None:
    with GlmServer() as server:
        gate = threading.Event()
        server.answer(*[stream("first", gate) for _ in range(40)])
        client = Client()
        with ThreadPoolExecutor(40) as pool:
            answers = [pool.submit(ask, client, server) for _ in range(40)]
            try:
                assert comes_true(lambda: server.at_once == 32)
                pace = client.limits.of(Endpoint(server.url), "GLM-4-Air").pace
                assert (pace.in_flight, pace.waiting) == (32, 8)
            finally:
                gate.set()
            assert [answer.result() for answer in answers] == ["first"] * 40
        assert server.most_at_once == 32
        client.close()


def test_a_slot_is_free_when_the_service_is_done_though_nobody_reads_the_answer(server: GlmServer) -> None:
    client = Client(limits=Limits())
    body = {"model": "GLM-4-Air", "messages": [{"role": "user", "content": "hi"}], "stream": True}
    streams = [client.stream(Endpoint(server.url), body, Patience(concurrency=1)) for _ in range(3)]
    for one in streams:  # in one thread, and none of them is read to its end
        assert any(isinstance(event, TextDelta) for event in one)
    assert comes_true(lambda: client.limits.of(Endpoint(server.url), "GLM-4-Air").pace.in_flight == 0)
    client.close()


@pytest.mark.parametrize("waits", [True, False])
def test_a_closed_iterator_gives_its_slot_back(server: GlmServer, waits: bool) -> None:
    client, gate = Client(), threading.Event()
    server.answer(*[stream("first", gate)] * 5)
    body = {"model": "GLM-4-Air", "messages": [{"role": "user", "content": "hi"}], "stream": True}
    wish = Patience(concurrency=1)
    one = client.stream(Endpoint(server.url), body, wish)
    assert any(isinstance(event, TextDelta) for event in one)
    if waits:
        other = client.stream(Endpoint(server.url), body, wish)
        assert isinstance(next(other), Notice)
        other.close()  # type: ignore[attr-defined]
    one.close()  # type: ignore[attr-defined]
    pace = client.limits.of(Endpoint(server.url), "GLM-4-Air").pace
    assert (pace.in_flight, pace.waiting) == (0, 0)
    gate.set()
    client.close()


def test_models_do_not_wait_for_each_other(server: GlmServer) -> None:
    client, gate = Client(), threading.Event()
    server.answer(*[stream("first", gate)] * 4)
    body = {"model": "GLM-4-Air", "messages": [{"role": "user", "content": "hi"}], "stream": True}
    streams = [client.stream(Endpoint(server.url), body, Patience(concurrency=4)) for _ in range(4)]
    for one in streams:
        assert any(isinstance(event, TextDelta) for event in one)
    assert ask(client, server, "GLM-4-Plus") == "You said: hi"
    gate.set()
    for one in streams:
        one.close()  # type: ignore[attr-defined]
    client.close()
