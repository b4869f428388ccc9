"""Comparisons, as they are used: cells, their grids, and what is asked."""

from __future__ import annotations

import json
import signal
import threading
from collections import Counter
from typing import Any

import pytest
from glm_server import Answer, Received, calls, error, stream
from ipython_shell import Notebook
from waiting import comes_true

from glm_magic.errors import GlmError, Interrupted, OptionError, PromptError
from glm_magic.notebook.bundle import MIME_TYPE as TURN
from glm_magic.notebook.comparison import MIME_TYPE

REVIEWS = [{"text": "Lovely.", "label": "good"}, {"text": "Broken.", "label": "bad"}]


def by_prompt(request: Received) -> Answer:
    """Answer with what was asked, and under which temperature."""
    body = request.body
    return stream(f"{body['messages'][-1]['content']} at {body.get('temperature')}", model=body["model"])


@pytest.fixture
def asked(notebook: Notebook) -> Notebook:
    notebook.server.echo = by_prompt
    return notebook


def texts(comparison: Any) -> list[str]:
    return [run.text for run in comparison]


# --- axes ----------------------------------------------------------------------------------------


def test_comma_lists_multiply(asked: Notebook) -> None:
    found = asked.run("%%glm -m GLM-4-Air,GLM-4-Plus -t 0,0.5,1 -n 2\nhi", "a")
    assert len(found) == 12
    sent = Counter((r.body["model"], r.body["temperature"]) for r in asked.server.requests)
    assert sent == {(m, t): 2 for m in ("GLM-4-Air", "GLM-4-Plus") for t in (0.0, 0.5, 1.0)}
    assert [column.label for column in found.columns] == ["A", "B", "C", "D", "E", "F"]
    assert texts(found)[:4] == ["hi at 0.0", "hi at 0.0", "hi at 0.5", "hi at 0.5"]


def test_system_messages_that_are_given_again_are_compared(asked: Notebook) -> None:
    found = asked.run("%%glm -s 'Be brief.' -s \"\" -s 'Be kind.'\nhi", "a")
    systems = {dict(r.messages).get("system") for r in asked.server.requests}
    assert systems == {"Be brief.", None, "Be kind."}
    assert len(found.columns) == 3


def test_wordings_share_what_stands_before_the_first(asked: Notebook) -> None:
    found = asked.run("%%glm --variants\nText: x\n--- short\nSum up.\n--- long  name\nSum up\nin detail.\n", "a")
    assert texts(found) == ["Text: x\nSum up. at None", "Text: x\nSum up\nin detail.\n at None"]
    assert [column.variant for column in found.columns] == ["short", "long  name"]


@pytest.mark.parametrize(
    "table", ["reviews", "dict(text=['Lovely.', 'Broken.'], label=['good', 'bad'])", "frame", "polar"]
)
def test_each_row_is_asked_about_with_its_columns_as_names(asked: Notebook, table: str) -> None:
    import pandas as pd
    import polars as pl

    asked.shell.user_ns |= {"reviews": REVIEWS, "frame": pd.DataFrame(REVIEWS), "polar": pl.DataFrame(REVIEWS)}
    asked.run(f"table = {table}", "t")
    found = asked.run("%%glm --each table -s 'Of {{ row[\"label\"] }}'\n{{ text.upper() }}", "a")
    assert texts(found) == ["LOVELY. at None", "BROKEN. at None"]
    assert sorted(dict(r.messages)["system"] for r in asked.server.requests) == ["Of bad", "Of good"]


def test_earlier_turns_are_sent_with_each_run_and_nothing_enters_the_history(asked: Notebook) -> None:
    asked.run("%glm first", "a")
    asked.run("%%glm -t 0,1\nsecond", "b")
    for request in asked.server.requests[1:]:
        assert [text for _, text in request.messages] == ["first", "first at None", "second"]
    assert [text for _, text in asked.sent("%glm third", "c").messages] == ["first", "first at None", "third"]


WRONG = [
    ("-t 0,,1", OptionError, "empty item"),
    ("-t 0,0", OptionError, "compares 0.0 twice"),
    ("-t 0,7", Exception, "from 0 to"),
    ("-n 0", OptionError, "whole number of at least 1"),
    ("--each nothing", OptionError, "no nothing in this notebook"),
    ("--each empty", OptionError, "has no rows"),
    ("--each words", OptionError, "not a table"),
    ("--each uneven", OptionError, "different lengths"),
    ("--fresh", OptionError, "compares nothing"),
    ("-n 2 --role system", OptionError, "--role asks nothing"),
    ("-n 2 --approve", OptionError, "--approve"),
    ("-n 10001", OptionError, "10,001 requests"),
    ("--variants", PromptError, "needs wordings"),
]


@pytest.mark.parametrize(("options", "kind", "said"), WRONG)
def test_what_cannot_be_compared_is_said_before_anything_is_sent(
    asked: Notebook, options: str, kind: type[Exception], said: str
) -> None:
    asked.run("empty, words, uneven = [], 'abc', dict(a=[1], b=[1, 2])", "t")
    with pytest.raises(kind, match=said):
        asked.run(f"%%glm {options}\nhi", "a")
    assert asked.server.requests == []


@pytest.mark.parametrize("body", ["--- a\nx\n--- a\ny", "--- a\nx\n--- b\nx", "--- a\n\n--- b\ny", "---  \nx"])
def test_wordings_need_names_and_texts_of_their_own(asked: Notebook, body: str) -> None:
    with pytest.raises(PromptError):
        asked.run(f"%%glm --variants\n{body}", "a")
    assert asked.server.requests == []


@pytest.mark.parametrize("value", ["None", "float('nan')"])
def test_a_row_without_a_value_is_named_before_anything_is_sent(asked: Notebook, value: str) -> None:
    asked.run(f"rows = [dict(text='x'), dict(text={value})]", "t")
    with pytest.raises(PromptError, match="Row 2 has nothing in its column text"):
        asked.run("%%glm --each rows\n{{ text }}", "a")
    with pytest.raises(PromptError, match=r"Row 1: .*absent"):
        asked.run("%%glm --each rows\n{{ absent }}", "a")
    assert asked.server.requests == []


def test_a_dry_run_counts_the_requests_and_shows_the_first(asked: Notebook) -> None:
    asked.run("%%glm -t 0,1 -n 3\nhi", "a")
    sent = len(asked.server.requests)
    asked.run("%%glm -t 0,1,0.5 -n 3 -N\nhi", "a")
    assert len(asked.server.requests) == sent
    assert "3 configurations × 3 repeats: 9 requests, 6 of them kept already" in asked.page.text
    assert '"temperature": 0.0' in asked.page.text


def test_presets_are_compared_and_the_cells_own_options_are_stronger(asked: Notebook) -> None:
    asked.run("%glm_config temperature=0.9 max_tokens=7", "s")
    asked.run("%glm_config --save-preset hot", "s")
    asked.run("%glm_config temperature=0.1 max_tokens=9", "s")
    asked.run("%glm_config --save-preset cold", "s")
    found = asked.run("%%glm -w hot,cold --max-tokens 5\nhi", "a")
    assert texts(found) == ["hi at 0.9", "hi at 0.1"]
    assert {request.body["max_tokens"] for request in asked.server.requests} == {5}
    assert [column.preset for column in found.columns] == ["hot", "cold"]
    with pytest.raises(OptionError, match="compares hot twice"):
        asked.run("%%glm -w hot,hot\nhi", "a")


# --- it only grows -------------------------------------------------------------------------------


def test_running_again_asks_only_what_is_missing(asked: Notebook) -> None:
    first = texts(asked.run("%%glm -t 0,1 -n 2\nhi", "a"))
    assert len(asked.server.requests) == 4
    again = asked.run("%%glm -t 0,1 -n 2\nhi", "a")
    assert texts(again) == first
    assert len(asked.server.requests) == 4
    asked.run("%%glm -t 0,1,0.5 -n 3\nhi", "a")
    assert len(asked.server.requests) == 9
    asked.run("%%glm -t 0,1 -n 2 --fresh\nhi", "a")
    assert len(asked.server.requests) == 13


def test_two_equal_rows_are_two_runs(asked: Notebook) -> None:
    asked.run("rows = [dict(x='a'), dict(x='a')]", "t")
    asked.run("%%glm --each rows\n{{ x }}", "a")
    assert len(asked.server.requests) == 2
    asked.run("rows.append(dict(x='a'))", "t")
    asked.run("%%glm --each rows\n{{ x }}", "a")
    assert len(asked.server.requests) == 3


def test_a_failure_stands_in_its_place_and_is_asked_again(notebook: Notebook) -> None:
    def respond(request: Received) -> Answer:
        is_hot = request.body["temperature"] == 1.0
        return error(400, {"error": {"code": "1214", "message": "no"}}) if is_hot else by_prompt(request)

    notebook.server.echo = respond
    found = notebook.run("%%glm -t 0,1\nhi", "a")
    assert [run.state for run in found] == ["done", "failed"]
    assert [run.spot for run in found.failed] == [(0, 1, 0)]
    assert "no" in notebook.page.text
    notebook.server.echo = by_prompt
    notebook.server.requests.clear()
    found = notebook.run("%%glm -t 0,1\nhi", "a")
    assert texts(found) == ["hi at 0.0", "hi at 1.0"]
    assert len(notebook.server.requests) == 1


def test_if_all_fail_the_cell_fails(notebook: Notebook) -> None:
    notebook.server.echo = lambda _: error(400, {"error": {"code": "1214", "message": "nothing goes"}})
    with pytest.raises(GlmError, match="nothing goes"):
        notebook.run("%%glm -t 0,1\nhi", "a")


def test_a_key_that_is_refused_is_not_tried_a_hundred_times(notebook: Notebook) -> None:
    notebook.server.echo = lambda _: error(401, {"error": {"code": "1002", "message": "bad key"}})
    with pytest.raises(GlmError):
        notebook.run("%%glm -n 200\nhi", "a")
    assert len(notebook.server.requests) <= 32


# --- what is kept --------------------------------------------------------------------------------


def test_the_bundle_holds_everything_and_a_picked_answer_is_the_turn(asked: Notebook) -> None:
    found = asked.run("%%glm -t 0,1\nhi", "a")
    [kept] = asked.page.saved(MIME_TYPE)
    assert json.loads(json.dumps(kept)) == kept
    assert [run["at"] for run in kept["runs"]] == [[0, 0, 0], [0, 1, 0]]
    assert asked.page.saved(TURN) == []
    found.pick("B")
    [turn] = asked.page.saved(TURN)
    assert turn["messages"][-1]["content"] == "hi at 1.0"
    assert [text for _, text in asked.sent("%glm next", "b").messages] == ["hi", "hi at 1.0", "next"]
    asked.run("%%glm -t 0,1,0.5\nhi", "a")
    assert [text for _, text in asked.sent("%glm next", "b").messages] == ["hi", "hi at 1.0", "next"]


def test_more_is_asked_from_python_and_stands_in_the_same_grid(asked: Notebook) -> None:
    found = asked.run("%%glm -t 0,1\nhi", "a")
    assert found.grid().more == "ask 2 more"
    assert asked.run("_glm.ask_more(2)", "b") is found
    assert len(asked.server.requests) == 6
    assert [run.spot for run in found] == [(0, column, repeat) for column in (0, 1) for repeat in (0, 1, 2)]
    assert all(run.is_done for run in found)
    assert found.states == Counter(done=6)
    asked.run("%%glm -t 0,1 -n 3\nhi", "a")
    assert len(asked.server.requests) == 6
    with pytest.raises(OptionError):
        found.ask_more(0)
    found.score(lambda reply: 7).ask_more()
    assert [dict(run.scores) for run in found] == [{"score": 7}] * 8


def test_the_cell_of_an_answer_that_was_cut_off_says_so_in_short(asked: Notebook) -> None:
    asked.server.echo = lambda request: stream("An unfinished", finish_reason="length")
    asked.run("%%glm -t 0,1\nhi", "a")
    (grid,) = asked.page.saved("text/html")
    assert grid.count("cut off at the token limit") == 2
    assert "raise --max-tokens" not in grid


def test_a_pinned_baseline_stays_when_the_cell_runs_again(asked: Notebook) -> None:
    asked.run("%%glm -t 0,1\nhi", "a").baseline("B")
    again = asked.run("%%glm -t 0.5,0,1\nhi", "a")
    assert again.columns[again.baseline_index].options == {"temperature": 1.0}
    assert asked.run("%%glm -t 0.5,0\nhi", "a").baseline_index == 0


# --- scores --------------------------------------------------------------------------------------


def test_answers_are_scored_and_a_changed_score_costs_nothing(asked: Notebook) -> None:
    asked.shell.user_ns["reviews"] = REVIEWS * 6
    asked.run("def right(reply, row): return row['label'] in str(reply)", "f")
    cell = "%%glm --each reviews --variants --score right\n--- a\n{{ text }}\n--- b\n{{ text }} is {{ label }}"
    found = asked.run(cell, "a")
    assert [run.scores["right"] for run in found[:2]] == [False, True]
    assert found.summaries()[1].difference.decided == "better"
    assert "B beats A" in asked.page.text
    sent = len(asked.server.requests)
    asked.run("def right(reply, row): return len(str(reply))", "f")
    found = asked.run(cell, "a")
    assert found[0].scores["right"] == len("Lovely. at None")
    found.score(lambda reply: 1)
    assert len(asked.server.requests) == sent


def test_a_score_that_raises_is_the_error_of_its_run(asked: Notebook) -> None:
    asked.run("def picky(reply): return {'one': 1}[str(reply)[:3]]", "f")
    found = asked.run("%%glm --score picky -n 2\nhi", "a")
    assert [dict(run.scores) for run in found] == [{}, {}]
    assert "KeyError" in found[0].score_errors["picky"]
    assert "2 not scored (picky: KeyError" in asked.page.text


def test_a_first_score_that_fails_everywhere_lets_no_other_decide(asked: Notebook) -> None:
    asked.run("def broken(reply): return 1 / 0\ndef long(reply): return len(str(reply))", "f")
    found = asked.run("%%glm --score broken,long -t 0,1 -n 6\nhi", "a")
    assert found.primary == "broken"
    assert "long" not in found.verdict()


@pytest.mark.parametrize(("name", "said"), [("absent", "no absent"), ("text", "text"), ("two", "two")])
def test_what_is_no_score_is_said_before_anything_is_sent(asked: Notebook, name: str, said: str) -> None:
    asked.run("text = 'x'\ndef two(a, b, c, d): return 1", "f")
    with pytest.raises(OptionError, match=said):
        asked.run(f"%%glm --score {name}\nhi", "a")
    assert asked.server.requests == []


def test_judges_are_asked_once_for_each_answer(asked: Notebook) -> None:
    def respond(request: Received) -> Answer:
        prompt = request.body["messages"][-1]["content"]
        return stream("VERDICT: 4") if "kind" in prompt else by_prompt(request)

    asked.server.echo = respond
    asked.run("from glm_magic.scores import judge\nkind = judge('How kind is it?', model='GLM-4-Plus')", "f")
    cell = "%%glm -t 0,1 --score kind\nhi"
    found = asked.run(cell, "a")
    assert [(run.scores, run.score_errors) for run in found] == [({"kind": 4.0}, {})] * 2
    assert len(asked.server.requests) == 4
    asked.run(cell, "a")
    assert len(asked.server.requests) == 4
    [kept] = asked.page.saved(MIME_TYPE)
    assert len(kept["judged"]) == 2


def test_ratings_are_kept_with_the_notebook(asked: Notebook) -> None:
    found = asked.run("%%glm -t 0,1\nhi", "a")
    found.rate(1, 4, note="warm")
    [kept] = asked.page.saved(MIME_TYPE)
    assert (kept["runs"][1]["rating"], kept["runs"][1]["note"]) == (4, "warm")
    again = asked.run("%%glm -t 0,1\nhi", "a")
    assert (again[1].rating, again[1].note) == (4, "warm")
    with pytest.raises(OptionError):
        found.rate(0, 6)


# --- in the background ---------------------------------------------------------------------------


def test_a_comparison_in_the_background_fills_in_after_its_cell(asked: Notebook) -> None:
    gate = threading.Event()
    asked.server.echo = lambda request: gate.wait(60) and by_prompt(request)
    found = asked.run("%%glm -t 0,1 --bg\nhi", "a")
    assert not found.done
    assert [run.text for run in found] == ["", ""]
    gate.set()
    assert texts(found.wait()) == ["hi at 0.0", "hi at 1.0"]
    assert found.done
    [kept] = [data[MIME_TYPE] for data in asked.page.outputs.values() if MIME_TYPE in data]
    assert len(kept["runs"]) == 2


def test_a_comparison_in_the_background_is_stopped_and_keeps_what_has_finished(asked: Notebook) -> None:
    gate = threading.Event()

    def respond(request: Received) -> Answer:
        if request.body["temperature"] == 1.0:
            gate.wait(60)
        return by_prompt(request)

    asked.server.echo = respond
    found = asked.run("%%glm -t 0,1 --bg\nhi", "a")
    assert comes_true(lambda: found[0].is_done)
    found.stop()
    with pytest.raises(Interrupted, match="1 of 2 answers are kept"):
        found.wait()
    gate.set()
    asked.server.echo = by_prompt
    asked.server.requests.clear()
    assert texts(asked.run("%%glm -t 0,1\nhi", "a")) == ["hi at 0.0", "hi at 1.0"]
    assert len(asked.server.requests) == 1


# --- with the rest of the magics -----------------------------------------------------------------


def test_a_column_is_used_as_the_configuration(asked: Notebook) -> None:
    found = asked.run("%%glm -t 0,1 -m GLM-4-Air,GLM-4-Plus\nhi", "a")
    assert found.use("D") == "%glm_config temperature=1 model=GLM-4-Plus"
    sent = asked.sent("%glm next", "b").body
    assert (sent["model"], sent["temperature"]) == ("GLM-4-Plus", 1.0)


def test_runs_with_a_schema_are_checked_and_asked_again_as_single_answers_are(asked: Notebook) -> None:
    replies = iter(["no JSON", '{"name": "Bo"}', '{"name": "Al"}'])
    asked.server.echo = lambda _: stream(next(replies))
    asked.run("from typing import TypedDict\nclass Person(TypedDict):\n    name: str", "t")
    found = asked.run("%%glm -n 2 --schema Person --concurrency 1\nwho?", "a")
    assert [run.reply.parsed for run in found] == [{"name": "Bo"}, {"name": "Al"}]
    again = asked.run("%%glm -n 2 --schema Person --concurrency 1\nwho?", "a")
    assert [run.reply.parsed for run in again] == [{"name": "Bo"}, {"name": "Al"}]
    assert len(asked.server.requests) == 3


def test_runs_call_tools_as_single_answers_do(asked: Notebook) -> None:
    def respond(request: Received) -> Answer:
        last = request.body["messages"][-1]
        return stream(f"It is {last['content']}.") if last["role"] == "tool" else calls(("weather", {"city": "Bonn"}))

    asked.server.echo = respond
    asked.run("def weather(city: str) -> str:\n    return 'warm in ' + city", "t")
    found = asked.run("%%glm -n 2 -T weather\nhow?", "a")
    assert texts(found) == ["It is warm in Bonn."] * 2
    asked.run("def weather(city: str) -> str:\n    return 'cold in ' + city", "t")
    assert texts(asked.run("%%glm -n 2 -T weather\nhow?", "a")) == ["It is cold in Bonn."] * 2


def test_a_comparison_is_shown_again_as_its_grid(asked: Notebook) -> None:
    asked.run("r = %glm -t 0,1 hi", "a")
    asked.run("_glm", "b")
    [data] = asked.page.outputs.values()
    assert "hi at 1.0" in data["text/html"]
    assert "hi at 1.0" in data["text/markdown"]


def test_an_interrupt_keeps_what_has_finished(asked: Notebook) -> None:
    gate = threading.Event()

    def respond(request: Received) -> Answer:
        if request.body["temperature"] == 1.0:
            comes_true(lambda: asked.shell.user_ns["_glm"][0].is_done)
            signal.raise_signal(signal.SIGINT)
            gate.wait(60)
        return by_prompt(request)

    asked.server.echo = respond
    with pytest.raises(Interrupted, match="1 of 2 answers are kept"):
        asked.run("%%glm -t 0,1\nhi", "a")
    gate.set()
    asked.server.echo = by_prompt
    asked.server.requests.clear()
    assert texts(asked.run("%%glm -t 0,1\nhi", "a")) == ["hi at 0.0", "hi at 1.0"]
    assert len(asked.server.requests) == 1


# --- until decided -------------------------------------------------------------------------------

UNTIL = "%%glm --each rows --variants --score right {}\n--- a\n{{{{ text }}}}\n--- b\n{{{{ text }}}} is {{{{ label }}}}"


def test_a_clear_difference_is_decided_before_all_is_asked(asked: Notebook) -> None:
    asked.shell.user_ns["rows"] = [{**row, "text": f"{row['text']} {at}"} for at in range(50) for row in REVIEWS]
    asked.run("def right(reply, row): return row['label'] in str(reply)", "f")
    found = asked.run(UNTIL.format("--until-decided"), "a")
    assert found.summaries()[1].difference.decided == "better"
    sent = len(asked.server.requests)
    assert sent == 40
    assert "decided: the rest need not be asked" in asked.page.text
    assert "not asked" in asked.page.text
    assert "waiting" not in asked.page.text
    asked.run(UNTIL.format("--until-decided"), "a")
    assert len(asked.server.requests) == sent
    asked.run(UNTIL.format(""), "a")
    assert len(asked.server.requests) == 200


def test_without_a_difference_everything_is_asked(asked: Notebook) -> None:
    asked.shell.user_ns["rows"] = [{**row, "text": f"{row['text']} {at}"} for at in range(15) for row in REVIEWS]
    # right by turns: of each row, one of the two answers
    asked.run("def right(reply, row): return int(row['text'].split()[-1]) % 2 == ('is' in str(reply))", "f")
    asked.run(UNTIL.format("--until-decided"), "a")
    assert len(asked.server.requests) == 60


def test_until_decided_needs_a_score(asked: Notebook) -> None:
    with pytest.raises(OptionError, match="--until-decided goes with --score"):
        asked.run("%%glm -t 0,1 --until-decided\nhi", "a")


# --- blind ---------------------------------------------------------------------------------------


def test_a_blind_comparison_gives_nothing_away_until_it_is_revealed(asked: Notebook) -> None:
    asked.server.echo = lambda request: stream("cool" if request.body["temperature"] == 0 else "warm")
    cell = "%%glm -t 0,1,0.5 -m GLM-4-Air,GLM-4-Plus --blind\nhi"
    found = asked.run(cell, "a")
    [saved] = asked.page.outputs.values()
    assert not {MIME_TYPE, TURN} & saved.keys()
    for given_away in ("GLM-4", "t 0", "0.5", " s ", "out"):
        assert given_away not in saved["text/plain"] + saved["text/markdown"]
    assert "GLM-4" not in repr(found) + repr(found[0]) + repr(found.columns)
    assert not {"model", "temperature", "seconds", "cost", "completion_tokens"} & set(found.frame().columns)
    with pytest.raises(OptionError, match="reveal"):
        found.summary()
    found.rate(0, 5)
    assert found.frame()["rating"][0] == 5
    again = asked.run(cell, "a")
    assert texts(again) == texts(found)
    again.reveal()
    [kept] = asked.page.saved(MIME_TYPE)
    assert kept["runs"][0]["rated_blind"] is True
    frame = again.frame()
    assert list(frame["rated_blind"])[:2] == [True, False]
    given = {*zip(frame["temperature"], frame["text"], strict=True)}
    assert given == {(0, "cool"), (1, "warm"), (0.5, "warm")}
    first = again.columns[again.baseline_index]
    assert (first.options["temperature"], first.options["model"]) == (0.0, "GLM-4-Air")
