import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glm_magic.chat.attempt import Attempt, context_digest, is_whole
from glm_magic.chat.conversation import Conversation
from glm_magic.chat.messages import Message, ToolCall
from glm_magic.chat.place import Place

A, B, C = Place("a"), Place("b"), Place("c")


def attempt(id_, question="", answer="", **more):
    messages = (Message("user", question or f"ask {id_}"), Message("assistant", answer or f"answer {id_}"))
    return Attempt(id_, messages, **more)


def asked(conversation, place, id_, **more):
    """Ask at a place as a session does: reserve, see what is sent before, commit."""
    made = attempt(id_, **more)
    taken = conversation.reserve(place, made.messages[0])
    before = taken.sent(place, new=made.new)
    return taken.commit(
        place, dataclasses.replace(made, after=tuple(a.id for a in before), context=context_digest(before))
    )


def talk(*places, **more):
    conversation = Conversation()
    for place in places:
        conversation = asked(conversation, place, place.cell + str(place.call), **more)
    return conversation


def ids(attempts):
    return [attempt.id for attempt in attempts]


def places(conversation):
    return [turn.place for turn in conversation]


def restored(*attempts):
    conversation = Conversation()
    for number, made in enumerate(attempts):
        conversation = conversation.reserve(Place(f"saved {number}")).commit(Place(f"saved {number}"), made)
    return Conversation(tuple(dataclasses.replace(turn, restored=True) for turn in conversation))


def test_new_cells_come_last():
    assert places(talk(A, B, C)) == [A, B, C]


def test_a_re_run_keeps_its_place_and_later_turns():
    conversation = asked(talk(A, B, C), B, "again")
    assert ids(conversation.sent()) == ["a0", "again", "c0"]


def test_a_re_run_is_sent_only_after_the_turns_before_it():
    conversation = asked(talk(A, B, C), B, "again")
    assert conversation.find(B).counting.after == ("a0",)
    assert ids(conversation.sent(B)) == ["a0"]


def test_a_re_run_keeps_its_earlier_attempts():
    turn = asked(asked(talk(A), A, "second"), A, "third").find(A)
    assert ids(turn.attempts) == ["a0", "second", "third"]
    assert ids(turn.earlier) == ["a0", "second"]
    assert turn.counting.id == "third"


def test_the_ten_latest_earlier_attempts_are_kept_at_hand():
    conversation = Conversation()
    for number in range(15):
        conversation = asked(conversation, A, str(number))
    assert ids(conversation.find(A).earlier) == [str(number) for number in range(4, 14)]


def test_a_further_call_follows_its_cell():
    assert places(asked(talk(A, B), Place("a", 1), "a1")) == [A, Place("a", 1), B]


def test_the_calls_of_a_cell_stand_in_their_order_whenever_they_come():
    conversation = talk(Place("a", 0), Place("a", 2), B)
    assert places(asked(conversation, Place("a", 1), "x")) == [A, Place("a", 1), Place("a", 2), B]
    assert places(asked(talk(Place("a", 1), B), A, "x")) == [A, Place("a", 1), B]


def test_a_place_that_is_taken_sends_nothing_before_it_is_filled():
    conversation = talk(A).reserve(B, Message("user", "hi"))
    assert places(conversation) == [A, B]
    assert ids(conversation.sent()) == ["a0"]


def test_reserving_a_known_place_changes_nothing_but_what_its_cell_asks():
    conversation = talk(A, B)
    reserved = conversation.reserve(A, Message("user", "other"))
    assert reserved.find(A) == dataclasses.replace(conversation.find(A), asks="other")
    assert reserved.turns[1:] == conversation.turns[1:]
    assert conversation.reserve(A) is conversation


def test_a_failed_re_run_leaves_no_counting_attempt_but_keeps_earlier_ones():
    conversation = talk(A, B).retire(A)
    assert ids(conversation.sent()) == ["b0"]
    assert ids(conversation.find(A).attempts) == ["a0"]
    assert ids(conversation.find(A).earlier) == ["a0"]
    assert places(conversation) == [A, B]


def test_a_run_after_a_failed_one_counts_at_the_old_place():
    assert ids(asked(talk(A, B).retire(A), A, "again").sent()) == ["again", "b0"]


def test_undo_takes_back_the_last_turn_that_counts():
    conversation = talk(A, B, C).retire(C).undo()
    assert ids(conversation.sent()) == ["a0"]
    assert ids(conversation.undo().undo().undo().sent()) == []


def test_undo_of_an_empty_conversation_is_the_same():
    assert Conversation().undo() == Conversation()


def test_a_skipped_turn_keeps_its_place_and_its_attempts_and_is_not_sent():
    conversation = talk(A, B, C).skip(B)
    assert ids(conversation.sent()) == ["a0", "c0"]
    assert places(conversation) == [A, B, C]
    assert conversation.find(B).counting.id == "b0"


def test_a_skipped_turn_is_sent_again_when_it_is_taken_in():
    assert talk(A, B, C).skip(B).unskip(B) == talk(A, B, C)


def test_a_skipped_turn_whose_cell_runs_again_counts():
    conversation = asked(talk(A, B, C).skip(B), B, "again")
    assert ids(conversation.sent()) == ["a0", "again", "c0"]
    assert ids(conversation.find(B).earlier) == ["b0"]


def test_a_skipped_turn_whose_cell_fails_is_no_more_skipped_than_another():
    conversation = talk(A, B).skip(A).retire(A)
    assert not conversation.find(A).skipped
    assert ids(conversation.sent()) == ["b0"]


def test_a_place_where_nothing_counts_cannot_be_skipped():
    conversation = talk(A, B).retire(B)
    assert conversation.skip(B) == conversation
    assert ids(asked(conversation.skip(B), B, "again").sent()) == ["a0", "again"]


def test_what_was_asked_after_a_turn_that_is_skipped_is_stale():
    assert talk(A, B, C).skip(B).stale() == {"c0"}
    assert asked(talk(A, B).skip(A), C, "c").stale() == {"b0"}


def test_a_skipped_boundary_stays_one():
    conversation = asked(asked(talk(A), B, "b", new=True), C, "c").skip(B)
    assert ids(conversation.sent()) == ["c"]


def test_undo_takes_back_the_last_turn_that_is_sent():
    assert ids(talk(A, B, C).skip(C).undo().sent()) == ["a0"]
    bounded = asked(talk(A), B, "b", new=True).skip(B)
    assert bounded.undo() == bounded


def test_a_boundary_sends_nothing_before_it():
    conversation = asked(asked(talk(A), B, "b", new=True), C, "c")
    assert ids(conversation.sent()) == ["b", "c"]
    assert conversation.find(B).counting.after == ()
    assert conversation.find(C).counting.after == ("b",)


def test_a_question_that_is_a_boundary_is_sent_after_nothing():
    assert talk(A, B).sent(C, new=True) == ()


def test_a_boundary_does_not_reach_what_stands_before_it():
    conversation = asked(asked(talk(A), B, "b"), C, "c", new=True)
    assert ids(conversation.sent(B)) == ["a0"]
    assert ids(conversation.sent(C)) == ["a0", "b"]


def test_a_boundary_on_a_re_run_keeps_later_turns_and_makes_them_stale():
    conversation = asked(talk(A, B, C), B, "again", new=True)
    assert ids(conversation.sent()) == ["again", "c0"]
    assert conversation.stale() == {"c0"}


def test_a_boundary_that_is_taken_back_lets_earlier_turns_be_sent_again():
    conversation = asked(asked(talk(A), B, "b", new=True), C, "c").retire(B)
    assert ids(conversation.sent()) == ["a0", "c"]


def test_a_place_that_is_unknown_is_asked_after_everything():
    assert ids(talk(A, B).sent(C)) == ["a0", "b0"]


def test_turns_asked_in_order_are_not_stale():
    assert talk(A, B, C).stale() == set()


def test_a_changed_answer_makes_what_was_asked_after_it_stale():
    assert asked(talk(A, B, C), A, "again").stale() == {"b0", "c0"}


def test_the_same_answer_again_makes_nothing_stale():
    assert asked(talk(A, B, C), A, "again", question="ask a0", answer="answer a0").stale() == set()


def test_a_turn_that_leaves_makes_what_was_asked_after_it_stale():
    assert talk(A, B, C).retire(B).stale() == {"c0"}
    assert talk(A, B, C).without(B).stale() == {"c0"}


def test_asking_a_stale_turn_again_makes_it_current():
    conversation = asked(asked(talk(A, B), A, "again"), B, "b again")
    assert conversation.stale() == set()


def test_what_stands_before_a_boundary_does_not_make_stale():
    conversation = asked(asked(talk(A), B, "b", new=True), C, "c")
    assert asked(conversation, A, "again").stale() == set()


def test_stale_turns_are_sent():
    assert ids(asked(talk(A, B), A, "again").sent()) == ["again", "b0"]


def test_an_attempt_whose_context_is_not_known_is_not_called_stale():
    assert talk(A).reserve(B).commit(B, attempt("b")).stale() == set()


def test_a_restored_turn_is_claimed_by_the_first_cell_with_the_same_message():
    conversation = restored(attempt("x", "hi"), attempt("y", "and?")).reserve(A, Message("user", "hi"))
    assert places(conversation) == [A, Place("saved 1")]
    assert not conversation.find(A).restored
    assert ids(asked(conversation, A, "x again", question="hi").sent()) == ["x again", "y"]


def test_a_restored_turn_is_claimed_once():
    conversation = restored(attempt("x", "hi")).reserve(A, Message("user", "hi")).reserve(B, Message("user", "hi"))
    assert places(conversation) == [A, B]


def test_equal_restored_turns_are_claimed_in_their_order():
    conversation = restored(attempt("x", "hi"), attempt("y", "hi"))
    for place in (A, B):
        conversation = conversation.reserve(place, Message("user", "hi"))
    assert places(conversation) == [A, B]
    assert ids(conversation.sent()) == ["x", "y"]


@pytest.mark.parametrize("question", [None, Message("user", "hi "), Message("system", "hi")])
def test_a_restored_turn_is_not_claimed_by_another_message(question):
    assert places(restored(attempt("x", "hi")).reserve(A, question)) == [Place("saved 0"), A]


def test_a_restored_turn_whose_cell_comes_keeps_its_place():
    conversation = asked(restored(attempt("x", "hi"), attempt("y")), Place("saved 0"), "x2", question="changed")
    assert ids(conversation.sent()) == ["x2", "y"]
    assert not conversation.find(Place("saved 0")).restored


def test_a_turn_that_was_asked_here_is_not_claimed():
    conversation = asked(Conversation(), A, "a", question="hi").reserve(B, Message("user", "hi"))
    assert places(conversation) == [A, B]


def test_a_turn_from_another_chat_brings_its_attempts_and_does_not_count_yet():
    conversation = talk(A).adopt(B, (attempt("old"),))
    assert places(conversation) == [A, B]
    assert ids(conversation.sent()) == ["a0"]
    assert ids(asked(conversation, B, "new").find(B).earlier) == ["old"]


def test_adopting_at_a_place_that_is_taken_puts_what_is_adopted_first():
    assert ids(talk(A).adopt(A, (attempt("old"),)).find(A).attempts) == ["old", "a0"]


def test_an_attempt_that_is_chosen_counts_and_the_others_are_kept():
    conversation = asked(asked(talk(A, B), A, "again"), A, "third")
    chosen = conversation.skip(A).choose(A, conversation.find(A).attempts[0])
    assert ids(chosen.sent()) == ["a0", "b0"]
    assert ids(chosen.find(A).earlier) == ["again", "third"]
    assert (chosen.find(A).number, chosen.stale()) == (1, set())


def test_an_attempt_is_chosen_where_nothing_counted():
    conversation = talk(A, B).retire(A)
    assert ids(conversation.choose(A, conversation.find(A).attempts[0]).sent()) == ["a0", "b0"]


def test_the_latest_attempts_are_at_hand_whichever_counts():
    conversation = Conversation()
    for number in range(15):
        conversation = asked(conversation, A, str(number), created=number)
    chosen = conversation.choose(A, conversation.find(A).attempts[2]).find(A)
    assert (chosen.number, len(chosen.attempts)) == (3, 15)
    assert ids(chosen.earlier) == [str(number) for number in range(5, 15)]


def test_a_fork_copies_what_counts_and_what_is_skipped_stays_so():
    fork = talk(A, B, C).retire(A).skip(B).fork()
    assert places(fork) == [B, C]
    assert ids(fork.sent()) == ["c0"]
    assert all(turn.forked for turn in fork)


def test_a_forked_copy_whose_cell_asks_is_one_no_more():
    fork = talk(A, B).fork()
    assert [turn.forked for turn in fork.reserve(A)] == [False, True]
    assert ids(asked(fork, A, "again").find(A).attempts) == ["a0", "again"]
    claimed = Conversation(tuple(dataclasses.replace(turn, restored=True) for turn in fork))
    assert not claimed.reserve(C, Message("user", "ask a0")).find(C).forked


def test_what_is_kept_is_all_that_counts_and_a_boundary_that_is_skipped_passes_on():
    conversation = asked(asked(asked(talk(A), B, "b", new=True), C, "c"), Place("d"), "d").skip(B)
    assert [(made.id, made.new) for made in conversation.kept()] == [("a0", False), ("c", True), ("d", False)]


CALLS = (ToolCall("1", "look", "{}"), ToolCall("2", "look", "{}"))
QUESTION, ANSWER = Message("user", "q"), Message("assistant", "a")
ASKS = Message("assistant", "", CALLS)


def asks(*calls):
    return Message("assistant", "", tuple(ToolCall(id_, "look", arguments) for id_, arguments in calls))


ONE, TWO = Message("tool", "x", tool_call_id="1"), Message("tool", "", tool_call_id="2")


@pytest.mark.parametrize(
    ("role", "messages"),
    [
        ("user", (QUESTION, ANSWER)),
        ("user", (QUESTION, ASKS, TWO, ONE, ANSWER)),
        ("user", (QUESTION, ASKS, ONE, TWO, ASKS, ONE, TWO, ANSWER)),
        ("system", (Message("system", "s"),)),
        ("assistant", (ANSWER,)),
        ("", ()),
    ],
)
def test_what_is_whole_may_be_sent(role, messages):
    assert is_whole(role, messages)


@pytest.mark.parametrize(
    ("role", "messages"),
    [
        ("user", ()),
        ("user", (QUESTION,)),
        ("user", (ANSWER, QUESTION)),
        ("user", (QUESTION, QUESTION)),
        ("user", (QUESTION, ANSWER, ANSWER)),
        ("user", (QUESTION, ASKS)),
        ("user", (QUESTION, ASKS, ANSWER)),
        ("user", (QUESTION, ASKS, ONE, ANSWER)),
        ("user", (QUESTION, ASKS, ONE, ONE, ANSWER)),
        ("user", (QUESTION, ASKS, ONE, TWO)),
        ("user", (QUESTION, ONE, ANSWER)),
        ("user", (QUESTION, asks(("1", "{}"), ("1", "{}")), ONE, ANSWER)),
        ("user", (QUESTION, asks(("1", "{}"), ("1", "{}")), ONE, ONE, ANSWER)),
        ("user", (QUESTION, asks(("", "{}")), Message("tool", "x"), ANSWER)),
        ("user", (QUESTION, asks(("1", "")), ONE, ANSWER)),
        ("user", (QUESTION, asks(("1", "[1]")), ONE, ANSWER)),
        ("user", (QUESTION, asks(("1", '{"x": NaN}')), ONE, ANSWER)),
        ("user", (QUESTION, Message("system", "s"), ANSWER)),
        ("user", (QUESTION, Message("assistant", ""))),
        ("user", (Message("user", ""), ANSWER)),
        ("user", (Message("user", "q", CALLS), ANSWER)),
        ("user", (QUESTION, Message("assistant", "a", tool_call_id="1"))),
        ("tool", (ONE,)),
        ("system", (ANSWER,)),
        ("assistant", (ASKS,)),
        ("assistant", (Message("assistant", "a", CALLS),)),
        ("assistant", (Message("assistant", ""),)),
        ("", (ANSWER,)),
        ("owner", (ANSWER,)),
    ],
)
def test_what_breaks_the_order_of_the_protocol_is_not_whole(role, messages):
    assert not is_whole(role, messages)


def test_a_turn_that_is_taken_out_is_gone():
    assert places(talk(A, B).without(A)) == [B]
    assert talk(A).find(B) is None


def test_question_and_answer_are_the_first_and_the_last_message():
    made = attempt("x", "q", "a")
    assert (made.question, made.answer) == ("q", "a")
    assert (Attempt("x", ()).question, Attempt("x", ()).answer) == ("", "")


PLACES = st.builds(Place, st.sampled_from("abc"), st.integers(0, 2))
CHANGES = st.one_of(
    st.tuples(st.just("ask"), PLACES, st.booleans(), st.sampled_from(["hi", "and?"])),
    st.tuples(st.just("reserve"), PLACES),
    st.tuples(st.just("retire"), PLACES),
    st.tuples(st.just("without"), PLACES),
    st.tuples(st.just("adopt"), PLACES),
    st.tuples(st.just("skip"), PLACES),
    st.tuples(st.just("unskip"), PLACES),
    st.tuples(st.just("choose"), PLACES, st.integers(0, 3)),
    st.tuples(st.just("undo")),
    st.tuples(st.just("fork")),
    st.tuples(st.just("restart")),
)


def changed(conversation, number, change):
    match change:
        case "ask", place, new, question:
            return asked(conversation, place, str(number), new=new, question=question)
        case "reserve", place:
            return conversation.reserve(place, Message("user", "hi"))
        case "retire", place:
            return conversation.retire(place)
        case "skip", place:
            return conversation.skip(place)
        case "unskip", place:
            return conversation.unskip(place)
        case "without", place:
            return conversation.without(place)
        case "adopt", place:
            return conversation.adopt(place, (attempt(f"moved {number}"),))
        case "choose", place, which:
            attempts = turn.attempts if (turn := conversation.find(place)) else ()
            return conversation.choose(place, attempts[which]) if which < len(attempts) else conversation
        case ("fork",):
            return conversation.fork()
        case ("restart",):
            return Conversation(tuple(dataclasses.replace(turn, restored=True) for turn in conversation))
        case _:
            return conversation.undo()


@given(st.lists(CHANGES, max_size=20))
def test_a_conversation_is_always_fit_to_be_sent_and_never_mutated(changes):
    conversation = Conversation()
    for number, change in enumerate(changes):
        before = (conversation, repr(conversation))
        conversation = changed(conversation, number, change)
        assert repr(before[0]) == before[1]
        assert len(set(places(conversation))) == len(places(conversation))
        for cut in (None, *places(conversation)):
            sent = conversation.sent(cut)
            roles = [message.role for made in sent for message in made.messages]
            assert roles == ["user", "assistant"] * len(sent)
            assert not any(made.new for made in sent[1:])
        assert conversation.stale() <= {turn.counting.id for turn in conversation if turn.counting}


@given(st.lists(CHANGES, max_size=20))
def test_what_was_asked_last_is_never_stale(changes):
    conversation = Conversation()
    for number, change in enumerate(changes):
        conversation = changed(conversation, number, change)
        if change[0] == "ask":
            assert str(number) not in conversation.stale()


@given(st.lists(PLACES, max_size=15))
def test_the_calls_of_a_cell_always_stand_together_and_in_order(asked_places):
    conversation = Conversation()
    for number, place in enumerate(asked_places):
        conversation = asked(conversation, place, str(number), question=str(number))
    cells = list(dict.fromkeys(place.cell for place in asked_places))
    assert places(conversation) == sorted(set(asked_places), key=lambda place: (cells.index(place.cell), place.call))


def test_a_conversation_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        talk(A).turns = ()
