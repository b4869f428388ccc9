r"""Harmless answers: neutralised and in segments, each looks on the page as it would as one plain document.

`UNEQUAL` holds those that do not, each with the reason.
"""

# ruff: noqa: E501 - texts and scripts in one line each

from __future__ import annotations

_CODE = '```python\ndef f(x: list[int]) -> bool:\n    return x[0](1) if x < [2] else "<b>" in "a&b"\n```\n'
_PARAGRAPH = (
    "The tide rises and falls *twice* a day, as the **moon** pulls the sea; see `tide(t)`, and $h<2a$. " * 6 + "\n\n"
)

ANSWERS = {
    "prose": "Plain prose, *with* emphasis and **strong** words; 1 < 2, a <- b, x -> y; why not!\n\nA second one.",
    "hard breaks": "one  \ntwo\\\nthree\nfour",
    "headings": "# One `<T>`\n\ntext\n\n## Two: $x<y$\n\nThree\n===\n\n#### Four **bold**\n",
    "headings with one text": "# A\n\none\n\n# A\n\ntwo <br>",
    "code": f"Here:\n\n{_CODE}\nAnd that is it.",
    "code without blank lines": f"Here:\n{_CODE}And that is it.",
    "code in many languages": "```js\nif (a<b && c>d) `${x}`\n```\n\n```c++\n#include <vector>\nstd::vector<int> v;\n```\n\n"
    '```html\n<script>alert(1)</script>\n```\n\n```bash\necho "$HOME" > /dev/null && ls <x>\n```\n\n```\nplain <T> $x$\n```\n',
    "code of tildes": "~~~python\nx: List[int]: 3 <T>\n~~~\n\n~~~\n```\n<b>\n```\n~~~\n",
    "code with fences in it": "````markdown\n```html\n<b>\n```\n````\n",
    "code in a list": "1. a\n\n   ```\n   if a<b: x[0](1)\n   ```\n\n2. b `<T>`\n",
    "quiet code in a list": "1. a\n\n   ```python\n   print(1)\n   ```\n\n2. b `<T>`\n",
    "code by indentation": "Text\n\n    a <b> c\n    $d$\n\nmore",
    "code with maths signs": "```latex\n$$\\frac{a}{b}<c$$\n\\begin{x}\n```\n\nand `$x<y$` and `\\(a\\)`.",
    "diff": "```diff\n- a <b>\n+ c &amp; d\n```\n",
    "code spans": "Use `List<T>`, `a[0](1)`, `![x](y)`, `` a`b<c> ``, `&amp;`, `<script>` and `$HOME`.",
    "code span over lines": "A `<b>\nc</b>` there.",
    "table": "| a | b | c |\n|:--|--:|:-:|\n| `<T>` | a<br>b | $x<y$ |\n| `a\\|<b>` | 2 | **x** |\n",
    "table without edges": "a | b\n--|--\n1 | <br>\n2 | `|`\n\nafter",
    "table after text": "See:\n| a | b |\n|---|---|\n| 1 | `<2>` |\nafter",
    "inline maths": "Let $x<y$ and $a_1 < b_2$, so $x^2$, $\\frac{a}{b}$ and $\\{1, 2\\}$; $f'(x)$ with $\\alpha_{i,j}*\\beta_{k}$.",
    "display maths": "$$\na<b\n+ c<d\n$$\n\n$$E = mc^2$$\n\ntext $$x$$ text",
    "maths in brackets": "Then \\(x<y\\), and\n\n\\[\nx^2 < y_1\n\\]\n\nand \\\\(i<n\\\\) or \\\\[a<b\\\\].",
    "environments": "\\begin{aligned}\na&<b\\\\\n- c&<d\n\\end{aligned}\n\n$$\\begin{pmatrix}1&2\\\\3&4\\end{pmatrix}$$\n\n"
    "\\begin{equation}\nx = \\begin{cases}1 & a<b\\\\ 0 & \\text{else}\\end{cases}\n\\end{equation}\n",
    "maths in a list": "1. $$\n   a<b\n   $$\n2. $x<y$ `<T>`\n   - $\\sum_{i<n} i$\n",
    "maths with text": "$\\text{if } a<b \\text{ and } c>d$, $\\color{red}{x}<y$, $\\mathrm{d}x \\left< a \\right>$ <br>",
    "dollars": "It costs $5 or $6; `<T>`. Or US$ 7.",
    "nested lists": "- a\n  - b `<T>`\n    1. c\n\n       d\n    2. e\n- f\n\n  > g\n\n- [ ] todo\n- [x] done <br>\n",
    "numbered from seven": "7. a\n8. b `<T>`\n\ntext\n\n9. c\n",
    "tight and loose": "* a\n* b\n\n+ c\n\n+ d <br>\n\n1) e\n2) f\n",
    "quotes": "> a `<T>`\n> b\n>\n> > c\n>\n> ```\n> <c>\n> ```\n\nd",
    "footnotes": "A claim[^1] and another[^note], `<T>`.\n\n[^1]: The first note, at length.\n[^note]: The second one: also long.\n",
    "a footnote of one word": "A[^1]\n\n[^1]: Note `<T>`",
    "Chinese": "用 `<T>` 表示類型。當 $x<y$ 時,\n\n- 第一\n- 第二 **粗體**<br>行\n\n| 甲 | 乙 |\n|---|---|\n| 一 | 《二》 |\n",
    "Korean and Japanese": "하늘이 파란 **이유**는 `<T>` 때문입니다. 日本語の「テスト」、全角<記号>。\n",
    "Persian and Arabic": "می\u200cخواهم `<T>` و **مرحبا** <br> שלום",
    "emoji": "👩‍🚀 `<T>` 🎉 <br> 🇨🇭 :smile: ✅ **重要** ⚠️",
    "long line": "word " * 1500 + "`<T>` " + "x" * 3000,
    "long code line": "```\n" + "x<y " * 1000 + "\n```\n",
    "links": "See [the `<T>` page](https://a.example/x_(y)?a=b&c=d) or [mail](mailto:a@b.example), <https://a.example/b_c?d=1>.",
    "links that say their address": "[https://a.example](https://a.example/) [github.com](https://www.github.com/x) `<T>`",
    "link with a title": 'See [it](https://a.example "A title (so)").',
    "link by reference": '[a][x] `<T>`, [x], [b][]\n\n[x]: https://a.example/b\n[b]: https://b.example "T"\n',
    "bare addresses": "At https://a.example/b?c=d&e=f#g, www.b.example or a@b.example `<T>`.",
    "emphasis": "*a* **b** ***c*** _d_ ~~e~~ `<T>` snake_case_name 2*3*4 **`<T>`** a**`<i>`**b",
    "harmless tags": "H<sub>2</sub>O x<sup>2</sup> <kbd>Ctrl</kbd><br/><u>a</u> <b>bold *x*</b> <mark>m</mark> <del>d</del>",
    "escapes": "\\*a\\* \\[b\\] \\<br> \\`<br>\\` \\\\ \\! \\# \\_ 1\\. a",
    "entities": "&lt;b&gt; &amp; &#39; &copy; &#x1F600; &nbsp; `<T>` a&b AT&T &unknown;",
    "brackets and colons": "a[0]: b, `<T>`, [x] : y, [ ] z, a[i] (j) [z]:w {x} a[0][1]",
    "exclamation marks": "Well!! [a](https://a.example) `<T>`! ![",
    "rules": "a `<T>`\n\n---\n\nb\n\n***\n\n___\n",
    "windows path": "C:\\temp\\x `<T>` \\\\server\\share",
    "comparisons": "a<b, a<5, c <= d, x< y>z is < T > no; List< int >: 3 <br>",
    "generic arrows": "a <-> b, x =>> y, <3, <= >= <> `<br>`",
    "unfinished emphasis": "**a `<T>`",
    "unfinished code span": "a `<br> b",
    "unfinished code": "Look:\n\n```python\nif a<b:\n    pass",
    "unfinished table": "| a | b |\n|---|---|\n| `<T>` | <br",
    "unfinished maths": "so $x<y and $$a < b",
    "unfinished display maths": "so\n\n$$\n\\frac{a}{b} < c\n",
    "unfinished link": "see [the page](https://a.exam",
    "unfinished list": "- a `<T>`\n- b\n  -",
    "unfinished heading": "text <br>\n\n##",
    "blank lines": "\n\n\na `<T>`\n\n\n\nb\n\n\n",
    "CRLF": "a `<T>`\r\n\r\n- b\r\n- c\r\n\r\n```\r\nd<e>\r\n```\r\n",
    "tabs": "-\ta `<T>`\n\n\tb\n\n\tcode\there\n",
    "code with words after its language": "```python title=a.py\nx = 1\n```\n\n```c# {1,3}\ny\n```\n",
    "long prose": _PARAGRAPH * 12,
    "long mixture": "".join(
        f"## Part {n}\n\n{_PARAGRAPH}{_CODE}\n1. a `<T>`\n2. b\n\n   c\n\n| a | b |\n|---|---|\n| {n} | $x<{n}$ |\n\n"
        f"$$\na<b\n$$\n\n> quoted <br>\n\n"
        for n in range(12)
    ),
    "long list": "".join(f"- item {n}: `List<T>` and *more* of it, at some length\n" for n in range(200)),
    "long code": "```python\n"
    + "".join(f"x{n} = [a<b for a in b[{n}](c)]  # <tag>\n\n" for n in range(150))
    + "```\n\nDone.\n",
}

# What is on the page while an answer comes: it may end anywhere.
_GROWING = (
    f"## Tides, `<T>`\n\nAs $x<y$ and [a page](https://a.example/b) say, **so** it *is*:\n\n{_CODE}\n1. a `<b>`\n2. b\n\n   c<br>d\n\n"
    "| a | b |\n|---|---|\n| `<1>` | $x<2$ |\n\n$$\na<b\n$$\n\n> quoted `<c>`\n> and more\n\n- [ ] 最後 ~~gone~~\n"
)
ANSWERS |= {f"cut at {at}": _GROWING[:at] for at in range(9, len(_GROWING), 13)}

UNEQUAL = {
    "a picture": ("![a cat](https://a.example/c.png)", "it would be fetched: it is a link to it"),
    "a place in the notebook": (
        "See [below](#below) and [x](y.md), a[i](j).",
        "what is not in the web is shown as it was written",
    ),
    "other tags": (
        "<details><summary>a</summary>b</details> and <span>c</span> <!-- d -->",
        "tags are shown as they were written",
    ),
    "tags in code in a list": (
        f"1. a\n\n   {_CODE.replace(chr(10), chr(10) + '   ')}\n",
        "it has no colours: parsers differ in what is code there",
    ),
    "more words for a fence": ("```python copy\nx\n```\n", "they would be classes of the page's style sheets"),
    "a new command": ("$\\def\\x{1}\\x$", "it would hold for the whole page"),
    "a link under another address": (
        "[https://a.example](https://b.example)",
        "the address that it leads to is shown as well",
    ),
    "an address far from its name": (
        f"[a][x]\n\n{_PARAGRAPH * 12}[x]: https://a.example\n",
        "a segment that is finished is not sent again",
    ),
    "an image of data": (
        "![x](data:image/png;base64,AA==)",
        "an address that is not in the web is shown as it was written",
    ),
}
