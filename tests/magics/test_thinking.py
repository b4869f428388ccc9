from __future__ import annotations

import pytest
from glm_server import stream
from ipython_shell import Notebook

from glm_magic import Chat
from glm_magic.errors import OptionError, SettingError

COUNTED = {
    "prompt_tokens": 40,
    "completion_tokens": 30,
    "total_tokens": 70,
    "prompt_tokens_details": {"cached_tokens": 32},
    "completion_tokens_details": {"reasoning_tokens": 20},
}


@pytest.mark.parametrize(
    ("line", "sent"),
    [
        ("-m glm-4.6 --think off", {"thinking": {"type": "disabled"}}),
        ("-m glm-5.3 --think high", {"reasoning_effort": "high"}),
        ("-m my-model --think low", {"reasoning_effort": "low"}),
        ("""-m glm-4.6 --param 'thinking={"type": "enabled"}'""", {"thinking": {"type": "enabled"}}),
    ],
)
def test_the_level_reaches_the_body_as_the_model_takes_it(notebook: Notebook, line: str, sent: dict) -> None:
    body = notebook.sent(f"%%glm {line}\nhi").body
    assert {name: value for name, value in body.items() if name in ("thinking", "reasoning_effort")} == sent


def test_a_field_of_the_cell_takes_the_place_of_the_setting(notebook: Notebook) -> None:
    notebook.run("%glm_config thinking=high model=glm-5.3")
    body = notebook.sent("""%%glm --param 'thinking={"type": "disabled"}'\nhi""").body
    assert body["thinking"] == {"type": "disabled"}
    assert "reasoning_effort" not in body


@pytest.mark.parametrize(
    ("line", "kind", "said"),
    [
        ("--think on", SettingError, "GLM-4-Air does not think"),
        (
            "-m glm-4.6 --think hihg",
            SettingError,
            "--think takes off or on or low or medium or high or max, not 'hihg'",
        ),
        ("-m glm-5.3 --think on --param reasoning_effort=low", OptionError, "say the same thing twice"),
    ],
)
def test_what_does_not_fit_is_said_before_anything_is_sent(
    notebook: Notebook, line: str, kind: type[Exception], said: str
) -> None:
    with pytest.raises(kind, match=said):
        notebook.run(f"%%glm {line}\nhi")
    assert not notebook.server.requests


def test_the_line_says_the_level_and_the_tokens_that_were_cached_and_thought(notebook: Notebook) -> None:
    notebook.server.answer(stream("ho", usage=COUNTED, model="glm-4.6"))
    reply = notebook.run("%%glm -m glm-4.6 --think on\nhi")
    assert "think on" in notebook.page.text
    assert "40 in (32 cached), 30 out (20 thinking)" in notebook.page.text
    assert (reply.usage.cached_tokens, reply.usage.reasoning_tokens) == (32, 20)


def test_a_chat_from_python_thinks_too(notebook: Notebook) -> None:
    Chat(model="glm-4.6", thinking="off")("hi")
    assert notebook.server.last.body["thinking"] == {"type": "disabled"}
