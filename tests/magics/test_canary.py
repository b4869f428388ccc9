"""A key like no other text is planted, and searched for in everything that leaves the process."""

from __future__ import annotations

import dataclasses
import getpass
import logging
import pickle
import sys
import threading
import traceback
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from glm_server import CUT, Answer, GlmServer, calls, chunk, data, error, stream, whole
from ipython_shell import Notebook, interrupt_painting

from glm_magic.chat.events import Event, Tick
from glm_magic.chat.messages import Message
from glm_magic.chat.place import Place
from glm_magic.chat.reply import Reply
from glm_magic.errors import GlmError
from glm_magic.notebook.bundle import MIME_TYPE

KEY = "kanarienvogelsangvormfenster.zwitschertimgartenbisabends"
SECRET = KEY.partition(".")[2]

# any eight characters of the key in a row give it away; the mask shows its last four
PIECES = {KEY[at : at + 8] for at in range(len(KEY) - 7)}
# and so does what they are in another encoding
PIECES |= {piece.encode().hex() for piece in PIECES} | {"".join(f"%{ord(c):02X}" for c in KEY[:8])}
PIECES |= {b64encode(KEY[at : at + 12].encode()).decode() for at in range(len(KEY) - 11)}


class Watched(logging.Handler):
    """Runs cells, and keeps everything that a person, a file, a log or a server gets to see of them."""

    def __init__(self, notebook: Notebook, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__(logging.DEBUG)
        self.notebook = notebook
        self.seen: list[tuple[str, str]] = []
        publish = notebook.page.publish

        def watching(data: dict[str, Any], metadata: Any = None, **kwargs: Any) -> None:
            self.seen.append(("page", repr((data, metadata, kwargs))))
            publish(data, metadata, **kwargs)

        monkeypatch.setattr(notebook.page, "publish", watching)

    def emit(self, record: logging.LogRecord) -> None:
        self.seen.append((f"log {record.name}", f"{record.getMessage()} {record.args!r}"))

    def run(self, code: str, cell: str | None = None) -> Any:
        """Run a cell; keep its value, and of its error all that there is to see."""
        self.notebook._parent = {"metadata": {"cellId": cell}} if cell else {}
        self.notebook.page.outputs.clear()
        result = self.notebook.shell.run_cell(code)
        failed = result.error_in_exec or result.error_before_exec
        if failed is not None:
            self._keep_error(failed)
        if isinstance(result.result, Reply):
            self.keep_reply(result.result)
        return failed if failed is not None else result.result

    def keep_reply(self, reply: Reply) -> None:
        fields = {field.name: getattr(reply, field.name) for field in dataclasses.fields(reply)}
        self.seen += [("reply", repr(reply)), ("fields of a reply", repr(fields))]
        self.seen.append(("pickle of a reply", pickle.dumps(reply).decode("latin-1")))

    def _keep_error(self, failed: BaseException) -> None:
        self.seen.append(("error", repr((failed, str(failed), failed.args, vars(failed)))))
        told = traceback.TracebackException.from_exception(failed, capture_locals=True)
        self.seen.append(("traceback with locals", "".join(told.format())))
        if isinstance(failed, GlmError):
            self.seen.append(("pickle of an error", pickle.dumps(failed).decode("latin-1")))
        partial = getattr(failed, "partial", None)
        if partial is not None:
            self.keep_reply(partial)

    def leaks(self, printed: str) -> list[str]:
        """Return where the key can be seen."""
        everything = [*self.seen, ("stdout or stderr", printed)]
        for request in self.notebook.server.requests:
            headers = {name: value for name, value in request.headers.items() if name != "authorization"}
            everything.append(("request", repr((request.path, headers, request.raw))))
        return [f"{where}: {text}" for where, text in everything if any(piece in text for piece in PIECES)]


@pytest.fixture(params=["variable", "login"])
def watched(
    request: pytest.FixtureRequest,
    notebook: Notebook,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Iterator[Watched]:
    """A notebook with the key; it fails the test if the key is seen anywhere."""
    watched = Watched(notebook, monkeypatch)
    root = logging.getLogger()
    loggers = [root, *(logging.getLogger(name) for name in ("httpx", "httpcore", "asyncio", "glm_magic"))]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.DEBUG)
    root.addHandler(watched)
    monkeypatch.setattr("glm_magic.service.client._FIRST_DELAY", 0.001)
    if request.param == "variable":
        monkeypatch.setenv("GLM_API_KEY", KEY)
    else:
        monkeypatch.setitem(sys.modules, "keyring", None)
        monkeypatch.setattr(getpass, "getpass", lambda prompt: KEY)
        watched.run("%glm_config --login")
    yield watched
    root.removeHandler(watched)
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)
    shown = capfd.readouterr()
    assert watched.leaks(shown.out + shown.err) == []
    sent = [received.headers["authorization"] for received in notebook.server.requests]
    assert set(sent) <= {f"Bearer {KEY}"}


def test_the_search_finds_what_leaks(notebook: Notebook, monkeypatch: pytest.MonkeyPatch) -> None:
    watched = Watched(notebook, monkeypatch)
    for code in (f"print({KEY!r})", f"%glm {KEY}", f"raise ValueError({SECRET!r})"):
        watched.seen.clear()
        notebook.server.requests.clear()
        watched.run(code)
        assert watched.leaks(KEY if "print" in code else "")


def test_success_leaves_no_trace_of_the_key(watched: Watched) -> None:
    assert watched.run("%%glm -o name\nhi", "a").text == "You said: hi"
    watched.run("%%glm -q\nhi", "b")
    watched.run("%%glm --no-stream\nhi", "c")
    watched.run("%%glm --no-history\nhi", "d")
    assert watched.notebook.page.saved(MIME_TYPE)
    watched.run("_glm", "e")
    watched.run("name.request, vars", "f")
    assert [line for line in watched.seen if line[0].startswith("log http")], "the libraries said something"


def test_a_dry_run_masks_the_key(watched: Watched) -> None:
    watched.run("%%glm -N\nhi")
    assert f"Bearer …{KEY[-4:]}" in watched.notebook.page.text


def test_settings_and_history_mask_the_key(watched: Watched) -> None:
    import ipywidgets

    watched.run("%%glm\nhi", "a")
    for line in ("--table", "--panel", "", "base_url", "api_key_env", "temperature=0.5", "--reset"):
        watched.run(f"%glm_config {line}", "p")
    watched.seen.append(("panel", repr(ipywidgets.Widget.get_manager_state())))
    assert f"…{KEY[-4:]}" in watched.seen[-1][1], "the panel shows the mask"
    for line in ("", "--list", "--skip 1", "--unskip 1", "--undo", "--clear", "--skip 9"):
        watched.run(f"%glm_history {line}")
    ipywidgets.Widget.close_all()


def test_what_holds_the_key_does_not_show_it(watched: Watched) -> None:
    magics = watched.notebook.shell.magics_manager.registry["GLMMagics"]
    watched.run("%%glm\nhi", "a")
    session = magics.shared.session
    question = session.plan(Message("user", "hi"), Place("b"))
    asking = session.ask(question)
    holders = (magics, magics.shared, session.layers, session, session.services, session.services.keys, question)
    for value in (*holders, question.endpoint, asking):
        watched.seen.append((type(value).__name__, f"{value!r} {value!s}"))
        if hasattr(value, "__dict__"):
            watched.seen.append((f"fields of {type(value).__name__}", repr(vars(value))))
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(question)


ECHOES = {
    "401": error(401, {"error": {"code": "401", "message": f"invalid: Bearer {KEY}"}, "request_id": KEY}),
    "the second half": error(401, {"error": {"code": "1002", "message": f"signature of {SECRET!r} is wrong"}}),
    "twice": error(403, {"error": {"code": KEY, "message": f"{KEY},{KEY}", "type": KEY}}),
    "text": error(401, KEY),
    "a page": error(403, f"<html><title>no {KEY}</title></html>"),
    "a list": error(400, [KEY]),
    "a long message": error(400, {"error": {"message": "x" * 560 + KEY}}),
    "in the stream": Answer([chunk("half "), data({"error": {"code": "1002", "message": KEY}})]),
    "no JSON": Answer([chunk("half "), data(f"{{{KEY}")]),
    "no completion": Answer([f'{{"key": "{KEY}"}}'.encode()]),
    "base64": error(401, {"error": {"code": "401", "message": f"not {b64encode(f'Bearer {KEY}'.encode()).decode()}"}}),
    "hexadecimal": error(401, {"error": {"code": "401", "message": KEY.encode().hex()}}),
    "percent-encoded": error(401, {"error": {"code": "401", "message": "".join(f"%{ord(c):02X}" for c in KEY)}}),
    "cut off in front": error(401, {"error": {"code": "401", "message": f"…{KEY[9:]}"}}),
    "broken": error(
        401, {"error": {"code": "401", "message": "\r\n ".join(KEY[at : at + 7] for at in (*range(0, 60, 7),))}}
    ),
    "content filter": Answer([chunk("half "), data({"error": {"code": "1301", "message": KEY}})]),
}


@pytest.mark.parametrize("answer", ECHOES.values(), ids=ECHOES)
def test_a_key_that_the_service_says_back_is_masked(watched: Watched, answer: Answer) -> None:
    watched.notebook.server.answer(answer)
    failed = watched.run("%%glm\nhi", "a")
    assert isinstance(failed, GlmError)
    watched.run("%tb")
    watched.run("%xmode Verbose")
    watched.run("%tb")
    watched.run("import sys, traceback; ''.join(traceback.format_exception(sys.last_value))")


def test_a_key_in_the_address_of_a_redirect_is_masked(watched: Watched) -> None:
    logging.getLogger("httpcore").setLevel(logging.WARNING)  # its log of what a service answers is not ours
    watched.notebook.server.answer(error(307, "", Location=f"https://example.com/?key={KEY}"))
    assert "key=…" in str(watched.run("%%glm\nhi", "a"))


def test_a_key_that_is_said_back_while_waiting_is_masked(watched: Watched) -> None:
    watched.notebook.server.answer(error(429, {"error": {"code": "1302", "message": f"{KEY} is too fast"}}))
    assert watched.run("%%glm\nhi").text == "You said: hi"  # without a cell id, no live bar takes over
    assert any("is too fast" in text for where, text in watched.seen if where == "page")


def in_pieces(text: str, size: int = 5) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]


TELLING = {
    "at once": stream(f"it is {KEY}."),
    "in pieces": stream(*in_pieces(f"it is {KEY}.")),
    "not streamed": whole(f"it is {KEY}."),
    "as the model": stream("hi", model=KEY),
    "as the finish reason": stream("hi", finish_reason=KEY),
    "as the id": Answer([data({"id": KEY, "choices": [{"delta": {"content": "hi"}, "finish_reason": "stop"}]})]),
    "as a source": Answer([chunk("hi", finish_reason="stop", web_search=[{"title": KEY, "link": f"https://h/{KEY}"}])]),
    "in its thoughts": Answer(
        [*(chunk(delta={"reasoning_content": piece}) for piece in in_pieces(KEY)), chunk("hi", finish_reason="stop")]
    ),
    "before it breaks": Answer([*map(chunk, in_pieces(f"it is {KEY}")), CUT]),
    "in a call": calls(("look", {"name": KEY})),
    "in a call in pieces": Answer(
        [
            *(
                chunk(delta={"tool_calls": [{"index": 0, "function": {"name": "look", "arguments": piece}}]})
                for piece in in_pieces(f'{{"name": "{KEY}"}}')
            ),
            chunk(finish_reason="tool_calls"),
        ]
    ),
    "as a tool": calls((KEY, {})),
}


@pytest.mark.parametrize("answer", TELLING.values(), ids=TELLING)
def test_a_key_in_an_answer_is_masked_where_it_is_shown_and_kept(
    watched: Watched, tmp_path: Path, answer: Answer
) -> None:
    logging.getLogger("httpcore").setLevel(logging.WARNING)  # its log of what a service answers is not ours
    notebook = watched.notebook
    watched.run(f"%glm_config record={tmp_path / 'record.jsonl'}")
    watched.run("def look(name: str):\n    return name")
    notebook.server.answer(answer)
    result = watched.run("%%glm -T look\nhi", "a")
    if answer in (TELLING["at once"], TELLING["in pieces"], TELLING["not streamed"]):
        assert result.text.endswith(f"…{KEY[-4:]}.")
        assert "the service put your API key into the answer" in notebook.page.text
        assert notebook.page.saved(MIME_TYPE)[0]["repeats_key"] is True
    watched.run("%%glm\nmore", "b")
    watched.seen += [(file.name, file.read_text()) for file in tmp_path.rglob("*") if file.suffix == ".jsonl"]


@pytest.mark.parametrize(
    "where", ["h11._connection.Connection.send", "glm_magic.protocol.chunks.AnswerReader.read_chunk"]
)
@pytest.mark.parametrize("kind", [RuntimeError, MemoryError])
def test_a_bug_leaves_no_trace_of_the_key(
    watched: Watched, monkeypatch: pytest.MonkeyPatch, where: str, kind: type[Exception]
) -> None:
    def fail(*_: object, **__: object) -> None:
        try:
            raise ValueError("first")
        except ValueError:
            raise kind("bug")  # noqa: B904 - its context is looked at too

    monkeypatch.setattr(where, fail)
    failed = watched.run("%%glm\nhi", "a")
    assert isinstance(failed, kind)
    assert "in fail" in watched.seen[-1][1], "the place of the bug is told"


@pytest.mark.parametrize("answer", [Answer([chunk("half "), CUT]), stream("half ", finish_reason=None)])
def test_a_broken_stream_leaves_no_trace_of_the_key(watched: Watched, answer: Answer) -> None:
    watched.notebook.server.answer(answer)
    assert watched.run("%%glm\nhi", "a").partial.text == "half "


def test_a_refused_connection_leaves_no_trace_of_the_key(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    with GlmServer() as gone:
        monkeypatch.setenv("GLM_BASE_URL", gone.url)
    assert isinstance(watched.run("%%glm\nhi", "a"), GlmError)


@pytest.mark.parametrize("text", ["", "half "])
def test_an_interrupt_leaves_no_trace_of_the_key(watched: Watched, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    def has_come(event: Event) -> bool:
        return isinstance(event, Tick) and any(text in shown for where, shown in watched.seen if where == "page")

    interrupt_painting(monkeypatch, has_come)
    watched.notebook.server.answer(Answer([*([chunk(text)] if text else []), threading.Event()]))
    assert isinstance(watched.run("%%glm\nhi", "a"), KeyboardInterrupt)
    watched.run("%tb")


@pytest.mark.parametrize("address", ["http://example.com/v1", "ftp://x", "http://127.0.0.1:1/v1?x=1"])
def test_what_is_refused_before_it_is_sent_leaves_no_trace_of_the_key(
    watched: Watched, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv("GLM_BASE_URL", address)
    assert isinstance(watched.run("%%glm\nhi"), GlmError)
    watched.run("%glm_config --table")
    monkeypatch.setenv("GLM_API_KEY_ENV", "NOT_THERE")
    assert isinstance(watched.run("%%glm\nhi"), GlmError)


@pytest.mark.parametrize("odd", ["\n", "é"])
def test_a_key_that_cannot_be_sent_is_not_shown_either(
    notebook: Notebook, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], odd: str
) -> None:
    watched = Watched(notebook, monkeypatch)
    monkeypatch.setenv("GLM_API_KEY", KEY + odd + KEY)
    assert isinstance(watched.run("%%glm\nhi"), GlmError)
    watched.run("%glm_config --table")
    monkeypatch.setattr(getpass, "getpass", lambda prompt: KEY + odd + KEY)
    assert isinstance(watched.run("%glm_config --login"), GlmError)
    shown = capfd.readouterr()
    assert watched.leaks(shown.out + shown.err) == []
