"""What the codes and statuses of a refusal mean: for each the error, what happened, and what to do.

GLM's codes mean what its official code tables say (confirmed); comments tag every other fact as confirmed (an official
document, a source, or a captured response), reported (by users or by third-party code) or uncertain.
"""

from __future__ import annotations

from http import HTTPStatus

from glm_magic.errors import (
    AuthenticationError,
    BalanceError,
    RateLimited,
    ServiceDown,
    ServiceError,
    UsageCap,
)

Verdict = tuple[type[ServiceError], str, str]

KEY_REMEDY = (
    "Check that the key is valid for this endpoint: %glm_config --table shows where it comes from.\n"
    "It is read from GLM_API_KEY, ZAI_API_KEY, ZHIPUAI_API_KEY, or the variable that api_key_env names."
)
NONE_SENT = (
    "The service wants a key, and none is set",
    "%glm_config --login asks for it; or set GLM_API_KEY before Jupyter starts, or api_key_env.",
)
ACCOUNT_REMEDY = "Check the account on the service's website; retrying does not help."
PLAN_REMEDY = "Check the plan on the service's website, or use the key of another account."
LINE = 96  # characters of a remedy
LATER = "Run the cell again later, or ask another model with -m."
SEE_REQUEST = "%glm -N shows the request that would be sent."
LESS = (
    "Shorten the prompt, or send less of the conversation: %glm_history shows the turns,\n"
    "%glm_history --skip TURN leaves one out; --new or --no-history sends none of them."
)
BAD_PARAMETER = (ServiceError, "The service rejected the request's parameters", SEE_REQUEST)
NO_BALANCE = (
    BalanceError,
    "The account has no balance left",
    "Top up the account, or ask a free model, such as -m GLM-4-Flash.",
)
NO_QUOTA = (BalanceError, "The account at this gateway has no quota left", "Top up the account at the gateway.")
NO_SUCH_API = (ServiceError, "The service does not have this API, or no longer has it")
TOO_MANY = (RateLimited, "Too many requests at once for this account", "Run the cell again in a moment.")
NO_KEY = (AuthenticationError, "The service rejected the key", KEY_REMEDY)
DOWN = (ServiceDown, "The service failed", "Run the cell again later.")
BETWEEN = (
    ServiceError,
    "A proxy or firewall answered instead of the service",
    "Check base_url and the proxy settings.",
)

CODES: dict[str, Verdict] = {
    # authentication (confirmed with HTTP 401; a wrong key has also come as code "401")
    "1000": NO_KEY,
    "1001": (AuthenticationError, "The service received no key", KEY_REMEDY),
    "1002": NO_KEY,
    "1003": (AuthenticationError, "The key has expired", KEY_REMEDY),
    "1004": NO_KEY,
    # the account
    "1100": (ServiceError, "The service could not read or write the account", ACCOUNT_REMEDY),
    "1110": (AuthenticationError, "The account is not active", ACCOUNT_REMEDY),
    "1111": (AuthenticationError, "There is no such account", ACCOUNT_REMEDY),
    "1112": (AuthenticationError, "The account is locked", "Ask the service's support to unlock it."),
    "1113": NO_BALANCE,  # confirmed by a capture: HTTP 429, although it is not a rate limit
    "1120": (ServiceDown, "The service cannot reach the account", "Run the cell again later."),
    "1121": (AuthenticationError, "The account is locked for a violation", "Ask the service's support about it."),
    # the request; 1210 is also what bad image data gets (reported)
    "1210": BAD_PARAMETER,
    "1212": (
        ServiceError,
        "The model does not support this kind of request",
        f"Ask another model with -m, or remove an option. {SEE_REQUEST}",
    ),
    "1213": (ServiceError, "The request lacks a required field", SEE_REQUEST),
    "1214": (ServiceError, "The service rejected a field of the request", SEE_REQUEST),
    "1215": (ServiceError, "Two fields of the request cannot be combined", f"Remove one of them. {SEE_REQUEST}"),
    "1220": (AuthenticationError, "The key is not allowed to use this API", KEY_REMEDY),
    "1231": (
        ServiceError,
        "The service has already seen this request_id",
        "Remove --param request_id=…, or use another one.",
    ),
    "1234": (ServiceDown, "The service had an internal network error", "Run the cell again."),
    # limits; that 1302 and 1305 come with HTTP 429 is confirmed
    "1302": TOO_MANY,
    "1304": (
        UsageCap,
        "The account's calls for today are used up",
        "Continue tomorrow, or use the key of another account.",
    ),
    "1305": (RateLimited, "The model is overloaded", LATER),
    **dict.fromkeys(
        ("1308", "1310"),
        (
            UsageCap,
            "The plan's current quota is used up",
            "Wait until it resets, if the message says when, or use the key of another account.",
        ),
    ),
    "1309": (UsageCap, "The plan has expired", "Renew it on the service's website, or use another key."),
    "1311": (UsageCap, "The plan does not include this model", "Ask another model with -m, or change the plan."),
    "1312": (RateLimited, "The model is overloaded", "Ask another model with -m, or run the cell again later."),
    # OpenAI and compatible servers (reported)
    "invalid_api_key": NO_KEY,
    "insufficient_quota": NO_BALANCE,
    "rate_limit_exceeded": TOO_MANY,
    # LiteLLM's proxy without a database, where only its master key is known (confirmed, with HTTP 400)
    "no_db_connection": (AuthenticationError, "The gateway does not know this key", KEY_REMEDY),
    # gateways of the new-api family (confirmed by new-api's source)
    "access_denied": (AuthenticationError, "The key is not allowed to do this", KEY_REMEDY),
    "channel:no_available_key": (ServiceDown, "The gateway has no working key for this model", LATER),
    "insufficient_user_quota": NO_QUOTA,
    "pre_consume_token_quota_failed": NO_QUOTA,
    "token_concurrency_limit_reached": TOO_MANY,
    **dict.fromkeys(
        ("entitlement_daily_limit_exceeded", "entitlement_total_limit_exceeded"),
        (UsageCap, "The gateway plan's quota is used up", PLAN_REMEDY),
    ),
    **dict.fromkeys(
        ("entitlement_required", "entitlement_inactive"),
        (UsageCap, "The gateway's plan does not include this", PLAN_REMEDY),
    ),
}

TOO_LONG_CODES = ("1261", "context_length_exceeded", "exceed_context_size_error")
UNKNOWN_MODEL_CODES = ("1211", "model_not_found")
FILTER_CODES = (
    *("1300", "1301", "sensitive_words_detected", "prompt_blocked"),
    *("content_filter", "content_policy_violation"),  # Azure and OpenAI
)
KNOWN_CODES = {*CODES, *TOO_LONG_CODES, *UNKNOWN_MODEL_CODES, *FILTER_CODES, "1214", "1221", "1222", "1313"}

STATUSES: dict[int, Verdict] = {
    HTTPStatus.UNAUTHORIZED: NO_KEY,
    HTTPStatus.FORBIDDEN: CODES["access_denied"],
    HTTPStatus.PAYMENT_REQUIRED: NO_BALANCE,
    HTTPStatus.TOO_MANY_REQUESTS: TOO_MANY,
    HTTPStatus.REQUEST_TIMEOUT: DOWN,
    HTTPStatus.CONFLICT: DOWN,
    HTTPStatus.PROXY_AUTHENTICATION_REQUIRED: (
        ServiceError,
        "The proxy requires a user name and a password",
        "Put them into the proxy's address: %env HTTPS_PROXY=http://NAME:PASSWORD@HOST:PORT",
    ),
}
