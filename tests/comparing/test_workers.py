"""What may be named as the executor of a comparison."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from glm_magic.comparing.workers import executor, is_executor, take_back
from glm_magic.errors import OptionError


@pytest.fixture
def pool() -> Iterator[Executor]:
    with ThreadPoolExecutor(1) as pool:
        yield pool


class DaskLike:
    def __init__(self, pool: Executor) -> None:
        self.pool = pool

    def get_executor(self) -> Executor:
        return self.pool


class ViewLike:
    def __init__(self, pool: Executor) -> None:
        self.executor = pool


def test_an_executor_is_taken_as_it_is(pool: Executor) -> None:
    assert executor(pool, "pool") is pool


def test_what_makes_an_executor_is_asked_for_it(pool: Executor) -> None:
    assert executor(DaskLike(pool), "client") is pool
    assert executor(ViewLike(pool), "view") is pool


class DirectView:
    """As ipyparallel's: what it is given, it gives to all of its engines."""

    targets = (0, 1)

    def __init__(self, pool: Executor) -> None:
        pool.view = self  # type: ignore[attr-defined]
        self.executor = pool
        self.client = self
        self.balanced: list[object] = []
        self.aborted: list[object] = []

    def load_balanced_view(self, targets: object) -> ViewLike:
        self.balanced.append(targets)
        return ViewLike(ThreadPoolExecutor(1))

    def abort(self, jobs: list[object], *, block: bool) -> None:
        self.aborted += jobs


def test_a_direct_view_asks_each_question_of_one_engine(pool: Executor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ipyparallel", SimpleNamespace(DirectView=DirectView))
    view = DirectView(pool)
    for named in (view, pool):
        assert executor(named, "view") is not pool
    assert view.balanced == [view.targets] * 2


def test_what_has_not_begun_is_taken_back(pool: Executor) -> None:
    view, future = DirectView(pool), Future[bytes]()
    take_back(pool, [future])
    assert view.aborted == [future]
    assert future.cancelled()


def test_anything_else_is_refused(pool: Executor) -> None:
    for value in (3, ThreadPoolExecutor, ViewLike(None)):  # type: ignore[arg-type]
        with pytest.raises(OptionError, match=r"--executor workers: expected a concurrent\.futures\.Executor"):
            executor(value, "workers")


def test_compare_is_not_told_of_an_option() -> None:
    with pytest.raises(OptionError, match=r"^executor: expected a concurrent\.futures\.Executor"):
        executor(3)


def test_completion_offers_what_may_be_named(pool: Executor) -> None:
    assert [is_executor(value) for value in (pool, DaskLike(pool), ViewLike(pool))] == [True] * 3
    assert [is_executor(value) for value in (3, ThreadPoolExecutor, DaskLike)] == [False] * 3
