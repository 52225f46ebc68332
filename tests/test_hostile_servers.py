"""Servers that send without end, that send the conversation elsewhere, or that repeat the key: over real sockets."""

import gzip
import json
import time
import zlib
from contextlib import suppress
from functools import cache
from itertools import repeat
from pathlib import Path

import anyio
import httpx2
import pytest

import aimu
from aimu.errors import (
    AuthenticationError,
    MalformedResponseError,
    OverloadedError,
    ProviderConnectionError,
    ProviderError,
    TruncatedStreamError,
)
from aimu.models._spec import ModelSpec
from aimu.providers import make_provider
from aimu.providers._base import Request
from aimu.providers._sse import LONGEST_EVENT, OverlongEventError, SSEDecoder
from tests.loopback import loopback_server
from tests.raw_server import head, response, serving

HELLO = [{"role": "user", "content": "the conversation"}]
KEY = "sk-proj-0123456789abcdefghijklmnopqrstuv"
FORMATS = ["openai", "anthropic", "ollama", "vllm"]
ANSWERS = {
    "anthropic": {"type": "message", "content": [{"type": "text", "text": "hi"}], "stop_reason": "end_turn"},
    "ollama": {"message": {"content": "hi"}, "done": True},
}
CHAT = {"choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}]}
ZEROS = b"0" * (1 << 20)


def provider_of(name, url, **options):
    return make_provider(ModelSpec("m", name), base_url=url, api_key=KEY, **options)


async def asked(provider, *, stream):
    """The reply, or the ProviderError."""
    reply = None
    try:
        with anyio.fail_after(60):
            if not stream:
                return await provider.complete(Request(messages=HELLO))
            async for piece in provider.stream(Request(messages=HELLO)):
                reply = piece
        return reply
    except ProviderError as error:
        return error
    finally:
        await provider.aclose()


def answer_of(name):
    return json.dumps(ANSWERS.get(name, CHAT)).encode()


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("status", ["307 Temporary Redirect", "308 Permanent Redirect"])
@pytest.mark.parametrize("name", FORMATS)
async def test_a_redirect_to_another_origin_is_refused_before_anything_is_sent_there(name, status, stream):
    with serving(lambda request: [response(answer_of(name))]) as elsewhere:
        place = f"{elsewhere.url}/v1?key={KEY}"
        with serving(lambda request: [response(b"", f"location: {place}", status=status)]) as served:
            error = await asked(provider_of(name, served.url), stream=stream)
    assert type(error) is ProviderConnectionError
    assert elsewhere.url in str(error)
    assert "base_url=" in str(error)
    assert KEY not in str(error)
    assert (error.status, error.retryable) == (int(status[:3]), False)
    assert (len(served.requests), elsewhere.requests) == (1, [])


async def test_a_users_client_that_follows_redirects_does_not_send_the_conversation_elsewhere_either():
    with serving(lambda request: [response(answer_of("openai"))]) as elsewhere:
        moved = response(b"", f"location: {elsewhere.url}/v1", status="307 Temporary Redirect")
        with serving(lambda request: [moved]) as served:
            async with httpx2.AsyncClient(follow_redirects=True) as http:
                error = await asked(provider_of("openai", served.url, http_client=http), stream=False)
    assert type(error) is ProviderConnectionError
    assert elsewhere.requests == []


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", FORMATS)
async def test_a_redirect_within_the_origin_is_followed_with_body_and_key(name, stream):
    def answer(request):
        if b"/moved" in request.split(b"\r\n")[0]:
            return [response(answer_of(name))]
        return [response(b"", "location: /moved", status="308 Permanent Redirect")]

    with serving(answer) as served:
        reply = await asked(provider_of(name, served.url), stream=stream)
    assert reply.text == "hi"
    first, second = served.requests
    assert first.split(b"\r\n\r\n")[1] == second.split(b"\r\n\r\n")[1]
    assert KEY.encode() in second


@pytest.mark.parametrize("status", ["301 Moved Permanently", "302 Found", "303 See Other"])
async def test_a_redirect_that_would_turn_the_request_into_a_get_is_refused(status):
    with serving(lambda request: [response(b"", "location: /moved", status=status)]) as served:
        error = await asked(provider_of("openai", served.url), stream=False)
    assert type(error) is ProviderConnectionError
    assert "redirects the request" in str(error)
    assert len(served.requests) == 1


@pytest.mark.parametrize("location", ["http://[::1", "http://host:port/", "//:80:90/"])
async def test_a_redirect_to_an_invalid_url_is_refused(location):
    answer = response(b"", f"location: {location}", status="307 Temporary Redirect")
    with serving(lambda request: [answer]) as served:
        error = await asked(provider_of("openai", served.url), stream=False)
    assert type(error) is ProviderConnectionError
    assert "redirects the request to an invalid URL" in str(error)
    assert len(served.requests) == 1


async def test_redirects_have_an_end():
    with serving(lambda request: [response(b"", "location: /again", status="307 Temporary Redirect")]) as served:
        error = await asked(provider_of("openai", served.url), stream=True)
    assert type(error) is ProviderConnectionError
    assert f"again and again: http://127.0.0.1:{served.url.rpartition(':')[2].partition('/')[0]};" in str(error)
    assert len(served.requests) == 6


def endless(first, piece, sent, **kind):
    """An answer that goes on until the client closes the connection; `sent` gets the size of each piece."""
    return lambda request: endless_of(piece, sent, head(**kind) + first)


def endless_of(piece, sent, first):
    yield first
    for again in repeat(piece):
        sent.append(len(again))
        yield again


ENDLESS = {
    "a body of spaces": (b"", b" " * 65536),
    "an object": (b'{"text": "', b"a" * 65536),
    "a line": (b"data: ", b"a" * 65536),
    "lines of one event": (b"", b"data: aaaaaaa\n" * 4096),
    "letters": (b"a", b"a" * 65536),
}


@pytest.mark.parametrize("line", [b"data\n", b"data:\n", b"data: \n", b"data: x\n"])
def test_an_event_of_many_short_lines_is_bounded(line):
    decoder = SSEDecoder()
    lines = line * (65536 // len(line))
    with pytest.raises(OverlongEventError):
        for _ in range(2 * LONGEST_EVENT // len(lines)):
            decoder.feed(lines)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("first", "piece"), ENDLESS.values(), ids=ENDLESS)
@pytest.mark.parametrize("name", ["openai", "ollama"])
async def test_a_body_without_end_is_malformed_and_bounded(name, first, piece, stream, monkeypatch):
    monkeypatch.setattr("aimu.providers._transport.LONGEST_STREAM", 80 << 20)
    sent = []
    with serving(endless(first, piece, sent)) as served:
        error = await asked(provider_of(name, served.url), stream=stream)
    assert type(error) is MalformedResponseError
    assert not error.retryable
    assert sum(sent) < 120 << 20


CHUNKED = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
# What is sent first, what without end, and the words of the error.
AROUND_THE_BODY = {
    "100 Continue": (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000, "more than 1 MiB"),
    "103 Early Hints": (b"", b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" * 1000, "more than 1 MiB"),
    "headers": (b"HTTP/1.1 200 OK\r\n", b"x: y\r\n" * 10_000, "too long"),
    "a header": (b"HTTP/1.1 200 OK\r\nx: ", b"y" * 65536, "too long"),
    "blank lines": (b"", b"\r\n" * 10_000, "no response line"),
    "line feeds": (b"", b"\n" * 10_000, "no response line"),
    "spaces": (b"", b" " * 65536, "illegal request line"),
    "trailers": (CHUNKED + b"2\r\n{}\r\n0\r\n", b"x: y\r\n" * 10_000, "too long"),
    "a chunk extension": (CHUNKED + b"2;", b"x" * 65536, "too long"),
    "chunk extensions": (CHUNKED, b"1;" + b"x" * 60_000 + b"\r\n \r\n", "more than 16 MiB"),
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("first", "piece", "words"), AROUND_THE_BODY.values(), ids=AROUND_THE_BODY)
async def test_what_a_server_sends_around_the_body_has_a_bound_too(first, piece, words, stream, monkeypatch):
    monkeypatch.setattr("aimu.providers._http.LONGEST_STREAM", 16 << 20)
    sent = []
    with serving(lambda request: endless_of(piece, sent, first)) as served:
        error = await asked(provider_of("openai", served.url), stream=stream)
    assert type(error) in (ProviderConnectionError, MalformedResponseError)
    assert words in str(error)
    assert sum(sent) < 40 << 20


@pytest.mark.parametrize("stream", [False, True])
async def test_interim_answers_without_end_are_bounded_behind_a_proxy_too(stream, monkeypatch):
    def answer(request):
        interim = b"HTTP/1.1 100 Continue\r\n\r\n" * 1000
        if len(served.requests) == 1:
            return [interim, response(json.dumps(CHAT).encode())]
        return repeat(interim)

    with serving(answer) as served:
        monkeypatch.setenv("HTTP_PROXY", served.url)
        provider = provider_of("vllm", "http://model.test/v1")
        assert (await provider.complete(Request(messages=HELLO))).text == "hi"
        assert type(await asked(provider, stream=stream)) is MalformedResponseError


async def test_with_a_client_of_the_users_a_deadline_ends_interim_answers_without_end():
    async with httpx2.AsyncClient() as http:
        with serving(lambda request: repeat(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000)) as served:
            provider = provider_of("openai", served.url, http_client=http)
            with anyio.move_on_after(0.3) as scope:
                await provider.complete(Request(messages=HELLO))
    assert scope.cancelled_caught


async def test_the_bound_begins_anew_with_each_request_of_a_connection(monkeypatch):
    monkeypatch.setattr("aimu.providers._received.LONGEST_HEAD", 4000)
    with loopback_server() as url:
        provider = provider_of("openai", f"{url}/ok/v1")
        for _ in range(40):
            assert (await provider.complete(Request(messages=HELLO))).text == "the conversation"
        await provider.aclose()


@pytest.mark.parametrize("stream", [False, True])
async def test_an_error_body_without_end_is_the_error_of_its_status(stream):
    sent = []
    with serving(endless(b"so sorry: ", b"a" * 65536, sent, status="503 Service Unavailable")) as served:
        error = await asked(provider_of("openai", served.url), stream=stream)
    assert type(error) is OverloadedError
    assert "so sorry" in str(error)
    assert len(str(error)) < 1000
    assert sum(sent) < 20 << 20


async def test_an_error_body_that_never_ends_is_not_waited_for(monkeypatch):
    monkeypatch.setattr("aimu.providers._bounded._ERROR_TIME", 0.2)

    def answer(request):
        yield head(status="500 Internal Server Error") + b'{"error": {"message": "half'
        for _ in range(200):
            time.sleep(0.05)
            yield b" "

    with serving(answer) as served:
        started = time.monotonic()
        error = await asked(provider_of("openai", served.url), stream=False)
        assert time.monotonic() - started < 5
    assert type(error) is OverloadedError
    assert "half" in str(error)


@cache
def bomb(wbits=31):
    """256 MiB in 256 KiB; `wbits` says in which format."""
    packer = zlib.compressobj(9, wbits=wbits)
    return b"".join([*(packer.compress(ZEROS) for _ in range(256)), packer.flush()])


def forget_peak():
    """Let `resident` count from here, where the system can: see proc_pid_clear_refs(5)."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def resident():
    """The most memory that this process has used, in bytes; 0 where the system does not tell."""
    status = Path("/proc/self/status")
    if not status.exists():
        return 0
    return int(status.read_text().partition("VmHWM:")[2].split()[0]) << 10


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("status", ["200 OK", "500 Internal Server Error"])
@pytest.mark.parametrize("coding", ["gzip", "deflate", "gzip, gzip", "br", "zstd"])
async def test_a_compressed_bomb_takes_no_memory(coding, status, stream):
    content = bomb(15 if coding == "deflate" else 31)
    forget_peak()
    before = resident()
    with serving(lambda request: [response(content, f"content-encoding: {coding}", status=status)]) as served:
        error = await asked(provider_of("openai", served.url), stream=stream)
    assert type(error) is (MalformedResponseError if status == "200 OK" else OverloadedError)
    assert resident() - before < 200 << 20


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("status", ["200 OK", "500 Internal Server Error"])
async def test_a_compressed_body_of_nothing_without_end_is_not_read_on(status, stream):
    sent = []
    nothing = gzip.compress(b"") * 3000
    kind = "content-encoding: gzip"
    with serving(lambda request: endless_of(nothing, sent, head(kind, status=status))) as served:
        error = await asked(provider_of("vllm", served.url), stream=stream)
    assert type(error) is (MalformedResponseError if status[0] == "2" else OverloadedError)
    assert sum(sent) < 20 << 20


@pytest.mark.parametrize("pack", [gzip.compress, zlib.compress, lambda body: zlib.compress(body)[2:-4]])
async def test_compressed_answers_and_errors_are_read(pack):
    coding = "gzip" if pack is gzip.compress else "deflate"
    events = (
        b'data: {"choices": [{"index": 0, "delta": {"content": "hi"}, "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n'
    )

    def answer(request):
        if b'"stream":true' in request:
            return [response(pack(events), f"content-encoding: {coding}", kind="text/event-stream")]
        return [response(pack(answer_of("vllm")), f"content-encoding: {coding}")]

    with serving(answer) as served:
        for stream in (False, True):
            assert (await asked(provider_of("vllm", served.url), stream=stream)).text == "hi"
    refusal = response(pack(b'{"error": {"message": "no key"}}'), f"content-encoding: {coding}", status="401 No")
    with serving(lambda request: [refusal]) as served:
        error = await asked(provider_of("vllm", served.url), stream=False)
    assert type(error) is AuthenticationError
    assert "no key" in str(error)


def shown_of_key(error):
    """The number of the first characters of the key that an error shows."""
    shown = f"{error} {error!r} {error.partial} {error.request_id} {error.__cause__!r} {error.__context__!r}"
    return next(size for size in range(len(KEY), -1, -1) if KEY[:size] in shown)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("status", ["200 OK", "401 Unauthorized", "500 Internal Server Error"])
@pytest.mark.parametrize("opening", ["", "<html>"])
async def test_a_key_across_the_cut_of_an_excerpt_is_hidden(opening, status, stream):
    """Wherever the excerpt is cut."""
    places = (*range(100, 340, 7), 460, 499, 1960, 1999, 65500)
    bodies = [(opening + "x" * (at - len(opening)) + KEY + "y" * 9).encode() for at in places]
    answers = iter(bodies)
    with serving(lambda request: [response(next(answers), status=status)]) as served:
        for _ in bodies:
            error = await asked(provider_of("vllm", served.url), stream=stream)
            assert isinstance(error, ProviderError)
            assert shown_of_key(error) < 8, str(error)


@pytest.mark.parametrize("shown", [8, 15, 16, 33, len(KEY)])
async def test_a_key_cut_off_at_the_end_of_the_partial_text_or_of_the_request_id_is_hidden(shown):
    event = {"choices": [{"index": 0, "delta": {"content": f"It is {KEY[:shown]}"}}]}
    body = head(f"x-request-id: {KEY[:shown]}", kind="text/event-stream") + f"data: {json.dumps(event)}\n\n".encode()
    with serving(lambda request: [body]) as served:
        error = await asked(provider_of("vllm", served.url), stream=True)
    assert type(error) is TruncatedStreamError
    assert error.partial == "It is ***"
    refusal = response(b"{}", f"x-request-id: {KEY[:shown]}", status="401 Unauthorized")
    with serving(lambda request: [refusal]) as served:
        error = await asked(provider_of("vllm", served.url), stream=True)
    assert error.request_id == "***"
    if shown >= 16:
        assert KEY[:shown] not in str(error)


async def test_a_key_in_the_request_id_of_an_answer_is_hidden():
    with serving(lambda request: [response(answer_of("vllm"), f"x-request-id: {KEY}")]) as served:
        assert (await asked(provider_of("vllm", served.url), stream=False)).request_id == "***"


def test_a_sync_client_refuses_a_redirect_and_a_bomb_too():
    with serving(lambda request: [response(answer_of("openai"))]) as elsewhere:
        moved = response(b"", f"location: {elsewhere.url}", status="307 Temporary Redirect")
        with serving(lambda request: [moved]) as served:
            with aimu.client("openai:m", base_url=served.url, api_key=KEY) as client:
                with pytest.raises(ProviderConnectionError, match="another origin"):
                    client.chat("hello")
        assert elsewhere.requests == []
    with serving(lambda request: [response(bomb(), "content-encoding: gzip")]) as served:
        with aimu.client("openai:m", base_url=served.url, api_key=KEY) as client:
            with pytest.raises(MalformedResponseError, match="longer than 64 MiB"):
                client.chat("hello")
    assert len(served.requests) == 1
