"""Where the key comes from, and how it is kept from being seen."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from glm_magic.errors import SetupError
from glm_magic.service.masking import SECRET_FROM, Masking, Secret

VARIABLES = ("GLM_API_KEY", "ZAI_API_KEY", "ZHIPUAI_API_KEY")

_KEY_VARIABLE = re.compile(r"(^|_)API_?KEY$", re.IGNORECASE)  # of any service

_KEYRING_SERVICE, _KEYRING_USER = "glm_magic", "api_key"
_SHOWN = 4


class Key:
    """A key that shows itself to `reveal` alone: not in a repr, not as text, not in a pickle."""

    __slots__ = ("_hidden", "_secret", "source")

    def __init__(self, secret: str, source: str) -> None:
        """`source` says where it came from. Raises `SetupError` if it cannot be sent in a header."""
        self._secret = secret.strip(" \t")
        del secret  # so that no traceback shows it among the locals
        self._hidden = Secret(self._secret, self.masked)
        self.source = source
        if not self._secret.isascii() or not self._secret.isprintable():
            odd = next(c for c in self._secret if not (c.isascii() and c.isprintable()))
            kind = "a line break" if odd in "\r\n" else f"the character U+{ord(odd):04X}"
            raise SetupError(
                f"The key from {source} has {kind} in it, which no header can carry.", "Set it again, as it was issued."
            )

    def reveal(self) -> str:
        """Return the secret itself, for the one header that carries it."""
        return self._secret

    @property
    def masked(self) -> str:
        """The key as it may be shown: its last characters, and nothing of a short one."""
        return "…" + self._secret[-_SHOWN:] if len(self._secret) > 4 * _SHOWN else "…"

    def hidden_in(self, text: str) -> str:
        """Return a text of the service without the key and its parts: it may repeat what it was sent."""
        return self._hidden.hidden_in(text)

    def masking(self) -> Masking | None:
        """Return what masks it in the events of one answer; None if it is too short for a secret (EMPTY, none)."""
        return Masking(self._hidden) if self._hidden else None

    def __repr__(self) -> str:
        return f"Key({self.masked})"

    def __reduce__(self) -> str | tuple[object, ...]:
        raise TypeError("a key is not pickled: workers take it from their own environment")


def without_keys(environ: Mapping[str, str], variable: str | None = None) -> dict[str, str]:
    """Return an environment for a child process: without the keys of this or any other service.

    `variable` is one more that holds a key: the one that the setting `api_key_env` names.
    """
    keys = {environ.get(name, "").strip(" \t") for name in (*VARIABLES, *filter(None, [variable]))}
    secrets = {key for key in keys if len(key) >= SECRET_FROM}
    return {
        name: value
        for name, value in environ.items()
        if not _KEY_VARIABLE.search(name) and name != variable and not any(secret in value for secret in secrets)
    }


@dataclass(slots=True)
class KeyCabinet:
    """Finds the key, each time anew: the environment first, then this kernel's own, then the keyring."""

    environ: Mapping[str, str] = field(repr=False)
    _typed: Key | None = None

    def find(self, variable: str | None = None) -> Key | None:
        """Return the key, or None. `variable` is the only one to look at, if it is given.

        Raises `SetupError` if `variable` is not set, or the key cannot be sent.
        """
        for name in (variable,) if variable else VARIABLES:
            if self.environ.get(name, "").strip(" \t"):
                return Key(self.environ[name], name)
        if variable:
            raise SetupError(
                f"api_key_env names {variable}, and that variable is not set.",
                f"Set {variable} before Jupyter starts, or go back to the usual ones: %glm_config --reset api_key_env",
            )
        return self._typed or _from_keyring()

    def keep(self, key: Key) -> str:
        """Keep a key that was typed; return where: the keyring where there is one, else this kernel."""
        if not key.reveal():
            raise SetupError("No key was typed; nothing has changed.")
        self._typed = key
        try:
            import keyring  # noqa: PLC0415 - an extra, and slow to load
            import keyring.errors  # noqa: PLC0415

            keyring.set_password(_KEYRING_SERVICE, _KEYRING_USER, key.reveal())
        except ImportError:
            return "this kernel only (for the system keyring: %pip install keyring)"
        except keyring.errors.KeyringError:
            return "this kernel only (there is no system keyring here)"
        return "the system keyring"


def _from_keyring() -> Key | None:
    if os.environ.get("PYTHON_KEYRING_BACKEND") == "keyring.backends.null.Keyring":
        return None
    try:
        import keyring  # noqa: PLC0415 - an extra, and slow to load
        import keyring.errors  # noqa: PLC0415
    except ImportError:
        return None
    try:
        secret = keyring.get_password(_KEYRING_SERVICE, _KEYRING_USER)
    except keyring.errors.KeyringError:
        return None
    return Key(secret, "the system keyring") if secret else None
