import hashlib
import io
import os
import pathlib
import struct
import subprocess
import sys
from base64 import b64decode, b64encode
from urllib.parse import urlparse, urlsplit

import httpx
import IPython.display
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from PIL import Image

from glm_magic.chat import images
from glm_magic.chat.images import bare, image_part, is_picture, placeholder, shortened, with_urls
from glm_magic.errors import PromptError

RED = (255, 0, 0)


def figure(**more):
    made = Figure(**more)
    made.add_subplot().plot([1, 3, 2], label="a line")
    made.axes[0].set_title("$x^2$")
    made.axes[0].legend()
    return made


def picture(mode="RGB", size=(4, 3), colour=RED):
    return Image.new("RGB", size, colour).convert(mode)


def file_of(kind, image=None, **more):
    file = io.BytesIO()
    (image or picture()).save(file, kind, **more)
    return file.getvalue()


def sent(value):
    """The kind and the bytes that are sent of an image."""
    part = image_part(value)
    assert part["type"] == "image_url"
    head, _, base64 = part["image_url"]["url"].partition(";base64,")
    return head.removeprefix("data:"), b64decode(base64, validate=True)


def opened(value):
    return Image.open(io.BytesIO(sent(value)[1]))


def url_part(url):
    return {"type": "image_url", "image_url": {"url": url}}


# -- figures


def test_a_figure_is_sent_as_a_png_of_its_own_size():
    kind, data = sent(figure(figsize=(4, 3), dpi=50))
    assert kind == "image/png"
    assert Image.open(io.BytesIO(data)).size == (200, 150)
    assert b"Software" not in data  # or it were another image with each version of matplotlib


def test_axes_and_a_figure_within_a_figure_are_sent_as_the_whole_figure():
    whole = Figure()
    left, right = whole.subfigures(1, 2)
    left.add_subplot().plot([1, 2])
    right.add_subplot().plot([2, 1])
    assert sent(whole) == sent(left) == sent(left.axes[0]) == sent(whole.axes[1])


@pytest.mark.parametrize("layout", [None, "tight", "constrained"])
def test_a_figure_gives_the_same_bytes_each_time_also_after_it_was_shown(layout):
    shown, fresh = Figure(layout=layout), Figure(layout=layout)
    for axes in (*shown.subplots(2, 2).flat, *fresh.subplots(2, 2).flat):
        axes.set(title="a title as long as three" * 3, ylabel="y")
    shown.savefig(io.BytesIO(), format="png")
    assert sent(shown) == sent(shown) == sent(fresh)


def test_a_figure_gives_the_same_bytes_in_another_process():
    code = (
        "import hashlib, sys; sys.path.insert(0, sys.argv[1]); from test_images import figure, sent;"
        "print(hashlib.sha256(sent(figure())[1]).hexdigest())"
    )
    here = pathlib.Path(__file__).parent
    done = subprocess.run([sys.executable, "-c", code, here], capture_output=True, check=True, text=True, timeout=120)
    assert done.stdout.strip() == hashlib.sha256(sent(figure())[1]).hexdigest()


@pytest.mark.parametrize("layout", [None, "tight"])
def test_a_figure_stays_as_it_was(layout):
    def state():
        return drawn.dpi, tuple(drawn.get_size_inches()), drawn.canvas, drawn.axes[0].get_position().bounds

    drawn = figure(dpi=50, layout=layout)
    drawn.savefig(io.BytesIO(), format="png")
    before = state()
    image_part(drawn)
    assert state() == before


@pytest.mark.parametrize("shrink", [lambda fig: fig.set_dpi(72), lambda fig: fig.set_size_inches(8, 6)])
def test_a_huge_figure_is_refused_with_its_size_and_each_remedy_helps(shrink):
    huge = figure(figsize=(10, 5), dpi=700)
    with pytest.raises(PromptError, match="7000×3500 px; at most 6000×6000 px can be sent") as caught:
        image_part(huge)
    assert "fig.set_dpi(72) or fig.set_size_inches(8, 6)" in caught.value.remedy
    shrink(huge)
    assert image_part(huge)


def test_a_figure_of_a_size_that_no_memory_holds_is_refused():
    with pytest.raises(PromptError, match="10000000×10000000 px"):
        image_part(figure(figsize=(1e5, 1e5), dpi=100))


def test_a_figure_that_cannot_be_drawn_is_an_error_that_says_why():
    broken = figure()
    broken.axes[0].set_title(r"$\frac$")
    with pytest.raises(PromptError, match="The figure cannot be drawn: ValueError"):
        image_part(broken)


# -- PIL


def test_an_image_is_sent_as_a_png_of_its_pixels():
    image = picture()
    image.putpixel((1, 2), (1, 2, 3))
    assert sent(image)[0] == "image/png"
    assert opened(image).tobytes() == image.tobytes()


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "HSV"])
def test_an_image_of_any_mode_keeps_its_colours_in_eight_bits(mode):
    image = picture(mode, colour=(255, 255, 255))
    before = image.tobytes()
    arrived = opened(image)
    assert arrived.mode in ("L", "RGB", "RGBA")
    assert arrived.convert("RGB").getpixel((0, 0)) == (255, 255, 255)
    assert (image.mode, image.tobytes()) == (mode, before)


def test_what_is_transparent_stays_so():
    indexed = Image.new("P", (1, 1), 0)
    indexed.info["transparency"] = 0
    for image in (Image.new("RGBA", (1, 1), (1, 2, 3, 0)), Image.new("LA", (1, 1), (9, 0)), indexed):
        assert opened(image).convert("RGBA").getpixel((0, 0))[3] == 0


def test_the_shades_of_sixteen_bits_are_those_that_a_page_shows():
    shades = [0, 300, 0x8000, 0xFFFF]
    image = Image.frombytes("I;16", (4, 1), struct.pack("<4H", *shades))
    assert list(opened(image).tobytes()) == [shade >> 8 for shade in shades]


@pytest.mark.parametrize("mode", ["I", "F"])
def test_values_that_are_no_shades_are_refused_and_the_remedy_helps(mode):
    image = Image.new(mode, (1, 1), 0x8000)
    with pytest.raises(PromptError, match=f"mode {mode}") as caught:
        image_part(image)
    remedy = caught.value.remedy.partition("for example: ")[2]
    assert opened(eval(remedy, {"image": image})).getpixel((0, 0)) == 0x80


def test_an_image_of_cmyk_does_not_keep_the_profile_of_its_inks():
    image = picture("CMYK")
    image.info["icc_profile"] = b"inks"
    assert "icc_profile" not in opened(image).info
    assert image.info["icc_profile"] == b"inks"


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_of_an_image_of_several_frames_one_must_be_chosen(kind):
    frames = [picture(colour=(0, 0, 255)), picture()]
    image = Image.open(io.BytesIO(file_of(kind, frames[0], save_all=True, append_images=frames[1:])))
    with pytest.raises(PromptError, match="2 frames") as caught:
        image_part(image)
    assert "image.seek(0), then insert {{ image.copy() }}" in caught.value.remedy
    image.seek(1)
    assert opened(image.copy()).size == (4, 3)


def test_a_photograph_that_has_a_small_copy_of_itself_is_one_image():
    photo = Image.open(io.BytesIO(file_of("MPO", picture(), save_all=True, append_images=[picture(size=(2, 2))])))
    assert photo.n_frames == 2
    assert opened(photo).size == (4, 3)


def test_an_image_of_too_many_pixels_is_refused_and_the_remedy_helps():
    image = picture(size=(6001, 10))
    with pytest.raises(PromptError, match="6001×10 px; at most 6000×6000 px can be sent") as caught:
        image_part(image)
    exec(caught.value.remedy.partition("for example: ")[2], {"image": image})
    assert opened(image).size[0] == 2048
    assert image_part(picture(size=(6000, 1)))


def test_an_image_of_too_many_bytes_is_refused():
    noise = Image.frombytes("RGB", (1300, 1300), os.urandom(3 * 1300 * 1300))
    with pytest.raises(PromptError, match=r"5\.1 MB; it must be under 5 MB"):
        image_part(noise)


def test_an_image_whose_file_is_broken_is_an_error_that_says_so():
    whole = file_of("PNG", Image.frombytes("RGB", (50, 50), os.urandom(7500)))
    with pytest.raises(PromptError, match="The image cannot be read"):
        image_part(Image.open(io.BytesIO(whole[: len(whole) // 2])))


# -- what IPython shows


@pytest.mark.parametrize("kind", ["png", "jpeg"])
def test_an_image_to_display_is_sent_as_it_is(kind, tmp_path):
    data = file_of(kind)
    (tmp_path / f"a.{kind}").write_bytes(data)
    assert sent(IPython.display.Image(data)) == (f"image/{kind}", data)
    assert sent(IPython.display.Image(filename=tmp_path / f"a.{kind}")) == (f"image/{kind}", data)


def test_an_image_to_display_from_an_address_is_sent_as_the_address():
    shown = IPython.display.Image(url="https://h.example/chart?id=7")
    assert image_part(shown) == url_part("https://h.example/chart?id=7")


@pytest.mark.parametrize("place", [{"url": "local.png"}, {"filename": "local.png", "embed": False}])
def test_an_image_that_only_the_page_can_find_is_refused(place):
    with pytest.raises(PromptError, match="Only the page can load"):
        image_part(IPython.display.Image(**place))


# -- files


@pytest.mark.parametrize(("name", "kind"), [("a.png", "png"), ("a.jpg", "jpeg"), ("a.JPEG", "jpeg"), ("a.png", "jpeg")])
def test_an_image_file_is_sent_byte_for_byte_as_what_it_is(tmp_path, name, kind):
    path = tmp_path / name
    path.write_bytes(file_of(kind))
    assert sent(path) == (f"image/{kind}", path.read_bytes())


def test_a_path_of_no_image_file_is_no_image(tmp_path):
    (tmp_path / "a.txt").write_text("text")
    (tmp_path / "folder.png").mkdir()
    for path in (tmp_path / "a.txt", tmp_path, tmp_path / "missing.png", tmp_path / "folder.png"):
        assert image_part(path) is None
    assert image_part(pathlib.PurePath(tmp_path / "missing.png")) is None


@pytest.mark.parametrize("kind", ["gif", "webp", "bmp", "tiff"])
def test_an_image_file_of_another_kind_is_refused_and_the_remedies_help(tmp_path, kind):
    path = tmp_path / f"a.{kind}"
    path.write_bytes(file_of(kind))
    with pytest.raises(PromptError, match=rf"a\.{kind}: .* PNG or JPEG, not as {kind}") as caught:
        image_part(path)
    assert "PIL.Image.open" in caught.value.remedy
    assert "{{ str(…) }}" in caught.value.remedy
    with Image.open(path) as image:
        assert opened(image).size == (4, 3)
    assert image_part(str(path)) is None


def test_a_file_that_only_has_the_name_of_an_image_is_refused(tmp_path):
    for content in (b"", b"GIF89a", b"<html>", file_of("PNG")[:20], file_of("JPEG")[:30]):
        (tmp_path / "a.png").write_bytes(content)
        with pytest.raises(PromptError, match="not a complete PNG or JPEG"):
            image_part(tmp_path / "a.png")


def test_a_file_that_is_too_large_is_refused_before_it_is_read(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    path.write_bytes(file_of("PNG"))
    os.truncate(path, images.MOST_BYTES - 1)
    assert image_part(path)
    os.truncate(path, images.MOST_BYTES)
    monkeypatch.setattr(pathlib.Path, "read_bytes", lambda _path: pytest.fail("it was read"))
    with pytest.raises(PromptError, match=r"5\.0 MB; it must be under 5 MB"):
        image_part(path)


@pytest.mark.parametrize("kind", ["png", "jpeg"])
@pytest.mark.parametrize("size", [(6001, 2), (2, 6001)])
def test_the_pixels_of_a_file_are_counted_from_its_head(tmp_path, kind, size):
    path = tmp_path / f"a.{kind}"
    path.write_bytes(file_of(kind, picture(size=size)))
    with pytest.raises(PromptError, match=f"{size[0]}×{size[1]} px"):
        image_part(path)


def test_an_animated_file_is_refused(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(file_of("PNG", save_all=True, append_images=[picture(colour=(0, 0, 9))]))
    with pytest.raises(PromptError, match="animated"):
        image_part(path)


def test_a_file_that_cannot_be_read_is_an_error_that_says_why(tmp_path, monkeypatch):
    def refuse(_path):
        raise PermissionError(13, "Permission denied")

    (tmp_path / "a.png").write_bytes(file_of("PNG"))
    monkeypatch.setattr(pathlib.Path, "read_bytes", refuse)
    with pytest.raises(PromptError, match=r"a\.png cannot be read: .*Permission denied"):
        image_part(tmp_path / "a.png")


@given(
    st.binary(max_size=60), st.sampled_from([b"", file_of("PNG")[:8], b"\xff\xd8\xff", b"\xff\xd8\xff\xe0\x00\x02\xff"])
)
@example(b"\xc0", b"\xff\xd8\xff")
def test_any_bytes_have_a_size_or_none(data, head):
    size = images._size(head + data)
    assert size is None or len(size) == 2


@pytest.mark.parametrize("more", [{}, {"progressive": True}, {"exif": b"Exif\0\0" + bytes(60_000)}, {"comment": b"x"}])
def test_the_size_of_a_jpeg_is_found_behind_whatever_stands_before_it(more):
    assert images._size(file_of("JPEG", picture(size=(70, 50)), **more)) == (70, 50)


def test_segments_of_a_jpeg_may_be_filled_up():
    data = file_of("JPEG", picture(size=(70, 50)))
    assert images._size(data[:2] + b"\xff\xff" + data[2:]) == (70, 50)


# -- addresses


@pytest.mark.parametrize("parse", [urlparse, urlsplit, httpx.URL])
@pytest.mark.parametrize(
    "address", ["https://h.example/a.png", "http://h.example/b/A.JPG?size=2#x", "https://h/a.jpeg"]
)
def test_the_address_of_an_image_stays_an_address(parse, address):
    assert image_part(parse(address)) == url_part(address)


@pytest.mark.parametrize("parse", [urlparse, urlsplit, httpx.URL])
@pytest.mark.parametrize("address", ["https://h.example/", "https://h.example/page?a.png", "ftp://h/a.png", "a.png"])
def test_another_address_is_no_image(parse, address):
    assert image_part(parse(address)) is None


def test_the_address_of_an_image_of_another_kind_is_refused():
    for url, as_text in (
        (urlsplit("https://h.example/a.gif"), ".geturl()"),
        (httpx.URL("https://h.example/a.gif"), "str("),
    ):
        with pytest.raises(PromptError, match=r"https://h\.example/a\.gif: .* not as gif") as caught:
            image_part(url)
        assert as_text in caught.value.remedy


# -- what is none


@pytest.mark.parametrize(
    "value",
    [
        "https://h.example/a.png",
        "data:image/png;base64,AAAA",
        "/tmp/a.png",
        "",
        b"\x89PNG\r\n\x1a\n",
        None,
        7,
        [],
        Figure,
    ],
)
def test_other_values_are_no_images_whatever_they_say(value):
    assert image_part(value) is None
    assert not is_picture(value)


def test_only_what_no_text_stands_for_is_a_picture(tmp_path):
    (tmp_path / "a.png").write_bytes(file_of("PNG"))
    assert all(map(is_picture, (figure(), figure().axes[0], picture(), IPython.display.Image(file_of("PNG")))))
    assert not any(map(is_picture, (tmp_path / "a.png", urlsplit("https://h.example/a.png"))))


def test_to_see_what_a_value_is_loads_nothing():
    code = (
        "import sys; from glm_magic.chat.images import image_part; import pathlib;"
        "assert [image_part(v) for v in ('a', 7, pathlib.Path('a.png'), object())] == [None] * 4;"
        "print({m.partition('.')[0] for m in sys.modules} & {'matplotlib', 'PIL', 'IPython', 'httpx', 'yarl', 'numpy'})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True, timeout=60)
    assert done.stdout.strip() == "set()"


def test_a_figure_is_drawn_without_pyplot():
    code = (
        "import sys; from matplotlib.figure import Figure; from glm_magic.chat.images import image_part;"
        "assert image_part(Figure()); print('matplotlib.pyplot' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True, timeout=60)
    assert done.stdout.strip() == "False"


# -- where it is shown, and where it goes


@pytest.mark.parametrize(
    ("part", "shown"),
    [
        (image_part(picture(size=(640, 480))), "[image 640×480 png]"),
        (image_part(IPython.display.Image(file_of("JPEG", picture(size=(7, 5))))), "[image 7×5 jpeg]"),
        (url_part("https://h.example/a.png"), "[image https://h.example/a.png]"),
        (url_part("https://h.example/\x1b[31m\n\u202ea.png"), "[image https://h.example/ [31m a.png]"),
        (url_part("data:image/svg+xml;base64,AAAA"), "[image svg+xml]"),
        (url_part("data:image/png;base64,A"), "[image png]"),
        (url_part("AAAA"), "[image]"),
        (url_part(""), "[image]"),
        ({"type": "video_url", "video_url": {}}, "[video_url]"),
    ],
)
def test_a_short_text_stands_for_an_image(part, shown):
    assert placeholder(part) == shown


def test_an_image_without_the_head_of_its_url_is_bare_base64():
    data = file_of("PNG")
    assert bare(image_part(IPython.display.Image(data))["image_url"]["url"]) == b64encode(data).decode()
    for other in ("https://h.example/data:image/png;base64,A", "data:text/plain;base64,AAAA", ""):
        assert bare(other) == other


def request(*content):
    return {"model": "m", "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": list(content)}]}


def test_only_the_addresses_of_images_are_changed_and_in_a_copy():
    text = {"type": "text", "text": "data:image/png;base64,AAAA"}
    other = {"type": "video_url", "video_url": {"url": "u"}}
    detailed = {"type": "image_url", "image_url": {"url": "u", "detail": "low"}}
    before = request(text, detailed, other)
    after = with_urls(before, lambda url: url + "!")
    assert after == request(text, {"type": "image_url", "image_url": {"url": "u!", "detail": "low"}}, other)
    assert before == request(text, detailed, other)


def test_a_request_that_is_shown_says_how_long_its_images_are():
    part = image_part(figure())
    url = part["image_url"]["url"]
    [_, message] = shortened(request(part, url_part("https://h.example/" + "a" * 80 + ".png")))["messages"]
    first, second = (shown["image_url"]["url"] for shown in message["content"])
    assert first == f"{url[:60]}… ({len(url):,} characters)"
    assert second == "https://h.example/" + "a" * 80 + ".png"
