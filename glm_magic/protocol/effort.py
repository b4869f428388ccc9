"""How much a model is asked to think: the setting `thinking`, as the fields of a request that say it.

Confirmed: GLM-4.5 and later take ``thinking: {"type": "enabled" | "disabled"}``, GLM-5.2 and later
``reasoning_effort`` too. That is also the name of the field at other servers. The name of the model decides, not the
host, so that a recorded answer is found wherever it was asked.
"""

from __future__ import annotations

from typing import Any

from glm_magic.errors import SettingError, quoted
from glm_magic.protocol.models import LEVELS, MODELS, SWITCH, is_glm, known

FIELDS = ("thinking", "reasoning_effort")

_FIELD_OF_GLM = 'thinking={"type": "disabled"}'
_FIELD_OF_VLLM = 'chat_template_kwargs={"enable_thinking": false}'


def levels(model: str, *, embedded: bool = False) -> tuple[str, ...]:
    """Return the levels of thinking that a model takes; of one that is not known, those that most servers know."""
    if embedded:
        return ()
    found = known(model)
    return found.thinking if found is not None else LEVELS


def fields(level: str | None, model: str, *, embedded: bool = False) -> dict[str, Any]:
    """Return the fields of a request that ask for a level of thinking; none for one that the model does not take."""
    if level is None or level not in levels(model, embedded=embedded):
        return {}
    if level in SWITCH:
        return {"thinking": {"type": "enabled" if level == "on" else "disabled"}}
    return {"reasoning_effort": level}


def check(level: str | None, model: str, *, embedded: bool = False) -> None:
    """Raise `SettingError` if a model does not take a level of thinking."""
    taken = levels(model, embedded=embedded)
    if level is None or level in taken:
        return
    name = quoted(model)
    if not taken:
        thinks = next(each.name for each in MODELS.values() if each.thinking)
        raise SettingError(
            f"{name} does not think, so --think {level} means nothing to it; nothing was sent.",
            f"Ask a model that thinks, such as -m {thinks}, or unset it: %glm_config --reset thinking",
        )
    if known(model) is None:
        raise SettingError(
            f"{name} is not known here, so only levels are sent to it ({', '.join(taken)}), not {level}; "
            "nothing was sent.",
            f"Where its service has a field for that:  --param '{_FIELD_OF_GLM if is_glm(model) else _FIELD_OF_VLLM}'",
        )
    raise SettingError(f"{name} takes --think {' or '.join(taken)}, not {level}; nothing was sent.")
