"""How a figure is printed: by itself or beside that of a peer in the same run, with its goal."""

from __future__ import annotations


def figure(what: str, value: float, unit: str, *, at_most: float) -> None:
    """Print a figure, its goal, and whether it is reached."""
    print(f"  {what:24}{value:8.2f} {unit:33}{_goal(value, at_most)}")


def beside(what: str, ours: float, theirs: float, unit: str, *, at_most: float) -> None:
    """Print our figure, that of a peer, and their ratio with its goal."""
    ratio = ours / theirs
    figures = f"{ours:8.2f} {unit:4} beside{theirs:8.2f} {unit:4}"
    print(f"  {what:24}{figures}  ratio {ratio:5.2f} {_goal(ratio, at_most)}")


def _goal(value: float, at_most: float) -> str:
    return f"  goal ≤ {at_most}{'' if value <= at_most else '   NOT REACHED'}"
