"""One server, one browser, and a page for each module."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from ipykernels import VERSIONS, python_path
from lab import KERNEL, Lab, fresh_page, headless_chromium, install_kernel, jupyterlab

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

FAILED = pytest.StashKey[bool]()


@pytest.fixture(scope="session")
def lab_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    with jupyterlab(tmp_path_factory.mktemp("lab") / "server") as server:
        yield server


@pytest.fixture(scope="session")  # Playwright holds this thread's event loop, so these tests come last
def chromium() -> Iterator[Browser]:
    with headless_chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def page(chromium: Browser) -> Iterator[Page]:
    """One page for the tests of a module: the front end's code is compiled once in it."""
    with fresh_page(chromium) as page:
        yield page


@pytest.fixture
def lab(request: pytest.FixtureRequest, lab_server: tuple[str, Path], page: Page) -> Iterator[Lab]:
    """JupyterLab, loaded anew; a test that is parametrised with it, indirectly, names the front end."""
    page.emulate_media(forced_colors="none", reduced_motion="no-preference")
    lab = Lab(page, *lab_server, getattr(request, "param", "JupyterLab"))
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


@pytest.fixture(scope="session")
def other_ipykernels(lab_server: tuple[str, Path]) -> dict[str, str]:
    """The names of kernels with another ipykernel, by its version."""
    kernels = {version: f"{KERNEL}-{version}" for version in VERSIONS}
    for version, name in kernels.items():
        install_kernel(lab_server[1].parent / "data", name, PYTHONPATH=python_path(version))
    return kernels
