"""What a settled grid costs the page: python tests/benchmarks/grid.py [ROWS …]

JupyterLab in a headless Chromium, a comparison that is acted: ROWS × 6 answers (84 and 500 rows unless told otherwise).

* `settles`: from the run of the cell that settles the grid until the page has drawn its verdict.
* `scrolls`: from the top to the end in 240 frames, in each of the views: how long a frame takes, and how long the
  renderer is busy for it. A machine with other work makes the first longer than the second.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

FOLDER = Path(__file__).parents[1] / "browser"
sys.path[:0] = [str(FOLDER), str(FOLDER.parent)]

from goals import figure
from lab import SIZE, headless_chromium, jupyterlab, lab_page

if TYPE_CHECKING:
    from playwright.sync_api import CDPSession

SETUP = f"import sys; sys.path.insert(0, {str(FOLDER)!r})\nfrom scripted_grid import *"
FRAMES = 240
SETTLED = """() => {
    window.settled = 0;
    const begun = performance.now();
    new MutationObserver(() => {
        if (window.settled || !document.querySelector('.glm-live-verdict')?.textContent.includes('beats')) return;
        window.settled = -1;
        requestAnimationFrame(() => requestAnimationFrame(() => { window.settled = performance.now() - begun }));
    }).observe(document.body, { childList: true, subtree: true, characterData: true });
}"""
SCROLL = """(node, frames) => new Promise(resolve => {
    const step = (node.scrollHeight - node.clientHeight) / frames, times = [];
    node.scrollTop = 0;
    const next = now => {
        times.push(now);
        node.scrollTop += step;
        if (times.length <= frames) requestAnimationFrame(next);
        else resolve((times.at(-1) - times[0]) / frames);
    };
    requestAnimationFrame(next);
})"""


def busy(session: CDPSession) -> float:
    """The processor time in seconds that the page's renderer has taken."""
    metrics = {metric["name"]: metric["value"] for metric in session.send("Performance.getMetrics")["metrics"]}
    return float(metrics["ProcessTime"])


def measure(rows: int) -> None:
    """Print the figures of a grid with so many rows."""
    with (
        tempfile.TemporaryDirectory() as folder,
        jupyterlab(Path(folder)) as jupyter,
        headless_chromium() as browser,
        lab_page(browser, jupyter, SIZE) as lab,
    ):
        lab.open_new("grid", SETUP, f"a = Acted({rows}, 6); a.begin(); a.prepare()", "a.settle()")
        lab.hide_sidebar()
        lab.run_cell(0, 1)
        grid = lab.outputs(1)
        grid.locator(".glm-live-scroller").wait_for()
        lab.page.evaluate(SETTLED)
        lab.run_cell(2)
        lab.page.wait_for_function("() => window.settled > 0")
        print(f"{rows} rows × 6 columns, load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
        figure("settles", lab.page.evaluate("() => window.settled"), "ms", at_most=1000)
        session = lab.page.context.new_cdp_session(lab.page)
        session.send("Performance.enable")
        for view in ("compact", "full", "diff"):
            grid.get_by_role("button", name=view, exact=True).click()
            grid.locator(".glm-live-scroller").evaluate(SCROLL, FRAMES)  # once for the rows to be drawn
            before = busy(session)
            figure(f"scrolls, {view}", grid.locator(".glm-live-scroller").evaluate(SCROLL, FRAMES), "ms", at_most=20)
            figure("  of them busy", 1000 * (busy(session) - before) / FRAMES, "ms", at_most=20)


if __name__ == "__main__":
    for argument in sys.argv[1:] or ["84", "500"]:
        measure(int(argument))
