from __future__ import annotations

import os
import re
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from glm_magic.errors import SettingError
from glm_magic.settings import files
from glm_magic.settings.declared import SETTINGS
from glm_magic.settings.files import PROJECT, USER, SettingsFiles, project_path, shown, user_path, write
from glm_magic.settings.layers import Layers


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    folder = tmp_path / "home" / "work" / "notebooks"
    folder.mkdir(parents=True)
    return folder


def user_file(text: str) -> Path:
    user_path().parent.mkdir(parents=True, exist_ok=True)
    user_path().write_text(text, encoding="utf-8")
    return user_path()


def project_file(folder: Path, text: str) -> Path:
    path = folder / "pyproject.toml"
    path.write_text(text, encoding="utf-8")
    return path


def layers(folder: Path, **environ: str) -> Layers:
    return Layers(environ, files=SettingsFiles(lambda: folder))


def test_the_layers_stand_in_this_order(folder: Path):
    found = layers(folder)

    def temperature():
        return found.find(SETTINGS["temperature"])

    assert temperature() == (None, "default")
    user_file("temperature = 0.1\n")
    assert temperature() == (0.1, f"user's file {shown(user_path())}")
    project_file(folder.parent, "[tool.glm_magic]\ntemperature = 0.2\n")
    assert temperature() == (0.2, "project file ~/work/pyproject.toml")
    found.config["temperature"] = 0.3
    assert temperature() == (0.3, "ipython_config.py")
    found.environ = {"GLM_TEMPERATURE": "0.4"}
    assert temperature() == (0.4, "environment (GLM_TEMPERATURE)")
    found.assigned["temperature"] = 0.5
    assert temperature() == (0.5, "set here")
    assert found.values({})["temperature"] == 0.5
    assert found.values({"temperature": 0.6})["temperature"] == 0.6
    assert replace(found, assigned={}).find(SETTINGS["temperature"])[0] == 0.4


def test_a_file_is_read_again_when_it_has_changed(folder: Path):
    found = layers(folder)
    path = user_file("top_p = 0.1\n")
    assert found.values({})["top_p"] == 0.1
    user_file("top_p = 0.25\n")
    assert found.values({})["top_p"] == 0.25
    path.unlink()
    assert found.values({})["top_p"] is None


def test_a_file_that_is_put_back_at_its_old_time_and_size_is_read_again(folder: Path):
    user_file("temperature = 0.1\n")
    before, found = user_path().stat(), layers(folder)
    assert found.values({})["temperature"] == 0.1
    user_file("temperature = 0.2\n")
    os.utime(user_path(), ns=(before.st_atime_ns, before.st_mtime_ns))
    assert found.values({})["temperature"] == 0.2


def test_all_chats_read_a_file_once(folder: Path, monkeypatch: pytest.MonkeyPatch):
    user_file("temperature = 0.1\n")
    assert layers(folder).values({})["temperature"] == 0.1
    monkeypatch.setattr(files, "_text", lambda path: pytest.fail(f"{path} is read again"))
    assert layers(folder).values({})["temperature"] == 0.1


def test_a_variable_names_another_file_than_the_users_own(folder: Path, monkeypatch: pytest.MonkeyPatch):
    user_file("top_p = 0.5\n")
    monkeypatch.setenv("GLM_CONFIG_FILE", str(folder / "other.toml"))
    assert layers(folder).values({})["top_p"] is None
    user_file("top_p = 0.75\n")
    assert user_path() == folder / "other.toml"
    assert layers(folder).values({})["top_p"] == 0.75


def test_every_kind_of_value_is_read(folder: Path):
    user_file('model = "m"\nmax_tokens = 5\ntimeout = 3\nsave_turns = false\nstop = ["a", "b"]\ntools = ["f", "g"]\n')
    values = layers(folder).values({})
    assert [values[name] for name in ("model", "max_tokens", "timeout", "save_turns", "stop", "tools")] == [
        *("m", 5, 3.0, False),
        ("a", "b"),
        "f,g",
    ]


def test_a_path_is_meant_from_the_folder_of_its_file(folder: Path):
    project_file(folder.parent, '[tool.glm_magic]\nrecord = "answers.jsonl"\nreplay = "notebook"\n')
    values = layers(folder).values({})
    assert values["record"] == str(folder.parent / "answers.jsonl")
    assert values["replay"] == "notebook"


def test_the_nearest_project_counts_and_none_above_the_home_directory(folder: Path, tmp_path: Path):
    project_file(tmp_path, "[tool.glm_magic]\ntemperature = 0.9\n")
    assert project_path(folder) is None
    project_file(tmp_path / "home", "")
    assert project_path(folder) == tmp_path / "home" / "pyproject.toml"
    project_file(folder, "[project]\nname = 'x'\n")
    assert project_path(folder) == folder / "pyproject.toml"
    assert layers(folder).values({})["temperature"] is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("temprature = 0.1\n", "line 1: There is no setting 'temprature'. Did you mean temperature?"),
        ("\nmodel = 'x'\ntemperature = 'hot'\n", "line 3: temperature takes a number from 0 to 2, not 'hot'."),
        ("temperature = 3\n", "line 1: temperature takes a number from 0 to 2, not 3."),
        ("api_key = 'sk-123'\n", "No setting holds the key"),
        ("presets = 3\n", "presets is not a table"),
        ("model = 'x'\n[model.more]\n", "cannot be read"),
    ],
)
def test_what_a_file_has_wrong_is_named_and_the_rest_holds(folder: Path, text: str, said: str):
    user_file(text)
    found = layers(folder)
    assert len(found.problems()) == 1
    assert said in found.problems()[0]
    assert "sk-123" not in found.problems()[0]
    assert found.values({})["temperature"] in (None, 0.1)


def test_a_file_that_is_not_toml_is_named_with_line_and_column(folder: Path):
    user_file("temperature = 0.1\ntop_p = = 2\n")
    found = layers(folder)
    assert re.search("config.toml cannot be read: .*line 2,? col(umn)? [89]", found.problems()[0])
    assert found.values({})["temperature"] is None


@pytest.mark.parametrize("content", [b"\xff\xfe", b"\x00", b"a = " + b"[" * 5000])
def test_a_file_that_is_no_text_is_a_problem(folder: Path, content: bytes):
    user_file("").write_bytes(content)
    assert "cannot be read" in layers(folder).problems()[0]


def test_a_project_says_neither_where_the_key_goes_nor_which_one(folder: Path):
    project_file(folder, '[tool.glm_magic]\nbase_url = "https://e.example"\napi_key_env = "AWS"\ntop_p = 0.5\n')
    found = layers(folder)
    assert found.values({})["base_url"] is None
    assert found.values({})["top_p"] == 0.5
    assert "line 2: base_url is not taken from a project, which could send your key anywhere." in found.problems()[0]


# --- writing --------------------------------------------------------------------------------------

BEFORE = """# mine
temperature = 0.1 # warm

[unknown]
key = 1
"""


def test_what_is_written_leaves_the_rest_as_it_was(folder: Path):
    path = user_file(BEFORE)
    path.chmod(0o640)
    write(USER, path, (), {"temperature": 0.3, "model": "GLM-4-Plus"})
    text = path.read_text()
    assert "# mine\ntemperature = 0.3 # warm\n" in text
    assert "[unknown]\nkey = 1" in text
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert layers(folder).values({})["model"] == "GLM-4-Plus"
    assert [each.name for each in path.parent.iterdir()] == ["config.toml"], "no temporary file is left"


def test_a_value_of_none_is_taken_out(folder: Path):
    path = user_file("temperature = 0.1\ntop_p = 0.5\n")
    write(USER, path, (), {"temperature": None})
    assert path.read_text() == "top_p = 0.5\n"


def test_the_file_of_a_project_gets_its_table(folder: Path):
    path = project_file(folder, '[project]\nname = "x" # why\n')
    write(PROJECT, path, ("presets", "terse"), {"system": 'Say "no".\n', "stop": ("a", "b"), "temperature": 0.0})
    assert path.read_text().startswith('[project]\nname = "x" # why\n')
    assert "[tool.glm_magic.presets.terse]" in path.read_text()
    (found,) = SettingsFiles(lambda: folder)
    assert found.presets == {"terse": {"system": 'Say "no".\n', "stop": ["a", "b"], "temperature": 0.0}}


def test_line_ends_and_links_stay_what_they_are(folder: Path, tmp_path: Path):
    real = tmp_path / "dotfiles.toml"
    real.write_bytes(b"temperature = 0.1\r\n")
    user_path().parent.mkdir(parents=True)
    user_path().symlink_to(real)
    write(USER, user_path(), (), {"top_p": 0.5})
    assert user_path().is_symlink()
    assert real.read_bytes() == b"temperature = 0.1\r\ntop_p = 0.5\r\n"


@pytest.mark.parametrize("text", ["temperature = = 1\n", "presets = 3\n"])
def test_a_file_that_cannot_be_read_is_not_written(folder: Path, text: str):
    path = user_file(text)
    with pytest.raises(SettingError, match="cannot be written"):
        write(USER, path, ("presets", "a"), {"top_p": 0.5})
    assert path.read_text() == text


def test_a_folder_that_cannot_be_made_is_an_error(folder: Path):
    user_path().parent.parent.mkdir(parents=True, exist_ok=True)
    user_path().parent.write_text("in the way")
    with pytest.raises(SettingError, match="cannot be written"):
        write(USER, user_path(), (), {"top_p": 0.5})
