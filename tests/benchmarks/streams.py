"""What reading a stream costs, beside httpx-sse and json: python tests/benchmarks/streams.py

CPU and wall time for each chunk of a burst, socket to reply; the first delta on a warm connection; and many
slow streams at once, beside one. The two take turns, in one process; the server is another one.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import httpx_sse
from goals import beside, figure

from glm_magic import Chat
from glm_magic.chat.events import TextDelta
from glm_magic.chat.growing import ReplyBuilder
from glm_magic.service.client import Client, Patience
from glm_magic.service.endpoint import endpoint

CHUNKS, BURSTS, FIRSTS = 10_000, 9, 300
PACE, SECONDS = 50, 6

# Asks for what a prompt says; returns the text, and the time at which the first of it came.
Ask = Callable[[str], tuple[str, float]]


def body(prompt: str) -> dict[str, Any]:
    return {"model": "GLM-4-Air", "messages": [{"role": "user", "content": prompt}], "stream": True}


@contextmanager
def server() -> Iterator[str]:
    """Run the server; give its base URL."""
    command = [sys.executable, str(Path(__file__).with_name("stream_server.py"))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()


def by_hand(client: httpx.Client, url: str) -> Ask:
    """The loop that people write: httpx-sse and json."""

    def ask(prompt: str) -> tuple[str, float]:
        texts, first = [], 0.0
        with httpx_sse.connect_sse(client, "POST", f"{url}/chat/completions", json=body(prompt)) as source:
            for sse in source.iter_sse():
                if sse.data == "[DONE]":
                    continue
                text = json.loads(sse.data)["choices"][0]["delta"].get("content")
                if text:
                    first = first or time.perf_counter()
                    texts.append(text)
        return "".join(texts), first

    return ask


def ours(client: Client, url: str) -> Ask:
    """The same by our client."""
    where = endpoint(url, None)

    def ask(prompt: str) -> tuple[str, float]:
        builder, first = ReplyBuilder(), 0.0
        for event in client.stream(where, body(prompt), Patience()):
            if not first and isinstance(event, TextDelta):
                first = time.perf_counter()
            builder.add(event)
        return builder.reply().text, first

    return ask


def bursts(us: Ask, peer: Ask) -> None:
    """Print the CPU and the wall time of a chunk."""
    cpu: dict[Ask, list[float]] = {us: [], peer: []}
    wall: dict[Ask, list[float]] = {us: [], peer: []}
    for _ in range(BURSTS):
        for ask in (peer, us):
            started, used = time.perf_counter(), time.process_time()
            text, _ = ask(f"burst {CHUNKS}")
            wall[ask].append((time.perf_counter() - started) / CHUNKS * 1e6)
            cpu[ask].append((time.process_time() - used) / CHUNKS * 1e6)
            assert len(text) == 4 * CHUNKS
    print(f"a burst of {CHUNKS} chunks, median of {BURSTS}, beside httpx-sse and json")
    beside("CPU a chunk", median(cpu[us]), median(cpu[peer]), "µs", at_most=1.3)
    beside("wall a chunk", median(wall[us]), median(wall[peer]), "µs", at_most=1.5)


def firsts(us: Ask, peer: Ask) -> None:
    """Print how long the first delta takes on a connection that is there already."""
    taken: dict[Ask, list[float]] = {us: [], peer: []}
    for _ in range(FIRSTS):
        for ask in (peer, us):
            started = time.perf_counter()
            taken[ask].append((ask("first")[1] - started) * 1e3)
    print(f"first delta on a warm connection, median of {FIRSTS}, beside httpx-sse and json")
    beside("first delta", median(taken[us]), median(taken[peer]), "ms", at_most=1.5)


def many(url: str) -> None:
    """Print how long many slow streams take at once, beside one, and how much of a core: each of a chat of its own."""
    print(f"chats at once, each with an answer of {PACE} chunks a second for {SECONDS} s, beside one")
    taken: dict[int, float] = {}
    for number, slower, cores in ((1, 1.0, 1.0), (32, 1.1, 0.3), (128, 1.15, 1.0)):
        chats = [Chat(base_url=url, model="GLM-4-Air", concurrency=number) for _ in range(number)]
        started, used = time.perf_counter(), time.process_time()
        with ThreadPoolExecutor(number) as pool:
            replies = list(pool.map(lambda chat: chat(f"pace {PACE * SECONDS} {PACE}"), chats))
        taken[number], cpu = time.perf_counter() - started, time.process_time() - used
        assert all(len(reply.text) == 4 * PACE * SECONDS for reply in replies)
        if number > 1:
            beside(f"{number} at once", taken[number], taken[1], "s", at_most=slower)
            figure(f"{number} at once, CPU", cpu / taken[number], "cores", at_most=cores)


def median(values: list[float]) -> float:
    return statistics.median(values)


def main() -> None:
    """Print the tables."""
    client = Client()
    with server() as url, httpx.Client(timeout=300) as http:
        us, peer = ours(client, url), by_hand(http, url)
        us("burst 10"), peer("burst 10")  # what is loaded with the first answer is not counted
        bursts(us, peer)
        firsts(us, peer)
        many(url)
    client.close()


if __name__ == "__main__":
    main()
