"""llama.cpp's own server with the weights of the embedded model, and a template that can call tools.

Their own template has none. It runs by its path: `llama_cpp.py WEIGHTS KEY`, prints where it listens, and ends when
stdin does.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import xllamacpp

# How Hermes and Qwen write tools and calls, which llama.cpp knows how to read.
# So small a model calls only after examples.
TEMPLATE = """\
{%- if tools %}
    {{- '<|im_start|>system\\n# Tools\\n\\nYou may call one or more functions. Their signatures:\\n<tools>' }}
    {%- for tool in tools %}
        {{- '\\n' }}
        {{- tool | tojson }}
    {%- endfor %}
    {{- '\\n</tools>\\n\\nFor each call, return a JSON object within <tool_call></tool_call> tags:\\n<tool_call>\\n' }}
    {{- '{"name": <function-name>, "arguments": <args-json-object>}\\n</tool_call><|im_end|>\\n' }}
    {%- for city in ['Oslo', 'Lima', 'Cairo'] %}
        {{- '<|im_start|>user\\nWhat is the weather in ' + city + '?<|im_end|>\\n<|im_start|>assistant\\n' }}
        {{- '<tool_call>\\n{"name": "get_weather", "arguments": {"city": "' + city + '"}}\\n</tool_call>' }}
        {{- '<|im_end|>\\n' }}
        {{- '<|im_start|>user\\n<tool_response>\\nrain in ' + city + '\\n</tool_response><|im_end|>\\n' }}
        {{- '<|im_start|>assistant\\nIt is rain in ' + city + '.<|im_end|>\\n' }}
    {%- endfor %}
{%- endif %}
{%- for message in messages %}
    {%- if message.role == "tool" %}
        {{- '<|im_start|>user\\n<tool_response>\\n' }}
        {{- message.content }}
        {{- '\\n</tool_response><|im_end|>\\n' }}
    {%- elif message.role == "assistant" and message.tool_calls %}
        {{- '<|im_start|>assistant' }}
        {%- if message.content %}
            {{- '\\n' + message.content }}
        {%- endif %}
        {%- for tool_call in message.tool_calls %}
            {%- if tool_call.function is defined %}
                {%- set tool_call = tool_call.function %}
            {%- endif %}
            {{- '\\n<tool_call>\\n{"name": "' }}
            {{- tool_call.name }}
            {{- '", "arguments": ' }}
            {{- tool_call.arguments | tojson }}
            {{- '}\\n</tool_call>' }}
        {%- endfor %}
        {{- '<|im_end|>\\n' }}
    {%- else %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
"""


def main(weights: Path, key: str) -> None:
    params = xllamacpp.CommonParams()
    params.model.path = str(weights)
    params.model_alias = {weights.stem}
    params.n_ctx = 8192
    params.n_parallel = 2
    params.kv_unified = True
    params.cache_ram_mib = 0
    params.cache_prompt = False  # an answer that began with cached tokens may differ from the first one
    params.cpuparams.n_threads = 1
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.api_keys = [key]
    params.use_jinja = True
    params.chat_template = TEMPLATE
    params.ui = False
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)
    sys.stdin.read()
    os._exit(0)  # the server's threads would keep the process


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
