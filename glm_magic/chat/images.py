"""Recognises images among a notebook's values, and sends them as `image_url` parts of a message.

No library is loaded for it: a value can be a matplotlib figure only if matplotlib is already loaded.
"""

from __future__ import annotations

import re
import struct
import sys
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from typing import Any

from glm_magic.errors import PromptError, described, quoted

# GLM takes images under 5 MB and up to 6000 × 6000 px, as PNG or JPEG (the page of its vision models, 2026).
MOST_BYTES = 5_000_000
LONGEST_SIDE = 6_000

_FIGURES = ("matplotlib.figure.FigureBase", "matplotlib.axes.Axes")
_MARGINS = {"left": 0.125, "bottom": 0.11, "right": 0.9, "top": 0.88, "wspace": 0.2, "hspace": 0.2}  # matplotlib's own
_URLS = ("urllib.parse.ParseResult", "urllib.parse.SplitResult", "httpx.URL", "yarl.URL")

_SENT = (".png", ".jpg", ".jpeg")
_NOT_SENT = (".gif", ".webp", ".bmp", ".tif", ".tiff", ".svg", ".heic", ".avif")

_DATA_URL = re.compile(r"data:image/([\w.+-]+);base64,")
_MOST_SHOWN = 60  # characters of a data URL that are shown

_DRAW_SMALLER = "Draw it smaller, for example: fig.set_dpi(72) or fig.set_size_inches(8, 6)"
_SCALE_DOWN = "Shrink it, for example: image.thumbnail((2048, 2048))"
_OPEN_AND_SCALE_DOWN = f"Open it with PIL.Image.open and insert that. {_SCALE_DOWN}"
_OPEN = "Open it with PIL.Image.open and insert that: it is sent as a PNG."
_CHOOSE = "Choose a frame: image.seek(0), then insert {{ image.copy() }}."
_AS_TEXT = "To insert the address itself, write {{ str(…) }}."


def image_part(value: object) -> dict[str, Any] | None:
    """Return the `image_url` part of an image; None for any other value.

    Images are matplotlib figures (and axes, for their figure), PIL images, IPython `Image` objects, the `Path` of an
    existing image file, and URL objects whose path has an image's suffix; a text never is one. A URL is sent as a
    URL, other images as data URLs. Raises `PromptError` if the image cannot be sent.
    """
    if is_one_of(value, *_FIGURES):
        return _part(_drawn(value), _DRAW_SMALLER)
    if is_one_of(value, "PIL.Image.Image"):
        return _part(_png(value), _SCALE_DOWN)
    if is_one_of(value, "IPython.core.display.Image"):
        return _displayed(value)
    if is_one_of(value, "pathlib.Path"):
        return _file(value)
    if is_one_of(value, *_URLS):
        return _link(value)
    return None


def is_picture(value: object) -> bool:
    """Whether `value` is an image that has no path or URL to stand for it."""
    return is_one_of(value, *_FIGURES, "PIL.Image.Image", "IPython.core.display.Image")


def placeholder(part: Mapping[str, Any]) -> str:
    """Return the text that stands for a part of a message: ``[image 640×480 png]``."""
    if part["type"] != "image_url":
        return f"[{quoted(part['type'])}]"
    url: str = part["image_url"]["url"]
    head = _DATA_URL.match(url)
    if head is None:
        return f"[image {quoted(url)}]" if _is_web(url) else "[image]"
    size = _size(_decoded(url[head.end() :]))
    return f"[image {size[0]}×{size[1]} {head[1]}]" if size else f"[image {head[1]}]"


def bare(url: str) -> str:
    """Return the base64 of a data URL; any other URL unchanged."""
    head = _DATA_URL.match(url)
    return url[head.end() :] if head else url


def shortened(request: Mapping[str, Any]) -> dict[str, Any]:
    """Return a request body for display: the base64 of an image is shortened, with its length."""
    return with_urls(request, _shortened)


def with_urls(request: Mapping[str, Any], change: Callable[[str], str]) -> dict[str, Any]:
    """Return a request body with `change` applied to the URL of each image."""

    def changed(part: Any) -> Any:
        if part.get("type") != "image_url":
            return part
        return {**part, "image_url": {**part["image_url"], "url": change(part["image_url"]["url"])}}

    messages = [
        {**message, "content": [changed(part) for part in message["content"]]}
        if isinstance(message.get("content"), list)
        else message
        for message in request["messages"]
    ]
    return {**request, "messages": messages}


def _shortened(url: str) -> str:
    if len(url) <= _MOST_SHOWN or _is_web(url):
        return url
    return f"{url[:_MOST_SHOWN]}… ({len(url):,} characters)"


# --- kinds of images ------------------------------------------------------------------------------


def is_one_of(value: object, *classes: str) -> bool:
    """Whether `value` is an instance of one of `classes`, given by full name; no library is loaded for it."""
    for name in classes:
        module, _, kind = name.rpartition(".")
        known = getattr(sys.modules.get(module), kind, None)
        if isinstance(known, type) and isinstance(value, known):
            return True
    return False


def _drawn(value: Any) -> bytes:
    """Draw a figure as a PNG; equal figures give equal bytes."""
    try:
        figure = value.figure.figure  # axes and subfigures have one; a figure is its own
        width, height = figure.bbox.size
        _check_size(round(width), round(height), _DRAW_SMALLER)  # before memory is allocated for it
        file = BytesIO()
        with _laid_out_anew(figure):
            figure.savefig(file, format="png", dpi=figure.dpi, metadata={"Software": None})
    except PromptError:
        raise
    except Exception as error:
        raise PromptError(f"The figure cannot be drawn: {described(error)}") from error
    return file.getvalue()


@contextmanager
def _laid_out_anew(figure: Any) -> Iterator[None]:
    """Reset a tight layout while drawing: it would move by parts of a pixel each time."""
    if not is_one_of(figure.get_layout_engine(), "matplotlib.layout_engine.TightLayoutEngine"):
        yield
        return
    before = {name: getattr(figure.subplotpars, name) for name in _MARGINS}
    figure.subplots_adjust(**_MARGINS)
    try:
        yield
    finally:
        figure.subplots_adjust(**before)


def _png(image: Any) -> bytes:
    """Write a PIL image as a PNG of 8 bits a channel."""
    _check_size(image.width, image.height, _SCALE_DOWN)
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format != "MPO":  # a phone's photograph, whose other frames are thumbnails
        raise PromptError(
            f"The image has {frames} frames; one can be sent.",
            _CHOOSE,
        )
    if image.mode in ("I", "F"):
        raise PromptError(
            f"The image's values (mode {image.mode}) have no fixed range.",
            'Scale them to 0…255, for example: image.point(lambda value: value / 256).convert("L")',
        )
    try:
        file = BytesIO()
        _of_eight_bits(image).save(file, "PNG")
    except Exception as error:
        raise PromptError(f"The image cannot be read: {described(error)}") from error
    return file.getvalue()


def _of_eight_bits(image: Any) -> Any:
    if image.mode in ("L", "RGB", "RGBA"):
        return image
    if image.mode.startswith("I;16"):  # PIL itself would clip everything above 255 to white
        image = image.convert("I").point(lambda value: value * (1 / 256)).convert("L")
    elif image.mode == "1":
        image = image.convert("L")
    else:
        has_transparency = image.mode in ("LA", "PA", "La", "RGBa") or "transparency" in image.info
        image = image.convert("RGBA" if has_transparency else "RGB")
    image.info.pop("icc_profile", None)  # it describes the colours before the conversion
    return image


def _displayed(image: Any) -> dict[str, Any]:
    if isinstance(image.data, bytes):
        return _part(image.data, _OPEN_AND_SCALE_DOWN)
    url = str(image.url or "")
    if not _is_web(url):
        raise PromptError("Only the page can load this image.", "Read it: Image(filename=…), or insert a Path.")
    return {"type": "image_url", "image_url": {"url": url}}


def _file(path: Any) -> dict[str, Any] | None:
    suffix = path.suffix.lower()
    if suffix not in _SENT + _NOT_SENT:
        return None
    try:
        if not path.is_file():
            return None
        if suffix in _NOT_SENT:
            raise PromptError(
                f"{quoted(path.name)}: an image is sent as PNG or JPEG, not as {suffix[1:]}.", f"{_OPEN}\n{_AS_TEXT}"
            )
        _check_weight(path.stat().st_size, _OPEN_AND_SCALE_DOWN)  # before it is read
        data = path.read_bytes()
    except OSError as error:
        raise PromptError(f"{quoted(path.name)} cannot be read: {quoted(str(error))}", _AS_TEXT) from error
    return _part(data, _OPEN_AND_SCALE_DOWN)


def _link(url: Any) -> dict[str, Any] | None:
    path = str(url.path).lower()
    if url.scheme not in ("http", "https") or not path.endswith(_SENT + _NOT_SENT):
        return None
    has_parts = hasattr(url, "geturl")  # urllib's are tuples
    address = url.geturl() if has_parts else str(url)
    if path.endswith(_NOT_SENT):
        kind = path.rpartition(".")[2]
        as_text = "To insert the address itself, write {{ url.geturl() }}." if has_parts else _AS_TEXT
        raise PromptError(f"{quoted(address)}: an image is sent as PNG or JPEG, not as {kind}.", as_text)
    return {"type": "image_url", "image_url": {"url": address}}


# --- bytes ----------------------------------------------------------------------------------------


def _part(data: bytes, remedy: str) -> dict[str, Any]:
    """Return the part of an image file. Raises `PromptError`, with `remedy` if it is too large."""
    size = _size(data)
    if size is None:
        raise PromptError("It is not a complete PNG or JPEG; other kinds of image cannot be sent.", _OPEN)
    kind = "png" if data.startswith(_PNG) else "jpeg"
    if kind == "png" and b"acTL" in data[: data.find(b"IDAT")]:
        raise PromptError("The image is animated; one frame can be sent.", f"Open it with PIL.Image.open. {_CHOOSE}")
    _check_size(*size, remedy)
    _check_weight(len(data), remedy)
    return {"type": "image_url", "image_url": {"url": f"data:image/{kind};base64,{b64encode(data).decode()}"}}


def _check_size(width: int, height: int, remedy: str) -> None:
    if max(width, height) > LONGEST_SIDE:
        most = f"{LONGEST_SIDE}×{LONGEST_SIDE}"
        raise PromptError(f"The image is {width}×{height} px; at most {most} px can be sent.", remedy)


def _check_weight(count: int, remedy: str) -> None:
    if count >= MOST_BYTES:
        raise PromptError(f"The image has {count / 1e6:.1f} MB; it must be under {MOST_BYTES / 1e6:g} MB.", remedy)


_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8\xff"
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # the segments that hold a JPEG's size


def _size(data: bytes) -> tuple[int, int] | None:
    """Return width and height in pixels from the header of a PNG or JPEG; None if it is neither."""
    if data.startswith(_PNG) and len(data) >= len(_PNG) + 16:
        width, height = struct.unpack_from(">II", data, len(_PNG) + 8)
        return width, height
    at = len(_JPEG) - 1
    while data.startswith(_JPEG) and at + 9 <= len(data) and data[at] == 0xFF:
        if data[at + 1] == 0xFF:  # a fill byte
            at += 1
        elif data[at + 1] in _FRAMES:
            height, width = struct.unpack_from(">HH", data, at + 5)
            return width, height
        else:
            at += 2 + struct.unpack_from(">H", data, at + 2)[0]
    return None


def _decoded(base64: str) -> bytes:
    try:
        return b64decode(base64)
    except ValueError:
        return b""


def _is_web(url: str) -> bool:
    return url.lower().startswith(("http://", "https://"))
