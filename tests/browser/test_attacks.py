"""What a model or a service says cannot act: nothing runs, nothing is fetched, nothing outside the cell changes."""

# ruff: noqa: E501 - texts and scripts in one line each

from __future__ import annotations

import json
import random
import re
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat
import pytest
from attacks import ATTACKS, CUT, halves, whole
from glm_server import Answer, GlmServer, calls, chunk, error, stream
from lab import Lab, fresh_page, lab_page
from nbconvert import HTMLExporter
from playwright.sync_api import expect

from glm_magic.display import links

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Request, Route

pytestmark = pytest.mark.browser

NAMES = [*ATTACKS]
FILLER = "Some words of a long answer. " * 105 + "\n\n"
STRICT = 8  # attacks in the answers to one question that do not fit its schema: the reason names as many
TOOLS = """
from pydantic import BaseModel
def echo(texts: list[str]) -> dict:
    return {text: [text, {"text": text}] for text in texts}
def boom(texts: list[str]):
    raise ValueError(" ".join(texts))
class Strict(BaseModel, extra="forbid"):
    number: int
"""
A_CELL = 15  # answers: JupyterLab shows 50 outputs of a cell, and an answer has up to three

# Whatever in the outputs is not simply text, and where it stands: [what, the first words of its output].
SCAN = r"""root => {
    const TAGS = new Set(`a p div span pre code br sub sup kbd b i em strong u s del ins mark small ul ol li blockquote
        h1 h2 h3 h4 h5 h6 table thead tbody tr th td hr input`.split(/\s+/));
    const ATTRIBUTES = new Set('class align start rel target title href id data-jupyter-id data-mime-type'.split(' '));
    const OWN = new Set(['style', 'data-glm-turn', 'scope']);  // of lines and tables about answers
    const host = text => (text.trim().match(/^(?:https?:\/\/)?(?:www\.)?((?:[\w-]+\.)+[a-z]{2,})(?:[/:?#]\S*)?$/i) ?? [])[1];
    const found = [];
    for (const output of document.querySelectorAll(root)) {
        // JupyterLab makes links of the addresses and paths in text: they say where they lead
        const isText = !output.querySelector('.jp-RenderedHTMLCommon') && !output.matches('.jp-RenderedHTMLCommon');
        const isHtml = output.classList.contains('jp-RenderedHTML') || output.dataset.mimeType === 'text/html';
        const say = (what, element) => found.push([what + ': ' + element.outerHTML.slice(0, 200),
                                                   output.textContent.trim().slice(0, 60)]);
        for (const element of output.querySelectorAll('*')) {
            const tag = element.localName, inMaths = element.closest('mjx-container');
            if (inMaths) {
                if (isHtml) say('maths in a line', element);
                if (!/^mjx-|^m[a-z]+$|^semantics$/.test(tag)) say('tag in maths', element);
            } else if (!TAGS.has(tag) && !(isHtml && /^(details|summary)$/.test(tag))) say('tag', element);
            for (const { name, value } of element.attributes) {
                const allowed = inMaths ? !/^on|^(href|id|src|data-(?!mml|mjx|c$|semantic|latex))/.test(name)
                    : ATTRIBUTES.has(name) || isHtml && (OWN.has(name) || tag === 'details' && name === 'open') || tag === 'input' && /^(checked|disabled|type)$/.test(name);
                if (!allowed) say('attribute ' + name, element);
                if (name === 'class' && value.split(/\s+/).some(word => /^(evil-|jp-Dialog|lm-)/.test(word))) say('mark', element);
                if (name === 'style' && /position|url\(|z-index/.test(value) && !inMaths?.contains(element)) say('style', element);
                if (name === 'style' && inMaths && /position: *fixed/.test(value)) say('style', element);
            }
            if (tag === 'a' && !element.classList.contains('jp-InternalAnchorLink') && element.className !== 'anchor-link') {
                const href = element.getAttribute('href') ?? '';
                if (isText && (!href || href === element.textContent)) continue;
                if (!/^(https?:\/\/|mailto:)/i.test(href)) say('link', element);
                const says = host(element.textContent), leads = host(element.href);  // as a browser reads it
                if (says && leads && says !== leads) say('lie', element);
            }
        }
    }
    for (const element of document.querySelectorAll('[class*=" evil-"], [class^=evil-]')) found.push(['mark: ' + element.outerHTML.slice(0, 200), '']);
    for (const sheet of document.styleSheets) {
        let rules = [];
        try { rules = [...sheet.cssRules] } catch { }
        for (const { cssText } of rules) if (/evil-|attack-/.test(cssText)) found.push(['rule: ' + cssText, '']);
    }
    if (getComputedStyle(document.body).outlineWidth === '7px') found.push(['style: of the body --evil-style', '']);
    return found;
}"""

# Events upon everything in the outputs. A link to the web would leave: that is where it may lead, and it is held. Of the
# links that open another page, with one address, one does.
TOUCH = r"""root => {
    const opened = new Set();
    const hold = event => {
        const link = event.target.closest?.('a[href]');
        if (!link) return;
        if (/^(https?|mailto|data|file):$/.test(link.protocol) && (!link.host || link.host !== location.host)) {
            event.preventDefault();  // a browser goes to no data: and no file: from a page
        } else if (event.type === 'click' && link.target === '_blank') {
            if (opened.has(link.href)) event.preventDefault();
            opened.add(link.href);
        }
    };
    document.addEventListener('click', hold);
    for (const output of document.querySelectorAll(root)) {
        const touched = 'a[href], button, input, summary, b, i, sub, p, h1, pre, div, mjx-container';
        for (const element of output.querySelectorAll(touched)) {
            for (const name of ['mouseover', 'click']) {
                element.dispatchEvent(new MouseEvent(name, { bubbles: true, cancelable: true, view: window }));
            }
        }
    }
    document.removeEventListener('click', hold);
}"""

RAN = "() => Object.keys(window).filter(name => name.startsWith('pwned_'))"
OUTPUTS = ".jp-OutputArea-output"


class Pause(threading.Event):
    """A step of a stream: long enough for the page to show what came before it."""

    def wait(self, timeout: float | None = None) -> bool:
        time.sleep(0.03)
        return True


class Watch:
    """What a page does that it was not asked to do."""

    def __init__(self, page: Page, home: str) -> None:
        self.page = page
        self.seen: list[str] = []
        self.home = home
        self.expected: set[str] = set()  # the addresses of what the page itself has from elsewhere
        context = page.context
        context.route(re.compile(r"^(?!.*/api/resolvePath\?).*attack-"), self._block)
        page.on("dialog", lambda dialog: self.seen.append(f"dialog {dialog.message}") if dialog.message else None)
        page.on("frameattached", lambda frame: self.seen.append(f"frame {frame.url}"))
        self._opened: list[Page] = []
        context.on("page", lambda opened: self._opened.append(opened) if opened != page else None)
        context.on("request", self._requested)

    def faults(self, root: str = OUTPUTS) -> list[str]:
        """Everything found in the page, and done by it until now, after all in the outputs was touched."""
        found = self._look(root)
        self.page.evaluate(TOUCH, root)
        self.page.wait_for_timeout(150)
        for page in self._opened:  # by an address in plain text, where the browser has refused to go
            self.seen += [f"ran {name}" for name in page.evaluate(RAN)]
            if not page.url.startswith("about:blank"):
                self.seen.append(f"opened {page.url}")
            page.close()
        self._opened.clear()
        found += self._look("")
        seen, self.seen = self.seen, []
        return [*found, *seen]

    def _look(self, root: str) -> list[str]:
        ran = [f"ran {name}" for name in self.page.evaluate(RAN)]
        scanned = self.page.evaluate(SCAN, root) if root else []
        return [*ran, *(f"{what} [{where}]" for what, where in scanned)]

    def _block(
        self, route: Route
    ) -> None:  # JupyterLab asks its server which paths in an error are files, to link them
        self.seen.append(f"fetched {route.request.url}")
        route.fulfill(status=204)  # which leaves the page where it is

    def _requested(self, request: Request) -> None:
        is_home = request.url.startswith((self.home, "data:", "blob:"))
        if not is_home and request.url not in self.expected:
            self.seen.append(f"fetched {request.url}")


def attacks_in(faults: Sequence[str]) -> set[str]:
    """The markers in what was found."""
    return {name for name in NAMES if re.search(rf"(?:pwned_|attack-|evil-|Attack ){name}(?!\w)", "\n".join(faults))}


def in_rows(names: Sequence[Any], length: int) -> list[list[Any]]:
    return [[*names[at : at + length]] for at in range(0, len(names), length)]


def test_most_attacks_act_if_nothing_is_done_about_them(chromium: Browser, lab_server: tuple[str, Path]) -> None:
    texts = [[f"Attack {name}\n\n{whole(name)}" for name in row] for row in in_rows(NAMES, 40)]
    cells = [
        f"import json\nfrom IPython.display import Markdown, display\nfor text in json.loads({json.dumps(row)!r}):\n"
        "    display(Markdown(text))"
        for row in texts
    ]
    acted: set[str] = set()
    with lab_page(chromium, lab_server) as lab:
        watch = Watch(lab.page, lab_server[0])

        def most_have_acted() -> bool:
            acted.update(attacks_in(watch.faults()))
            return len(acted) >= 0.75 * len(NAMES)

        lab.open_new("unneutralised", *cells)
        lab.run_cell(*range(len(cells)))
        lab.wait_for(most_have_acted, "most attacks to act")


# --- a notebook in which every attack was made in every way ----------------------------------


def one_attack(name: str) -> Answer:
    """An answer that arrives in two parts; the model's name, the reasoning and a tool's name attack as well."""
    first, second = halves(name)
    model = " ".join(whole(name).split())
    steps = [
        chunk(delta={"role": "assistant", "reasoning_content": whole(name)}, model=model),
        chunk(f"Attack {name}\n\n{first}", model=model),
        Pause(),
        chunk(second, model=model),
    ]
    return Answer([*steps, *stream(model=model).steps])


def joined(names: Sequence[str]) -> str:
    return "\n\n".join(f"Attack {name}\n\n{whole(name)}" for name in names)


def in_deltas(text: str) -> Answer:
    return stream(*(text[at : at + 40] for at in range(0, len(text), 40)))


def over_segments(names: Sequence[str]) -> Answer:
    """A long answer in which each attack is cut in two by a blank line, with enough before it for a new segment."""
    parts = [
        part for name in names for part in (FILLER, f"Attack {name} {ATTACKS[name].replace(CUT, chr(10) * 2)}\n\n")
    ]
    return stream(*parts)


def written(names: Sequence[str]) -> Answer:
    """Calls whose names and arguments attack, the arguments in two parts."""
    first = [fragment(at, name=whole(name), arguments=halves(name)[0]) for at, name in enumerate(names)]
    rest = [fragment(at, arguments=halves(name)[1]) for at, name in enumerate(names)]
    # a page takes what comes in a tenth of a second at once
    return Answer([*first, *[Pause()] * 5, *rest, *stream(finish_reason="tool_calls").steps])


def called(names: Sequence[str]) -> list[Answer]:
    """Calls whose arguments, results and errors attack, one of them of a tool that there is not; then sources that do."""
    texts = [*map(whole, names)]
    answer = calls(("echo", {"texts": texts}), ("boom", {"texts": texts}), (texts[0], texts[-1]))
    found = [
        {"title": text, "link": link, "media": text, "publish_date": text, "refer": text}
        for text in texts
        for link in (text, f"http://a.example/{text}", f"//{text}")
    ]
    return [answer, Answer([chunk(web_search=found), *stream("Called.").steps])]


def fragment(index: int, **function: str) -> bytes:
    call = {"index": index, "function": function, **({"id": f"c{index}"} if "name" in function else {})}
    return chunk(delta={"role": "assistant", "tool_calls": [call]})


def in_two(text: str) -> Answer:
    """An answer of which the page shows a half."""
    return stream(text[: len(text) // 2], *[Pause()] * 5, text[len(text) // 2 :])


def as_json(names: Sequence[str]) -> Answer:
    """A tree whose names attack, with tables whose heads and cells do."""
    return in_two(json.dumps({whole(name): [{whole(name): whole(name), "b": [whole(name)]}] for name in names}))


def unfitting(names: Sequence[str]) -> list[Answer]:
    """Two answers that do not fit: the reason of the first, and the error of the second, name what does not."""
    answer = json.dumps({"number": 1} | {whole(name): 1 for name in names})
    return [stream(answer), stream(answer)]


def in_code(names: Sequence[str]) -> Answer:
    """Attacks in blocks of code, in what names their language, and outside of them."""
    blocks = (f"{whole(name)}\n\n~~~~~~~py\n{whole(name)}\n~~~~~~~\n\n" for name in names)
    return in_two("".join(blocks) + "".join(f"```{' '.join(whole(name).split())}\nx\n```\n\n" for name in names))


def each(values: Sequence[Any], *statements: str) -> str:
    """A cell that runs `statements` for each `value`, and shows what is raised."""
    lines = "".join(f"        {statement}\n" for statement in statements)
    return (
        f"import json\nip = get_ipython()\nfor value in json.loads({json.dumps(values)!r}):\n"
        f"    try:\n{lines}    except Exception:\n        ip.showtraceback()"
    )


def cells_and_answers() -> Iterator[tuple[str, list[Answer]]]:
    """The cells, and what the service answers to each."""
    for row in in_rows(NAMES, A_CELL):
        yield each(row, "ip.run_line_magic('glm', f'-c single {value}')"), [one_attack(name) for name in row]
    groups = in_rows(NAMES, 10)
    numbers = [*range(1, len(groups) + 1)]
    answers = [in_deltas(joined(group)) for group in groups]
    yield each(numbers, "ip.run_line_magic('glm', f'-c joined {value}')"), answers
    yield each(numbers, "ip.run_line_magic('glm', f'-c text -f text {value}')"), answers
    for row in in_rows(NAMES, 30):
        yield "%glm -c segments Go on.", [over_segments(row)]
    for row in in_rows(NAMES, 3 * 21):
        refusals = [
            error(400, {"error": {"code": "1", "message": " ".join(map(whole, three))}}) for three in in_rows(row, 3)
        ]
        yield each([*range(len(refusals))], "ip.run_line_magic('glm', f'-c errors {value}')"), refusals
    twenties = in_rows(NAMES, 20)
    some = [*range(1, len(twenties) + 1)]
    yield each(some, "ip.run_line_magic('glm', f'-c written {value}')"), [written(group) for group in twenties]
    for row in in_rows(NAMES, 3 * 10):  # of each three, four outputs
        threes = in_rows(row, 3)
        answers = [answer for group in threes for answer in called(group)]
        yield each([*range(len(threes))], "ip.run_line_magic('glm', f'-c called -T echo,boom {value}')"), answers
    yield each(some, "ip.run_line_magic('glm', f'-c json --json {value}')"), [as_json(group) for group in twenties]
    yield each(some, "ip.run_line_magic('glm', f'-c code -f code {value}')"), [in_code(group) for group in twenties]
    for row in in_rows(NAMES, 9 * STRICT):
        fours = in_rows(row, STRICT)
        answers = [answer for group in fours for answer in unfitting(group)]
        yield each([*range(len(fours))], "ip.run_line_magic('glm', f'-c misfits --schema Strict {value}')"), answers
    prompts = [joined(group) for group in groups]
    ask = each(prompts, "ip.run_cell_magic('glm', '--raw -c prompts', value)")
    yield ask, [stream("Before.") for _ in groups]
    for row in in_rows(numbers, 8):
        yield each(row, "ip.run_line_magic('glm_history', f'-c prompts --show {value}')"), []
    for row in in_rows(NAMES[::6], A_CELL):
        yield (
            each(
                [" ".join(whole(name).split()) for name in row], "ip.run_line_magic('glm', f'-c {json.dumps(value)} x')"
            ),
            [],
        )
    yield "%glm_history --list\n%glm_history -c prompts\n%glm_history -c joined\n%glm_history -c single", []


def test_a_host_that_is_plain_is_one_that_a_browser_can_parse(chromium: Browser) -> None:
    parts = [
        *"abz019-._^%@:[]|\\,;~!$&'()*+=",
        *"üßς\u05d0\u0627\u0660中한℀ａ。\u200d·\u0e01\u0e31\u0301é・あक\u094d😀",
    ]
    parts += ["xn--", "xn--bcher-kva", "com", "0x", "1.2.3.4", "..", "localhost"]
    chosen = random.Random(5)
    hosts = ["".join(chosen.choices(parts, k=chosen.randint(1, 5))) for _ in range(20_000)]
    plain = [host for host in hosts if links.host_of(f"http://{host}/../x")]
    page = chromium.new_page()
    refused = page.evaluate("hosts => hosts.filter(host => !URL.canParse(`http://${host}/../x`))", plain)
    page.close()
    assert len(plain) > 1000
    assert refused == []


@dataclass
class Attacked:
    path: Path
    faults: list[str]


@pytest.fixture(scope="module")
def pages(chromium: Browser) -> Iterator[dict[str, Page]]:
    """A page whose context nobody else watches."""
    with fresh_page(chromium) as page:
        yield {"JupyterLab": page}


@pytest.fixture(scope="module")
def watch(pages: dict[str, Page], lab_server: tuple[str, Path]) -> Watch:
    return Watch(pages["JupyterLab"], lab_server[0])


@pytest.fixture(scope="module")
def attacked(watch: Watch, lab_server: tuple[str, Path]) -> Attacked:
    lab = Lab(watch.page, *lab_server)
    with GlmServer() as server:
        sources, answers = zip(*cells_and_answers(), strict=True)
        again = next(source for source in sources if "-c prompts'" in source)
        setup = f"%load_ext glm_magic\n%glm_config base_url={server.url} model=GLM-4-Air\n{TOOLS}"
        numbers = [*range(1, -(-len(NAMES) // 10) + 1)]
        compares = [  # of each turn, several outputs
            each(row, "ip.run_line_magic('glm_history', f'-c prompts --show {value} --diff')")
            for row in in_rows(numbers, 8)
        ]
        maths = "from IPython.display import Markdown\nMarkdown('$\\\\sum$')"
        lab.open_new("attacked", setup, *sources, *compares, maths)
        # JupyterLab lays out the page at each change of an output: what has been shown is put away until all has
        away = lab.page.add_style_tag(content=".jp-Notebook .jp-Cell:not(.jp-mod-active) { display: none }")
        lab.run_cell(0)
        for index, of_a_cell in enumerate(answers, start=1):
            server.answer(*of_a_cell)
            lab.run_cell(index)
        last = len(sources) + 1
        asked = sources.index(again) + 1
        server.answer(*(in_deltas(joined(group)) for group in in_rows(NAMES, 10)))
        lab.run_cell(asked, *range(last, last + len(compares) + 1))
        away.evaluate("style => style.remove()")
        expect(lab.answer(1)).to_have_count(A_CELL)
        lab.page.wait_for_timeout(500)  # for what has yet to act
        cells = len(lab.page.query_selector_all(".jp-Notebook .jp-Cell"))
        address = lab.page.url  # but for the anchors of headings
        faults = watch.faults()
        assert (len(lab.page.query_selector_all(".jp-Notebook .jp-Cell")), lab.page.url.partition("#")[0]) == (
            cells,
            address,
        )
        lab.save()
    lab.close()
    return Attacked(lab.path, faults)


def test_no_attack_acts_when_it_is_answered(attacked: Attacked) -> None:
    assert attacked.faults == []


@pytest.mark.parametrize("is_trusted", [True, False], ids=["trusted", "untrusted"])
def test_no_attack_acts_in_a_notebook_that_is_opened_again(
    lab: Lab, watch: Watch, attacked: Attacked, is_trusted: bool
) -> None:
    name = attacked.path.name
    if not is_trusted:  # it was not saved here in this form
        notebook = nbformat.read(attacked.path, as_version=4)
        notebook.cells.append(nbformat.v4.new_markdown_cell("And more."))
        name = "attacked-untrusted.ipynb"
        nbformat.write(notebook, attacked.path.with_name(name))
    lab.open(name)
    code = "jupyterapp.shell.currentWidget.content.widgets.filter(cell => cell.model.type === 'code')"
    trusted = f"() => {code}.every(cell => cell.model.trusted)"
    assert lab.page.evaluate(trusted) is is_trusted
    lab.wait_for(lambda: lab.page.locator(".jp-RenderedMarkdown").count() > len(NAMES), "the answers")
    lab.page.wait_for_timeout(1000)  # for what has yet to act
    assert watch.faults() == []


def test_no_attack_acts_in_the_page_that_nbconvert_makes(chromium: Browser, attacked: Attacked, tmp_path: Path) -> None:
    html, _ = HTMLExporter().from_filename(str(attacked.path))
    file = tmp_path / "attacked.html"
    file.write_text(html, encoding="utf-8")
    context = chromium.new_context()
    context.route(re.compile("^https?:"), lambda route: route.abort())
    page = context.new_page()
    watch = Watch(page, file.parent.as_uri())
    watch.expected = set(re.findall(r"https?://[^\s\"']+", html.partition("<body")[0]))
    page.goto(file.as_uri())
    assert page.locator(".jp-RenderedMarkdown").count() > len(NAMES)
    faults = watch.faults()
    context.close()
    assert faults == []
