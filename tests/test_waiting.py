"""How long to wait before a retry: what services say in headers and bodies, and bodies that no retry can mend."""

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

import aimu
from aimu import aio
from aimu.errors import MalformedResponseError, RateLimitError
from aimu.models._spec import ModelSpec
from aimu.providers import HTTP_PROVIDERS, make_provider
from aimu.providers._base import Request
from aimu.providers._failures import from_error, from_response
from aimu.providers._waiting import seconds_of
from aimu.testing import ScriptedProvider
from tests.raw_server import response, serving

HELLO = [{"role": "user", "content": "hello"}]
YEAR = 366 * 86400.0


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("2", 2.0),
        (" 2.5 ", 2.5),
        ("1.5s", 1.5),
        ("1.234567891s", 1.234567891),
        ("500ms", 0.5),
        ("250000us", 0.25),
        ("5ns", 5e-9),
        ("1m30s", 90.0),
        ("6M0S", 360.0),
        ("1h2m3.5s", 3723.5),
        ("2d", 172800.0),
        (3, 3.0),
        (0.25, 0.25),
        ({"seconds": "7", "nanos": 500000000}, 7.5),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        ("Wednesday, 21-Oct-15 07:28:00 GMT", 0.0),
        ("Wed Oct 21 07:28:00 2015", 0.0),
        ("2015-10-21T07:28:00Z", 0.0),
        ("1445412480", 0.0),
        ("1445412480000", 0.0),
        ("9" * 20, YEAR),
        ("99999999h", YEAR),
        ("Wed, 21 Oct 2499 07:28:00 GMT", YEAR),
        *((text, None) for text in ("", "soon", "nan", "NaN", "inf", "-1", "-1.5s", "1e3", "1e400", "1,5", "0x1")),
        *((text, None) for text in ("1 s", "1s2", "s", "²", "9" * 400, "1s" * 400, "Sun, 06 Nov 99999 08:49:37 GMT")),
        *((wrong, None) for wrong in (None, True, [], float("nan"), float("inf"), -3, 10**400, {"seconds": "x"})),
    ],
)
def test_a_pause_is_read_in_every_form_and_nonsense_is_none(value, seconds):
    assert seconds_of(value) == (None if seconds is None else pytest.approx(seconds))


@given(st.one_of(st.text(), st.floats(), st.integers(), st.from_regex(r"[0-9.]{0,9}(ms|m|s|h|d)*", fullmatch=True)))
def test_any_value_is_a_bounded_number_of_seconds_or_none(value):
    seconds = seconds_of(value)
    assert seconds is None or 0 <= seconds <= YEAR


def at(seconds):
    return datetime.now(UTC) + timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("headers", "low", "high"),
    [
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5, 1.5),
        ({"retry-after-ms": "soon", "retry-after": "9"}, 9, 9),
        ({"retry-after": format_datetime(at(100_000), usegmt=True)}, 10_000, 100_000),
        ({"retry-after": at(100_000).isoformat()}, 10_000, 100_000),
        ({"retry-after": "3", "x-ratelimit-reset-tokens": "50s"}, 3, 3),
        ({"x-ratelimit-reset-requests": "6m0s", "x-ratelimit-reset-tokens": "7.66s"}, 360, 360),
        # Only the tokens are used up.
        (
            {
                "x-ratelimit-remaining-requests": "99",
                "x-ratelimit-reset-requests": "8h",
                "x-ratelimit-remaining-tokens": "0",
                "x-ratelimit-reset-tokens": "7.66s",
            },
            7.66,
            7.66,
        ),
        # Some is left of each, so the request was too large for one of them.
        (
            {
                "x-ratelimit-remaining-requests-day": "99",
                "x-ratelimit-reset-requests-day": "33011.4",
                "x-ratelimit-remaining-tokens-minute": "12",
                "x-ratelimit-reset-tokens-minute": "11.4",
            },
            11.4,
            11.4,
        ),
        ({"x-ratelimit-reset": str(int(at(100_000).timestamp() * 1000))}, 10_000, 100_000),
        ({"anthropic-ratelimit-tokens-reset": at(100_000).isoformat().replace("+00:00", "Z")}, 10_000, 100_000),
        ({"retry-after": "NaN"}, None, None),
        ({"retry-after": "-5"}, None, None),
    ],
)
def test_the_headers_of_a_reached_limit_say_how_long_to_wait(headers, low, high):
    pause = from_response("p", 429, headers, b"{}").retry_after
    assert pause is None if low is None else low <= pause <= high


def test_the_times_of_limits_that_were_not_reached_do_not_delay_a_retry():
    assert from_response("p", 500, {"x-ratelimit-reset-requests": "8h"}, b"{}").retry_after is None


LIMITED = {
    "error": {
        "code": 429,
        "message": "Quota exceeded.",
        "status": "RESOURCE_EXHAUSTED",
        "details": [
            {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": []},
            {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "0.012345678s"},
        ],
    }
}


@pytest.mark.parametrize("body", [LIMITED, [LIMITED]])
def test_the_body_of_gemini_s_error_says_how_long_to_wait(body):
    assert from_response("gemini", 429, {}, json.dumps(body).encode()).retry_after == 0.012345678
    assert from_response("gemini", 429, {"retry-after": "3"}, json.dumps(body).encode()).retry_after == 3


@pytest.mark.parametrize(
    ("error", "pause"),
    [
        (LIMITED["error"], 0.012345678),
        ({"message": "m", "metadata": {"headers": {"X-RateLimit-Reset": "2s"}}}, 2.0),
        ({"message": "m", "retry_after": 4}, 4.0),
        ({"message": "m", "retry_after_ms": 400}, 0.4),
        ({"message": "m", "details": "none", "metadata": []}, None),
        ({"message": "m", "details": [{"retryDelay": "-3s"}]}, None),
        ("slow down", None),
    ],
)
def test_an_error_object_says_how_long_to_wait(error, pause):
    assert from_error("p", error, status=429).retry_after == pause


async def test_a_client_waits_as_long_as_gemini_s_body_says():
    answers = iter(
        [
            response(json.dumps([LIMITED]).encode(), status="429 Too Many Requests"),
            response(b'{"choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}]}'),
        ]
    )
    with serving(lambda request: [next(answers)]) as served:
        async with aio.client("gemini:m", base_url=served.url, api_key="k") as client:
            assert await client.chat("hello") == "hi"
    assert len(served.requests) == 2


@pytest.mark.parametrize("pause", [float("nan"), -1.0])
async def test_a_provider_that_says_nonsense_is_retried_after_the_usual_pause(pause, monkeypatch):
    monkeypatch.setattr("aimu.aio._request.FIRST_PAUSE", 0.001)
    provider = ScriptedProvider(RateLimitError("slow down", retry_after=pause), "Now.")
    assert await aio.client(provider).chat("Go.") == "Now."


NOT_ANSWERS = {
    "a page": b"<!DOCTYPE html><html><body>Sign in to the network</body></html>",
    "a page in lines": b"<html>\n<body>\nSign in to the network\n</body>\n</html>\n",
    "words": b"upstream connect error",
    "a list": b'[{"model": "m"}]',
    "a text": b'"hello"',
    "null": b"null",
    "half a list": b'[{"model": "m"',
    "nothing": b"",
    "blank lines": b"\n\n\n",
    "bytes": b"\x00\xff\xfe",
}


@pytest.mark.parametrize("body", NOT_ANSWERS.values(), ids=NOT_ANSWERS)
async def test_a_200_that_is_no_answer_is_malformed_and_not_retried(body):
    with serving(lambda request: [response(body)]) as served:
        for name in HTTP_PROVIDERS:
            base = served.url if name in ("anthropic", "ollama") else f"{served.url}/v1"
            provider = make_provider(ModelSpec("m", name), base_url=base, api_key="k")
            with pytest.raises(MalformedResponseError) as whole:
                await provider.complete(Request(messages=HELLO))
            with pytest.raises(MalformedResponseError) as streamed:
                async for _ in provider.stream(Request(messages=HELLO)):
                    pass
            assert not whole.value.retryable
            assert not streamed.value.retryable
            if body.startswith(b"<"):
                assert "an HTML or XML page: <" in str(whole.value)
                assert "an HTML or XML page: <" in str(streamed.value)
            await provider.aclose()
    assert len(served.requests) == 2 * len(HTTP_PROVIDERS)


def test_a_sync_client_does_not_retry_it_either():
    with serving(lambda request: [response(NOT_ANSWERS["a page"])]) as served:
        with aimu.client("ollama:m", base_url=served.url) as client, pytest.raises(MalformedResponseError):
            client.chat("hello")
        with aimu.client("ollama:m", base_url=served.url) as client, pytest.raises(MalformedResponseError):
            list(client.chat("hello", stream=True))
    assert len(served.requests) == 2
