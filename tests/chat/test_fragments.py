import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glm_magic.chat.events import ToolCallDelta
from glm_magic.chat.fragments import Calls

SEOUL, OSLO = '{"city":"Seoul, {\\"a\\"}"}', '{"city":"Oslo"}'


def joined(*fragments):
    calls = Calls()
    for fragment in fragments:
        calls.add(ToolCallDelta(*fragment))
    return [(calls[at].id, calls[at].name, calls[at].arguments) for at in range(len(calls))]


def more(*pieces):
    """Fragments of the call of index 0 that say nothing but arguments."""
    return [(0, None, None, piece) for piece in pieces]


every_split = pytest.mark.parametrize("at", range(1, len(SEOUL)))


@every_split
@pytest.mark.parametrize("empty", ["{}", "{ }", "{}\n"])
def test_an_empty_object_is_replaced_by_the_arguments_that_follow(empty, at):
    assert joined((0, "a", "f", empty), *more(SEOUL[:at], SEOUL[at:])) == [("a", "f", SEOUL)]
    assert joined((0, "a", "f", empty), (0, "a", "f", SEOUL)) == [("a", "f", SEOUL)]


@every_split
def test_arguments_that_come_twice_are_taken_once(at):
    assert joined((0, "a", "f", SEOUL), *more(SEOUL[:at], SEOUL[at:])) == [("a", "f", SEOUL)]
    assert joined((0, "a", "f", SEOUL), (0, "a", "f", SEOUL[:at]), (0, "a", "f", SEOUL[at:])) == [("a", "f", SEOUL)]


@every_split
def test_fragments_that_the_whole_follows_are_taken_once(at):
    assert joined((0, "a", "f", SEOUL[:at]), *more(SEOUL[at:], SEOUL)) == [("a", "f", SEOUL)]
    assert joined((0, "a", "f", SEOUL[:at]), *more(SEOUL)) == [("a", "f", SEOUL)]  # and some were left out
    assert joined((0, "a", "f", SEOUL[:at]), *more(SEOUL[at:] + SEOUL)) == [("a", "f", SEOUL)]


def test_the_whole_that_is_spaced_otherwise_is_the_same():
    spaced = json.dumps(json.loads(SEOUL), indent=1)
    assert joined((0, "a", "f", SEOUL), *more(spaced)) == [("a", "f", SEOUL)]


def test_each_fragment_may_be_the_whole_so_far():
    assert joined((0, "a", "f", SEOUL[:4]), *more(SEOUL[:9], SEOUL[:-1], SEOUL)) == [("a", "f", SEOUL)]


@every_split
def test_a_repetition_that_is_cut_off_takes_nothing_away(at):
    assert joined((0, "a", "f", SEOUL), *more(SEOUL[:at])) == [("a", "f", SEOUL)]


def test_an_object_within_is_no_repetition():
    nested = ['{"a":', '{"a":{}', "}", "}"]
    assert joined((0, "a", "f", ""), *more(*nested)) == [("a", "f", '{"a":{"a":{}}}')]
    assert joined((0, "a", "f", ""), *more('{"a":"', "{}", '"}')) == [("a", "f", '{"a":"{}"}')]


@pytest.mark.parametrize("text", [SEOUL + OSLO, SEOUL + "x", "[1]", "{}x", '{"city"', "null", '"{}"'])
def test_what_is_no_object_stays_as_it_came(text):
    assert joined((0, "a", "f", text)) == [("a", "f", text)]
    assert joined((0, "a", "f", ""), *more(*text)) == [("a", "f", text)]


@pytest.mark.parametrize("index", [None, 0])
def test_parallel_calls_are_told_apart_by_id_alone(index):
    fragments = [
        (index, "a", "f", ""),
        (index, "b", "f", ""),
        (index, "a", None, SEOUL[:5]),
        (index, "b", None, OSLO[:7]),
        (index, "a", None, SEOUL[5:]),
        (index, "b", None, OSLO[7:]),
    ]
    assert joined(*fragments) == [("a", "f", SEOUL), ("b", "f", OSLO)]


@pytest.mark.parametrize("given", [(0, "a"), (0, None), (None, "a")])
@pytest.mark.parametrize("names", [("get_", "weather"), ("get_", "get_weather"), ("get_weather", "get_weather")])
def test_a_name_in_two_fragments_is_one_name(given, names):
    assert joined(*((*given, name, "") for name in names), (*given, None, SEOUL))[0][1:] == ("get_weather", SEOUL)


def test_names_that_nothing_holds_together_are_two_calls():
    assert joined((None, None, "f", ""), (None, None, "g", "")) == [("call_0", "f", ""), ("call_1", "g", "")]


def test_an_id_that_two_calls_have_is_of_two_calls_where_their_arguments_differ():
    assert joined((0, "c", "f", SEOUL), (0, "c", "f", OSLO)) == [("c", "f", SEOUL), ("c_1", "f", OSLO)]


def test_an_id_that_is_like_one_of_our_own_stays():
    assert joined((0, "call_0", "f", SEOUL), (1, "call_1", "g", OSLO)) == [
        ("call_0", "f", SEOUL),
        ("call_1", "g", OSLO),
    ]
    assert joined((0, None, "f", SEOUL), (0, "call_0", None, "")) == [("call_0", "f", SEOUL)]


def test_a_call_without_an_index_at_first_is_found_by_its_id():
    assert joined((None, "a", "f", SEOUL[:5]), (None, "b", "g", OSLO), (0, "a", None, SEOUL[5:])) == [
        ("a", "f", SEOUL),
        ("b", "g", OSLO),
    ]


OBJECTS = st.dictionaries(
    st.text(max_size=3),
    st.recursive(
        st.none() | st.text('{}[]"\\a', max_size=6), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    ),
    min_size=1,
    max_size=3,
)


@given(OBJECTS, st.lists(st.integers(0, 500)), st.sampled_from(["", "{}", "again", "{} again"]))
def test_any_object_is_joined_however_it_is_split(arguments, cuts, how):
    text = json.dumps(arguments)
    sent = ("{}" if "{}" in how else "") + text * (2 if "again" in how else 1)
    ends = sorted(cut % (len(sent) + 1) for cut in cuts)
    pieces = [sent[a:b] for a, b in zip([0, *ends], [*ends, len(sent)], strict=True)]
    assert joined((0, "a", "f", ""), *more(*pieces)) == [("a", "f", text)]


@given(st.lists(st.sampled_from(["{", "{}", '{"a"', ": 1}", '{"a": 1}', "x", ""]), max_size=8))
def test_a_call_that_grows_keeps_what_it_was(pieces):
    calls, growing, whole = Calls(), [], []
    for piece in pieces:
        at = calls.add(ToolCallDelta(0, "a", "f", piece))
        growing.append(calls.growing(at))
        whole.append((calls[at].arguments, sum(map(len, pieces[: len(whole) + 1]))))
    if len(calls) <= 1:  # else each has its own
        assert [(call.arguments, call.length) for call in growing] == whole
