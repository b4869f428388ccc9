"""Tool calls, structured answers and code alone as a person sees them, and what a person does to them."""

from __future__ import annotations

import re
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from glm_server import USAGE, Answer, GlmServer, calls, chunk, data, stream
from playwright.sync_api import expect
from test_stop import stop

if TYPE_CHECKING:
    from lab import Lab
    from playwright.sync_api import Locator

pytestmark = pytest.mark.browser

EVERYWHERE = pytest.mark.parametrize("lab", ["JupyterLab", "Notebook 7"], indirect=True)
WIDGET = "application/vnd.jupyter.widget-view+json"
TOOLS = '''
import time
from pathlib import Path
ran = []

def get_weather(city: str) -> dict:
    """Tell the weather of today."""
    print("asked the sky")
    while not Path(GATE).exists():
        time.sleep(0.02)
    return {"city": city, "degrees": 21}

def fail():
    """Fail."""
    raise KeyError("no such thing")

def sleep():
    """Sleep."""
    ran.append("slept")
    time.sleep(300)

def add(a: int, b: int) -> int:
    """Add two numbers."""
    ran.append((a, b))
    return a + b
'''


def setup(server: GlmServer, gate: Path | str = "") -> str:
    return f"%load_ext glm_magic\n%glm_config base_url={server.url} model=GLM-4-Air\nGATE = {str(gate)!r}\n{TOOLS}"


def fragment(**function: str) -> bytes:
    """A piece of a call, as GLM streams it with ``tool_stream``."""
    call: dict[str, Any] = {"index": 0, "function": function}
    if "name" in function:
        call |= {"id": "call_a", "type": "function"}
    return chunk(delta={"role": "assistant", "tool_calls": [call]})


def folds(lab: Lab, index: int) -> Locator:
    return lab.outputs(index).locator("details:has(pre)")


def in_order(text: str, *parts: str) -> bool:
    places = [text.find(part) for part in parts]
    return -1 not in places and places == sorted(places)


def test_a_call_is_a_line_where_it_happened_from_its_first_argument_on(
    lab: Lab, server: GlmServer, tmp_path: Path
) -> None:
    written = threading.Event()
    server.answer(
        Answer(
            [
                chunk("Let me **look**."),
                fragment(name="get_weather", arguments=""),
                fragment(arguments='{"city": "Se'),
                written,
                fragment(arguments='oul"}'),
                chunk(finish_reason="tool_calls", usage=USAGE),
                data("[DONE]"),
            ]
        ),
        calls(("fail", {}), text="And another."),
        stream("It is *21* degrees."),
    )
    lab.open_new("calls", setup(server, tmp_path / "gate"), "%%glm -T get_weather,fail\nWeather in Seoul?")
    lab.run_cell(0)
    lab.start(1)
    fold = folds(lab, 1).first
    expect(fold.locator("summary")).to_contain_text('get_weather({"city": "Se)')
    expect(fold.locator("pre")).to_have_text('{"city": "Se')
    expect(lab.bar(1)).to_contain_text("get_weather is called")

    written.set()
    lab.wait_for_text(1, "asked the sky", "no result yet")
    expect(fold).not_to_have_attribute("open", "")
    expect(fold.locator("pre")).to_contain_text('"city": "Seoul"')
    expect(fold.locator("summary")).to_contain_text('get_weather(city="Seoul") → no result yet')
    expect(lab.bar(1)).to_contain_text("get_weather runs")

    (tmp_path / "gate").touch()
    lab.wait_idle(1)
    summaries = folds(lab, 1).locator("summary")
    expect(summaries.first).to_have_text(
        re.compile(r'^get_weather\(city="Seoul"\) → \{"city": "Seoul", "degrees": 21\} · \d+\.\d s$')
    )
    expect(summaries.last).to_have_text(re.compile(r"^fail\(\) failed: KeyError: 'no such thing'"))
    for each in folds(lab, 1).all():
        expect(each).not_to_have_attribute("open", "")
    seen = lab.text(1)
    parts = (
        "2 tool calls",
        "Let me look.",
        "get_weather(",
        "asked the sky",
        "And another.",
        "fail(",
        "It is 21 degrees.",
    )
    assert in_order(seen, *parts), seen

    saved = lab.save()
    assert not [output for output in saved.cells[1].outputs if WIDGET in output.get("data", {})]
    for load in (lab.reload, lambda: lab.open(lab.path)):
        load()
        expect(summaries.last).to_be_visible()
        assert lab.text(1) == seen
        expect(fold).not_to_have_attribute("open", "")
    summaries.first.click()
    expect(fold.locator("pre").last).to_be_visible()
    assert fold.locator("pre").last.inner_text() == '{\n  "city": "Seoul",\n  "degrees": 21\n}'


@EVERYWHERE
def test_a_person_agrees_on_the_input_line(lab: Lab, server: GlmServer) -> None:
    server.answer(calls(*(("add", {"a": a, "b": 1}) for a in (1, 2, 3))), stream("Done."))
    lab.open_new(f"approve-{lab.front_end}", setup(server), "%%glm --approve -T add\nAdd.", "print('ran', ran)")
    lab.run_cell(0)
    lab.start(1)
    asked = (
        ('Run add({"a": 1, "b": 1})? y, n, or e', "y"),
        ('Run add({"a": 2, "b": 1})? y, n, or e', ""),
        ('Run add({"a": 3, "b": 1})? y, n, or e', "e"),
        ("Arguments as JSON", '{"a": 30, "b": 1}'),
        ('Run add({"a": 30, "b": 1})? y, n, or e', "y"),
    )
    for prompt, answer in asked:
        line = lab.cell(1).locator(".jp-Stdin", has_text=prompt).locator("input.jp-Stdin-input")
        line.fill(answer)
        line.press("Enter")
    lab.wait_idle(1)
    lab.wait_for_text(1, "add(a=1, b=1) → 2", "did not allow this call", "add(a=30, b=1) → 31", "Done.")
    lab.run_cell(2)
    lab.wait_for_text(2, "ran [(1, 1), (30, 1)]")
    results = [message["content"] for message in server.last.body["messages"] if message["role"] == "tool"]
    assert results == ["2", "The person at the notebook did not allow this call.", "31"]


def test_stop_breaks_into_a_tool_and_into_a_question(lab: Lab, server: GlmServer) -> None:
    may_run, may_ask = threading.Event(), threading.Event()
    sleeps, adds = calls(("sleep", {}), text="One moment."), calls(("add", {"a": 1, "b": 2}), text="May I?")
    server.answer(Answer([may_run, *sleeps.steps]), Answer([may_ask, *adds.steps]))
    cells = ("%%glm -T sleep\nGo on.", "print('later')", "%%glm --approve -T add\nAdd.", "%%glm\nNext", "print(ran)")
    lab.open_new("stop-tools", setup(server), *cells)
    lab.run_cell(0)
    lab.start_all()
    expect(lab.bar(1)).to_be_visible()
    may_run.set()
    lab.wait_for_text(1, "sleep() → no result yet")
    expect(lab.bar(1)).to_contain_text("sleep runs")
    stop(lab, 1)  # it would sleep for minutes
    lab.wait_all()
    lab.wait_for_text(1, "Interrupted: Stopped. What had arrived is kept.", "· interrupted", "One moment.")
    expect(lab.outputs(2)).not_to_contain_text("later")
    assert len(server.requests) == 1

    lab.start(3)
    expect(lab.bar(3)).to_be_visible()
    may_ask.set()
    expect(lab.cell(3).locator(".jp-Stdin-prompt")).to_contain_text("Run add(")
    stop(lab, 3)
    lab.wait_idle(3)
    lab.wait_for_text(3, "Interrupted: Stopped. What had arrived is kept.", "May I?")
    lab.run_cell(4, 5)
    lab.wait_for_text(5, "['slept']")
    said = [("user", "Go on."), ("assistant", "One moment."), ("user", "Add."), ("assistant", "May I?")]
    assert server.last.messages == [*said, ("user", "Next")]
    assert not any("tool_calls" in message for message in server.last.body["messages"])


def test_an_answer_of_a_schema_streams_as_json_and_becomes_a_table(lab: Lab, server: GlmServer) -> None:
    gate, again, last = threading.Event(), threading.Event(), threading.Event()
    server.answer(
        stream('[{"name": "Paris", "people": "ma', gate, 'ny"}]'),
        stream('[{"name": "Paris", "people": 2102650}, ', again, '{"name": "Seoul", "people": 9411000}]'),
        stream("Here:\n\n```python\nx = ", last, "1\n```\n\nThat is all."),
    )
    model = "\nfrom pydantic import BaseModel\nclass City(BaseModel):\n    name: str\n    people: int"
    lab.open_new("schema", setup(server) + model, "%%glm --schema list[City]\nCities?", "%%glm -f code\nCode?")
    lab.run_cell(0)
    lab.start(1)
    expect(lab.answer(1).locator("pre")).to_have_text('[{"name": "Paris", "people": "ma')
    gate.set()
    lab.wait_for_text(1, "The answer does not fit; asking again", "2102650")
    expect(lab.answer(1).locator("pre").last).to_have_text('[{"name": "Paris", "people": 2102650},')
    again.set()
    lab.wait_idle(1)
    table = lab.outputs(1).locator("table").last
    expect(table.locator("th")).to_have_text(["name", "people"])
    expect(table.locator("td")).to_have_text(["Paris", "2102650", "Seoul", "9411000"])

    lab.start(2)
    expect(lab.answer(2).locator("pre")).to_have_text(re.compile(r"^x =\s*$"))
    last.set()
    lab.wait_idle(2)
    expect(lab.answer(2)).to_have_text(re.compile(r"^x = 1\s*$"))
    seen = [lab.text(1), lab.text(2)]
    lab.save()
    lab.open(lab.path)
    expect(table.locator("td")).to_have_text(["Paris", "2102650", "Seoul", "9411000"])
    assert [lab.text(1), lab.text(2)] == seen


def test_a_tool_in_the_background_fills_in_its_own_cell(lab: Lab, server: GlmServer, tmp_path: Path) -> None:
    server.answer(calls(("get_weather", {"city": "Seoul"}), text="I look."), stream("21 degrees."))
    cells = ("%%glm --bg -T get_weather\nWeather?", "print('meanwhile')", "print('it said', _glm.wait())")
    lab.open_new("tools-background", setup(server, tmp_path / "gate"), *cells)
    lab.run_cell(0, 1, 2)
    lab.wait_for_text(1, 'get_weather(city="Seoul") → no result yet', "asked the sky")
    lab.wait_for_text(2, "meanwhile")
    (tmp_path / "gate").touch()
    lab.run_cell(3)
    lab.wait_for_text(3, "it said 21 degrees.")
    assert in_order(lab.text(1), "1 tool call", "I look.", "get_weather(", "21 degrees.")
    expect(lab.outputs(2)).to_have_text(re.compile(r"meanwhile\s*$"))
