"""The tables of notebooks/reference.md, generated from the declarations: `python tests/readme.py` writes them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from glm_magic.magics.option import Option
from glm_magic.magics.options import ASK_OPTIONS, CONFIG_OPTIONS, HISTORY_OPTIONS
from glm_magic.notebook import bundle
from glm_magic.protocol.models import MODELS
from glm_magic.settings.declared import SETTINGS

FORMATS = Path(bundle.__file__).parent
ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
REFERENCE = ROOT / "notebooks" / "reference.md"


def tables() -> dict[str, str]:
    """Return each table by the name of its markers."""
    return {
        "options": _options(ASK_OPTIONS),
        "settings": _table(
            ("setting", "meaning", "value", "default", "variable"),
            (
                (
                    f"`{s.name}`",
                    s.help,
                    s.range or "text",
                    "" if s.default is None else f"`{s.written(s.default)}`",
                    ", ".join(f"`{name}`" for name in s.variables),
                )
                for s in SETTINGS.values()
            ),
        ),
        "config": _options(CONFIG_OPTIONS),
        "history": _options(HISTORY_OPTIONS),
        "turn": _fields(_schema("turn")),
        "comparison": _fields(_schema("comparison")),
        "run": _fields(_schema("comparison")["$defs"]["answered"]),
        "models": _table(
            ("model", "context window", "maximum output", "list price", "thinking", "images"),
            (
                (
                    f"`{m.name}`",
                    *("" if size is None else f"{size:,}" for size in (m.context, m.output)),
                    "" if m.price is None else str(m.price),
                    ", ".join(m.thinking),
                    "yes" if m.sees else "",
                )
                for m in MODELS.values()
            ),
        ),
    }


def _schema(kind: str) -> dict[str, Any]:
    return json.loads((FORMATS / f"{kind}.schema.json").read_text(encoding="utf-8"))


def _fields(schema: dict[str, Any]) -> str:
    fields = schema["properties"].items()
    return _table(("field", "meaning"), ((f"`{name}`", field["description"]) for name, field in fields))


def _options(options: Iterable[Option]) -> str:
    return _table(("option", "meaning"), ((f"`{option.usage}`", option.help) for option in options))


def _table(columns: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [columns, ("---",) * len(columns), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def with_tables(text: str) -> str:
    """Return the reference's text with every table up to date."""
    for name, table in tables().items():
        start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
        before, after = text.partition(start)[0], text.partition(end)[2]
        if not (before and after):
            raise ValueError(f"{REFERENCE.name} has no markers for the table {name!r}")
        text = f"{before}{start}\n{table}\n{end}{after}"
    return text


if __name__ == "__main__":
    REFERENCE.write_text(with_tables(REFERENCE.read_text(encoding="utf-8")), encoding="utf-8")
