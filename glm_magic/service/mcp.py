"""The tools of MCP servers: starts or joins a server, in a thread with an event loop of its own, and calls tools."""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import functools
import logging
import os
import shlex
import sys
import threading
import weakref
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

from glm_magic.errors import OptionError, SetupError, described, quoted
from glm_magic.tools import toolset
from glm_magic.tools.tool import Tool
from glm_magic.tools.toolset import Toolset, valid_name

_GLANCE_SECONDS = 0.1  # how late an interrupt is where waiting cannot be interrupted (Windows)
_ENDING_SECONDS = 10.0  # the package closes a server's input, and kills one that stays after some seconds
_MOST_PAGES = 100  # of a server's list of tools
_LAST_WORDS = 2_000  # bytes of what a server has written to its standard error
_LAST_WORDS_SECONDS = 1.0  # how long they may take to come when it has ended

_AGAIN = "Run the cell that makes it again."
_NOT_PICKLED = "an MCP server belongs to its process, and is not pickled"

# each line of a server that is no message is logged, and Python writes what nobody handles to the standard error
logging.getLogger("mcp").addHandler(logging.NullHandler())


class MCP(Toolset):
    """The tools of an MCP server, which a cell offers with ``-T``.

    ::

        clock = MCP("python -m mcp_server_time")
        %glm -T clock What time is it in Zurich?

    The server ends with the kernel, with `close`, or when nothing refers to it any more.
    """

    def __init__(
        self,
        server: str | Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float = 60,
    ) -> None:
        """Start the server that a command starts, or join the one at a URL (streamable HTTP), and read its tools.

        ``python`` at the beginning of a command is this kernel's. A server gets no variables of the environment but
        ``PATH``, ``HOME`` and the like, and those in `env`; one at a URL gets the `headers`. `timeout` is in seconds,
        for the start and for each call. Raises `OptionError` for what is neither, and `SetupError` if there is no
        server.
        """
        self._name, where = _server(server, env, headers)
        if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or not timeout > 0:
            raise OptionError(f"timeout takes a number of seconds above 0, not {quoted(repr(timeout))}.")
        self._connection = _Connection(self._name, where, float(timeout))
        self._end = weakref.finalize(self, self._connection.close)
        try:
            self._connection.open()
        except BaseException:  # an interrupt, too
            self._end()
            raise
        self._tools: dict[str, Tool] = {}
        for found in self._connection.listed:
            name = valid_name(found.name, self._tools)
            text = found.description or found.title or ""
            call = functools.partial(self._connection.call, found.name)
            self._tools[name] = toolset.described(name, text, found.input_schema, call)

    @property
    def tools(self) -> Mapping[str, Tool]:
        """The tools by the names under which the model calls them. Raises `SetupError` if the server has ended."""
        if not self._end.alive:
            raise SetupError(f"The MCP server {self._name} is closed.", _AGAIN)
        if self._connection.ended:
            raise SetupError(f"The MCP server {self._name} has ended{self._connection.last_words()}.", _AGAIN)
        return self._tools

    def close(self) -> None:
        """End the server, or leave the one at a URL."""
        self._end()

    def __repr__(self) -> str:
        return f"MCP({self._name!r})"

    def __dir__(self) -> list[str]:
        return [*object.__dir__(self), *self._tools]

    def __reduce__(self) -> str | tuple[object, ...]:
        raise TypeError(_NOT_PICKLED)


class MCPError(Exception):
    """What a server says of a call that failed."""


def _server(
    server: object, env: Mapping[str, str] | None, headers: Mapping[str, str] | None
) -> tuple[str, Callable[[Any], Any]]:
    """Return what to call a server, and a function that connects to it, given a file for its standard error."""
    example = 'MCP("python -m mcp_server_time") or MCP("http://localhost:8000/mcp")'
    if isinstance(server, str) and urlsplit(server).scheme in ("http", "https"):
        if env is not None:
            raise OptionError("env is for a server that is started, and this one is joined.", "Leave env out.")
        address = urlsplit(server)
        shown = address._replace(netloc=address.netloc.rpartition("@")[2], query="").geturl()
        return quoted(shown), lambda _: _joined(server, dict(headers or {}))
    if headers is not None:
        raise OptionError("headers are for a server at a URL.", "Give a variable: env={…}")
    try:
        words = _words(server)
    except (ValueError, TypeError) as error:
        raise OptionError(f"MCP takes a command or a URL: {quoted(str(error))}.", f"For example: {example}") from None
    if not words or not all(isinstance(word, str) for word in words):
        raise OptionError(f"MCP takes a command or a URL, not {quoted(repr(server))}.", f"For example: {example}")
    command = [sys.executable if words[0] in ("python", "python3") else words[0], *words[1:]]
    shown = quoted(server if isinstance(server, str) else shlex.join(words))
    return shown, lambda errors: _started(command, dict(env or {}), errors)


def _words(command: Any) -> list[str]:
    if not isinstance(command, str):
        return list(command)
    return command.split() if os.name == "nt" else shlex.split(command)  # shlex would take Windows' backslashes


def _started(command: list[str], env: dict[str, str], errors: Any) -> Any:
    from mcp import Client, StdioServerParameters  # noqa: PLC0415 - of an extra, and slow
    from mcp.client.stdio import stdio_client  # noqa: PLC0415

    # of the environment the package hands over what is known to be harmless, and so no key
    start = StdioServerParameters(command=command[0], args=command[1:], env=env)
    return Client(stdio_client(start, errlog=errors))


@asynccontextmanager
async def _joined(url: str, headers: dict[str, str]) -> AsyncIterator[Any]:
    import httpx2  # noqa: PLC0415 - the package's own client
    from mcp import Client  # noqa: PLC0415
    from mcp.client.streamable_http import streamable_http_client  # noqa: PLC0415

    async with (
        # a call may take any time; what ends it is its own timeout
        httpx2.AsyncClient(headers=headers, timeout=httpx2.Timeout(30, read=None)) as http,
        Client(streamable_http_client(url, http_client=http)) as client,
    ):
        yield client


class _Connection:
    """A server from its start to its end. Its `listed` tools are those at its start."""

    def __init__(self, name: str, connect: Callable[[Any], Any], timeout: float) -> None:
        self._name = name
        self._connect = connect
        self._timeout = timeout
        self._loop: asyncio.AbstractEventLoop | None = None
        self._client: Any = None
        self._task: asyncio.Task[None] | None = None
        self._leave: asyncio.Event | None = None
        self._up: Future[None] = Future()
        self._is_late = self._is_closed = False
        self._stderr = b""  # the end of it
        self._listener: threading.Thread | None = None
        self._process = os.getpid()
        self._thread = threading.Thread(target=self._run, name=f"glm_magic MCP {name}", daemon=True)
        self.ended = False
        self.listed: list[Any] = []

    def __reduce__(self) -> str | tuple[object, ...]:
        raise TypeError(_NOT_PICKLED)

    # --- in the caller's threads ----------------------------------------------------------------

    def open(self) -> None:
        """Start or join the server, and read its tools. Raises `SetupError`."""
        try:
            import mcp  # noqa: F401, PLC0415 - here, so that what is missing is said at once
        except ImportError:
            raise SetupError("MCP servers need the package mcp.", '%pip install "glm_magic[mcp]"') from None
        self._thread.start()
        while True:
            with contextlib.suppress(FutureTimeout):
                return self._up.result(_GLANCE_SECONDS)

    def close(self) -> None:
        """End the server, and wait for it."""
        if os.getpid() != self._process:  # a fork has the object, and not the thread
            return
        self._is_closed = True
        if self._loop is not None and not self._loop.is_closed():
            with contextlib.suppress(RuntimeError):  # it has just closed
                self._loop.call_soon_threadsafe(self._go)
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(_ENDING_SECONDS)

    async def call(self, name: str, /, **arguments: Any) -> Any:
        """Call a tool and return its result; a cancelled call is cancelled at the server. Raises `MCPError`."""
        if os.getpid() != self._process:
            raise MCPError(f"the MCP server {self._name} belongs to the process that started it")
        gone = MCPError(f"the MCP server {self._name} has ended{self.last_words()}")
        if self.ended or self._loop is None:
            raise gone
        call = self._called(name, arguments)
        try:
            answer = asyncio.run_coroutine_threadsafe(call, self._loop)
        except RuntimeError:  # its loop has just closed
            call.close()
            raise gone from None
        try:
            return await asyncio.wrap_future(answer)
        except asyncio.CancelledError:
            if self.ended:
                raise gone from None
            raise

    def last_words(self) -> str:
        """Return what the server wrote to its standard error at the end, to follow a sentence; ``""`` if nothing."""
        tail = quoted(self._stderr.decode(errors="replace")[-400:])
        return f"; it said: {tail}" if tail else ""

    # --- in the server's thread -----------------------------------------------------------------

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
            self._fail(MCPError("it ended"))  # which nobody waits for, unless it ended before it was up
        except BaseException as error:  # it is raised in the caller's thread
            self._fail(error)
        finally:
            self.ended = True

    def _fail(self, error: BaseException) -> None:
        if self._up.done():
            return
        while inner := getattr(error, "exceptions", ()):  # a group, of the package's tasks
            error = inner[0]
        why = f"did not answer in {self._timeout:g} s" if self._is_late else f"cannot be used: {described(error)}"
        failed = SetupError(
            f"The MCP server {self._name} {why}{self.last_words()}.",
            "MCP(…, timeout=…) waits longer." if self._is_late else "Try its command or address outside the notebook.",
        )
        self._up.set_exception(failed)

    async def _serve(self) -> None:
        self._loop, self._task, self._leave = asyncio.get_running_loop(), asyncio.current_task(), asyncio.Event()
        if self._is_closed:
            return
        late = self._loop.call_later(self._timeout, self._give_up)
        with self._listening() as errors:
            async with self._connect(errors) as self._client:
                errors.close()
                self.listed = await self._all_tools()
                late.cancel()
                self._up.set_result(None)
                await self._leave.wait()
                self.ended = True

    def _go(self) -> None:
        """Leave: where the server is up in order, and else at once."""
        assert self._leave is not None, "the loop runs"
        self._leave.set()
        if not self._up.done() and self._task is not None:
            self._task.cancel()

    def _give_up(self) -> None:
        self._is_late = True
        self._go()

    @contextlib.contextmanager
    def _listening(self) -> Any:
        """Give a file for a server's standard error, of which the last words are kept."""
        ours, theirs = os.pipe()

        def listen() -> None:
            with open(ours, "rb", buffering=0) as pipe:  # noqa: PTH123 - a pipe has no path
                while words := pipe.read(65_536):
                    self._stderr = (self._stderr + words)[-_LAST_WORDS:]

        self._listener = threading.Thread(target=listen, name="glm_magic MCP errors", daemon=True)
        self._listener.start()
        try:
            with open(theirs, "wb", buffering=0) as file:  # noqa: PTH123
                yield file
        finally:  # the error of a server that did not come up quotes its last words
            self._listener.join(_GLANCE_SECONDS if self._up.done() else _LAST_WORDS_SECONDS)

    async def _all_tools(self) -> list[Any]:
        tools: list[Any] = []
        cursor = None
        for _ in range(_MOST_PAGES):
            page = await self._client.list_tools(cursor=cursor)
            tools += page.tools
            cursor = page.next_cursor
            if not cursor:
                return tools
        raise MCPError(f"its list of tools has more than {_MOST_PAGES} pages")

    async def _called(self, name: str, arguments: dict[str, Any]) -> Any:
        from mcp import MCPError as ProtocolError  # noqa: PLC0415
        from mcp_types import CONNECTION_CLOSED  # noqa: PLC0415

        try:
            result = await asyncio.wait_for(self._client.call_tool(name, arguments), self._timeout)
        except (TimeoutError, asyncio.TimeoutError):
            raise MCPError(f"the MCP server did not answer in {self._timeout:g} s") from None
        except ProtocolError as error:
            if error.error.code == CONNECTION_CLOSED:
                self.ended = True
                if self._listener is not None:
                    await asyncio.to_thread(self._listener.join, _LAST_WORDS_SECONDS)
                self._go()
                raise MCPError(f"the MCP server {self._name} has ended{self.last_words()}") from None
            raise MCPError(error.error.message) from None
        value = _value(result)
        if result.is_error:
            raise MCPError(value if isinstance(value, str) else "the tool failed")
        return value


# --- results --------------------------------------------------------------------------------------


def _value(result: Any) -> Any:
    """Return the result of a call: its text, what it is as JSON if there is no text, or a list of its parts."""
    parts = [_part(content) for content in result.content]
    if not parts:
        return result.structured_content
    if all(isinstance(part, str) for part in parts):
        return "\n".join(parts)
    return parts[0] if len(parts) == 1 else parts


def _part(content: Any) -> Any:
    match content.type:
        case "text":
            return content.text
        case "image" | "audio":
            kind = "an image" if content.type == "image" else "a sound"
            return f"[{kind}, which is not sent: {content.mime_type}, {_size(content.data):,} bytes]"
        case "resource":
            resource = content.resource
            text = getattr(resource, "text", None)
            return text if text is not None else f"[{resource.uri}: {_size(resource.blob):,} bytes that are not text]"
        case _:
            return content.model_dump(mode="json", exclude_none=True)


def _size(data: str) -> int:
    try:
        return len(base64.b64decode(data))
    except (binascii.Error, ValueError):
        return len(data)
