"""`--batch` as it is used: submitted once, whatever happens, and collected by running the cell again."""

from __future__ import annotations

import contextlib
import html
import json
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from batch_server import BatchServer
from desk import Desk
from glm_server import CUT, Answer, error

from glm_magic.comparing.pending import PendingBatches
from glm_magic.errors import GlmError, HistoryError, Interrupted, OptionError, OverBudget, ServiceError
from glm_magic.magics.outputs import Outputs
from glm_magic.service.batch import Batches
from glm_magic.service.services import shared

CELL = "%%glm -t 0,1 -n 2 --batch\nhi"
KEY = "0123456789abcdef.canary-canary"


@pytest.fixture
def server() -> Iterator[BatchServer]:
    with BatchServer() as server:
        yield server


@pytest.fixture
def submitted(desk: Desk) -> Desk:
    """A notebook whose cell has submitted four requests."""
    desk.run("a", CELL)
    return desk


def batches(desk: Desk) -> list[str]:
    return [*desk.server.batches]


def run(desk: Desk, cell: str, source: str | None = None) -> str:
    """Run a cell, and return the words of its grid."""
    desk.run(cell, source)
    return words(desk, cell)


def words(desk: Desk, cell: str = "a") -> str:
    pages = " ".join(data.get("text/html", data.get("text/plain", "")) for data in desk.outputs[cell])
    return " ".join(html.unescape(re.sub("<style.*?</style>|<[^>]+>", " ", pages)).split())


def asked_directly(desk: Desk) -> list[Any]:
    return [request for request in desk.server.requests if request.path.endswith("/chat/completions")]


def runs(desk: Desk) -> list[Any]:
    return list(desk.kernel.shell.user_ns["_glm"])


def states(desk: Desk) -> list[str]:
    return [run.state for run in runs(desk)]


# --- submitted, and collected --------------------------------------------------------------------------


def test_the_cell_ends_at_once_and_says_what_was_submitted(submitted: Desk) -> None:
    shown = words(submitted)
    assert "4 requests to GLM-4-Air submitted as batch_1 · run the cell again" in shown
    assert "4 pending in a batch" in shown
    assert "pending in batch_1 since " in shown
    assert states(submitted) == ["pending"] * 4
    assert asked_directly(submitted) == []
    sent = submitted.server.lines("batch_1")
    assert [line["body"]["temperature"] for line in sent] == [0.0, 0.0, 1.0, 1.0]
    assert not any("stream" in line["body"] for line in sent)


def test_the_cell_says_what_it_does_meanwhile(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    saying = Outputs.saying
    monkeypatch.setattr(Outputs, "saying", lambda self, what: said.append(what) or saying(self, what))
    desk.run("a", CELL)
    assert said[-2:] == ["looking at batches", "submitting"]
    desk.run("a", CELL)
    assert said[-1] == "looking at batches", "nothing is missing"


@pytest.mark.parametrize("cell", [CELL, "%%glm -t 0,1 -n 2\nhi", "%%glm -t 0,1 -n 2 --fresh\nhi", f"{CELL} there"])
def test_another_kernel_collects_before_anything_is_asked(submitted: Desk, cell: str) -> None:
    submitted.server.run("batch_1")
    submitted.restart()
    submitted.run("a", cell)
    assert "batch_1: completed, 4 answers collected" in words(submitted)
    if cell.endswith("hi"):
        assert [run.text for run in runs(submitted)] == ["You said: hi"] * 4
        assert batches(submitted) == ["batch_1"]
    submitted.run("a", CELL)
    assert states(submitted) == ["done"] * 4
    assert batches(submitted)[0] == "batch_1"
    assert asked_directly(submitted) == []


def test_what_is_still_pending_is_never_asked_again(submitted: Desk) -> None:
    submitted.server.batches["batch_1"] |= {
        "status": "in_progress",
        "request_counts": {"total": 4, "completed": 1, "failed": 0},
    }
    submitted.restart()
    for options in ("--batch", "", "--fresh", "--fresh --batch"):
        shown = run(submitted, "a", f"%%glm -t 0,1 -n 2 {options}\nhi")
        assert "batch_1: in progress, 1 of 4 answered" in shown
        assert states(submitted) == ["pending"] * 4
    assert "4 requests, 4 pending in a batch" in run(submitted, "a", "%%glm -t 0,1 -n 2 -N\nhi")
    assert batches(submitted) == ["batch_1"]
    assert asked_directly(submitted) == []


def test_more_is_submitted_or_asked_while_the_rest_is_pending(submitted: Desk) -> None:
    submitted.run("a", "%%glm -t 0,1 -n 3 --batch\nhi")
    assert len(submitted.server.lines("batch_2")) == 2
    submitted.run("a", "%%glm -t 0,1 -n 4\nhi")
    assert len(asked_directly(submitted)) == 2
    assert states(submitted) == ["pending", "pending", "pending", "done"] * 2


def test_each_model_has_a_file_of_its_own_and_large_ones_are_split(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("glm_magic.protocol.batch_files.MOST_REQUESTS", 2)
    desk.run("a", "%%glm -m GLM-4-Air,GLM-4-Plus -n 3 --batch\nhi")
    files = [[line["body"]["model"] for line in desk.server.lines(batch)] for batch in batches(desk)]
    assert files == [["GLM-4-Air"] * 2, ["GLM-4-Air"], ["GLM-4-Plus"] * 2, ["GLM-4-Plus"]]
    for batch in batches(desk):
        desk.server.run(batch)
    desk.run("a")
    assert states(desk) == ["done"] * 6


def test_a_batch_costs_half(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "prices.csv").write_text("model,input,output,currency\nGLM-4-Air,2000,4000,USD\n")
    desk.restart(f"%glm_config prices={tmp_path / 'prices.csv'}")
    desk.run("a", "%%glm -n 1\nhi")
    desk.run("b", "%%glm -n 1 --batch\nhi")
    desk.server.run("batch_1")
    whole = desk.kernel.run("%%glm -n 1\nhi", "a")[0].reply.cost
    desk.run("b")
    assert runs(desk)[0].reply.cost == pytest.approx(whole / 2)
    assert runs(desk)[0].reply.currency == "USD"
    desk.kernel.run(f"%glm_config budget={whole * 1.5 + 0.001}")
    with pytest.raises(OverBudget):
        desk.run("c", "%%glm -n 9 --batch\nhi")


def test_what_a_batch_is_expected_to_cost_counts_until_it_is_collected(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "prices.csv").write_text("model,input,output,currency\nGLM-4-Air,0,2000,USD\n")
    desk.restart(f"%glm_config prices={tmp_path / 'prices.csv'}", "%glm_config budget=0.6")
    desk.run("a", "%%glm -n 1 --batch\nhi")  # 500 tokens are expected, at half the price
    with pytest.raises(OverBudget, match=r"0\.500\d* USD are spent"):
        desk.run("b", "%%glm -n 1 --batch\nhi")
    desk.server.run("batch_1")
    desk.run("a")
    desk.run("b")
    assert batches(desk) == ["batch_1", "batch_2"]


def test_the_times_of_a_batch_are_not_made_up(submitted: Desk) -> None:
    submitted.server.run("batch_1")
    shown = run(submitted, "a")
    assert " s " not in shown.split("You said")[1]
    frame = submitted.kernel.shell.user_ns["_glm"].frame()
    assert frame["seconds"].isna().all()


def test_an_answer_may_be_picked_and_scores_are_worked_out(desk: Desk) -> None:
    desk.kernel.run("def long(reply): return len(reply.text)")
    desk.run("a", "%%glm -t 0,1 --batch --score long\nhi")
    desk.server.run("batch_1")
    desk.run("a")
    assert [run.scores for run in runs(desk)] == [{"long": 12}] * 2
    desk.kernel.shell.user_ns["_glm"].pick("B")
    desk.run("b", "%glm and then?")
    assert [text for _, text in desk.server.last.messages] == ["hi", "You said: hi", "and then?"]


def test_earlier_turns_and_their_answers_stand_in_the_attempt(desk: Desk) -> None:
    desk.run("a", "%glm first")
    desk.run("b", "%%glm -t 0,1 -s 'Be brief.' --batch\nsecond")
    assert [each["content"] for each in desk.server.lines("batch_1")[0]["body"]["messages"]] == [
        "Be brief.",
        "first",
        "You said: first",
        "second",
    ]
    desk.server.run("batch_1")
    desk.save()
    desk.restart("%glm_history --restore")
    desk.run("b")
    attempt = runs(desk)[0].saved.attempt
    assert (attempt.question, attempt.answer, attempt.system) == ("second", "You said: second", "Be brief.")
    assert attempt.parameters == {"model": "GLM-4-Air", "temperature": 0.0}


def test_a_cell_that_has_another_id_now_has_its_batch_and_a_copy_has_not(submitted: Desk) -> None:
    submitted.run("copy", CELL)
    assert batches(submitted) == ["batch_1", "batch_2"]
    del submitted.cells["copy"]
    submitted.rename_cell("a", "pasted")
    submitted.save()
    submitted.restart()
    submitted.run("pasted", CELL)
    assert len(batches(submitted)) == 2
    assert states(submitted) == ["pending"] * 4


def test_asking_more_submits_more(submitted: Desk) -> None:
    submitted.kernel.shell.user_ns["_glm"].ask_more()
    assert states(submitted) == ["pending"] * 6
    assert len(submitted.server.lines("batch_2")) == 2
    assert asked_directly(submitted) == []


def test_a_cell_whose_answers_are_recorded_needs_neither_a_service_nor_a_store(
    submitted: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    submitted.server.run("batch_1")
    submitted.run("a")
    submitted.save()
    before = len(submitted.server.requests)
    monkeypatch.setenv("GLM_REPLAY", str(submitted.path))
    monkeypatch.setenv("GLM_REPLAY_MISSING", "error")
    monkeypatch.setenv("GLM_SAVE_TURNS", "off")
    submitted.restart()
    shown = submitted.run("a")
    assert states(submitted) == ["done"] * 4
    assert "batch" not in shown
    assert len(submitted.server.requests) == before


def test_a_renamed_notebook_takes_its_batches_with_it(submitted: Desk) -> None:
    submitted.save()
    submitted.path = submitted.path.rename(submitted.path.with_name("renamed.ipynb"))
    submitted.restart()
    submitted.run("a")
    assert states(submitted) == ["pending"] * 4
    assert batches(submitted) == ["batch_1"]


def test_a_renamed_notebook_finds_its_batches_in_a_record(desk: Desk, tmp_path: Path) -> None:
    settings = "%glm_config save_turns=off", f"%glm_config record={tmp_path / 'own.db'}"
    desk.restart(*settings)
    desk.run("a", CELL)
    desk.save()
    desk.path = desk.path.rename(desk.path.with_name("renamed.ipynb"))
    desk.restart(*settings)
    desk.run("a")
    assert states(desk) == ["pending"] * 4
    assert batches(desk) == ["batch_1"]


def test_where_cells_have_no_ids_a_record_remembers_batches(desk: Desk, tmp_path: Path) -> None:
    record = f"%glm_config record={tmp_path / 'own.db'}"
    desk.restart(record)
    desk.kernel.run(CELL)
    desk.server.run("batch_1")
    desk.restart(record)
    desk.kernel.run(CELL)
    assert states(desk) == ["done"] * 4
    assert batches(desk) == ["batch_1"]


def test_a_blind_comparison_hides_which_batch_is_whose(desk: Desk) -> None:
    shown = run(desk, "a", "%%glm -m GLM-4-Air,GLM-4-Plus --batch --blind\nhi")
    assert "pending" in shown
    assert "GLM-4-Plus" not in json.dumps(desk.outputs["a"])
    comparison = desk.kernel.shell.user_ns["_glm"]
    assert [run.pending for run in comparison] == ["pending"] * 2
    assert "batch_" not in repr([*comparison])
    assert "batch_1" in comparison.reveal()[0].pending


def test_a_schema_is_checked_when_the_answer_is_collected(desk: Desk) -> None:
    desk.run("a", "%%glm -n 1 --json --batch\nhi")
    desk.server.run("batch_1")
    with pytest.raises(GlmError, match="does not fit"):
        desk.run("a")
    desk.run("a")
    assert batches(desk) == ["batch_1", "batch_2"]


# --- nothing is submitted twice -------------------------------------------------------------------------


class Killed(BaseException):
    """The kernel dies here."""


def dies(*_: Any, **__: Any) -> Any:
    raise Killed


def killed_at(desk: Desk, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    """Run the cell in a kernel that dies at a step, before it can do anything more."""
    with monkeypatch.context() as patched:
        if step == "before the upload":
            patched.setattr(Batches, "upload", dies)
        elif step == "after the upload":
            upload = Batches.upload
            patched.setattr(Batches, "upload", lambda *given: (upload(*given), dies()))
        elif step == "before the creation":
            patched.setattr(Batches, "create", dies)
        else:
            create = Batches.create
            patched.setattr(Batches, "create", lambda *given: (create(*given), dies()))
        patched.setattr("glm_magic.notebook.batches.BatchTable.end", dies)
        with pytest.raises(Killed):
            desk.run("a", CELL)
    desk.restart()


@pytest.mark.parametrize("step", ["before the upload", "after the upload"])
@pytest.mark.parametrize("options", ["--batch", "--fresh --batch"])
def test_a_kernel_that_dies_before_the_creation_has_submitted_nothing(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, step: str, options: str
) -> None:
    killed_at(desk, monkeypatch, step)
    assert batches(desk) == []
    desk.run("a", f"%%glm -t 0,1 -n 2 {options}\nhi")
    assert batches(desk) == ["batch_1"]


@pytest.mark.parametrize("options", ["--batch", "", "--fresh"])
def test_a_batch_that_was_created_and_not_noted_is_found_by_its_label(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, options: str
) -> None:
    killed_at(desk, monkeypatch, "after the creation")
    shown = run(desk, "a", f"%%glm -t 0,1 -n 2 {options}\nhi")
    assert "pending in batch_1" in shown
    desk.server.run("batch_1")
    desk.run("a")
    assert states(desk) == ["done"] * 4
    assert batches(desk) == ["batch_1"]
    assert asked_directly(desk) == []


def test_where_the_list_cannot_tell_nothing_is_submitted(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    killed_at(desk, monkeypatch, "before the creation")
    shown = run(desk, "a", "%%glm -t 0,1,0.5 -n 2 --batch\nhi")
    assert "the service does not list it (yet); run the cell again after" in shown
    assert "nothing more is submitted until the service lists the batch above" in shown
    assert batches(desk) == []
    monkeypatch.setattr("glm_magic.comparing.collecting._SETTLED_SECONDS", -1.0)
    desk.run("a")
    assert [len(desk.server.lines(batch)) for batch in batches(desk)] == [6]


def test_a_list_that_fails_tells_nothing(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    killed_at(desk, monkeypatch, "after the creation")
    with monkeypatch.context() as patched:
        patched.setattr(desk.server, "other", lambda _: error(500, {"error": {"message": "down"}}))
        for cell in (CELL, "%%glm -t 0,1 -n 2\nhi"):
            shown = run(desk, "a", cell)
            assert states(desk) == ["pending"] * 4
            assert "may be in a batch since" in shown
    desk.run("a", CELL)
    assert batches(desk) == ["batch_1"]


@pytest.mark.parametrize("fault", [Answer([CUT]), error(502, {"error": {"message": "bad gateway"}})])
def test_a_creation_whose_answer_is_lost_is_looked_for(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, fault: Answer
) -> None:
    other = desk.server.other

    def lost(request: Any) -> Answer:
        answer = other(request)
        return fault if request.path.endswith("/batches") and request.method == "POST" else answer

    with monkeypatch.context() as patched:
        patched.setattr(desk.server, "other", lost)
        assert "submitted as batch_1" in run(desk, "a", CELL)
    desk.run("a", CELL)
    assert batches(desk) == ["batch_1"]


def run_in_another_kernel(desk: Desk) -> None:
    """Run the cell in a second kernel, and go on in the first."""
    first, shell = desk.kernel, desk._shell
    desk._shell = None
    desk.restart()
    desk.run("a", CELL)
    desk.end()
    desk.kernel, desk._shell = first, shell


def test_two_kernels_at_once_submit_once(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    upload = Batches.upload

    def slow(*given: Any) -> str:
        monkeypatch.setattr(Batches, "upload", upload)
        run_in_another_kernel(desk)
        return upload(*given)

    monkeypatch.setattr(Batches, "upload", slow)
    shown = run(desk, "a", CELL)
    assert "4 requests not submitted: another kernel took them over" in shown
    assert batches(desk) == ["batch_1"]
    assert asked_directly(desk) == []


def test_a_store_that_cannot_be_written_has_nothing_submitted(desk: Desk) -> None:
    desk.store.mkdir(parents=True)
    (desk.store / "answers.db").mkdir()
    with pytest.raises(HistoryError, match="written down before it is submitted"):
        desk.run("a", CELL)
    assert {request.method for request in desk.server.requests} == {"GET"}


def test_a_store_that_is_gone_is_made_up_for_by_the_list_of_the_service(submitted: Desk) -> None:
    for name in ("answers.db", "answers.db-wal", "answers.db-shm"):
        (submitted.store / name).unlink(missing_ok=True)
    submitted.restart()
    shown = run(submitted, "a", "%%glm -t 0,1 -n 3 --batch\nhi")
    assert "pending in batch_1" in shown
    assert len(submitted.server.lines("batch_2")) == 2
    for batch in ("batch_1", "batch_2"):
        submitted.server.run(batch)
    submitted.run("a")
    assert states(submitted) == ["done"] * 6
    assert len(batches(submitted)) == 2


def test_a_store_that_is_deleted_during_the_upload_has_nothing_submitted(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = Batches.upload

    def deleting(*given: Any) -> str:
        for name in ("answers.db", "answers.db-wal", "answers.db-shm"):
            (desk.store / name).unlink(missing_ok=True)
        return upload(*given)

    with monkeypatch.context() as patched:
        patched.setattr(Batches, "upload", deleting)
        assert "or the store was deleted; run the cell again" in run(desk, "a", CELL)
    assert batches(desk) == []
    desk.run("a", CELL)
    assert batches(desk) == ["batch_1"]


def test_of_several_batches_that_the_store_has_lost_the_latest_of_a_run_counts(submitted: Desk) -> None:
    submitted.server.run("batch_1", refused=(names(submitted)[0],))
    submitted.run("a")
    submitted.run("a")
    submitted.server.run("batch_2")
    submitted.run("a")
    submitted.end()
    for name in ("answers.db", "answers.db-wal", "answers.db-shm"):
        (submitted.store / name).unlink(missing_ok=True)
    submitted.outputs.clear()
    submitted.save()
    submitted.restart()
    submitted.run("a")
    assert states(submitted) == ["done"] * 4
    assert batches(submitted) == ["batch_1", "batch_2"]


def test_an_interrupt_of_the_upload_submits_nothing_and_loses_nothing(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any) -> str:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Batches, "upload", interrupted)
        with pytest.raises(Interrupted):
            desk.run("a", CELL)
    desk.run("a", CELL)
    assert batches(desk) == ["batch_1"]


# --- what goes wrong with some ---------------------------------------------------------------------------


def names(desk: Desk, batch: str = "batch_1") -> list[str]:
    return [line["custom_id"] for line in desk.server.lines(batch)]


def rewrite(desk: Desk, change: Any, batch: str = "batch_1") -> None:
    """Change the lines of the output of a batch."""
    file = desk.server.batches[batch]["output_file_id"]
    name, content = desk.server.files[file]
    desk.server.files[file] = name, b"\n".join(change(content.splitlines()))


def test_failed_lines_cost_their_runs_which_the_next_run_asks_again(submitted: Desk) -> None:
    submitted.server.run("batch_1", refused=(names(submitted)[1],))
    shown = run(submitted, "a")
    assert states(submitted) == ["done", "failed", "done", "done"]
    assert "HTTP 400, code 1210" in shown
    assert batches(submitted) == ["batch_1"], "the page shows why first"
    submitted.run("a")
    assert [line["custom_id"] for line in submitted.server.lines("batch_2")] == [names(submitted)[1]]


@pytest.mark.parametrize("status", ["expired", "cancelled", "failed"])
def test_a_batch_that_ends_early_costs_what_it_has_not_answered(submitted: Desk, status: str) -> None:
    submitted.server.run("batch_1")
    submitted.server.batches["batch_1"] |= {"status": status, "errors": {"data": [{"message": "no such model"}]}}
    rewrite(submitted, lambda lines: lines[:1])
    shown = run(submitted, "a")
    assert sorted(states(submitted)) == ["done", "failed", "failed", "failed"]
    assert {"expired": "batch expired", "cancelled": "was cancelled", "failed": "no such model"}[status] in shown
    submitted.run("a")
    assert len(submitted.server.lines("batch_2")) == 3


def test_a_wrong_line_costs_its_run(submitted: Desk) -> None:
    submitted.server.run("batch_1")

    def damage(lines: list[bytes]) -> list[bytes]:
        half, whole, stray, empty = lines
        nothing = json.loads(empty)
        nothing["response"]["body"]["choices"][0]["message"]["content"] = ""
        alien = {**json.loads(stray), "custom_id": "of another batch"}
        return [half[:40], whole, whole, b"7", json.dumps(alien).encode(), json.dumps(nothing).encode()]

    rewrite(submitted, damage)
    submitted.run("a")
    assert sorted(states(submitted)) == ["done", "failed", "failed", "failed"]
    submitted.run("a")
    assert len(submitted.server.lines("batch_2")) == 3


def test_a_download_that_breaks_off_keeps_what_came_and_goes_on_later(
    submitted: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    submitted.server.run("batch_1")
    other = submitted.server.other

    def cut(request: Any) -> Answer:
        answer = other(request)
        if request.path.endswith("/content"):
            first, *_ = answer.steps[0].splitlines(keepends=True)
            return Answer([first, b'{"custom', CUT])
        return answer

    with monkeypatch.context() as patched:
        patched.setattr(submitted.server, "other", cut)
        shown = run(submitted, "a")
    assert sorted(states(submitted)) == ["done", "pending", "pending", "pending"]
    assert "batch_1: The connection" in shown
    submitted.restart()
    submitted.run("a")
    assert states(submitted) == ["done"] * 4
    assert batches(submitted) == ["batch_1"]


def test_answers_that_are_gone_are_asked_again(submitted: Desk) -> None:
    submitted.server.run("batch_1")
    submitted.server.files.clear()
    with pytest.raises(GlmError, match="returned no answer to this request"):
        submitted.run("a")
    assert "the service no longer has its answers" in words(submitted)
    submitted.run("a")
    assert batches(submitted) == ["batch_1", "batch_2"]


@pytest.mark.parametrize("status", [400, 404, 410])
def test_a_batch_that_is_not_there_is_kept_until_it_is_dropped(
    submitted: Desk, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    other = submitted.server.other

    def gone(request: Any) -> Answer:
        return error(status, {"error": {"message": "?"}}) if "/batches/batch_1" in request.path else other(request)

    del submitted.server.batches["batch_1"]
    with monkeypatch.context() as patched:
        patched.setattr(submitted.server, "other", gone)
        shown = run(submitted, "a")
        assert "_glm.cancel() drops it" in " ".join(shown.split())
        assert states(submitted) == ["pending"] * 4
        assert "was dropped" in submitted.kernel.shell.user_ns["_glm"].cancel()
    submitted.run("a")
    assert len(batches(submitted)) == 1


def test_a_batch_that_is_over_is_not_cancelled(submitted: Desk) -> None:
    submitted.server.run("batch_1")
    said = submitted.kernel.shell.user_ns["_glm"].cancel()
    assert said == "batch_1 is completed. Run the cell again to collect what it has answered."
    submitted.run("a")
    assert states(submitted) == ["done"] * 4


def test_a_batch_that_does_not_name_its_answers_yet_is_pending(submitted: Desk) -> None:
    submitted.server.run("batch_1")
    batch = submitted.server.batches["batch_1"]
    output = batch.pop("output_file_id")
    submitted.run("a")
    assert states(submitted) == ["pending"] * 4
    batch["output_file_id"] = output
    submitted.run("a")
    assert states(submitted) == ["done"] * 4
    assert batches(submitted) == ["batch_1"]


def test_one_that_never_names_its_answers_can_be_dropped(submitted: Desk) -> None:
    submitted.server.batches["batch_1"]["status"] = "completed"
    submitted.run("a")
    assert states(submitted) == ["pending"] * 4
    assert "it was dropped" in submitted.kernel.shell.user_ns["_glm"].cancel()
    submitted.run("a")
    assert batches(submitted) == ["batch_1", "batch_2"]


def test_cancel_cancels_and_what_was_answered_is_collected(submitted: Desk) -> None:
    said = submitted.kernel.shell.user_ns["_glm"].cancel()
    assert said == "batch_1 is cancelled. Run the cell again to collect what it has answered."
    with pytest.raises(GlmError, match="cancelled before"):
        submitted.run("a", "%%glm -t 0,1 -n 2\nhi")
    assert submitted.kernel.shell.user_ns["_glm"].cancel() == "Nothing of this comparison is pending in a batch."
    submitted.run("a")
    assert states(submitted) == ["done"] * 4
    assert len(asked_directly(submitted)) == 4


# --- refusals, and bad input -------------------------------------------------------------------------------


def test_an_endpoint_without_the_routes_says_so_before_anything_is_uploaded(desk: Desk) -> None:
    desk.server.is_there = False
    with pytest.raises(ServiceError, match="has no Batch API") as caught:
        desk.run("a", CELL)
    assert caught.value.remedy == "Ask without a batch (--batch, batch=True)."
    assert [request.method for request in desk.server.requests] == ["GET"]


@pytest.mark.parametrize(
    ("path", "answer", "said"),
    [
        ("/files", error(413, "too large"), "does not take a file of this size"),
        ("/files", error(400, {"error": {"message": "Invalid purpose"}}), "Invalid purpose"),
        ("/files", error(403, {"error": {"message": "file quota exceeded"}}), "quota"),
        ("/batches", error(429, {"error": {"code": "1302", "message": "batch quota"}}), "batch quota"),
        ("/batches", error(400, {"error": {"message": "model does not support batch"}}), "does not support"),
    ],
)
def test_a_refusal_is_said_and_nothing_is_pending(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, path: str, answer: Answer, said: str
) -> None:
    other = desk.server.other
    with monkeypatch.context() as patched:
        patched.setattr(
            desk.server, "other", lambda r: answer if r.method == "POST" and r.path.endswith(path) else other(r)
        )
        with pytest.raises(ServiceError, match=said):
            desk.run("a", CELL)
    desk.run("a", CELL)
    assert states(desk) == ["pending"] * 4
    assert batches(desk) == ["batch_1"]


def test_a_model_that_is_refused_costs_its_column(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    other = desk.server.other

    def of_one(request: Any) -> Answer:
        if request.method == "POST" and b"AirX" in request.raw:
            return error(400, {"error": {"message": "no batches of AirX"}})
        return other(request)

    monkeypatch.setattr(desk.server, "other", of_one)
    shown = run(desk, "a", "%%glm -m GLM-4-Air,GLM-4-AirX --batch\nhi")
    assert states(desk) == ["pending", "failed"]
    assert "no batches of AirX" in shown


WRONG = [
    ("--batch", "compares nothing"),
    ("-n 2 --batch --bg", "ends the cell at once"),
    ("-n 2 --batch --executor pool", "--executor"),
    ("-n 2 --batch --until-decided --score f", "rounds"),
    ("-n 2 --batch -m embedded", "embedded model has no Batch API"),
    ("-n 2 --batch -T f", "cannot call a function"),
]


@pytest.mark.parametrize(("options", "said"), WRONG)
def test_what_a_batch_cannot_do_is_said_before_anything_is_sent(desk: Desk, options: str, said: str) -> None:
    desk.kernel.run("def f(reply: str) -> int:\n    '''Count.'''\n    return 1")
    with pytest.raises(OptionError, match=said):
        desk.run("a", f"%%glm {options}\nhi")
    assert desk.server.requests == []


def test_without_a_store_a_batch_wants_a_record_that_is_one(desk: Desk, tmp_path: Path) -> None:
    desk.restart("%glm_config save_turns=off")
    with pytest.raises(OptionError, match="save_turns=off") as caught:
        desk.run("a", CELL)
    assert "record=answers.db" in caught.value.remedy
    desk.restart("%glm_config save_turns=off", f"%glm_config record={tmp_path / 'own.db'}")
    desk.run("a", CELL)
    desk.server.run("batch_1")
    desk.restart("%glm_config save_turns=off", f"%glm_config record={tmp_path / 'own.db'}")
    desk.run("a")
    assert states(desk) == ["done"] * 4
    assert not (desk.store / "answers.db").exists()


def test_another_service_gets_neither_the_key_nor_a_question_about_the_batch(
    submitted: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = len(submitted.server.requests)
    with BatchServer() as other:
        monkeypatch.setenv("GLM_BASE_URL", other.url)
        submitted.restart()
        shown = run(submitted, "a", "%%glm -t 0,1 -n 2\nhi")
        assert "the settings name another service" in shown
        assert not any("batches" in request.path for request in other.requests)
    assert len(submitted.server.requests) == before


def test_the_key_stands_nowhere_though_the_service_repeats_it(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLM_API_KEY", KEY)
    desk.run("a", "%%glm -t 0,1 --batch\nhi")
    desk.server.run("batch_1", refused=(names(desk)[1],))
    output = desk.server.batches["batch_1"]
    for file in (output["output_file_id"], output["error_file_id"]):
        name, content = desk.server.files[file]
        desk.server.files[file] = name, content.replace(b"You said", KEY.encode()).replace(b'"no"', f'"{KEY}"'.encode())
    desk.run("a")
    assert states(desk) == ["done", "failed"]
    assert "canary" not in json.dumps(desk.outputs["a"])
    assert b"canary" not in (desk.store / "answers.db").read_bytes()


@pytest.mark.parametrize("step", ["upload", "creation", "status", "errors", "lost creation", "not a batch"])
def test_the_key_stands_in_no_error_of_a_batch(desk: Desk, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    monkeypatch.setenv("GLM_API_KEY", KEY)
    faults = {
        "upload": ("/files", error(400, {"error": {"message": f"{KEY} is wrong"}})),
        "creation": ("/batches", error(429, {"error": {"code": "1302", "message": f"quota of {KEY}"}})),
        "lost creation": ("/batches", error(500, {"error": {"message": f"down for {KEY}"}})),
        "not a batch": ("/batches", Answer([json.dumps({"key": KEY}).encode()])),
    }
    other = desk.server.other
    with monkeypatch.context() as patched:
        if step in faults:
            path, answer = faults[step]
            patched.setattr(
                desk.server, "other", lambda r: answer if r.method == "POST" and r.path.endswith(path) else other(r)
            )
        with contextlib.suppress(GlmError):
            desk.run("a", CELL)
    if step in ("status", "errors"):
        changed = {"status": KEY} if step == "status" else {"status": "failed", "errors": {"data": [{"message": KEY}]}}
        desk.server.batches["batch_1"] |= changed
        with contextlib.suppress(GlmError):
            desk.run("a")
    assert "…" in json.dumps(desk.outputs["a"], ensure_ascii=False), "it is told, masked"
    assert "canary" not in json.dumps(desk.outputs["a"])
    assert not any("canary" in str(run.error) for run in runs(desk))
    assert b"canary" not in b"".join(file.read_bytes() for file in desk.store.glob("answers.db*"))


def test_the_store_does_not_forget_what_is_pending(submitted: Desk) -> None:
    with pytest.raises(HistoryError, match="4 requests are pending in batches") as caught:
        submitted.run("b", "%glm_history --forget")
    assert "_glm.cancel()" in caught.value.remedy
    assert states(submitted) == ["pending"] * 4
    submitted.run("b", "%glm_history --forget --force")
    submitted.run("a", "%%glm -t 0,1 -n 2\nhi")
    assert len(asked_directly(submitted)) == 4


def test_what_is_pending_is_not_asked_again_because_the_store_is_turned_off(submitted: Desk) -> None:
    submitted.restart("%glm_config save_turns=off")
    with pytest.raises(OptionError, match="4 of these requests are pending in batches, which save_turns=off"):
        submitted.run("a", "%%glm -t 0,1 -n 2\nhi")
    assert asked_directly(submitted) == []


# --- several kernels, services and runs --------------------------------------------------------------------


def lose_the_store(desk: Desk) -> None:
    """Delete the store, as it is after a reinstallation; the notebook has no answers either."""
    desk.end()
    for name in ("answers.db", "answers.db-wal", "answers.db-shm"):
        (desk.store / name).unlink(missing_ok=True)
    desk.outputs.clear()
    desk.save()
    desk.restart()


def test_a_fresh_comparison_by_batch_ends(desk: Desk) -> None:
    desk.run("a", "%%glm -m GLM-4-Air,GLM-4-Plus\nhi")
    shown = run(desk, "a", "%%glm -m GLM-4-Air,GLM-4-Plus --fresh --batch\nhi")
    assert "run the cell again without --fresh to collect" in shown
    assert states(desk) == ["pending"] * 2
    desk.server.run("batch_1")
    for _ in range(2):
        desk.run("a")
        assert states(desk) == ["done", "pending"]
    desk.server.run("batch_2")
    desk.run("a")
    assert states(desk) == ["done"] * 2
    assert batches(desk) == ["batch_1", "batch_2"]


def test_older_answers_do_not_stand_in_for_fresh_ones_that_are_pending(desk: Desk) -> None:
    desk.run("a", "%%glm -t 0,1\nhi")
    desk.run("a", "%%glm -t 0,1 --fresh --batch\nhi")
    desk.kernel.shell.user_ns["_glm"].ask_more()
    assert states(desk) == ["pending"] * 4


@pytest.mark.parametrize("options", ["--batch", ""])
def test_two_kernels_that_collect_at_once_ask_nothing_again(
    submitted: Desk, monkeypatch: pytest.MonkeyPatch, options: str
) -> None:
    submitted.server.run("batch_1")
    submitted.restart()
    collect = PendingBatches.collect

    def late(*given: Any) -> Any:
        monkeypatch.setattr(PendingBatches, "collect", collect)
        run_in_another_kernel(submitted)
        return collect(*given)

    monkeypatch.setattr(PendingBatches, "collect", late)
    submitted.run("a", f"%%glm -t 0,1 -n 2 {options}\nhi")
    assert states(submitted) == ["done"] * 4
    assert batches(submitted) == ["batch_1"]
    assert asked_directly(submitted) == []


@pytest.mark.parametrize("status", [400, 403, 404])
def test_where_the_store_and_the_input_files_are_lost_results_tell_what_was_asked(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    cell = "%%glm -m GLM-4-Air,GLM-4-Plus --batch\nhi"
    desk.run("a", cell)
    for batch in ("batch_1", "batch_2"):
        desk.server.run(batch)
    inputs = {batch["input_file_id"] for batch in desk.server.batches.values()}
    lose_the_store(desk)
    other = desk.server.other

    def withheld(request: Any) -> Answer:
        if any(f"/files/{file}/content" in request.path for file in inputs):
            return error(status, {"error": {"message": "not yours"}})
        return other(request)

    monkeypatch.setattr(desk.server, "other", withheld)
    desk.run("a", cell)
    assert states(desk) == ["done"] * 2
    assert [run.saved.attempt.model for run in runs(desk)] == ["GLM-4-Air", "GLM-4-Plus"]
    assert batches(desk) == ["batch_1", "batch_2"]


def test_where_nothing_tells_what_a_batch_asks_nothing_is_submitted_until_it_is_over(submitted: Desk) -> None:
    lines = submitted.server.files.pop(submitted.server.batches["batch_1"]["input_file_id"])
    lose_the_store(submitted)
    with pytest.raises(ServiceError, match="its requests cannot be read") as caught:
        submitted.run("a", CELL)
    assert "when that batch is over" in caught.value.remedy
    submitted.server.files[submitted.server.batches["batch_1"]["input_file_id"]] = lines
    submitted.run("a", CELL)
    assert batches(submitted) == ["batch_1"]


def test_what_is_collected_second_keeps_what_has_failed_first(submitted: Desk) -> None:
    cell = "%%glm -t 0,1 -n 3 --batch\nhi"
    submitted.run("a", cell)
    submitted.server.run("batch_1", refused=(names(submitted)[0],))
    submitted.end()
    with contextlib.closing(sqlite3.connect(submitted.store / "answers.db")) as connection:
        for table in ("batch_requests", "batches"):
            connection.execute(f"DELETE FROM {table} WHERE label IN (SELECT label FROM batches WHERE id = 'batch_2')")
        connection.commit()
    submitted.restart()
    shown = run(submitted, "a", cell)
    assert states(submitted) == ["failed", "done", "pending", "done", "done", "pending"]
    assert shown.count("batch_1: completed") == shown.count("batch_2: validating") == 1
    assert batches(submitted) == ["batch_1", "batch_2"]


def test_a_service_that_may_have_a_batch_does_not_keep_another_from_getting_one(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed_at(desk, monkeypatch, "before the creation")
    with BatchServer() as other:
        monkeypatch.setenv("GLM_BASE_URL", other.url)
        desk.restart()
        shown = run(desk, "a", CELL)
        assert "the settings name another service" in shown
        assert [*other.batches] == ["batch_1"]
        said = desk.kernel.shell.user_ns["_glm"].cancel()
        assert "it was dropped here, and not cancelled there" in said
        assert "batch_1 is cancelled" in said
    monkeypatch.undo()


def test_asking_more_checks_what_a_batch_needs(submitted: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    submitted.server.run("batch_1")
    submitted.run("a")
    submitted.save()
    monkeypatch.setenv("GLM_REPLAY", str(submitted.path))
    monkeypatch.setenv("GLM_SAVE_TURNS", "off")
    submitted.restart()
    submitted.run("a")
    with pytest.raises(OptionError, match="save_turns=off"):
        submitted.kernel.shell.user_ns["_glm"].ask_more()
    assert batches(submitted) == ["batch_1"]


# --- what is spent --------------------------------------------------------------------------------------------


def priced(desk: Desk, tmp_path: Path, *lines: str) -> None:
    (tmp_path / "prices.csv").write_text("model,input,output,currency\nGLM-4-Air,0,2000,USD\n")
    desk.restart(f"%glm_config prices={tmp_path / 'prices.csv'}", *lines)


def test_what_a_batch_frees_is_asked_within_the_budget(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed_at(desk, monkeypatch, "before the creation")
    priced(desk, tmp_path, "%glm_config budget=0.1")
    monkeypatch.setattr("glm_magic.comparing.collecting._SETTLED_SECONDS", -1.0)
    with pytest.raises(OverBudget):
        desk.run("a", CELL)
    assert batches(desk) == []


def test_an_answer_that_is_of_no_use_is_billed(desk: Desk) -> None:
    desk.run("a", "%%glm -n 1 --json --batch\nhi")
    desk.server.run("batch_1")
    before = shared().ledger.total.requests
    with pytest.raises(GlmError, match="does not fit"):
        desk.run("a")
    assert shared().ledger.total.requests == before + 1


def test_an_answer_is_billed_once_though_it_is_collected_again(
    submitted: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    submitted.server.run("batch_1")
    before = shared().ledger.total.requests

    def full(*_: Any, **__: Any) -> None:
        raise HistoryError("no space left")

    with monkeypatch.context() as patched:
        patched.setattr("glm_magic.notebook.runs.RunTable.add", full)
        submitted.run("a")
    assert states(submitted) == ["done"] * 4
    submitted.run("a")
    submitted.run("a")
    assert shared().ledger.total.requests == before + 4


# --- the requests as a file --------------------------------------------------------------------------------


@pytest.mark.parametrize("options", ["", "-N", "--batch"])
def test_the_requests_of_the_last_comparison_are_exported(desk: Desk, tmp_path: Path, options: str) -> None:
    desk.run("a", f"%%glm -t 0,1 -n 2 {options}\nhi")
    target = tmp_path / "my-requests.jsonl"
    desk.run("b", f"%glm_history --export {target}")
    assert f"Written: 4 requests to {target}" in desk.kernel.page.text
    lines = [json.loads(line) for line in target.read_text().splitlines()]
    assert [(line["method"], line["url"], line["body"]["temperature"]) for line in lines] == [
        ("POST", "/v1/chat/completions", temperature) for temperature in (0.0, 0.0, 1.0, 1.0)
    ]
    assert all(line["body"]["messages"] == [{"role": "user", "content": "hi"}] for line in lines)
    assert len({line["custom_id"] for line in lines}) == 4
    assert not any("stream" in line["body"] for line in lines)
    with pytest.raises(HistoryError):
        desk.run("b")


def test_the_requests_are_those_that_were_asked_more(submitted: Desk, tmp_path: Path) -> None:
    submitted.kernel.shell.user_ns["_glm"].ask_more()
    target = tmp_path / "requests.jsonl"
    submitted.run("b", f"%glm_history --export {target}")
    assert len(target.read_text().splitlines()) == 6


def test_requests_need_a_comparison(desk: Desk, tmp_path: Path) -> None:
    desk.asked("a", "hi")
    with pytest.raises(HistoryError, match="requests of a comparison"):
        desk.run("b", f"%glm_history --export {tmp_path / 'requests.jsonl'}")
    assert not (tmp_path / "requests.jsonl").exists()
