"""The servers of this lane: each starts once, when the first test asks for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import servers
from servers import KEY, RealServer


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("servers")


@pytest.fixture(scope="session")
def llama_cpp(folder: Path) -> Iterator[RealServer]:
    with servers.llama_cpp(folder) as server:
        yield server


@pytest.fixture(scope="session")
def litellm(folder: Path, llama_cpp: RealServer) -> Iterator[RealServer]:
    with servers.litellm(folder, llama_cpp) as server:
        yield server


@pytest.fixture(scope="session")
def transformers(folder: Path) -> Iterator[RealServer]:
    with servers.transformers(folder) as server:
        yield server


@pytest.fixture
def real(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> RealServer:
    """One of them, by name; it is what questions ask for which nothing else is set."""
    server: RealServer = request.getfixturevalue(request.param)
    monkeypatch.setenv("GLM_BASE_URL", server.url)
    monkeypatch.setenv("GLM_API_KEY", KEY)
    monkeypatch.setenv("GLM_MODEL", server.model)
    monkeypatch.setenv("GLM_TEMPERATURE", "0")
    return server
