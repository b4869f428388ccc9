"""A request as a Python or shell script that sends it again; no text can break out of its quotes."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from typing import Any

from glm_magic.chat import images
from glm_magic.protocol.models import GLM_HOSTS

# Request fields that openai's `create` takes as arguments; all others go into `extra_body`.
_ARGUMENTS = ("model", "stream", "stream_options", "temperature", "top_p", "max_tokens", "stop", "response_format")

# Characters that JSON does not escape, but that break lines for some readers, are invisible, change the direction
# of text, or are lone surrogates.
_UNSEEN = re.compile("[\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")

_LONGEST_LINE = 100  # characters of a Python literal on one line

_PYTHON = '''\
"""Ask the last question of a notebook again. Requires the package openai (pip install openai).

The key is read from GLM_API_KEY, the address from GLM_BASE_URL if it is set.
"""

import os
import sys
from urllib.parse import parse_qsl{imports}

from openai import OpenAI

messages = {messages}

base_url = os.environ.get("GLM_BASE_URL") or {base_url}
if not base_url:
    print("{no_address}", file=sys.stderr)
    sys.exit(2)
base_url, _, query = base_url.partition("?")
base_url = base_url.rstrip("/").removesuffix("/chat/completions")
names = ("GLM_API_KEY", "ZAI_API_KEY", "ZHIPUAI_API_KEY")
key = next(filter(None, map(os.environ.get, names)), "none")  # a server without keys accepts any

{images}client = OpenAI(base_url=base_url, api_key=key, default_query=dict(parse_qsl(query)))
answer = client.chat.completions.create(
    messages=messages,
{arguments})
{show}'''

_IMAGES_IN_PYTHON = f"""\
if urlsplit(base_url).hostname in {json.dumps(GLM_HOSTS)}:  # these hosts take images as bare base64
    for part in (part for message in messages for part in message["content"] if isinstance(part, dict)):
        if part["type"] == "image_url" and part["image_url"]["url"].startswith("data:"):
            part["image_url"]["url"] = part["image_url"]["url"].partition(",")[2]

"""

_SHOW_STREAM = """\
for chunk in answer:
    if chunk.choices:
        delta = chunk.choices[0].delta
        print(delta.content or delta.tool_calls or "", end="", flush=True)
print()
"""

_SHOW_WHOLE = """\
message = answer.choices[0].message
print(message.content or message.tool_calls)
"""

_SHELL = """\
#!/bin/sh
# Ask the last question of a notebook again. Requires curl 7.76 or later.
# The key is read from GLM_API_KEY, the address from GLM_BASE_URL if it is set.
set -eu

default_url={base_url}
base_url="${{GLM_BASE_URL:-$default_url}}"
if [ -z "$base_url" ]; then
    echo "{no_address}" >&2
    exit 2
fi
address="${{base_url%%\\?*}}"
query="${{base_url#"$address"}}"
base_url="${{address%/}}"
base_url="${{base_url%/chat/completions}}"
key="${{GLM_API_KEY:-${{ZAI_API_KEY:-${{ZHIPUAI_API_KEY:-}}}}}}"

{images}# the header is read from a file descriptor, so that the key is not in the list of processes
{before}curl --no-buffer --silent --show-error --fail-with-body --globoff \\
    --url "$base_url/chat/completions$query" \\
    --header @/dev/fd/3 --data-binary @-{after} 3<<HEADERS <<'REQUEST'
Content-Type: application/json
${{key:+Authorization: Bearer $key}}
HEADERS
{body}
REQUEST
"""

_HOSTS_IN_SHELL = " | ".join(f"*://{host}[:/]*" for host in GLM_HOSTS)
_IMAGES_IN_SHELL = f"""\
case "$base_url/" in
    {_HOSTS_IN_SHELL})  # these hosts take images as bare base64
        images='s|^\\( *"url": "\\)data:image/[^"]*;base64,|\\1|' ;;
    *)
        images='' ;;
esac

"""

_NO_ADDRESS = "Set GLM_BASE_URL to the address of a server, for example http://127.0.0.1:8000/v1"


def python(request: dict[str, Any], base_url: str) -> str:
    """Return a script for the openai package; it asks at `base_url` unless the environment names another."""
    extra = {name: value for name, value in request.items() if name not in _ARGUMENTS and name != "messages"}
    arguments = {name: value for name, value in request.items() if name in _ARGUMENTS}
    if extra:
        arguments["extra_body"] = extra
    has_data_urls = _has_data_urls(request)
    return _PYTHON.format(
        imports=", urlsplit" if has_data_urls else "",
        messages=_literal(request["messages"]),
        base_url=_literal(base_url),
        no_address=_NO_ADDRESS,
        images=_IMAGES_IN_PYTHON if has_data_urls else "",
        arguments="".join(f"    {name}={_literal(value, '    ')},\n" for name, value in arguments.items()),
        show=_SHOW_STREAM if request.get("stream") else _SHOW_WHOLE,
    )


def shell(request: dict[str, Any], base_url: str) -> str:
    """Return a POSIX script for curl; it asks at `base_url` unless the environment names another."""
    # Nothing can end the heredoc early: each line of JSON begins with a bracket or a space, and line breaks in texts
    # are escaped.
    body = json_text({"model": request["model"], "messages": request["messages"], **request}, indent=2)
    has_data_urls = _has_data_urls(request)
    return _SHELL.format(
        base_url=shlex.quote(base_url),
        no_address=_NO_ADDRESS,
        images=_IMAGES_IN_SHELL if has_data_urls else "",
        before='{ sed "$images" | ' if has_data_urls else "",
        after="; }" if has_data_urls else "",
        body=body,
    )


def _has_data_urls(request: Mapping[str, Any]) -> bool:
    """Whether the request has an image as a data URL, which GLM's own hosts refuse."""
    return images.with_urls(request, images.bare) != request


def _literal(value: Any, indent: str = "") -> str:
    """Return a JSON `value` as a Python literal; a text of several lines is written on several lines."""
    deeper = indent + "    "
    match value:
        case str():
            lines = [json_text(line) for line in value.splitlines(keepends=True)]  # JSON strings are Python strings
            if len(lines) < 2:
                return json_text(value)
            return "(\n" + "".join(f"{deeper}{line}\n" for line in lines) + f"{indent})"
        case dict():
            (opening, closing), parts = "{}", [f"{json_text(name)}: {_literal(value[name], deeper)}" for name in value]
        case list():
            (opening, closing), parts = "[]", [_literal(item, deeper) for item in value]
        case _:
            return repr(value)
    flat = f"{opening}{', '.join(parts)}{closing}"
    if "\n" not in flat and len(indent) + len(flat) <= _LONGEST_LINE:
        return flat
    return opening + "\n" + "".join(f"{deeper}{part},\n" for part in parts) + indent + closing


def json_text(value: Any, indent: int | None = None) -> str:
    """Return `value` as JSON whose only line breaks come from `indent`; letters of any script stay legible."""
    written = json.dumps(value, ensure_ascii=False, indent=indent, allow_nan=False)
    return _UNSEEN.sub(lambda character: f"\\u{ord(character[0]):04x}", written)
