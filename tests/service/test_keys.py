from __future__ import annotations

import pickle

import pytest

from glm_magic.errors import SetupError
from glm_magic.service.keys import VARIABLES, Key, KeyCabinet, without_keys

SECRET = "0123456789abcdef.canarycanary"


def test_a_key_shows_itself_to_reveal_alone() -> None:
    key = Key(SECRET, "GLM_API_KEY")
    assert key.reveal() == SECRET
    for shown in (repr(key), str(key), f"{key}", key.masked):
        assert "canary" not in shown.replace(SECRET[-4:], "")
        assert len(shown) < len(SECRET)


def test_nothing_of_a_short_key_is_shown() -> None:
    assert "abc" not in Key("abc.def", "x").masked


def test_a_key_is_never_pickled() -> None:
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(Key(SECRET, "x"))


@pytest.mark.parametrize("secret", ["abc\n", "ab\rc", "ключ", "a\x00b"])
def test_a_key_that_no_header_can_carry_is_refused_and_not_shown(secret: str) -> None:
    with pytest.raises(SetupError) as caught:
        Key(secret, "GLM_API_KEY")
    assert secret.strip() not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        (f"key {SECRET}!", "key …nary!"),
        (f"{SECRET}{SECRET}", "…nary…nary"),
        ("signature canarycanary is wrong", "signature …nary is wrong"),
        (f"cut {SECRET[:20]}…", "cut …nary…"),
        ("0123456789ab", "…nary"),
        ("0123456789a canarycanar", "0123456789a canarycanar"),
        ("nothing of it", "nothing of it"),
        ("", ""),
    ],
)
def test_a_key_that_a_service_says_back_is_hidden_whole_and_in_part(text: str, hidden: str) -> None:
    assert Key(SECRET, "x").hidden_in(text) == hidden


@pytest.mark.parametrize("dummy", ["EMPTY", "none", "x", "", "sk-proj-", "a.b"])
def test_what_is_too_short_for_a_secret_is_not_hidden(dummy: str) -> None:
    text = "EMPTY none x sk-proj-123 a.b"
    assert Key(dummy, "x").hidden_in(text) == text


def test_a_cabinet_does_not_show_the_environment_that_it_looks_into() -> None:
    assert "canary" not in repr(KeyCabinet({"GLM_API_KEY": SECRET}))


@pytest.mark.parametrize("variable", VARIABLES)
def test_the_key_comes_from_these_variables(variable: str) -> None:
    key = KeyCabinet({variable: SECRET}).find()
    assert key is not None
    assert (key.reveal(), key.source) == (SECRET, variable)


def test_a_child_process_keeps_what_only_looks_like_a_key() -> None:
    kept = {"PATH": "/bin", "KEYBOARD": "de", "A": "none", "B": "1"}
    assert without_keys({**kept, "GLM_API_KEY": "none", "ZAI_API_KEY": "", "MINE": "1"}, "MINE") == kept


def test_an_empty_variable_counts_as_unset() -> None:
    key = KeyCabinet({"GLM_API_KEY": " ", "ZAI_API_KEY": SECRET}).find()
    assert key is not None
    assert key.source == "ZAI_API_KEY"


def test_a_named_variable_is_the_only_one_that_counts() -> None:
    key = KeyCabinet({"GLM_API_KEY": "other", "MINE": SECRET}).find("MINE")
    assert key is not None
    assert key.reveal() == SECRET
    with pytest.raises(SetupError, match="MINE"):
        KeyCabinet({"GLM_API_KEY": "other"}).find("MINE")


def test_the_environment_is_read_late() -> None:
    environ: dict[str, str] = {}
    cabinet = KeyCabinet(environ)
    assert cabinet.find() is None
    environ["GLM_API_KEY"] = SECRET
    assert cabinet.find() is not None


@pytest.fixture
def memory_keyring(monkeypatch: pytest.MonkeyPatch):
    keyring = pytest.importorskip("keyring")
    from keyring.backend import KeyringBackend

    class Memory(KeyringBackend):
        priority = 1  # type: ignore[assignment]
        kept: dict[tuple[str, str], str] = {}  # noqa: RUF012

        def get_password(self, service: str, username: str) -> str | None:
            return self.kept.get((service, username))

        def set_password(self, service: str, username: str, password: str) -> None:
            self.kept[service, username] = password

    before = keyring.get_keyring()
    monkeypatch.delenv("PYTHON_KEYRING_BACKEND")
    Memory.kept = {}
    keyring.set_keyring(Memory())
    yield Memory
    keyring.set_keyring(before)


def test_a_typed_key_is_kept_in_the_system_keyring_where_there_is_one(memory_keyring) -> None:
    assert KeyCabinet({}).keep(Key(SECRET, "typed")) == "the system keyring"
    found = KeyCabinet({}).find()
    assert found is not None
    assert found.reveal() == SECRET


def test_a_variable_is_stronger_than_the_keyring(memory_keyring) -> None:
    KeyCabinet({}).keep(Key(SECRET, "typed"))
    found = KeyCabinet({"GLM_API_KEY": "from.variable"}).find()
    assert found is not None
    assert found.reveal() == "from.variable"


def test_without_a_keyring_a_typed_key_is_kept_for_this_kernel_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "keyring", None)
    cabinet = KeyCabinet({})
    assert "this kernel only" in cabinet.keep(Key(SECRET, "typed"))
    assert cabinet.find() is not None
    assert KeyCabinet({}).find() is None


def test_an_empty_key_changes_nothing() -> None:
    cabinet = KeyCabinet({})
    with pytest.raises(SetupError, match="No key"):
        cabinet.keep(Key("  ", "typed"))
    assert cabinet.find() is None
