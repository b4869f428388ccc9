import inspect

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glm_magic.chat.prompt import evaluator
from glm_magic.errors import GlmError, OptionError, PromptError, SettingError
from glm_magic.magics.config import CONFIG_OPTIONS
from glm_magic.magics.glm import GLMMagics
from glm_magic.magics.history import HISTORY_OPTIONS
from glm_magic.magics.options import ASK_OPTIONS, Asked, assignments, read_asked, read_words

NAMES = {"model": "GLM-4-Plus", "two": "two words -q", "d": {"a b": "x y"}, "t": 0.5}


def evaluate(source):
    return evaluator(NAMES)(source)


def options_table(options):
    """The options as lines of a docstring."""
    return "\n".join(f"    {option.usage:<32} {option.help}" for option in options)


def cell(line):
    return read_asked(line, evaluate, is_cell=True)


def line(text):
    return read_asked(text, evaluate, is_cell=False)


SAYS = [
    ("-m GLM-4-Plus", Asked(settings={"model": "GLM-4-Plus"})),
    ("--model glm-4.6", Asked(settings={"model": "glm-4.6"})),
    ("-t 0.2", Asked(settings={"temperature": 0.2})),
    ("--temperature 1", Asked(settings={"temperature": 1.0})),
    ("-p 0.9", Asked(settings={"top_p": 0.9})),
    ("--top-p .5", Asked(settings={"top_p": 0.5})),
    ("--max-tokens 5", Asked(settings={"max_tokens": 5})),
    ("--stop END", Asked(settings={"stop": "END"})),
    ('-s "be brief"', Asked(settings={"system": "be brief"})),
    ('--system ""', Asked(settings={"system": ""})),
    ("--param seed=7", Asked(extra={"seed": 7})),
    ("--json", Asked(json=True)),
    ("--schema list[City]", Asked(schema="list[City]")),
    ("-T one", Asked(settings={"tools": "one"})),
    ("--tool one,two -T three", Asked(settings={"tools": "one,two,three"})),
    ("--approve", Asked(settings={"approve": True})),
    ("--max-steps 3", Asked(settings={"max_steps": 3})),
    ("--no-stream", Asked(stream=False)),
    ("-c other", Asked(chat="other")),
    ("--chat other", Asked(chat="other")),
    ("--new", Asked(new=True)),
    ("--no-history", Asked(history=False)),
    ("--role system", Asked(role="system")),
    ("--role user", Asked()),
    ("-o r", Asked(out="r")),
    ("--out r", Asked(out="r")),
    ("-f text", Asked(settings={"format": "text"})),
    ("--format markdown", Asked(settings={"format": "markdown"})),
    ("--bg", Asked(background=True)),
    ("--replay", Asked(replay=True)),
    ("--no-replay", Asked(replay=False)),
    ("-N", Asked(dry_run=True)),
    ("--dry-run", Asked(dry_run=True)),
    ("-q", Asked(quiet=True)),
    ("--quiet", Asked(quiet=True)),
    ("--raw", Asked(raw=True)),
]


@pytest.mark.parametrize(("text", "asked"), [("", Asked()), ("   ", Asked()), *SAYS])
def test_an_option_sets_what_it_says_and_nothing_else(text, asked):
    assert cell(text) == asked
    assert line(text) == asked


def test_every_option_is_said_above():
    said = {text.split()[0] for text, _ in SAYS}
    assert {name for option in ASK_OPTIONS for name in (option.flag, f"-{option.short}") if name != "-"} == said


def test_the_docstring_shows_the_options_as_they_are_declared():
    shown = [text.strip() for text in inspect.getdoc(GLMMagics.glm).splitlines() if text.startswith("    -")]
    assert shown == [text.strip() for text in options_table(ASK_OPTIONS).splitlines()]


def test_the_docstring_lines_up_as_the_table_does():
    table = "\n".join(text[4:] for text in options_table(ASK_OPTIONS).splitlines())
    assert "\n".join(f"    {text}" for text in table.splitlines()) in inspect.getdoc(GLMMagics.glm)


@pytest.mark.parametrize(
    "text",
    ["-t0.2", "-t 0.2", "-t=0.2", "--temperature=0.2", '-t "0.2"', '--temperature="0.2"', "-t\t0.2", "-t '0.2' "],
)
def test_a_value_may_be_written_in_any_usual_way(text):
    assert cell(text).settings == {"temperature": 0.2}


def test_options_may_be_given_together_and_the_last_of_a_kind_counts():
    asked = cell("-m GLM-4-Plus -t 0 -t 0.5 -q --param a=1 --param b=x")
    assert asked == Asked(settings={"model": "GLM-4-Plus", "temperature": 0.5}, quiet=True, extra={"a": 1, "b": "x"})


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('"be  brief"', "be  brief"),
        ("'be \"brief\"'", 'be "brief"'),
        ('"it\'s"', "it's"),
        ("be' 'brief", "be brief"),
        ('"a"b', "ab"),
        (r"C:\new\table", r"C:\new\table"),
        (r'"a\"', "a\\"),
        (r"\n", r"\n"),
        ("$HOME", "$HOME"),
        ("{model}", "{model}"),
        ("a=b=c", "a=b=c"),
        ("-q", "-q"),
        ("--", "--"),
        ("中文", "中文"),
    ],
)
def test_quotes_group_and_are_removed_and_all_else_is_literal(text, value):
    assert cell(f"-s {text}").settings == {"system": value}
    assert cell(f"--system={text}").settings == {"system": value}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("-s {{ two }}", "two words -q"),
        ("-s{{ two }}", "two words -q"),
        ("--system={{ two }}", "two words -q"),
        ("-s <{{two}}|{{ model }}>", "<two words -q|GLM-4-Plus>"),
        ('-s {{ d["a b"] }}', "x y"),
        ('-s "{{ d["a b"] }} z"', "x y z"),
        ("-s '{{ two }}'", "two words -q"),
        (r'-s {{ "\n" }}', "\n"),
        ('-s {{ "{{ model }}" }}', "{{ model }}"),
        ("-s {{ {'a': {}}['a'] }}", "{}"),
    ],
)
def test_a_template_in_a_value_is_one_value_and_never_split(text, value):
    assert cell(text).settings == {"system": value}


@pytest.mark.parametrize("text", ["-m{{ model }}", "-m {{ model }}", "-m={{ model }}", "--model={{ model }}"])
def test_a_template_beside_its_option_is_its_value(text):
    assert line(f"{text} hi there") == Asked(settings={"model": "GLM-4-Plus"}, prompt="hi there")


@pytest.mark.parametrize("text", ["--model{{ model }} x", "-q{{ model }}", "--quiet{{ model }}", "{{ model }}"])
def test_a_template_that_is_no_value_is_an_error(text):
    with pytest.raises(OptionError):
        cell(text)


def test_a_template_that_fails_is_an_error_before_anything_is_sent():
    with pytest.raises(PromptError, match="'modle' is not defined"):
        cell("-m {{ modle }}")
    with pytest.raises(PromptError):
        cell("-m {{ model")


@pytest.mark.parametrize("text", ['-s "open', "-s 'open", "-s it's", '--system="open'])
def test_an_open_quote_is_an_error(text):
    with pytest.raises(OptionError, match="is not closed"):
        cell(text)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("--temprature 1", "--temperature"),
        ("--temp 1", ""),
        ("--max-token 5", "--max-tokens"),
        ("--top_p 1", "--top-p"),
        ("--histroy", ""),
        ("--no-histroy", "--no-history"),
        ("--mod x", ""),
        ("--dry", ""),
        ("-x", ""),
        ("-Nq", ""),
        ("---", ""),
    ],
)
def test_an_unknown_or_abbreviated_option_is_an_error_with_the_near_miss(text, meant):
    with pytest.raises(OptionError, match=f"%%glm has no option {text.split()[0]}\\.") as caught:
        cell(text)
    assert caught.value.remedy
    assert meant in caught.value.remedy


@pytest.mark.parametrize(
    "text", ["-m a,b", "-t 0,0.5", "--top-p=0.1,0.2", "--max-tokens 5,6", "-t0,1", "-m a,", "-m ,"]
)
def test_a_comma_list_is_refused(text):
    with pytest.raises(OptionError, match="takes one value, not a list"):
        cell(text)


def test_a_comma_in_a_text_or_a_template_is_no_list():
    assert cell("-s a,b --stop , -m {{ 'a,b' }}").settings == {"system": "a,b", "stop": ",", "model": "a,b"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("-t 2", "--temperature takes a number from 0 to 1"),
        ("-t hot", "--temperature takes a number from 0 to 1"),
        ("-p nan", "--top-p takes a number from 0 to 1"),
        ("--max-tokens 0", "--max-tokens takes a whole number"),
        ("-f html", "--format takes markdown or text"),
        ('-m ""', "--model is empty"),
    ],
)
def test_a_wrong_value_is_an_error_that_names_the_option(text, words):
    with pytest.raises(SettingError, match=words):
        cell(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("-t", "-t needs a value"),
        ("-q --system", "--system needs a value"),
        ("--quiet=yes", "--quiet takes no value"),
        ("--role boss", "--role takes user or system or assistant"),
        ("-o 1x", "--out needs a Python name"),
        ("-o for", "--out needs a Python name"),
        ("-o a.b", "--out needs a Python name"),
        ('-c ""', "--chat needs a name"),
        ("--param seed", "KEY=VALUE"),
        ("--param temperature=1", "--param does not set 'temperature'"),
        ("--param messages=[]", "--param does not set 'messages'"),
        ("--param stream=false", "--param does not set 'stream'"),
        ('--param x={"a"', "begins as JSON"),
        ("--role system --no-history", "--no-history leaves it out"),
        ("hello", "options alone; 'hello' is none"),
        ("-q hello there", "options alone; 'hello' is none"),
        ("'-q'", "options alone"),
        ("for <<", "NAME << needs a Python name"),
        ("--new <<", "options alone; '<<' is none"),
    ],
)
def test_a_line_that_says_nothing_sensible_is_an_error_that_says_why(text, words):
    with pytest.raises(OptionError, match=words):
        cell(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('--param thinking={"type":"off"}', None),
        ('--param \'thinking={"type": "off"}\'', {"type": "off"}),
        ('--param thinking={{ \'{"type": "off"}\' }}', {"type": "off"}),
        ("--param=thinking=off", "off"),
        ('--param "thinking=a b"', "a b"),
    ],
)
def test_a_field_of_the_request_is_json_or_text(text, value):
    if value is None:  # the quotes are gone, so it is no JSON any more
        with pytest.raises(OptionError, match="begins as JSON"):
            cell(text)
    else:
        assert cell(text).extra == {"thinking": value}


@pytest.mark.parametrize("text", ["r <<", "r<<", "-q r <<", "-q r<< ", "-s 'a b' r <<", "-o x r <<"])
def test_a_name_before_two_signs_is_bound(text):
    asked = cell(text)
    assert asked.out == ("x" if "-o" in text else "r")
    assert asked.quiet == ("-q" in text)


def test_in_a_line_two_signs_are_part_of_the_prompt():
    assert line("r <<") == Asked(prompt="r <<")


@pytest.mark.parametrize(
    "prompt",
    [
        "hi",
        "it's fine, isn't it?",
        'say "hi',
        "a\\b\\",
        "what is -t for?",
        "tail  spaces  ",
        "1 <<",
        "{{ model }} {x} $y",
        "- item",
        "-",
        "'-q' quoted",
        '"-q" quoted',
        "?",
        "help??",
        "{{ open",
    ],
)
def test_the_rest_of_a_line_is_the_prompt_verbatim(prompt):
    assert line(prompt) == Asked(prompt=prompt)
    assert line(f"-q -t0.2   {prompt}") == Asked(settings={"temperature": 0.2}, quiet=True, prompt=prompt)
    assert line(f"-q -- {prompt}") == Asked(quiet=True, prompt=prompt)


@pytest.mark.parametrize("prompt", ["-x", "--new", "-- x", "-t 0.2", "-5 degrees"])
def test_after_two_dashes_nothing_is_an_option(prompt):
    assert line(f"-- {prompt}") == Asked(prompt=prompt)


def test_two_dashes_end_the_options_of_a_cell_as_well():
    assert cell("-q --") == Asked(quiet=True)
    with pytest.raises(OptionError, match="'-q' is none"):
        cell("-- -q")


def test_a_line_names_itself_in_its_errors():
    with pytest.raises(OptionError, match=r"^%glm has no option --x"):
        line("--x hi")


@given(st.text())
def test_any_line_is_read_or_refused(text):
    for is_cell in (True, False):
        try:
            asked = read_asked(text, lambda source: source, is_cell=is_cell)
        except GlmError:
            continue
        assert text.endswith(asked.prompt)


@given(st.text().filter(lambda text: "{{" not in text and '"' not in text))
def test_any_text_in_quotes_is_the_value_as_it_is(text):
    assert cell(f'-s "{text}"').settings == {"system": text}


def test_assignments_are_names_with_or_without_values():
    words = read_words('temperature=0.3 stop="a b" model system={{ two }} x=')
    assert list(assignments(words, evaluate)) == [
        ("temperature", "0.3"),
        ("stop", "a b"),
        ("model", None),
        ("system", "two words -q"),
        ("x", ""),
    ]


@pytest.mark.parametrize(
    ("magic", "options"), [(GLMMagics.glm_config, CONFIG_OPTIONS), (GLMMagics.glm_history, HISTORY_OPTIONS)]
)
def test_the_other_magics_show_their_options_too(magic, options):
    shown = {line.strip() for line in magic.__doc__.splitlines()}
    assert {line.strip() for line in options_table(options).splitlines()} <= shown
