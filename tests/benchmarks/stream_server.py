"""A server for the stream benchmarks, in a process of its own: prints its base URL, and serves until it is killed.

The last message says what is streamed, as GLM writes it, each chunk in a chunk of the transfer encoding:
``burst N`` N chunks as fast as the socket takes them, ``first`` one chunk at once and the end 3 ms later,
``pace N RATE`` N chunks, RATE a second.
"""

from __future__ import annotations

import asyncio
import functools
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from glm_server import chunk, data

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def framed(event: bytes) -> bytes:
    return f"{len(event):x}\r\n".encode() + event + b"\r\n"


TOKENS = [framed(chunk(f"tok{number}")) for number in range(10)]
END = framed(chunk(finish_reason="stop")) + framed(data("[DONE]")) + b"0\r\n\r\n"


@functools.lru_cache
def burst(chunks: int) -> bytes:
    return HEAD + b"".join(TOKENS[number % 10] for number in range(chunks)) + END


async def answer(words: list[str], writer: asyncio.StreamWriter) -> None:
    while words[0].isdigit():  # the number of a row
        words = words[1:]
    match words:
        case ["burst", chunks]:
            writer.write(burst(int(chunks)))
        case ["first"]:
            writer.write(HEAD + TOKENS[0])
            await asyncio.sleep(0.003)
            writer.write(TOKENS[1] + END)
        case ["pace", chunks, rate]:
            clock = asyncio.get_running_loop().time
            started = clock()
            writer.write(HEAD)
            for number in range(int(chunks)):
                await asyncio.sleep(max(0.0, started + number / float(rate) - clock()))
                writer.write(TOKENS[number % 10])
            writer.write(END)
    await writer.drain()


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            body = await reader.readexactly(int(head.split(b"content-length:")[1].split(b"\r\n")[0]))
            await answer(json.loads(body)["messages"][-1]["content"].split(), writer)
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def main() -> None:
    server = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=512)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
