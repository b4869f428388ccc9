"""When a comparison is asked sooner by workers: python tests/benchmarks/executors.py

Prints the seconds of one comparison in this process, by a process pool and by a Dask cluster, both with a process for
each core, and Dask's with 32 threads in each: where answers wait for the service, and where each calls a tool that
computes. The scripted server answers, in a process of its own.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parents[2])]

from distributed import Client, LocalCluster
from glm_server import Answer, GlmServer, Received, calls, stream

import glm_magic

WAITING, COMPUTING = 100, 24
ANSWER_SECONDS, TOOL_SECONDS = 1.0, 0.5
THREADS = 32  # of a worker of Dask: as many as the kernel asks at once
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def compute(number: int) -> str:
    """Compute for half a second of CPU time."""
    until = time.thread_time() + TOOL_SECONDS
    while time.thread_time() < until:
        pass
    return str(number)


def answer(request: Received) -> Answer:
    role, text = request.messages[-1]
    if request.body.get("tools") and role == "user":
        return calls(("compute", {"number": 1}))
    if role == "user":
        time.sleep(ANSWER_SECONDS)
    return stream(text)


def serve(urls: Any, ends: Any) -> None:
    with GlmServer() as server:
        server.echo = answer  # type: ignore[method-assign]
        urls.put(server.url)
        ends.wait()


def seconds(rows: int, **asked: Any) -> float:
    since = time.perf_counter()
    found = glm_magic.compare("{{ x }}", rows=[{"x": str(number)} for number in range(rows)], **asked)
    assert all(run.state == "done" for run in found)
    return time.perf_counter() - since


def main() -> None:
    context = multiprocessing.get_context("spawn")
    urls, ends = context.Queue(), context.Event()
    server = context.Process(target=serve, args=(urls, ends))
    server.start()
    os.environ.update(GLM_BASE_URL=urls.get(), GLM_API_KEY="none")
    try:
        with (
            ProcessPoolExecutor(CORES, mp_context=context) as pool,
            LocalCluster(n_workers=CORES, threads_per_worker=THREADS, dashboard_address=":0") as cluster,
            Client(cluster) as client,
        ):
            ways: dict[str, Any] = {"this process": None, "process pool": pool, f"Dask × {THREADS} threads": client}
            for way in ways.values():
                seconds(4, executor=way)  # loads what is loaded late
            print(f"{CORES} cores")
            print(f"{WAITING} answers that take {ANSWER_SECONDS:g} s each")
            for name, way in ways.items():
                print(f"    {name:<20}{seconds(WAITING, executor=way):6.1f} s")
            print(f"{COMPUTING} answers that call a tool of {TOOL_SECONDS:g} s of CPU time each")
            for name, way in ways.items():
                print(f"    {name:<20}{seconds(COMPUTING, executor=way, tools=[compute]):6.1f} s")
    finally:
        ends.set()
        server.join()


if __name__ == "__main__":
    main()
