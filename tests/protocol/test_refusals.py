import pytest

from glm_magic.errors import (
    AuthenticationError,
    BalanceError,
    ConnectionFailed,
    ContentFiltered,
    ModelUnknown,
    PromptTooLong,
    RateLimited,
    ServiceDown,
    ServiceError,
    UsageCap,
    Withdrawn,
)
from glm_magic.protocol.refusals import refused

URL = "https://open.bigmodel.cn/api/paas/v4/chat/completions"


def glm(code, message="text of the service"):
    return {"error": {"code": code, "message": message}}


# every code of GLM's table: the HTTP status that it was seen with (400 where none was), and its class
CODES = [
    (500, "500", ServiceDown),
    (401, "1000", AuthenticationError),
    (401, "1001", AuthenticationError),
    (401, "1002", AuthenticationError),
    (401, "1003", AuthenticationError),
    (401, "1004", AuthenticationError),
    (401, "401", AuthenticationError),
    (400, "1100", ServiceError),
    (400, "1110", AuthenticationError),
    (400, "1111", AuthenticationError),
    (400, "1112", AuthenticationError),
    (429, "1113", BalanceError),
    (400, "1120", ServiceDown),
    (400, "1121", AuthenticationError),
    (400, "1200", ServiceError),
    (500, "1200", ServiceDown),
    (400, "1210", ServiceError),
    (400, "1211", ModelUnknown),
    (400, "1212", ServiceError),
    (400, "1213", ServiceError),
    (400, "1214", ServiceError),
    (400, "1215", ServiceError),
    (400, "1220", AuthenticationError),
    (400, "1221", ServiceError),
    (400, "1222", ServiceError),
    (400, "1230", ServiceError),
    (500, "1230", ServiceDown),
    (400, "1231", ServiceError),
    (500, "1234", ServiceDown),
    (400, "1261", PromptTooLong),
    (400, "1300", ContentFiltered),
    (400, "1301", ContentFiltered),
    (429, "1302", RateLimited),
    (429, "1303", RateLimited),
    (429, "1304", UsageCap),
    (429, "1305", RateLimited),
    (429, "1308", UsageCap),
    (429, "1309", UsageCap),
    (429, "1310", UsageCap),
    (429, "1311", UsageCap),
    (429, "1312", RateLimited),
    (429, "1313", UsageCap),
]
STATUSES = [
    (503, "", ServiceDown),
    (403, "", AuthenticationError),
    (402, "", BalanceError),
    (404, "", ServiceError),
    (407, "", ServiceError),
    (408, "", ServiceDown),
    (409, "", ServiceDown),
    (413, "", PromptTooLong),
    (418, "", ServiceError),
]


@pytest.mark.parametrize(("status", "code", "kind"), [*CODES, *STATUSES])
def test_a_code_of_glm_is_the_error_of_its_cause(status, code, kind):
    error = refused(status, glm(code), model="GLM-4-Air", url=URL)
    assert type(error) is kind
    assert (error.status, error.code) == (status, code)
    assert "text of the service" in error.what
    assert error.remedy
    assert all(len(line) < 100 for line in error.remedy.splitlines())


@pytest.mark.parametrize(("status", "code", "kind"), [row for row in CODES if row[2] is not ServiceError])
def test_a_code_means_the_same_in_a_stream(status, code, kind):
    if len(code) == 4 and code not in ("1200", "1230", "1303"):  # these say too little without their status
        assert type(refused(0, glm(code))) is kind


def test_only_what_may_pass_is_asked_again():
    from glm_magic.service.client import _MAY_PASS

    again = {code for status, code, _ in CODES if isinstance(refused(status, glm(code)), _MAY_PASS)}
    assert again == {"500", "1120", "1200", "1230", "1234", "1302", "1303", "1305", "1312"}
    assert set(_MAY_PASS) == {ConnectionFailed, RateLimited, ServiceDown}


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
    [("1261", "does not fit the model's context window"), ("1301", "content filter"), ("1305", "overloaded")],
)
def test_a_cause_is_said_in_words(code, words):
    assert words in refused(400, glm(code)).what


def test_a_prompt_that_is_too_long_says_how_to_send_less():
    remedy = refused(400, glm("1261", "Prompt exceeds max length")).remedy
    assert all(way in remedy for way in ("%glm_history --skip TURN", "--new", "--no-history"))
    assert "--max-tokens" not in remedy


LONG = [
    (
        "This model's maximum context length is 8192 tokens. However, you requested 9000 tokens (8000 in the messages, "
        "1000 in the completion). Please reduce the length of the messages or completion."
    ),
    "This model's maximum context length is 8,192 tokens. However, your messages resulted in 9,000 tokens.",
    "this model's maximum context length is 8192 tokens, but the prompt contains 9000 input tokens",
    (
        "Requested token count exceeds the model's maximum context length of 8192 tokens. You requested a total of "
        "9000 tokens: 8000 tokens from the input messages and 1000 tokens for the completion."
    ),
    "The input (9000 tokens) is longer than the model's context length (8192 tokens).",
    "request (9000 tokens) exceeds the available context size (8192 tokens), try increasing it",
    (
        "Trying to keep the first 9000 tokens when context the overflows. However, the model is loaded with context "
        "length of only 8192 tokens, which is not enough."
    ),
]


@pytest.mark.parametrize("message", LONG)
@pytest.mark.parametrize("code", [400, None, "context_length_exceeded"])
def test_a_prompt_that_is_too_long_says_by_how_much(message, code):
    error = refused(400, {"error": {"message": message, "type": "invalid_request_error", "code": code}})
    assert type(error) is PromptTooLong
    assert "9000 tokens, 808 over the limit of 8192" in error.what
    assert ("--max-tokens" in error.remedy) == ("completion" in message)


def test_llama_cpp_counts_in_fields_of_its_own():
    body = {"error": {"code": 400, "message": "m", "type": "exceed_context_size_error"}}
    body["error"] |= {"n_prompt_tokens": 9000, "n_ctx": 8192}
    assert "9000 tokens, 808 over the limit of 8192" in refused(400, body).what
    assert "9000 tokens, 808 over" in refused(0, body).what


@pytest.mark.parametrize("counts", [{}, {"n_ctx": "many"}, {"n_ctx": -1, "n_prompt_tokens": True}, {"n_ctx": [1]}])
def test_counts_that_are_none_are_not_said(counts):
    error = refused(400, {"error": {"message": "m", "type": "exceed_context_size_error", **counts}})
    assert error.what.startswith("The prompt does not fit the model's context window [")


def test_a_limit_of_tokens_for_each_minute_is_no_context_window():
    message = "Rate limit reached: maximum context length of requests, limit 8192 tokens per minute"
    assert type(refused(429, {"error": {"message": message}})) is RateLimited


@pytest.mark.parametrize(
    ("entries", "said", "remedy"),
    [
        ([{"level": 1, "role": "user"}], "refused the prompt, level 1 of 0 (worst) to 3", "Reword the prompt"),
        ([{"level": 3, "role": "assistant"}], "refused the answer, level 3", "Run the cell again"),
        ([{"level": 2, "role": "assistant"}, {"level": 0, "role": "user"}], "refused the prompt, level 0", "--skip"),
        ([{"role": "user"}], "refused the prompt [", "Reword"),
        ([], "refused the request [", "Reword"),
        ("odd", "refused the request [", "Reword"),
        ([None, {"level": "high", "role": 7}], "refused the request [", "Reword"),
    ],
)
def test_the_content_filter_says_whose_text_it_refused_and_how_severely(entries, said, remedy):
    error = refused(400, {**glm("1301"), "contentFilter": entries})
    assert type(error) is ContentFiltered
    assert not isinstance(error, Withdrawn)
    assert said in error.what
    assert remedy in error.remedy


@pytest.mark.parametrize("code", ["1308", "1310"])
def test_the_time_at_which_a_cap_is_reset_stays_in_the_message(code):
    message = "Usage limit reached for 5 hour. Your limit will reset at 2026-11-23 18:00:00"
    error = refused(429, glm(code, message))
    assert message in error.what
    assert "Wait until it resets" in error.remedy


def test_fair_use_of_the_coding_plan_names_the_general_endpoint():
    error = refused(429, glm("1313"), url="https://open.bigmodel.cn/api/coding/paas/v4/chat/completions")
    assert error.remedy.endswith("base_url=https://open.bigmodel.cn/api/paas/v4")
    for url in (URL, "https://proxy.example/coding/v1/chat/completions"):
        assert "base_url" not in refused(429, glm("1313"), url=url).remedy


def test_messages_without_one_of_the_user_are_named():
    error = refused(400, glm("1214", "messages parameter is illegal, please check"))
    assert "rejected the messages" in error.what
    assert "include a user message" in error.remedy


@pytest.mark.parametrize("code", ["1210", "1214"])
def test_an_end_of_a_range_that_is_refused_says_what_to_try(code):
    assert "0.99 instead of 1" in refused(400, glm(code, "temperature must be in (0, 1)")).remedy


def test_an_unknown_model_is_named_with_the_near_miss():
    error = refused(400, glm("1211"), model="GLM4-Air")
    assert "'GLM4-Air'" in error.what
    assert error.remedy.startswith("Did you mean -m GLM-4-Air?")


def test_a_model_that_is_not_like_any_gets_the_list_of_those_that_are_known():
    error = refused(400, glm("1211"), model="llama")
    assert "Did you mean" not in error.remedy
    assert "GLM-4-Plus" in error.remedy
    assert "Did you mean" not in refused(400, glm("1211"), model="GLM-4-Air").remedy


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("GLM-4-Air", "serve it as glm-4-air-250414, and its successor is glm-4.5-air: -m glm-4.5-air"),
        ("glm-4-plus", "Its successor is glm-4.7: -m glm-4.7"),
    ],
)
def test_a_known_model_that_is_gone_is_named_with_its_successor(model, said):
    assert said in refused(400, glm("1211"), model=model).remedy


BODIES = {
    "A with a request id": (429, {"error": {"code": "1302", "message": "m"}, "request_id": "r1"}, RateLimited, "1302"),
    "B": (
        400,
        {"error": {"code": "1301", "message": "m"}, "contentFilter": [{"level": 1, "role": "user"}]},
        ContentFiltered,
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
        PromptTooLong,
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
    "G quota of the token": (
        403,
        {"error": {"message": "m", "type": "new_api_error", "code": "pre_consume_token_quota_failed"}},
        BalanceError,
        "pre_consume_token_quota_failed",
    ),
    "G cap": (
        429,
        {"error": {"message": "m", "type": "new_api_error", "code": "entitlement_daily_limit_exceeded"}},
        UsageCap,
        "entitlement_daily_limit_exceeded",
    ),
    "G filter": (
        400,
        {"error": {"message": "m", "type": "new_api_error", "code": "sensitive_words_detected"}},
        ContentFiltered,
        "sensitive_words_detected",
    ),
    "G of a type alone": (503, {"error": {"message": "m", "type": "model_not_found"}}, ModelUnknown, ""),
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


def test_a_request_id_of_a_header_is_shown_where_the_body_has_none():
    assert "(request h1)" in refused(500, "m", request_id="h1").what
    assert refused(500, glm("500") | {"request_id": "r1"}, request_id="h1").request_id == "r1"


@pytest.mark.parametrize(
    ("code", "kind"), [("1113", BalanceError), ("1308", UsageCap), ("1301", ContentFiltered), ("1302", RateLimited)]
)
def test_a_code_that_a_gateway_wrapped_into_its_message_counts(code, kind):
    message = f"litellm.RateLimitError: Error code: 429 - {{'error': {{'code': '{code}', 'message': 'm'}}}}"
    body = {"error": {"message": message, "type": "throttling_error", "param": None, "code": "429"}}
    assert type(refused(429, body)) is kind


def not_found(path):
    return {"timestamp": 1, "status": 404, "error": "Not Found", "path": path}


@pytest.mark.parametrize(
    ("asked", "right"),
    [
        ("https://open.bigmodel.cn/api/paas/v4/v1", "https://open.bigmodel.cn/api/paas/v4"),
        ("https://api.z.ai/api/coding/paas/v4/v1", "https://api.z.ai/api/coding/paas/v4"),
        ("https://proxy.example/glm/v4/v1", "https://proxy.example/glm/v4"),
        ("https://open.bigmodel.cn/v1", "https://open.bigmodel.cn/api/paas/v4"),
        ("https://api.z.ai", "https://api.z.ai/api/paas/v4"),
        ("https://open.bigmodel.cn/api/paas/v4/chat/completions", "https://open.bigmodel.cn/api/paas/v4"),
        ("http://127.0.0.1:8000/v1/chat/completions", "http://127.0.0.1:8000/v1"),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000/v1"),
    ],
)
def test_a_wrong_address_is_answered_with_the_right_one(asked, right):
    url = f"{asked}/chat/completions"
    error = refused(404, not_found("/v4/v1/chat/completions" if "/v4/v1" in asked else "/x"), url=url)
    assert type(error) is ServiceError
    assert error.what.startswith(f"There is no chat service at {url} [HTTP 404]: Not Found /")
    assert error.remedy.endswith(f"%glm_config base_url={right}")
    assert ("no /v1" in error.remedy) == ("/v4/v1" in asked)


def test_the_right_address_keeps_the_query_of_the_wrong_one():
    error = refused(404, not_found("/x"), url="http://h.example/chat/completions?api-version=1")
    assert error.remedy.endswith("%glm_config base_url=http://h.example/v1?api-version=1")


def test_a_proxy_that_asks_glm_at_a_wrong_address_is_told_apart():
    error = refused(404, not_found("/v4/v1/chat/completions"), url="https://proxy.example/v1/chat/completions")
    assert "That server asks GLM at /v4/v1/chat/completions" in error.remedy


def test_a_wrong_path_for_which_nothing_better_is_known_says_what_a_base_url_is():
    error = refused(404, {"detail": "Not Found"}, url="http://127.0.0.1:8000/v1/chat/completions")
    assert "no chat service at http://127.0.0.1:8000/v1/chat/completions" in error.what
    assert "the address without /chat/completions" in error.remedy


def test_an_api_that_is_gone_says_where_to_ask():
    error = refused(400, glm("1222"), url="https://api.z.ai/v1/chat/completions")
    assert error.remedy.endswith("base_url=https://api.z.ai/api/paas/v4")


def test_a_proxy_that_wants_a_login_says_where_to_put_it():
    error = refused(407, "<html><title>Proxy Authentication Required</title></html>")
    assert "name and a password" in error.what
    assert "HTTPS_PROXY" in error.remedy


@pytest.mark.parametrize("status", [0, 400, 401, 403])
def test_a_page_in_place_of_json_is_not_blamed_on_the_key(status):
    error = refused(status, "<!doctype html><title>Just a moment...</title>")
    assert type(error) is ServiceError
    assert "A proxy or firewall answered" in error.what


def test_a_page_of_a_proxy_is_named_by_its_title_alone():
    page = "\n<!DOCTYPE html><html><head><title>Access\n denied</title></head><body><script>x</script></body></html>"
    error = refused(200, page)
    assert "A proxy or firewall answered" in error.what
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


# --- words, where no code is known ---------------------------------------------------------------

GROUP = "\nReceived Model Group=glm-4-air\nAvailable Model Group Fallbacks=None"
WORDS = [
    (429, "Insufficient balance or no resource package. Please recharge.", BalanceError),
    (429, "余额不足或无可用资源包,请充值。", BalanceError),
    (429, "You exceeded your current quota, please check your plan and billing details.", BalanceError),
    (400, "Your credit balance is too low to access the API.", BalanceError),
    (500, "litellm.InternalServerError: ZaiException - Insufficient balance", BalanceError),
    (0, "Insufficient account balance", BalanceError),
    (429, "Usage limit reached for 5 hour. Your limit will reset at 2026-01-01 10:00:00", UsageCap),
    (400, "Prompt exceeds max length", PromptTooLong),
    (500, "litellm.ContextWindowExceededError: too many", PromptTooLong),
    (400, "Prompt 超长", PromptTooLong),
    (400, "Unknown Model, please check the model code.", ModelUnknown),
    (400, "模型不存在，请检查模型代码。", ModelUnknown),
    (400, "Invalid model name passed in model=glm-9. Call `/v1/models` to view available models", ModelUnknown),
    (503, "No available channel for model glm-4-AIR under group default", ModelUnknown),
    (503, "当前分组 default 下对于模型 glm-4-AIR 无可用渠道", ModelUnknown),
    (
        400,
        "System detected potentially unsafe or sensitive content in input or generation. Please avoid it.",
        ContentFiltered,
    ),
    (400, "系统检测到输入或生成内容可能包含不安全或敏感内容", ContentFiltered),
    (400, "The response was filtered due to Azure OpenAI's content management policy.", ContentFiltered),
    (400, "litellm.ContentPolicyViolationError: no", ContentFiltered),
    # and what only looks alike
    (429, "High concurrency usage of this API, please reduce concurrency", RateLimited),
    (429, "Request too large for model: maximum context length is 8000 tokens a minute", RateLimited),
    (400, "Unknown parameter: 'foo'.", ServiceError),
    (400, "The parameter `sensitive` is not supported", ServiceError),
    (422, '[{"msg": "Field required", "input": "Insufficient balance, unknown model"}]', ServiceError),
    (422, "This model's maximum context length is 8192 tokens", PromptTooLong),
    (500, "CUDA out of memory", ServiceDown),
    (500, "Failed to load the model: file not found", ServiceDown),
]


@pytest.mark.parametrize(("status", "message", "kind"), WORDS)
@pytest.mark.parametrize("code", [None, "", "429", "some_code"])
@pytest.mark.parametrize("trailer", ["", GROUP])
def test_known_words_decide_where_no_known_code_does(status, message, kind, code, trailer):
    body = {"error": {"message": message + trailer, "type": "throttling_error", "param": None, "code": code}}
    if status or code != "429":  # an error in a stream gives its status as its code
        assert type(refused(status, body, model="glm-4-AIR")) is kind


def test_a_known_code_decides_whatever_the_words_say():
    assert type(refused(429, glm("1302", "Insufficient balance"))) is RateLimited


@pytest.mark.parametrize("code", ["content_filter", "content_policy_violation"])
def test_codes_of_other_filters_are_of_the_filter(code):
    assert type(refused(400, glm(code))) is ContentFiltered


def litellm(message, kind="invalid_request_error"):
    return {"error": {"message": message, "type": kind, "param": None, "code": "400"}}


_TRAILER = "\n\nLiteLLM: model group 'small' failed with the error above. No fallback was attempted."
# from the servers of tests/real_servers: LiteLLM's proxy 1.108.7 before llama.cpp, and transformers 5.24.0
RECORDED = [
    (litellm("No connected db.", "no_db_connection"), AuthenticationError),
    (
        litellm(
            "/chat/completions: Invalid model name passed in model=nope. Call `/v1/models` to view available models "
            "for your key."
        ),
        ModelUnknown,
    ),
    (
        litellm(
            "litellm.ContextWindowExceededError: litellm.BadRequestError: ContextWindowExceededError: OpenAIException "
            "- request (9031 tokens) exceeds the available context size (8192 tokens), try increasing it\n"
            "model=small. context_window_fallbacks=None. fallbacks=None." + _TRAILER
        ),
        PromptTooLong,
    ),
    (
        litellm(
            "litellm.BadRequestError: OpenAIException - Field 'temperature': [json.exception.type_error.302] type must "
            "be number, but is string" + _TRAILER
        ),
        ServiceError,
    ),
    ({"detail": "Server is pinned to 'SmolLM2'; requested 'nope'."}, ModelUnknown),
]


@pytest.mark.parametrize(("body", "kind"), RECORDED)
def test_what_real_servers_refuse_is_understood(body, kind):
    assert type(refused(400, body, model="nope")) is kind
