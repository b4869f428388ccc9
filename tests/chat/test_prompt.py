import pytest
from hypothesis import given
from hypothesis import strategies as st

from glm_magic.chat.prompt import Expression, evaluator, fill, pieces
from glm_magic.errors import PromptError

NAMES = {
    "x": 3.14159,
    "name": "Ada",
    "rows": [{"a": 1}, {"a": 2}],
    "document": "text with {{ api_key }} and }} in it",
    "api_key": "secret",
    "temperature": 0.5,
}


def filled(text):
    return fill(text, evaluator(NAMES))


@pytest.mark.parametrize(
    "text",
    [
        "",
        '{"a": 1, "b": {"c": [2]}}',
        "$x and $$\\frac{a}{b}$$",
        "back\\slash \\n \\{ %s %(a)s {0} {name}",
        ">>> print(1)\n... 2\n",
        "    indented\n\ttabbed\n  \n",
        "trailing space  \r\nand a carriage return\r",
        "{% for a in b %}{# comment #}{% endfor %}",
        "f(){ return {}; }",
        "a }} b",
        "{ {x} }",
        "\u2028 \x0b \x0c 中文 😀 \x00",
    ],
)
def test_text_without_doubled_braces_goes_out_as_typed(text):
    assert filled(text) == text


@given(st.text(alphabet=st.characters() | st.sampled_from("{}%#$\\ \n")).filter(lambda text: "{{" not in text))
def test_any_text_without_doubled_braces_comes_out_identical(text):
    assert filled(text) == text


@given(st.text(), st.text().filter(lambda text: "{" not in text), st.text().filter(lambda text: "{" not in text))
def test_a_value_of_any_text_is_inserted_as_it_is(value, before, after):
    assert fill(before + "{{ v }}" + after, evaluator({"v": value})) == before + value + after


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hello {{ name }}!", "Hello Ada!"),
        ("{{name}}{{name}}", "AdaAda"),
        ('{{ f"{x:.2f}" }}', "3.14"),
        ('{{f"{x:.2f}"}}', "3.14"),
        ('{{ {"a": {"b": 1}} }}', "{'a': {'b': 1}}"),
        ('{{{"a": {"b": 1}}}}', "{'a': {'b': 1}}"),
        ("{{ {1} }}", "{1}"),
        ("{{{1}}}", "{1}"),
        ("{{ {**{'k': {}}}['k'] }}", "{}"),
        ('{{ f"{ {1: {2: 3}}[1] }" }}', "{2: 3}"),
        ("{{ '}}' }}", "}}"),
        ('{{ "{{" }}', "{{"),
        ('{{ "{{ name }}" }}', "{{ name }}"),
        ("{{ [row['a'] for row in rows] }}", "[1, 2]"),
        ("{{ name.upper()\n  }}", "ADA"),
        ("{{ (lambda a: a | 1)(2) }}", "3"),
        ("{{ 1 }} }}", "1 }}"),
        ("{{ 'a\\nb' }}", "a\nb"),
        ("\\frac{{{x:1}}}", "\\frac{3.14159: 1}"),
    ],
)
def test_the_shortest_expression_that_parses_is_inserted(text, expected):
    assert filled(text) == expected


def test_an_inserted_value_is_not_scanned_again():
    assert filled("Read: {{ document }}") == "Read: text with {{ api_key }} and }} in it"


def test_an_expression_is_evaluated_once():
    seen = []
    assert fill("{{ a }}-{{ b }}", lambda source: seen.append(source) or "v") == "v-v"
    assert seen == ["a", "b"]


def test_what_does_not_parse_is_an_error_before_anything_is_evaluated():
    with pytest.raises(PromptError):
        fill("{{ a }} {{ b", lambda source: pytest.fail(f"{source} was evaluated"))


def test_text_and_expressions_are_told_apart():
    assert pieces("a {{ b }}{{ c }} d") == ["a ", Expression("b"), Expression("c"), " d"]
    assert pieces("") == []


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("{{ a", "it has no }}"),
        ("{{ }}", "it is empty"),
        ("{{}}", "it is empty"),
        ("\\frac{{a b}}{c}", r"\{\{a b"),
        ("{{ a }", "it has no }}"),
        ("{{ a = 1 }}", "is not a Python expression"),
        ("{{ \x00 }}", "is not a Python expression"),
        pytest.param("{{ " + "(" * 2000 + ")" * 2000 + " }}", "is not a Python expression", id="nested too deeply"),
    ],
)
def test_what_does_not_parse_is_an_error_that_says_how_to_write_braces(text, fault):
    with pytest.raises(PromptError, match=fault) as caught:
        filled(text)
    assert "--raw" in caught.value.remedy
    assert '{{ "{{" }}' in caught.value.remedy


def test_a_parse_error_names_the_line():
    with pytest.raises(PromptError, match=r"^Line 3: .\{\{ a b"):
        filled("one\ntwo\n{{ a b }}\nfour")


def test_an_undefined_name_is_an_error_with_the_near_miss():
    with pytest.raises(PromptError, match=r"\{\{ temprature \}\}.*'temprature' is not defined") as caught:
        filled("{{ temprature }}")
    assert "Did you mean temperature?" in caught.value.remedy


def test_an_undefined_name_that_resembles_none_still_says_how_to_write_braces():
    with pytest.raises(PromptError) as caught:
        filled("{{ qqqq }}")
    assert "Did you mean" not in caught.value.remedy
    assert "--raw" in caught.value.remedy


@pytest.mark.parametrize("expression", ["1 / 0", "rows['a']", "name.missing", "(yield)", "await x"])
def test_an_expression_that_fails_is_an_error_that_names_it(expression):
    with pytest.raises(PromptError) as caught:
        filled(f"{{{{ {expression} }}}}")
    assert expression in caught.value.what


def test_a_value_whose_str_fails_is_an_error():
    class Broken:
        def __str__(self):
            raise RuntimeError("no text")

    with pytest.raises(PromptError, match="RuntimeError: no text"):
        fill("{{ b }}", evaluator({"b": Broken()}))


def test_an_interrupt_while_evaluating_is_no_prompt_error():
    def stop():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fill("{{ stop() }}", evaluator({"stop": stop}))


def test_an_expression_leaves_the_namespace_as_it_was():
    names = {"a": 1}
    assert fill("{{ (b := a + 1) }}", evaluator(names)) == "2"
    assert names == {"a": 1}
