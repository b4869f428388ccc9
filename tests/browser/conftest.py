"""One server, one browser, and a page for each front end."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from ipykernels import VERSIONS, python_path
from lab import KERNEL, PLACES, SIZE, Lab, fresh_page, headless_chromium, install_kernel, jupyterlab

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

FAILED = pytest.StashKey[bool]()


@pytest.fixture(scope="session")
def lab_server(
    tmp_path_factory: pytest.TempPathFactory, other_ipykernels: dict[str, str]
) -> Iterator[tuple[str, Path]]:
    with jupyterlab(tmp_path_factory.mktemp("lab") / "server") as server:
        for version, name in other_ipykernels.items():  # before a page is loaded, which asks for the kernels once
            install_kernel(server[1].parent / "data", name, PYTHONPATH=python_path(version))
        yield server


@pytest.fixture(scope="session")
def other_ipykernels() -> dict[str, str]:
    """The names of kernels with another ipykernel, by its version."""
    return {version: f"{KERNEL}-{version}" for version in VERSIONS}


@pytest.fixture(scope="session")  # Playwright holds this thread's event loop, so these tests come last
def chromium() -> Iterator[Browser]:
    with headless_chromium() as browser:
        yield browser


@pytest.fixture(scope="session")
def pages(chromium: Browser) -> Iterator[dict[str, Page]]:
    """A page for each front end. To load one takes three seconds of a core, so each is loaded once."""
    with contextlib.ExitStack() as stack:
        yield {front_end: stack.enter_context(fresh_page(chromium)) for front_end in PLACES}


@pytest.fixture
def lab(request: pytest.FixtureRequest, lab_server: tuple[str, Path], pages: dict[str, Page]) -> Iterator[Lab]:
    """JupyterLab; a test that is parametrised with it, indirectly, names another front end."""
    front_end = getattr(request, "param", "JupyterLab")
    page = pages[front_end]
    page.emulate_media(forced_colors="none", reduced_motion="no-preference")
    page.set_viewport_size({"width": SIZE[0], "height": SIZE[1]})
    page.mouse.move(0, 0)  # nothing is hovered over
    lab = Lab(page, *lab_server, front_end)
    yield lab
    if request.node.stash.get(FAILED, False):
        print(lab.state())
    lab.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note that a test has failed, so that its fixtures can tell what the page shows."""
    report = yield
    item.stash[FAILED] = item.stash.get(FAILED, False) or report.failed
    return report
