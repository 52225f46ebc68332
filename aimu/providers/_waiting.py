"""How long a service asks to wait, from the headers and the body of an error, in all the forms that services use.

Pure. Accepts numbers, durations ("1m30s", "500ms"), HTTP and ISO 8601 dates, and Unix times in seconds or
milliseconds. Anything else, such as NaN or a negative number, counts as not said.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PART = re.compile(r"([0-9]{1,20}(?:\.[0-9]{0,20})?)(ns|us|µs|ms|s|m|h|d)")
_NUMBER = re.compile(r"\+?[0-9]{1,20}(?:\.[0-9]{0,20})?")
_LONGEST_TEXT = 100  # characters; longer ones are none of these
_LONGEST = 366 * 86400.0  # s
# From this number on, it is a point in time: as a duration it would be over 30 years.
_TIMES = 1e9
_MILLISECONDS = 1e11


def asked_pause(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that `retry-after-ms` or `retry-after` asks to wait, or None.

    Args:
        headers: The headers, with lower-case names or case-insensitive.
    """
    milliseconds = seconds_of(headers.get("retry-after-ms"), unit=0.001)
    return milliseconds if milliseconds is not None else seconds_of(headers.get("retry-after"))


def reset_pause(headers: Mapping[str, str]) -> float | None:
    """Return the seconds until the rate limits that were reached are reset, or None.

    Only the headers of a response that refuses for a rate limit tell: some services send these with every response.
    A limit of which some is left was not reached. If something is left of each, the request was larger than what was
    left of one of them, and the shortest time is worth a try.
    """
    reached: list[float] = []
    others: list[float] = []
    for name, remaining in _limits(headers):
        pause = seconds_of(headers.get(name))
        if pause is not None:
            left = seconds_of(headers.get(remaining), unit=1e-9)  # any unit: only whether it is above 0 matters
            (others if left else reached).append(pause)
    return max(reached) if reached else min(others, default=None)


def pause_in_body(error: Mapping[str, Any]) -> float | None:
    """Return the seconds that an error object asks to wait, or None.

    Google's has `RetryInfo` among its details (https://cloud.google.com/apis/design/errors, read 2026-11-25);
    OpenRouter repeats the headers of the service behind it; others have a key of their own.
    """
    details = error.get("details")
    for detail in details if isinstance(details, list) else ():
        if isinstance(detail, Mapping) and detail.get("retryDelay") is not None:
            return seconds_of(detail["retryDelay"])
    metadata = error.get("metadata")
    if isinstance(metadata, Mapping) and isinstance(metadata.get("headers"), Mapping):
        headers = {str(name).lower(): str(value) for name, value in metadata["headers"].items()}
        found = asked_pause(headers)
        found = reset_pause(headers) if found is None else found
        if found is not None:
            return found
    for key, unit in (("retry_after_ms", 0.001), ("retry_after", 1.0), ("retry_after_seconds", 1.0)):
        found = seconds_of(error.get(key), unit=unit)
        if found is not None:
            return found
    return None


def seconds_of(value: Any, *, unit: float = 1.0) -> float | None:
    """Return the seconds from now that a value means; None if it means nothing.

    Args:
        value: A number, a duration, a date, a Unix time, or Google's `{"seconds": 1, "nanos": 500000000}`.
        unit: The seconds in 1, for a bare number.
    """
    if isinstance(value, Mapping):
        parts = [seconds_of(value.get(key, 0), unit=size) for key, size in (("seconds", 1.0), ("nanos", 1e-9))]
        return None if None in parts else sum(filter(None, parts))
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = repr(float(value)) if abs(value) < 1e15 else ""
    if not isinstance(value, str) or not 0 < len(value) <= _LONGEST_TEXT:
        return None
    text = value.strip()
    if _NUMBER.fullmatch(text):
        number = float(text)
        if number >= _TIMES and unit == 1.0:
            return _until(number / 1000 if number >= _MILLISECONDS else number)
        return min(number * unit, _LONGEST)
    parts_of = _PART.findall(text.lower())
    if parts_of and "".join(number + name for number, name in parts_of) == text.lower():
        return min(math.fsum(float(number) * _UNITS[name] for number, name in parts_of), _LONGEST)
    return _until_date(text)


def _limits(headers: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the names of the headers with the time of a reset and with what is left of that limit.

    OpenAI, Groq: `x-ratelimit-reset-tokens`; OpenRouter: `x-ratelimit-reset`; Anthropic:
    `anthropic-ratelimit-tokens-reset`; drafts of the IETF: `ratelimit-reset`.
    """
    for name in headers:
        lower = name.lower()
        if "ratelimit" in lower and "reset" in lower:
            yield name, lower.replace("reset", "remaining")


def _until(moment: float) -> float:
    return min(max(0.0, moment - datetime.now(UTC).timestamp()), _LONGEST)


def _until_date(text: str) -> float | None:
    for read in (parsedate_to_datetime, datetime.fromisoformat):
        try:
            moment = read(text)
            if moment.tzinfo is None:
                moment = moment.replace(tzinfo=UTC)
            return _until(moment.timestamp())
        except (ValueError, TypeError, OverflowError, IndexError):
            continue
    return None
