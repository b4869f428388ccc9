"""What tools keep of a notebook with answers: a sample that was really executed, and the measure of what came out.

A row of the reference's table says what became of the prompts, of the answers and of the conversation: kept, new
(the model was asked again), readable (in a file that is no notebook) or lost.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import nbformat
import readme
from glm_server import GlmServer, error, stream
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from glm_magic.notebook.document import restore

JUPYTERLAB = "JupyterLab, *Clear Outputs of All Cells*"  # the row that the browser makes

_FOREIGN = ("GLM_", "ZAI_", "ZHIPUAI_", "JUPYTER", "JPY_", "IPYTHON", "GIT_", "XDG_")
_PROXIES = ("ALL_PROXY", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")


# --- the sample ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Asked:
    """A cell of the sample: its prompt, the service's answer ("" if it refuses), and words of what is shown."""

    prompt: str
    answer: str
    shown: tuple[str, ...]

    @property
    def source(self) -> str:
        """The cell's text."""
        return f"%%glm\n{self.prompt}"


HOSTILE = (
    'Look: <img src=x onerror="window.__pwned=1"> <script>window.__pwned=2</script>\n\n'
    "[press](javascript:window.__pwned=3) ![picture](http://127.0.0.1:9/leak)\n\n"
    '<iframe srcdoc="<script>parent.__pwned=4</script>"></iframe> <style>body { display: none }</style>\n\n'
    "The end."
)
ASKED = (
    Asked(
        '# Tides, 조석\n\n    indented {"a": 1}, $x$ and `code`',
        '# High and low\n\n| tide | hours |\n| --- | --- |\n| spring | 12.4 |\n\n```python\nmoon = "full"\n```\n\n'
        "$$e^{i\\pi} + 1 = 0$$\n\nDone.",
        ("High and low", "spring", "12.4", 'moon = "full"', r"e^{i\pi}", "Done."),
    ),
    Asked("Why?", "Because of **gravity**, and the sun.", ("Because of", "gravity", ", and the sun.")),
    Asked("Is anyone there?", "", ("AuthenticationError", "身份验证失败。")),
    Asked("Show me a page.", HOSTILE, ("Look:", "window.__pwned=2", "picture", "The end.")),
)
SYSTEM = "Be brief."
FAILURE = error(401, {"error": {"code": "1000", "message": "身份验证失败。"}})


def make_sample(path: Path, server: GlmServer) -> None:
    """Write a notebook that was executed by nbclient, with an answer or an error below each of `ASKED`."""
    sources = ("%load_ext glm_magic", f"%%glm --role system\n{SYSTEM}", *(asked.source for asked in ASKED))
    notebook = new_notebook(cells=[new_markdown_cell("# Notes"), *map(new_code_cell, sources)])
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, path)
    server.answer(*(stream(asked.answer) if asked.answer else FAILURE for asked in ASKED))
    run("jupyter", "execute", "--allow-errors", "--inplace", path.name, folder=path.parent, GLM_BASE_URL=server.url)


def run(module: str, *arguments: str, folder: Path, fails: bool = False, **variables: str) -> None:
    """Run a tool as a process of its own, with nothing of the user's settings."""
    command(sys.executable, "-m", module, *arguments, folder=folder, fails=fails, **variables)


def jupytext(*commands: str, folder: Path) -> None:
    """Run commands of jupytext's, one after the other in one process: most of its time goes into its start."""
    program = "import sys; from jupytext.cli import jupytext; [jupytext(line.split()) for line in sys.argv[1:]]"
    command(sys.executable, "-c", program, *commands, folder=folder)


def command(*words: str, folder: Path, fails: bool = False, **variables: str) -> str:
    """Run a command in `folder`, and return what it writes; it must fail if `fails`, and else must not."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(_FOREIGN) and name.upper() not in _PROXIES
    }
    home = folder / "home"
    home.mkdir(exist_ok=True)
    tools = os.pathsep.join((str(Path(sys.executable).parent), kept.get("PATH", os.defpath)))
    own = {"HOME": str(home), "PATH": tools, "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring"}
    done = subprocess.run(
        words,
        cwd=folder,
        env={**kept, **own, **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )
    assert (done.returncode != 0) == fails, f"{' '.join(words)}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done.stdout


# --- the measure -----------------------------------------------------------------------------


def row(name: str, result: Path) -> str:
    """Return the reference's row for the tool that has made `result` of the sample."""
    fates = _of_a_notebook(result) if result.suffix == ".ipynb" else _of_a_page(page_text(result))
    return "| " + " | ".join((name, *map(_in_words, fates))) + " |"


def rows_of_the_reference() -> dict[str, str]:
    """Return the rows of the reference's table by their first cell."""
    text = readme.REFERENCE.read_text(encoding="utf-8")
    lines = text.partition("<!-- sharing -->\n")[2].partition("\n<!-- /sharing -->")[0].splitlines()
    assert lines[:2] == ["| tool | prompts | answers | conversation |", "| --- | --- | --- | --- |"]
    return {line.split(" | ")[0].removeprefix("| "): line for line in lines[2:]}


def _of_a_notebook(path: Path) -> tuple[list[str], list[str], list[str]]:
    cells = {cell.source: cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"}
    restored = restore(path)
    assert restored.warnings == ()
    turns = [turn for conversation in restored.conversations.values() for turn in conversation.sent()]
    assert [turn.question for turn in turns if turn.role == "system"] == [SYSTEM] * bool(turns)
    answers = {turn.question: turn.answer for turn in turns}
    prompts = ["kept" if asked.source in cells else "lost" for asked in ASKED]
    below = [_of_an_answer(shown_below(cells.get(asked.source)), asked) for asked in ASKED]
    said = [
        "lost" if asked.prompt not in answers else "kept" if answers[asked.prompt] == asked.answer else "new"
        for asked in ASKED
        if asked.answer
    ]
    return prompts, below, said


def _of_an_answer(text: str, asked: Asked) -> str:
    if not text:
        return "lost"
    return "kept" if all(words in text for words in asked.shown) else "new"


def shown_below(cell: Any) -> str:
    """Return the answer or the error below a cell, "" if there is none; the line about it is no answer."""
    outputs = cell.outputs if cell else ()
    texts = [output.get("data", {}).get("text/markdown", "") for output in outputs]
    return "\n\n".join((*texts, *(line for output in outputs for line in output.get("traceback", ())))).strip()


def _of_a_page(text: str) -> tuple[list[str], list[str], list[str]]:
    """In a page there is one cell after the other: an answer must stand between its prompt and the next one."""
    text = " ".join(text.split())
    prompts, answers = [], []
    for asked in ASKED:
        before, found, text = text.partition(" ".join(asked.source.split()))
        prompts.append("readable" if found else "lost")
        text = text if found else before
        here = text.partition("%%glm ")[0]
        answers.append("readable" if all(words in here for words in asked.shown) else "lost")
    return prompts, answers, ["lost"]


def _in_words(fates: list[str]) -> str:
    """One word where all had the same fate, or what happened before the cell at which it ended."""
    until = fates.index("lost") if "lost" in fates else len(fates)
    assert len(set(fates[:until])) <= 1, fates
    assert set(fates[until:]) <= {"lost"}, fates
    if until in (0, len(fates)):
        return fates[0]
    return f"{fates[0]} before that cell, then lost"


# --- pages -----------------------------------------------------------------------------------


class Page(HTMLParser):
    """What is inside the `main` of a page: its text, and whatever in it acts or is fetched."""

    _ACTING = frozenset(("script", "style", "iframe", "object", "embed", "img", "link", "meta", "base", "form", "svg"))

    def __init__(self, html: str) -> None:
        super().__init__()
        self.text = ""
        self.acting: list[str] = []
        self._inside = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "main":
            self._inside = True
        if not self._inside:
            return
        if tag in self._ACTING:
            self.acting.append(tag)
        for name, value in attrs:
            address = (value or "").strip().lower()
            is_harmless = name != "href" or address.startswith(("http://", "https://", "mailto:", "#"))
            if name.startswith(("on", "src", "data-commandlinker")) or not is_harmless:
                self.acting.append(f"{tag} {name}={value}")

    def handle_endtag(self, tag: str) -> None:
        self._inside = self._inside and tag != "main"

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.text += data


def page_text(path: Path) -> str:
    """Return what a page says, HTML or Markdown."""
    text = path.read_text(encoding="utf-8")
    return Page(text).text if path.suffix == ".html" else text
