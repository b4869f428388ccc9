"""How long a token takes from the service to the screen: python tests/benchmarks/page.py [--middle] [TOKENS …]

JupyterLab in a headless Chromium, an answer at 200 tokens a second (10,000 of them unless told otherwise). Text is sent
on ten times a second: `newest` is the delay of the newest token in each of these updates, from the moment at which the
server wrote it to the frame in which the page showed it; `any` is that of every token, the wait for its update
included.

A reader follows the end of the answer, or, with `--middle`, the middle of what there is of it, and scrolls on when most
of what is seen has been read. Whenever a paragraph in the middle of the page is elsewhere one frame later though the
reader has not scrolled, it has jumped: by the height of the page if it is not in the middle any more.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1] / "browser"), str(Path(__file__).parents[1])]

from glm_server import Answer, GlmServer, chunk, data
from lab import headless_chromium, jupyterlab, lab_page

RATE = 200  # tokens a second
IN_A_PARAGRAPH = 60

# Notes in each frame the number of the latest token on the page, and whether the text in the middle has moved.
# The reader leaves a share of the answer unread.
WATCH = """unread => {
    const seen = window.seen = [], jumps = window.jumps = [];
    const cell = document.querySelectorAll('.jp-Notebook .jp-Cell')[1];
    const scrolled = document.querySelector('.jp-WindowedPanel-outer') ?? document.querySelector('.jp-Notebook');
    let last = 0, read = null;
    const look = () => {
        const parts = cell.querySelectorAll('.jp-RenderedMarkdown');
        const end = parts[parts.length - 1];
        const found = (end?.lastElementChild?.textContent ?? '').match(/(\\d+)\\s*$/);
        if (found && +found[1] > last) seen.push([last = +found[1], performance.timeOrigin + performance.now()]);
        const { left, top, height } = scrolled.getBoundingClientRect();
        const paragraph = document.elementFromPoint(left + 200, top + height / 2)?.closest('.jp-RenderedMarkdown p');
        if (paragraph) {
            const now = { first: parseInt(paragraph.textContent), at: paragraph.getBoundingClientRect().top };
            const moved = read === null ? 0 : now.first === read.first ? Math.abs(now.at - read.at) : height;
            if (moved > 1) jumps.push(moved);
            read = now;
        }
        const box = end?.closest('.jp-OutputArea').getBoundingClientRect();
        const below = box ? box.bottom - unread * box.height - top - height : 0;
        if (below > 0) {
            scrolled.scrollTop += below + height / 3;
            read = null;
        }
        requestAnimationFrame(look);
    };
    requestAnimationFrame(look);
}"""


def paced(tokens: int, sent: dict[int, float]) -> Iterator[bytes]:
    """The chunks of an answer whose words are their own numbers, at their pace."""
    begun = time.monotonic()
    for number in range(1, tokens + 1):
        wait = begun + number / RATE - time.monotonic()
        if wait > 0:
            time.sleep(wait)
        sent[number] = time.time() * 1000
        yield chunk(f"{number}" + ("\n\n" if number % IN_A_PARAGRAPH == 0 else " "))
    yield chunk(finish_reason="stop")
    yield data("[DONE]")


def measure(tokens: int, unread: float) -> None:
    """Stream one answer to a reader who leaves a share of it unread, and print the delays."""
    sent: dict[int, float] = {}
    with (
        tempfile.TemporaryDirectory() as folder,
        GlmServer() as server,
        jupyterlab(Path(folder)) as jupyter,
        headless_chromium() as browser,
        lab_page(browser, jupyter) as lab,
    ):
        lab.open_new("long", f"%load_ext glm_magic\n%glm_config base_url={server.url} model=m", "%%glm\nCount.")
        lab.run_cell(0)
        server.answer(Answer(paced(tokens, sent)))
        lab.page.evaluate(WATCH, unread)
        lab.start(1)
        lab.page.wait_for_function("window.glmRuns[1] === 'done'", timeout=2000 * tokens / RATE + 60_000)
        lab.page.wait_for_timeout(500)
        seen = json.loads(lab.page.evaluate("JSON.stringify(window.seen)"))
        jumps: list[float] = json.loads(lab.page.evaluate("JSON.stringify(window.jumps)"))
        text = " ".join(lab.answer(1).all_inner_texts())
        outputs = lab.answer(1).count()
    numbers = [int(word) for word in text.split()]
    every, at = [], 0
    for number in range(1, tokens + 1):
        while at < len(seen) and seen[at][0] < number:
            at += 1
        if at < len(seen):
            every.append(seen[at][1] - sent[number])
    newest = [shown - sent[number] for number, shown in seen]
    whole = "all there" if numbers == list(range(1, tokens + 1)) else f"{len(numbers)} of {tokens} THERE"
    print(
        f"{tokens} tokens at {RATE}/s: newest {_spread(newest)}; any {_spread(every)}; "
        f"{whole} in {outputs} outputs; {len(jumps)} jumps, by {max(jumps, default=0):.0f} pixels at most",
        flush=True,
    )


def _spread(delays: list[float]) -> str:
    ordered = sorted(delays)
    p95 = ordered[int(len(ordered) * 0.95)]
    return f"median {statistics.median(ordered):.0f}, p95 {p95:.0f}, longest {ordered[-1]:.0f} ms"


if __name__ == "__main__":
    for argument in [argument for argument in sys.argv[1:] if argument != "--middle"] or ["10000"]:
        measure(int(argument), unread=0.5 if "--middle" in sys.argv else 0.0)
