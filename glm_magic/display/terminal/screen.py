"""Lines on a terminal, rendered by rich: some printed for good, and below them a draft that each update erases.

rich passes control characters through, and decodes what was escaped (``<http://x/%1b>``, ``&#13;``), so its output is
cleaned once more.
"""

from __future__ import annotations

import functools
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar, TextIO

from markdown_it import MarkdownIt
from rich import box
from rich.cells import chop_cells
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.markdown import CodeBlock, Markdown, MarkdownElement, TableElement
from rich.padding import Padding
from rich.segment import Segment, SegmentLines
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from glm_magic.display import safe_text
from glm_magic.display.lookahead import NOWHERE, Lookahead

if TYPE_CHECKING:
    from markdown_it.rules_block import StateBlock
    from markdown_it.rules_inline import StateInline
    from markdown_it.token import Token

_ERASE_BELOW = "\x1b[J"
_NARROWEST = 10  # columns
_DEEPEST = 50  # blocks within blocks
_LONGEST_DISPLAY = 100  # lines


def open_screen(out: TextIO) -> Screen | None:
    """Return a screen on the terminal `out`, or None if the terminal cannot move its cursor back."""
    console = Console(file=out, highlight=False, markup=False, emoji=False, force_jupyter=False)
    is_fit = console.is_terminal and not console.is_dumb_terminal and not console.legacy_windows
    return Screen(console) if is_fit and console.encoding.startswith("utf") else None


class Screen:
    """Prints finished lines, and below them a draft that the next `show` erases.

    The cursor stays at the end of the draft. No other state of the terminal changes, so there is nothing to restore,
    however a cell ends.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._out = console.file
        self._rows = 0  # that the draft takes

    # --- making lines ------------------------------------------------------------------------

    def markdown(self, text: str) -> list[str]:
        """Render whole blocks of Markdown as lines, without losing any of their text."""
        text = safe_text.plain(text)
        try:
            answer = _Answer(text)
            lines = self._rendered(answer)
            shown = Counter(
                character for line in lines for segment in line for character in segment.text if character.isalnum()
            )
            is_whole = answer.depth <= _DEEPEST and answer.characters <= shown
        except Exception:  # rich may have no room for a text; it is shown all the same
            is_whole = False
        if not is_whole:
            lines = self._rendered(Text(text))
        return self._written(_without_margins(lines))

    def text(self, text: str, *, whole: bool) -> list[str]:
        """Return plain text as lines: unwrapped if they are `whole`, as the terminal wraps them; else wrapped."""
        text = safe_text.plain(text)
        if whole:
            return text.removesuffix("\n").split("\n")
        width, _ = self._size()
        folded = [part for line in text.split("\n") for part in chop_cells(line.expandtabs(), width) or [""]]
        return self._written([Segment(part)] for part in folded)

    def note(self, text: str, *, whole: bool = True) -> list[str]:
        """Return a note as one faint line, cut to the width of the terminal unless `whole`."""
        line = Text(safe_text.one_line(text), style="dim")
        if not whole:
            line.truncate(self._size()[0], overflow="ellipsis")
        return self._written([[Segment(line.plain, self._console.get_style("dim"))]])

    def drawn(self, what: RenderableType) -> list[str]:
        """Return something of rich's, such as a table, as lines."""
        return self._written(self._rendered(what))

    def _rendered(self, what: RenderableType) -> list[list[Segment]]:
        width, _ = self._size()
        options = self._console.options.update(width=width, height=None)
        return self._console.render_lines(what, options, pad=False)

    def _written(self, lines: Iterable[Iterable[Segment]]) -> list[str]:
        """Return lines as they are sent to the terminal: safe text in rich's colours."""
        cleaned = [_cleaned(line) for line in lines]
        with self._console.capture() as captured:
            self._console.print(SegmentLines(cleaned, new_lines=True), end="", soft_wrap=True)
        return captured.get().split("\n")[: len(cleaned)]

    # --- showing them ------------------------------------------------------------------------

    def show(self, done: list[str], draft: list[str]) -> None:
        """Print the lines in `done`, and below them as much of the end of `draft` as fits."""
        _, height = self._size()
        draft = draft[-max(1, height - 1) :]
        back = "\r" + (f"\x1b[{self._rows - 1}A" if self._rows > 1 else "") + _ERASE_BELOW if self._rows else ""
        text = back + "".join(f"{line}\n" for line in done) + "\n".join(draft)
        self._rows = len(draft)
        self._out.write(text)
        self._out.flush()

    def _size(self) -> tuple[int, int]:
        """Return the current columns and rows of this terminal."""
        try:
            width, height = os.get_terminal_size(self._out.fileno())
        except (OSError, ValueError):
            width, height = self._console.size
        return max(_NARROWEST, width or 80), max(2, height or 24)


def _cleaned(line: Iterable[Segment]) -> list[Segment]:
    """Return a line without control characters, links and trailing blanks."""
    cleaned = [
        Segment(" ".join(re.split("[\t\n]", safe_text.plain(segment.text))), segment.style)
        for segment in Segment.strip_links(line)
        if not segment.control
    ]
    while cleaned:
        text, style, _ = cleaned[-1]
        if style is not None and (style.bgcolor or style.underline or style.reverse):
            break
        if text.rstrip(" "):
            cleaned[-1] = Segment(text.rstrip(" "), style)
            break
        cleaned.pop()
    return cleaned


def _without_margins(lines: list[list[Segment]]) -> list[list[Segment]]:
    filled = [at for at, line in enumerate(lines) if any(segment.text.strip() for segment in line)]
    return lines[filled[0] : filled[-1] + 1] if filled else []


# --- Markdown ------------------------------------------------------------------------------------


class _Code(CodeBlock):
    """Code in the terminal's own colours, without a frame, so that it can be copied."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        del console, options
        code = Syntax(str(self.text).rstrip(), self.lexer_name, theme="ansi_dark", word_wrap=True)
        yield Padding(code, (0, 0, 0, 2))


class _Table(TableElement):
    """A table that never cuts its cells."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        del console, options
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, style="markdown.table.border")
        for cell in self.header.row.cells if self.header and self.header.row else ():
            heading = cell.content.copy()
            heading.stylize("markdown.table.header")
            table.add_column(heading, overflow="fold", justify=cell.justify)
        for row in self.body.rows if self.body else ():
            table.add_row(*(cell.content for cell in row.cells))
        yield table


class _Answer(Markdown):
    """Markdown that shows tags, images and formulas as typed, and links with their addresses.

    `characters` counts the letters and digits that must be shown; `depth` is the nesting depth of its blocks.
    """

    elements: ClassVar[dict[str, type[MarkdownElement]]] = {
        **Markdown.elements,
        "fence": _Code,
        "code_block": _Code,
        "table_open": _Table,
    }

    def __init__(self, text: str) -> None:
        vars(self).update(_markdown_attributes())
        self.markup = text
        self.parsed = _parser().parse(text)
        self.depth = max((token.level for token in self.parsed), default=0)
        self.characters: Counter[str] = Counter()
        for token in self.parsed:
            if token.children:
                token.children = list(_without_autolinks(token.children))
            for part in token.children or [token]:
                self.characters.update(filter(str.isalnum, safe_text.plain(part.content)))


@functools.cache
def _markdown_attributes() -> dict[str, Any]:
    """Return the attributes of a `Markdown`. Its constructor builds a parser, which would not be used here."""
    return vars(Markdown("", hyperlinks=False))


@functools.cache
def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"maxNesting": 2 * _DEEPEST}).enable(["strikethrough", "table"])
    parser.disable(["html_block", "html_inline", "image", "reference"])  # what they parse would not be shown
    parser.block.ruler.before("fence", "maths", _maths_block, {"alt": ["paragraph", "blockquote", "list"]})
    parser.inline.ruler.before("escape", "maths", _maths)
    return parser


def _without_autolinks(tokens: list[Token]) -> Iterator[Token]:
    """Show ``<http://x>`` as its address, once."""
    address = ""
    for token in tokens:
        if token.markup == "autolink" and token.type == "link_open":
            address = str(token.attrs.get("href", ""))
        elif token.markup == "autolink" and token.type == "link_close":
            address = ""
        else:
            token.content = address or token.content
            yield token


_MATHS = re.compile(
    r"\$\$[^$]+\$\$|\$(?![\s$])(?:[^$\n\\]|\\[^\n])*(?<!\s)\$(?!\d)|\\\(.+?\\\)|\\\[.+?\\\]"
    r"|\\begin\{([a-zA-Z]*\*?)\}.+?\\end\{\1\}",
    re.DOTALL,
)
_MATHS_START = re.compile(r"\\[(\[]|\\begin\{[a-zA-Z]*\*?\}")
_MATHS_MARKS = {"$$": "$$", "\\[": "\\]", "\\b": "\\end{"}


def _maths(state: StateInline, silent: bool) -> bool:  # noqa: FBT001 - markdown-it calls it so
    """Keep an inline formula as typed."""
    if state.src[state.pos] not in "$\\":
        return False
    if opening := _MATHS_START.match(state.src, state.pos):
        ahead = state.env.get(state.src)
        if ahead is None:
            ahead = state.env[state.src] = Lookahead(state.src)
        if ahead.maths_end(opening[0], opening.end())[0] == NOWHERE:
            return False  # never closed: the pattern would search all of the text for that
    if (found := _MATHS.match(state.src, state.pos)) is None:
        return False
    if not silent:
        state.pending += found[0]
    state.pos = found.end()
    return True


def _maths_block(state: StateBlock, first: int, end: int, silent: bool) -> bool:  # noqa: FBT001
    """Keep a display formula as typed."""
    start = state.bMarks[first] + state.tShift[first]
    closing = _MATHS_MARKS.get(state.src[start : start + 2])
    if closing is None or state.is_code_block(first) or not state.src.startswith(("$$", "\\[", "\\begin{"), start):
        return False
    begin = start + 2
    for line in range(first, min(end, first + _LONGEST_DISPLAY)):
        if line > first and state.sCount[line] < state.blkIndent:
            return False
        found = state.src.find(closing, begin, state.eMarks[line])
        if found >= 0:
            if closing != "\\end{" and state.src[found + 2 : state.eMarks[line]].strip():
                return False  # text follows: it is a formula within a paragraph
            break
        if line + 1 < end:
            begin = state.bMarks[line + 1]
    else:
        return False
    if not silent:
        token = state.push("fence", "code", 0)
        token.info = "latex"
        token.content = state.getLines(first, line + 1, state.blkIndent, keepLastLF=True)
        token.map = [first, line + 1]
        state.line = line + 1
    return True
