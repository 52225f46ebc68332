"""Requests over TLS, with certificates made for the test: answers, streams, kept connections, and what goes wrong."""

import socket
import socketserver
import ssl
from contextlib import contextmanager, suppress
from functools import partial

import anyio
import httpx2
import pytest
import trustme

import aimu
from aimu import aio
from aimu.errors import ProviderConnectionError, ProviderTimeoutError
from aimu.testing import cancel_everywhere
from tests.holding import in_a_thread, join, start
from tests.mcp.web import Sessions, web_server
from tests.served import chat_stream, chat_whole, options, served


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture(autouse=True)
def trusted(authority, tmp_path, monkeypatch):
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    monkeypatch.delenv("SSLKEYLOGFILE", raising=False)


def certified(authority, name="127.0.0.1"):
    """The TLS settings of a server with a certificate for that name."""
    settings = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(settings)
    return settings


def client_of(url, **more):
    model, given = options("chat", url)
    return aio.client(model, **given, **more)


@contextmanager
def silent():
    """The base URL of a server that accepts connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"https://127.0.0.1:{server.getsockname()[1]}"


LONG = "three " * 5000


@pytest.mark.parametrize("piece", [0, 999])
async def test_answers_and_streams_share_one_connection(authority, piece):
    answers = chat_whole("one"), chat_stream("tw", "o"), chat_whole(LONG)
    with served(*answers, piece=piece, tls=certified(authority)) as (service, url):
        async with client_of(url) as client:
            assert await client.chat("Go.") == "one"
            assert [piece async for piece in client.chat("Go.", stream=True).text_stream] == ["tw", "o"]
            assert await client.chat("Go. " * 50_000) == LONG  # its head and body leave apart
    assert len(service.requests) == 3
    assert len(service.connections) == 1


def test_a_sync_client(authority):
    with served(chat_whole("one"), tls=certified(authority)) as (service, url):
        model, given = options("chat", url)
        with aimu.client(model, **given) as client:
            assert [client.chat("Go."), client.chat("Go.")] == ["one", "one"]
    assert len(service.connections) == 1


async def test_a_connection_that_the_server_has_closed_is_replaced(authority):
    with served(chat_whole("one"), tls=certified(authority)) as (service, url):
        async with client_of(url) as client:
            for _ in range(2):
                assert await client.chat("Go.") == "one"
                service.close()
                await anyio.sleep(0.05)
    assert len(service.connections) == 2


async def test_a_certificate_that_is_not_trusted_or_for_another_host_is_an_error_that_says_so(authority):
    for settings, reason in (
        (certified(trustme.CA()), "certificate verify failed: unable to get local issuer certificate"),
        (certified(authority, "example.org"), "certificate verify failed: IP address mismatch"),
    ):
        with served(chat_whole("one"), tls=settings) as (service, url):
            async with client_of(url) as client:
                with pytest.raises(ProviderConnectionError, match=reason):
                    await client.chat("Go.")
                assert client.messages == []
        assert service.requests == []


async def test_a_server_without_tls_is_an_error_that_says_so():
    with served(chat_whole("one")) as (_, url):
        async with client_of(url.replace("http", "https")) as client:
            with pytest.raises(ProviderConnectionError, match="(?i)wrong.version.number"):
                await client.chat("Go.")


async def test_a_handshake_ends_at_the_timeout():
    with silent() as url:
        async with client_of(url, timeout=0.2) as client:
            with anyio.fail_after(9), pytest.raises(ProviderTimeoutError):
                await client.chat("Go.")


def turns(url, connect=lambda: None):
    class Turns:
        """Two requests of a client, and then one more; `connect` makes its `http_client=`."""

        def __init__(self):
            self.http = connect()
            self.client = client_of(url, **{"http_client": self.http} if self.http else {})

        async def run(self):
            await self.client.chat("Go.")
            await self.client.chat("Go.")

        async def check(self, *, completed):
            assert await self.client.chat("Go.") == "one"
            await self.client.aclose()
            if self.http:
                await self.http.aclose()

    return Turns


@pytest.mark.parametrize("connect", [lambda: None, httpx2.AsyncClient], ids=["own", "given"])
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_request_cancelled_at_any_step_leaves_no_connection(authority, backend, connect):
    with served(chat_whole("one"), tls=certified(authority)) as (_, url):
        cancel_everywhere(turns(url, connect), backend=backend, minimum=6)


@contextmanager
def tunnel():
    """The URL of an HTTP proxy that passes on what comes behind a CONNECT, and the targets that it was asked for."""
    targets = []

    class Tunnel(socketserver.StreamRequestHandler):
        def handle(self):
            target = self.rfile.readline().split()[1].decode()
            while self.rfile.readline().strip():
                pass
            targets.append(target)
            host, _, port = target.rpartition(":")
            with suppress(OSError), socket.create_connection((host, int(port))) as other:
                self.connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                threads = start(partial(pump, other, self.connection), partial(pump, self.connection, other))
                join(threads)

    def pump(source, sink):
        with suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Tunnel) as server:
        server.daemon_threads = True
        with in_a_thread(server):
            yield f"http://127.0.0.1:{server.server_address[1]}", targets


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_request_through_a_proxy_cancelled_at_any_step_leaves_no_connection(authority, backend, monkeypatch):
    with tunnel() as (proxy, targets), served(chat_whole("one"), tls=certified(authority)) as (_, url):
        monkeypatch.setenv("HTTPS_PROXY", proxy)
        monkeypatch.delenv("NO_PROXY", raising=False)
        cancel_everywhere(turns(url), backend=backend, minimum=6)
        assert targets


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_connection_to_an_mcp_server_cancelled_at_any_step_leaves_nothing(authority, backend):
    class Connecting:
        async def run(self):
            async with aio.MCPClient(config={"server": {"url": url}}) as client:
                await client.call_tool("next")

        async def check(self, *, completed):
            pass

    with web_server(Sessions(), tls=certified(authority)) as url:
        cancel_everywhere(Connecting, backend=backend, minimum=6)
