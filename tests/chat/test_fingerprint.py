import pytest

from glm_magic.chat.fingerprint import canonical, fingerprint

BODY = {"model": "GLM-4-Air", "messages": [{"role": "user", "content": "hi"}], "temperature": 0.2}


def test_the_fingerprint_of_a_body_is_fixed():
    assert fingerprint(BODY) == "d698280eed08ed5c42f0127eeb7b51442c85a398b9abf48c9bf562c64716f464"


def test_the_order_of_fields_does_not_matter():
    assert fingerprint(dict(reversed(BODY.items()))) == fingerprint(BODY)


@pytest.mark.parametrize("name", ["stream", "stream_options", "request_id", "user_id"])
def test_how_an_answer_travels_and_who_asks_does_not_matter(name):
    assert fingerprint({**BODY, name: "x"}) == fingerprint(BODY)


@pytest.mark.parametrize(
    "change",
    [
        {"model": "GLM-4-Plus"},
        {"temperature": 0.3},
        {"seed": 1},
        {"messages": [{"role": "user", "content": "hi "}]},
        {"messages": [{"role": "system", "content": "hi"}]},
    ],
)
def test_whatever_else_is_asked_matters(change):
    assert fingerprint({**BODY, **change}) != fingerprint(BODY)


def test_canonical_json_is_sorted_without_white_space_in_utf_8():
    assert canonical({"b": ["é", None], "a": {"d": 1, "c": True}}) == '{"a":{"c":true,"d":1},"b":["é",null]}'.encode()


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_a_number_that_json_cannot_hold_has_no_canonical_form(number):
    with pytest.raises(ValueError, match="Out of range"):
        canonical({"a": [number]})


def test_half_a_character_has_no_canonical_form():
    with pytest.raises(UnicodeEncodeError):
        canonical("\ud83d")
