"""What may be named as the executor of a comparison."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor

import pytest

from glm_magic.comparing.workers import executor, is_executor
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


def test_anything_else_is_refused(pool: Executor) -> None:
    for value in (3, ThreadPoolExecutor, ViewLike(None)):  # type: ignore[arg-type]
        with pytest.raises(OptionError, match=r"--executor workers: expected a concurrent\.futures\.Executor"):
            executor(value, "workers")


def test_completion_offers_what_may_be_named(pool: Executor) -> None:
    assert [is_executor(value) for value in (pool, DaskLike(pool), ViewLike(pool))] == [True] * 3
    assert [is_executor(value) for value in (3, ThreadPoolExecutor, DaskLike)] == [False] * 3
