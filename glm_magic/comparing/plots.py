"""The columns of a comparison as a plot; the only module that knows matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from glm_magic.comparing.summary import Summary
from glm_magic.errors import OptionError, SetupError, quoted

_OTHERS = {"tokens": "tokens per answer", "seconds": "median seconds", "cost": "cost in CNY"}


def plot(found: Sequence[Summary], what: str) -> Any:
    """Draw a score with its interval, ``tokens``, ``seconds`` or ``cost`` by column, and return the axes.

    Raises `OptionError` if there is nothing of that name, `SetupError` without matplotlib.
    """
    names = list(dict.fromkeys(name for summary in found for name in summary.scores))
    if what not in names and what not in _OTHERS:
        raise OptionError(
            f"There is nothing called {quoted(what)} to plot.", f"There are {', '.join([*names, *_OTHERS])}."
        )
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415 - slow, and only needed here
    except ImportError:
        raise SetupError("Plots need matplotlib.", '%pip install "glm_magic[explore]"') from None
    axes = Figure(figsize=(max(4.0, 0.9 * len(found) + 1.5), 3.2), layout="constrained").subplots()
    labels = [summary.column.label for summary in found]
    if what in names:
        estimates = [summary.scores[what] for summary in found]
        means = [float("nan") if each.mean is None else each.mean for each in estimates]
        for at, each in enumerate(estimates):
            if each.low is not None and each.high is not None:
                axes.plot([at, at], [each.low, each.high], color="tab:blue", linewidth=2)
        axes.plot(range(len(found)), means, "o", color="tab:blue")
        axes.set_xticks(range(len(found)), labels)
        axes.margins(x=0.1 if len(found) > 1 else 0.5)
        axes.set_ylabel(what)
        axes.set_title(f"{what}, with 95% intervals", fontsize="medium")
    else:
        axes.bar(labels, [_value(summary, what) for summary in found])
        axes.set_ylabel(_OTHERS[what])
    axes.spines[["top", "right"]].set_visible(False)
    return axes


def _value(summary: Summary, what: str) -> float:
    if what == "tokens":
        return summary.completion_tokens / summary.done if summary.done else 0.0
    if what == "seconds":
        return summary.median_seconds or 0.0
    return summary.cost or 0.0
