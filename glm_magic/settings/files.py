"""The settings in files: the user's own, and that of the project that a notebook is in.

The user's is ``config.toml`` in the user's folder for configuration, or what ``GLM_CONFIG_FILE`` names. The project's
is the table ``[tool.glm_magic]`` of the nearest ``pyproject.toml`` above the notebook, not beyond the home directory.
Each may have tables ``presets.NAME``. What cannot be read is a problem to be told, and not an error: the rest holds.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from glm_magic.errors import SettingError, quoted
from glm_magic.settings.declared import setting
from glm_magic.settings.setting import Value

PROJECT, USER = "project file", "user's file"
PRESETS = "presets"

# A cloned repository must not say where the key goes.
_NOT_OF_A_PROJECT = ("base_url", "api_key_env")
_TABLES: dict[str, tuple[str, ...]] = {PROJECT: ("tool", "glm_magic"), USER: ()}
_MOST_BYTES = 10_000_000  # a file that is no settings may have no end


@dataclass(frozen=True, slots=True)
class SettingsFile:
    """What a file says: the `values` that fit, its `presets` as written, and the `problems` that it has."""

    kind: str
    path: Path
    values: Mapping[str, Value] = field(default_factory=dict)
    presets: Mapping[str, Any] = field(default_factory=dict)
    problems: tuple[str, ...] = ()

    @property
    def where(self) -> str:
        """The file, as a source of values is called."""
        return f"{self.kind} {shown(self.path)}"


class SettingsFiles:
    """The two files, as they are now: each is read again when it has changed. `folder` is that of the notebook."""

    def __init__(self, folder: Callable[[], Path]) -> None:
        self._folder = folder

    def __iter__(self) -> Iterator[SettingsFile]:
        """Yield what the files say, the stronger one first."""
        project = project_path(self._folder())
        for kind, path in ((PROJECT, project), (USER, user_path())):
            if path is not None and (version := _version_of(path)) is not None:
                yield _read(kind, path, version)

    def path(self, kind: str) -> Path:
        """Return the path of a file, whether it exists or not. Raises `SettingError` if there is no project."""
        path = project_path(self._folder()) if kind == PROJECT else user_path()
        if path is None:
            raise SettingError("There is no pyproject.toml above this notebook.", "Create one, or leave out --project.")
        return path


def user_path() -> Path:
    """Return the path of the user's file."""
    if named := os.environ.get("GLM_CONFIG_FILE", ""):
        return Path(named).expanduser()
    import platformdirs  # noqa: PLC0415 - the extension is loaded without it

    return Path(platformdirs.user_config_dir("glm_magic", appauthor=False), "config.toml")


def project_path(folder: Path) -> Path | None:
    """Return the nearest ``pyproject.toml`` in a folder or above it, up to the home directory; None without one."""
    home = Path("~").expanduser()
    folder = folder.absolute()
    for each in (folder, *folder.parents):
        with contextlib.suppress(OSError):  # a folder that may not be looked into
            if (each / "pyproject.toml").is_file():
                return each / "pyproject.toml"
        if each == home:
            break
    return None


def shown(path: Path) -> str:
    """Return a path as it may be shown: the home directory is ``~``."""
    with contextlib.suppress(ValueError, RuntimeError):
        return str(Path("~", path.relative_to(Path("~").expanduser())))
    return str(path)


# --- reading --------------------------------------------------------------------------------------


def _version_of(path: Path) -> tuple[int, ...] | None:
    """Return what is different once a file has changed; None if there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size


@functools.lru_cache(maxsize=16)  # all chats read the same two files
def _read(kind: str, path: Path, _version: tuple[int, ...]) -> SettingsFile:
    """Read a file. It is read again once it has changed: then `_version` is another, which the cache does not know."""
    try:
        text = _text(path)
        table = _parsed(text)
    except (OSError, ValueError, RecursionError) as error:
        return SettingsFile(kind, path, problems=(f"{shown(path)} cannot be read: {quoted(str(error))}",))
    for name in _TABLES[kind]:
        table = table.get(name, {})
        if not isinstance(table, dict):
            return SettingsFile(kind, path, problems=(f"{shown(path)}: {name} is not a table",))
    values: dict[str, Value] = {}
    problems = []
    presets = table.pop(PRESETS, {})
    if not isinstance(presets, dict):
        problems.append(f"{shown(path)}: {PRESETS} is not a table")
        presets = {}
    for name, value in table.items():
        try:
            if kind == PROJECT and name in _NOT_OF_A_PROJECT:
                raise SettingError(f"{name} is not taken from a project, which could send your key anywhere.")
            found = setting(name)
            values[name] = found.anchored(found.check(value), path.parent)
        except SettingError as error:
            meant = f" {error.remedy}" if error.remedy.startswith("Did you mean") else ""
            line = _line_of(text, _TABLES[kind], name)
            problems.append(f"{shown(path)}{line}: {error.what}{meant}")
    return SettingsFile(kind, path, values, presets, tuple(problems))


def _text(path: Path) -> str:
    with path.open("rb") as file:
        content = file.read(_MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        raise ValueError("it is too long")
    return content.decode("utf-8-sig")


def _parsed(text: str) -> dict[str, Any]:
    """Return a document as dicts. Raises `ValueError` with line and column if it is not TOML."""
    if sys.version_info >= (3, 11):
        import tomllib  # noqa: PLC0415 - the extension is loaded without it

        return tomllib.loads(text)
    import tomlkit  # noqa: PLC0415

    return tomlkit.parse(text).unwrap()


def _line_of(text: str, table: tuple[str, ...], name: str) -> str:
    """Return where `name` stands in a table, as words to follow the file's name; ``""`` if that is not plain."""
    inside: tuple[str, ...] = ()
    for number, line in enumerate(text.splitlines(), start=1):
        if header := re.match(r"\s*\[([^\[\]]+)\]\s*(#.*)?$", line):
            inside = tuple(part.strip(" \t\"'") for part in header[1].split("."))
        elif inside == table and re.match(rf"""\s*["']?{re.escape(name)}["']?\s*[=.]""", line):
            return f", line {number}"
    return ""


# --- writing --------------------------------------------------------------------------------------


def write(kind: str, path: Path, table: tuple[str, ...], values: Mapping[str, Value]) -> None:
    """Set `values` in a table of a file, within what `kind` reads; a value of None is taken out.

    Everything else in it stays as it is, comments too. The file is replaced at once, or not at all. Raises
    `SettingError` if it is there and cannot be read, or cannot be written.
    """
    import tomlkit  # noqa: PLC0415 - it is slow to load, and writing is rare
    from tomlkit.exceptions import TOMLKitError  # noqa: PLC0415

    try:
        path = path.resolve()  # a link stays one
        before = path.read_bytes().decode() if path.exists() else ""
        document: Any = tomlkit.parse(before)
        found = document
        names = (*_TABLES[kind], *table)
        for depth, name in enumerate(names, start=1):
            if name not in found:
                found.add(name, tomlkit.table(is_super_table=depth < len(names)))
            found = found[name]
        for name, value in values.items():
            if value is not None:
                found[name] = list(value) if isinstance(value, tuple) else value
            elif name in found:
                del found[name]
        text = tomlkit.dumps(document)
        if "\r\n" in before:
            text = text.replace("\r\n", "\n").replace("\n", "\r\n")
        _check_reads(text, names, values)
        _replace(path, text)
    except (OSError, ValueError, TypeError, AttributeError, KeyError, TOMLKitError) as error:
        raise SettingError(
            f"{shown(path)} cannot be written: {quoted(str(error))}.", "Nothing has changed. Correct the file first."
        ) from None


def _check_reads(text: str, names: tuple[str, ...], values: Mapping[str, Value]) -> None:
    found: Any = _parsed(text)
    for name in names:
        found = found[name]
    for name, value in values.items():
        if found.get(name) != (list(value) if isinstance(value, tuple) else value):
            raise ValueError(f"{name} would not be read as it was written")


def _replace(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())
        if path.exists():
            shutil.copymode(path, temporary)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
