"""JupyterLab and Notebook 7 in a headless Chromium, for the tests that need a page that is real.

The server, its settings and its kernels live in a directory of their own: nothing of the user's is
read or written. Without a Chromium the tests fail; they do not pass by being skipped.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import browsers
import forked_kernels
import nbformat
import pytest
from playwright.sync_api import TimeoutError as PageTimeout
from playwright.sync_api import expect, sync_playwright

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

SECONDS = 60.0  # the longest wait for anything; two cores that have other work are slow
SIZE = (1280, 900)
KERNEL = "glm-magic-browser"
KERNEL_WITHOUT_THE_PACKAGE = "without-glm-magic"
START_WITHOUT_THE_PACKAGE = (
    "import sys; sys.modules['glm_magic'] = None; from ipykernel import kernelapp; kernelapp.launch_new_instance()"
)
LOG = "server.log"
FOREIGN = ("GLM_", "ZAI_", "ZHIPUAI_", "JUPYTER", "JPY_", "IPYTHON")
PROXIES = ("ALL_PROXY", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
USER_SETTINGS: dict[str, dict[str, Any]] = {
    "docmanager-extension/plugin": {"autosave": False},
    "notebook-extension/tracker": {"windowingMode": "none", "autoStartDefaultKernel": True},
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
}

# Where a notebook is open in them; one server serves both.
PLACES = {"JupyterLab": "lab/tree", "Notebook 7": "notebooks"}
THEMES = {
    "light": "JupyterLab Light",
    "dark": "JupyterLab Dark",
    "high contrast": "JupyterLab Dark High Contrast",
}
expect.set_options(timeout=SECONDS * 1000)

_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


# --- the server ------------------------------------------------------------------------------


@contextmanager
def jupyterlab(directory: Path) -> Iterator[tuple[str, Path]]:
    """Run a server of both front ends in `directory`; yield its address and the folder of its notebooks."""
    notebooks = directory / "notebooks"
    notebooks.mkdir(parents=True)
    for plugin, values in USER_SETTINGS.items():
        file = directory / "settings" / "@jupyterlab" / f"{plugin}.jupyterlab-settings"
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps(values))
    install_kernel(directory / "data", KERNEL)
    install_kernel(directory / "data", KERNEL_WITHOUT_THE_PACKAGE, start=("-c", START_WITHOUT_THE_PACKAGE))
    extensions = directory / "data" / "labextensions"
    extensions.mkdir(parents=True)
    (extensions / "glm_magic").symlink_to(Path(__file__).parents[2] / "labextension")  # as the wheel installs it
    options = [
        "--ServerApp.ip=127.0.0.1",
        "--ServerApp.port_retries=0",
        "--ServerApp.open_browser=False",
        "--ServerApp.allow_root=True",
        "--ServerApp.password=",
        "--ServerApp.disable_check_xsrf=True",
        f"--ServerApp.root_dir={notebooks}",
        "--IdentityProvider.token=",
        "--LabApp.expose_app_in_browser=True",
        "--LabApp.news_url=None",
        "--LabApp.extension_manager=readonly",
        f"--LabApp.workspaces_dir={directory / 'workspaces'}",
        f"--LabApp.user_settings_dir={directory / 'settings'}",
        "--JupyterNotebookApp.expose_app_in_browser=True",
        f"--JupyterNotebookApp.workspaces_dir={directory / 'workspaces'}",
        f"--JupyterNotebookApp.user_settings_dir={directory / 'settings'}",
        "--ServerApp.jpserver_extensions={'jupyterlab': True, 'notebook': True}",
        f"--MultiKernelManager.default_kernel_name={KERNEL}",
    ]
    log = directory / LOG
    server, url = _started(directory, notebooks, options, log)
    try:
        yield url, notebooks
    finally:
        server.terminate()
        try:
            server.wait(SECONDS)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _started(directory: Path, notebooks: Path, options: list[str], log: Path) -> tuple[subprocess.Popen[bytes], str]:
    """Start a server, and return it with its address once it answers."""
    while True:
        port = _free_port()
        with log.open("wb") as stream:
            server = subprocess.Popen(
                [sys.executable, forked_kernels.__file__, "jupyterlab", f"--ServerApp.port={port}", *options],
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                env=_environment(directory),
                cwd=notebooks,
                start_new_session=True,
            )
        url = f"http://127.0.0.1:{port}"
        try:
            _wait_until_it_answers(server, f"{url}/api/status", log)
        except RuntimeError:
            server.kill()
            if f"port {port} is not available" not in log.read_text():  # another program was faster
                raise
        else:
            return server, url


def _environment(directory: Path) -> dict[str, str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(FOREIGN) and name.upper() not in PROXIES
    }
    return {
        **kept,
        "JUPYTER_CONFIG_DIR": str(directory / "config"),
        "JUPYTER_DATA_DIR": str(directory / "data"),
        "JUPYTER_RUNTIME_DIR": str(directory / "runtime"),
        "JUPYTER_NO_CONFIG": "1",
        "JUPYTER_PLATFORM_DIRS": "1",
        "IPYTHONDIR": str(directory / "ipython"),
        "XDG_DATA_HOME": str(directory / "share"),
        "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
    }


def install_kernel(
    data: Path, name: str, *, start: Sequence[str] = ("-m", "ipykernel_launcher"), **environment: str
) -> None:
    """Install this interpreter as the kernel `name`."""
    spec = {
        "argv": [sys.executable, *start, "-f", "{connection_file}"],
        "display_name": "Python 3",
        "language": "python",
        "metadata": {"debugger": False},
        "env": {"PYTHONFAULTHANDLER": "1", **environment},
    }
    file = data / "kernels" / name / "kernel.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps(spec))


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _wait_until_it_answers(server: subprocess.Popen[bytes], url: str, log: Path) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end and server.poll() is None:
        try:
            with _OPENER.open(url, timeout=5):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.1)
    raise RuntimeError(f"The server did not start:\n{log.read_text()[-4000:]}")


# --- the browser -----------------------------------------------------------------------------


@contextmanager
def headless_chromium() -> Iterator[Browser]:
    """Run a Chromium without a window."""
    executable = browsers.executable()
    if executable is None:
        pytest.fail("These tests need a Chromium: apt-get install chromium-headless-shell. Without: -m 'not browser'.")
    arguments = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--no-proxy-server"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=arguments)
        try:
            yield browser
        finally:
            browser.close()


class Lab:
    """JupyterLab or Notebook 7 in a page, with one notebook open. Cells are counted from 0."""

    def __init__(self, page: Page, url: str, notebooks: Path, front_end: str = "JupyterLab") -> None:
        self.page = page
        self.front_end = front_end
        self.fetched: list[str] = []  # the address of everything that the page has asked for
        self.path = Path()
        self._url = url
        self.folder = notebooks
        page.set_default_timeout(SECONDS * 1000)
        self._listeners: dict[str, Callable[[Any], None]] = {
            "dialog": lambda dialog: dialog.accept(),  # leaving a notebook that is not saved asks
            "request": lambda request: self.fetched.append(request.url),
        }
        for event, listener in self._listeners.items():
            page.on(event, listener)

    def open(self, path: str | Path) -> None:
        """Open a notebook of the server's folder, and wait for its kernel.

        A page loads its front end once. With `_noref`, Notebook 7 opens a notebook in its page instead of a new one.
        """
        self.path = self.folder / path
        if self.page.evaluate("() => 'jupyterapp' in window"):
            self.page.evaluate(
                """([path, isLab]) => {
                    window.glmRuns = {};
                    for (const opened of [...jupyterapp.shell.widgets('main')]) opened.dispose();
                    if (isLab && jupyterapp.shell.leftCollapsed) jupyterapp.shell.expandLeft();
                    // its promise may be collected before it is kept, so it is not waited for
                    const options = { ref: '_noref' };
                    jupyterapp.commands.execute('docmanager:open', { path, factory: 'Notebook', options });
                }""",
                [self._name, self.front_end == "JupyterLab"],
            )
            self._wait_for_the_notebook()
        else:
            self.reload()

    def open_new(self, name: str, *cells: str, kernel: str = KERNEL) -> None:
        """Write a notebook of code cells, and open it."""
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
        notebook.metadata.kernelspec = {"name": kernel, "display_name": "Python 3", "language": "python"}
        path = self.folder / f"{name}.ipynb"
        while path.exists():  # the store knows it, and a test that is tried again is to begin anew
            path = path.with_stem(f"{path.stem} again")
        nbformat.write(notebook, path)
        self.open(path)

    def reload(self, *, busy: bool = False) -> None:
        """Load the page again with this notebook alone; the kernel goes on, and may be busy."""
        self.page.goto(f"{self._url}/{PLACES[self.front_end]}/{self._name}?reset")
        self._wait_for_the_notebook(busy=busy)

    def close(self) -> None:
        """End the notebook's kernel, and leave the page to another."""
        self.page.evaluate("async () => { await window.jupyterapp?.serviceManager.sessions.shutdownAll() }")
        for event, listener in self._listeners.items():
            self.page.remove_listener(event, listener)

    # --- running -----------------------------------------------------------------------------

    def start(self, index: int) -> None:
        """Run a cell, and do not wait for it."""
        self.page.evaluate(
            """index => {
                jupyterapp.shell.currentWidget.content.activeCellIndex = index;
                const runs = (window.glmRuns ??= {});
                runs[index] = 'runs';
                jupyterapp.commands.execute('notebook:run-cell').finally(() => { runs[index] = 'done' });
            }""",
            index,
        )

    def start_all(self) -> None:
        """Run all cells, and do not wait for them."""
        self.page.evaluate(
            """() => {
                window.glmRuns = { all: 'runs' };
                jupyterapp.commands.execute('notebook:run-all-cells').finally(() => { window.glmRuns.all = 'done' });
            }"""
        )

    def wait_all(self) -> None:
        """Wait until no cell runs that `start_all` started."""
        self.wait_until("() => window.glmRuns.all === 'done'")

    def wait_idle(self, index: int) -> None:
        """Wait until a cell that was started has ended."""
        self.wait_until("index => window.glmRuns[index] === 'done'", index)

    def run_cell(self, *indexes: int) -> None:
        """Run cells one after the other, and wait for each."""
        for index in indexes:
            self.start(index)
            self.wait_idle(index)

    def restart(self) -> None:
        """Restart the kernel, as the button does.

        Now and then jupyter_server closes the connection that it has just restored, and the page waits in vain for the
        kernel's status. Then reconnect, as the menu does.
        """
        kernel = "jupyterapp.shell.currentWidget.sessionContext.session.kernel"
        self.page.evaluate(f"async () => {{ await {kernel}.restart() }}")
        try:
            self._wait_for_the_notebook(seconds=10)
        except PageTimeout:
            self.page.evaluate(f"async () => {{ await {kernel}.reconnect() }}")
            self._wait_for_the_notebook()

    def interrupt(self) -> None:
        """Press the toolbar's stop button."""
        self.page.locator(".jp-NotebookPanel-toolbar [data-command='notebook:interrupt-kernel']").click()

    def rewrite(self, index: int, text: str) -> None:
        """Put other text into a cell."""
        self.page.evaluate(
            """([index, text]) => {
                jupyterapp.shell.currentWidget.content.widgets[index].model.sharedModel.setSource(text);
            }""",
            [index, text],
        )

    # --- what is seen ------------------------------------------------------------------------

    def cell(self, index: int) -> Locator:
        """A cell, prompt and outputs."""
        return self.page.locator(f".jp-Notebook .jp-Cell[data-windowed-list-index='{index}']")

    def outputs(self, index: int) -> Locator:
        """Everything below a cell."""
        return self.cell(index).locator(".jp-Cell-outputWrapper")

    def bar(self, index: int) -> Locator:
        """The live bar below a cell."""
        return self.outputs(index).locator(".glm-bar")

    def answer(self, index: int) -> Locator:
        """The rendered Markdown below a cell."""
        return self.outputs(index).locator(".jp-RenderedMarkdown")

    def text(self, index: int) -> str:
        """The text below a cell."""
        return self.outputs(index).inner_text()

    def wait_for_text(self, index: int, *texts: str) -> None:
        """Wait until all of `texts` stand below a cell."""
        for text in texts:
            expect(self.outputs(index)).to_contain_text(text)

    def wait_until(self, holds: str, argument: Any = None, *, seconds: float = SECONDS) -> None:
        """Wait until a JavaScript function returns a true value.

        By default Playwright calls it at each frame, which has the page painted as often.
        """
        self.page.wait_for_function(holds, arg=argument, polling=50, timeout=1000 * seconds)

    def wait_for(self, holds: Callable[[], bool], what: str) -> None:
        """Wait for something that is not on the page."""
        end = time.monotonic() + SECONDS
        while not holds():
            assert time.monotonic() < end, f"waited in vain for {what}"
            self.page.wait_for_timeout(20)

    def state(self) -> str:
        """Return what a failure is understood by: what the page shows, and where the kernel's threads are.

        It ends the kernel, and leaves the page.
        """
        page: str = self.page.evaluate(
            """() => {
                const notebook = window.jupyterapp?.shell.currentWidget;
                const kernel = notebook?.sessionContext?.session?.kernel;
                const outputs = [...document.querySelectorAll('.jp-Cell')].map(
                    (cell, at) => `[${at}] ${cell.querySelector('.jp-InputPrompt')?.textContent} ${cell.innerText}`
                );
                return [
                    `kernel ${kernel?.status}, ${kernel?.connectionStatus}; runs ${JSON.stringify(window.glmRuns)}; ` +
                        `focus on ${document.activeElement?.outerHTML.slice(0, 200)}`,
                    ...outputs,
                ].join('\\n');
            }"""
        )
        log = self.folder.parent / LOG
        before = log.read_text()
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if self._is_kernel(process):
                    os.kill(int(process.name), signal.SIGABRT)  # its faulthandler writes where its threads are
        time.sleep(1)
        self.page.goto("about:blank")  # so that the next notebook is opened in a page that is loaded anew
        return f"{page}\n{before[-3000:]}\n{log.read_text()[len(before) :]}"

    def _is_kernel(self, process: Path) -> bool:
        """Whether a process is a kernel of this server: forked or not, it leads a session."""
        command, environment = ((process / name).read_text() for name in ("cmdline", "environ"))
        is_of_here = str(self.folder.parent) in environment and os.getsid(int(process.name)) == int(process.name)
        return is_of_here and ("ipykernel_launcher" in command or command.endswith(f"{forked_kernels.__file__}\0"))

    # --- the file, and the looks -------------------------------------------------------------

    def save(self) -> Any:
        """Save, and return the notebook as it is in its file."""
        self.page.evaluate("async () => { await jupyterapp.commands.execute('docmanager:save') }")
        return nbformat.read(self.path, as_version=4)

    def theme(self, name: str) -> None:
        """Take one of the `THEMES`."""
        self.page.evaluate(
            "async theme => { await jupyterapp.commands.execute('apputils:change-theme', { theme }) }", THEMES[name]
        )
        expect(self.page.locator("body")).to_have_attribute("data-jp-theme-name", THEMES[name])

    def hide_sidebar(self) -> None:
        """Leave the page to the notebook."""
        self.page.evaluate("async () => { await jupyterapp.shell.collapseLeft() }")

    @property
    def _name(self) -> str:
        """The notebook's path as the server knows it."""
        return self.path.relative_to(self.folder).as_posix()

    def _wait_for_the_notebook(self, *, busy: bool = False, seconds: float = SECONDS) -> None:
        self.wait_until(
            """([name, busy]) => {
                if (!window.jupyterapp) return false;
                jupyterapp.restored.then(() => { window.glmRestored = true });  // an early one may never be fulfilled
                if (!window.glmRestored) return false;
                const notebook = jupyterapp.shell.currentWidget;
                const kernel = notebook?.sessionContext?.session?.kernel;
                return notebook?.context?.path === name && notebook.context.isReady
                    && (busy || kernel?.status === 'idle' && kernel.connectionStatus === 'connected');
            }""",
            [self._name, busy],
            seconds=seconds,
        )


@contextmanager
def fresh_page(browser: Browser, size: tuple[int, int] = SIZE) -> Iterator[Page]:
    """Open a page that shares nothing with others."""
    context = browser.new_context(viewport={"width": size[0], "height": size[1]})
    try:
        yield context.new_page()
    finally:
        context.close()


@contextmanager
def lab_page(
    browser: Browser,
    server: tuple[str, Path],
    size: tuple[int, int] = SIZE,
    front_end: str = "JupyterLab",
) -> Iterator[Lab]:
    """Open a fresh page on a server."""
    with fresh_page(browser, size) as page:
        lab = Lab(page, *server, front_end)
        yield lab
        lab.close()
