"""A scripted GLM server on a real loopback socket.

A test queues answers with `answer`; each request takes the next one, or echoes the last message when
none is left. `requests` holds what was received. An `Answer` is a list of steps: bytes to write,
`threading.Event`s to wait for, or `CUT` to drop the connection. A server that `bears` so many requests at once
refuses the others.
"""

from __future__ import annotations

import errno
import json
import re
import secrets
import socket
import sys
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

CUT = object()
USAGE = {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}


def data(payload: Any) -> bytes:
    """One server-sent event."""
    text = payload if isinstance(payload, str) else json.dumps(payload, ensure_ascii=False)
    return f"data: {text}\n\n".encode()


def chunk(text: str = "", **more: Any) -> bytes:
    """A chunk of an answer, as GLM-4 writes it: the role repeats, the finish reason is left out until the end."""
    choice = {"index": 0, "delta": {"role": "assistant", "content": text}}
    choice.update({key: more.pop(key) for key in ("finish_reason", "delta") if key in more})
    return data({"id": "20260101", "created": 1, "model": more.pop("model", "GLM-4-Air"), "choices": [choice], **more})


@dataclass
class Answer:
    """What the server does with one request. A gate among the steps lets a test hold it there."""

    steps: list[Any]
    status: int = 200
    headers: dict[str, str] = field(default_factory=lambda: {"Content-Type": "text/event-stream"})


def stream(*texts: Any, finish_reason: str | None = "stop", usage: Any = USAGE, model: str = "GLM-4-Air") -> Answer:
    """A stream of these texts; events among them are gates."""
    steps: list[Any] = [chunk(text, model=model) if isinstance(text, str) else text for text in texts]
    if finish_reason is not None:
        more = {} if usage is None else {"usage": usage}
        steps += [chunk(finish_reason=finish_reason, model=model, **more), data("[DONE]")]
    return Answer(steps)


def calls(*called: tuple[str, Any], text: str = "", model: str = "GLM-4-Air") -> Answer:
    """Calls of tools, each a name and its arguments, after some text: as GLM-4 streams them, whole and in one chunk."""
    tool_calls = [
        {
            "index": number,
            "id": f"call_{number}",
            "type": "function",
            "function": {
                "name": name,
                "arguments": arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False),
            },
        }
        for number, (name, arguments) in enumerate(called)
    ]
    return Answer(
        [
            *([chunk(text, model=model)] if text else []),
            chunk(delta={"role": "assistant", "tool_calls": tool_calls}, finish_reason="tool_calls", model=model),
            chunk(finish_reason="tool_calls", model=model, usage=USAGE),
            data("[DONE]"),
        ]
    )


def whole(text: str, *, model: str = "GLM-4-Air", finish_reason: str = "stop") -> Answer:
    """A completion that is not streamed."""
    message = {"role": "assistant", "content": text}
    body = {
        "id": "20260101",
        "created": 1,
        "model": model,
        "choices": [{"index": 0, "finish_reason": finish_reason, "message": message}],
        "usage": USAGE,
    }
    return Answer([json.dumps(body, ensure_ascii=False).encode()], headers={"Content-Type": "application/json"})


def error(status: int, body: Any, **headers: str) -> Answer:
    """A refusal."""
    is_text = isinstance(body, str)
    content = body.encode() if is_text else json.dumps(body).encode()
    kind = "text/html" if is_text else "application/json"
    return Answer([content], status, {"Content-Type": kind, **{k.replace("_", "-"): v for k, v in headers.items()}})


@dataclass
class Received:
    """One request as it arrived."""

    path: str
    headers: dict[str, str]
    raw: bytes
    client: tuple[str, int]
    method: str = "POST"

    @property
    def body(self) -> dict[str, Any]:
        return json.loads(self.raw)

    @property
    def messages(self) -> list[tuple[str, str]]:
        """Role and text of each message."""
        return [(message["role"], message["content"]) for message in self.body["messages"]]


class GlmServer:
    """Serves until `close`; use it as a context manager."""

    def __init__(self, bears: int | None = None) -> None:
        self.requests: list[Received] = []
        self.refused: list[Received] = []
        self.models: Answer | None = None  # what it tells of them
        self.bears = bears
        self.at_once = self.most_at_once = 0
        self.connections = 0
        self.hung_up = threading.Event()  # set when a client leaves in mid-answer
        self._answers: list[Answer] = []
        self._lock = threading.Lock()
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                super().setup()
                self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                with owner._lock:
                    owner.connections += 1

            def log_message(self, *args: Any) -> None:
                pass

            def do_GET(self) -> None:
                self._write(owner.other(self._received()))

            def _received(self) -> Received:
                raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                return Received(self.path, headers, raw, self.client_address, self.command)

            def do_POST(self) -> None:
                request = self._received()
                if "/chat/completions" not in request.path:
                    self._write(owner.other(request))
                    return
                with owner._lock:
                    owner.requests.append(request)
                    is_refused = owner.bears is not None and owner.at_once >= owner.bears
                    if is_refused:
                        owner.refused.append(request)
                    else:
                        answer = owner._answers.pop(0) if owner._answers else None
                        owner.at_once += 1
                        owner.most_at_once = max(owner.most_at_once, owner.at_once)
                if is_refused:
                    self._write(error(429, {"error": {"code": "1302", "message": "too many at once"}}))
                    return
                try:
                    self._write(answer or owner.echo(request))
                except OSError:
                    owner.hung_up.set()
                    self.close_connection = True
                finally:
                    with owner._lock:
                        owner.at_once -= 1

            def _write(self, answer: Answer) -> None:
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                for step in answer.steps:
                    if step is CUT:
                        self.connection.shutdown(socket.SHUT_RDWR)
                        self.close_connection = True
                        return
                    if isinstance(step, threading.Event):
                        self._hold(step)
                    elif step:
                        self.wfile.write(f"{len(step):x}\r\n".encode() + step + b"\r\n")
                self.wfile.write(b"0\r\n\r\n")

            def _hold(self, gate: threading.Event) -> None:
                """Wait for the gate, and notice when the client leaves meanwhile."""
                while not gate.wait(0.02):
                    try:
                        if self.connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b"":
                            raise ConnectionResetError
                    except BlockingIOError:
                        continue

        class Http(ThreadingHTTPServer):
            request_queue_size = 128  # a rush of connections is not reset

            def server_bind(self) -> None:
                """Take a port that the system does not hand out: a kernel that starts may have chosen one of those."""
                while True:
                    self.server_address = ("127.0.0.1", 20_000 + secrets.randbelow(10_000))
                    try:
                        super().server_bind()
                    except OSError as failed:
                        if failed.errno != errno.EADDRINUSE:
                            raise
                    else:
                        return

            def handle_error(self, request: Any, client_address: Any) -> None:
                if not isinstance(sys.exc_info()[1], OSError):  # a client that leaves is no fault
                    super().handle_error(request, client_address)

        self._http = Http(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.005}, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """The base URL."""
        return f"http://127.0.0.1:{self._http.server_address[1]}/v1"

    def answer(self, *answers: Answer) -> None:
        """Queue answers for the next requests."""
        with self._lock:
            self._answers += answers

    def echo(self, request: Received) -> Answer:
        """Answer in words that say what was asked last."""
        model, text = request.body["model"], f"You said: {request.body['messages'][-1]['content']}"
        words = re.findall(r"\s*\S+\s*", text)
        return stream(*words, model=model) if request.body.get("stream") else whole(text, model=model)

    def other(self, request: Received) -> Answer:
        """Answer what is no question: a list of the models, if there is one."""
        with self._lock:
            self.requests.append(request)
        if self.models is None or not request.path.endswith("/models"):
            return error(404, {"detail": "Not Found"})
        return self.models

    @property
    def last(self) -> Received:
        """The latest request."""
        return self.requests[-1]

    def close(self) -> None:
        """End the server."""
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def __enter__(self) -> GlmServer:
        return self

    def __exit__(self, *args: object) -> None:
        self.close()
