from __future__ import annotations

from typing import Any

import pytest

from glm_magic.errors import SetupError
from glm_magic.service.endpoint import GLM_CHINA, Endpoint, endpoint
from glm_magic.service.keys import Key

KEY = Key("id.secret", "a test")


@pytest.mark.parametrize("written", ["", "/", "/chat/completions", "/chat/completions/", "//"])
def test_a_base_url_may_end_as_people_write_it(written: str) -> None:
    assert endpoint("https://h.example/api/paas/v4" + written, None).url == (
        "https://h.example/api/paas/v4/chat/completions"
    )


def test_no_v1_is_added() -> None:
    assert endpoint(GLM_CHINA, None).url == "https://open.bigmodel.cn/api/paas/v4/chat/completions"


@pytest.mark.parametrize("written", ["", "/", "/chat/completions", "/chat/completions/"])
def test_a_query_stays_at_the_end_of_the_path(written: str) -> None:
    asked = endpoint(f"https://h.example/v1{written}?api-version=2024-10-21&a=/", None)
    assert asked.base_url == "https://h.example/v1?api-version=2024-10-21&a=/"
    assert asked.url == "https://h.example/v1/chat/completions?api-version=2024-10-21&a=/"


@pytest.mark.parametrize(
    "written",
    [
        "",
        "localhost:8000",
        "ftp://h",
        "https://",
        "http://h:port",
        "https://h/#a",
        "https://h/v1?a=1#b",
        "http://h a/v1",
        "http://h/v1\n?a=1",
        "http://999.1.1.1/v1",
        "http://[1::2::3]/v1",
        "?a=1",
    ],
)
def test_what_is_no_address_is_refused(written: str) -> None:
    with pytest.raises(SetupError, match="not an http"):
        endpoint(written, None)


@pytest.mark.parametrize(
    "written",
    [
        "https://me:canary@h.example",
        "https://me:canary@h.example/#a",
        "https://me:canary@h.example:port",
        "https://h.example/v1?api-key=canary",
        "https://h.example/v1?a=1&access_token=canary",
    ],
)
def test_a_secret_in_the_address_is_refused_and_not_shown(written: str) -> None:
    with pytest.raises(SetupError) as caught:
        endpoint(written, None)
    assert "canary" not in str(caught.value)


def test_a_key_is_not_sent_unencrypted_to_another_machine() -> None:
    with pytest.raises(SetupError, match="unencrypted"):
        endpoint("http://10.0.0.7:8000/v1", KEY)


THIS_MACHINE = [
    *("127.0.0.1", "localhost", "[::1]", "127.8.9.1", "0.0.0.0", "[::]", "localhost.", "LocalHost", "127.1", "0x7f.1"),
    *("2130706433", "0", "[::ffff:127.0.0.1]", "[::ffff:0:0]", "[0:0:0:0:0:0:0:1]", "x.localhost", "a.b.localhost."),
]


@pytest.mark.parametrize("host", THIS_MACHINE)
def test_a_key_may_go_unencrypted_to_this_machine(host: str) -> None:
    assert endpoint(f"http://{host}:8000/v1", KEY).is_local


@pytest.mark.parametrize(
    "host",
    [
        *("localhost.example.com", "xlocalhost", "localhost..", "127.0.0.1.example.com", "128.1", "[::ffff:10.0.0.7]"),
        *("[::2]", "[::127.0.0.1]", "\uff11\uff12\uff17.0.0.1", "127.0.0.1."),
    ],
)
def test_a_name_that_only_looks_like_this_machine_is_another(host: str) -> None:
    with pytest.raises(SetupError, match="unencrypted"):
        endpoint(f"http://{host}/v1", KEY)


@pytest.mark.parametrize(
    ("url", "expected"),
    [(GLM_CHINA, True), ("https://api.z.ai/api/paas/v4", True), ("https://open.bigmodel.cn.example/v4", False)],
)
def test_glms_own_hosts_are_known(url: str, expected: bool) -> None:
    assert Endpoint(url).is_glm is expected


DATA_URL = "data:image/jpeg;base64,/9j/AAAA"


def request(*urls: str) -> dict[str, Any]:
    """A request whose texts look like images, and which has images at these addresses."""
    parts = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    texts = [{"role": "system", "content": DATA_URL}, {"role": "user", "content": [{"type": "text", "text": DATA_URL}]}]
    return {"model": "m", "stream": True, "messages": [*texts, {"role": "user", "content": parts}]}


@pytest.mark.parametrize("base_url", [GLM_CHINA, "https://api.z.ai/api/paas/v4"])
def test_glms_own_hosts_are_given_an_image_as_bare_base64(base_url: str) -> None:
    before = request(DATA_URL, "https://h.example/a.png")
    assert Endpoint(base_url).written(before) == request("/9j/AAAA", "https://h.example/a.png")
    assert before == request(DATA_URL, "https://h.example/a.png")


@pytest.mark.parametrize("base_url", ["http://127.0.0.1:8000/v1", "https://open.bigmodel.cn.example/v4"])
def test_other_hosts_are_given_an_image_as_a_data_url(base_url: str) -> None:
    assert Endpoint(base_url).written(request(DATA_URL)) == request(DATA_URL)


@pytest.mark.parametrize("base_url", [GLM_CHINA, "http://127.0.0.1:8000/v1"])
def test_a_request_of_texts_is_given_as_it_is(base_url: str) -> None:
    assert Endpoint(base_url).written(request()) == request()
