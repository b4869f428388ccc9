"""The parameter panel: a knob for each setting, the key, and the lines that say the same."""

from __future__ import annotations

import traitlets

from glm_magic.display.page.over import Over, script


class Panel(Over):
    """The panel of a kernel: all its outputs show the same, and change together.

    The page asks to ``set`` a knob by `name` to a `text` (None: not set), to ``reset`` one, to take a ``preset``, to
    ``keep`` what is set as one, to ``settle`` the outputs, and to ``login`` with a `key`. The key is in that one
    message alone: a trait would be saved.
    """

    _esm = script("over.js", "knobs.js", "panel.js")
    _css = script("controls.css")

    rows = traitlets.List(traitlets.Dict()).tag(sync=True)
    models = traitlets.List(traitlets.Dict()).tag(sync=True)
    presets = traitlets.List(traitlets.Unicode()).tag(sync=True)
    lines = traitlets.Dict().tag(sync=True)
    status = traitlets.Unicode().tag(sync=True)
    spent = traitlets.Unicode().tag(sync=True)
