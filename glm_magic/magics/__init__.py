"""The hands: the only room that knows IPython."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell


def load(shell: InteractiveShell) -> None:
    """Register the magics with `shell`, in place of those of an earlier load."""
    from glm_magic.magics.glm import GLMMagics  # noqa: PLC0415 - `unload` need not load it

    unload(shell)
    magics = GLMMagics(shell=shell, parent=shell)
    shell.register_magics(magics)
    magics.install()


def unload(shell: InteractiveShell) -> None:
    """Free what the magics hold, and take them out of `shell`."""
    magics = shell.magics_manager.registry.pop("GLMMagics", None)
    if magics is None:
        return
    magics.remove()
    for kind, names in magics.magics.items():
        for name in names:
            shell.magics_manager.magics[kind].pop(name, None)
