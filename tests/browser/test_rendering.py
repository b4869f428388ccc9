"""Neutralised and in segments, a harmless answer looks as it would as one document that is neither."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from corpus import ANSWERS, UNEQUAL
from glm_server import GlmServer, stream

if TYPE_CHECKING:
    from lab import Lab

pytestmark = pytest.mark.browser

A_CELL = 15  # answers: JupyterLab shows 50 outputs of a cell

# The HTML of each output below a cell, of Markdown, and "" for a line about an answer.
# JupyterLab numbers headings and gives them anchors when it comes to it, and MathJax numbers what it has set.
RENDERED = r"""index => [...document.querySelectorAll(
    `.jp-Notebook .jp-Cell[data-windowed-list-index='${index}'] .jp-OutputArea-output`
)].map(output => {
    if (!output.classList.contains('jp-RenderedMarkdown')) return '';
    const copy = output.cloneNode(true);
    for (const added of copy.querySelectorAll('.numbering-entry, .jp-InternalAnchorLink')) added.remove();
    for (const heading of copy.querySelectorAll('[data-jupyter-id]')) heading.removeAttribute('data-jupyter-id');
    for (const maths of copy.querySelectorAll('mjx-container')) {
        maths.replaceWith('maths:' + (maths.querySelector('mjx-assistive-mml')?.innerHTML ?? '?').replace(/\s+/g, ' '));
    }
    copy.normalize();
    return copy.innerHTML.replace(/>\s+</g, '><').trim();
})"""
SETTLED = r"""() => {
    const html = [...document.querySelectorAll('.jp-OutputArea-output')].map(output => output.innerHTML).join('');
    const same = window.glmSeen === html;
    window.glmSeen = html;
    return same;
}"""


def rendered(lab: Lab, index: int) -> list[str]:
    """Each answer below a cell: the HTML of its segments together."""
    answers: list[str] = []
    for html in lab.page.evaluate(RENDERED, index):
        if html and answers:
            answers[-1] += html
        elif not html:
            answers.append("")
    return answers


def test_an_answer_looks_as_one_plain_document_would(lab: Lab, server: GlmServer) -> None:
    texts_of = {**ANSWERS, **{name: text for name, (text, _) in UNEQUAL.items()}}
    names = [*texts_of]
    rows = [names[at : at + A_CELL] for at in range(0, len(names), A_CELL)]
    cells = [f"%load_ext glm_magic\n%glm_config base_url={server.url} model=GLM-4-Air"]
    imports = "import json\nfrom IPython.display import HTML, Markdown, display"
    for row in rows:
        texts = json.dumps([texts_of[name] for name in row])
        cells += [
            f"for name in {row!r}:\n    get_ipython().run_line_magic('glm', '--no-history ' + name)",
            f"{imports}\nfor text in json.loads({texts!r}):\n    display(HTML('<hr>'), Markdown(text))",
        ]
    lab.open_new("rendering", *cells)
    lab.run_cell(0)
    ours: dict[str, str] = {}
    plain: dict[str, str] = {}
    for at, row in enumerate(rows):
        server.answer(*(stream(*in_deltas(texts_of[name])) for name in row))
        lab.run_cell(2 * at + 1, 2 * at + 2)
    lab.wait_for(lambda: (lab.page.wait_for_timeout(300), lab.page.evaluate(SETTLED))[1], "the maths")
    for at, row in enumerate(rows):
        ours |= zip(row, rendered(lab, 2 * at + 1), strict=True)
        plain |= zip(row, rendered(lab, 2 * at + 2), strict=True)
    unequal = {name for name in names if ours[name] != plain[name]}
    assert unequal - {*UNEQUAL} == set()
    assert {*UNEQUAL} - unequal == set(), "no exceptions any more"
    assert all(ours.values())


def in_deltas(text: str) -> list[str]:
    size = 7 if len(text) < 2000 else 97
    return [text[at : at + size] for at in range(0, len(text), size)]
