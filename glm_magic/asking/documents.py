"""Reads the documents that a prompt inserts: the `Path` of a PDF, Word, HTML or text file becomes the file's text.

pypdf reads PDF. mammoth turns Word into HTML, and markdownify turns HTML into Markdown, so headings, lists and tables
stay. These are loaded where a file needs them; text files need none.
"""

from __future__ import annotations

import codecs
import functools
import logging
import warnings
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

from glm_magic.chat.messages import Document
from glm_magic.chat.text import without_halves
from glm_magic.errors import PromptError, SetupError, described, near_miss, quoted

MOST_BYTES = 50_000_000  # of a file
MOST_UNPACKED = 500_000_000  # bytes: a Word file is a zip archive, and a small one may unpack to any size
MOST_CHARACTERS = 20_000_000  # of a text: more than any model reads

_PLAIN = (".txt", ".md", ".markdown", ".csv", ".tsv")
_HTML = (".html", ".htm")
_SHEETS = (".xlsx", ".xls", ".ods")
_NOT_READ = (*_SHEETS, ".doc", ".pptx", ".ppt", ".odt", ".odp", ".rtf", ".epub")

_AS_PATH = "To insert the path itself, write {{ str(…) }}."
_INSTALL = '%pip install "glm_magic[documents]"'
_OLE = b"\xd0\xcf\x11\xe0"  # the container of the old Word format, and of an encrypted file of the new one

# what is odd in a PDF is logged, and Python writes what nobody handles to the standard error
logging.getLogger("pypdf").addHandler(logging.NullHandler())


def reader() -> Callable[[object], object]:
    """Return a function that turns the `Path` of a document into a `Document`, and returns any other value unchanged.

    It reads each file once. It raises `PromptError` for a file that cannot be read as text, and `SetupError` if the
    library for it is not installed.
    """
    document = functools.cache(_document)
    return lambda value: document(value) if isinstance(value, Path) else value


def _document(path: Path) -> object:
    """Return the document at `path`; `path` itself if its suffix is that of no document."""
    suffix = path.suffix.lower()
    if suffix in _NOT_READ:
        raise PromptError(f"{quoted(path.name)}: {suffix} files are not read.", _way_out(suffix))
    read = _readers().get(suffix)
    if read is None:
        return path
    try:
        text = without_halves(read(_bytes(path)))
    except PromptError as error:
        raise PromptError(f"{quoted(path.name)} {error.what}", error.remedy) from error.__cause__
    if not text.strip():
        is_pdf = suffix == ".pdf"
        raise PromptError(
            f"{quoted(path.name)} has no text{': its pages are pictures, as those of a scan are' * is_pdf}.",
            "Recognise its text first, with an OCR program, or insert its pages as images." if is_pdf else _AS_PATH,
        )
    if len(text) > MOST_CHARACTERS:
        raise PromptError(
            f"{quoted(path.name)} has {len(text):,} characters; at most {MOST_CHARACTERS:,} can be inserted.",
            "Insert a part of it.",
        )
    return Document(path.name, text)


def _readers() -> dict[str, Callable[[bytes], str]]:
    return {
        ".pdf": _of_pdf,
        ".docx": _of_word,
        **dict.fromkeys(_HTML, _of_html),
        **dict.fromkeys(_PLAIN, _decoded),
    }


def _way_out(suffix: str) -> str:
    if suffix in _SHEETS:
        return f"Read it as a table, and insert that: {{{{ pandas.read_excel(…) }}}}\n{_AS_PATH}"
    return f"Save it as .pdf, .docx, .html, .md or .txt.\n{_AS_PATH}"


def _bytes(path: Path) -> bytes:
    """Return the contents of a file. Raises `PromptError`, whose text goes on after the file's name."""
    try:
        if path.is_dir():
            raise PromptError("is a folder.", f"Insert one of its files.\n{_AS_PATH}")
        if not path.exists():
            raise PromptError(f"does not exist in {quoted(str(path.absolute().parent))}.", _meant(path))
        if not path.is_file():
            raise PromptError("is not a regular file.", _AS_PATH)
        size = path.stat().st_size
        if size > MOST_BYTES:
            raise PromptError(
                f"has {size / 1e6:.1f} MB; at most {MOST_BYTES / 1e6:g} MB can be read.", "Insert a part of it."
            )
        return path.read_bytes()
    except (OSError, ValueError) as error:
        raise PromptError(f"cannot be read: {described(error)}", _AS_PATH) from error


def _meant(path: Path) -> str:
    beside = path.absolute().parent
    names = [other.name for other in beside.iterdir()] if beside.is_dir() else []
    meant = near_miss(path.name, names)
    return f"Did you mean {quoted(meant)}?\n{_AS_PATH}" if meant else _AS_PATH


# --- kinds of documents ---------------------------------------------------------------------------


def _decoded(data: bytes, encoding: str = "utf-8") -> str:
    """Return `data` as text: as its byte order mark says, else in `encoding`."""
    if data.startswith(codecs.BOM_UTF8):
        encoding = "utf-8-sig"
    elif data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encoding = "utf-16"
    if b"\0" in data and encoding != "utf-16":
        raise PromptError("is not text: it holds binary data.", "Insert a text that says what is in it.")
    try:
        return data.decode(encoding)
    except (UnicodeDecodeError, LookupError) as error:
        raise PromptError(
            f"is not encoded as {quoted(encoding).upper()}.",
            'Read it with its own encoding, for example: {{ path.read_text(encoding="cp1252") }}',
        ) from error


def _of_html(data: bytes) -> str:
    try:
        from bs4.dammit import EncodingDetector  # noqa: PLC0415 - of an extra
    except ImportError:
        raise SetupError("HTML files need markdownify.", _INSTALL) from None
    declared = EncodingDetector.find_declared_encoding(data, is_html=True)
    return _markdown(_decoded(data, declared or "utf-8"))


def _markdown(html: str) -> str:
    """Return HTML as Markdown, without scripts and styles; the text of an image is its alternative text."""
    from bs4 import BeautifulSoup  # noqa: PLC0415 - of an extra
    from markdownify import MarkdownConverter  # noqa: PLC0415

    try:
        with warnings.catch_warnings():  # of what looks like XML or like a file's name
            warnings.simplefilter("ignore")
            soup = BeautifulSoup(html, "html.parser")
        for element in soup(["script", "style", "template"]):
            element.decompose()
        for image in soup("img"):
            image.replace_with(str(image.get("alt") or ""))
        text: str = MarkdownConverter(
            heading_style="ATX", escape_underscores=False, escape_asterisks=False
        ).convert_soup(soup)
    except Exception as error:
        raise PromptError(f"cannot be read as HTML: {described(error)}", _AS_PATH) from error
    return text.strip()


def _of_word(data: bytes) -> str:
    try:
        import mammoth  # noqa: PLC0415 - of an extra
    except ImportError:
        raise SetupError("Word files need mammoth.", _INSTALL) from None
    if data.startswith(_OLE):
        raise PromptError("is encrypted, or of the old Word format.", "Save it as .docx without a password.")
    try:
        with zipfile.ZipFile(BytesIO(data)) as archive:
            unpacked = sum(file.file_size for file in archive.infolist())
        if unpacked <= MOST_UNPACKED:
            without_images = mammoth.images.img_element(lambda _: {})
            html = mammoth.convert_to_html(BytesIO(data), convert_image=without_images).value
    except Exception as error:
        raise PromptError(f"cannot be read as a Word file: {described(error)}", _AS_PATH) from error
    if unpacked > MOST_UNPACKED:
        raise PromptError(f"unpacks to {unpacked / 1e6:,.0f} MB.", "Insert a part of it.")
    return _markdown(html)


def _of_pdf(data: bytes) -> str:
    try:
        from pypdf import PdfReader  # noqa: PLC0415 - of an extra
        from pypdf.errors import DependencyError  # noqa: PLC0415
    except ImportError:
        raise SetupError("PDF files need pypdf.", _INSTALL) from None
    try:
        pdf: Any = PdfReader(BytesIO(data))
        is_open = not pdf.is_encrypted or bool(pdf.decrypt(""))
        text = "\n\n".join(page.extract_text().strip() for page in pdf.pages) if is_open else ""
    except DependencyError as error:
        raise PromptError("is encrypted.", "Save it without encryption, or: %pip install cryptography") from error
    except Exception as error:
        raise PromptError(f"cannot be read as a PDF: {described(error)}", _AS_PATH) from error
    if not is_open:
        raise PromptError("is encrypted, and needs a password.", "Save it without one.")
    return text
