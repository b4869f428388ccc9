from __future__ import annotations

from pathlib import Path

import pytest
from ipython_shell import Notebook

from glm_magic import Chat
from glm_magic.errors import OptionError, SettingError
from glm_magic.settings.files import user_path


@pytest.fixture
def project(notebook: Notebook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of the project that the notebook is in."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("JPY_SESSION_NAME", str(tmp_path / "talk" / "a.ipynb"))
    (tmp_path / "talk").mkdir()
    path = tmp_path / "pyproject.toml"
    path.write_text("[project]\nname = 'x'\n", encoding="utf-8")
    user_path().parent.mkdir(parents=True)
    return path


def test_settings_of_the_files_hold_and_those_of_cells_are_stronger(notebook: Notebook, project: Path) -> None:
    user_path().write_text('temperature = 0.1\nmodel = "GLM-4-Plus"\n')
    project.write_text("[tool.glm_magic]\ntemperature = 0.2\n")
    body = notebook.sent("%glm hi").body
    assert (body["temperature"], body["model"]) == (0.2, "GLM-4-Plus")
    notebook.run("%glm_config temperature")
    assert notebook.page.text == "temperature = 0.2  (project file ~/pyproject.toml)"
    notebook.run("%glm_config temperature=0.3")
    assert notebook.sent("%glm hi").body["temperature"] == 0.3
    notebook.run("%config GLMMagics.temperature = 0.4")
    assert notebook.sent("%glm hi").body["temperature"] == 0.4
    notebook.run("%glm_config --reset")
    assert notebook.sent("%glm hi").body["temperature"] == 0.2


def test_loading_reads_no_file(notebook: Notebook, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    user_path().write_text("temperature = 0.1\n")
    monkeypatch.setattr("glm_magic.settings.files._read", lambda *_: pytest.fail("a file was read"))
    notebook.restart()


def test_a_broken_file_is_named_once_and_stops_nothing(notebook: Notebook, project: Path) -> None:
    user_path().write_text("temperature = = 1\n")
    project.write_text("[tool.glm_magic]\ntop_p = 0.5\ntemprature = 1\n")
    assert notebook.sent("%glm hi").body["top_p"] == 0.5
    assert "config.toml cannot be read" in notebook.page.text
    assert "pyproject.toml, line 3: There is no setting 'temprature'. Did you mean temperature?" in notebook.page.text
    notebook.run("%glm hi")
    assert "config.toml" not in notebook.page.text


def test_a_chat_from_python_starts_from_the_files_too(notebook: Notebook, project: Path) -> None:
    user_path().write_text('top_p = 0.5\nreplay = "notebook"\n')
    notebook.run("%glm_config temperature=0.3")
    assert Chat()("hi").text
    assert (notebook.server.last.body["top_p"], notebook.server.last.body["temperature"]) == (0.5, 0.3)


def test_a_chat_warns_of_a_broken_file(notebook: Notebook, project: Path) -> None:
    user_path().write_text("temperature = = 1\n")
    with pytest.warns(UserWarning, match="cannot be read") as caught:
        assert Chat()("hi").text
    assert caught[0].filename == __file__


def test_what_is_set_here_is_saved_for_other_notebooks(notebook: Notebook, project: Path) -> None:
    user_path().write_text("# mine\nretries = 1\n")
    notebook.run("%glm_config temperature=0.3 system='Be brief.' record=a.jsonl")
    notebook.run("%glm_config --save")
    assert notebook.page.text.endswith("glm_magic/config.toml: temperature, system, record")
    assert user_path().read_text().startswith("# mine\nretries = 1\n")
    notebook.restart()
    request = notebook.sent("%glm hi")
    assert (request.body["temperature"], request.messages[0]) == (0.3, ("system", "Be brief."))
    assert Path("a.jsonl").absolute().exists()
    Path("a.jsonl").unlink()
    notebook.run("%glm_config temperature=")
    notebook.run("%glm_config --save")
    assert "temperature (taken out)" in notebook.page.text
    assert "temperature" not in user_path().read_text()


def test_a_preset_stands_between_the_cell_and_what_is_set(notebook: Notebook, project: Path) -> None:
    notebook.run("%glm_config model=GLM-4-Plus temperature=0.1 top_p=0.5 system=Briefly.")
    notebook.run("%glm_config --save-preset terse --project")
    assert "Preset terse saved in ~/pyproject.toml: model, temperature, top_p, system" in notebook.page.text
    assert project.read_text().startswith("[project]\nname = 'x'\n")
    notebook.run("%glm_config --reset")
    notebook.run("%glm_config temperature=0.9 max_tokens=5")
    request = notebook.sent("%%glm -w terse -p 0.7\nhi")
    assert {name: request.body[name] for name in ("model", "temperature", "top_p", "max_tokens")} == {
        "model": "GLM-4-Plus",
        "temperature": 0.1,
        "top_p": 0.7,
        "max_tokens": 5,
    }
    assert request.messages[0] == ("system", "Briefly.")
    assert notebook.sent("%glm hi").body["temperature"] == 0.9, "a preset holds for its cell alone"


def test_presets_are_listed_with_what_they_hold(notebook: Notebook, project: Path) -> None:
    notebook.run("%glm_config --presets")
    assert "There is none yet. %glm_config --save-preset NAME" in notebook.page.text
    user_path().write_text("[presets.warm]\ntemperature = 0.9\n[presets.odd]\nwarmth = 1\n")
    notebook.run("%glm_config --presets")
    assert "warm" in notebook.page.text
    assert "temperature 0.9" in notebook.page.text
    assert "There is no setting 'warmth'" in " ".join(notebook.page.text.split())


@pytest.mark.parametrize(
    ("line", "kind", "said"),
    [
        ("%glm_config --save", SettingError, "Nothing is set here"),
        ("%glm_config --save-preset a", SettingError, "No model, parameter or system message is set"),
        ("%glm_config --project", OptionError, "--project goes with --save-preset"),
        ("%%glm -w terse\nhi", SettingError, "There is no preset 'terse'"),
        ("%%glm -w ''\nhi", OptionError, "--preset needs a name"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_sent(
    notebook: Notebook, project: Path, line: str, kind: type[Exception], said: str
) -> None:
    with pytest.raises(kind, match=said):
        notebook.run(line)
    assert not notebook.server.requests
    assert not user_path().exists()


def test_a_key_is_never_written(notebook: Notebook, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLM_API_KEY", "abcdef0123456789.secretsecret")
    notebook.run("%glm_config system='My key is abcdef0123456789.secretsecret'")
    for line in ("--save", "--save-preset mine", "--save-preset mine --project"):
        with pytest.raises(SettingError, match="system holds your API key, so nothing was saved"):
            notebook.run(f"%glm_config {line}")
    assert not user_path().exists()
    assert "secret" not in project.read_text()
