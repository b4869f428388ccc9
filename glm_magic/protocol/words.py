"""The words by which services refuse: what a message means, and the numbers in it."""

from __future__ import annotations

import re

# Reported: wordings of OpenAI, vLLM, SGLang, llama.cpp and LM Studio.
TOKENS = re.compile(
    r"(?:requested(?: a total of)?|resulted in|ha(?:s|ve)|contains|the first|(?:request|input) \() ?"
    r"([1-9][0-9,]{0,11}) (?:input )?tokens",
    re.IGNORECASE,
)
LIMIT = re.compile(r"context (?:length|size|window)(?: is| of| of only)?:? ?\(?([1-9][0-9,]{0,11})\b", re.IGNORECASE)
TOO_LONG = re.compile(
    r"(?:maximum|available|model's) context (?:length|size|window)|context (?:length|size|window) (?:of only|exceeded)"
    r"|exceeds? (?:the )?(?:model's )?context|context the overflows|prompt (?:is )?too long|prompt exceeds max length"
    r"|ContextWindowExceeded|prompt ?超长|超[出过](?:模型)?(?:最大)?(?:上下文|长度)",
    re.IGNORECASE,
)
# Words that decide where no known code does. Confirmed: those of GLM's code tables, which LiteLLM's proxy passes on
# without the codes (an empty balance with HTTP 429, as if it were a rate limit). Reported: those of other services.
NO_BALANCE_LEFT = re.compile(
    r"insufficient (?:account )?(?:balance|credits?|funds|quota)|balance (?:is )?(?:too low|insufficient|not enough)"
    r"|no resource package|exceeded your current quota|out of credits|余额不足|额度不足|欠费",
    re.IGNORECASE,
)
USED_UP = re.compile(r"usage limit (?:has been )?reached|limit will reset at|使用上限", re.IGNORECASE)
NO_MODEL = re.compile(
    r"\bmodel\b[^.\n]{0,100}?\b(?:not exist|not found|unknown)|(?:unknown|invalid|no such) model\b"
    r"|\bserver is pinned to\b"  # confirmed: `transformers serve` with one model
    r"|模型不存在",
    re.IGNORECASE,
)
NO_CHANNEL = re.compile(r"no available channel for model|模型.{0,60}无可用渠道", re.IGNORECASE)  # of new-api, with 503
SENSITIVE = re.compile(
    r"sensitive content|content management policy|content_?policy_?violation|content (?:was |is )?(?:blocked|flagged)"
    r"|敏感内容",
    re.IGNORECASE,
)
# Confirmed: LiteLLM's proxy adds it to each message, from 1.108 in other words.
GATEWAY_TRAILER = re.compile(r"\s*(?:Received Model Group=|LiteLLM: model group ').*", re.DOTALL)
WITH_ANSWER = re.compile(r"completion|max_tokens|output", re.IGNORECASE)
