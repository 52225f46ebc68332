"""Providers over a real socket, on both backends: recordings with and without faults, errors, lifecycle, keys."""

import gc
import json
import logging
import os
import pickle
import random
from contextlib import aclosing
from functools import partial

import anyio
import httpcore2
import httpx2
import pytest

from aimu._core.reply import Reply
from aimu.errors import (
    AuthenticationError,
    ClosedClientError,
    InvalidImageError,
    InvalidOptionError,
    ModelNotFoundError,
    ProviderConnectionError,
    ProviderError,
    ProviderTimeoutError,
    RateLimitError,
)
from aimu.models._spec import ModelSpec
from aimu.providers import HTTP_PROVIDERS, make_provider
from aimu.providers._base import Request
from tests.holding import PATIENCE, join, start, until
from tests.recorded import OF_CODEC, RECORDINGS, assert_right, texts
from tests.replay import ReplayServer

HARMLESS = ["split", "crlf", "heartbeat", "dupfinish", "bytes=7", "split,crlf,heartbeat", "stall=0.1@50", "nodone"]
HARMFUL = [
    *("badjson", "dropfinish", "errevent", "emptybody", "html", "hang@50", "hang@97"),
    *("cut=0", "cut=50", "cut=97", "rst=50", "rst=97", "trunc=0", "trunc=50", "trunc=97", "trunc=99"),
]
ONCE = ["fail=429x1", "fail=500x1", "fail=529x1", "fail=408x1", "fail=409x1"]
KEY = "sk-not-to-be-seen"
STREAMS = [r for r in RECORDINGS.values() if r["streaming"] and r["response"]["status"] == 200]
# Unless the environment asks for all, each fault meets a different eighth of the streams.
EVERY = 1 if os.environ.get("AIMU_RECORDINGS") else 8
HELLO = [{"role": "user", "content": "hello"}]


@pytest.fixture(scope="module")
def server():
    with ReplayServer(dict(RECORDINGS)) as running:
        yield running


def share(fault, recordings=STREAMS):
    shuffled = random.Random(fault).sample(recordings, len(recordings))
    return shuffled[: max(1, len(shuffled) // EVERY)]


def provider_for(server, recording, faults="", **options):
    name, api = OF_CODEC[recording["api"]][0], recording["api"]
    if name == "openai":
        options["api"] = "responses" if api == "openai-responses" else "chat"
    base = server.url(recording["id"], faults)
    return make_provider(ModelSpec("any", name), base_url=base, api_key=KEY, **options)


def of_api(api, streaming=True):
    return next(
        r for r in RECORDINGS.values() if r["api"] == api and r["streaming"] is streaming and "text" in r["features"]
    )


async def ask(provider, recording):
    """The reply, however the recording gives it; a ProviderError is one as well."""
    request = Request(messages=HELLO, kind="generate" if recording["api"] == "ollama-generate" else "chat")
    try:
        with anyio.fail_after(5):
            if not recording["streaming"]:
                return await provider.complete(request)
            async with aclosing(provider.stream(request)) as pieces:
                got = [piece async for piece in pieces]
    except ProviderError as error:
        return error
    assert [isinstance(piece, Reply) for piece in got] == [False] * (len(got) - 1) + [True]
    return got[-1]


async def test_every_recording_is_read_over_a_socket(server):
    for recording in RECORDINGS.values():
        provider = provider_for(server, recording)
        assert_right(recording, await ask(provider, recording))
        await provider.aclose()


@pytest.mark.parametrize("fault", HARMLESS)
async def test_a_harmless_fault_changes_nothing(server, fault):
    for recording in share(fault):
        if fault == "nodone" and recording["expect"]["stop_reason"] is None:
            continue  # `[DONE]` was its only terminal marker
        provider = provider_for(server, recording, fault, timeout=PATIENCE)
        assert_right(recording, await ask(provider, recording))
        await provider.aclose()


@pytest.mark.parametrize("fault", HARMFUL)
async def test_a_harmful_fault_is_an_error_or_came_after_the_answer(server, fault):
    for recording in share(fault):
        expected = recording["expect"]
        provider = provider_for(server, recording, fault, timeout=0.3)
        got = await ask(provider, recording)
        if isinstance(got, Reply):
            assert (got.text, got.thinking) == texts(expected)
            assert [c.name for c in got.calls] == [c["name"] for c in expected["tool_calls"]]
        else:
            assert KEY not in f"{got} {got!r} {got.__cause__!r}"
            assert expected.get("text", "").startswith(got.partial)
        await provider.aclose()


@pytest.mark.parametrize("fault", ONCE)
async def test_the_call_after_a_failed_one_is_answered(server, fault):
    for recording in share(fault):
        base = provider_for(server, recording, f"{fault},seed={random.random()}")
        first = await ask(base, recording)
        assert isinstance(first, ProviderError)
        assert first.retryable
        if isinstance(first, RateLimitError):
            assert first.retry_after == 0
        assert_right(recording, await ask(base, recording))
        await base.aclose()


async def test_a_stream_read_to_its_end_leaves_its_connection_for_the_next(server):
    for api in ("openai-chat", "anthropic-messages", "openai-responses", "ollama-chat"):
        recording = of_api(api)
        await closed(server)
        provider = provider_for(server, recording)
        for _ in range(5):
            await ask(provider, recording)
        assert server.open == 1
        await provider.aclose()
        await closed(server)


async def closed(server):
    """Wait until the server has seen every connection end."""
    await until(lambda: not server.open)


async def test_a_stream_left_early_closes_its_connection_without_a_warning(server):
    recording = of_api("openai-chat")
    await closed(server)
    provider = provider_for(server, recording, "slow=0.02")
    for _ in range(3):
        async with aclosing(provider.stream(Request(messages=HELLO))) as pieces:
            async for _ in pieces:
                break
    gc.collect()
    await closed(server)
    with anyio.move_on_after(0.1):
        async with aclosing(provider.stream(Request(messages=HELLO))) as pieces:
            async for _ in pieces:
                pass
    gc.collect()
    await closed(server)
    await provider.aclose()


@pytest.mark.parametrize("backends", [("asyncio", "trio", "asyncio"), ("trio", "trio")])
def test_one_provider_serves_successive_loops_and_leaves_nothing_open(server, backends):
    recording = of_api("openai-chat")
    anyio.run(closed, server)
    provider = provider_for(server, recording)
    for backend in backends:
        for _ in range(2):
            assert_right(recording, anyio.run(ask, provider, recording, backend=backend))
            gc.collect()
            anyio.run(closed, server)


def test_one_provider_serves_several_threads_at_once(server):
    recording = of_api("anthropic-messages")
    provider = provider_for(server, recording)
    got = []

    def work(backend):
        got.extend(anyio.run(ask, provider, recording, backend=backend) for _ in range(3))

    join(start(*(partial(work, backend) for backend in ("asyncio", "trio", "asyncio", "trio"))))
    assert len(got) == 12
    for reply in got:
        assert_right(recording, reply)


async def test_many_requests_at_once_all_answer(server):
    recording = of_api("openai-chat", streaming=False)
    await closed(server)
    provider = provider_for(server, recording)
    got = []

    async def one():
        got.append(await ask(provider, recording))

    async with anyio.create_task_group() as group:
        for _ in range(150):
            group.start_soon(one)
    assert len(got) == 150
    for reply in got:
        assert_right(recording, reply)
    await provider.aclose()
    await provider.aclose()
    await closed(server)


async def test_a_users_http_client_is_used_with_its_hooks_and_stays_open(server):
    seen = []

    async def note(request):
        seen.append(request)

    recording = of_api("openai-chat")
    async with httpx2.AsyncClient(event_hooks={"request": [note]}, headers={"x-mine": "1"}) as client:
        provider = provider_for(server, recording, http_client=client)
        assert_right(recording, await ask(provider, recording))
        client.headers["x-mine"] = "2"
        assert_right(recording, await ask(provider, recording))
        await provider.aclose()
        assert not client.is_closed
    assert [request.headers["x-mine"] for request in seen] == ["1", "2"]
    assert seen[0].headers["authorization"] == f"Bearer {KEY}"
    with pytest.raises(ClosedClientError):
        await provider.complete(Request(messages=HELLO))


async def test_a_proxy_of_the_environment_is_used(server, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{server.port}")
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{server.port}")
    server.requests.clear()
    provider = make_provider(ModelSpec("m", "vllm"), base_url="http://elsewhere.invalid/v1")
    with pytest.raises(ProviderError):
        await provider.complete(Request(messages=HELLO))
    await provider.aclose()
    assert server.requests[0]["path"].startswith("http://elsewhere.invalid/v1/chat/completions")


async def test_where_nobody_listens_the_connection_fails():
    provider = make_provider(ModelSpec("m", "ollama"), base_url="http://127.0.0.1:9", timeout=1.0)
    with pytest.raises(ProviderConnectionError) as caught:
        await provider.complete(Request(messages=HELLO))
    assert caught.value.retryable
    assert isinstance(caught.value.__cause__, httpcore2.ConnectError)
    await provider.aclose()


async def test_silence_is_a_timeout(server):
    recording = of_api("ollama-chat")
    provider = provider_for(server, recording, "hang@0", timeout=0.2)
    with pytest.raises(ProviderTimeoutError):
        async for _ in provider.stream(Request(messages=HELLO)):
            pass
    await provider.aclose()


async def replying(handler, name="ollama", **options):
    client = httpx2.AsyncClient(transport=httpx2.MockTransport(handler))
    return make_provider(ModelSpec("llava", name), http_client=client, api_key=KEY, **options)


async def test_an_error_inside_a_stream_keeps_its_class_and_the_text_before_it():
    events = [{"choices": [{"index": 0, "delta": {"content": "so"}}]}, {"error": {"message": "no", "code": 401}}]
    body = "".join(f"data: {json.dumps(event)}\n\n" for event in events)
    provider = await replying(lambda request: httpx2.Response(200, text=body), "vllm")
    text = ""
    with pytest.raises(AuthenticationError) as caught:
        async for delta in provider.stream(Request(messages=HELLO)):
            text += delta.text
    assert text == caught.value.partial == "so"


async def test_a_model_that_ollama_does_not_have_is_named_with_the_remedy():
    def handler(request):
        return httpx2.Response(404, json={"error": "model 'llava' not found"})

    for name in ("ollama", "ollama-openai"):
        provider = await replying(handler, name)
        with pytest.raises(ModelNotFoundError, match="ollama pull llava"):
            await provider.complete(Request(messages=HELLO))


@pytest.mark.parametrize("able", [["completion", "vision"], ["completion", "tools"], None])
async def test_ollama_is_asked_what_an_unknown_model_can_do_when_it_matters(able):
    paths = []

    def handler(request):
        paths.append(request.url.path)
        if request.url.path == "/api/show":
            return httpx2.Response(200, json={"capabilities": able}) if able else httpx2.Response(500)
        return httpx2.Response(200, json={"message": {"content": "a cat"}, "done": True, "done_reason": "stop"})

    provider = await replying(handler)
    await provider.complete(Request(messages=HELLO))
    assert paths == ["/api/chat"]
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    look = Request(messages=[{"role": "user", "content": [image]}])
    if able == ["completion", "tools"]:
        with pytest.raises(InvalidImageError):
            await provider.complete(look)
        assert (provider.spec.tools, provider.spec.vision) == (True, False)
    else:
        for _ in range(2):
            assert (await provider.complete(look)).text == "a cat"
        assert paths[1:] == ["/api/show", "/api/chat", "/api/chat"]


async def test_a_key_is_in_no_repr_log_or_error(server, caplog, monkeypatch):
    monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", "https://res.test")
    caplog.set_level(logging.DEBUG)

    def handler(request):
        error = {"type": "error", "error": {"message": f"bad key {KEY}", "code": 401, "type": "authentication_error"}}
        if not json.loads(request.content).get("stream"):
            return httpx2.Response(401, json=error)
        return httpx2.Response(
            200, text=f"{json.dumps(error)}\n" if "ollama" in name else f"data: {json.dumps(error)}\n\n"
        )

    for name in HTTP_PROVIDERS:
        provider = await replying(handler, name)
        with pytest.raises(AuthenticationError, match="bad key") as caught:
            await provider.complete(Request(messages=HELLO))
        with pytest.raises(ProviderError, match="bad key") as streamed:
            async for _ in provider.stream(Request(messages=HELLO)):
                pass
        session = vars(getattr(provider, "_http", provider))
        assert KEY not in f"{provider!r} {caught.value} {caught.value!r} {streamed.value} {session}"
        assert KEY.encode() not in pickle.dumps([caught.value, streamed.value])
    assert KEY not in caplog.text
    with pytest.raises(InvalidOptionError) as wrong:
        make_provider(ModelSpec("m", "openai"), api_key=f"{KEY}\nx")
    assert KEY not in str(wrong.value)


async def test_a_request_is_json_in_utf_8_whatever_a_model_has_written():
    sent = []

    def handler(request):
        sent.append(json.loads(request.content.decode("utf8")))
        return httpx2.Response(200, json={"choices": [{"message": {"content": "x"}}]})

    provider = await replying(handler, "vllm")
    for text in ("h\u00e4 \U0001f600", "half \ud83d", "\ud83d" + "\ude00"):
        await provider.complete(Request(messages=[{"role": "user", "content": text}]))
    assert [body["messages"][0]["content"] for body in sent] == ["h\u00e4 \U0001f600", "half \ufffd", "\U0001f600"]
    nested = []
    nested.append(nested)
    for odd in (float("nan"), object(), nested):
        with pytest.raises(InvalidOptionError, match="JSON"):
            await provider.complete(Request(messages=HELLO, options={"extra_body": {"odd": odd}}))


@pytest.mark.parametrize("read", [True, False])
async def test_a_hook_that_raises_for_a_status_changes_no_error(read):
    async def strict(response):
        if read:
            await response.aread()
        response.raise_for_status()

    def handler(request):
        return httpx2.Response(401, json={"error": {"message": "bad key"}}, headers={"x-request-id": "r"})

    client = httpx2.AsyncClient(transport=httpx2.MockTransport(handler), event_hooks={"response": [strict]})
    provider = make_provider(ModelSpec("m", "vllm"), http_client=client)
    with pytest.raises(AuthenticationError, match="bad key" if read else "401") as caught:
        await provider.complete(Request(messages=HELLO))
    assert (caught.value.request_id, caught.value.retryable) == ("r", False)
    with pytest.raises(AuthenticationError):
        async for _ in provider.stream(Request(messages=HELLO)):
            pass


@pytest.mark.parametrize("status", [200, 401])
async def test_a_hook_that_takes_the_body_away_is_told_what_to_do(server, status):
    async def taking(response):
        async for _ in response.aiter_bytes():
            pass

    recording = of_api("openai-chat", streaming=False)
    faults = "" if status == 200 else "fail=401x9"
    async with httpx2.AsyncClient(event_hooks={"response": [taking]}) as client:
        provider = provider_for(server, recording, faults, http_client=client)
        streaming = provider_for(server, of_api("openai-chat"), faults, http_client=client)
        for ask_it in (partial(ask, provider, recording), partial(ask, streaming, of_api("openai-chat"))):
            error = await ask_it()
            assert not error.retryable
            if status == 200:
                assert "await response.aread()" in str(error)
            else:
                assert isinstance(error, AuthenticationError)
    await closed(server)
