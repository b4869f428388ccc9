"""The scripted server with a Batch API, OpenAI's: files are kept in memory, and `run` answers what was submitted."""

from __future__ import annotations

import email
import email.policy
import json
import re
import threading
from typing import Any

from glm_server import USAGE, Answer, GlmServer, Received, error


def found(body: Any) -> Answer:
    content = body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode()
    return Answer([content], headers={"Content-Type": "application/json"})


class BatchServer(GlmServer):
    """Answers each line with what it was asked, when it is told to `run`. `page` is how many batches a list shows."""

    def __init__(self, page: int = 100) -> None:
        super().__init__()
        self.files: dict[str, tuple[str, bytes]] = {}  # name and content by id
        self.batches: dict[str, dict[str, Any]] = {}
        self.page = page
        self.is_there = True
        self._changing = threading.Lock()

    def other(self, request: Received) -> Answer:
        path, _, query = request.path.removeprefix("/v1").partition("?")
        if not self.is_there or not path.startswith(("/files", "/batches")):
            return super().other(request)
        with self._changing:
            self.requests.append(request)
            return (
                self._of_files(request, path) if path.startswith("/files") else self._of_batches(request, path, query)
            )

    def _of_files(self, request: Received, path: str) -> Answer:
        if content := re.fullmatch("/files/([^/]+)/content", path):
            kept = self.files.get(content[1])
            return found(kept[1]) if kept else error(404, {"error": {"message": "No such File object"}})
        if request.method == "GET":
            return found({"data": [{"id": id_, "filename": name} for id_, (name, _) in self.files.items()]})
        head = f"Content-Type: {request.headers['content-type']}\r\n\r\n".encode()
        form = email.message_from_bytes(head + request.raw, policy=email.policy.HTTP)
        parts = {part.get_param("name", header="content-disposition"): part for part in form.iter_parts()}
        if parts["purpose"].get_content().strip() != "batch":
            return error(400, {"error": {"message": "purpose"}})
        name = parts["file"].get_filename()
        return found({"id": self.keep(name, parts["file"].get_payload(decode=True)), "filename": name})

    def _of_batches(self, request: Received, path: str, query: str) -> Answer:
        if path == "/batches" and request.method == "POST":
            wish = request.body
            if wish["input_file_id"] not in self.files:
                return error(400, {"error": {"message": "no such file"}})
            id_ = f"batch_{len(self.batches) + 1}"
            self.batches[id_] = {"id": id_, "object": "batch", "status": "validating", **wish}
            return found(self.batches[id_])
        if path == "/batches":
            ids = list(reversed(self.batches))
            after = re.search("after=([^&]+)", query)
            ids = ids[ids.index(after[1]) + 1 :] if after else ids
            data = [self.batches[id_] for id_ in ids[: self.page]]
            return found({"object": "list", "data": data, "has_more": len(ids) > self.page})
        id_, _, action = path.removeprefix("/batches/").partition("/")
        if id_ not in self.batches:
            return error(404, {"error": {"message": f"No batch found with id '{id_}'."}})
        if action == "cancel":
            self.batches[id_]["status"] = "cancelled"
        return found(self.batches[id_])

    def keep(self, name: str, content: bytes) -> str:
        """Keep a file, and return its id."""
        id_ = f"file-{len(self.files) + 1}"
        self.files[id_] = (name, content)
        return id_

    def lines(self, batch: str) -> list[dict[str, Any]]:
        """The requests of a batch."""
        content = self.files[self.batches[batch]["input_file_id"]][1]
        return [json.loads(line) for line in content.splitlines()]

    def said(self, body: dict[str, Any]) -> str:
        """What the answer to a request in a batch says."""
        return f"You said: {body['messages'][-1]['content']}"

    def run(self, batch: str, *, refused: tuple[str, ...] = ()) -> None:
        """Complete a batch, the last line first; those whose `custom_id` is `refused` get an error."""
        answered, failed = [], []
        for line in reversed(self.lines(batch)):
            if line["custom_id"] in refused:
                response = {"status_code": 400, "body": {"error": {"code": "1210", "message": "no"}}}
                failed.append({"custom_id": line["custom_id"], "response": response, "error": None})
                continue
            asked = line["body"]
            message = {"role": "assistant", "content": self.said(asked)}
            choice = {"index": 0, "finish_reason": "stop", "message": message}
            body = {"id": "20260101", "created": 1, "model": asked["model"], "choices": [choice], "usage": USAGE}
            answered.append({"custom_id": line["custom_id"], "response": {"status_code": 200, "body": body}})

        def written(name: str, lines: list[dict[str, Any]]) -> str:
            return self.keep(name, b"".join(json.dumps(line).encode() + b"\n" for line in lines)) if lines else ""

        self.batches[batch] |= {
            "status": "completed",
            "output_file_id": written("output", answered),
            "error_file_id": written("errors", failed),
            "request_counts": {
                "total": len(answered) + len(failed),
                "completed": len(answered),
                "failed": len(failed),
            },
        }
