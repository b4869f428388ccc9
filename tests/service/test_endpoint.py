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


@pytest.mark.parametrize("written", ["", "localhost:8000", "ftp://h", "https://", "http://h:port", "https://h/?a=1"])
def test_what_is_no_address_is_refused(written: str) -> None:
    with pytest.raises(SetupError, match="not an http"):
        endpoint(written, None)


def test_a_password_in_the_address_is_refused_and_not_shown() -> None:
    with pytest.raises(SetupError) as caught:
        endpoint("https://me:canary@h.example", None)
    assert "canary" not in str(caught.value)


def test_a_key_is_not_sent_unencrypted_to_another_machine() -> None:
    with pytest.raises(SetupError, match="unencrypted"):
        endpoint("http://10.0.0.7:8000/v1", KEY)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "127.8.9.1"])
def test_a_key_may_go_unencrypted_to_this_machine(host: str) -> None:
    assert endpoint(f"http://{host}:8000/v1", KEY).is_local


def test_a_name_that_only_begins_like_this_machine_is_another() -> None:
    with pytest.raises(SetupError, match="unencrypted"):
        endpoint("http://localhost.example.com/v1", KEY)


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
