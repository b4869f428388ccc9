"""The panel of a chat: its turns with ticks, and the context window as a bar."""

from __future__ import annotations

import traitlets

from glm_magic.display.page.over import Over, script


class Turns(Over):
    """The turns of a chat. The page asks to ``tick`` one by `number`: `ticked` or not."""

    _esm = script("over.js", "turns.js")
    _css = script("controls.css", "turns.css")

    state = traitlets.Dict().tag(sync=True)
