"""The network below the connection pool: what leaves in one write, on both backends."""

import ssl
from contextlib import AsyncExitStack
from functools import partial

import anyio
import httpcore2
import httpx2
import pytest

from aimu.errors import MalformedResponseError
from aimu.models._spec import ModelSpec
from aimu.providers import make_provider
from aimu.providers._base import Request
from aimu.providers._network import _LONGEST, JoiningNetwork, JoiningStream
from tests.holding import until
from tests.raw_server import response, serving

HEAD = b"POST / HTTP/1.1\r\nHost: x\r\n\r\n"
ANSWER = b'{"choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}]}'


class Written(httpcore2.AsyncNetworkStream):
    """A connection that keeps what is written, and fails to write if it has a failure."""

    def __init__(self, failure=None):
        self.failure = failure
        self.pieces = []
        self.above = None  # TLS over it
        self.is_closed = False

    async def write(self, buffer, timeout=None):
        if self.failure is not None:
            raise self.failure
        self.pieces.append((buffer, timeout))

    async def read(self, max_bytes, timeout=None):
        return b"read"[:max_bytes]

    async def start_tls(self, ssl_context, server_hostname=None, timeout=None):
        self.above = Written()
        return self.above

    async def aclose(self):
        self.is_closed = True

    def get_extra_info(self, info):
        return info


async def test_a_head_leaves_with_its_body_for_each_request():
    below = Written()
    stream = JoiningStream(below)
    for body in (b'{"a":1}', b"{}"):
        await stream.write(HEAD, 2.0)
        await stream.write(body, 2.0)
    assert below.pieces == [(HEAD + b'{"a":1}', 2.0), (HEAD + b"{}", 2.0)]


async def test_a_long_body_follows_its_head_uncopied():
    below = Written()
    stream = JoiningStream(below)
    body = b"x" * (_LONGEST + 1)
    await stream.write(HEAD)
    await stream.write(body)
    assert [piece for piece, _ in below.pieces] == [HEAD, body]
    assert below.pieces[1][0] is body


async def test_a_head_whose_body_fails_is_not_sent_again():
    below = Written(httpcore2.WriteError("reset"))
    stream = JoiningStream(below)
    await stream.write(HEAD)
    with pytest.raises(httpcore2.WriteError):
        await stream.write(b"{}")
    below.failure = None
    await stream.write(b"more")
    assert below.pieces == [(b"more", None)]


async def test_over_tls_they_are_joined_too_and_the_rest_passes_through():
    below = Written()
    stream = JoiningStream(below)
    assert (await stream.read(3), stream.get_extra_info("socket")) == (b"rea", "socket")
    secure = await stream.start_tls(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), "x")
    await secure.write(HEAD)
    await secure.write(b"{}")
    assert (below.pieces, below.above.pieces) == ([], [(HEAD + b"{}", None)])
    await secure.aclose()
    assert below.above.is_closed


@pytest.fixture
def opened(monkeypatch):
    """The connections that are opened during a test."""
    opened = []
    connect = JoiningNetwork.connect_tcp

    async def noted(self, *args, **options):
        opened.append(await connect(self, *args, **options))
        return opened[-1]

    monkeypatch.setattr(JoiningNetwork, "connect_tcp", noted)
    return opened


def asking(text):
    return Request(messages=[{"role": "user", "content": text}])


@pytest.mark.parametrize("size", [1, _LONGEST, 4 << 20])
async def test_a_request_of_any_size_arrives_whole(size, opened):
    with serving(lambda request: [response(ANSWER)]) as served:
        provider = make_provider(ModelSpec("m", "openai"), base_url=served.url, api_key="k")
        reply = await provider.complete(asking("x" * size))
        await provider.aclose()
    assert reply.text == "hi"
    assert len(opened) == 1
    [request] = served.requests
    head, _, body = request.partition(b"\r\n\r\n")
    assert f"content-length: {len(body)}".encode() in head.lower()
    assert body.count(b"x") == size


@pytest.mark.parametrize("users_own", [False, True])
async def test_repeated_headers_of_a_response_mean_the_same_for_both_kinds_of_clients(users_own):
    headers = ["Request-Id: one", "request-id: two", "Content-Encoding: br", "content-encoding: gzip"]
    with serving(lambda request: [response(ANSWER, *headers[: 4 if b"twice" in request else 2])]) as served:
        async with AsyncExitStack() as stack:
            own = await stack.enter_async_context(httpx2.AsyncClient()) if users_own else None
            provider = make_provider(ModelSpec("m", "openai"), base_url=served.url, api_key="k", http_client=own)
            stack.push_async_callback(provider.aclose)
            assert (await provider.complete(asking("x"))).request_id == "one, two"
            with pytest.raises(MalformedResponseError, match="'br, gzip'"):
                await provider.complete(asking("packed twice"))


async def test_an_idle_connection_that_the_server_has_closed_is_not_used_again(opened):
    kept = response(ANSWER).replace(b"connection: close\r\n", b"")  # but the server closes it
    with serving(lambda request: [kept]) as served:
        provider = make_provider(ModelSpec("m", "openai"), base_url=served.url, api_key="k")
        for number in range(3):
            assert (await provider.complete(asking("x"))).text == "hi"
            await until(partial(opened[-1].get_extra_info, "is_readable"))
            assert len(opened) == number + 1
        await provider.aclose()


async def test_an_open_connection_is_readable_once_something_arrives():
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        stream = await JoiningNetwork().connect_tcp("127.0.0.1", port, 10.0)
        other = await listener.listeners[0].accept()
        assert not stream.get_extra_info("is_readable")
        await other.send(b"late")
        await until(partial(stream.get_extra_info, "is_readable"))
        assert await stream.read(100, 10.0) == b"late"
        await other.aclose()
        await stream.aclose()
    assert stream.get_extra_info("is_readable")
