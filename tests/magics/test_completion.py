"""What TAB offers: in the lines of the magics, in a prompt, and elsewhere in a cell."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from glm_server import GlmServer, error
from hypothesis import given
from hypothesis import strategies as st
from IPython.core.completer import provisionalcompleter
from IPython.core.interactiveshell import InteractiveShell
from ipython_shell import Notebook, close, new_shell

from glm_magic.errors import GlmError
from glm_magic.magics.completion import KINDS, completed
from glm_magic.magics.options import ASK_OPTIONS, CONFIG_OPTIONS, HISTORY_OPTIONS
from glm_magic.magics.transform import Cursor
from glm_magic.protocol.models import EMBEDDED, MODELS
from glm_magic.settings.declared import SETTINGS
from glm_magic.settings.files import user_path

NAMES = """
import dataclasses, enum, typing
from types import SimpleNamespace
import pydantic

@dataclasses.dataclass
class City:
    name: str

class Country(pydantic.BaseModel):
    name: str

class Capital(typing.TypedDict):
    name: str

class Colour(enum.Enum):
    RED = "red"

class Plain:
    pass

def get_weather(city: str) -> str: ...
def get_time() -> str: ...
def _hidden() -> str: ...

web = {"type": "web_search", "web_search": {"enable": True}}
width = {"type": "number"}
shop = SimpleNamespace(price=get_time, stock=3)
value, values = 3, [1, 2]
row = {"name": "Ann", "note": "none"}
city_list = list[City]
reviews = [{"text": "Lovely."}]
maybe_city = typing.Optional[City]
"""


@pytest.fixture(scope="module")
def loaded() -> Any:
    """A shell with names, in which nothing has been asked; the tests that share it run no cell."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(InteractiveShell, "_instance", None)
        shell = new_shell()
        patch.setattr(InteractiveShell, "_instance", shell)
        shell.run_line_magic("load_ext", "glm_magic")
        shell.run_cell(NAMES).raise_error()
        yield shell
        close(shell)


def offered(shell: InteractiveShell, code: str) -> list[str]:
    """Return the line of `code` with each completion in place; ``|`` is the cursor."""
    at = code.index("|")
    code = code[:at] + code[at + 1 :]
    start_of_line = code.rfind("\n", 0, at) + 1
    with provisionalcompleter():
        found = list(shell.Completer.completions(code, at))
    assert all(each.end == at for each in found)
    return [code[start_of_line : each.start] + each.text for each in found]


def offered_words(shell: InteractiveShell, code: str) -> list[str]:
    return [each.split()[-1] for each in offered(shell, code)]


# --- options --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("magic", "options"),
    [
        ("%%glm", ASK_OPTIONS),
        ("%glm", ASK_OPTIONS),
        ("%glm_history", HISTORY_OPTIONS),
        ("%glm_config", CONFIG_OPTIONS),
    ],
)
def test_every_option_is_offered(loaded: InteractiveShell, magic: str, options: Any) -> None:
    flags = [option.flag for option in options]
    shorts = [f"-{option.short}" for option in options if option.short]
    assert offered_words(loaded, f"{magic} --|") == flags
    assert offered_words(loaded, f"{magic} -|") == [*flags, *shorts]
    assert [word for word in offered_words(loaded, f"{magic} |") if word.startswith("-")] == flags
    for flag in flags:
        assert flag in offered_words(loaded, f"{magic} {flag[:-1]}|")


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("%%glm --te|", ["--temperature"]),
        ("%%glm -m GLM-4-Air --te|", ["--temperature"]),
        ("%%glm --te| -m GLM-4-Air", ["--temperature"]),
        ("%%glm --te|\nprompt", ["--temperature"]),
        ("%%glm --no-stream\t--te|", ["--temperature"]),
        ("%%glm -s 'two words' --te|", ["--temperature"]),
        ("%%glm -m {{ model }} --te|", ["--temperature"]),
        ("%%glm --te| reply <<", ["--temperature"]),
        ("%%glm --no-|", ["--no-stream", "--no-history", "--no-replay"]),
        ("# a comment\n\n%%glm --te|", ["--temperature"]),
        ("%%time\n%%glm --te|", ["--temperature"]),
        ("x = 1\n%glm --te|", ["--temperature"]),
        ("for x in y:\n    %glm --te|", ["--temperature"]),
        ("reply = %glm --te|", ["--temperature"]),
        ("%time %glm --te|", ["--temperature"]),
        ("%timeit -n 1 %glm --te|", ["--temperature"]),
        ("%glm_config --re|", ["--reset"]),
        ("%glm_history --un|", ["--undo", "--unskip"]),
        ("%glm_history -c main --un|", ["--undo", "--unskip"]),
        ("%glm_history --show 1 |", ["--chat", "--diff", "--side"]),
    ],
)
def test_options_are_offered_in_every_place(loaded: InteractiveShell, typed: str, words: list[str]) -> None:
    assert offered_words(loaded, typed) == words


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("%%glm -t 0.5 --te|", []),
        ("%%glm --te| -t 0.5", []),
        ("%%glm --stop END --st|", ["--stop"]),
        ("%%glm -T get_time --to|", ["--top-p", "--tool"]),
        ("%%glm --replay --no-re|", []),
        ("%%glm --json --sch|", []),
        ("%%glm --schema City --js|", []),
        ("%%glm --role system --bg|", []),
        ("%%glm --role user --bg|", ["--bg"]),
        ("%%glm --bg --ro|", []),
        ("%glm_config --table |", []),
        ("%glm_history --clear --|", ["--chat"]),
        ("%glm_history --show 1 --di|", ["--diff"]),
        ("%glm_history --undo --di|", []),
        ("%glm_history --undo --si|", []),
        ("%glm_history --si|", ["--side"]),
        ("%glm_history --show 1 --diff --si|", ["--side"]),
        ("%glm_history --fo|", ["--fork", "--force", "--forget"]),
        ("%glm_history --export talk.md --fo|", ["--force"]),
        ("%glm_history --list --ch|", []),
        ("%glm_history -c main --li|", []),
    ],
)
def test_only_options_that_go_with_the_others_are_offered(
    loaded: InteractiveShell, typed: str, words: list[str]
) -> None:
    assert offered_words(loaded, typed) == words


# --- values ---------------------------------------------------------------------------------------


def test_whatever_an_option_declares_is_completed() -> None:
    declared = " ".join(option.completes for option in (*ASK_OPTIONS, *CONFIG_OPTIONS, *HISTORY_OPTIONS))
    settings = {setting.completes for setting in SETTINGS.values()} - {""}
    assert {*declared.split()} | settings == KINDS.keys()


@pytest.mark.parametrize(
    "typed", ["%%glm -m ", "%%glm --model ", "%%glm --model=", "%%glm -m 'x,", "%glm_config model="]
)
def test_models(loaded: InteractiveShell, typed: str) -> None:
    assert offered(loaded, f"{typed}|") == [typed + model for model in (*MODELS, EMBEDDED)]


def test_presets(loaded: InteractiveShell) -> None:
    user_path().parent.mkdir(parents=True)
    user_path().write_text("[presets.terse]\ntemperature = 0\n[presets.'in short']\ntemperature = 0\n")
    assert offered(loaded, "%%glm -w te|") == ["%%glm -w terse"]
    assert offered(loaded, "%%glm -w in|") == ['%%glm -w "in short"']
    assert offered(loaded, "%glm_config --save-preset te|") == ["%glm_config --save-preset terse"]


@pytest.mark.parametrize(
    ("typed", "lines"),
    [
        ("%%glm -m GLM-4-P|", ["%%glm -m GLM-4-Plus"]),
        ("%%glm -mGLM-4-P|", ["%%glm -mGLM-4-Plus"]),
        ("%%glm -m glm-4-p|", ["%%glm -m GLM-4-Plus"]),
        ("%%glm -m GLM-4-Air,GLM-4-P|", ["%%glm -m GLM-4-Air,GLM-4-Plus"]),
        ('%%glm -m "GLM-4-Air,GLM-4-P|', ['%%glm -m "GLM-4-Air,GLM-4-Plus']),
        ("%%glm -f ma|", ["%%glm -f markdown"]),
        ("%%glm -fma|", ["%%glm -fmarkdown"]),
        ("%%glm --format=|", ["%%glm --format=markdown", "%%glm --format=text", "%%glm --format=code"]),
        ("%%glm --role s|", ["%%glm --role system"]),
        ("%%glm -c |", ["%%glm -c main"]),
        ("%%glm -t |", []),
        ("%%glm -t|", []),
        ("%%glm -s val|", []),
        ("%%glm -o val|", []),
        ("%%glm --param val|", []),
        ('%%glm --param x={"a": |', []),
        ('%%glm -s "be br|', []),
    ],
)
def test_values_of_options(loaded: InteractiveShell, typed: str, lines: list[str]) -> None:
    assert offered(loaded, typed) == lines


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("%%glm --schema may|", ["maybe_city"]),
        ("%%glm -T get|", ["get_weather", "get_time"]),
        ("%%glm -T |", ["get_weather", "get_time", "web"]),
        ("%%glm -T get_time,get_w|", ["get_time,get_weather"]),
        ("%%glm -T shop.p|", ["shop.price"]),
        ("%glm_config tools=[get_time,get_w|", ["tools=[get_time,get_weather"]),
        ("%glm_config tools=[get_time, get_w|", ["get_weather"]),
        ("%glm_config tools=[get_time] get_w|", []),
        ("%%glm --schema C|", ["City", "Country", "Capital", "Colour", "city_list"]),
        ("%%glm --schema list[Ci|", ["list[City", "list[city_list"]),
        ('%%glm --schema "dict[str, Ci|', ["City", "city_list"]),
        ("%%glm --schema wi|", ["width"]),
        ("%%glm --schema Pl|", []),
        ("%%glm --each re|", ["reviews"]),
        ("%%glm --score get_time,get_w|", ["get_time,get_weather"]),
    ],
)
def test_names_of_the_notebook(loaded: InteractiveShell, typed: str, words: list[str]) -> None:
    assert offered_words(loaded, typed) == words


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("%glm_config te|", ["temperature="]),
        ("%glm_config temperature=0.3 mo|", ["model="]),
        ("%glm_config temperature=0.3 te|", []),
        ("%glm_config system='be brief' te|", ["temperature="]),
        ("%glm_config save_turns=|", ["save_turns=on", "save_turns=off"]),
        ("%glm_config format=ma|", ["format=markdown"]),
        ("%glm_config model=GLM-4-P|", ["model=GLM-4-Plus"]),
        ("%glm_config model='GLM-4-P|", ["model='GLM-4-Plus"]),
        ("%glm_config replay_missing=e|", ["replay_missing=error"]),
        ("%glm_config system='be te|", []),
        ("%glm_config temperature=|", []),
        ("%glm_config nothing=|", []),
        ("%glm_config --reset te|", ["temperature"]),
        ("%glm_config --reset temperature te|", []),
        ("%glm_config --table te|", []),
    ],
)
def test_settings(loaded: InteractiveShell, typed: str, words: list[str]) -> None:
    assert offered_words(loaded, typed) == words


def test_every_setting_is_offered(loaded: InteractiveShell) -> None:
    assert offered_words(loaded, "%glm_config |")[: len(SETTINGS)] == [f"{name}=" for name in SETTINGS]
    assert offered_words(loaded, "%glm_config --reset |") == list(SETTINGS)


def test_files(loaded: InteractiveShell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "not").mkdir()
    (tmp_path / "not" / "talk.ipynb").touch()
    (tmp_path / "my notes.md").touch()
    assert offered(loaded, "%glm_history --export not|") == ["%glm_history --export not/"]
    assert offered(loaded, "%glm_history --restore not/|") == ["%glm_history --restore not/talk.ipynb"]
    assert offered(loaded, "%glm_history --export my|") == ['%glm_history --export "my notes.md"']
    assert offered(loaded, "%glm_config replay=not|") == ["%glm_config replay=notebook", "%glm_config replay=not/"]
    assert offered(loaded, "%glm_config record=not/t|") == ["%glm_config record=not/talk.ipynb"]


def test_chats_turns_and_attempts(notebook: Notebook) -> None:
    for cell, prompt in (("a", "one"), ("b", "two"), ("b", "zwei"), ("b", "due")):
        notebook.run(f"%%glm\n{prompt}", cell)
    notebook.run("%%glm -c 'my draft'\none", "c")
    assert offered(notebook.shell, "%%glm -c |") == ["%%glm -c main", '%%glm -c "my draft"']
    assert offered(notebook.shell, "%glm_history -c m|") == ["%glm_history -c main", '%glm_history -c "my draft"']
    for option in ("--show", "--attempt", "--skip", "--unskip"):
        assert offered_words(notebook.shell, f"%glm_history {option} |") == ["1", "2"]
        assert offered_words(notebook.shell, f"%glm_history -c 'my draft' {option} |") == ["1"]
        assert offered_words(notebook.shell, f"%glm_history {option} | -c 'my draft'") == ["1"]
    assert offered_words(notebook.shell, "%glm_history --attempt 2 |")[:3] == ["1", "2", "3"]
    assert offered_words(notebook.shell, "%glm_history --show 2 --diff 1 |")[:3] == ["1", "2", "3"]
    assert offered_words(notebook.shell, "%glm_history --attempt 9 |") == ["--chat"]


def test_turns_are_offered_by_their_numbers_in_the_table(notebook: Notebook) -> None:
    notebook.server.answer(error(400, {"error": {"code": "1210", "message": "no"}}))
    with pytest.raises(GlmError):
        notebook.run("%%glm\none", "failing")
    notebook.run("%%glm\ntwo", "b")
    notebook.run("%%glm\nzwei", "b")
    assert offered_words(notebook.shell, "%glm_history --show |") == ["1"]
    assert offered_words(notebook.shell, "%glm_history --attempt 1 |")[:2] == ["1", "2"]


# --- the prompt -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("%%glm\nTell me about {{ val|", ["value", "values"]),
        ("%%glm\nTell me about {{val| }} and so on", ["{{value", "{{values"]),
        ("%%glm\n{{ value }} and {{ val|", ["value", "values"]),
        ("%%glm\n{{ not python }} and {{ val|", ["value", "values"]),
        ("%%glm\n{{ sum(\n    val|", ["value", "values"]),
        ("%%glm\n{{ {'a': {'b': 1}}, val|", ["value", "values"]),
        ("%%glm\n{{ shop.pri|", ["shop.price"]),
        ("%%glm\n{{ row['na|", ["row['name"]),
        ("%%glm -s {{ val|", ["value", "values"]),
        ("%%glm -s 'about {{ val|", ["value", "values"]),
        ("%glm Tell me about {{ val|", ["value", "values"]),
        ("%glm_config system={{ val|", ["value", "values"]),
        ("%%time\n%%glm\n{{ val|", ["value", "values"]),
        ("%%glm\nprint(val|", []),
        ("%%glm\n{{ value }} val|", []),
        ("%%glm\nLaTeX \\frac{{a}}{b} val|", []),
        ("%%glm\nimport o|", []),
        ("%%glm\n%ti|", []),
        ("%%glm\n%glm -|", []),
        ("%%glm\n\\alph|", []),
        ("%%glm\n|", []),
        ("%%glm\n--te|", []),
        ("%%glm --raw\n{{ val|", []),
        ("%glm --raw {{ val|", []),
        ("%%glm --raw -s {{ val|", ["value", "values"]),
        ("%glm Tell me about val|", []),
        ("%glm -- --te|", []),
        ("%glm -- |", []),
        ("%%glm val|", []),
        ("%%time\n%%glm\nval|", []),
    ],
)
def test_only_names_within_braces_are_offered_in_a_prompt(
    loaded: InteractiveShell, typed: str, words: list[str]
) -> None:
    found = offered(loaded, typed)
    assert [each.split()[-1] for each in found if not each.endswith("=")] == words


@pytest.mark.parametrize(
    "typed", ["%%glm\nThere are fil|", "%%glm\n{{ fil|", "%%glm\n{{ value }} fil|", "%glm about fil|"]
)
def test_no_file_is_offered_in_a_prompt(
    loaded: InteractiveShell, typed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file.txt").touch()
    assert not [each for each in offered(loaded, typed) if "file.txt" in each]
    assert offered(loaded, "%%glm\n{{ open('fil|") == ["{{ open('file.txt"]


TOKENS = [
    *" \t-=,.\"'{}[]()\0#",
    "--",
    "-m",
    "-s ",
    "--show ",
    "--param x=",
    "{{",
    "}}",
    "temperature=",
    "tools=[",
    "val",
    "—",
]


@given(
    magic=st.sampled_from(["%%glm", "%glm", "%glm_config", "%glm_history"]),
    before=st.lists(st.sampled_from(TOKENS), max_size=10).map("".join),
    after=st.lists(st.sampled_from(TOKENS), max_size=5).map("".join),
    body=st.none() | st.lists(st.sampled_from([*TOKENS, "\n"]), max_size=10).map("".join),
)
def test_nothing_that_is_typed_is_too_much(
    loaded: InteractiveShell, magic: str, before: str, after: str, body: str | None
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loaded.Completer, "use_jedi", False)
        found = completed(Cursor(magic, before, after, body), loaded, {}, list, [])
    assert (before if body is None else body).endswith(found["matched_fragment"])


# --- elsewhere ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "typed",
    [
        "val|",
        "x = 1\nval|",
        "for %glm in val|",
        "100 %glm --val|",
        "%%time\nval|",
        "%time val|",
        "%%bash\nec|",
        "val|\n%glm --te",
        "import o|",
        "%gl|",
        "%glm|",
        "%%glm|",
        "%ti|",
        "%time|",
        "%config IPCompleter.|",
        "row['|",
        "\\alph|",
    ],
)
def test_completion_elsewhere_is_untouched(loaded: InteractiveShell, typed: str) -> None:
    ours = loaded.Completer.custom_matchers
    before = offered(loaded, typed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loaded.Completer, "custom_matchers", [])
        assert offered(loaded, typed) == before
    assert loaded.Completer.custom_matchers is ours


def test_an_alias_is_completed_like_its_magic(loaded: InteractiveShell) -> None:
    loaded.run_line_magic("alias_magic", "--line ask glm -p '-t 0.5'")
    loaded.run_line_magic("alias_magic", "--cell ask glm -p '--raw'")
    assert offered_words(loaded, "%ask --m|") == ["--model", "--max-tokens", "--max-steps", "--margin"]
    assert offered_words(loaded, "%ask --te|") == []
    assert offered_words(loaded, "%%ask --te|") == ["--temperature"]
    assert offered_words(loaded, "%%ask\n{{ val|") == []


@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")
def test_the_older_interface_of_the_completer(loaded: InteractiveShell) -> None:
    line = "%glm -m GLM-4-P"
    assert loaded.complete("", line, len(line)) == ("GLM-4-P", ["GLM-4-Plus"])
    assert loaded.Completer.complete(line_buffer=line, cursor_pos=len(line)) == ("GLM-4-P", ["GLM-4-Plus"])
    assert loaded.complete("", "%glm about val", len("%glm about val"))[1] == []


def test_unloading_takes_the_completion_away(shell: InteractiveShell) -> None:
    before = list(shell.Completer.custom_matchers)
    shell.run_line_magic("load_ext", "glm_magic")
    shell.run_line_magic("reload_ext", "glm_magic")
    assert len(shell.Completer.custom_matchers) == len(before) + 1
    shell.run_line_magic("unload_ext", "glm_magic")
    assert shell.Completer.custom_matchers == before


def test_python_is_completed_without_loading_anything() -> None:
    code = (
        "import sys\n"
        "from IPython.core.interactiveshell import InteractiveShell\n"
        "shell = InteractiveShell()\n"
        "shell.Completer.use_jedi = False\n"
        "shell.run_line_magic('load_ext', 'glm_magic')\n"
        "before = set(sys.modules)\n"
        "assert 'print' in shell.complete('', '100 % pri', 9)[1]\n"
        "assert not [name for name in set(sys.modules) - before if name.startswith('glm_magic')]\n"
        "assert shell.complete('', '%glm --te', 9)[1] == ['--temperature']\n"
        "late = {'httpx', 'ipywidgets', 'anywidget', 'pydantic', 'rich', 'nbformat', 'markdown_it', 'jsonschema'}\n"
        "print(sorted(late & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_completion_asks_nothing(notebook: Notebook, server: GlmServer) -> None:
    for typed in ("%%glm -m |", "%glm hello|", "%glm_history --show |", "%%glm\n{{ _glm.|"):
        offered(notebook.shell, typed)
    assert server.requests == []
