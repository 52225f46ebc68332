"""From a service's error response to an error of `aimu.errors`: status, headers and body in, one error out.

Pure. Error codes and types take precedence over the status, because several services answer 200 or 400 to everything
and tell the reason in the body. The patterns for context overflow are for servers that have no code for it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from aimu.errors import (
    AuthenticationError,
    BadRequestError,
    ContextLengthError,
    MalformedResponseError,
    ModelNotFoundError,
    OverloadedError,
    ProviderError,
    ProviderTimeoutError,
    RateLimitError,
    RefusedError,
)
from aimu.providers._excerpt import excerpt
from aimu.providers._waiting import asked_pause, pause_in_body, reset_pause
from aimu.providers._wire import parse_json

# Error types and codes, and the HTTP status that each means, for errors inside a response with status 200.
# https://docs.claude.com/en/api/errors and https://platform.openai.com/docs/guides/error-codes.
_STATUS = {
    "invalid_request_error": 400,
    "invalid_prompt": 400,
    "authentication_error": 401,
    "invalid_api_key": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "model_not_found": 404,
    "deploymentnotfound": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "insufficient_quota": 429,
    "timeout_error": 504,
    "overloaded_error": 529,
}
_REFUSED = {
    "content_filter",
    "content_policy_violation",
    "responsibleaipolicyviolation",
    "image_content_policy_violation",
    "bio_policy",
    "misalignment_policy_violation",
}
_TOO_LONG_CODES = {"context_length_exceeded", "exceed_context_size_error", "string_above_max_length"}
_TOO_LONG = re.compile(
    r"context (length|window|limit|size)|maximum context|prompt is too long|input is too long|too many input tokens"
    r"|exceeds? the (maximum number of tokens|model's (maximum )?context|available context)"
    r"|reduce the length of the (messages|prompt)",
    re.IGNORECASE,
)
_NO_MODEL = re.compile(r"\b(model|deployment)\b", re.IGNORECASE)
# The account may not spend more: waiting does not help.
_FINAL = {"insufficient_quota", "billing_hard_limit_reached"}


def from_response(
    provider: str,
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    missing_model: str = "",
) -> ProviderError:
    """Return the error for a response with a status other than 2xx.

    Args:
        provider: The provider's name.
        status: The HTTP status.
        headers: The headers, with lower-case names or case-insensitive.
        body: The body.
        missing_model: The advice to add if the service does not have the model.
    """
    facts = _facts(body)
    error = from_error(
        provider,
        facts,
        status=status,
        request_id=request_id(headers) or _text(facts.get("request_id")) or None,
        retry_after=asked_pause(headers),
        missing_model=missing_model,
    )
    if error.retry_after is None and isinstance(error, RateLimitError):
        error.retry_after = reset_pause(headers)
    advice = headers.get("x-should-retry")
    if advice in ("true", "false"):
        error.retryable = advice == "true"
    return error


def from_error(
    provider: str,
    error: Any,
    *,
    status: int | None = None,
    request_id: str | None = None,
    retry_after: float | None = None,
    partial: str = "",
    missing_model: str = "",
) -> ProviderError:
    """Return the error for an error object in a response.

    Args:
        provider: The provider's name.
        error: The error object, or its text.
        status: The HTTP status of the response.
        request_id: The service's id of the request.
        retry_after: Seconds that the headers asked to wait; None to look into the error object.
        partial: The text that arrived before the error.
        missing_model: The advice to add if the service does not have the model.
    """
    facts: Mapping[str, Any] = error if isinstance(error, Mapping) else {"message": error}
    message = (
        _text(facts.get("message")) or _text(facts.get("type")) or "the service reported an error without a message"
    )
    names = {_text(facts.get(key)).lower() for key in ("type", "code")}
    inner = facts.get("innererror")
    if isinstance(inner, Mapping):
        names.add(_text(inner.get("code")).lower())
    known = status if status is not None and status >= 300 else None
    kind, retryable = _kind(names, message, known or _meant_status(facts, names))
    if missing_model and kind is ModelNotFoundError:
        message = f"{message}; {missing_model}"
    return kind(
        message,
        provider=provider,
        status=status,
        request_id=request_id,
        retry_after=pause_in_body(facts) if retry_after is None else retry_after,
        retryable=retryable,
        partial=partial,
    )


def _kind(names: set[str], message: str, status: int) -> tuple[type[ProviderError], bool | None]:
    """Return the class, and whether the request can be retried if the class does not decide that."""
    if names & _REFUSED:
        return RefusedError, None
    if 400 <= status < 500 or names & _TOO_LONG_CODES:
        if names & _TOO_LONG_CODES or (status in (400, 413, 422) and _TOO_LONG.search(message)):
            return ContextLengthError, None
        if "model_not_found" in names or (status == 404 and _NO_MODEL.search(message)):
            return ModelNotFoundError, None
    if status in (401, 403):
        return AuthenticationError, None
    if status == 408:
        return ProviderTimeoutError, None
    if status == 409:  # two requests are in conflict: one may succeed after the other
        return BadRequestError, True
    if status == 429 or "rate_limit_exceeded" in names:
        return RateLimitError, False if names & _FINAL else None
    if 400 <= status < 500:
        return BadRequestError, None
    return (OverloadedError, None) if status >= 500 else (MalformedResponseError, None)


def _meant_status(facts: Mapping[str, Any], names: set[str]) -> int:
    """Return the status that an error in a response with status 2xx names or means; 500 if it tells nothing."""
    for key in ("status_code", "status", "code"):
        number = facts.get(key)
        if isinstance(number, int | str) and re.fullmatch(r"[345]\d\d", str(number)):
            return int(number)
    return next((_STATUS[name] for name in names if name in _STATUS), 500)


def _facts(body: bytes) -> Mapping[str, Any]:
    """Return the error object in a body; if there is none, an object whose message is the beginning of the body."""
    try:
        parsed = parse_json(body)
    except ValueError:
        return {"message": excerpt(body)}
    if isinstance(parsed, list) and parsed:  # Gemini wraps its error in a list
        parsed = parsed[0]
    if not isinstance(parsed, Mapping):
        return {"message": excerpt(body)}
    error = parsed.get("error", parsed)
    if not isinstance(error, Mapping):
        return {"message": _text(error)}
    if error.get("message") is None:
        detail = error.get("detail")
        error = {**error, "message": detail if isinstance(detail, str) else excerpt(body)}
    return {"request_id": parsed.get("request_id"), **error}


def request_id(headers: Mapping[str, str]) -> str | None:
    """Return the service's id of the request, or None."""
    for name in ("x-request-id", "request-id", "apim-request-id"):
        if found := headers.get(name):
            return found
    return None


def _text(value: Any) -> str:
    return "" if value is None else str(value)
