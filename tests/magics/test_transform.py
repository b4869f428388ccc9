"""A prompt arrives as it was typed, wherever in a cell it stands."""

from __future__ import annotations

import pytest
from glm_server import GlmServer
from IPython.core.interactiveshell import InteractiveShell
from ipython_shell import Notebook

from glm_magic.errors import CellError
from glm_magic.magics.transform import AsTyped


def asked(notebook: Notebook, code: str) -> str:
    """The prompt of the one request that a cell sends."""
    return str(notebook.sent(code).messages[-1][1])


@pytest.mark.parametrize(
    "code",
    [
        "%glm is it warm?",
        "r = %glm is it warm?",
        'd["q"] = %glm is it warm?',
        "a = b = %glm is it warm?",
        "x: object = %glm is it warm?",
        "%time r = %glm is it warm?",
        "%time %glm is it warm?",
        "%timeit -n1 -r1 %glm is it warm?",
        "%timeit -n 1 -r 1 r = %glm is it warm?",
        "if True:\n    d['q'] = %glm is it warm?",
    ],
)
def test_a_question_mark_at_the_end_asks_the_model_and_not_for_help(notebook: Notebook, code: str) -> None:
    notebook.run("d = {}")
    assert asked(notebook, code) == "is it warm?"


@pytest.mark.parametrize("code", ["print('a = %glm is it warm?')", "f'''\n%glm is it warm?\n'''", "# r = %glm warm?"])
def test_text_that_only_looks_like_the_magic_asks_nothing(notebook: Notebook, code: str) -> None:
    notebook.run(code)
    assert notebook.server.requests == []


@pytest.mark.parametrize("text", ["    >>> 1/0", "In [1]: x", "  indented\n\n    more\n", ">>> a\n... b"])
@pytest.mark.parametrize("above", ["", "%%time\n", "%%capture out\n", "%%time\n%%capture out\n", "%%timeit -n1 -r1\n"])
def test_a_cell_below_another_magic_is_sent_as_typed(notebook: Notebook, above: str, text: str) -> None:
    assert asked(notebook, f"{above}%%glm\n{text}") == text


@pytest.mark.parametrize(
    "above", ["# a note\n", "# %%\n", "\n# %% [markdown]\n#\n\n", "#!glm\n", "    # indented\n", "# a\r\n# b\r\n"]
)
def test_comments_above_a_cell_magic_are_skipped(notebook: Notebook, above: str) -> None:
    assert asked(notebook, f"{above}%%glm\n    # sent\nhi") == "    # sent\nhi"


def test_code_above_a_cell_magic_is_left_to_ipython(shell: InteractiveShell) -> None:
    lines = ["x = 1\n", "%%glm\n", "hi\n"]
    assert AsTyped(shell).cell(lines) == lines


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\x0b", "\x0c", "\x85", "\x1c"])
def test_a_line_ends_at_a_line_feed_only(notebook: Notebook, separator: str) -> None:
    text = f"first{separator}second"
    assert asked(notebook, f"%glm {text}") == text
    assert asked(notebook, f"r = %glm {text}\nx = 1") == text
    assert asked(notebook, f"%%glm\n{text}") == text
    assert notebook.sent(f'%%glm -s "{text}"\nhi').messages[0] == ("system", text)


@pytest.mark.parametrize("prompt", ["print({1+1}) $HOME", "is it {warm}?", "it's \\n", "{{ 1 + 1 }} and {x}"])
def test_an_alias_sends_as_typed_too(notebook: Notebook, prompt: str) -> None:
    notebook.run("%alias_magic ask glm")
    text = prompt.replace("{{ 1 + 1 }}", "2")
    assert asked(notebook, f"%ask {prompt}") == text
    assert asked(notebook, f"%%ask\n    >>> {prompt}") == f"    >>> {text}"


def test_an_alias_keeps_its_options(notebook: Notebook) -> None:
    notebook.run("%alias_magic --cell cool glm -p '-t 0'")
    assert notebook.sent("%%cool\n{x}").body["temperature"] == 0


def test_a_prompt_sees_the_names_of_the_function_that_it_is_in(notebook: Notebook) -> None:
    notebook.run("word = 'coffee'\ndef f(word):\n    %glm about {{ word }}\n")
    assert asked(notebook, "f('tea')") == "about tea"
    assert asked(notebook, "for word in ['milk']:\n    %glm about {{ word }}") == "about milk"
    notebook.run("def g(name):\n    for n in [name]:\n        %glm -m {{ n }} about {{ word }}")
    assert notebook.sent("g('m')").body["model"] == "m"
    assert notebook.server.last.messages[-1][1] == "about milk"


def test_a_question_in_the_cell_that_loads_is_said_to_be_lost(
    shell: InteractiveShell, server: GlmServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GLM_BASE_URL", server.url)
    code = "%load_ext glm_magic\n%glm is it warm?"
    shell.get_parent = lambda: {"content": {"code": code}}  # type: ignore[attr-defined]
    with pytest.raises(CellError, match="asked nothing"):
        shell.run_cell(code).raise_error()
    assert server.requests == []
    shell.run_cell(code).raise_error()
    assert server.last.messages == [("user", "is it warm?")]
