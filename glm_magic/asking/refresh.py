"""Which turns are asked again when turns before them have changed, and what each of them asks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from glm_magic.asking.question import Wishes
from glm_magic.chat.attempt import Attempt
from glm_magic.chat.conversation import Conversation
from glm_magic.chat.place import Place
from glm_magic.protocol.models import EMBEDDED
from glm_magic.settings.declared import SETTINGS
from glm_magic.settings.setting import Value
from glm_magic.tools.tool import Tool

_OF_THE_STREAM = ("stream", "stream_options")
Tools = Callable[[tuple[Mapping[str, Any], ...]], tuple[Tool, ...]]


@dataclass(frozen=True, slots=True)
class Again:
    """A turn to be asked again: its number in the table, its place, and the attempt that counts.

    `is_shown` says that its cell shows the new answer; a replay leaves the page as it is.
    """

    number: str
    place: Place
    attempt: Attempt
    is_shown: bool = True

    def wishes(self, chat: str, tools: Tools, *, embedded: str) -> Wishes:
        """Return what its attempt was asked with; `tools` finds those that were offered to it.

        `embedded` is the name of the embedded model. A structured answer is asked for, and not checked: what checks
        it is not in the conversation.
        """
        fields = dict(self.attempt.parameters)
        model = str(fields.pop("model", self.attempt.model))
        stream = bool(fields.pop("stream", True))
        offered = tools(tuple(fields.pop("tools", ())))
        options: dict[str, Value] = {
            name: setting.check(fields.pop(name, None)) for name, setting in SETTINGS.items() if setting.field
        }
        options |= {"model": EMBEDDED if model == embedded else model, "system": self.attempt.system, "thinking": None}
        extra = {name: value for name, value in fields.items() if name not in _OF_THE_STREAM}
        return Wishes(
            chat=chat,
            options=options,
            extra=extra,
            tools=offered,
            new=self.attempt.new,
            stream=stream,
        )


def turns(conversation: Conversation) -> tuple[Again, ...]:
    """Return the turns to be asked again, in order: those that are stale, and those after them, which will be.

    A turn that is not sent, a copy from another chat and a message that nobody asked for are left as they are.
    """
    stale = conversation.stale()
    found, has_changed = [], False
    for number, turn in conversation.numbered.items():
        attempt = turn.counting
        if attempt is None:
            continue
        has_changed = attempt.id in stale or (has_changed and not attempt.new)
        if has_changed and attempt.role == "user" and not turn.skipped and not turn.forked:
            found.append(Again(number, turn.place, attempt))
    return tuple(found)
