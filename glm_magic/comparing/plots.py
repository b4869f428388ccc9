"""The columns of a comparison as a plot; the only module that knows matplotlib."""

from __future__ import annotations

import io
from collections.abc import Sequence

from matplotlib.figure import Figure

from glm_magic.comparing.summary import Summary
from glm_magic.errors import OptionError, quoted

_OTHERS = {"tokens": "tokens per answer", "seconds": "median seconds", "cost": "cost"}


class Plot(Figure):
    """A figure that a notebook shows without ``%matplotlib inline``."""

    def _repr_png_(self) -> bytes:
        data = io.BytesIO()
        self.savefig(data, format="png", metadata={"Software": None})  # or each version would draw another file
        return data.getvalue()


def plot(found: Sequence[Summary], labels: Sequence[str], what: str) -> Plot:
    """Draw a score with its interval, ``tokens``, ``seconds`` or ``cost`` by column.

    Raises `OptionError` if there is nothing of that name.
    """
    names = list(dict.fromkeys(name for summary in found for name in summary.scores))
    if what not in names and what not in _OTHERS:
        raise OptionError(
            f"There is nothing called {quoted(what)} to plot.", f"There are {', '.join([*names, *_OTHERS])}."
        )
    figure = Plot(figsize=(max(4.0, 1.1 * len(found) + 1.5), 3.4), layout="constrained")
    axes = figure.subplots()
    places = range(len(found))
    if what in names:
        estimates = [summary.scores[what] for summary in found]
        means = [float("nan") if each.mean is None else each.mean for each in estimates]
        for at, each in enumerate(estimates):
            if each.low is not None and each.high is not None:
                axes.plot([at, at], [each.low, each.high], color="tab:blue", linewidth=2)
        axes.plot(places, means, "o", color="tab:blue")
        axes.margins(x=0.1 if len(found) > 1 else 0.5)
        axes.set_ylabel(what)
        axes.set_title(f"{what}, with 95% intervals", fontsize="medium")
    else:
        axes.bar(places, [_value(summary, what) for summary in found])
        axes.set_ylabel(_OTHERS[what])
    axes.set_xticks(places, labels)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def _value(summary: Summary, what: str) -> float:
    if what == "tokens":
        return summary.completion_tokens / summary.done if summary.done else 0.0
    if what == "seconds":
        return summary.median_seconds or 0.0
    return next(iter(summary.costs.values()), 0.0)
