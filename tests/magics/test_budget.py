from __future__ import annotations

from pathlib import Path

import pytest
from glm_server import calls, stream
from ipython_shell import Notebook

from glm_magic.errors import OverBudget, OverWindow

PRICES = "model,input,output,cached,currency\nGLM-4-Air,1000,1000,,CNY\nGLM-4-Flash,0,0,,CNY\n"
COUNTED = {"prompt_tokens": 6, "completion_tokens": 4, "total_tokens": 10}


def said(notebook: Notebook) -> str:
    """Return what the page says, in one line."""
    return " ".join(notebook.page.text.split())


@pytest.fixture
def priced(notebook: Notebook, tmp_path: Path) -> Notebook:
    (tmp_path / "prices.csv").write_text(PRICES)
    notebook.run(f"%glm_config prices={tmp_path / 'prices.csv'}")
    return notebook


def test_what_would_pass_the_budget_is_refused_before_it_is_sent(priced: Notebook) -> None:
    priced.run("%glm_config budget=0.03")
    with pytest.raises(OverBudget) as caught:
        priced.run("%%glm --max-tokens 100\nhi")
    assert caught.value.what.startswith(
        "This request would pass the budget of 0.03 CNY: 0.000000 CNY are spent, and 0.1"
    )
    assert not priced.server.requests
    priced.server.answer(stream("ho", usage=COUNTED))
    priced.run("%%glm --max-tokens 10\nhi")
    priced.run("%glm_config budget=0.02")
    with pytest.raises(OverBudget, match="CNY are spent"):
        priced.run("%%glm --max-tokens 30\nhi")
    priced.run("%glm -m GLM-4-Flash what costs nothing is sent")
    priced.run("%glm_config --reset budget")
    priced.run("%%glm --max-tokens 30\nhi")
    assert len(priced.server.requests) == 3


def test_a_round_of_tools_that_would_pass_the_budget_is_not_sent(priced: Notebook) -> None:
    priced.run("def f():\n    '''Return much.'''\n    return 'word ' * 400")
    priced.run("%glm_config budget=0.1")
    priced.server.answer(calls(("f", {})))
    with pytest.raises(OverBudget):
        priced.run("%%glm -T f --max-tokens 10\nhi")
    assert len(priced.server.requests) == 1


def test_a_price_that_is_not_known_is_said_and_not_counted(notebook: Notebook) -> None:
    notebook.run("%glm_config budget=0")
    notebook.run("%glm -N hi")
    assert "its price is not known, so the budget does not count it" in said(notebook)
    notebook.run("%glm hi")
    assert "cost unknown, not counted in the budget" in said(notebook)
    notebook.run("%glm_history")
    assert "This kernel: 1 request, 7 tokens in, 5 out, 1 of unknown cost." in said(notebook)


def test_the_history_says_what_this_kernel_has_spent(priced: Notebook) -> None:
    priced.run("%glm_history")
    assert "This kernel" not in said(priced)
    priced.server.answer(stream("ho", usage=COUNTED))
    priced.run("%glm hi")
    priced.run("%glm_history")
    assert "This kernel: 1 request, 6 tokens in, 4 out, 0.010000 CNY." in said(priced)


def test_what_cannot_fit_the_window_is_refused_with_the_turns_to_skip(notebook: Notebook) -> None:
    notebook.run("%%glm --role assistant\n{{ 'word ' * 3_000 }}", "short")
    notebook.run("%%glm --role assistant\n{{ 'word ' * 20_000 }}", "long")
    with pytest.raises(OverWindow) as caught:
        notebook.run("%%glm -m GLM-4-AirX\nhi", "asking")
    assert "does not fit the context window of GLM-4-AirX, 8,192 tokens: it has about 28," in caught.value.what
    assert caught.value.remedy.splitlines()[1:] == ["%glm_history --skip 2"]
    assert not notebook.server.requests
    notebook.run("%glm_history --skip 2")
    notebook.run("%%glm -m GLM-4-AirX\nhi", "asking")
    assert len(notebook.server.requests) == 1


def test_turns_of_another_chat_are_named_with_it(notebook: Notebook) -> None:
    for cell in ("long", "longer"):
        notebook.run("%%glm -c draft --role assistant\n{{ 'word ' * 20_000 }}", cell)
    with pytest.raises(OverWindow) as caught:
        notebook.run("%%glm -c draft -m GLM-4-AirX\nhi", "asking")
    assert caught.value.remedy.splitlines()[1:] == [
        '%glm_history -c "draft" --skip 1',
        '%glm_history -c "draft" --skip 2',
    ]


def test_a_prompt_that_is_too_long_by_itself_says_so(notebook: Notebook) -> None:
    with pytest.raises(OverWindow, match="Shorten the prompt"):
        notebook.run("%%glm -m GLM-4-AirX\n{{ 'word ' * 20_000 }}")
    notebook.run("%%glm -m unknown-window\n{{ 'word ' * 20_000 }}")
    assert len(notebook.server.requests) == 1


def test_a_dry_run_shows_tokens_by_turn_what_is_skipped_and_the_estimate_with_its_error(notebook: Notebook) -> None:
    notebook.run("%glm one", "a")
    notebook.run("%glm two", "b")
    notebook.run("%glm three", "c")
    notebook.run("%glm_history --skip 2")
    notebook.run("%%glm -N -s Briefly.\nnow", "d")
    page = said(notebook)
    assert "Tokens: system ~2, turn 1 ~5, turn 3 ~6, this prompt ~1" in page
    assert "Not sent: turn 2 (%glm_history --unskip TURN)" in page
    assert "tokens (±" in page
    assert "and an answer of about 5" in page
    assert "not yet compared" not in page


def test_a_dry_run_says_that_it_would_be_refused(priced: Notebook) -> None:
    priced.run("%glm_config budget=0.01")
    priced.run("%%glm -N\nhi")
    assert "It would be refused. This request would pass the budget of 0.01 CNY" in said(priced)
    assert "not yet compared with a count of this model" in said(priced)


def test_an_answer_of_the_recording_costs_nothing(priced: Notebook, tmp_path: Path) -> None:
    priced.run(f"%glm_config record={tmp_path / 'a.jsonl'}")
    priced.run("%glm hi")
    priced.restart()
    priced.run(f"%glm_config replay={tmp_path / 'a.jsonl'} budget=0 prices={tmp_path / 'prices.csv'}")
    assert priced.run("%glm hi").replayed


def test_a_comparison_stops_at_the_budget(priced: Notebook) -> None:
    priced.run("%glm_config budget=0.05")
    with pytest.raises(OverBudget, match="These 3 requests would pass the budget"):
        priced.run("%%glm -n 3 --max-tokens 20\nhi")
    assert not priced.server.requests


def test_a_comparison_that_has_its_answers_needs_no_budget(priced: Notebook) -> None:
    priced.run("%%glm -n 2 --max-tokens 20\nhi", "a")
    priced.run("%glm_config budget=0")
    assert len(priced.run("%%glm -n 2 --max-tokens 20\nhi", "a")) == 2
    assert len(priced.server.requests) == 2
