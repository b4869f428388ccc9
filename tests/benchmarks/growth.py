"""How time and traffic grow with an answer: python tests/benchmarks/growth.py [--seconds LIMIT] [--small] [NAME …]

Each row doubles the size three times, unless one took longer than LIMIT seconds (5 unless told otherwise); with
`--small` the first is a twentieth. Where twice as much takes twice as long, the ratio at the end is 2.

Some of them before time and traffic were made to grow as the answer does, and since (one run, 2 busy cores; those of
1,000,000 characters on slow ones, where 10 million additions in a loop take 0.6 s; where they take 0.3 s, each of
these texts takes less than 1 s):

    markdown: fence, environments            125,000 characters    4.4 s       0.02 s
    markdown: definitions                    125,000 characters   11.7 s       0.03 s
    cut: fences                              125,000 characters   16.8 s       0.05 s
    cut: headings                             25,000 characters    4.8 s       0.10 s
    page: thoughts between                     1,000 times        12.6 MB      0.9 MB
    page: calls                                  250 calls       146 MB        0.8 MB
    page: list                             1,000,000 characters   25 s         1.1 s
    page: headings                         1,000,000 characters   2.1 s        0.7 s
    page: nested lists of tags             1,000,000 characters   5.7 s        1.9 s
    page: half links                       1,000,000 characters   4.0 s        0.9 s
    page: tags                             1,000,000 characters   2.8 s        0.3 s
    page: entities                         1,000,000 characters   1.7 s        0.8 s
    page: tables of tags                   1,000,000 characters   1.8 s        1.2 s
    page: tables in lists                  1,000,000 characters   4.5 s        1.2 s
    page: lists of code                    1,000,000 characters   2.3 s        1.7 s
    page: lists of indented code           1,000,000 characters   3.6 s        1.5 s
    page: tables in quotes                 1,000,000 characters   4.2 s        0.8 s
    page: quotes of code                   1,000,000 characters   2.2 s        1.6 s
    terminal: environments                   100,000 characters    3.7 s       0.2 s
    terminal: headings                       100,000 characters    3.6 s       2.8 s
    changes: words in another order      3 * 400 words         over 40 s     0.0 s, as one change

In a terminal, rich renders the open block again while it grows: about twice its characters in all, at this rate. The
ratio of a row varies from 1 to 4 with the number of repaints. The rows "rich alone" render the text once, with rich.
"""

from __future__ import annotations

import functools
import io
import itertools
import json
import re
import sys
import time
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.markdown import Markdown

from glm_magic.chat.events import Event, ReasoningDelta, TextDelta, ToolCalling, ToolResult
from glm_magic.chat.messages import ToolCall
from glm_magic.display import blocks, safe_text
from glm_magic.display.differences import differences
from glm_magic.display.page.view import PageView
from glm_magic.display.terminal.screen import Screen
from glm_magic.display.terminal.view import LiveView
from glm_magic.display.view import Ending
from glm_magic.tools.schemas import SchemaMismatch, read_json

PIECES = {
    "prose": "Some words of a long answer, and more of them, as a model writes.\n\n",
    "one line": "word ",
    "one paragraph": "word word word word word word\n",
    "fences": "```\nx = 1\n```\n",
    "headings": "a\n=\n",
    "list": "- a\n",
    "environments": "\\begin{a}",
    "displays": "$$ a \\\\[ b ",
    "dollars": "$a ",
    "backticks": "` `` ``` ",
    "brackets": "](http://",
    "definitions": "]:http://",
    "links": "[a](http://a.example)",
    "tags": "<b><i>",
    "entities": "&#1;",
    "addresses": "www.,",
    "tildes": "x ~~~ y ",
    "quotations": "> a\n",
    "table": "| a | b |\n",
    "letters": "a\n",
    "tables of tags": "| a | b |\n|---|---|\n| <b> | <b> |\n\n",
    "nested lists of tags": "- a\n  - b\n    - <c>\n",
    "lists of tags by tabs": "-\t<b> a\n",
    "lists of code": "1. a\n   ```\n   <b>\n   ```\n",
    "lists of indented code": "- a\n\n      <b>\n",
    "lists of code spans": "- a\n  - `<b>`\n",
    "tables in lists": "- | a |\n  |---|\n  | <b> |\n",
    "tables of code in lists": "- | a | b |\n  |---|---|\n  | `<b>` | ``c`` |\n",
    "tables in quotes": "> | a |\n> |---|\n> | <b> |\n",
    "quotes of code": "> ```\n> <b> a\n> ```\n\n",
    "half links": "](\n",
    "link definitions": "[a]: b\n",
}
FENCE_FIRST = "```\n<img>\n```\n\n"  # what could act in code: display maths that does not end is looked for
WORD = re.compile(r"(?<![\\/.<])\b[a-z]+\b(?=[ >\n|`\]]|$)")  # not one of those that make a piece what it is


def written_of(piece: str, length: int) -> str:
    """Return a text of that piece again and again, with a number at its first word: a text does not repeat itself."""
    numbers = range(length // len(piece) + 1)
    return "".join(WORD.sub(rf"\g<0>{number}", piece, count=1) for number in numbers)[:length]


class Page:
    """A page that counts what is sent to it, under a clock that its text moves on: `rate` characters a second."""

    def __init__(self, rate: float) -> None:
        self.now = 0.0
        self.sent = 0
        self._step = 1 / rate
        self.view = PageView(self._show, name="n", title="m", with_calls=True, clock=lambda: self.now)

    def _show(self, data: dict[str, Any], name: str, *, update: bool) -> None:
        del name, update
        self.sent += len(json.dumps(data))

    def paint(self, event: Event, characters: int) -> None:
        self.now += characters * self._step
        self.view.paint(event)

    def settle(self) -> None:
        self.view.settle(Ending(()))


def streamed(text: str, delta: int = 40) -> int:
    """Stream `text` to a page at 100,000 characters a second, and return the traffic."""
    page = Page(100_000)
    for at in range(0, len(text), delta):
        page.paint(TextDelta(text[at : at + delta]), delta)
    page.settle()
    return page.sent


def thought_between(count: int) -> int:
    """Let a model think and answer by turns."""
    page = Page(10_000)
    for _ in range(count):
        page.paint(ReasoningDelta("some thought of it "), 20)
        page.paint(TextDelta("some words "), 10)
    page.settle()
    return page.sent


def called(count: int) -> int:
    """Let a model call a tool `count` times in one round, of about 100 characters each, in a millisecond each."""
    page = Page(100_000)
    made = [ToolCall(f"c{n}", "get_weather", json.dumps({"city": f"City {n}", "days": 3})) for n in range(count)]
    for number, call in enumerate(made):
        page.paint(ToolCalling(number, call), 0)
    for number, call in enumerate(made):
        page.paint(ToolCalling(number, call, runs=True), 0)
        page.paint(ToolResult(number, call, "rather cloudy, 21 degrees, with some rain later", 0.001), 100)
    page.settle()
    return page.sent


def written(fragments: int) -> int:
    """Let a model write the arguments of one call in `fragments` of 4 characters, at 200 of them a second."""
    page = Page(800)
    arguments = ""
    for _ in range(fragments):
        arguments += "abcd"
        page.paint(ToolCalling(0, ToolCall("c", "write", arguments)), 4)
    page.settle()
    return page.sent


def printed(text: str) -> None:
    """Stream `text` to a terminal at 100,000 characters a second."""
    terminal = io.StringIO()
    now = 0.0
    screen = Screen(Console(file=terminal, force_terminal=True, width=80, height=24))
    view = LiveView(screen, clock=lambda: now)
    for at in range(0, len(text), 40):
        now += 40 / 100_000
        view.paint(TextDelta(text[at : at + 40]))
    view.settle(Ending(()))


def rendered_once(text: str) -> None:
    """Print `text` with rich alone."""
    Console(file=io.StringIO(), force_terminal=True, width=80, height=24).print(Markdown(text))


def doubled_key(count: int) -> None:
    text = json.dumps({f"key {n}": n for n in range(count)})[:-1] + f', "key {count - 1}": 0}}'
    try:
        read_json(text)
    except SchemaMismatch:
        return
    raise AssertionError


# What is made of a size before the clock starts, what runs with it, and the first size.
Case = tuple[Callable[[int], Any], Callable[[Any], Any], int]


def itself(size: int) -> int:
    return size


def cases() -> dict[str, Case]:
    found: dict[str, Case] = {}
    texts = {name: functools.partial(written_of, piece) for name, piece in PIECES.items()}
    for name, text in texts.items():
        found[f"markdown: {name}"] = text, lambda text: safe_text.markdown("<img>\n\n" + text), 125_000
    found["markdown: fence, environments"] = (
        lambda n: FENCE_FIRST + "\\begin{a}" * (n // 9),
        safe_text.markdown,
        125_000,
    )
    for name, text in texts.items():
        found[f"cut: {name}"] = text, lambda text: safe_text.last_block_start(text + "\n"), 125_000
    for name, text in texts.items():
        found[f"page: {name}"] = text, streamed, 125_000
    found["page: one line, 4 characters a delta"] = lambda n: "x" * n, lambda text: streamed(text, delta=4), 2_500_000
    found["page: thoughts between"] = itself, thought_between, 1000
    found["page: calls"] = itself, called, 125
    found["page: arguments in fragments"] = itself, written, 2500
    for name, text in texts.items():
        found[f"terminal: {name}"] = text, printed, 12_500
    for name, text in texts.items():
        found[f"rich alone: {name}"] = text, rendered_once, 12_500
    found["a key twice"] = itself, doubled_key, 12_500
    found["changes: words in another order"] = itself, lambda n: differences("x y z " * n, "z y x " * n), 50
    found["changes: prose"] = (
        lambda n: [" ".join(f"w{k**power % 1009}" for k in range(n)) for power in (2, 3)],
        lambda both: differences(*both),
        2000,
    )
    return found


def main(arguments: list[str]) -> None:
    limit = 5.0
    if "--seconds" in arguments:
        at = arguments.index("--seconds")
        limit = float(arguments[at + 1])
        del arguments[at : at + 2]
    share = 20 if "--small" in arguments else 1
    arguments = [argument for argument in arguments if argument != "--small"]
    for name, (make, run, first) in cases().items():
        if arguments and not any(argument in name for argument in arguments):
            continue
        row, seconds, before = [], 0.0, 0.0
        for size in itertools.islice((first // share * 2**n for n in itertools.count()), 4):
            given = make(size)
            safe_text._prose_again.cache_clear()  # of a shorter text, which this one begins as
            blocks._scans.clear()
            begun = time.process_time()
            sent = run(given)
            before, seconds = seconds, time.process_time() - begun
            row.append(
                f"{size:,}: {seconds:.2f} s"
                + (f" {sent / 1e6:.2f} MB" if isinstance(sent, int) and sent > 1 and "cut" not in name else "")
            )
            if seconds > limit:
                break
        ratio = f"ratio {seconds / before:.1f}" if before > 0.005 else ""
        print(f"{name:40} {'; '.join(row)}; {ratio}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
