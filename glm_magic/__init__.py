"""Work out prompts in a notebook: the `%%glm` cell magic and what belongs to it.

``%load_ext glm_magic`` loads it. Nothing heavy is imported before a cell needs it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from glm_magic.version import __version__

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__all__ = ["__version__", "load_ipython_extension", "unload_ipython_extension"]


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Register the magics (``%load_ext glm_magic``)."""
    from glm_magic.magics import load  # noqa: PLC0415 - only where there is a shell

    load(shell)


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """Take the magics back, and free what they hold (``%unload_ext glm_magic``)."""
    from glm_magic.magics import unload  # noqa: PLC0415

    unload(shell)
