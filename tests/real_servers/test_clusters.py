"""Comparisons on clusters that nobody here wrote: Dask's and ipyparallel's, with workers in processes of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ipyparallel
import pytest
import servers
from distributed import Client, LocalCluster
from glm_server import Answer, GlmServer, Received, calls, stream
from IPython.core.interactiveshell import InteractiveShell
from ipython_shell import Notebook, close, new_shell
from waiting import comes_true

import glm_magic
from glm_magic.comparing.comparison import Comparison
from glm_magic.errors import GlmError, Interrupted, SetupError
from glm_magic.scores import length

# their own, of sockets and loops at the end
pytestmark = [
    pytest.mark.filterwarnings("default::ResourceWarning"),
    pytest.mark.filterwarnings("default::DeprecationWarning"),
    pytest.mark.filterwarnings("default::pytest.PytestUnraisableExceptionWarning"),
]
KEY = "key-of-the-environment"
ROWS = [{"x": each} for each in "abcd"]


@pytest.fixture(scope="module", autouse=True)
def environment_of_the_workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What workers inherit."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_DATA_HOME", str(tmp_path_factory.mktemp("data")))
        patch.setenv("GLM_API_KEY", KEY)
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(Path.cwd()), os.environ.get("PYTHONPATH", "")])))
        yield


@pytest.fixture(scope="module")
def dask() -> Iterator[Client]:
    with (
        LocalCluster(n_workers=2, threads_per_worker=2, dashboard_address=":0") as cluster,
        Client(cluster) as client,
    ):
        yield client


@pytest.fixture(scope="module")
def engines() -> Iterator[ipyparallel.Client]:
    with ipyparallel.Cluster(n=2, log_level=40) as client:
        client.wait_for_engines(2, timeout=60)
        yield client


@pytest.fixture
def server(server: GlmServer, monkeypatch: pytest.MonkeyPatch) -> GlmServer:
    monkeypatch.setenv("GLM_BASE_URL", server.url)
    monkeypatch.setenv("GLM_API_KEY", KEY)
    server.echo = by_prompt  # type: ignore[method-assign]
    return server


@pytest.fixture
def notebook(server: GlmServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Notebook]:
    monkeypatch.setattr(InteractiveShell, "_instance", None)
    shell = new_shell()
    monkeypatch.setattr(InteractiveShell, "_instance", shell)
    shell.run_line_magic("load_ext", "glm_magic")
    yield Notebook(shell, server)
    close(shell)


def by_prompt(request: Received) -> Answer:
    return stream(f"{request.body['messages'][-1]['content']}/{request.body.get('temperature')}")


def held(gate: threading.Event) -> Callable[[Received], Answer]:
    """Answer once the gate is open."""
    return lambda request: stream("half", gate, request.body["messages"][-1]["content"])


EVERY = {
    "dask client": lambda request: request.getfixturevalue("dask"),
    "dask executor": lambda request: request.getfixturevalue("dask").get_executor(),
    "ipyparallel client": lambda request: request.getfixturevalue("engines"),
    "ipyparallel executor": lambda request: request.getfixturevalue("engines").executor(),
    "ipyparallel direct view": lambda request: request.getfixturevalue("engines")[:],
    "ipyparallel balanced view": lambda request: request.getfixturevalue("engines").load_balanced_view(),
}


@pytest.fixture(params=EVERY)
def workers(request: pytest.FixtureRequest) -> Any:
    return EVERY[request.param](request)


def when_under_way(server: GlmServer, number: int, act: Callable[[], object]) -> threading.Thread:
    """Act once so many requests are under way."""

    def wait() -> None:
        while server.at_once < number:
            time.sleep(0.02)
        act()

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def texts(found: Comparison) -> list[str]:
    return [run.text for run in found]


# --- the same as without ----------------------------------------------------------------------------


def test_workers_give_the_same_as_without_them(server: GlmServer, workers: Any) -> None:
    asked = {"rows": ROWS, "temperature": [0, 1], "repeats": 2, "score": length}
    here = glm_magic.compare("{{ x }}", **asked)
    there = glm_magic.compare("{{ x }}", **asked, executor=workers)
    assert texts(there) == texts(here)
    assert [run.scores for run in there] == [run.scores for run in here]
    assert len(server.requests) == 2 * len(here)
    assert {request.headers["authorization"] for request in server.requests} == {f"Bearer {KEY}"}


def test_tools_and_scores_of_the_notebook_run_on_the_workers(
    server: GlmServer, workers: Any, notebook: Notebook
) -> None:
    server.echo = lambda request: (  # type: ignore[method-assign]
        stream(request.messages[-1][1]) if request.messages[-1][0] == "tool" else calls(("where", {}))
    )
    notebook.shell.user_ns["workers"] = workers
    notebook.run(
        "import os\ndef where() -> str:\n    'Tell the process.'\n    return str(os.getpid())\n"
        "def scored_there(reply):\n    return os.getpid() != kernel\nkernel = os.getpid()"
    )
    notebook.run("%%glm -T where --score scored_there --executor workers -n 4\nWhere?")
    found = notebook.shell.user_ns["_glm"]
    assert str(os.getpid()) not in texts(found)
    assert all(text.isdigit() for text in texts(found))
    assert [run.scores for run in found] == [{"scored_there": True}] * 4


# --- faults -----------------------------------------------------------------------------------------


def test_dask_asks_again_what_a_killed_worker_had(server: GlmServer, dask: Client) -> None:
    gate = threading.Event()
    server.echo = held(gate)  # type: ignore[method-assign]

    def kill() -> None:
        os.kill(next(iter(dask.run(os.getpid).values())), signal.SIGKILL)
        gate.set()

    killing = when_under_way(server, 4, kill)
    found = glm_magic.compare("{{ x }}", rows=ROWS, executor=dask)
    killing.join()
    assert texts(found) == ["halfa", "halfb", "halfc", "halfd"]
    assert len(server.requests) > len(found)
    dask.wait_for_workers(2)


@pytest.mark.parametrize("retries", [0, 1])
def test_ipyparallel_asks_again_what_a_killed_engine_had_if_its_view_has_retries(
    server: GlmServer, retries: int
) -> None:
    with ipyparallel.Cluster(n=2, log_level=40) as client:
        client.wait_for_engines(2, timeout=60)
        pids = client[:].apply_sync(os.getpid)
        view = client.load_balanced_view()
        view.retries = retries
        gate = threading.Event()
        server.echo = held(gate)  # type: ignore[method-assign]

        def kill() -> None:
            os.kill(pids[0], signal.SIGKILL)
            gate.set()

        killing = when_under_way(server, 2, kill)
        found = glm_magic.compare("{{ x }}", rows=ROWS, executor=view)
        killing.join()
    failed = [run.error.what for run in found if run.state == "failed"]
    assert len(failed) == (0 if retries else 1)
    assert all("died while running" in what for what in failed)


def test_a_scheduler_that_is_killed_is_an_error_that_keeps_what_has_finished(server: GlmServer) -> None:
    address = f"tcp://127.0.0.1:{servers.free_port()}"
    scheduler = dask_program("scheduler", "--port", address.rpartition(":")[2])
    worker = dask_program("worker", address, "--no-nanny", "--nthreads", "1")
    try:
        with Client(address, timeout=60, set_as_default=False) as client:
            client.wait_for_workers(1, timeout=60)
            gate = threading.Event()
            server.echo = lambda request: (  # type: ignore[method-assign]
                by_prompt(request) if len(server.requests) == 1 else held(gate)(request)
            )
            found: list[Comparison] = []
            asking = threading.Thread(
                target=lambda: found.append(glm_magic.compare("{{ x }}", rows=ROWS, executor=client))
            )
            asking.start()
            while len(server.requests) < 2:
                time.sleep(0.02)
            time.sleep(0.5)  # for the first answer to have come home
            scheduler.kill()
            asking.join(60)
            gate.set()
            assert [run.state for run in found[0]] == ["done", *["failed"] * 3]
            assert {run.error.what for run in found[0].failed} == {"The executor cancelled this request."}
            client.close(timeout=1)
            with pytest.raises(GlmError, match="The executor accepts no work: ClosedClientError"):
                glm_magic.compare("{{ x }}", rows=ROWS, executor=client)
    finally:
        for process in (worker, scheduler):
            process.kill()
            process.wait()


def test_a_stop_takes_back_what_has_not_begun(server: GlmServer, workers: Any) -> None:
    gate = threading.Event()
    server.echo = held(gate)  # type: ignore[method-assign]
    stopping = when_under_way(server, 2, lambda: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises((KeyboardInterrupt, Interrupted)):
        glm_magic.compare("{{ x }}", rows=[{"x": str(each)} for each in range(60)], executor=workers)
    stopping.join()
    if isinstance(client := getattr(workers, "_client", workers), Client):  # its scheduler hears of it in a moment
        comes_true(lambda: client.run_on_scheduler(lambda dask_scheduler: not dask_scheduler.tasks))
    gate.set()
    server.echo = by_prompt  # type: ignore[method-assign]
    assert texts(glm_magic.compare("again", repeats=2, executor=workers)) == ["again/None"] * 2  # behind all the others
    begun = {request.messages[-1][1] for request in server.requests} - {"again"}
    assert len(begun) < 20  # what workers had, and what reached them before the Stop did


@pytest.fixture
def forgetful(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Let the workers that start from now on lack the package, or the key."""

    def lack(what: str) -> None:
        if what == "key":
            monkeypatch.delenv("GLM_API_KEY")
            return
        (tmp_path / "sitecustomize.py").write_text(
            "import sys\n"
            "class Lacking:\n"
            "    def find_spec(self, name, *_):\n"
            "        if name == 'glm_magic':\n"
            "            raise ModuleNotFoundError(\"No module named 'glm_magic'\", name=name)\n"
            "sys.meta_path.insert(0, Lacking())\n"
        )
        monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ['PYTHONPATH']}")

    return lack


@pytest.fixture(params=["dask", "ipyparallel"])
def others(request: pytest.FixtureRequest) -> Callable[[], Any]:
    """Start one worker more, or another cluster, and return it."""

    def start() -> Any:
        if request.param == "dask":
            cluster = LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=":0")
            client = Client(cluster, set_as_default=False)
            request.addfinalizer(cluster.close)
            request.addfinalizer(client.close)
            return client
        cluster = ipyparallel.Cluster(n=1, log_level=40)
        client = cluster.start_and_connect_sync()
        client.wait_for_engines(1, timeout=60)
        request.addfinalizer(cluster.stop_cluster_sync)
        request.addfinalizer(client.close)
        return client

    return start


def test_a_worker_without_the_package_is_said(
    server: GlmServer, forgetful: Callable[[str], None], others: Callable[[], Any]
) -> None:
    forgetful("package")
    with pytest.raises(SetupError, match="A worker has no glm_magic"):
        glm_magic.compare("hi", repeats=2, executor=others())
    assert not server.requests


def test_a_key_that_was_typed_reaches_no_worker(
    server: GlmServer, forgetful: Callable[[str], None], others: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    forgetful("key")
    workers = others()
    monkeypatch.setenv("GLM_API_KEY", KEY)  # of the kernel alone
    with pytest.raises(SetupError, match=r"In a worker: There is no key\.") as caught:
        glm_magic.compare("hi", repeats=2, executor=workers)
    assert "A key of --login does not reach them" in caught.value.remedy
    assert not server.requests


def dask_program(name: str, *words: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", f"distributed.cli.dask_{name}", "--no-dashboard", *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
