"""An answer's text in the form that `format` asks for: as is, its code blocks alone, or the value that its JSON is."""

from __future__ import annotations

from dataclasses import dataclass

from glm_magic.chat import code
from glm_magic.chat.code import fenced
from glm_magic.display.values import value_data
from glm_magic.display.view import Form
from glm_magic.tools.schemas import WRAPPERS, SchemaMismatch, read_json


@dataclass(frozen=True, slots=True)
class Formed:
    """A text as `markdown` (not neutralised yet) and `plain`; a page shows the HTML in `page` instead, if any."""

    markdown: str
    plain: str
    page: str = ""


_NO_CODE = Formed(
    "*The answer has no code blocks; its text is* `_glm.text`", "The answer has no code blocks; its text is _glm.text"
)


def shown_as(form: Form, text: str, *, whole: bool = True) -> Formed:
    """Return `text` in a form. As JSON, text that is incomplete (not `whole`) or does not parse is shown as code."""
    match form:
        case "code":
            shown = Formed(code.only_code(text), code.code(text))
            return _NO_CODE if whole and not shown.plain else shown
        case "json":
            return (_as_value(text) if whole else None) or Formed(_fenced(text), text)
        case _:
            return Formed(text, text)


def _as_value(text: str) -> Formed | None:
    try:
        value = read_json(text)
    except SchemaMismatch:
        return None
    plain = value_data(value)["text/plain"]
    if isinstance(value, dict) and len(value) == 1 and (name := next(iter(value))) in WRAPPERS:
        value = value[name]  # the service wants an object; the user asked for a list or a number
    return Formed(_fenced(plain), plain, value_data(value)["text/html"])


def _fenced(text: str) -> str:
    if text.lstrip().startswith("```"):  # the model did that already
        return text
    return fenced("json", text) if text.strip() else ""
