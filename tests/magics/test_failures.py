"""What goes wrong at the service, from the socket to the page."""

from __future__ import annotations

import json
from typing import Any

import pytest
from glm_server import CUT, Answer, chunk, data, error, stream
from ipython_shell import Notebook

from glm_magic.errors import (
    AnswerError,
    BalanceError,
    BrokenStream,
    ContentFiltered,
    PromptTooLong,
    RateLimited,
    ServiceDown,
    ServiceError,
    UsageCap,
    Withdrawn,
)
from glm_magic.notebook.bundle import MIME_TYPE


def glm(code: str, message: str = "text of the service", **more: Any) -> dict[str, Any]:
    return {"error": {"code": code, "message": message}, **more}


def fails(notebook: Notebook, *answers: Answer, cell: str = "%%glm\nhi") -> AnswerError:
    """Run a cell that gets `answers` and fails; return its error."""
    notebook.server.answer(*answers)
    with pytest.raises(AnswerError) as caught:
        notebook.run(cell, "failing")
    return caught.value


def assert_nothing_is_kept(notebook: Notebook) -> None:
    assert notebook.page.saved(MIME_TYPE) == []
    assert notebook.sent("%%glm\nnext", "next").messages == [("user", "next")]


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the pauses before another try short, but long enough to be shown."""
    monkeypatch.setattr("glm_magic.service.client.Client._delay", lambda *_: 0.2)
    monkeypatch.setattr("glm_magic.service.limiter._FIRST_PAUSE", 0.3)


def test_a_refusal_where_no_key_was_sent_says_that_none_is_set(
    notebook: Notebook, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = fails(notebook, error(401, glm("1000")))
    assert failed.what.startswith("The service wants a key, and none is set [HTTP 401, code 1000]")
    assert "--login" in failed.remedy
    monkeypatch.setenv("GLM_API_KEY", "0123456789abcdef.canary-canary")
    assert fails(notebook, error(401, glm("1000"))).what.startswith("The service rejected the key")


# --- the content filter --------------------------------------------------------------------------


@pytest.mark.parametrize("role", ["assistant", "user"])
@pytest.mark.parametrize("options", ["", "-q", "-f text"])
def test_a_filter_error_in_mid_stream_withdraws_the_text(notebook: Notebook, role: str, options: str) -> None:
    refusal = glm(
        "1301", "系统检测到输入或生成内容可能包含不安全或敏感内容", contentFilter=[{"level": 1, "role": role}]
    )
    failed = fails(
        notebook, Answer([chunk("forbidden "), chunk("text\n\nmore "), data(refusal)]), cell=f"%%glm {options}\nhi"
    )
    assert type(failed) is Withdrawn
    assert failed.partial is None
    assert "code 1301" in failed.what
    assert "forbidden" not in str(notebook.page.outputs)
    assert "more" not in str(notebook.page.outputs)
    assert "_glm" not in notebook.shell.user_ns
    assert_nothing_is_kept(notebook)


def test_a_filter_error_after_thinking_alone_withdraws_it(notebook: Notebook) -> None:
    thinking = chunk(delta={"role": "assistant", "reasoning_content": "forbidden"})
    assert fails(notebook, Answer([thinking, data(glm("1301"))])).partial is None
    assert_nothing_is_kept(notebook)


@pytest.mark.parametrize("status", [400, 200])
def test_a_prompt_that_the_filter_refuses_is_called_so(notebook: Notebook, status: int) -> None:
    refusal = glm("1301", contentFilter=[{"level": 0, "role": "user"}])
    failed = fails(notebook, error(status, refusal) if status == 400 else Answer([data(refusal)]))
    assert type(failed) is ContentFiltered
    assert "refused the prompt, level 0" in failed.what
    assert len(notebook.server.requests) == 1
    assert "withdrawn" not in notebook.page.text
    assert_nothing_is_kept(notebook)


# --- endings -------------------------------------------------------------------------------------


def test_an_answer_cut_at_its_most_tokens_is_kept_and_says_what_to_raise(notebook: Notebook) -> None:
    notebook.server.answer(stream("half", finish_reason="length"))
    assert notebook.run("%%glm --max-tokens 1\nhi", "a").finish_reason == "length"
    assert "raise --max-tokens" in notebook.page.text
    assert notebook.sent("%%glm\ngo on", "b").messages[1] == ("assistant", "half")


@pytest.mark.parametrize(
    ("answer", "kind", "remedy"),
    [
        (stream("half an ", finish_reason="network_error"), ServiceDown, "Run the cell again"),
        (stream("half an ", finish_reason="model_context_window_exceeded"), PromptTooLong, "--skip TURN"),
        (stream("half an ", finish_reason=None), BrokenStream, "Run the cell again"),
        (Answer([chunk("half an "), CUT]), BrokenStream, "Run the cell again"),
        (Answer([chunk("half an "), data(glm("1302"))]), RateLimited, "Run the cell again"),
        (Answer([chunk("half an "), data(glm("1234"))]), ServiceDown, "Run the cell again"),
        (Answer([chunk("half an "), data({"error": "gone"})]), ServiceError, "%glm -N"),
        (Answer([chunk("half an "), data('{"choices": [{"delta": {"con')]), BrokenStream, "Run the cell again"),
    ],
)
def test_an_answer_that_breaks_off_keeps_its_part_on_the_page_and_is_not_asked_again(
    notebook: Notebook, answer: Answer, kind: type[AnswerError], remedy: str
) -> None:
    failed = fails(notebook, answer)
    assert type(failed) is kind
    assert remedy in failed.remedy
    assert failed.partial.text == "half an "
    assert [text.strip() for text in notebook.page.saved("text/markdown")] == ["half an"]
    assert "failed" in notebook.page.text
    assert len(notebook.server.requests) == 1
    assert_nothing_is_kept(notebook)


# --- what is asked again, and what is not --------------------------------------------------------


@pytest.mark.parametrize(
    ("passing", "seen"),
    [
        (error(429, glm("1302", "rate limit")), "rate limit Retrying"),
        (error(429, glm("1305", "overloaded")), "overloaded Retrying"),
        (error(500, glm("1234", "network error, error id 7")), "(1 of 3)"),
        (error(503, glm("channel:no_available_key")), "(1 of 3)"),
        (Answer([data(glm("1302", "rate limit"))]), "rate limit Retrying"),
        (stream(finish_reason="network_error"), "(1 of 3)"),
    ],
)
def test_what_may_pass_is_asked_again_where_the_person_sees_it(
    notebook: Notebook, passing: Answer, seen: str, monkeypatch: pytest.MonkeyPatch, soon: None
) -> None:
    said: list[str] = []
    publish = notebook.page.publish

    def listening(data: dict[str, Any], *args: Any, **kwargs: Any) -> None:
        said.append(data.get("text/plain", ""))
        publish(data, *args, **kwargs)

    monkeypatch.setattr(notebook.page, "publish", listening)
    notebook.server.answer(passing)
    assert notebook.run("%%glm\nhi").text == "You said: hi"  # without a cell id, no live bar takes over
    assert len(notebook.server.requests) == 2
    assert any(seen in line for line in said)
    assert seen not in notebook.page.text


@pytest.mark.parametrize(
    ("refusal", "kind", "said"),
    [
        (glm("1113", "余额不足或无可用资源包,请充值。"), BalanceError, "Top up"),
        (glm("1304"), UsageCap, "tomorrow"),
        (glm("1308", "已达到使用上限,您的限额将在 2026-11-23 18:00:00 重置"), UsageCap, "2026-11-23 18:00:00"),
        (glm("1309"), UsageCap, "Renew"),
        (glm("1310", "resets at 2026-12-01"), UsageCap, "2026-12-01"),
        (glm("1311"), UsageCap, "-m"),
        (glm("1313"), UsageCap, "fair-use rule"),
    ],
)
def test_what_does_not_pass_is_not_asked_again_though_it_comes_with_429(
    notebook: Notebook, refusal: dict[str, Any], kind: type[AnswerError], said: str
) -> None:
    failed = fails(notebook, error(429, refusal, Retry_After="0"))
    assert type(failed) is kind
    assert said in str(failed)
    assert len(notebook.server.requests) == 1
    assert_nothing_is_kept(notebook)


# --- too long ------------------------------------------------------------------------------------


def test_a_conversation_that_is_too_long_says_by_how_much_and_skipping_a_turn_helps(notebook: Notebook) -> None:
    notebook.run("%%glm\n" + "long " * 50, "a")
    notebook.run("%%glm\nshort", "b")
    message = "This model's maximum context length is 8192 tokens. However, you requested 9000 tokens."
    failed = fails(notebook, error(400, {"error": {"message": message, "code": 400}}))
    assert type(failed) is PromptTooLong
    assert "9000 tokens, 808 over the limit of 8192" in failed.what
    assert "%glm_history --skip TURN" in failed.remedy
    notebook.run("%glm_history --skip 1")
    sent = notebook.sent("%%glm\nhi", "failing").messages
    assert sent == [("user", "short"), ("assistant", "You said: short"), ("user", "hi")]


# --- how it is shown -----------------------------------------------------------------------------


@pytest.mark.parametrize("code", ["1113", "1261", "1301", "1308", "1211", "1002", "1214"])
def test_a_refusal_is_shown_in_a_few_short_lines_without_a_traceback(
    notebook: Notebook, capsys: pytest.CaptureFixture[str], code: str
) -> None:
    failed = fails(notebook, error(400, glm(code, "m", request_id="20261123-r1")))
    shown = capsys.readouterr().out.strip().splitlines()
    assert shown[0].startswith(f"{type(failed).__name__}: ")
    assert shown[0].endswith(f"[HTTP 400, code {code}]: m (request 20261123-r1)")
    assert 2 <= len(shown) <= 4
    assert all(len(line) < 100 for line in shown[1:])


def test_v1_after_glms_path_says_the_right_base_url(notebook: Notebook, monkeypatch: pytest.MonkeyPatch) -> None:
    base = notebook.server.url.removesuffix("/v1")
    monkeypatch.setenv("GLM_BASE_URL", f"{base}/api/paas/v4/v1")
    body = {"timestamp": 1, "status": 404, "error": "Not Found", "path": "/v4/v1/chat/completions"}
    assert fails(notebook, error(404, json.dumps(body))).remedy.endswith(f"%glm_config base_url={base}/api/paas/v4")
    monkeypatch.setenv("GLM_BASE_URL", f"{base}/v1/chat/completions/chat/completions")
    assert fails(notebook, error(404, "<html><title>404</title></html>")).remedy.endswith(f"base_url={base}/v1")
