"""Settings and messages become the body of a request; what nobody set is not in it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from glm_magic.chat.messages import Message
from glm_magic.errors import PromptError, quoted
from glm_magic.protocol.models import MODELS
from glm_magic.settings.declared import SETTINGS, Value

_TEXT_MODELS = frozenset(name.lower() for name in MODELS)


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


def refuse_images(request: Mapping[str, Any], *, embedded: bool = False) -> None:
    """Raise `PromptError` if images go to a model that reads text only: one of the known ones, or the embedded one.

    What a model of any other name reads is for its service to say.
    """
    model = str(request["model"])
    if not embedded and model.lower() not in _TEXT_MODELS:
        return
    has_images = [_has_images(message) for message in request["messages"]]
    if any(has_images):
        where = "the prompt" if has_images[-1] else "a turn that is sent before the prompt"
        raise PromptError(
            f"{quoted(model)} reads text only, and an image is in {where}; nothing was sent.",
            "Ask a model that sees, for example: -m glm-4.6v"
            + ("" if has_images[-1] else "\nor leave the turn out: --new, or %glm_history --skip TURN"),
        )


def _has_images(message: Mapping[str, Any]) -> bool:
    content = message["content"]
    return not isinstance(content, str) and any(part["type"] != "text" for part in content)
