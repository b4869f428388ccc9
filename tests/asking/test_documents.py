"""Documents in prompts: what is read of each kind of file, and what cannot be read."""

from __future__ import annotations

import os
import zipfile
from io import BytesIO
from pathlib import Path

import pytest

from glm_magic.asking import documents
from glm_magic.chat.messages import Document
from glm_magic.chat.prompt import evaluator, given, message, value_evaluator
from glm_magic.errors import PromptError

PARAGRAPHS = (
    '<w:p><w:pPr><w:pStyle w:val="Heading1"/></w:pPr><w:r><w:t>Results</w:t></w:r></w:p>'
    "<w:p><w:r><w:t>Sales rose by 7 % in Zürich.</w:t></w:r></w:p>"
    "<w:tbl><w:tr><w:tc><w:p><w:r><w:t>city</w:t></w:r></w:p></w:tc>"
    "<w:tc><w:p><w:r><w:t>sales</w:t></w:r></w:p></w:tc></w:tr></w:tbl>"
)
WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
RELATIONS = "http://schemas.openxmlformats.org/package/2006/relationships"
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument"


def pdf(*pages: str, password: str | None = None) -> bytes:
    from pypdf import PdfWriter
    from pypdf.generic import DecodedStreamObject, DictionaryObject, NameObject

    writer = PdfWriter()
    for text in pages:
        page = writer.add_blank_page(200, 200)
        kinds = {"/Type": "/Font", "/Subtype": "/Type1", "/BaseFont": "/Helvetica"}
        font = DictionaryObject({NameObject(key): NameObject(value) for key, value in kinds.items()})
        fonts = DictionaryObject({NameObject("/F1"): font})
        page[NameObject("/Resources")] = DictionaryObject({NameObject("/Font"): fonts})
        drawn = DecodedStreamObject()
        drawn.set_data(f"BT /F1 12 Tf 20 100 Td ({text}) Tj ET".encode())
        page[NameObject("/Contents")] = writer._add_object(drawn)
    if password is not None:
        writer.encrypt(password, "owner", algorithm="AES-256")
    file = BytesIO()
    writer.write(file)
    return file.getvalue()


def docx() -> bytes:
    file = BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(
            "[Content_Types].xml", '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"/>'
        )
        relation = f'<Relationship Id="r" Type="{OFFICE}" Target="word/document.xml"/>'
        archive.writestr("_rels/.rels", f'<Relationships xmlns="{RELATIONS}">{relation}</Relationships>')
        body = f'<w:document xmlns:w="{WORD}"><w:body>{PARAGRAPHS}</w:body></w:document>'
        archive.writestr("word/document.xml", body)
    return file.getvalue()


def text_of(path: Path) -> str:
    found = documents.reader()(path)
    assert isinstance(found, Document)
    assert found.name == path.name
    return found.text


def fault(path: Path) -> str:
    with pytest.raises(PromptError) as caught:
        message("{{ path }}", value_evaluator({"path": path}, documents.reader()))
    assert caught.value.what.startswith("{{ path }}: ")
    assert caught.value.remedy
    return str(caught.value)


@pytest.fixture
def file(tmp_path: Path):
    def written(name: str, data: bytes) -> Path:
        (tmp_path / name).write_bytes(data)
        return tmp_path / name

    return written


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"a,b\r\n1,2\r\n", "a,b\r\n1,2\r\n"),
        ("\ufeffZürich\n".encode(), "Zürich\n"),
        ("Zürich".encode("utf-16"), "Zürich"),
    ],
)
def test_a_text_file_is_inserted_as_it_stands(file, data, text):
    assert text_of(file("a.CSV", data)) == text


def test_a_pdf_is_the_text_of_its_pages(file):
    assert text_of(file("a.pdf", pdf("First page", "Second page"))) == "First page\n\nSecond page"


def test_a_pdf_that_is_encrypted_without_a_password_is_read(file):
    assert text_of(file("a.pdf", pdf("Open to all", password=""))) == "Open to all"


def test_word_is_markdown_with_headings_and_tables(file):
    text = text_of(file("a.docx", docx()))
    assert text.startswith("# Results\n\nSales rose by 7 % in Zürich.")
    assert "| city | sales |" in text


def test_html_is_markdown_without_scripts_and_pictures(file):
    page = '<meta charset="latin-1"><script>x()</script><h1>Zürich</h1><p>A_b <b>bold</b> <img src="data:x" alt="map">'
    assert text_of(file("a.html", page.encode("latin-1"))) == "# Zürich\n\nA_b **bold** map"


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("a.txt", b"\x89PNG\0\0", "binary data"),
        ("a.md", "Zürich".encode("latin-1"), "not encoded as UTF-8.\nRead it with its own encoding"),
        ("a.txt", b" \n", "has no text"),
        ("a.pdf", b"no pdf", "cannot be read as a PDF"),
        ("a.pdf", pdf(""), "has no text: its pages are pictures"),
        ("a.pdf", pdf("Secret", password="x"), "is encrypted, and needs a password"),
        ("a.docx", b"PK no zip", "cannot be read as a Word file"),
        ("a.docx", b"\xd0\xcf\x11\xe0...", "is encrypted, or of the old Word format"),
        ("a.html", b'<meta charset="utf-8">Z\xfcrich', "is not encoded as UTF-8"),
        ("a.xlsx", b"PK", "pandas.read_excel"),
    ],
)
def test_what_cannot_be_read_is_an_error_that_names_the_file(file, name, data, says, capfd):
    said = fault(file(name, data))
    assert says in said
    assert f"{{{{ path }}}}: {name}" in said
    assert capfd.readouterr().err == ""


def test_a_file_that_is_missing_is_an_error_with_the_one_that_was_meant(file, tmp_path):
    file("report.pdf", b"")
    assert "Did you mean report.pdf?" in fault(tmp_path / "reprot.pdf")
    assert "does not exist" in fault(tmp_path / "none" / "a.pdf")


def test_a_folder_and_what_is_no_regular_file_are_errors(tmp_path):
    (tmp_path / "a.md").mkdir()
    assert "a.md is a folder" in fault(tmp_path / "a.md")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "b.txt")
        assert "b.txt is not a regular file" in fault(tmp_path / "b.txt")


def test_a_file_that_is_too_big_is_not_read(file, monkeypatch):
    monkeypatch.setattr(documents, "MOST_BYTES", 10)
    assert "at most 1e-05 MB" in fault(file("a.txt", b"x" * 11))
    monkeypatch.setattr(documents, "MOST_BYTES", 10_000)
    monkeypatch.setattr(documents, "MOST_UNPACKED", 10)
    assert "unpacks to" in fault(file("a.docx", docx()))
    monkeypatch.setattr(documents, "MOST_CHARACTERS", 10)
    assert "has 11 characters" in fault(file("a.txt", b"x" * 11))


def test_without_the_extra_the_error_says_how_to_install_it(file, monkeypatch):
    for name, module in (("a.pdf", "pypdf"), ("a.docx", "mammoth"), ("a.html", "bs4.dammit")):
        monkeypatch.setitem(__import__("sys").modules, module, None)
        assert "glm_magic[documents]" in fault(file(name, b"<p>x"))
    assert text_of(file("a.md", b"x")) == "x"


def test_any_other_path_stays_a_path(tmp_path):
    read = documents.reader()
    assert read(tmp_path) == tmp_path
    assert read("https://h.example/a.pdf") == "https://h.example/a.pdf"
    path = tmp_path / "a.py"
    assert read(path) is path


def test_a_document_is_read_once_and_its_text_is_not_a_template(file):
    path = file("a.md", b"{{ secret }}")
    read = documents.reader()
    assert evaluator({"path": path}, read)("path") == "{{ secret }}"
    path.unlink()
    said = given(["See ", path], read)
    assert said.content == "See {{ secret }}"
    assert [document.name for document in said.documents] == ["a.md"]
    assert given(path, read).content == "{{ secret }}"
