"""Runs of a comparison on an executor."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor

import pytest
from glm_server import Answer, GlmServer, Received, stream

import glm_magic
from glm_magic.comparing.elsewhere import executor
from glm_magic.errors import GlmError, OptionError
from glm_magic.scores import length


def by_prompt(request: Received) -> Answer:
    return stream(f"{request.body['messages'][-1]['content']}/{request.body.get('temperature')}")


@pytest.fixture
def server(server: GlmServer, monkeypatch: pytest.MonkeyPatch) -> GlmServer:
    monkeypatch.setenv("GLM_BASE_URL", server.url)
    monkeypatch.setenv("GLM_API_KEY", "key-of-the-environment")
    server.echo = by_prompt  # type: ignore[method-assign]
    return server


@pytest.fixture(scope="module")
def processes() -> Iterator[Executor]:
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield pool


def test_workers_in_other_processes_give_the_same(server: GlmServer, processes: Executor) -> None:
    rows = [{"x": "a"}, {"x": "b"}]
    asked = {"temperature": [0, 1], "rows": rows, "repeats": 2, "base_url": server.url}
    here = glm_magic.compare("{{ x }}", **asked)
    there = glm_magic.compare("{{ x }}", **asked, executor=processes)
    assert [run.text for run in there] == [run.text for run in here]
    assert there[0].reply.request["temperature"] == 0
    assert {request.headers["authorization"] for request in server.requests} == {"Bearer key-of-the-environment"}


def test_a_score_is_worked_out_on_what_workers_gave(server: GlmServer, processes: Executor) -> None:
    found = glm_magic.compare("hi", temperature=[0, 1], base_url=server.url, executor=processes, score=length)
    assert [run.scores for run in found] == [{"length": 6}, {"length": 6}]


def test_functions_of_the_notebook_travel(server: GlmServer) -> None:
    secret = "a local value"

    def look() -> str:
        """Look."""
        return secret

    def respond(request: Received) -> Answer:
        from glm_server import calls

        last = request.body["messages"][-1]
        return stream(last["content"]) if last["role"] == "tool" else calls(("look", {}))

    server.echo = respond  # type: ignore[method-assign]
    with ThreadPoolExecutor(2) as pool:
        found = glm_magic.compare("hi", repeats=2, tools=[look], base_url=server.url, executor=pool)
    assert [run.text for run in found] == [secret] * 2


def test_a_broken_pool_keeps_what_has_finished(server: GlmServer) -> None:
    with ThreadPoolExecutor(1) as pool:
        pool.shutdown()
        with pytest.raises(GlmError, match="takes no work"):
            glm_magic.compare("hi", temperature=[0, 1], base_url=server.url, executor=pool)


def test_a_worker_that_dies_is_the_error_of_its_runs(server: GlmServer) -> None:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        with pytest.raises(Exception, match="terminated abruptly"):
            pool.submit(os._exit, 1).result()
        with pytest.raises(GlmError, match="takes no work"):
            glm_magic.compare("hi", temperature=[0, 1], base_url=server.url, executor=pool)


def test_what_is_no_executor_is_said(server: GlmServer) -> None:
    class Client:
        def get_executor(self) -> None:
            """Return one, as Dask's client does."""

    with pytest.raises(OptionError, match="got int"):
        executor(3, "workers")
    with pytest.raises(OptionError) as caught:
        executor(Client(), "client")
    assert caught.value.remedy == "Name what it makes: workers = client.get_executor()"
