"""Every way in which a cell can fail: what happened, and what to do about it.

::

    GlmError
    ├── CellError               the cell is wrong; nothing was sent
    │   ├── OptionError         the magic's line
    │   ├── SettingError        a value that a setting does not take
    │   ├── PromptError         the cell's text is empty, or a template fails
    │   ├── HistoryError        a conversation or a saved notebook
    │   ├── OverBudget          it would cost more than the setting ``budget`` leaves
    │   ├── OverWindow          it cannot fit the model's context window
    │   └── NotRecorded         `replay_missing=error`, and no answer to this request is recorded
    ├── StillPending            an answer in the background that has not ended yet
    ├── SetupError              nobody to ask: no key, no endpoint, no embedded model
    └── AnswerError             the request was sent, and there is no whole answer
        ├── ConnectionFailed    no connection, or it broke
        ├── Stalled             no data for longer than the setting ``timeout``
        ├── BrokenStream        the stream ended before the answer did
        ├── TooManySteps        the model kept calling tools
        ├── AnswerMismatch      a structured answer that did not fit, twice
        ├── JudgeError          a model that was to judge an answer gave no verdict
        └── ServiceError        the service refused, in its own words
            ├── AuthenticationError   the key or its account
            ├── BalanceError          the account cannot pay
            ├── UsageCap              the plan does not include this, or not this much
            ├── ModelUnknown
            ├── PromptTooLong         the prompt does not fit the context window
            ├── ContentFiltered       the prompt, or the answer before any of it was shown
            │   └── Withdrawn         the answer, when some of it was on the page
            ├── RateLimited           this and the next may pass, so they are retried
            └── ServiceDown
    Interrupted                 the person stopped it (a KeyboardInterrupt, so that no
                                ``except Exception`` swallows it)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

# What acts on a terminal: breaks of lines other than the newline, other C0 and C1 controls but the tab, bidirectional
# controls, and halves of a character, which cannot be sent to any front end.
_ACTING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_SHOWN_AS = {
    **dict.fromkeys([*range(0x09), *range(0x0E, 0x20), *range(0x7F, 0xA0)], " "),
    **dict.fromkeys(map(ord, "\r\x0b\x0c\x85\u2028\u2029"), "\n"),
    **dict.fromkeys([*range(0x202A, 0x202F), *range(0x2066, 0x206A)], ""),  # they take no room
    **dict.fromkeys(range(0xD800, 0xE000), "\ufffd"),
}

_LONGEST_QUOTE = 600


def printable(text: str) -> str:
    """Return `text` without the characters that act on a terminal; tabs and newlines stay.

    A newline or a space takes the place of a control character, U+FFFD that of half a character. Bidirectional
    controls are removed.
    """
    return text.replace("\r\n", "\n").translate(_SHOWN_AS) if _ACTING.search(text) else text


def quoted(text: str) -> str:
    """Return foreign text fit for an error: printable, in one line, at most 600 characters."""
    line = " ".join(printable(text).split())
    return line if len(line) <= _LONGEST_QUOTE else line[: _LONGEST_QUOTE - 1] + "…"


def described(error: BaseException) -> str:
    """Return an error in one printable line of bounded length: its kind, and what it says."""
    try:
        text = quoted(str(error))
    except KeyboardInterrupt:
        raise
    except BaseException:  # the error's own code runs here, and may raise SystemExit
        text = ""
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def summed_up(texts: Sequence[str], most: int = 10) -> tuple[str, ...]:
    """Return the first `most` texts; where there are more, one last text says how many."""
    return (*texts[:most], f"and {len(texts) - most} more") if len(texts) > most else tuple(texts)


def counted(number: int, noun: str) -> str:
    """Return a number of things in words."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def near_miss(word: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """Return the known word that `word` was probably meant to be, or ``""``."""
    from difflib import get_close_matches  # noqa: PLC0415 - slow to load, and only needed when something is wrong

    return next(iter(get_close_matches(word, list(known), n=1, cutoff=cutoff)), "")


def did_you_mean(word: str, known: Iterable[str], otherwise: str = "") -> str:
    """Return the remedy for a word that is not known: the known one that was probably meant, or `otherwise`."""
    meant = near_miss(word, known)
    return f"Did you mean {meant}?" if meant else otherwise


class _ShownBriefly(BaseException):
    """An exception that IPython shows as its own few lines in place of a traceback."""

    def __init__(self, what: str, remedy: str = "") -> None:
        super().__init__(what, remedy)
        self.what = printable(what)
        self.remedy = printable(remedy)

    def __str__(self) -> str:
        return f"{self.what}\n{self.remedy}" if self.remedy else self.what

    def _render_traceback_(self) -> list[str]:
        return [f"{type(self).__name__}: {self.what}", *self.remedy.splitlines()]


class GlmError(_ShownBriefly, Exception):
    """Something that the person at the notebook can act upon.

    `what` says what happened, `remedy` what to do (it may span lines).
    """

    def rewrite(self, change: Callable[[str], str]) -> None:
        """Change every text that the error holds, as where a service repeated the key."""
        self.args = tuple(change(arg) if isinstance(arg, str) else arg for arg in self.args)
        for name, value in vars(self).items():
            if isinstance(value, str):
                setattr(self, name, change(value))


class CellError(GlmError):
    """The cell is wrong; nothing was sent, and nothing has changed."""


class OptionError(CellError):
    """A magic's line has an unknown option, a wrong value or a word too many."""


class SettingError(CellError):
    """A setting has no such name, or a value that a setting does not take."""


class PromptError(CellError):
    """The cell's text cannot become a message: it is empty, or a template fails."""


class HistoryError(CellError):
    """The conversation, or the notebook to restore, does not allow this."""


class OverBudget(CellError):
    """The request is expected to cost more than the budget leaves."""


class OverWindow(CellError):
    """The request cannot fit the model's context window."""


class NotRecorded(CellError):
    """No answer to this request is recorded, and `replay_missing` is ``error``."""


class StillPending(GlmError, AttributeError):
    """An answer in the background has not ended yet."""


class SetupError(GlmError):
    """Nobody can be asked yet: there is no key, no endpoint and no embedded model."""


class AnswerError(GlmError):
    """The request was sent, and there is no whole answer; `partial` is the `Reply` so far, or None."""

    partial: Any = None
    retry_after: float | None = None
    was_stale = False  # it failed on a connection that was kept from an earlier answer


class ConnectionFailed(AnswerError):
    """There was no connection, or it broke."""


class Stalled(AnswerError):
    """The service sent no data for longer than the setting `timeout`."""


class BrokenStream(AnswerError):
    """The stream ended, or stopped making sense, before the answer did."""


class TooManySteps(AnswerError):
    """The model called tools in more rounds than the setting `max_steps` allows."""


class AnswerMismatch(AnswerError):
    """The answer does not fit ``--json`` or ``--schema``, nor did a second one."""


class JudgeError(AnswerError):
    """A model that was to judge an answer gave no verdict."""


class ServiceError(AnswerError):
    """The service refused.

    `status` is the HTTP status, `code` the body's own code as text (``""`` if it gave none),
    `request_id` what the service calls the request (``""`` likewise).
    """

    def __init__(
        self,
        what: str,
        remedy: str = "",
        *,
        status: int = 0,
        code: str = "",
        request_id: str = "",
    ) -> None:
        super().__init__(what, remedy)
        self.status = status
        self.code = code
        self.request_id = request_id


class AuthenticationError(ServiceError):
    """The key is wrong, has expired or lacks the permission, or its account is closed."""


class BalanceError(ServiceError):
    """The account cannot pay for the request; trying again does not help."""


class UsageCap(ServiceError):
    """The plan does not include this, or not this much; trying again soon does not help."""


class ModelUnknown(ServiceError):
    """The endpoint has no model of this name."""


class PromptTooLong(ServiceError):
    """The prompt, or prompt and answer together, does not fit the model's context window."""


class ContentFiltered(ServiceError):
    """The content filter refused the prompt or the answer."""


class Withdrawn(ContentFiltered):
    """The content filter withdrew the answer; its text leaves the page."""


class RateLimited(ServiceError):
    """There were too many requests at once, or the model is overloaded; later it may work."""


class ServiceDown(ServiceError):
    """The service failed (HTTP 5xx)."""


class Interrupted(_ShownBriefly, KeyboardInterrupt):
    """The person stopped the answer; what had arrived is kept."""
