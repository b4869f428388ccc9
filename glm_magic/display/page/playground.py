"""The playground: a prompt, its names and its parameters as controls, and the last attempts beside each other."""

from __future__ import annotations

import traitlets

from glm_magic.display.page.over import Over, script


class Playground(Over):
    """The playground of one cell.

    The page asks to ``set`` and ``reset`` a knob, to take a ``preset`` and to ``settle`` the output as in the panel; to
    ``run`` and to ``insert`` a `prompt`, to ``stop``, and for the ``diff`` of two attempts. `prompt` is what the box
    holds, also on another page that shows it.
    """

    _esm = script("over.js", "knobs.js", "playground.js")
    _css = script("controls.css", "playground.css")

    prompt = traitlets.Unicode().tag(sync=True)
    rows = traitlets.List(traitlets.Dict()).tag(sync=True)
    models = traitlets.List(traitlets.Dict()).tag(sync=True)
    presets = traitlets.List(traitlets.Unicode()).tag(sync=True)
    fields = traitlets.List(traitlets.Dict()).tag(sync=True)
    line = traitlets.Unicode().tag(sync=True)
    fault = traitlets.Unicode().tag(sync=True)
    running = traitlets.Bool().tag(sync=True)
    attempts = traitlets.List(traitlets.Dict()).tag(sync=True)
