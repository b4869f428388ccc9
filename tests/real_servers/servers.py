"""Starts servers that nobody here wrote, each in a process of its own: llama.cpp's, LiteLLM's proxy, and transformers'.

All of them serve the embedded model's weights. LiteLLM and transformers are installed into environments of their own.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from glm_magic.service import embedded

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent / ".ci"))

from environment import make

KEY = "key-of-the-real-servers"
LITELLM = ("litellm[proxy]",)
# transformers reads the weights out of the GGUF file with gguf, and loads them with accelerate
TRANSFORMERS = ("transformers[serving]", "torch", "gguf", "accelerate")

_LONGEST_START = 180.0


@dataclass(frozen=True)
class RealServer:
    """A server that is up: where it is, which model it has, and its process."""

    name: str
    url: str
    model: str
    process: subprocess.Popen[str]


@contextlib.contextmanager
def llama_cpp(folder: Path) -> Iterator[RealServer]:
    """llama.cpp's own server."""
    weights = _weights()
    command = [sys.executable, str(Path(__file__).with_name("llama_cpp.py")), str(weights), KEY]
    with _running(command, folder / "llama.log", stdin=subprocess.PIPE) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        if not url:
            raise RuntimeError(f"llama.cpp's server did not start:\n{(folder / 'llama.log').read_text()[-2000:]}")
        yield RealServer("llama.cpp", f"{url}/v1", weights.stem, process)


@contextlib.contextmanager
def litellm(folder: Path, behind: RealServer) -> Iterator[RealServer]:
    """LiteLLM's proxy before another server, which has the key that it asks for as well."""
    python = make(".venv-litellm", *LITELLM)
    config = folder / "litellm.yaml"
    parameters = {"model": f"openai/{behind.model}", "api_base": behind.url, "api_key": KEY}
    models = [{"model_name": behind.model, "litellm_params": parameters}]
    config.write_text(json.dumps({"model_list": models, "general_settings": {"master_key": KEY}}))  # JSON is YAML
    port = free_port()
    command = [str(python.with_name("litellm")), "--config", str(config), "--host", "127.0.0.1", "--port", str(port)]
    with _running(command, folder / "litellm.log", LITELLM_LOCAL_MODEL_COST_MAP="True") as process:
        url = f"http://127.0.0.1:{port}"
        _wait(f"{url}/health/liveliness", process, folder / "litellm.log")
        yield RealServer("LiteLLM", f"{url}/v1", behind.model, process)


@contextlib.contextmanager
def transformers(folder: Path) -> Iterator[RealServer]:
    """`transformers serve`, with the weights in its own format. It asks for no key."""
    python = make(".venv-transformers", *TRANSFORMERS)
    weights, model = _weights(), folder / "SmolLM2"
    subprocess.run(
        [python, Path(__file__).with_name("converted.py"), weights, model],
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        check=True,
        capture_output=True,
    )
    port = free_port()
    command = [str(python.with_name("transformers")), "serve", str(model), "--device", "cpu", "--port", str(port)]
    with _running(command, folder / "transformers.log", HF_HUB_OFFLINE="1") as process:
        url = f"http://127.0.0.1:{port}"
        _wait(f"{url}/health", process, folder / "transformers.log")
        yield RealServer("transformers", f"{url}/v1", str(model), process)


def _weights() -> Path:
    """Return the embedded model's weights, which are fetched once."""
    weights = embedded.cached_weights()
    if not weights.is_file():
        model = embedded.EmbeddedModel({})
        list(model.ready())
        model.close()
    return weights


@contextlib.contextmanager
def _running(
    command: list[str], log: Path, stdin: int = subprocess.DEVNULL, **environ: str
) -> Iterator[subprocess.Popen[str]]:
    with log.open("w") as errors:
        process = subprocess.Popen(
            command,
            stdin=stdin,
            stdout=subprocess.PIPE if stdin == subprocess.PIPE else errors,
            stderr=errors,
            text=True,
            env={**os.environ, **environ},
            start_new_session=True,  # an interrupt is for the test
        )
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()


def _wait(url: str, process: subprocess.Popen[str], log: Path) -> None:
    """Wait until a server answers."""
    until = time.monotonic() + _LONGEST_START
    while process.poll() is None and time.monotonic() < until:
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5):
            return
        time.sleep(0.2)
    raise RuntimeError(f"It does not answer: {url}\n{log.read_text()[-2000:]}")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return listening.getsockname()[1]
