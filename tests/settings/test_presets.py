from __future__ import annotations

from pathlib import Path

import pytest

from glm_magic.errors import SettingError
from glm_magic.settings.files import SettingsFiles, user_path
from glm_magic.settings.layers import Layers
from glm_magic.settings.presets import held_now, preset, presets, save


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SettingsFiles:
    monkeypatch.setenv("HOME", str(tmp_path))
    user_path().parent.mkdir(parents=True)
    user_path().write_text('[presets.terse]\nsystem = "Be brief."\ntemperature = 0\n[presets.mine]\ntop_p = 0.5\n')
    (tmp_path / "pyproject.toml").write_text('[tool.glm_magic.presets.terse]\nmodel = "GLM-4-Plus"\n')
    return SettingsFiles(lambda: tmp_path)


def test_a_preset_of_the_project_stands_before_the_users_own(files: SettingsFiles):
    assert {name: found.file.kind for name, found in presets(files).items()} == {
        "terse": "project file",
        "mine": "user's file",
    }
    assert preset(files, "terse") == {"model": "GLM-4-Plus"}
    assert preset(files, "mine") == {"top_p": 0.5}


def test_a_preset_that_is_not_there_is_named_with_the_near_miss(files: SettingsFiles):
    with pytest.raises(SettingError, match="no preset 'tersse'") as caught:
        preset(files, "tersse")
    assert caught.value.remedy == "Did you mean terse?"


@pytest.mark.parametrize(
    ("written", "said", "remedy"),
    [
        ("temprature = 0.1", "The preset 'bad' in user's file", "Did you mean temperature?"),
        ("temprature = 0.1", "There is no setting 'temprature'.", ""),
        ("base_url = 'http://h/v1'", "holds base_url.", "A preset may hold: model, temperature"),
        ("temperature = 3", "temperature takes a number from 0 to 2, not 3.", ""),
    ],
)
def test_what_a_preset_has_wrong_is_said_when_it_is_used(files: SettingsFiles, written: str, said: str, remedy: str):
    user_path().write_text(f"[presets.bad]\n{written}\n")
    assert "bad" in presets(files)
    with pytest.raises(SettingError) as caught:
        preset(files, "bad")
    assert said in caught.value.what
    assert remedy in caught.value.remedy


def test_a_preset_that_is_no_table_is_an_error(files: SettingsFiles):
    user_path().write_text("[presets]\nbad = 1\n")
    with pytest.raises(SettingError, match="is not a table"):
        preset(files, "bad")


def test_what_is_set_now_is_kept_as_a_preset(files: SettingsFiles):
    layers = Layers({"GLM_TOP_P": "0.5"}, assigned={"temperature": 0.2, "timeout": 5.0, "system": ""})
    values = held_now(layers)
    assert values == {"temperature": 0.2, "top_p": 0.5, "system": ""}
    save(files, "now", values)
    assert preset(files, "now") == values
    save(files, "now", {"model": "m"}, of_project=True)
    assert preset(files, "now") == {"model": "m"}


def test_a_preset_saved_again_forgets_what_is_no_longer_set_and_nothing_else(files: SettingsFiles):
    user_path().write_text("[presets.now]\ntop_p = 0.1 # why\nnote = 'mine'\n")
    save(files, "now", {"temperature": 0.5})
    assert user_path().read_text() == "[presets.now]\nnote = 'mine'\ntemperature = 0.5\n"


@pytest.mark.parametrize("name", ["", "a,b", "a\nb"])
def test_a_name_that_cannot_be_typed_after_w_is_refused(files: SettingsFiles, name: str):
    with pytest.raises(SettingError, match="without commas"):
        save(files, name, {"temperature": 0.5})


def test_without_a_project_there_is_nowhere_to_save(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(SettingError, match="There is no pyproject"):
        save(SettingsFiles(lambda: tmp_path), "now", {"temperature": 0.5}, of_project=True)
