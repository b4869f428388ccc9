"""One limiter for each endpoint and model, and the file that remembers what each of them bore."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from glm_magic.service.endpoint import Endpoint
from glm_magic.service.keys import Key
from glm_magic.service.limiter import Limiter
from glm_magic.service.limits import Limits, limits_file
from glm_magic.service.services import shared

HERE, THERE = Endpoint("http://127.0.0.1:1/v1", Key("id.canary-canary", "a test")), Endpoint("http://127.0.0.1:2/v1")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "data" / "limits.json"


def grow(limiter: Limiter) -> None:
    """Let as many be in flight as may, and each of them be accepted."""
    slots = [limiter.slot() for _ in range(limiter.pace.limit)]
    for slot in slots:
        assert list(slot.wait()) == []
    for slot in slots:
        slot.begin()
    for slot in slots:
        slot.end()


def test_each_endpoint_and_model_has_one_limiter() -> None:
    limits = Limits()
    assert limits.of(HERE, "GLM-4-Air") is limits.of(Endpoint(HERE.base_url), "GLM-4-Air")
    assert limits.of(HERE, "GLM-4-Air") is not limits.of(HERE, "GLM-4-Plus")
    assert limits.of(HERE, "GLM-4-Air") is not limits.of(THERE, "GLM-4-Air")


def test_the_embedded_model_answers_as_many_at_once_as_its_server_does() -> None:
    limits = Limits()
    assert limits.of(None, "SmolLM2").pace.limit == 2
    assert limits.of(None, "SmolLM2") is limits.of(Endpoint("http://127.0.0.1:3/v1", embedded=True), "SmolLM2")


def test_what_was_borne_is_where_the_next_kernel_starts(file: Path) -> None:
    grow(Limits(lambda: file).of(HERE, "GLM-4-Air"))
    assert Limits(lambda: file).of(HERE, "GLM-4-Air").pace.limit == 5
    assert Limits(lambda: file).of(THERE, "GLM-4-Air").pace.limit == 4
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(file.parent.iterdir()) == [file]
    kept = file.read_text()
    assert not any(word in kept for word in ("canary", "127", "GLM"))


def test_nothing_is_written_while_nothing_has_changed(file: Path) -> None:
    limiter = Limits(lambda: file).of(HERE, "GLM-4-Air")
    slot = limiter.slot()
    list(slot.wait())
    slot.begin()
    slot.end()
    assert not file.exists()


@pytest.mark.parametrize("content", ["", "[1]", "nonsense", '{"a": {}}', "[" * 50_000, "null"])
def test_a_broken_file_is_ignored_and_replaced(file: Path, content: str) -> None:
    file.parent.mkdir()
    file.write_text(content)
    limiter = Limits(lambda: file).of(HERE, "GLM-4-Air")
    assert limiter.pace.limit == 4
    grow(limiter)
    assert list(json.loads(file.read_text()).values()) == [5]


@pytest.mark.parametrize("limit", ["0", "-3", "1e9", "true", '"8"', "null", "100000"])
def test_a_limit_that_makes_no_sense_is_ignored(file: Path, limit: str) -> None:
    grow(Limits(lambda: file).of(HERE, "GLM-4-Air"))
    name = next(iter(json.loads(file.read_text())))
    file.write_text(f'{{"{name}": {limit}}}')
    assert Limits(lambda: file).of(HERE, "GLM-4-Air").pace.limit == 4


def test_where_nothing_can_be_written_nothing_is_said(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file where a folder should be")
    limiter = Limits(lambda: tmp_path / "data" / "limits.json").of(HERE, "GLM-4-Air")
    grow(limiter)
    assert limiter.pace.limit == 5


def test_few_are_remembered_and_the_latest(file: Path) -> None:
    limits = Limits(lambda: file)
    file.parent.mkdir()
    file.write_text(json.dumps({str(number): 7 for number in range(600)}))
    grow(limits.of(HERE, "GLM-4-Air"))
    kept = json.loads(file.read_text())
    assert len(kept) == 500
    assert list(kept.values())[-1] == 5


def test_a_fork_begins_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    services = shared()
    slot = services.limits.of(HERE, "GLM-4-Air").slot()
    list(slot.wait())
    assert shared().limits.of(HERE, "GLM-4-Air").pace.in_flight == 1
    monkeypatch.setattr(services, "process", os.getpid() + 1)
    assert shared().limits.of(HERE, "GLM-4-Air").pace.in_flight == 0
    slot.end()


def test_the_file_is_in_the_users_data_directory(tmp_path: Path) -> None:
    assert limits_file() == tmp_path / "data" / "glm_magic" / "limits.json"
