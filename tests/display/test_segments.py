import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glm_magic.display import safe_text
from glm_magic.display.page.segments import LONGEST_CHARACTERS, MOST_SEGMENTS, SEGMENT_CHARACTERS, Segment, Segments

PARAGRAPH = "word " * 100 + "\n\n"
LONG = "x" * (SEGMENT_CHARACTERS + 100)


def whole(text):
    return text


def paragraphs(text):
    """A last block that is plainly found: after the last blank line."""
    return text.rfind("\n\n") + 2 if "\n\n" in text else 0


def numbered(characters):
    """Paragraphs that are all different."""
    return [f"{number:06d} " + "word " * 58 + "\n\n" for number in range(characters // 299)]


def fed(segments, parts):
    for part in parts:
        segments.add(part)
        segments.freeze()
    return segments


def finished(segments):
    segments.finish()
    return segments.frozen


def texts(segments):
    return [segment.text for segment in segments]


@given(
    st.lists(st.sampled_from([PARAGRAPH, "a", "\n", "\n\n", "- b\n", "```\n", "$$\n", LONG]) | st.text(), max_size=30),
    st.integers(1, 6) | st.just(MOST_SEGMENTS),
)
@settings(max_examples=100, deadline=None)
def test_the_segments_together_are_the_text_and_no_more_than_fit(parts, most):
    segments = fed(Segments(safe_text.markdown, safe_text.last_block_start, most=most), parts)
    assert len(segments.frozen) < most  # the tail has an output too
    assert "".join(texts(finished(segments))) == "".join(parts)
    assert len(segments.frozen) <= most


@given(st.lists(st.sampled_from([PARAGRAPH, "tail", "\n", LONG]), max_size=40), st.integers(1, 6))
def test_what_is_frozen_and_the_tail_are_all_that_came(parts, most):
    segments = Segments(whole, paragraphs, most=most)
    for number, part in enumerate(parts, start=1):
        fed(segments, [part])
        shown = "".join(segment.shown for segment in segments.frozen) + segments.tail
        assert shown.replace("\n", "") == "".join(parts[:number]).replace("\n", "")


def test_what_is_finished_is_a_segment_once():
    segments = Segments(whole, paragraphs)
    segments.add(LONG + "\n\nnext\n")
    segments.freeze()
    assert texts(segments.frozen) == [LONG + "\n\n"]
    segments.freeze()
    assert texts(segments.frozen) == [LONG + "\n\n"]
    assert texts(finished(segments)) == [LONG + "\n\n", "next\n"]
    assert texts(finished(segments)) == [LONG + "\n\n", "next\n"]


def test_a_short_text_stays_in_the_tail():
    segments = fed(Segments(whole, paragraphs), ["one\n\n", "two\n\n", "three"])
    assert segments.frozen == []
    assert segments.tail == "one\n\ntwo\n\nthree"
    assert finished(segments) == [Segment("one\n\ntwo\n\nthree", "one\n\ntwo\n\nthree\n\n")]


def test_nothing_gives_no_segment():
    segments = Segments(whole, paragraphs)
    assert segments.tail == ""
    assert finished(segments) == []


def test_blank_lines_alone_are_no_segment():
    segments = fed(Segments(whole, paragraphs), ["\n\n" * SEGMENT_CHARACTERS, "end"])
    assert segments.frozen == []
    assert len(finished(segments)) == 1


def test_the_shown_text_is_neutralised_and_the_text_is_as_it_came():
    segments = fed(Segments(str.upper, paragraphs), [LONG + "\n\nnext", "\n"])
    assert segments.frozen == [Segment(LONG + "\n\n", LONG.upper() + "\n\n")]
    assert segments.tail == "NEXT\n"


def test_the_shown_blocks_stay_apart_even_if_a_blank_line_was_lost():
    segments = fed(Segments(str.strip, paragraphs), ["one\n\ntwo\n"])
    assert segments.tail == "one\n\ntwo"


@pytest.mark.parametrize("most", [12, MOST_SEGMENTS])
def test_no_segment_is_touched_again_in_an_answer_of_usual_length(most):
    segments = Segments(whole, paragraphs, most=most)
    before = []
    for part in numbered(400_000 * most // MOST_SEGMENTS):
        fed(segments, [part])
        assert len(segments.frozen) - len(before) in (0, 1)
        assert all(one is other for one, other in zip(before, segments.frozen, strict=False))
        before = [*segments.frozen]
    assert len(before) > most // 2


@pytest.mark.parametrize("most", [2, 12, MOST_SEGMENTS])
def test_only_the_last_segment_is_touched_again_however_long_the_text(most):
    segments = Segments(whole, paragraphs, most=most)
    before = []
    for part in numbered(600_000):
        fed(segments, [part])
        assert segments.frozen[: len(before) - 1] == before[:-1]
        assert "".join(texts(segments.frozen)).startswith("".join(texts(before)))
        before = [*segments.frozen]
    assert len(before) == most - 1


@pytest.mark.parametrize(
    ("characters", "longest"), [(10_000, 6_000), (60_000, 11_000), (300_000, 20_000), (600_000, LONGEST_CHARACTERS)]
)
def test_the_tail_of_a_long_text_is_short(characters, longest):
    segments = Segments(whole, paragraphs)
    tails = [len(fed(segments, [part]).tail) for part in numbered(characters)]
    assert SEGMENT_CHARACTERS < max(tails) < longest


@pytest.mark.parametrize("most", [2, 12, MOST_SEGMENTS])
def test_what_is_frozen_again_grows_with_the_text_and_no_faster(most):
    segments = Segments(whole, paragraphs, most=most)
    parts, known, again = numbered(600_000), [], 0
    for part in parts:
        fed(segments, [part])
        again += sum(len(one.text) for one in segments.frozen if not any(one is other for other in known))
        known = [*segments.frozen]
    assert again < 9 * sum(map(len, parts))


def test_a_block_is_looked_for_only_when_a_line_has_ended():
    looked = []
    fed(Segments(whole, lambda text: looked.append(text) or 0), ["a", "b", "c\n", "d", "e"])
    assert looked == ["abc\n"]


BLOCKS = {
    "a fence": "```python\nprint(1)\n\nprint(2)\n```\n",
    "a fence of tildes": "~~~\na\n\n```\n\nb\n~~~\n",
    "a list": "- one\n\n- two\n\n  more of two\n\n- three\n",
    "a numbered list": "1. one\n\n2. two\n\n   ```\n   code\n\n   code\n   ```\n",
    "displayed maths": "$$\na\n\nb\n$$\n",
    "an environment": "\\begin{aligned}\na\\\\\n- c\n\\end{aligned}\n",
    "a table": "| a | b |\n| - | - |\n| 1 | 2 |\n| 3 | 4 |\n",
    "a quotation": "> one\n>\n> two\n",
    "code by indentation": "    one\n\n    two\n",
}


@pytest.mark.parametrize("most", [4, MOST_SEGMENTS])
@pytest.mark.parametrize("block", BLOCKS.values(), ids=BLOCKS)
def test_no_cut_falls_inside(block, most):
    text = f"{LONG}\n\n{block}\n" * 6 + "end\n"
    length = len(f"{LONG}\n\n{block}\n")
    starts = [length * number + len(LONG) + 2 for number in range(6)]
    inside = {at for start in starts for at in range(start + 1, start + len(block.rstrip("\n")))}
    segments = Segments(safe_text.markdown, safe_text.last_block_start, most=most)
    cuts, length = [], 0
    for piece in texts(finished(fed(segments, text.splitlines(keepends=True)))):
        length += len(piece)
        cuts.append(length)
    assert 1 < len(cuts) <= most
    assert not inside & set(cuts)


def test_how_the_text_arrives_does_not_change_what_it_is():
    text = "".join(f"{PARAGRAPH}{block}\n" for block in BLOCKS.values()) * 3
    results = []
    for step in (1000, 37, len(text)):
        segments = Segments(safe_text.markdown, safe_text.last_block_start)
        fed(segments, [text[at : at + step] for at in range(0, len(text), step)])
        results.append("".join(texts(finished(segments))))
    assert results == [text] * 3


@pytest.mark.parametrize("stray", ["Its number is `$$`.", "```sh\necho $$\n```", "That costs $$ and more."])
def test_a_stray_sign_of_maths_does_not_keep_the_whole_answer_open(stray):
    segments = Segments(safe_text.markdown, safe_text.last_block_start)
    fed(segments, [f"{stray}\n\n", *(f"{PARAGRAPH}\n" for _ in range(200))])
    assert len(segments.tail) < 2 * 23_000
    assert len(segments.frozen) > 2
