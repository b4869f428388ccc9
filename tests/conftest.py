"""What every test has: a clean environment, and the scripted server where it asks for one."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

# a slow machine is no failure
hypothesis.settings.register_profile("glm_magic", deadline=None)
hypothesis.settings.load_profile("glm_magic")

from glm_server import GlmServer

# The embedded model's weights are fetched once for all runs, so they stay where the user's cache is.
_OWN = ("GLM_", "ZAI_", "ZHIPUAI_")
_PROXIES = ("ALL_PROXY", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
# They come first, so that no worker is left with one of them at the end.
_SLOWEST = ("tests/test_notebooks.py", "tests/notebook/", "tests/kernel/")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the slowest first, and the browser tests last: Playwright holds the thread's loop, and others want one."""
    items.sort(key=lambda item: ("browser" in item.keywords, not item.nodeid.startswith(_SLOWEST)))


def pytest_collection_finish() -> None:
    """Keep what has been imported out of every garbage collection, as it stays anyway, and collect less often."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith(_OWN) or name.upper() in _PROXIES or name == "JPY_SESSION_NAME":
            monkeypatch.delenv(name)
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))  # where the store is
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))  # where the user's settings are
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
    if "glm_magic.service.services" in sys.modules:  # the process's own, with the key that a test has typed
        monkeypatch.setattr("glm_magic.service.services._shared", None)


@pytest.fixture(autouse=True)
def one_core_for_the_embedded_model(request: pytest.FixtureRequest) -> Iterator[None]:
    """Give the embedded model one core: beside other work its threads wait for each other."""
    if "embedded" not in request.keywords or not hasattr(os, "sched_setaffinity"):
        yield
        return
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cores)})
    yield
    os.sched_setaffinity(0, cores)


@pytest.fixture
def server() -> Iterator[GlmServer]:
    with GlmServer() as server:
        yield server


@pytest.fixture(autouse=True)
def own_interrupts() -> Iterator[None]:
    """Take interrupts as in a terminal: a background job ignores them, and a shell without a kernel leaves its own."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_sessionfinish() -> None:
    """Collect garbage once, so that pytest reports what fails in it. What is left ends with the process."""
    gc.collect()
    gc.freeze()
