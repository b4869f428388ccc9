"""What may be named as the executor of a comparison: a `concurrent.futures.Executor`, or what makes one."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from concurrent.futures import Executor, Future
from typing import Any

from glm_magic.errors import OptionError, quoted

# How one comes by it: from a client of Dask; from a client or a view of ipyparallel.
_MAKERS = ("get_executor", "executor")


def is_executor(value: object) -> bool:
    """Whether a value looks like an executor, or like what makes one."""
    if isinstance(value, type):
        return False
    return isinstance(value, Executor) or any(hasattr(value, maker) for maker in _MAKERS)


def executor(value: object, name: str = "") -> Executor:
    """Return the executor that `value` is, or makes. Raises `OptionError` if it does neither.

    `name` is what ``--executor`` calls it; ``""`` where it is an argument of `compare`.
    """
    found = value
    if not isinstance(value, (Executor, type)):
        maker = next((getattr(value, maker) for maker in _MAKERS if hasattr(value, maker)), None)
        found = maker() if callable(maker) else maker
    if not isinstance(found, Executor):
        where = f"--executor {quoted(name)}" if name else "executor"
        raise OptionError(
            f"{where}: expected a concurrent.futures.Executor, or a client of Dask or ipyparallel, "
            f"got {type(value).__name__}.",
            "For example, a ProcessPoolExecutor.",
        )
    return _balanced(found)


def take_back(workers: Executor, waiting: Iterable[Future[bytes]]) -> None:
    """Cancel what has not begun."""
    waiting = list(waiting)
    view: Any = getattr(workers, "view", None)
    if waiting and hasattr(view, "abort"):  # ipyparallel's futures forget their tasks, and take none back
        view.abort(waiting, block=False)
    for future in waiting:
        future.cancel()


def _balanced(found: Executor) -> Executor:
    """Return an executor that gives each question to one worker: a direct view of ipyparallel gives it to all."""
    ipyparallel = sys.modules.get("ipyparallel")
    view = getattr(found, "view", None)
    if ipyparallel is not None and isinstance(view, ipyparallel.DirectView):
        balanced: Executor = view.client.load_balanced_view(view.targets).executor
        return balanced
    return found
