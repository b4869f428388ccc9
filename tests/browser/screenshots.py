"""Pictures of the notebook in light and dark: ``python tests/browser/screenshots.py FOLDER [SCENE …]``.

A scripted server gives the answers below, so that every picture can be made again. In the quickstart the embedded
model answers.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))

from glm_server import Answer, GlmServer, Received, calls, chunk, error, stream
from lab import THEMES, Lab, headless_chromium, jupyterlab, lab_page
from playwright.sync_api import expect

from glm_magic.protocol.tokens import estimated_text_tokens

SIZE = (1190, 1500)  # leaves 1100 for the notebook
SHOWN = 1  # the cells before it only set things up
ANSWER = r"""# Why the sky is blue

Air scatters **short** waves far more than long ones; the share goes with the inverse *fourth* power of the
wavelength:

$$I(\lambda) \propto \frac{1}{\lambda^4}, \qquad \frac{I_{450}}{I_{700}} \approx 5.9$$

1. Sunlight holds all colours, from $\lambda = 380$ to $750$ nm.
2. Blue is scattered out of the beam, and reaches the eye from everywhere.
3. At dusk the way through the air is long, and mostly red is left.

| light | wavelength | scattered |
| --- | ---: | ---: |
| blue | 450 nm | 5.9 |
| green | 550 nm | 2.6 |
| red | 700 nm | 1.0 |

```python
def scattered(nm: float, to: float = 700) -> float:
    return (to / nm) ** 4  # relative to red
```

> 天空之所以是蓝色的，是因为空气分子对短波光的散射更强。
>
> 하늘이 파란 이유는 공기 분자가 짧은 파장의 빛을 더 많이 산란시키기 때문입니다.

See also `scattered(450)`.
"""
HELD_AT = ANSWER.index("2.6 |")
LABELS = "good", "bad"
PROMPT = """%%glm --temperature 0.3 --system "You teach physics. Be short."
Why is the sky blue? Give a formula, a table and a line of Python.
Sum it up in 中文 and 한국어."""


def setup(server: GlmServer) -> str:
    return f"%load_ext glm_magic\n%glm_config base_url={server.url} model=GLM-4-Air"


def words(text: str) -> list[str]:
    return [text[at : at + 12] for at in range(0, len(text), 12)]


class Camera:
    """Takes a picture of the shown cells in one theme after the other."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self._lab = lab
        self._folder = folder

    def take(self, name: str, *cells: int, themes: tuple[str, ...] = ("light", "dark")) -> None:
        self._lab.hide_sidebar()
        for theme in themes:
            self._lab.theme(theme)
            # CodeMirror paints its selection late, and a theme's style sheet changes the height
            self._lab.page.wait_for_function("async () => { await document.fonts.ready; return true }")
            self._lab.page.wait_for_timeout(300)
            boxes = [self._lab.cell(cell).bounding_box() for cell in cells]
            edges = [(box["x"], box["y"], box["x"] + box["width"], box["y"] + box["height"]) for box in boxes if box]
            lefts, tops, rights, bottoms = zip(*edges, strict=True)
            clip = {"x": min(lefts), "y": min(tops), "width": max(rights) - min(lefts)}
            clip["height"] = max(bottoms) - min(tops)
            file = self._folder / f"{name}-{theme.replace(' ', '-')}.png"
            self._lab.page.screenshot(path=file, clip=clip, animations="disabled")
            print(file)
        self._lab.theme("light")


def answer(lab: Lab, server: GlmServer, camera: Camera) -> None:
    gate = threading.Event()
    prompt, completion = estimated_text_tokens(PROMPT), estimated_text_tokens(ANSWER)
    usage = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    server.answer(stream(*words(ANSWER[:HELD_AT]), gate, *words(ANSWER[HELD_AT:]), usage=usage))
    lab.open_new("answer", setup(server), PROMPT)
    lab.run_cell(0)
    lab.start(SHOWN)
    expect(lab.answer(SHOWN).locator("table")).to_contain_text("550 nm")
    expect(lab.answer(SHOWN).locator("mjx-container")).to_have_count(3)
    camera.take("stream", SHOWN)
    gate.set()
    lab.wait_idle(SHOWN)
    expect(lab.answer(SHOWN).last).to_contain_text("See also")
    expect(lab.answer(SHOWN).locator("mjx-container")).to_have_count(3)
    camera.take("answer", SHOWN)


def bar(lab: Lab, server: GlmServer, camera: Camera) -> None:
    """An answer under way, its thinking open; and one that was stopped, before one that waits for another try."""
    thinks = [
        "The person asks why the sky is blue. It is about scattering by the molecules of the air: ",
        "Rayleigh's law has the inverse fourth power of the wavelength, so blue scatters about six times more ",
        "than red. Violet scatters more still, but the Sun gives less of it, and the eye sees it badly.\n\n",
        "I should name the law, and then dusk.",
    ]
    thoughts = [chunk(delta={"role": "assistant", "reasoning_content": text}) for text in thinks]
    gate = threading.Event()
    server.answer(
        stream(*thoughts, gate, "Never"),
        stream("Air scatters short waves more than long ones. At dusk the light ", gate, "Never"),
        error(429, {"error": {"code": "1302", "message": "您当前使用该API的并发数过高。"}}, Retry_After="30"),
    )
    lab.open_new("bar", setup(server), "%%glm\nWhy is the sky blue?", "%%glm\nAnd at dusk?", "%%glm\nAnd on Mars?")
    lab.run_cell(0)
    lab.start(SHOWN)
    lab.bar(SHOWN).locator("summary").click()
    expect(lab.bar(SHOWN)).to_contain_text("and then dusk.")
    camera.take("bar", SHOWN, themes=(*THEMES,))
    lab.bar(SHOWN).locator("button").click()
    lab.wait_idle(SHOWN)
    lab.start(2)
    expect(lab.bar(2)).to_contain_text("answering")
    lab.bar(2).locator("button").click()
    lab.wait_idle(2)
    lab.start(3)
    expect(lab.bar(3)).to_contain_text("Retrying in")
    camera.take("stopped", SHOWN, 2, 3)
    lab.bar(3).locator("button").press("Enter")
    lab.wait_idle(3)


def panel(lab: Lab, server: GlmServer, camera: Camera) -> None:
    lab.open_new(
        "panel",
        setup(server),
        "%glm_config",
        '%glm_config temperature=0.3 system="Answer in one line."',
        "%glm_config --table",
    )
    lab.run_cell(0, SHOWN, 2)
    expect(lab.outputs(SHOWN).locator(".glm-line-config")).to_contain_text("Answer in one line")
    camera.take("panel", SHOWN)
    lab.page.set_viewport_size({"width": 800, "height": SIZE[1]})
    camera.take("panel-narrow", SHOWN)
    lab.page.set_viewport_size({"width": SIZE[0], "height": SIZE[1]})
    lab.run_cell(3)
    camera.take("settings", 3)


def playground(lab: Lab, server: GlmServer, camera: Camera) -> None:
    server.answer(
        stream("A comet is a lump of ice and dust."),
        stream("A comet is a ball of ice and dust with a **tail** that points away from the Sun."),
    )
    cells = ('topic = "a comet"', "%%glm --interact\nWhat is {{ topic }}, in {{ count }} words?")
    lab.open_new("playground", setup(server), *cells)
    lab.run_cell(0, 1, 2)
    controls = lab.outputs(2)
    controls.locator("[data-name=count] textarea").fill("eight")
    for times, key in ((1, "ArrowLeft"), (2, "ArrowRight")):
        slider = controls.locator("[data-name=temperature] input[type=range]")
        slider.press(key)
        controls.get_by_role("button", name="Run", exact=True).click()
        lab.wait_for(lambda times=times: len(server.requests) == times, "the answer")
        expect(controls.get_by_role("button", name="Run", exact=True)).to_be_enabled()
    expect(controls.locator(".glm-attempt")).to_have_count(2)
    controls.get_by_role("button", name="Diff").click()
    expect(controls.locator("ins").first).to_be_visible()
    camera.take("playground", 2)
    lab.page.set_viewport_size({"width": 800, "height": SIZE[1]})
    camera.take("playground-narrow", 2)
    lab.page.set_viewport_size({"width": SIZE[0], "height": SIZE[1]})


def errors(lab: Lab, server: GlmServer, camera: Camera) -> None:
    gate = threading.Event()
    server.answer(
        error(401, {"error": {"code": "1000", "message": "身份验证失败。"}}),
        error(400, {"error": {"code": "1211", "message": "模型不存在，请检查模型代码。"}}),
        stream("The first words of an answer, ", gate, "and more."),
    )
    cells = ("%%glm\nHello", "%%glm -m GLM-4-Pluss\nHello", "%%glm --temprature 0.3\nHello", "%%glm\nGo on.")
    lab.open_new("errors", setup(server), *cells)
    lab.run_cell(0, 1, 2, 3)
    lab.start(4)
    expect(lab.answer(4)).to_contain_text("The first words")
    lab.interrupt()
    lab.wait_idle(4)
    camera.take("errors", 1, 2, 3, 4)


def history(lab: Lab, server: GlmServer, camera: Camera) -> None:
    server.answer(
        stream("A quark is a particle."),
        stream("Six: up, down, strange, charm, bottom and top."),
        stream("A quark is an elementary particle; three of them make a proton."),
        stream("쿼크는 물질을 이루는 기본 입자입니다."),
    )
    lab.open_new(
        "history",
        setup(server),
        "%%glm\nWhat is a quark?",
        "%%glm\nHow many kinds of them are there?",
        "%%glm --new\n쿼크란 무엇입니까?",
        "%glm_history",
    )
    lab.run_cell(0, 1, 2, 1, 3, 4)
    camera.take("history", 1, 2, 3, 4)


def attempts(lab: Lab, server: GlmServer, camera: Camera) -> None:
    """Two wordings of a prompt, what changed between them, and the first one active again."""
    server.answer(
        stream("The reviews are mixed: some guests were happy, others were not."),
        stream("Guests praise the tea and the scones; they criticise the long wait."),
    )
    reviews = """
reviews = ["The tea is wonderful.", "We waited forty minutes.", "Slow, but the best scones in town."]"""
    rest = '{{ "\\n".join(reviews) }}'
    lab.open_new(
        "attempts",
        setup(server) + reviews,
        f"%%glm -t 0\nSummarise these reviews.\n{rest}",
        "%glm_history --attempts 1",
        "%glm_history --show 1 --diff --side",
        "%glm_history --attempt 1 1",
    )
    lab.run_cell(0, 1)
    lab.rewrite(1, f'%%glm -t 0 -s "One sentence."\nWhat do guests praise and criticise?\n{rest}')
    lab.run_cell(1, 2, 3, 4)
    camera.take("attempts", 1, 2, 3, 4)


def tools(lab: Lab, server: GlmServer, camera: Camera) -> None:
    """An answer that calls functions, one of which fails; and one whose call runs still."""
    functions = '''
import time
def get_weather(city: str, days: int = 1) -> dict:
    """Tell the weather."""
    if city == "Atlantis":
        raise LookupError("no station in Atlantis; the nearest is Lisboa")
    time.sleep(0.4 if city == "Seoul" else 300 if city == "Busan" else 0)
    return {"city": city, "days": [{"day": "today", "sky": "clear", "degrees": 21}] * days}
'''
    server.answer(
        calls(
            ("get_weather", {"city": "Seoul", "days": 2}),
            ("get_weather", {"city": "Jeju"}),
            text="I look up the weather of **both** places.",
        ),
        calls(("get_weather", {"city": "Atlantis"}), text="And of the third:"),
        stream(
            "In Seoul and on Jeju it is clear, at 21 degrees. There is no station in Atlantis.\n\n",
            "- Take a hat.\n- Leave the umbrella.\n",
        ),
        Answer(
            [
                *stream(gate := threading.Event(), finish_reason=None).steps,
                *calls(("get_weather", {"city": "Busan"}), text="One moment.").steps,
            ]
        ),
    )
    cells = (
        "%%glm -T get_weather\nWhat do I wear in Seoul, on Jeju and in Atlantis?",
        "%%glm -T get_weather\nAnd in Busan?",
    )
    lab.open_new("tools", setup(server) + functions, *cells)
    lab.run_cell(0, SHOWN)
    lab.outputs(SHOWN).locator("summary").first.click()
    lab.start(2)
    expect(lab.bar(2)).to_be_visible()
    gate.set()
    expect(lab.bar(2)).to_contain_text("get_weather runs")
    camera.take("tools", SHOWN, 2)
    lab.bar(2).locator("button").click()
    lab.wait_idle(2)


def structured(lab: Lab, server: GlmServer, camera: Camera) -> None:
    """A table of records, and a tree."""
    cities = [
        {"name": "Seoul", "people": 9_411_000, "capital": True, "known_for": ["palaces", "night markets"]},
        {"name": "Busan", "people": 3_343_000, "capital": False, "known_for": ["beaches", "film"]},
        {"name": "제주", "people": 674_000, "capital": False, "known_for": []},
    ]
    trip = {
        "title": "Three days in Korea",
        "days": [{"day": 1, "city": "Seoul", "plan": "palaces"}, {"day": 2, "city": "Busan", "plan": "the sea"}],
        "budget": {"currency": "KRW", "per_day": 120_000.5, "split": {"food": 0.4, "bed": 0.6}},
        "notes": None,
    }
    model = """
from pydantic import BaseModel
class City(BaseModel):
    name: str
    people: int
    capital: bool
    known_for: list[str]
"""
    server.answer(stream(json.dumps(cities)), stream(json.dumps(trip)))
    cells = ("%%glm --schema list[City]\nThree places in Korea.", "%%glm --json\nA trip there, as JSON.")
    lab.open_new("structured", setup(server) + model, *cells)
    lab.run_cell(0, SHOWN, 2)
    expect(lab.outputs(2).locator("details")).to_have_count(3)
    camera.take("structured", SHOWN, 2)


def grid(lab: Lab, server: GlmServer, camera: Camera) -> None:
    """Three wordings for six reviews, twice each: the second is right more often than the first."""
    good = "The soup was wonderful.", "Slow, but worth the wait.", "Not bad at all!"
    bad = "They lost our order twice.", "I expected more.", "As charming as a car park."
    reviews = [(text, label) for pair in zip(good, bad, strict=True) for text, label in zip(pair, LABELS, strict=True)]
    rows = [{"text": text, "label": label} for text, label in reviews]
    asked: Counter[str] = Counter()

    def answer_to(request: Received) -> Answer:
        prompt = str(request.body["messages"][-1]["content"])
        asked[prompt] += 1
        label = next(label for text, label in reviews if text in prompt)
        (other,) = set(LABELS) - {label}
        luck = random.Random(f"{prompt} {asked[prompt]}")
        if prompt.startswith("Is this"):
            said = label if luck.random() < 0.4 else other
            return stream(f"The review is {said}, ", "as far as one can tell from a single sentence.")
        if prompt.startswith("One word"):
            return stream((label if luck.random() < 0.97 else other).capitalize())
        return stream(
            f"The guest sounds {'happy' if label == 'good' else 'unhappy'}: ",
            f"{label if luck.random() < 0.6 else other}.",
        )

    server.echo = answer_to  # type: ignore[method-assign]
    code = f"reviews = {rows!r}\ndef right(reply, row):\n    return row['label'] in reply.text.lower()"
    prompt = """%%glm --variants --each reviews --score right -n 2 found <<
--- question
Is this review good or bad? {{ text }}
--- one word
One word, good or bad: {{ text }}
--- reason first
Say how the guest feels, then good or bad: {{ text }}"""
    lab.open_new("grid", f"{setup(server)}\n{code}", prompt)
    lab.run_cell(0, SHOWN)
    expect(lab.outputs(SHOWN)).to_contain_text("beats A")
    camera.take("grid", SHOWN)


def quickstart(lab: Lab, _server: GlmServer, camera: Camera) -> None:
    """The quickstart, answered by the embedded model."""
    cells = (
        "%%glm -t 0\nExplain in two sentences why the sky is blue.",
        "%%glm -t 0\nNow say it in one sentence, for a child.",
        'wanted = "the square of a number"',
        '%%glm -t 0 --no-history -s "You answer with code alone."\nWrite a Python function that returns {{ wanted }}.',
    )
    lab.open_new("quickstart", "%load_ext glm_magic", *cells)
    for cell in range(len(cells) + 1):
        lab.start(cell)
        lab.wait_until(
            "cell => !document.querySelectorAll('.jp-Notebook .jp-Cell')[cell].innerText.includes('[*]')",
            cell,
            seconds=300,  # the first answer may have to fetch the model
        )
        lab.wait_idle(cell)
    camera.take("quickstart", *range(len(cells) + 1))


@contextmanager
def studio() -> Iterator[tuple[Lab, GlmServer]]:
    with (
        tempfile.TemporaryDirectory() as folder,
        GlmServer() as server,
        jupyterlab(Path(folder)) as jupyter,
        headless_chromium() as browser,
        lab_page(browser, jupyter, SIZE) as lab,
    ):
        yield lab, server


SCENES = (quickstart, answer, bar, panel, playground, errors, history, attempts, tools, structured, grid)


def main(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with studio() as (lab, server):
        for scene in SCENES:
            if not names or scene.__name__ in names:
                scene(lab, server, Camera(lab, folder))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
