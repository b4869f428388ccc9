import inspect

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glm_magic.chat.prompt import evaluator
from glm_magic.errors import GlmError, OptionError, PromptError, SettingError
from glm_magic.magics.glm import GLMMagics
from glm_magic.magics.option import Given
from glm_magic.magics.options import ASK_OPTIONS, CONFIG_OPTIONS, HISTORY_OPTIONS
from glm_magic.magics.parsing import AskLine, assignments, read_ask_line
from glm_magic.magics.words import read_words
from glm_magic.settings.declared import SETTINGS

NAMES = {"model": "GLM-4-Plus", "two": "two words -q", "d": {"a b": "x y"}, "t": 0.5}


def evaluate(source):
    return evaluator(NAMES)(source)


def options_table(options):
    """The options as lines of a docstring."""
    return "\n".join(f"    {option.usage:<32} {option.help}" for option in options)


def cell(line):
    return read_ask_line(line, evaluate, is_cell=True)


def line(text):
    return read_ask_line(text, evaluate, is_cell=False)


SAYS = [
    ("-m GLM-4-Plus", AskLine(settings={"model": "GLM-4-Plus"})),
    ("--model glm-4.6", AskLine(settings={"model": "glm-4.6"})),
    ("-t 0.2", AskLine(settings={"temperature": 0.2})),
    ("--temperature 1", AskLine(settings={"temperature": 1.0})),
    ("-p 0.9", AskLine(settings={"top_p": 0.9})),
    ("--top-p .5", AskLine(settings={"top_p": 0.5})),
    ("--max-tokens 5", AskLine(settings={"max_tokens": 5})),
    ("--stop END", AskLine(settings={"stop": "END"})),
    ("--think off", AskLine(settings={"thinking": "off"})),
    ("-w terse", AskLine(presets=("terse",))),
    ("--preset terse", AskLine(presets=("terse",))),
    ('-s "be brief"', AskLine(settings={"system": "be brief"})),
    ('--system ""', AskLine(settings={"system": ""})),
    ("--param seed=7", AskLine(extra={"seed": 7})),
    ("--json", AskLine(json=True)),
    ("--schema list[City]", AskLine(schema="list[City]")),
    ("-T one", AskLine(settings={"tools": "one"})),
    ("--tool one,two -T three", AskLine(settings={"tools": "one,two,three"})),
    ("--approve", AskLine(settings={"approve": True})),
    ("--max-steps 3", AskLine(settings={"max_steps": 3})),
    ("--concurrency 8", AskLine(settings={"concurrency": 8})),
    ("--no-stream", AskLine(stream=False)),
    ("-c other", AskLine(chat="other")),
    ("--chat other", AskLine(chat="other")),
    ("--new", AskLine(new=True)),
    ("--no-history", AskLine(history=False)),
    ("-H", AskLine(history=False)),
    ("--history", AskLine(history=True)),
    ("--role system", AskLine(role="system")),
    ("--role user", AskLine()),
    ("-o r", AskLine(out="r")),
    ("--out r", AskLine(out="r")),
    ("-f text", AskLine(settings={"format": "text"})),
    ("--format markdown", AskLine(settings={"format": "markdown"})),
    ("--interact", AskLine(interact=True)),
    ("--bg", AskLine(background=True)),
    ("--replay", AskLine(replay=True)),
    ("--no-replay", AskLine(replay=False)),
    ("--repeat 3", AskLine(repeats=3)),
    ("-n 3", AskLine(repeats=3)),
    ("--variants", AskLine(variants=True)),
    ("--each reviews", AskLine(each="reviews")),
    ("--score right,short", AskLine(scores=("right", "short"))),
    ("--batch -n 2", AskLine(batch=True, repeats=2)),
    ("--until-decided --score f", AskLine(until_decided=True, scores=("f",))),
    ("--margin 0.1 --score f", AskLine(margin=0.1, scores=("f",))),
    ("--blind -n 2", AskLine(blind=True, repeats=2)),
    ("--executor pool -n 2", AskLine(executor="pool", repeats=2)),
    ("--fresh -n 2", AskLine(fresh=True, repeats=2)),
    ("--yes -n 2", AskLine(yes=True, repeats=2)),
    ("-N", AskLine(dry_run=True)),
    ("--dry-run", AskLine(dry_run=True)),
    ("-q", AskLine(quiet=True)),
    ("--quiet", AskLine(quiet=True)),
    ("--raw", AskLine(raw=True)),
]


@pytest.mark.parametrize(("text", "asked"), [("", AskLine()), ("   ", AskLine()), *SAYS])
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


@pytest.mark.parametrize(
    "text", ["-t 0 -t 0.5", "-t 0 --temperature=0", "-q -q", "-m a -m b", "--json --json", "-o a -o b"]
)
def test_an_option_that_takes_one_value_is_not_given_twice(text):
    with pytest.raises(OptionError, match="is given twice"):
        cell(text)


def test_a_field_is_not_given_twice():
    with pytest.raises(OptionError, match="--param a is given twice"):
        cell("--param a=1 --param b=2 --param a=3")


def test_stop_words_add_up():
    assert cell("--stop END").settings == {"stop": "END"}
    assert cell('--stop END --stop "a, b" --stop ""').settings == {"stop": ("END", "a, b", "")}


def test_options_may_be_given_together():
    asked = cell("-m GLM-4-Plus -t 0.5 -q --param a=1 --param b=x")
    assert asked == AskLine(settings={"model": "GLM-4-Plus", "temperature": 0.5}, quiet=True, extra={"a": 1, "b": "x"})


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
    assert line(f"{text} hi there") == AskLine(settings={"model": "GLM-4-Plus"}, prompt="hi there")


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
    ("text", "axes"),
    [
        ("-m a,b", {"model": ("a", "b")}),
        ("-t 0,0.5", {"temperature": (0.0, 0.5)}),
        ("-t0,1", {"temperature": (0.0, 1.0)}),
        ("-t '0, 1'", {"temperature": (0.0, 1.0)}),
        ("--top-p=0.1,0.2", {"top_p": (0.1, 0.2)}),
        ("--max-tokens 5,6", {"max_tokens": (5, 6)}),
        ("-s a -s '' -s b,c", {"system": ("a", "", "b,c")}),
    ],
)
def test_several_values_are_compared(text, axes):
    assert cell(text) == AskLine(axes=axes)
    assert cell(text).compares


@pytest.mark.parametrize("text", ["-m a,", "-m ,", "-t 0,,1", "--max-tokens ,5", "--score a,,b"])
def test_an_empty_item_of_a_list_is_refused(text):
    with pytest.raises(OptionError, match=r"has an empty|needs a name, or several"):
        cell(text)


def test_expressions_in_a_system_message_wait_for_their_row():
    asked = cell("-s 'Of {{ two }}' --each reviews -m {{ model }}")
    assert asked.settings == {"system": "Of {{ two }}", "model": "GLM-4-Plus"}


def test_a_comma_in_a_text_or_a_template_is_no_list():
    assert cell("-s a,b --stop , -m {{ 'a,b' }}").settings == {"system": "a,b", "stop": ",", "model": "a,b"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("-t 3", "--temperature takes a number from 0 to 2"),
        ("-t hot", "--temperature takes a number from 0 to 2"),
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
        ("--param n=2", "Use -n"),
        ('--param x={"a"', "begins as JSON"),
        ("--role system --no-history", "--no-history leaves it out"),
        ("-H --history", "cannot be combined"),
        ("hello", "'hello' is not one"),
        ("-q hello there", "'hello' is not one"),
        ("'-q'", "Only options may follow"),
        ("for <<", "NAME << needs a Python name"),
        ("--new <<", "'<<' is not one"),
    ],
)
def test_a_line_that_says_nothing_sensible_is_an_error_that_says_why(text, words):
    with pytest.raises(OptionError, match=words):
        cell(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('--param thinking={"type":"off"}', {"type": "off"}),
        ('--param thinking={"type": "it\'s } [ off"}', {"type": "it's } [ off"}),
        ('--param=thinking={"a": [1, {"b": "\\\\\\""}]}', {"a": [1, {"b": '\\"'}]}),
        ('--param thinking=[1, "a b"]', [1, "a b"]),
        ('--param thinking={"m": "{{ model }}", "t": [{{ t }}]}', {"m": "GLM-4-Plus", "t": [0.5]}),
        ("--param thinking={}", {}),
        ("--param thinking={'type':'off'}", None),
        ('--param thinking={"type":"off"}x', None),
        ('--param \'thinking={"type": "off"}\'', {"type": "off"}),
        ('--param thinking={{ \'{"type": "off"}\' }}', {"type": "off"}),
        ("--param=thinking=off", "off"),
        ('--param "thinking=a b"', "a b"),
    ],
)
def test_a_field_of_the_request_is_json_or_text(text, value):
    if value is None:
        with pytest.raises(OptionError, match="begins as JSON"):
            cell(text)
    else:
        assert cell(text).extra == {"thinking": value}


@pytest.mark.parametrize("text", ["r <<", "r<<", "-q r <<", "-q r<< ", "-s 'a b' r <<"])
def test_a_name_before_two_signs_is_bound(text):
    asked = cell(text)
    assert asked.out == "r"
    assert asked.quiet == ("-q" in text)


def test_the_reply_is_bound_to_one_name():
    with pytest.raises(OptionError, match="cannot be combined: --out and r <<"):
        cell("-o x r <<")


def test_in_a_line_two_signs_are_part_of_the_prompt():
    assert line("r <<") == AskLine(prompt="r <<")


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
    assert line(prompt) == AskLine(prompt=prompt)
    assert line(f"-q -t0.2   {prompt}") == AskLine(settings={"temperature": 0.2}, quiet=True, prompt=prompt)
    assert line(f"-q -- {prompt}") == AskLine(quiet=True, prompt=prompt)


@pytest.mark.parametrize("prompt", ["-x", "--new", "-- x", "-t 0.2", "-5 degrees"])
def test_after_two_dashes_nothing_is_an_option(prompt):
    assert line(f"-- {prompt}") == AskLine(prompt=prompt)


def test_two_dashes_end_the_options_of_a_cell_as_well():
    assert cell("-q --") == AskLine(quiet=True)
    with pytest.raises(OptionError, match="'-q' is not one"):
        cell("-- -q")


def test_a_line_names_itself_in_its_errors():
    with pytest.raises(OptionError, match=r"^%glm has no option --x"):
        line("--x hi")


@given(st.text())
def test_any_line_is_read_or_refused(text):
    for is_cell in (True, False):
        try:
            asked = read_ask_line(text, lambda source: source, is_cell=is_cell)
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


def param(text):
    """What `--param` adds to the request."""
    (option,) = (option for option in ASK_OPTIONS if option.flag == "--param")
    return option.filled_by((Given(text),))


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("seed=7", "seed", 7),
        ("do_sample=false", "do_sample", False),
        ("x=null", "x", None),
        ('thinking={"type": "disabled"}', "thinking", {"type": "disabled"}),
        ('user_id="7"', "user_id", "7"),
        ("user_id=ada", "user_id", "ada"),
        ("user_id=a=b", "user_id", "a=b"),
        ("user_id=", "user_id", ""),
        ("note= two words ", "note", " two words "),
        ("x=NaN", "x", "NaN"),
        ("x=-Infinity", "x", "-Infinity"),
        ("x=1e999", "x", "1e999"),
        ("x=1.5e3", "x", 1500.0),
        ("x=1 2", "x", "1 2"),
    ],
)
def test_a_value_is_json_where_it_parses_and_else_text(text, name, value):
    read = param(text)
    assert read == {name: value}
    assert type(read[name]) is type(value)


@pytest.mark.parametrize("text", ['x={"a": 1', "x=[1, 2", 'x="open', "x= {a: 1}", "x=[NaN]", 'x={"a": 1e999}'])
def test_a_value_that_begins_as_json_must_be_json(text):
    with pytest.raises(OptionError, match="begins as JSON but is not"):
        param(text)


@pytest.mark.parametrize("text", ["seed", "=7", " =7", ""])
def test_a_field_needs_a_name_and_a_value(text):
    with pytest.raises(OptionError, match="KEY=VALUE"):
        param(text)


@pytest.mark.parametrize("name", ["model", "temperature", "top_p", "max_tokens", "stop", "messages", "stream"])
def test_a_field_that_is_said_in_another_way_is_refused_and_the_way_is_named(name):
    with pytest.raises(OptionError, match=repr(name)) as caught:
        param(f"{name}=1")
    if name in SETTINGS:
        assert SETTINGS[name].flag in caught.value.remedy
    assert caught.value.remedy


def test_what_follows_json_is_read_as_before():
    assert line('--param a={"b": 1} -q {"c": "d"} and [').prompt == '{"c": "d"} and ['
    assert cell('-s x={"a" -q').settings == {"system": "x={a"}


QUOTES = ["“”", "‘’", "„“", "«»", "‹›", "＂＂", "＇＇", "〝〞", "「」", "『』", "｢｣"]


@pytest.mark.parametrize(("begins", "ends"), QUOTES)
@pytest.mark.parametrize(
    "text", ["-s {}brief{}", "-s {}be brief{}", "-s{}be brief{}", "--system={}brief{}", "--param a={}b{}"]
)
def test_a_typographic_quote_is_an_error_that_names_it(text, begins, ends):
    for read in (cell, line):
        with pytest.raises(OptionError, match=rf"{begins} \(U\+{ord(begins):04X}, .*does not quote") as caught:
            read(text.format(begins, ends))
        assert "straight quotes" in caught.value.remedy


def test_a_typographic_quote_within_a_word_in_quotes_or_inserted_is_text():
    assert cell("-s l\u2019été").settings == {"system": "l\u2019été"}
    assert cell("-s \"\u201cbrief\u201d\" --stop '\u201d'").settings == {
        "system": "\u201cbrief\u201d",
        "stop": "\u201d",
    }
    assert cell("-s {{ '\u201c' }}").settings == {"system": "\u201c"}
    assert line("-q \u201chi\u201d he said").prompt == "\u201chi\u201d he said"


@pytest.mark.parametrize("dash", ["‐", "‑", "‒", "–", "—", "―", "−", "﹘", "﹣", "－"])
def test_a_typographic_dash_is_an_error_that_names_it(dash):
    for read in (cell, line):
        for text, meant in [("t 0.5", "-t"), ("t0.5", "-t"), ("temperature=0.5", "--temperature"), ("q", "-q")]:
            with pytest.raises(OptionError, match=rf"\(U\+{ord(dash):04X}, .*is not a hyphen.*{meant}\."):
                read(f"{dash}{text}")
            with pytest.raises(OptionError, match=f"is not a hyphen.*{meant}\\."):
                read(f"-N {dash}{dash}{text}")


def test_a_dash_that_is_no_option_is_the_prompt():
    assert line("\u2013 item").prompt == "\u2013 item"
    assert line("\u2013then what").prompt == "\u2013then what"
    assert line("-- \u2013t 0.5").prompt == "\u2013t 0.5"


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        ("-s You are a pirate", '-s "You are a pirate"'),
        ("--system=You are", '--system "You are"'),
        ('-t 0 -s Say "no"', "-s 'Say \"no\"'"),
        ("-temperature 0.2", "--temperature"),
        ("-max-tokens 5", "--max-tokens"),
    ],
)
def test_a_slip_in_an_option_is_named_as_what_it_is(options: str, hint: str) -> None:
    with pytest.raises(OptionError) as caught:
        cell(options)
    assert hint in caught.value.remedy


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("temperature = 0.3", "temperature=0.3"),
        ("temperature =0.3", "temperature=0.3"),
        ("top_p=1 temperature= 0.3", "temperature=0.3"),
        ("system=You are a pirate", 'system="You are a pirate"'),
    ],
)
def test_a_slip_in_an_assignment_is_named_as_what_it_is(text: str, hint: str) -> None:
    with pytest.raises(OptionError) as caught:
        list(assignments(read_words(text), evaluate))
    assert caught.value.remedy.endswith(f": {hint}")


def test_a_value_and_a_name_after_it_are_two_things() -> None:
    said = list(assignments(read_words("system=short temperature model"), evaluate))
    assert said == [("system", "short"), ("temperature", None), ("model", None)]
