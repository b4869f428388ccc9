import pytest

from glm_magic.asking.loop import MOST_CALLS, Loop, Toolbox
from glm_magic.chat.events import (
    Facts,
    Finished,
    Notice,
    ReasoningDelta,
    TextDelta,
    Tick,
    ToolCallDelta,
    ToolCalling,
    ToolResult,
    Unread,
)
from glm_magic.chat.messages import Usage
from glm_magic.errors import (
    BrokenStream,
    ConnectionFailed,
    ContentFiltered,
    PromptTooLong,
    ServiceDown,
    SetupError,
    TooManySteps,
    Withdrawn,
)
from glm_magic.tools import run as calling
from glm_magic.tools.tool import Outcome, tool

REQUEST = {"model": "m", "messages": []}
STOP = Facts("i", "m", "stop", Usage(1, 2, 3))


class Clock:
    """Counts one second, or another `step`, for each event of a stream."""

    def __init__(self, step=1.0):
        self.now = 100.0
        self.step = step

    def __call__(self):
        return self.now

    def stream(self, *steps):
        def ask(request):
            assert request is REQUEST
            for step in steps:
                self.now += self.step
                if isinstance(step, BaseException):
                    raise step
                yield step

        return ask


def turn(*steps, **circumstances):
    clock = Clock()
    return Loop(REQUEST, clock.stream(*steps), clock, **circumstances)


def failed(*steps):
    with pytest.raises(Exception) as caught:
        list(turn(*steps))
    return caught.value


def test_a_turn_yields_each_event_and_then_the_whole_reply():
    events = list(turn(TextDelta("ha"), TextDelta("ha"), STOP))
    assert events[:-1] == [TextDelta("ha"), TextDelta("ha"), STOP]
    reply = events[-1].reply
    assert isinstance(events[-1], Finished)
    assert (reply.text, reply.finish_reason, reply.usage, reply.id) == ("haha", "stop", Usage(1, 2, 3), "i")
    assert reply.request is REQUEST


def test_a_turn_measures_with_the_clock_that_it_is_given():
    reply = list(turn(Notice("start", "…"), Tick(1.0), TextDelta("a"), TextDelta("b"), STOP))[-1].reply
    assert (reply.first_token_seconds, reply.seconds) == (3.0, 5.0)


def test_a_time_is_as_it_will_be_kept_so_that_a_replay_shows_the_same():
    clock = Clock(step=0.02498)  # 0.04996 would be shown as 0.0 s, and 0.05 as 0.1 s
    reply = list(Loop(REQUEST, clock.stream(TextDelta("a"), STOP), clock))[-1].reply
    assert (reply.first_token_seconds, reply.seconds) == (0.025, 0.05)


@pytest.mark.parametrize("first", [TextDelta("a"), ReasoningDelta("a"), ToolCallDelta(0, "c", "f", "{}")])
def test_whatever_part_of_an_answer_comes_first_is_the_first_token(first):
    assert list(turn(Tick(1.0), first, TextDelta("b"), STOP))[-1].reply.first_token_seconds == 2.0


def test_an_answer_without_text_has_no_first_token():
    assert list(turn(Facts(finish_reason="stop")))[-1].reply.first_token_seconds is None


def test_the_circumstances_are_those_of_the_reply():
    assert list(turn(TextDelta("a"), STOP, embedded=True))[-1].reply.embedded


@pytest.mark.parametrize("reason", ["stop", "length", "tool_calls", "refusal"])
def test_an_answer_that_says_why_it_ended_is_whole(reason):
    assert list(turn(TextDelta("a"), Facts(finish_reason=reason)))[-1].reply.finish_reason == reason


def test_what_follows_a_finish_reason_still_counts():
    steps = Facts(finish_reason="tool_calls"), Facts(finish_reason="tool_calls", usage=Usage(1, 2, 3))
    assert list(turn(ToolCallDelta(0, "c", "f", "{}"), *steps))[-1].reply.usage == Usage(1, 2, 3)


def test_a_stream_without_a_finish_reason_is_an_error_that_carries_its_part():
    error = failed(TextDelta("half an ans"), Facts("i", "m"))
    assert isinstance(error, BrokenStream)
    assert error.partial.text == "half an ans"
    assert error.partial.finish_reason == ""


def test_an_empty_stream_is_an_error_without_a_part():
    error = failed()
    assert isinstance(error, BrokenStream)
    assert error.partial is None


def test_a_network_error_of_the_service_keeps_what_had_arrived():
    error = failed(TextDelta("half"), Facts(finish_reason="network_error"))
    assert isinstance(error, ServiceDown)
    assert error.partial.text == "half"


@pytest.mark.parametrize("reason", ["abort", "error", "insufficient_system_resource", "something_new"])
def test_an_ending_that_is_not_known_as_good_is_an_error_that_names_it(reason):
    error = failed(TextDelta("half"), Facts(finish_reason=reason))
    assert isinstance(error, BrokenStream if reason == "something_new" else ServiceDown)
    assert reason in error.what
    assert error.partial.text == "half"


@pytest.mark.parametrize(
    ("events", "said"),
    [
        ([Facts(finish_reason="stop", usage=Usage(1, 7, 8))], "7 tokens"),
        ([Unread(("choices[].delta.audio",)), Facts(finish_reason="stop")], "choices[].delta.audio"),
        ([Facts(finish_reason="tool_calls")], "call a tool"),
        ([Facts(finish_reason="length", usage=Usage(1, 7, 8))], "--max-tokens"),
    ],
)
def test_an_empty_answer_that_should_not_be_is_an_error(events, said):
    error = failed(*events)
    assert isinstance(error, BrokenStream)
    assert said in str(error)


def test_a_context_window_that_is_full_says_how_to_send_less():
    error = failed(TextDelta("half"), Facts(finish_reason="model_context_window_exceeded"))
    assert isinstance(error, PromptTooLong)
    assert "--new" in error.remedy
    assert "--skip TURN" in error.remedy
    assert error.partial.text == "half"


def test_a_withdrawn_answer_leaves_nothing():
    under_way = turn(TextDelta("secret"), Facts(finish_reason="sensitive"))
    with pytest.raises(Withdrawn) as caught:
        list(under_way)
    assert caught.value.partial is None
    assert under_way.partial().text == ""
    assert not under_way.has_begun


def test_a_withdrawn_answer_leaves_nothing_even_if_the_connection_breaks_then():
    error = failed(TextDelta("secret"), Facts(finish_reason="sensitive"), ConnectionFailed("reset"))
    assert isinstance(error, Withdrawn)
    assert error.partial is None


@pytest.mark.parametrize("begun", [TextDelta("secret"), ReasoningDelta("secret")])
def test_an_answer_that_an_error_of_the_filter_ends_is_withdrawn(begun):
    error = failed(begun, ContentFiltered("No [code 1301].", "Reword.", code="1301", request_id="r1"))
    assert type(error) is Withdrawn
    assert error.partial is None
    assert (error.what, error.remedy, error.code, error.request_id) == ("No [code 1301].", "Reword.", "1301", "r1")


def test_a_prompt_that_the_filter_refuses_has_no_answer_to_withdraw():
    error = ContentFiltered("No.")
    assert failed(Tick(1.0), error) is error


def test_an_error_of_the_stream_carries_what_had_arrived():
    error = failed(TextDelta("half"), ConnectionFailed("reset"))
    assert isinstance(error, ConnectionFailed)
    assert error.partial.text == "half"
    assert error.partial.seconds == 2.0


def test_an_error_before_anything_came_carries_nothing():
    assert failed(Notice("retry", "…"), ConnectionFailed("refused")).partial is None


def test_an_error_of_another_kind_passes_as_it_is():
    error = SetupError("no model")
    assert failed(error) is error


def test_what_had_arrived_when_it_is_left_is_at_hand():
    under_way = turn(TextDelta("half"), TextDelta(" more"), STOP)
    next(iter(under_way))
    assert under_way.has_begun
    partial = under_way.partial(interrupted=True)
    assert (partial.text, partial.interrupted) == ("half", True)


def test_leaving_a_turn_closes_its_stream():
    closed = []

    def ask(request):
        try:
            yield TextDelta("a")
            yield TextDelta("b")
        finally:
            closed.append(True)

    events = iter(Loop(REQUEST, ask, lambda: 0.0))
    next(events)
    assert not closed
    events.close()
    assert closed


# --- tools ---------------------------------------------------------------------------------------


def weather(city: str) -> str:
    """Tell the weather."""
    return f"sunny in {city}"


def called(*rounds, clock=None, run=None, **more):
    """The events of a turn whose model asks for these calls, one list for each round, and then answers."""
    clock = clock or Clock()
    asked = []

    def stream(request):
        asked.append(request["messages"])
        calls = rounds[len(asked) - 1] if len(asked) <= len(rounds) else ()
        for number, (name, arguments) in enumerate(calls):
            yield ToolCallDelta(number, f"call_{number}", name, arguments)
        yield from () if calls else (TextDelta("done"),)
        yield STOP

    toolbox = Toolbox((tool(weather, "weather"),), run or calling.run, **more)
    events = list(Loop({"model": "m", "messages": [{"role": "user"}]}, stream, clock, toolbox=toolbox))
    return events, asked


def test_loading_and_waiting_for_other_requests_are_not_the_time_of_the_answer():
    clock = Clock()

    def stream(request):
        clock.now += 50  # the first answer loads what asks

        def events():
            for event in (Notice("wait", "…"), Notice("wait", "…"), Tick(0.0), TextDelta("a"), Notice("retry", "…")):
                yield event
                clock.now += 100 if isinstance(event, Notice) and event.kind == "wait" else 1
            yield Facts(finish_reason="stop")

        return events()

    reply = list(Loop(REQUEST, stream, clock))[-1].reply
    assert (reply.first_token_seconds, reply.seconds) == (1, 3)


def test_the_time_of_a_tool_is_not_that_of_the_person_who_is_asked():
    clock = Clock()

    def approve(tool, call):
        clock.now += 100
        return call

    def run(tool, call):
        clock.now += 2
        return Outcome("sunny")

    events, _ = called([("weather", '{"city": "Seoul"}')], clock=clock, run=run, approve=approve)
    assert [event.seconds for event in events if isinstance(event, ToolResult)] == [2]
    stages = [(event.asks, event.runs) for event in events if isinstance(event, ToolCalling)]
    assert stages == [(False, False), (True, False), (False, True)]


def test_what_did_not_run_says_so_and_never_begins():
    wrong = [("weather", "{"), ("wether", "{}"), ("weather", '{"town": "x"}')]
    events, asked = called(wrong)
    results = [event for event in events if isinstance(event, ToolResult)]
    assert [event.failed for event in results] == [True] * 3
    assert not any(event.runs for event in events if isinstance(event, ToolCalling))
    assert [message["role"] for message in asked[1]] == ["user", "assistant", "tool", "tool", "tool"]


def test_each_call_of_a_turn_has_a_number_and_an_id_of_its_own():
    one = [("weather", '{"city": "Seoul"}'), ("weather", '{"city": "Busan"}')]
    events, _ = called(one, one)
    results = [event for event in events if isinstance(event, ToolResult)]
    assert [event.number for event in results] == [0, 1, 2, 3]
    assert len({event.call.id for event in results}) == 4
    reply = events[-1].reply
    assert reply.open_calls == ()
    assert reply.usage.total_tokens == 9


def test_a_round_of_more_calls_than_may_be_made_runs_none_of_them():
    ran = []
    with pytest.raises(TooManySteps, match="called 129 tools in one round"):
        called([("weather", "{}")] * (MOST_CALLS + 1), run=lambda *call: ran.append(call))
    assert ran == []
