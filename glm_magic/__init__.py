"""Work out prompts in a notebook: the `%%glm` cell magic and what belongs to it.

``%load_ext glm_magic`` loads it; `Chat` and `compare` ask from Python, and `MCP` has
the tools of others. Nothing heavy is imported before it is needed.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from glm_magic.version import __version__

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from glm_magic import scores
    from glm_magic.api import Chat, compare
    from glm_magic.service.mcp import MCP

__all__ = ["MCP", "Chat", "__version__", "compare", "load_ipython_extension", "scores", "unload_ipython_extension"]


def __getattr__(name: str) -> object:
    if name in ("Chat", "compare"):
        return getattr(importlib.import_module("glm_magic.api"), name)
    if name == "MCP":
        return importlib.import_module("glm_magic.service.mcp").MCP
    if name == "scores":
        return importlib.import_module("glm_magic.scores")
    raise AttributeError(f"module 'glm_magic' has no attribute {name!r}")


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Register the magics (``%load_ext glm_magic``)."""
    from glm_magic.magics import load  # noqa: PLC0415 - only where there is a shell

    load(shell)


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """Take the magics back, and free what they hold (``%unload_ext glm_magic``)."""
    from glm_magic.magics import unload  # noqa: PLC0415

    unload(shell)
