"""Plots of a comparison, as a notebook shows them."""

from __future__ import annotations

import pytest

from glm_magic.comparing.axes import Configuration
from glm_magic.comparing.plots import plot
from glm_magic.comparing.summary import Summary
from glm_magic.comparing.verdict import Estimate
from glm_magic.errors import OptionError

FOUND = [
    Summary(Configuration(label, ""), 8, 8, 0, {"right": estimate}, completion_tokens=tokens, median_seconds=1.5)
    for label, estimate, tokens in (
        ("A", Estimate(0.5, 0.2, 0.8, 8), 80),
        ("B", Estimate(0.9, None, None, 3), 16),
        ("C", Estimate(None, None, None, 0), 0),
    )
]
LABELS = ["A\nplain", "B\nshort", "C"]


def test_a_score_is_drawn_with_its_intervals_where_there_are_some() -> None:
    (axes,) = plot(FOUND, LABELS, "right").axes
    (interval, means) = axes.lines
    assert list(interval.get_ydata()) == [0.2, 0.8]
    assert list(means.get_ydata())[:2] == [0.5, 0.9]
    assert [label.get_text() for label in axes.get_xticklabels()] == LABELS


@pytest.mark.parametrize(("what", "heights"), [("tokens", [10, 2, 0]), ("seconds", [1.5] * 3), ("cost", [0] * 3)])
def test_what_the_answers_took_is_drawn_as_bars(what: str, heights: list[float]) -> None:
    (axes,) = plot(FOUND, LABELS, what).axes
    assert [bar.get_height() for bar in axes.patches] == heights


def test_a_notebook_shows_it_without_a_backend() -> None:
    picture = plot(FOUND, LABELS, "right")._repr_png_()
    assert picture.startswith(b"\x89PNG")
    assert b"Software" not in picture  # or it were another file with each version of matplotlib


def test_what_is_not_there_is_an_error_that_names_what_is() -> None:
    with pytest.raises(OptionError, match=r"nothing called wrong to plot\.\n.*right, tokens, seconds, cost"):
        plot(FOUND, LABELS, "wrong")
