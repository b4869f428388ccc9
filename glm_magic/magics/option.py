"""An option of a magic: what it is called, what it fills, what it goes with."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

from glm_magic.settings.setting import alternatives


class Several(tuple[Any, ...]):
    """The values of a setting that a comparison compares."""

    __slots__ = ()


class Given(NamedTuple):
    """A value as it was given: its text, and whether an expression inserted some of it."""

    text: str
    is_inserted: bool = False


Read = Callable[["Option", tuple[Given, ...]], Any]


@dataclass(frozen=True, slots=True)
class Option:
    """An option of a magic.

    It fills a field of what the line says: the one named in `fills`, or else that of its own name. It fills it with
    `value` or, where it has a `metavar`, with what `read` makes of the words after it (their text by default). Two
    options that fill the same field cannot be combined. `more` is how many further words may follow. Given again, its
    values are joined by `repeats`; without that it is an error.

    `excludes` names options it cannot be combined with, each with the reason, unless its own value is `idle`.
    `goes_with` names the options of which it needs one. `completes` says what each word after it is completed with,
    besides its `choices`.
    """

    flag: str
    help: str
    short: str = ""
    metavar: str = ""
    fills: str = ""
    value: Any = True
    read: Read | None = None
    repeats: Callable[[Any, Any], Any] | None = None
    more: int = 0
    excludes: Mapping[str, str] = field(default_factory=dict)
    idle: Any = None
    goes_with: tuple[str, ...] = ()
    completes: str = ""

    @property
    def usage(self) -> str:
        """The option as a table of options shows it."""
        names = f"-{self.short}, {self.flag}" if self.short else self.flag
        return f"{names} {self.metavar}".rstrip()

    @property
    def field_name(self) -> str:
        """The field that it fills."""
        return self.fills or self.flag.removeprefix("--").replace("-", "_")

    @property
    def choices(self) -> tuple[str, ...]:
        """The values that it takes, where they are few."""
        return alternatives(self.metavar)

    def filled_by(self, given: tuple[Given, ...]) -> Any:
        """Return what it fills in. Raises `OptionError` or `SettingError` for a wrong value."""
        if self.read is not None:
            return self.read(self, given)
        return given[0].text if given else self.value


_Magic = TypeVar("_Magic", bound=Callable[..., Any])


def documented(*options: Option) -> Callable[[_Magic], _Magic]:
    """Add the table of options to a magic's docstring."""

    def document(magic: _Magic) -> _Magic:
        table = "\n".join(f"    {option.usage:<32} {option.help}" for option in options)
        magic.__doc__ = f"{inspect.cleandoc(magic.__doc__ or '')}\n\n::\n\n{table}\n"
        return magic

    return document
