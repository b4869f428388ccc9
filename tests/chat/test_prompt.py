from urllib.parse import urlsplit

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from glm_magic.chat.images import image_part
from glm_magic.chat.messages import Message
from glm_magic.chat.prompt import evaluator, fill, joined, message, value_evaluator
from glm_magic.chat.templates import Expression, pieces
from glm_magic.errors import PromptError

NAMES = {
    "x": 3.14159,
    "name": "Ada",
    "rows": [{"a": 1}, {"a": 2}],
    "document": "text with {{ api_key }} and }} in it",
    "api_key": "secret",
    "temperature": 0.5,
    "exit_": lambda: exec("raise SystemExit(3)"),
    "red": Image.new("RGB", (4, 3), (255, 0, 0)),
    "blue": Image.new("RGB", (2, 2), (0, 0, 255)),
    "link": urlsplit("https://h.example/a.png"),
}
RED, BLUE = image_part(NAMES["red"]), image_part(NAMES["blue"])


def filled(text):
    return fill(text, evaluator(NAMES))


def content_of(text):
    """What is sent of a prompt: its text, or its parts with each text as itself."""
    content = message(text, value_evaluator(NAMES)).to_api()["content"]
    return content if isinstance(content, str) else [part.get("text", part) for part in content]


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


@pytest.mark.parametrize("expression", ["1 / 0", "rows['a']", "name.missing", "(yield)", "await x", "exit_()"])
def test_an_expression_that_fails_is_an_error_that_names_it(expression):
    with pytest.raises(PromptError) as caught:
        filled(f"{{{{ {expression} }}}}")
    assert expression in caught.value.what


@pytest.mark.parametrize("kind", [RuntimeError, SystemExit, GeneratorExit])
def test_a_value_whose_str_fails_is_an_error(kind):
    class Broken:
        def __str__(self):
            raise kind("no text")

    with pytest.raises(PromptError, match=f"{kind.__name__}: no text"):
        fill("{{ b }}", evaluator({"b": Broken()}))


@pytest.mark.parametrize("expression", ["await x", "[y async for y in x]"])
def test_what_must_be_awaited_is_an_error_that_says_where(expression):
    with pytest.raises(PromptError, match=r"outside") as caught:
        filled(f"{{{{ {expression} }}}}")
    assert "Await it in a cell before" in caught.value.remedy


def test_an_interrupt_while_evaluating_is_no_prompt_error():
    def stop():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fill("{{ stop() }}", evaluator({"stop": stop}))


def test_an_expression_leaves_the_namespace_as_it_was():
    names = {"a": 1}
    assert fill("{{ (b := a + 1) }}", evaluator(names)) == "2"
    assert names == {"a": 1}


# -- images


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("See {{ red }}, please.\n", ["See ", RED, ", please.\n"]),
        ("{{ red }}", [RED]),
        ("{{red}}{{blue}}", [RED, BLUE]),
        ("\n {{ red }}\n\t{{ blue }} \r\n", ["\n ", RED, "\n\t", BLUE, " \r\n"]),
        ("{{ name }} and {{ x }} {{ red }}{{ '' }}", ["Ada and 3.14159 ", RED]),
        ("{{ '' }}{{ red }}{{ name }}!", [RED, "Ada!"]),
        ("{{ link }}?", [{"type": "image_url", "image_url": {"url": "https://h.example/a.png"}}, "?"]),
        ("{{ link.geturl() }}?", "https://h.example/a.png?"),
        ("{{ [red] and 'none' }}", "none"),
    ],
)
def test_an_image_is_a_part_between_the_texts_around_it_which_stay_as_typed(text, expected):
    assert content_of(text) == expected


def test_the_text_of_a_prompt_with_images_says_where_they_stand():
    said = message("Which of {{ red }} and {{ blue }} is {{ name }}'s?", value_evaluator(NAMES))
    assert said == Message.of_parts("user", said.parts)
    assert said.content == "Which of [image 4×3 png] and [image 2×2 png] is Ada's?"


@given(st.text(), st.lists(st.text() | st.integers()))
def test_a_prompt_without_images_is_its_text(before, values):
    text = before.replace("{", "") + "".join(f"{{{{ values[{at}] }}}}," for at in range(len(values)))
    names = {"values": values}
    assert message(text, value_evaluator(names)) == Message("user", fill(text, evaluator(names)))


def test_a_value_of_a_message_is_evaluated_once_and_only_after_all_parses():
    seen = []
    assert message("{{ a }}-{{ b }}", lambda source: seen.append(source) or "v").content == "v-v"
    assert seen == ["a", "b"]
    with pytest.raises(PromptError):
        message("{{ a }} {{ b", lambda source: pytest.fail(f"{source} was evaluated"))


def test_texts_and_images_are_joined_as_they_come():
    values = ["See ", NAMES["red"], " at ", 7, ": {{ x }}", NAMES["blue"], ""]
    see, red, at, blue = joined(values).parts
    assert (see["text"], red, at["text"], blue) == ("See ", RED, " at 7: {{ x }}", BLUE)
    assert joined(["a", 1, ""]) == Message("user", "a1")
    assert joined([]) == Message("user", "")


def test_an_image_that_cannot_be_sent_is_an_error_that_names_its_expression():
    with pytest.raises(PromptError, match=r"^\{\{ red\.resize\(\(7000, 1\)\) \}\}: The image is 7000×1 px") as caught:
        content_of("{{ red.resize((7000, 1)) }}")
    assert "thumbnail" in caught.value.remedy


@pytest.mark.parametrize(("expression", "fault"), [("temprature", "not defined"), ("1 / 0", "ZeroDivisionError")])
def test_a_message_has_the_errors_of_its_expressions(expression, fault):
    with pytest.raises(PromptError, match=fault) as caught:
        content_of(f"{{{{ {expression} }}}}")
    assert expression in caught.value.what


def test_a_value_of_a_message_whose_str_fails_is_an_error():
    class Broken:
        def __str__(self):
            raise RuntimeError("no text")

    with pytest.raises(PromptError, match=r"\{\{ b \}\}: RuntimeError: no text"):
        message("{{ b }}", value_evaluator({"b": Broken()}))


def test_a_value_whose_text_is_cut_is_an_error_that_names_its_expression():
    names = {"numbers": np.arange(5_000)}
    for ask in (lambda: message("{{ numbers * 2 }}", value_evaluator(names)), lambda: evaluator(names)("numbers * 2")):
        with pytest.raises(PromptError, match=r"^\{\{ numbers \* 2 \}\}: str\(\) of this ndarray leaves") as caught:
            ask()
        assert "{{ (numbers * 2).tolist() }}" in caught.value.remedy


def test_where_only_text_can_stand_a_picture_is_an_error_that_says_where_it_goes():
    with pytest.raises(PromptError, match=r"\{\{ red \}\} is an image") as caught:
        filled("{{ red }}")
    assert "%%glm" in caught.value.remedy


def test_where_only_text_can_stand_a_path_and_an_address_are_text(tmp_path):
    path = tmp_path / "a.png"
    NAMES["red"].save(path)
    assert fill("{{ path }}", evaluator({"path": path})) == str(path)
    assert filled("{{ link }}") == str(NAMES["link"])
