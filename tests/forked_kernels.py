"""Starts kernels by forking a process that has imported what they need: importing takes most of a kernel's time.

`install` makes jupyter_client do so in this process; `python forked_kernels.py MODULE …` runs a module where it does.
`python forked_kernels.py` is the process that is forked. It reads what to run from stdin, and prints process ids.
"""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import importlib
import json
import os
import runpy
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

# What a kernel imports when it starts, the magics, and what they import when they are first used. Kernels of another
# ipykernel, and those that other programs start, are not forked: they import the magics themselves.
PRELOADED = (
    "ipykernel.kernelapp",
    "ipykernel.zmqshell",
    "ipykernel.debugger",
    "IPython.core.debugger",
    "IPython.core.oinspect",
    "jedi",
    "anywidget",
    "httpx",
    "httpcore",
    "httpx_sse",
    "keyring.backends.null",
    "markdown_it",
    "nbformat",
    "psutil",
    "pydantic.fields",
    "rich.console",
    "glm_magic.magics.ask",
    "glm_magic.magics.config",
    "glm_magic.magics.glm",
    "glm_magic.magics.history",
    "glm_magic.display.page.bar",
    "glm_magic.display.page.view",
)
KERNEL = [sys.executable, "-m", "ipykernel_launcher"]
# ipywidgets registers with the shell when it is imported, but here it is imported before there is one.
WITH_WIDGETS = "--ext=ipywidgets"


class Forked:
    """A forked process, as far as jupyter_client asks a `subprocess.Popen`."""

    stdin = stdout = stderr = None

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def poll(self) -> int | None:
        """Return 0 once it has ended, however it did, and None before."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, 0)
            return None
        return 0

    def wait(self) -> int:
        """Return how it has ended; jupyter_client asks once `poll` has said that it has."""
        return 0

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)


def install() -> None:
    """Make jupyter_client fork the kernels that it starts in this process, unless they have another ``PYTHONPATH``."""
    from jupyter_client.provisioning import local_provisioner

    if sys.platform != "linux":  # elsewhere a fork is not safe, or there is none
        return
    launch = local_provisioner.launch_kernel
    forked: list[subprocess.Popen[str]] = []

    def fork(cmd: list[str], *, env: dict[str, str], cwd: str | None = None, **options: Any) -> Any:
        if cmd[:3] != KERNEL or env.get("PYTHONPATH") != os.environ.get("PYTHONPATH"):
            return launch(cmd, env=env, cwd=cwd, **options)
        if not forked:
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
            forked.append(subprocess.Popen([sys.executable, __file__], text=True, **pipes))
        asked, answered = forked[0].stdin, forked[0].stdout
        assert asked is not None
        assert answered is not None
        print(json.dumps([[*cmd[2:], WITH_WIDGETS], env, str(Path(cwd or ".").absolute())]), file=asked, flush=True)
        return Forked(int(answered.readline()))

    local_provisioner.launch_kernel = fork


# --- the process that is forked ---------------------------------------------------------------


def serve() -> None:
    """Fork for each line of the input. When that ends, the kernels do: they watch their parent."""
    os.environ["JPY_PARENT_PID"] = str(os.getpid())  # ipykernel reads it when it is imported
    os.environ["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"  # else the debugger writes a warning when it is imported
    for module in PRELOADED:
        importlib.import_module(module)
    gc.freeze()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody asks how they have ended
    ready, is_ready = os.pipe()
    for line in sys.stdin:
        if (pid := os.fork()) == 0:
            os.setsid()
            os.write(is_ready, b".")
            run(*json.loads(line))
            return
        os.read(ready, 1)  # it has a group of its own, to which signals go
        print(pid, flush=True)


def run(command: list[str], environment: dict[str, str], folder: str) -> None:
    """Run a module, as `python -m` does in a new process."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment, JPY_PARENT_PID=str(os.getppid()))
    if environment.get("PYTHONFAULTHANDLER"):
        faulthandler.enable()
    run_module(command)


def run_module(command: list[str]) -> None:
    """Run a module with arguments in this process."""
    sys.path[0] = str(Path.cwd())
    sys.argv = command
    runpy.run_module(command[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    if sys.argv[1:]:
        install()
        run_module(sys.argv[1:])
    else:
        serve()
