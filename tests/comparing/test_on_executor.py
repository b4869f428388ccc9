"""Runs of a comparison on an executor."""

from __future__ import annotations

import functools
import multiprocessing
import os
import sys
import threading
import types
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import pydantic
import pytest
from glm_server import Answer, GlmServer, Received, calls, error, stream

import glm_magic
from glm_magic.comparing import shown
from glm_magic.comparing.comparison import Comparison
from glm_magic.errors import BalanceError, GlmError
from glm_magic.scores import length
from glm_magic.service.services import shared


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


def test_a_score_of_the_notebook_runs_on_the_workers_and_in_the_kernel_if_it_cannot_travel(
    server: GlmServer, processes: Executor
) -> None:
    here = threading.Lock()  # which cannot be pickled

    def process(reply: Any, row: Any) -> dict[str, int]:
        return {"id": os.getpid(), "row": row["n"]}

    def at_home(reply: Any) -> int:
        with here:
            return os.getpid()

    def broken(reply: Any) -> int:
        raise SystemExit("no")

    asked = {"rows": [{"n": 1}, {"n": 2}], "base_url": server.url, "executor": processes}
    there = glm_magic.compare("{{ n }}", **asked, score=[process, broken])
    assert os.getpid() not in {run.scores["process.id"] for run in there}
    assert [run.scores["process.row"] for run in there] == [1, 2]
    assert all("no" in run.score_errors["broken"] for run in there)
    assert {run.scores["at_home"] for run in glm_magic.compare("{{ n }}", **asked, score=at_home)} == {os.getpid()}
    assert {
        run.scores["id"]
        for run in glm_magic.compare(
            "{{ n }}", **{**asked, "executor": ThreadPoolExecutor(1)}, score={"id": lambda reply: os.getpid()}
        )
    } == {os.getpid()}


def test_functions_of_the_notebook_travel(server: GlmServer) -> None:
    secret = "a local value"

    def look() -> str:
        """Look."""
        return secret

    def respond(request: Received) -> Answer:
        last = request.body["messages"][-1]
        return stream(last["content"]) if last["role"] == "tool" else calls(("look", {}))

    server.echo = respond  # type: ignore[method-assign]
    with ThreadPoolExecutor(2) as pool:
        found = glm_magic.compare("hi", repeats=2, tools=[look], base_url=server.url, executor=pool)
    assert [run.text for run in found] == [secret] * 2


class Scripted(Executor):
    """Does with each task in turn what a test says: runs it, returns a future, or raises an error."""

    def __init__(self, *steps: object) -> None:
        self.steps = list(steps)
        self.taken: list[bytes] = []

    def submit(self, task: Any, /, *arguments: Any, **_: Any) -> Future[Any]:
        self.taken += arguments
        step = self.steps.pop(0) if self.steps else RUN
        if isinstance(step, BaseException):
            raise step
        return step if isinstance(step, Future) else ended(task(*arguments))


RUN = object()


def ended(result: object) -> Future[Any]:
    future: Future[Any] = Future()
    if isinstance(result, BaseException):
        future.set_exception(result)
    else:
        future.set_result(result)
    return future


def cancelled() -> Future[Any]:
    future: Future[Any] = Future()
    future.cancel()
    return future


def asked(*steps: object, **more: Any) -> Comparison:
    rows = [{"x": "a"}, {"x": "b"}, {"x": "c"}]
    return glm_magic.compare("{{ x }}", rows=rows, executor=Scripted(*steps), **more)


def test_an_executor_that_breaks_keeps_what_has_finished(server: GlmServer) -> None:
    found = asked(RUN, RuntimeError("Broken."))
    assert [run.text for run in found] == ["a/None", "", ""]
    assert [run.error.what for run in found[1:]] == ["The executor accepts no work: RuntimeError: Broken."] * 2
    assert "Create a new executor" in found[1].error.remedy


def test_a_worker_that_dies_costs_its_own_run(server: GlmServer) -> None:
    found = asked(RUN, ended(RuntimeError("gone")))
    assert [run.text for run in found] == ["a/None", "", "c/None"]
    assert found[1].error.what == "The worker failed: RuntimeError: gone"
    assert "executor" not in found[1].error.remedy


def test_a_pool_that_breaks_under_way_needs_a_new_one(server: GlmServer) -> None:
    found = asked(RUN, ended(BrokenProcessPool("A process ended abruptly.")))
    assert found[1].error.remedy.startswith("Create a new executor")


def test_what_the_executor_cancels_is_not_waited_for(server: GlmServer) -> None:
    assert asked(RUN, cancelled())[1].error.what == "The executor cancelled this request."


def test_a_result_that_cannot_be_read_is_not_waited_for(server: GlmServer) -> None:
    assert [run.state for run in asked(RUN, ended(b"no pickle"))] == ["done", "failed", "done"]


class Busy(Scripted):
    """Is at work on the first task when the person interrupts."""

    def submit(self, task: Any, /, *arguments: Any, **_: Any) -> Future[Any]:
        if self.taken:
            raise KeyboardInterrupt
        self.taken += arguments
        self.task = functools.partial(task, *arguments)
        self.future: Future[Any] = Future()
        self.future.set_running_or_notify_cancel()
        return self.future

    def finish(self) -> None:
        self.future.set_result(self.task())


def test_an_answer_that_arrives_after_a_stop_is_kept(server: GlmServer, tmp_path: Path) -> None:
    wanted = {"rows": [{"x": "a"}, {"x": "b"}], "record": str(tmp_path / "answers.db")}
    workers = Busy()
    with pytest.raises(KeyboardInterrupt):
        glm_magic.compare("{{ x }}", **wanted, executor=workers)
    workers.finish()
    found = glm_magic.compare("{{ x }}", **wanted, executor=Scripted())
    assert [run.text for run in found] == ["a/None", "b/None"]
    assert [request.messages[-1][1] for request in server.requests] == ["a", "b"]


def test_a_worker_without_the_package_is_said(server: GlmServer) -> None:
    found = asked(RUN, ended(ModuleNotFoundError("No module named 'glm_magic'")))
    assert found[1].error.what.startswith("A worker has no glm_magic: ")
    assert "Install glm_magic[executor]" in found[1].error.remedy


class Apart(Scripted):
    """Has another environment: what `forget` takes away here is not there."""

    def __init__(self, forget: Callable[[], None]) -> None:
        super().__init__()
        self.forget = forget

    def submit(self, task: Any, /, *arguments: Any, **_: Any) -> Future[Any]:
        self.forget()
        return super().submit(task, *arguments)


def test_a_tool_that_the_worker_cannot_load_is_said(server: GlmServer, monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("of_this_machine")
    exec("def look() -> str:\n    'Look.'\n    return 'seen'\n", module.__dict__)
    monkeypatch.setitem(sys.modules, "of_this_machine", module)
    workers = Apart(lambda: monkeypatch.delitem(sys.modules, "of_this_machine", raising=False))
    with pytest.raises(GlmError, match=r"A worker cannot load the question: .*of_this_machine") as caught:
        glm_magic.compare("hi", tools=[module.look], executor=workers)
    assert "must be installed on the workers" in caught.value.remedy
    assert not server.requests


def test_a_key_is_never_pickled_and_a_worker_without_one_says_so(
    server: GlmServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    workers = Apart(lambda: monkeypatch.delenv("GLM_API_KEY", raising=False))
    with pytest.raises(GlmError, match=r"In a worker: There is no key\.") as caught:
        glm_magic.compare("hi", executor=workers)
    assert "A key of --login does not reach them" in caught.value.remedy
    assert not server.requests
    assert workers.taken
    assert not any(b"key-of-the-environment" in task for task in workers.taken)


def test_a_worker_without_the_variable_of_its_key_says_so(server: GlmServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY_OF_MINE", "another-key-of-the-environment")
    workers = Apart(lambda: monkeypatch.delenv("KEY_OF_MINE", raising=False))
    with pytest.raises(GlmError, match=r"In a worker: There is no key\.") as caught:
        glm_magic.compare("hi", api_key_env="KEY_OF_MINE", executor=workers)
    assert "api_key_env" in caught.value.remedy
    assert not server.requests


def test_a_worker_that_may_not_send_its_key_says_what_to_do(server: GlmServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GLM_API_KEY")
    workers = Apart(lambda: monkeypatch.setenv("GLM_API_KEY", "key-of-the-worker"))
    with pytest.raises(GlmError, match=r"In a worker: The key .* is not sent unencrypted") as caught:
        glm_magic.compare("hi", base_url="http://model.example/v1", executor=workers)
    assert "Use an https address" in caught.value.remedy


def test_equal_questions_travel_as_different_tasks(server: GlmServer) -> None:
    workers = Scripted()
    glm_magic.compare("hi", repeats=3, executor=workers)
    assert len(set(workers.taken)) == 3


def test_an_error_comes_back_as_it_is_without_an_executor(server: GlmServer) -> None:
    server.answer(error(429, {"error": {"code": "1113", "message": "no money"}}))
    found = asked()
    assert isinstance(found[0].error, BalanceError)
    assert (found[0].error.status, found[0].error.code) == (429, "1113")


def test_what_had_arrived_of_a_failed_answer_comes_back(server: GlmServer) -> None:
    server.answer(stream("half", finish_reason=None))
    found = asked(retries=0)
    assert (found[0].state, found[0].reply.text) == ("failed", "half")


def of_the_notebook() -> type[pydantic.BaseModel]:
    """Return a class that no module has, as one of a notebook."""

    class City(pydantic.BaseModel):
        name: str

    return City


def test_a_structured_answer_comes_back_as_its_own_class(server: GlmServer, processes: Executor) -> None:
    city = of_the_notebook()
    server.echo = lambda request: stream('{"name": "Oslo"}')  # type: ignore[method-assign]
    found = glm_magic.compare("hi", repeats=2, schema=city, executor=processes)
    assert [run.reply.parsed for run in found] == [city(name="Oslo")] * 2


def test_what_workers_spend_is_counted_once(server: GlmServer, processes: Executor) -> None:
    with ThreadPoolExecutor(1) as threads:
        for workers in (processes, threads):
            before = shared().ledger.total
            glm_magic.compare("hi", repeats=2, executor=workers)
            total = shared().ledger.total
            assert total.requests - before.requests == 2
            assert total.completion_tokens - before.completion_tokens == 10


def test_the_title_counts_what_is_with_the_workers(server: GlmServer, monkeypatch: pytest.MonkeyPatch) -> None:
    gate, titles, title = threading.Event(), [], shown.title

    def noted(*facts: Any) -> tuple[str, ...]:
        titles.append(title(*facts))
        if "2 with the workers" in titles[-1] or len(titles) > 50:
            gate.set()
        return titles[-1]

    monkeypatch.setattr(shown, "title", noted)
    server.echo = lambda request: stream("half", gate, "done")  # type: ignore[method-assign]
    with ThreadPoolExecutor(1) as threads:
        glm_magic.compare("hi", repeats=2, executor=threads)
    assert any("2 with the workers" in title for title in titles)


def test_dask_asks_as_often_as_it_is_told(server: GlmServer) -> None:
    from distributed import Client  # takes a third of a second

    with Client(processes=False, dashboard_address=":0", n_workers=1, threads_per_worker=2) as client:
        for workers in (client, client.get_executor()):
            found = glm_magic.compare("hi", repeats=3, executor=workers)
            assert [run.text for run in found] == ["hi/None"] * 3
    assert len(server.requests) == 6


def test_a_broken_process_pool_says_so(server: GlmServer) -> None:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        with pytest.raises(Exception, match="terminated abruptly"):
            pool.submit(os._exit, 1).result()
        with pytest.raises(GlmError, match="accepts no work"):
            glm_magic.compare("hi", temperature=[0, 1], base_url=server.url, executor=pool)
