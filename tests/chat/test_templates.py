import ast
import re
import warnings

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from glm_magic.chat import templates
from glm_magic.chat.templates import Expression, expression_end, names_in, open_expression, pieces
from glm_magic.errors import PromptError

TOKENS = [*"{}'\"\\#\n a1:[](),=", "{{", "}}", "'''", '"""', "f'", 'rf"', 'b"', "!r"]


def first_that_parses(text):
    """What the contract says, word by word: the shortest text before a }} that parses."""
    for close in re.finditer(r"(?=\}\})", text[2:]):
        source = text[2 : 2 + close.start()].strip()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                ast.parse(source, mode="eval")
            except (SyntaxError, ValueError):
                continue
        return Expression(source), 2 + close.start() + 2
    return None


@given(st.lists(st.sampled_from(TOKENS), max_size=16).map("".join))
@example("f'{a:{'}}'}}'}}' }}")
@example("'}}' # }} it's")
@example("# }}\na }}")
@example('f"{ {1: {2: 3}}[1] }" }}')
@example("f'{{' }}")
@example("f'{a!r:}}}' }}")
@example("rf'\\{a}' }}")
@example('"""\n"}}""" }}')
@example("'a\n' }}")
@pytest.mark.filterwarnings("ignore")
def test_an_expression_ends_at_the_first_braces_at_which_it_parses(text):
    try:
        found = expression_end("{{" + text, 0)
    except PromptError:
        found = None
    assert found == first_that_parses("{{" + text)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("{{ a b }} and {{ c", "invalid syntax"),
        ("{{ [a }} and {{ (c }}", r"'\[' was never closed"),
        ("{{ 'a }} and {{ c }}", "unterminated string"),
        ("{{ a } }} and {{ c", "unmatched|does not match"),
    ],
)
def test_the_first_fault_is_named(text, fault):
    with pytest.raises(PromptError, match=fault) as caught:
        pieces(text)
    assert caught.value.what.startswith("Line 1: ")


@pytest.mark.parametrize(
    "text",
    [
        "{{ a b " + "}} {{ x " * 20_000,
        "{{ [" + " }}" * 50_000,
        '{{ "' + "}}" * 50_000,
        "{{ #" + "}}\n#" * 40_000,
    ],
    ids=["an error in code", "an open bracket", "an open quote", "comments"],
)
def test_text_with_an_open_template_is_parsed_once(text, monkeypatch):
    parsed = []
    fault_of = templates._fault
    monkeypatch.setattr(templates, "_fault", lambda source: parsed.append(source) or fault_of(source))
    with pytest.raises(PromptError):
        pieces(text)
    assert len(parsed) <= 1
    assert sum(map(len, parsed)) < len(text)


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("", None),
        ("prose { x", None),
        ("{{", ""),
        ("{{ x", "x"),
        ("{{\n  x.y", "x.y"),
        ("{{ x }", None),
        ("{{ x }} and", None),
        ("{{ x }} and {{ y", "y"),
        ("{{ no python }} and {{ y", "y"),
        ("{{ d['}}", "d['}}"),
        ("{{ {'a': {'b': 1}}, y", "{'a': {'b': 1}}, y"),
        ("{{ f'{x:{{y", "f'{x:{{y"),
        ("{{ 'it\n", None),
        ("\\frac{{a}{b}} {{ y", "y"),
        ("{{ x # about", "x # about"),
    ],
)
def test_the_expression_in_which_a_text_ends(text, source):
    assert open_expression(text) == source


def test_the_names_that_a_text_reads_are_those_of_the_notebook() -> None:
    text = "{{ b }} {{ [y for y in rows if y > low] }} {{ f'{z:.2f}' }} {{ len(b) }} {{ (lambda a: a + c)(1) }} {d}"
    assert names_in(text) == ("b", "rows", "low", "z", "c")
    with pytest.raises(PromptError):
        names_in("{{ a }} {{")
