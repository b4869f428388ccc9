"""An MCP server over HTTP, made with the package mcp, in a process of its own: the package sets up its logging."""

from __future__ import annotations

import socket
from typing import Any

import uvicorn
from mcp.server import MCPServer

server = MCPServer("adder")
tokens: set[str] = set()


@server.tool()
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@server.tool()
def seen() -> str:
    """Return the tokens of the requests so far."""
    return ",".join(sorted(tokens))


app = server.streamable_http_app()


async def noting(scope: Any, receive: Any, send: Any) -> None:
    tokens.update(value.decode() for name, value in scope.get("headers", ()) if name == b"x-token")
    await app(scope, receive, send)


if __name__ == "__main__":
    listening = socket.create_server(("127.0.0.1", 0))
    print(listening.getsockname()[1], flush=True)
    uvicorn.Server(uvicorn.Config(noting, log_level="critical", lifespan="on")).run(sockets=[listening])
