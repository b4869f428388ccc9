"""What comparisons cost, beside a plain loop over the openai client with a thread pool.

All in real kernels, with the server in another process: many slow streams in a live grid, beside one; what is kept,
shown again and settled; and many rows of short answers, with their CPU time and memory.
"""

from __future__ import annotations

from dataclasses import dataclass

from goals import beside, figure
from kernels import Kernel
from streams import PACE, SECONDS, server

STREAMS, FINISHED, ROWS, TOKENS = 32, 500, 10_000, 50
CHARACTERS = 4  # of a token of the server

LOOP = """
from concurrent.futures import ThreadPoolExecutor
from openai import OpenAI
client = OpenAI(base_url={url!r}, api_key="none")
def ask(prompt):
    messages = [{{"role": "user", "content": prompt}}]
    stream = client.chat.completions.create(model="GLM-4-Air", messages=messages, stream=True)
    return "".join(chunk.choices[0].delta.content or "" for chunk in stream)
def compare(prompts):
    with ThreadPoolExecutor(32) as pool:
        return list(pool.map(ask, prompts))
"""
MEASURE = "print(time.perf_counter(), time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"


@dataclass(frozen=True)
class Cost:
    """What a cell has cost: seconds, seconds of CPU, more kilobytes at the most, and bytes on iopub."""

    wall: float
    cpu: float
    memory: float
    size: int


def cost(kernel: Kernel, cell: str) -> Cost:
    """Run a cell."""
    before = [float(word) for word in kernel.run(MEASURE)[1].split()]
    size, _ = kernel.run(cell)
    after = [float(word) for word in kernel.run(MEASURE)[1].split()]
    return Cost(*(late - early for early, late in zip(before, after, strict=True)), size=size)


def grid(rows: int, prompt: str, options: str = "") -> str:
    """Return a cell that asks one prompt of many rows, each with a number of its own."""
    return f"%%glm --each rows_{rows} -m GLM-4-Air {options}\n{{{{ number }}}} {prompt}"


def ready(url: str, *rows: int) -> Kernel:
    """Start a kernel that has loaded all that a comparison loads, and has tables of so many rows."""
    kernel = Kernel(url)
    kernel.run("import resource\n%load_ext glm_magic")
    for number in (2, *rows):
        kernel.run(f"rows_{number} = [{{'number': n}} for n in range({number})]")
    kernel.run(grid(2, "burst 2"))
    return kernel


def slow_streams(url: str) -> None:
    """Print what many slow streams take in a live grid, and in the loop."""
    print(f"a live grid of {STREAMS} streams of {PACE} tokens/s for {SECONDS} s, beside one, and the loop")
    prompt = f"pace {PACE * SECONDS} {PACE}"
    kernel = ready(url, 1, STREAMS)
    one, many = cost(kernel, grid(1, prompt)), cost(kernel, grid(STREAMS, prompt, "--fresh"))
    kernel.close()
    kernel = Kernel(url)
    kernel.run("import resource\n" + LOOP.format(url=url))
    kernel.run("compare(['burst 2'] * 2)")
    loop = cost(kernel, f"_ = compare([{prompt!r}] * {STREAMS})")
    kernel.close()
    beside(f"{STREAMS} at once", many.wall, one.wall, "s", at_most=1.15)
    beside(f"{STREAMS} at once, the loop", many.wall, loop.wall, "s", at_most=1.15)
    figure("CPU", many.cpu / many.wall, f"cores (the loop: {loop.cpu / loop.wall:.2f})", at_most=0.6)
    characters = STREAMS * PACE * SECONDS * CHARACTERS
    figure("iopub", many.size / characters, "bytes a character", at_most=20)


def finished(url: str) -> None:
    """Print what a grid takes whose runs are all kept."""
    print(f"a grid of {FINISHED} finished runs")
    kernel = ready(url, FINISHED)
    kernel.run(grid(FINISHED, f"burst {TOKENS}"))
    again = cost(kernel, grid(FINISHED, f"burst {TOKENS}"))
    kernel.close()
    figure("found and settled", again.wall, f"s ({again.size / 1e6:.1f} MB)", at_most=1.0)


def many_rows(url: str, rows: int) -> None:
    """Print what many rows of short answers cost, and in the loop."""
    print(f"{rows:,} rows, each answered with {TOKENS} tokens at once, beside the loop of the openai client")
    prompt = f"burst {TOKENS}"
    kernel = ready(url, rows)
    ours = cost(kernel, grid(rows, prompt))
    kernel.close()
    kernel = Kernel(url)
    kernel.run("import resource\n" + LOOP.format(url=url))
    kernel.run("compare(['burst 2'] * 2)")
    loop = cost(kernel, f"_ = compare([{prompt!r}] * {rows})")
    kernel.close()
    beside("CPU a run", ours.cpu / rows * 1e3, loop.cpu / rows * 1e3, "ms", at_most=1.0)
    figure("CPU a run", ours.cpu / rows * 1e3, "ms", at_most=4)
    beside("wall a run", ours.wall / rows * 1e3, loop.wall / rows * 1e3, "ms", at_most=1.0)
    figure("memory", ours.memory / 1e3, f"MB (the loop: {loop.memory / 1e3:.0f})", at_most=200)


def main(*, quick: bool = False) -> None:
    """Print the tables."""
    with server() as url:
        slow_streams(url)
        finished(url)
        many_rows(url, ROWS // 10 if quick else ROWS)
