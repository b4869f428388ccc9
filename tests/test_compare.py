"""`glm_magic.compare`, as it is used from Python."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import polars as pl
import pytest
from batch_server import BatchServer
from glm_server import Answer, GlmServer, Received, error, stream

import glm_magic
from glm_magic.comparing.comparison import Comparison
from glm_magic.errors import GlmError, OptionError, SettingError
from glm_magic.scores import contains

ROWS = [{"text": "Lovely.", "label": "good"}, {"text": "Broken.", "label": "bad"}]


def by_prompt(request: Received) -> Answer:
    body = request.body
    system = dict(request.messages).get("system", "")
    return stream(f"{system}{body['messages'][-1]['content']}/{body.get('temperature')}", model=body["model"])


@pytest.fixture
def server(server: GlmServer, monkeypatch: pytest.MonkeyPatch) -> GlmServer:
    monkeypatch.setenv("GLM_BASE_URL", server.url)
    server.echo = by_prompt  # type: ignore[method-assign]
    return server


def test_lists_wordings_and_rows_multiply(server: GlmServer) -> None:
    found = glm_magic.compare(
        {"plain": "{{ text }}", "loud": "{{ text.upper() }}!"},
        temperature=[0, 1],
        rows=ROWS,
        repeats=2,
        system="{{ label }}: ",
        score=[contains("label"), len_of],
    )
    assert len(found) == 16
    assert found[0].text == "good: Lovely./0.0"
    assert found[-1].text == "bad: BROKEN.!/1.0"
    assert found[0].scores == {"contains": True, "len_of": 17}
    assert len(server.requests) == 16


def len_of(reply: object) -> int:
    return len(str(reply))


def test_rows_and_prompts_may_hold_documents(server: GlmServer, tmp_path: Path) -> None:
    path = tmp_path / "a.md"
    path.write_text("# Title")
    glm_magic.compare("Of {{ file }}", rows=[{"file": path}])
    glm_magic.compare(["See ", path])
    assert [request.messages[-1] for request in server.requests] == [("user", "Of # Title"), ("user", "See # Title")]


def test_the_rows_of_the_frame_are_the_runs(server: GlmServer, tmp_path: Path) -> None:
    found = glm_magic.compare("{{ text }}", temperature=[0, 1], rows=pd.DataFrame(ROWS))
    frame = found.frame()
    assert list(frame["row.text"]) == ["Lovely.", "Lovely.", "Broken.", "Broken."]
    assert list(frame["temperature"]) == [0.0, 1.0, 0.0, 1.0]
    assert list(frame["label"]) == ["good", "good", "bad", "bad"]
    assert list(found.summary()["column"]) == ["A", "B"]
    found.to_csv(tmp_path / "a.csv")
    found.to_jsonl(tmp_path / "a.jsonl")
    found.to_parquet(tmp_path / "a.parquet")
    assert list(pd.read_csv(tmp_path / "a.csv")["text"]) == [run.text for run in found]
    lines = (tmp_path / "a.jsonl").read_text().splitlines()
    assert [json.loads(line)["text"] for line in lines] == [run.text for run in found]
    assert pl.read_parquet(tmp_path / "a.parquet")["text"].to_list() == [run.text for run in found]


def runs(reply: object) -> int:
    return 1


def test_a_summary_begins_with_the_scores_and_ends_with_the_verdict(server: GlmServer) -> None:
    summary = glm_magic.compare("{{ text }}", temperature=[0, 1], rows=ROWS * 5, score=[len_of, runs]).summary()
    columns = list(summary)
    assert columns[:4] == ["column", "model", "temperature", "len_of"]
    assert columns[-1] == "verdict"
    assert list(summary["verdict"])[1].startswith("B: ")
    assert list(summary["runs"]) == [10, 10]
    assert list(summary["score.runs"]) == [1, 1]


def fails(reply: object) -> float:
    raise ValueError("no number")


def test_a_score_that_always_raises_decides_nothing_and_no_other_decides_in_its_place(server: GlmServer) -> None:
    found = glm_magic.compare("{{ text }}", temperature=[0, 1], rows=ROWS * 5, score=[fails, len_of])
    assert found.verdict() == "B: nothing to compare with A."
    assert found.summary()["difference"].isna().all()


def test_a_difference_shows_two_answers_beside_each_other(server: GlmServer) -> None:
    found = glm_magic.compare({"a": "one two", "b": "one three"})
    assert "two" in repr(found.diff(0, 1))
    assert "<ins" in found.diff(found[0], found[1])._repr_mimebundle_()["text/html"]
    assert "three" in repr(found.diff_prompts("a", "B"))


def test_a_plot_draws_a_score_with_its_interval(server: GlmServer) -> None:
    found = glm_magic.compare("{{ text }}", temperature=[0, 1], rows=ROWS * 5, score=len_of)
    labels = [label.get_text() for label in found.plot().axes[0].get_xticklabels()]
    assert labels == ["A\nt 0", "B\nt 1"]
    assert found.plot().axes[0].get_ylabel() == "len_of"
    assert found.plot("tokens").axes[0].get_ylabel() == "tokens per answer"
    with pytest.raises(OptionError, match="nothing called speed"):
        found.plot("speed")


def test_without_rows_braces_are_text_and_nothing_is_picked_into_a_conversation(server: GlmServer) -> None:
    found = glm_magic.compare("{{ text }}", temperature=[0, 1])
    assert found[0].text == "{{ text }}/0.0"
    assert found.pick("B").is_picked
    assert found.picked is found[1]
    with pytest.raises(GlmError, match="no %glm_config"):
        found.use("A")
    wordings = glm_magic.compare({"a": "one", "b": "two"})
    with pytest.raises(OptionError, match=r"B has no options of its own to set\.\n.*columns\[1\]\.prompt"):
        wordings.use("b")


def test_a_record_is_not_asked_again(server: GlmServer, tmp_path: Path) -> None:
    for record in (tmp_path / "a.jsonl", tmp_path / "a.db"):
        server.requests.clear()
        first = glm_magic.compare("hi", temperature=[0, 1], repeats=2, record=str(record))
        again = glm_magic.compare("hi", temperature=[0, 1], repeats=3, record=str(record))
        assert [run.text for run in again][:2] == [run.text for run in first][:2]
        assert len(server.requests) == 6


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({"repeats": 0}, OptionError),
        ({"rows": []}, OptionError),
        ({"score": "text"}, OptionError),
        ({"temperature": [0, 9]}, SettingError),
        ({"temperature": [0, 0]}, OptionError),
        ({"nonsense": 1}, SettingError),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_sent(
    server: GlmServer, options: dict[str, object], kind: type[Exception]
) -> None:
    with pytest.raises(kind):
        glm_magic.compare("hi", **options)
    assert server.requests == []


def test_if_all_fail_the_first_error_is_raised(server: GlmServer) -> None:
    server.echo = lambda _: error(400, {"error": {"code": "1214", "message": "nothing goes"}})  # type: ignore[method-assign]
    with pytest.raises(GlmError, match="nothing goes"):
        glm_magic.compare("hi", temperature=[0, 1])


def test_a_batch_is_submitted_by_one_call_and_collected_by_the_next(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def compare(**more: object) -> Comparison:
        return glm_magic.compare("{{ text }}", rows=ROWS, temperature=[0, 1], record=str(tmp_path / "own.db"), **more)

    with BatchServer() as server:
        monkeypatch.setenv("GLM_BASE_URL", server.url)
        pending = compare(batch=True)
        assert repr(pending).endswith("0 of 4 answers, 4 pending in a batch)")
        assert any("submitted as batch_1" in note for note in pending.notes)
        assert compare()[0].state == "pending"
        server.run("batch_1")
        assert [run.text for run in compare(batch=True)] == ["You said: Lovely."] * 2 + ["You said: Broken."] * 2
        assert not any(request.path.endswith("/chat/completions") for request in server.requests)
        assert pending.cancel() == "Nothing of this comparison is pending in a batch."


def test_what_a_batch_needs_is_said_before_anything_is_sent(server: GlmServer, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="needs a store that remembers it") as caught:
        glm_magic.compare("hi", repeats=2, batch=True)
    assert "record=" in caught.value.remedy
    with pytest.raises(OptionError, match="needs a store that remembers it"):
        glm_magic.compare("hi", repeats=2, batch=True, record=str(tmp_path / "a.jsonl"))
    with pytest.raises(OptionError, match="cannot be combined"):
        glm_magic.compare("hi", batch=True, executor=ThreadPoolExecutor(1), record=str(tmp_path / "a.db"))
    assert server.requests == []
