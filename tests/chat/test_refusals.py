import pytest

from glm_magic.chat.refusals import refused
from glm_magic.errors import (
    AuthenticationError,
    BalanceError,
    ModelUnknown,
    RateLimited,
    ServiceDown,
    ServiceError,
)

URL = "https://open.bigmodel.cn/api/paas/v4/chat/completions"


def glm(code, message="text of the service"):
    return {"error": {"code": code, "message": message}}


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (500, "500", ServiceDown),
        (401, "1000", AuthenticationError),
        (401, "1001", AuthenticationError),
        (401, "1002", AuthenticationError),
        (401, "1003", AuthenticationError),
        (401, "1004", AuthenticationError),
        (401, "401", AuthenticationError),
        (429, "1113", BalanceError),
        (400, "1210", ServiceError),
        (400, "1211", ModelUnknown),
        (400, "1214", ServiceError),
        (500, "1234", ServiceDown),
        (400, "1261", ServiceError),
        (400, "1300", ServiceError),
        (400, "1301", ServiceError),
        (429, "1302", RateLimited),
        (429, "1305", RateLimited),
        (429, "1312", RateLimited),
        (503, "", ServiceDown),
        (403, "", AuthenticationError),
        (402, "", BalanceError),
        (404, "", ServiceError),
        (408, "", ServiceDown),
        (409, "", ServiceDown),
        (418, "", ServiceError),
    ],
)
def test_a_code_of_glm_is_the_error_of_its_cause(status, code, kind):
    error = refused(status, glm(code), model="GLM-4-Air", url=URL)
    assert type(error) is kind
    assert (error.status, error.code) == (status, code)
    assert "text of the service" in error.what
    assert error.remedy


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("1302", RateLimited),
        ("1113", BalanceError),
        ("1211", ModelUnknown),
        ("1234", ServiceDown),
        ("1001", AuthenticationError),
    ],
)
def test_a_code_counts_whatever_the_status(code, kind):
    assert type(refused(0, glm(code))) is kind
    assert type(refused(200, glm(code))) is kind


def test_the_error_shows_status_code_and_message():
    assert refused(429, glm("1302", "Rate limit")).what.endswith("[HTTP 429, code 1302]: Rate limit")


def test_an_empty_balance_is_not_a_rate_limit_and_says_what_helps():
    error = refused(429, glm("1113"))
    assert not isinstance(error, RateLimited)
    assert "Top up" in error.remedy


@pytest.mark.parametrize(
    ("code", "words"),
    [("1261", "longer than the model reads"), ("1301", "content filter"), ("1305", "overloaded")],
)
def test_a_cause_is_said_in_words(code, words):
    assert words in refused(400, glm(code)).what


def test_a_prompt_that_is_too_long_says_how_to_send_less():
    assert "--new" in refused(400, glm("1261")).remedy


def test_an_unknown_model_is_named_with_the_near_miss():
    error = refused(400, glm("1211"), model="GLM4-Air")
    assert "'GLM4-Air'" in error.what
    assert error.remedy.startswith("Did you mean -m GLM-4-Air?")


def test_a_model_that_is_spelled_right_gets_no_near_miss_but_the_list():
    error = refused(400, glm("1211"), model="GLM-4-Air")
    assert "Did you mean" not in error.remedy
    assert "GLM-4-Plus" in error.remedy


BODIES = {
    "A with a request id": (429, {"error": {"code": "1302", "message": "m"}, "request_id": "r1"}, RateLimited, "1302"),
    "B": (
        400,
        {"error": {"code": "1301", "message": "m"}, "contentFilter": [{"level": 1, "role": "user"}]},
        ServiceError,
        "1301",
    ),
    "C": (429, {"code": 1302, "message": "m"}, RateLimited, "1302"),
    "C with msg": (200, {"code": 1113, "msg": "m", "success": False}, BalanceError, "1113"),
    "E of OpenAI": (
        401,
        {"error": {"message": "m", "type": "invalid_request_error", "param": None, "code": "invalid_api_key"}},
        AuthenticationError,
        "invalid_api_key",
    ),
    "E of vLLM": (
        404,
        {"error": {"message": "The model `m` does not exist.", "type": "NotFoundError", "param": "model", "code": 404}},
        ModelUnknown,
        "404",
    ),
    "E of LiteLLM": (429, {"error": {"message": "m", "type": None, "param": None, "code": "429"}}, RateLimited, "429"),
    "E with null": (500, {"error": {"message": "m", "type": None, "param": None, "code": None}}, ServiceDown, ""),
    "E of llama.cpp": (
        400,
        {"error": {"code": 400, "message": "m", "type": "exceed_context_size_error", "n_ctx": 4096}},
        ServiceError,
        "400",
    ),
    "F": (
        404,
        {"object": "error", "message": "The model `m` does not exist.", "type": "NotFoundError", "code": 404},
        ModelUnknown,
        "404",
    ),
    "G model": (
        503,
        {"error": {"message": "m", "type": "new_api_error", "code": "model_not_found"}},
        ModelUnknown,
        "model_not_found",
    ),
    "G quota": (
        403,
        {"error": {"message": "m", "type": "new_api_error", "code": "insufficient_user_quota"}},
        BalanceError,
        "insufficient_user_quota",
    ),
    "G channel": (
        503,
        {"error": {"message": "m", "type": "upstream_error", "code": "channel:no_available_key"}},
        ServiceDown,
        "channel:no_available_key",
    ),
    "H string": (400, {"error": "m"}, ServiceError, ""),
    "H detail": (422, {"detail": [{"loc": ["body"], "msg": "m"}]}, ServiceError, ""),
    "H detail text": (401, {"detail": "m"}, AuthenticationError, ""),
    "text": (500, "m", ServiceDown, ""),
    "a list": (400, ["m"], ServiceError, ""),
}


@pytest.mark.parametrize(("status", "body", "kind", "code"), BODIES.values(), ids=BODIES)
def test_every_shape_of_a_body_is_read(status, body, kind, code):
    error = refused(status, body, model="m", url=URL)
    assert type(error) is kind
    assert error.code == code
    assert "m" in error.what.partition("]: ")[2]


def test_a_request_id_is_shown_and_kept():
    error = refused(429, {"error": {"code": "1302", "message": "m"}, "request_id": "r1"})
    assert error.request_id == "r1"
    assert "r1" in error.what


def test_a_prompt_too_long_for_llama_cpp_is_called_so():
    status, body, *_ = BODIES["E of llama.cpp"]
    assert "longer than the model reads" in refused(status, body).what


def test_v1_after_glms_path_is_named_with_the_right_url():
    body = {"timestamp": 1, "status": 404, "error": "Not Found", "path": "/v4/v1/chat/completions"}
    error = refused(404, body, url="https://open.bigmodel.cn/api/paas/v4/v1/chat/completions")
    assert type(error) is ServiceError
    assert "/v4/v1/chat/completions" in error.what
    assert error.remedy.endswith("base_url=https://open.bigmodel.cn/api/paas/v4")


def test_another_wrong_path_says_what_a_base_url_is():
    error = refused(404, {"detail": "Not Found"}, url="http://127.0.0.1:8000/chat/completions")
    assert "no chat service at http://127.0.0.1:8000/chat/completions" in error.what
    assert "base_url" in error.remedy


def test_a_page_of_a_proxy_is_named_by_its_title_alone():
    page = "\n<!DOCTYPE html><html><head><title>Access\n denied</title></head><body><script>x</script></body></html>"
    error = refused(200, page)
    assert "Something between" in error.what
    assert "'Access denied'" in error.what
    assert "script" not in error.what
    assert "base_url" in error.remedy


def test_a_page_of_a_gateway_is_the_failure_that_its_status_says():
    assert type(refused(502, "<html><title>502 Bad Gateway</title></html>")) is ServiceDown


@pytest.mark.parametrize(("code", "kind"), [(429, RateLimited), ("401", AuthenticationError), (503, ServiceDown)])
def test_an_error_in_a_stream_gives_its_status_as_its_code(code, kind):
    error = refused(0, {"error": {"message": "m", "code": code}})
    assert type(error) is kind
    assert error.status == int(code)


@pytest.mark.parametrize(
    "code", ["200", "999", pytest.param("9" * 5000, id="huge"), "٤٢٩", "-1", "4.5", True, {"a": 1}, [1]]
)
def test_a_code_that_is_no_status_is_none(code):
    assert refused(0, {"error": {"message": "m", "code": code}}).status == 0


def test_an_error_that_says_nothing_is_still_an_error():
    assert type(refused(400, None)) is ServiceError
    assert type(refused(0, {"error": {}})) is ServiceError
    assert type(refused(0, {"error": True})) is ServiceError


def test_the_services_text_cannot_act_upon_the_terminal_nor_fill_the_page():
    error = refused(400, {"error": {"code": "\x1b[31m", "message": "\x1b[2J" + "x" * 5000}})
    assert "\x1b" not in str(error)
    assert len(error.what) < 800
