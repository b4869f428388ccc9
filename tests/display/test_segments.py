import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glm_magic.display import safe_text
from glm_magic.display.segments import MOST_SEGMENTS, SEGMENT_CHARACTERS, Segment, Segments

PARAGRAPH = "word " * 100 + "\n\n"
LONG = "x" * (SEGMENT_CHARACTERS + 100)


def whole(text):
    return text


def paragraphs(text):
    """A last block that is plainly found: after the last blank line."""
    return text.rfind("\n\n") + 2 if "\n\n" in text else 0


def fed(segments, parts):
    frozen = []
    for part in parts:
        segments.add(part)
        frozen += segments.freeze()
    return frozen


def texts(segments):
    return [segment.text for segment in segments]


@given(
    st.lists(st.sampled_from([PARAGRAPH, "a", "\n", "\n\n", "- b\n", "```\n", "$$\n", LONG]) | st.text(), max_size=30)
)
@settings(max_examples=60, deadline=None)
def test_the_segments_together_are_the_text(parts):
    segments = Segments(safe_text.markdown, safe_text.last_block_start)
    frozen = fed(segments, parts)
    assert "".join(texts(frozen + segments.finish())) == "".join(parts)


@given(st.lists(st.sampled_from([PARAGRAPH, "tail", "\n", LONG]), max_size=40))
def test_what_is_frozen_and_the_tail_are_all_that_came(parts):
    segments = Segments(whole, paragraphs)
    frozen = []
    for number, part in enumerate(parts, start=1):
        frozen += fed(segments, [part])
        shown = "".join(segment.shown for segment in frozen) + segments.tail
        assert shown.replace("\n", "") == "".join(parts[:number]).replace("\n", "")


def test_each_segment_is_given_once():
    segments = Segments(whole, paragraphs)
    segments.add(LONG + "\n\nnext\n")
    assert texts(segments.freeze()) == [LONG + "\n\n"]
    assert segments.freeze() == []
    assert texts(segments.finish()) == ["next\n"]
    assert segments.finish() == []


def test_a_short_text_stays_in_the_tail():
    segments = Segments(whole, paragraphs)
    assert fed(segments, ["one\n\n", "two\n\n", "three"]) == []
    assert segments.tail == "one\n\ntwo\n\nthree"
    assert segments.finish() == [Segment("one\n\ntwo\n\nthree", "one\n\ntwo\n\nthree\n\n")]


def test_nothing_gives_no_segment():
    segments = Segments(whole, paragraphs)
    assert segments.tail == ""
    assert segments.finish() == []


def test_the_shown_text_is_neutralised_and_the_text_is_as_it_came():
    segments = Segments(str.upper, paragraphs)
    segments.add(LONG + "\n\nnext")
    segments.add("\n")
    (segment,) = segments.freeze()
    assert segment == Segment(LONG + "\n\n", LONG.upper() + "\n\n")
    assert segments.tail == "NEXT\n"


def test_the_shown_blocks_stay_apart_even_if_a_blank_line_was_lost():
    segments = Segments(str.strip, paragraphs)
    segments.add("one\n\ntwo\n")
    segments.freeze()
    assert segments.tail == "one\n\ntwo"


def test_a_long_answer_has_no_more_segments_than_a_front_end_shows():
    segments = Segments(whole, paragraphs)
    frozen = fed(segments, [LONG + "\n\n"] * 500) + segments.finish()
    assert 2 < len(frozen) <= MOST_SEGMENTS
    assert "".join(texts(frozen)) == (LONG + "\n\n") * 500


def test_a_block_is_looked_for_only_when_a_line_has_ended():
    looked = []
    segments = Segments(whole, lambda text: looked.append(text) or 0)
    fed(segments, ["a", "b", "c\n", "d", "e"])
    assert looked == ["abc\n"]


BLOCKS = {
    "a fence": "```python\nprint(1)\n\nprint(2)\n```\n",
    "a fence of tildes": "~~~\na\n\n```\n\nb\n~~~\n",
    "a list": "- one\n\n- two\n\n  more of two\n\n- three\n",
    "a numbered list": "1. one\n\n2. two\n\n   ```\n   code\n\n   code\n   ```\n",
    "displayed maths": "$$\na\n\nb\n$$\n",
    "a table": "| a | b |\n| - | - |\n| 1 | 2 |\n| 3 | 4 |\n",
    "a quotation": "> one\n>\n> two\n",
    "code by indentation": "    one\n\n    two\n",
}


@pytest.mark.parametrize("block", BLOCKS.values(), ids=BLOCKS)
def test_no_cut_falls_inside(block):
    text = f"{LONG}\n\n{block}\n{LONG}\n\n{block}\nend\n"
    starts = (text.index(block), text.rindex(block))
    inside = {at for start in starts for at in range(start + 1, start + len(block.rstrip("\n")))}
    segments = Segments(safe_text.markdown, safe_text.last_block_start)
    frozen = fed(segments, text.splitlines(keepends=True)) + segments.finish()
    cuts, length = [], 0
    for piece in texts(frozen):
        length += len(piece)
        cuts.append(length)
    assert len(cuts) > 1
    assert not inside & set(cuts)


def test_how_the_text_arrives_does_not_change_what_it_is():
    text = "".join(f"{PARAGRAPH}{block}\n" for block in BLOCKS.values()) * 3
    results = []
    for step in (1000, 37, len(text)):
        segments = Segments(safe_text.markdown, safe_text.last_block_start)
        frozen = fed(segments, [text[at : at + step] for at in range(0, len(text), step)]) + segments.finish()
        results.append("".join(texts(frozen)))
    assert results == [text] * 3
