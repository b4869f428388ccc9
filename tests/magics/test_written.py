from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glm_magic.magics.parsing import AskLine, read_ask_line
from glm_magic.magics.written import ask_line, config_line
from glm_magic.settings.layers import Layers


def evaluate(source: str) -> str:
    return str(eval(source))


def read(line: str) -> AskLine:
    return read_ask_line(line.removeprefix("%%glm"), evaluate, is_cell=True)


@pytest.mark.parametrize(
    "typed",
    [
        "%%glm",
        "%%glm -m GLM-4-Plus -t 0.3 -p 0.9 --max-tokens 64",
        "%%glm --stop a --stop '\"' -s \"Be brief, it's late.\"",
        "%%glm -s '' --json -c draft --new -H --no-stream",
        "%%glm --history --no-replay -q --raw --out mood",
        "%%glm -m {{ 'a,b' }}",
        "%%glm -n 3 --each reviews --score right,short --variants --fresh",
        "%%glm -T one,two --approve --max-steps 3 --schema list[City] -f code --bg --dry-run",
        '%%glm --param seed=7 --param user="7" --param a={"b": [1, "c d"]} --param t=\'"7"\'',
    ],
)
def test_a_line_that_was_read_is_written_so_that_it_reads_the_same(typed: str) -> None:
    line = read(typed)
    written = ask_line(line.settings, line)
    assert read(written) == line, written


@given(system=st.text(), stop=st.text(min_size=1), field=st.text())
def test_any_text_survives(system: str, stop: str, field: str) -> None:
    settings = {"system": system, "stop": stop}
    line = read(ask_line(settings, AskLine(extra={"user": field})))
    assert (line.settings, line.extra) == (settings, {"user": field})


def test_only_what_a_cell_can_say_is_a_flag() -> None:
    assert ask_line({"base_url": "http://h/v1", "temperature": None, "approve": False, "top_p": 0.5}) == "%%glm -p 0.5"


def test_a_line_leaves_out_what_holds_anyway() -> None:
    layers = Layers({"GLM_TOP_P": "0.5"}, {}, {"top_p": 0.5, "temperature": 1.0, "model": "a b"})
    assert config_line(layers) == '%glm_config temperature=1 model="a b"'
