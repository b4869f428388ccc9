"""Settings and messages become the body of a request; what nobody set is not in it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from glm_magic.chat.messages import Message
from glm_magic.errors import PromptError, SettingError, quoted
from glm_magic.protocol.models import highest_temperature, known
from glm_magic.settings.declared import SETTINGS
from glm_magic.settings.setting import Value


def body(
    settings: Mapping[str, Value],
    messages: Iterable[Message],
    *,
    stream: bool = True,
    stream_usage: bool = False,
    extra: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the JSON body of ``POST /chat/completions``.

    A field of `settings` that is None is left out, so that the server's own default holds. With
    `stream_usage` the service is asked to count the tokens of a stream, as servers other than GLM's
    own do only on request. `extra` are further fields, sent as they are; a null `stream_options` leaves
    it out.
    """
    request: dict[str, Any] = {
        "model": settings["model"],
        "messages": [message.to_api() for message in messages],
        "stream": stream,
    }
    if stream and stream_usage:
        request["stream_options"] = {"include_usage": True}
    for name, setting in SETTINGS.items():
        value = settings.get(name)
        if setting.field and name != "model" and value not in (None, ""):
            request[name] = _stop_words(value) if name == "stop" else value
    request.update(extra or {})
    if request.get("stream_options", ...) is None:  # servers that do not know the field do not take null either
        del request["stream_options"]
    return request


def _stop_words(value: Value) -> list[str]:
    return list(value) if isinstance(value, tuple) else [str(value)]


def parameters(request: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a request body that are not the conversation itself."""
    return {name: value for name, value in request.items() if name != "messages"}


def reads_text_only(model: str, *, embedded: bool = False) -> bool:
    """Whether a model is known to read no images: a known one that does not, or the embedded one.

    What a model of any other name reads is for its service to say.
    """
    found = known(model)
    return embedded or (found is not None and not found.sees)


def without_images(messages: Iterable[Message]) -> list[Message]:
    """Return messages for a model that reads text only: a placeholder stands for each image."""
    return [replace(message, parts=()) if has_images(message) else message for message in messages]


def has_images(message: Message) -> bool:
    """Whether a message is more than text."""
    return any(part["type"] != "text" for part in message.parts)


def refuse_images(model: str, prompt: Message, *, embedded: bool = False) -> None:
    """Raise `PromptError` if a prompt with images goes to a model that reads text only."""
    if has_images(prompt) and reads_text_only(model, embedded=embedded):
        raise PromptError(
            f"{quoted(model)} reads text only, and an image is in the prompt; nothing was sent.",
            "Ask a model that sees, for example: -m glm-4.6v",
        )


def check_temperature(request: Mapping[str, Any], *, is_glm_host: bool) -> None:
    """Raise `SettingError` if the temperature is above 1 for a GLM model; other models take up to 2.

    Confirmed: GLM's documents give 0 to 1. Reported: more is refused.
    """
    temperature, model = request.get("temperature"), str(request["model"])
    if temperature is not None and temperature > highest_temperature(model, is_glm_host=is_glm_host):
        raise SettingError(
            f"temperature takes a number from 0 to 1 for {quoted(model)}, not {temperature:g}; nothing was sent.",
            "Only models that are not GLM's take more.",
        )
