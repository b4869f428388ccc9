from __future__ import annotations

import getpass
from typing import Any

import pytest
import traitlets
from glm_server import Answer, GlmServer
from IPython.core.completer import provisionalcompleter
from IPython.core.interactiveshell import InteractiveShell
from ipython_shell import Notebook

from glm_magic import Chat
from glm_magic.errors import GlmError, OptionError, ServiceError, SettingError, SetupError
from glm_magic.magics.glm import GLMMagics
from glm_magic.magics.written import config_line
from glm_magic.settings.declared import SETTINGS


def magics(notebook: Notebook) -> GLMMagics:
    return notebook.shell.magics_manager.registry["GLMMagics"]


def test_a_setting_holds_for_later_cells_until_it_is_reset(notebook: Notebook) -> None:
    notebook.run("%glm_config temperature=0.3 model=GLM-4-Plus")
    body = notebook.sent("%glm hi").body
    assert (body["temperature"], body["model"]) == (0.3, "GLM-4-Plus")
    notebook.run("%glm_config --reset temperature")
    assert "temperature" not in notebook.sent("%glm hi").body
    notebook.run("%glm_config --reset")
    assert notebook.sent("%glm hi").body["model"] == "GLM-4-Air"


def test_an_option_is_stronger_than_a_setting(notebook: Notebook) -> None:
    notebook.run("%glm_config temperature=0.3")
    assert notebook.sent("%glm -t 0.9 hi").body["temperature"] == 0.9
    assert notebook.sent("%glm hi").body["temperature"] == 0.3


def test_a_base_url_with_a_query_is_asked(notebook: Notebook) -> None:
    notebook.run(f"%glm_config base_url={notebook.server.url}?api-version=2024-10-21")
    assert notebook.sent("%glm hi").path == "/v1/chat/completions?api-version=2024-10-21"


@pytest.mark.parametrize("address", ["http://h/v1#a", "10.0.0.7", "http://10.0.0.7/v1", "https://me:pw@h/v1"])
def test_a_base_url_that_cannot_be_asked_is_refused_when_it_is_set(
    notebook: Notebook, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv("GLM_API_KEY", "id.secret")
    with pytest.raises(SetupError) as when_set:
        notebook.run(f"%glm_config temperature=0.5 base_url={address}")
    assert "temperature" not in notebook.sent("%glm hi").body, "nothing has changed"
    with pytest.raises(SetupError) as in_python:
        Chat(base_url=address)
    monkeypatch.setenv("GLM_BASE_URL", address)
    with pytest.raises(SetupError) as when_asked:
        notebook.run("%glm hi")
    assert str(when_set.value) == str(in_python.value) == str(when_asked.value)


def test_values_may_be_quoted_or_evaluated(notebook: Notebook) -> None:
    notebook.run('name = "GLM-4-Long"')
    notebook.run("""%glm_config system="Be brief, it's late." stop={{ "\\n" }} model={{ name }}""")
    request = notebook.sent("%glm hi")
    assert request.messages[0] == ("system", "Be brief, it's late.")
    assert (request.body["stop"], request.body["model"]) == (["\n"], "GLM-4-Long")


def test_a_name_without_a_value_takes_it_away_also_over_the_environment(
    notebook: Notebook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GLM_TEMPERATURE", "0.4")
    notebook.run("%glm_config temperature=")
    assert "temperature" not in notebook.sent("%glm hi").body
    assert config_line(magics(notebook).kept.layers) == "%glm_config temperature="
    notebook.run("%glm_config --reset")
    assert notebook.sent("%glm hi").body["temperature"] == 0.4


def test_one_setting_is_shown_with_its_source(notebook: Notebook, monkeypatch: pytest.MonkeyPatch) -> None:
    notebook.run("%glm_config temperature")
    assert "not set" in notebook.page.text
    monkeypatch.setenv("GLM_TEMPERATURE", "0.4")
    notebook.run("%glm_config temperature")
    assert "0.4  (environment (GLM_TEMPERATURE))" in notebook.page.text
    notebook.run("%glm_config temperature=0.5")
    assert "0.5  (set here)" in notebook.page.text


def test_the_table_shows_every_setting_its_value_and_source(notebook: Notebook) -> None:
    notebook.run("%glm_config top_p=0.5")
    notebook.run("%glm_config --table")
    assert all(name in notebook.page.text for name in SETTINGS)
    assert "set here" in notebook.page.text
    assert "GLM_BASE_URL" in notebook.page.text


def test_the_key_is_masked(notebook: Notebook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLM_API_KEY", "0123456789abcdef.canary-canary")
    notebook.run("%glm_config --table")
    assert "canary-c" not in str(notebook.page.outputs)
    assert "GLM_API_KEY" in notebook.page.text


@pytest.mark.parametrize(("name", "text", "value"), [("temperature", "0.2", 0.2), ("max_tokens", "9", 9)])
def test_every_setting_has_a_variable_a_trait_and_a_key(
    notebook: Notebook, monkeypatch: pytest.MonkeyPatch, name: str, text: str, value: Any
) -> None:
    monkeypatch.setenv(f"GLM_{name.upper()}", text)
    assert notebook.sent("%glm hi").body[name] == value
    notebook.run(f"%config GLMMagics.{name} = 1")
    assert notebook.sent("%glm hi").body[name] == 1
    notebook.run(f"%glm_config {name}={text}")
    assert getattr(magics(notebook), name) == value


def test_settings_are_traits_and_nothing_else_is_configurable(notebook: Notebook) -> None:
    assert set(SETTINGS) <= set(magics(notebook).traits(config=True))


def test_a_trait_refuses_what_the_setting_refuses(notebook: Notebook, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(traitlets.TraitError, match="from 0 to 2"):
        magics(notebook).temperature = 7
    notebook.run("%config GLMMagics.temperature = 7")  # IPython says the error in its log
    assert "from 0 to 2" in caplog.text
    assert "temperature" not in notebook.sent("%glm hi").body


def test_a_wrong_variable_is_said_when_something_is_asked(notebook: Notebook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLM_TEMPERATURE", "hot")
    with pytest.raises(SettingError, match="GLM_TEMPERATURE"):
        notebook.run("%glm hi")
    notebook.run("%glm_config --table")
    assert "GLM_TEMPERATURE" in notebook.page.text


@pytest.mark.parametrize(
    ("line", "kind", "hint"),
    [
        ("temprature=0.3", SettingError, "Did you mean temperature"),
        ("temperature=3", SettingError, "from 0 to 2"),
        ("temperature=0.1 top_p=2", SettingError, "from 0 to 1"),
        ("format=html", SettingError, "markdown or text"),
        ("--reset temprature", SettingError, "Did you mean"),
        ("--reset temperature=1", OptionError, "names"),
        ("--sav", OptionError, "no option"),
        ("--table temperature", OptionError, "takes no names"),
        ('model=" "', SettingError, "empty"),
    ],
)
def test_a_wrong_line_says_what_to_do_and_changes_nothing(
    notebook: Notebook, line: str, kind: type[GlmError], hint: str
) -> None:
    with pytest.raises(kind, match=hint):
        notebook.run(f"%glm_config {line}")
    assert magics(notebook).kept.layers.assigned == {}


def test_the_panels_line_does_what_the_panel_says(notebook: Notebook) -> None:
    values = {"system": 'it\'s "so"\n{{ x }}', "stop": "\n", "model": "a b", "temperature": 0.25, "save_turns": False}
    for name, value in values.items():
        setattr(magics(notebook), name, value)
    line = config_line(magics(notebook).kept.layers)
    notebook.run("%glm_config --reset")
    notebook.run(line)
    assert {name: getattr(magics(notebook), name) for name in values} == values


def test_login_keeps_the_key_and_does_not_show_it(notebook: Notebook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "keyring", None)
    monkeypatch.setattr(getpass, "getpass", lambda prompt: "0123456789abcdef.canary-canary")
    notebook.run("%glm_config --login")
    assert "this kernel only" in notebook.page.text
    assert "canary" not in notebook.page.text
    assert notebook.sent("%glm hi").headers["authorization"] == "Bearer 0123456789abcdef.canary-canary"


def test_login_where_nobody_can_type_is_an_error(notebook: Notebook, monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(prompt: str) -> str:
        raise EOFError

    monkeypatch.setattr(getpass, "getpass", nobody)
    with pytest.raises(SetupError, match="GLM_API_KEY"):
        notebook.run("%glm_config --login")


def test_a_chat_starts_from_what_is_set_in_the_kernel(notebook: Notebook) -> None:
    notebook.run('%glm_config model=GLM-4-Plus temperature=0.3 system="Be brief."')
    magics(notebook).replay = "notebook"
    notebook.run("from glm_magic import Chat\nchat = Chat(temperature=0.9)")
    body = notebook.sent("chat('hi')").body
    assert (body["model"], body["temperature"], body["messages"][0]["content"]) == ("GLM-4-Plus", 0.9, "Be brief.")
    assert notebook.shell.user_ns["chat"]._layers.assigned["replay"] == "off"
    notebook.run("%glm_config model=GLM-4-Air")  # a chat starts from it, and goes its own way
    assert notebook.sent("chat('hi')").body["model"] == "GLM-4-Plus"
    notebook.run("%unload_ext glm_magic")
    assert "model" not in repr(Chat())


def test_a_chat_starts_from_the_configuration_file_too(
    shell: InteractiveShell, server: GlmServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GLM_BASE_URL", server.url)
    shell.config.GLMMagics.model = "GLM-4-Long"
    shell.run_line_magic("load_ext", "glm_magic")
    Chat()("hi")
    assert server.last.body["model"] == "GLM-4-Long"


def test_a_key_on_the_line_is_sent_to_where_keys_go(notebook: Notebook) -> None:
    with pytest.raises(SettingError, match="No setting holds the key") as caught:
        notebook.run("%glm_config api_key=abc")
    assert "--login" in caught.value.remedy
    assert "api_key_env" not in str(caught.value)


def test_the_endpoints_models_are_shown_and_complete_from_then_on(notebook: Notebook) -> None:
    listing = b'{"data": [{"id": "org/one"}, {"id": "<b>two"}]}'
    notebook.server.models = Answer([listing], headers={"Content-Type": "application/json"})
    notebook.run("%glm_config --models")
    assert "2 models at" in notebook.page.text
    assert "org/one" in notebook.page.text
    assert not any("<b>two" in html for html in notebook.page.saved("text/html"))
    line = "%glm -m GLM-4-Air,or"
    with provisionalcompleter():
        found = [each.text for each in notebook.shell.Completer.completions(line, len(line))]
    assert found == ["org/one"]
    assert not [request for request in notebook.server.requests if request.method == "POST"]


def test_an_endpoint_that_lists_no_models_is_an_error_of_one_line(notebook: Notebook) -> None:
    with pytest.raises(ServiceError, match="does not tell which models it has"):
        notebook.run("%glm_config --models")
