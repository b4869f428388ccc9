"""The child process of the embedded model: llama.cpp's own server, on loopback, until its stdin ends.

It is run by its path, so that it loads nothing of the package. It reads one line of JSON from stdin
(``model``, ``name``, ``key``, ``threads``) and writes one to stdout (``url``).
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time

# What the weights were trained with; two answers at once share it.
CONTEXT_TOKENS = 8192
ANSWERS_AT_ONCE = 2
# This server's own default for max_tokens: so small a model may repeat itself without end.
MOST_TOKENS = 1024


def main() -> None:
    """Serve until the parent is gone."""
    order = json.loads(sys.stdin.readline())
    import xllamacpp  # noqa: PLC0415 - only after the order is read, so that a bad start says why

    params = xllamacpp.CommonParams()
    params.model.path = order["model"]
    params.model_alias = {order["name"]}
    params.n_ctx = CONTEXT_TOKENS
    params.n_parallel = ANSWERS_AT_ONCE
    params.n_predict = MOST_TOKENS
    params.kv_unified = True
    params.cache_ram_mib = 0
    params.cpuparams.n_threads = order["threads"]
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.api_keys = [order["key"]]
    params.use_jinja = True
    params.ui = False
    server = xllamacpp.Server(params)
    print(json.dumps({"url": server.listening_address}), flush=True)
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    sys.stdin.read()
    os._exit(0)  # the server's threads would keep the process


def _end_with_parent(parent: int) -> None:
    """End when the parent has died though a fork of it still holds the pipe to our stdin."""
    while os.getppid() == parent:
        time.sleep(2)
    os._exit(0)


if __name__ == "__main__":
    main()
