"""How smooth a page stays while answers stream into a grid: python tests/benchmarks/grid_page.py

JupyterLab in a headless Chromium: how long the frames take while 32 answers stream into the grid and it scrolls, beside
those of the page at rest. A frame of 20 ms is 50 frames a second. The settled grid: see grid.py.
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
from streams import PACE, SECONDS, server

STREAMS = 32
A_WHILE = "began => performance.now() - began < 4000"
WHILE_IT_RUNS = "() => window.glmRuns[1] !== 'done'"

# Notes how long each frame takes while it goes on; scrolls the grid, if there is one, a bit with each of them.
FRAMES = """async goesOn => {
    const frames = [], began = performance.now(), until = eval(goesOn);
    let last = began, step = 40;
    while (until(began)) {
        const now = await new Promise(requestAnimationFrame);
        frames.push(now - last);
        last = now;
        const scroller = document.querySelector('.glm-live-scroller');
        if (!scroller) continue;
        const before = scroller.scrollTop;
        scroller.scrollTop += step;
        if (scroller.scrollTop === before) step = -step;
    }
    return frames.slice(2);
}"""


def frames(lab: Lab, goes_on: str) -> list[float]:
    """Return the milliseconds of each frame."""
    found: list[Any] = lab.page.evaluate(FRAMES, goes_on)
    return sorted(float(each) for each in found)


def main() -> None:
    """Print the figure."""
    with (
        server() as url,
        tempfile.TemporaryDirectory() as folder,
        jupyterlab(Path(folder)) as jupyter,
        headless_chromium() as browser,
        lab_page(browser, jupyter) as lab,
    ):
        lab.open_new(
            "grid",
            f"%load_ext glm_magic\n%glm_config base_url={url} model=m\nrows = [{{'n': n}} for n in range({STREAMS})]",
            f"%%glm --each rows\n{{{{ n }}}} pace {PACE * SECONDS} {PACE}",
        )
        lab.run_cell(0)
        rest = frames(lab, A_WHILE)
        lab.start(1)
        lab.page.wait_for_selector(".glm-live-scroller")
        found = frames(lab, WHILE_IT_RUNS)
    p95 = found[int(len(found) * 0.95)]
    unit = f"ms (at rest {statistics.fmean(rest):.1f}; p95 {p95:.0f}, longest {found[-1]:.0f})"
    figure(f"{STREAMS} streams, a frame", statistics.fmean(found), unit, at_most=20)


if __name__ == "__main__":
    main()
