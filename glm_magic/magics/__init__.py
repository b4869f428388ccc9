"""The hands: the only room that knows IPython."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

_KEPT = "glm_magic"  # in the shell's place for what extensions remember


def load(shell: InteractiveShell) -> None:
    """Register the magics with `shell`; what an earlier load kept goes on.

    Raises `CellError` if this very cell asks a question that IPython has taken for a request for help.
    """
    from glm_magic.magics.glm import GLMMagics  # noqa: PLC0415 - `unload` need not load it

    is_first_load = "GLMMagics" not in shell.magics_manager.registry
    unload(shell)
    magics = GLMMagics(shell=shell, parent=shell, kept=shell.meta.pop(_KEPT, None))
    shell.register_magics(magics)
    magics.install()
    if is_first_load:
        magics.check_this_cell()


def unload(shell: InteractiveShell) -> None:
    """Free what the magics hold, and take them out of `shell`; conversations and settings are kept for a later load."""
    magics = shell.magics_manager.registry.pop("GLMMagics", None)
    if magics is None:
        return
    magics.remove()
    shell.meta[_KEPT] = magics.kept
    for kind, names in magics.magics.items():
        for name in names:
            shell.magics_manager.magics[kind].pop(name, None)
