"""How smooth a grid of 500 runs is on the page: python tests/benchmarks/grid_page.py

JupyterLab in a headless Chromium: frames while 32 answers stream into the grid, and while the settled grid of 500
answers scrolls, beside those of the page at rest. A frame of 20 ms is 50 frames a second.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parents[1] / "browser"), str(Path(__file__).parents[1])]

from goals import figure
from lab import Lab, headless_chromium, jupyterlab, lab_page
from streams import server

STREAMS, FINISHED = 32, 500
A_WHILE = "began => performance.now() - began < 4000"

# Notes how long each frame takes while `goes_on`; scrolls the grid a bit with each of them if it `scrolls`.
FRAMES = """async ([index, goesOn, scrolls]) => {
    const cell = document.querySelectorAll('.jp-Notebook .jp-Cell')[index];
    const frames = [], began = performance.now(), until = eval(goesOn);
    let last = began, step = 40;
    while (until(began)) {
        const now = await new Promise(requestAnimationFrame);
        frames.push(now - last);
        last = now;
        const scroller = scrolls && cell.querySelector('.glm-live-scroller');
        if (!scroller) continue;
        const before = scroller.scrollTop;
        scroller.scrollTop += step;
        if (scroller.scrollTop === before) step = -step;
    }
    return frames.slice(2);
}"""


def frames(lab: Lab, index: int, goes_on: str, *, scrolls: bool) -> list[float]:
    """Return the milliseconds of each frame."""
    found: list[Any] = lab.page.evaluate(FRAMES, [index, goes_on, scrolls])
    return [float(each) for each in found]


def tell(what: str, found: list[float], at_rest: float) -> None:
    ordered = sorted(found)
    p95, longest = ordered[int(len(ordered) * 0.95)], ordered[-1]
    unit = f"ms (at rest {at_rest:.1f}; p95 {p95:.0f}, longest {longest:.0f})"
    figure(what, statistics.fmean(found), unit, at_most=20)


def main() -> None:
    """Print the figures."""
    with (
        server() as url,
        tempfile.TemporaryDirectory() as folder,
        jupyterlab(Path(folder)) as jupyter,
        headless_chromium() as browser,
        lab_page(browser, jupyter) as lab,
    ):
        rows = f"rows = [{{'number': n}} for n in range({FINISHED})]; some = rows[:{STREAMS}]"
        lab.open_new(
            "grid",
            f"%load_ext glm_magic\n%glm_config base_url={url} model=m\n{rows}",
            "%%glm --each some\n{{ number }} pace 300 50",
            "%%glm --each rows\n{{ number }} burst 50",
        )
        lab.run_cell(0)
        print(f"a grid in JupyterLab, {STREAMS} streams of 50 tokens/s and {FINISHED} finished runs")
        rest = statistics.fmean(frames(lab, 0, A_WHILE, scrolls=False))
        lab.start(1)
        lab.page.wait_for_selector(".glm-live-scroller")
        tell(f"{STREAMS} streams, live", frames(lab, 1, "() => window.glmRuns[1] !== 'done'", scrolls=True), rest)
        lab.run_cell(2)
        lab.cell(2).locator(".glm-live-scroller").scroll_into_view_if_needed()
        tell(f"{FINISHED} runs, scrolled", frames(lab, 2, A_WHILE, scrolls=True), rest)


if __name__ == "__main__":
    main()
