"""Turns a cell's text and the notebook's names into the text of a message.

Each ``{{ expression }}`` is evaluated once, and its value is never scanned again. An image becomes a part of the
message. The rest of the text is sent as typed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, TypeAlias

from glm_magic.chat.images import image_part, is_one_of, is_picture
from glm_magic.chat.inserted import text_of
from glm_magic.chat.messages import Document, Message
from glm_magic.chat.reply import Reply
from glm_magic.chat.templates import LITERALLY, pieces
from glm_magic.errors import PromptError, SetupError, described, near_miss

# What becomes of a value before it is inserted: what needs files is done by those who may read them.
Read: TypeAlias = Callable[[object], object]


def _as_it_is(value: object) -> object:
    return value


def fill(text: str, evaluate: Callable[[str], str]) -> str:
    """Return `text` with each ``{{ expression }}`` replaced by what `evaluate` returns for it."""
    return "".join(piece if isinstance(piece, str) else evaluate(piece.source) for piece in pieces(text))


def message(text: str, value_of: Callable[[str], object]) -> Message:
    """Return the user message of `text`, with each ``{{ expression }}`` replaced by its value.

    An image becomes a part between the text before it and the text after it. Without images the message is plain
    text. Raises `PromptError` if a value cannot be inserted.
    """
    documents: list[Document] = []

    def part(source: str) -> dict[str, Any]:
        value = value_of(source)
        if isinstance(value, Document):
            documents.append(value)
        return _part(source, value)

    found = _of_parts(_text_part(piece) if isinstance(piece, str) else part(piece.source) for piece in pieces(text))
    return replace(found, documents=tuple(documents))


def joined(values: Iterable[object]) -> Message:
    """Return the user message of texts and images, in their order; other values are inserted as `text_of` does.

    Raises `PromptError` if a value cannot be sent.
    """
    sent = list(values)
    found = _of_parts(image_part(value) or _text_part(text_of(value, "value")) for value in sent)
    return replace(found, documents=tuple(value for value in sent if isinstance(value, Document)))


def given(prompt: object, read: Read = _as_it_is) -> Message:
    """Return the user message of a Python value: text, an image, a document, a `Reply`, or a list of them.

    `read` turns the path of a document into a `Document`. Raises `PromptError` for any other value.
    """
    prompt = read(prompt)
    if isinstance(prompt, str):
        return Message("user", str(prompt))
    if isinstance(prompt, (Reply, Document)) or image_part(prompt):
        return joined([prompt])
    if not isinstance(prompt, (list, tuple)):
        raise _not_a_prompt(prompt)
    for part in prompt:
        if part is None or isinstance(part, (bytes, bytearray, memoryview, list, tuple, Mapping, Message)):
            raise _not_a_prompt(part)
    return joined(map(read, prompt))


def _not_a_prompt(value: object) -> PromptError:
    hint = 'To insert a value, put it into a list: chat(["Describe this:", value])'
    if isinstance(value, Mapping) and "content" in value:
        hint = 'Ask its text: chat(message["content"]). A system message is Chat(system=…); the chat keeps the answers.'
    elif isinstance(value, Message):
        hint = "Ask its text: chat(message.content)"
    elif isinstance(value, (bytes, bytearray, memoryview)):
        hint = "Decode it: chat(data.decode()). An image is a Path, a figure, or PIL.Image.open(io.BytesIO(data))."
    elif is_one_of(value, "pathlib.PurePath"):
        hint = "A document is a .pdf, .docx, .html, .md, .txt or .csv file. Read any other: chat(path.read_text())"
    return PromptError(f"A prompt is text, an image, or a list of them, not {type(value).__name__}.", hint)


def _of_parts(found: Iterable[dict[str, Any]]) -> Message:
    """Return the message of `found`, with adjacent texts joined; a message without images is plain text."""
    parts: list[dict[str, Any]] = []
    for part in found:
        if parts and parts[-1]["type"] == part["type"] == "text":
            parts[-1] = _text_part(parts[-1]["text"] + part["text"])
        elif part != _text_part(""):
            parts.append(part)
    if all(part["type"] == "text" for part in parts):
        return Message("user", "".join(part["text"] for part in parts))
    return Message.of_parts("user", parts)


def _text_part(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def _part(source: str, value: object) -> dict[str, Any]:
    try:
        image = image_part(value)
    except PromptError as error:
        raise _failed(source, error) from error
    return _text_part(_text(source, value)) if image is None else image


def _text(source: str, value: object) -> str:
    try:
        return text_of(value, source)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # SystemExit, say: the value's own code runs here
        raise _failed(source, error) from error


def _failed(source: str, error: BaseException) -> PromptError:
    if isinstance(error, (PromptError, SetupError)):
        return PromptError(f"{{{{ {source} }}}}: {error.what}", error.remedy)
    return PromptError(f"{{{{ {source} }}}}: {described(error)}")


def evaluator(names: Mapping[str, Any], read: Read = _as_it_is) -> Callable[[str], str]:
    """Return a function that evaluates an expression among `names` and returns the text of its value, after `read`.

    It raises `PromptError` for what the expression raises, and for an image, which is not text.
    """
    value_of = value_evaluator(names, read)

    def evaluate(source: str) -> str:
        value = value_of(source)
        if is_picture(value):
            raise PromptError(
                f"{{{{ {source} }}}} is an image, and only text can be inserted here.",
                "Insert it into the prompt of a question: the text below %%glm, or after %glm.",
            )
        return _text(source, value)

    return evaluate


def value_evaluator(names: Mapping[str, Any], read: Read = _as_it_is) -> Callable[[str], object]:
    """Return a function that evaluates an expression among `names` and returns its value.

    `read` may change the value, as from the path of a document to its text. The function raises `PromptError` for what
    the expression raises.
    """
    scope = dict(names)

    def value_of(source: str) -> object:
        try:
            code = compile(source, "<template>", "eval")
        except SyntaxError as error:  # it parses, and means something only within a function
            awaits = "await" in error.msg or "asynchronous" in error.msg
            hint = "Await it in a cell before this one, and insert the result." if awaits else ""
            raise PromptError(f"{{{{ {source} }}}}: {error.msg}.", hint) from error
        try:
            return read(eval(code, scope))  # noqa: S307 - the person's own expression, in their own notebook
        except KeyboardInterrupt:
            raise
        except NameError as error:
            missing = getattr(error, "name", None) or ""
            meant = near_miss(missing, (name for name in scope if not name.startswith("_")))
            hint = f"Did you mean {meant}? " if meant else ""
            raise PromptError(f"{{{{ {source} }}}}: {error}.", hint + LITERALLY) from error
        except BaseException as error:  # SystemExit or CancelledError, too
            raise _failed(source, error) from error

    return value_of
