"""A small MCP server on stdin and stdout, without the package mcp: it starts at once, and misbehaves as it is told."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

COMMAND = f'"{sys.executable}" "{Path(__file__)}"'

TEXT = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
NOTHING = {"type": "object", "properties": {}}
TOOLS = {
    "echo": TEXT,
    "files/read file": TEXT,
    "count": NOTHING,
    "environment": NOTHING,
    "process": NOTHING,
    "fail": NOTHING,
    "image": NOTHING,
    "data": NOTHING,
    "die": NOTHING,
    "nonsense": NOTHING,
    "silence": NOTHING,
    "flood": NOTHING,
    "x" * 80: {"type": "object", "properties": {"a": {"type": 7}}},
}
IMAGE = {"type": "image", "mimeType": "image/png", "data": "aGVsbG8="}


def text(value: str) -> dict:
    return {"content": [{"type": "text", "text": value}]}


def called(name: str, arguments: dict, count: int) -> dict | None:
    """Return the result of a call; None for no answer."""
    if name in ("echo", "files/read file"):
        return text(arguments["text"])
    if name == "count":
        return text(str(count))
    if name == "environment":
        return text(json.dumps(dict(os.environ)))
    if name == "process":
        return text(str(os.getpid()))
    if name == "fail":
        return {**text("no such file"), "isError": True}
    if name == "image":
        return {"content": [{"type": "text", "text": "Here:"}, IMAGE]}
    if name == "data":
        return {"content": [], "structuredContent": {"degrees": 21}}
    if name == "flood":
        print("<b>no message</b>\n" * 1_000, flush=True)
        return text("x" * 1_000_000)
    if name == "die":
        print("out of memory", file=sys.stderr, flush=True)
        sys.exit(1)
    if name == "nonsense":
        print("this is no JSON\n[]\n", flush=True)
    return None


def main() -> None:
    if "--mute" in sys.argv:
        time.sleep(600)
    count = 0
    for line in sys.stdin:
        asked = json.loads(line)
        method, parameters = asked.get("method"), asked.get("params") or {}
        answer: dict = {"error": {"code": -32601, "message": "unknown method"}}
        if method == "initialize":
            info = {"name": "small", "version": "1"}
            version = parameters["protocolVersion"]
            answer = {"result": {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": info}}
        elif method == "tools/list":
            listed = [{"name": name, "inputSchema": schema} for name, schema in TOOLS.items()]
            answer = {"result": {"tools": listed}}
        elif method == "tools/call":
            count += parameters["name"] != "count"
            result = called(parameters["name"], parameters.get("arguments") or {}, count)
            if result is None:
                continue
            answer = {"result": result}
        if "id" in asked:
            print(json.dumps({"jsonrpc": "2.0", "id": asked["id"], **answer}), flush=True)


if __name__ == "__main__":
    main()
