"""Servers over HTTP that ask for a token."""

import anyio
import pytest

from aimu import aio
from aimu.errors import InvalidOptionError, MCPConnectionError
from aimu.tools import MCPClient
from tests.mcp.conftest import TINY
from tests.mcp.fastmcp_server import server as friend
from tests.mcp.web import PLAIN, UNFINISHED, greeting, text, web_server

pytestmark = UNFINISHED


class Guarded:
    """A server that lets in who has the right token, and tells what it got."""

    def __init__(self, token="right"):
        self.token = token
        self.refused = 0

    def __call__(self, message, request):
        if request.headers["Authorization"] != f"Bearer {self.token}":
            self.refused += 1
            return 401, {"WWW-Authenticate": "Bearer"}, None
        return greeting(message, request) or (200, PLAIN, text(message, str(request.headers["X-Team"])))


def remote(url):
    return {"remote": {"url": url.replace("user:secret@", "")}}


@pytest.mark.parametrize("form", ["value", "variable", "function", "async function"])
async def test_a_token_and_headers_are_sent(opened, monkeypatch, form):
    monkeypatch.setenv("TOKEN", "right")

    async def token():
        await anyio.lowlevel.checkpoint()
        return "right"

    bearer = {"value": "right", "variable": "${TOKEN}", "function": lambda: "right", "async function": token}[form]
    headers = (lambda: {"X-Team": "blue"}) if form == "function" else {"X-Team": "${TEAM:-blue}"}
    with web_server(Guarded()) as url:
        async with opened(config=remote(url), bearer=bearer, headers=headers) as client:
            assert await client.call_tool("next") == "blue"
            assert await client.get_tools()


async def test_a_token_that_expires_is_renewed_once_for_all_calls(opened):
    guarded, tokens = Guarded("first"), iter(["first", "second"])

    with web_server(guarded) as url:
        async with opened(config=remote(url), bearer=lambda: next(tokens)) as client:
            assert await client.call_tool("next") == "None"
            guarded.token = "second"
            async with anyio.create_task_group() as group:
                for _ in range(10):
                    group.start_soon(client.call_tool, "next")
            assert guarded.refused <= 10


async def test_a_token_that_is_refused_again_is_an_error(opened):
    asked = []

    def bearer():
        asked.append(1)
        return "wrong"

    with web_server(Guarded()) as url:
        with pytest.raises(MCPConnectionError, match="HTTP 401 Unauthorized; .*OAuth is not supported") as caught:
            async with opened(config=remote(url), bearer=bearer):
                raise AssertionError("it refuses")
    assert caught.value.status == 401
    assert "wrong" not in str(caught.value)
    assert len(asked) <= 4


@pytest.mark.parametrize("form", ["sync", "async"])
@pytest.mark.parametrize("error", [LookupError, SystemExit])
async def test_a_function_that_fails_fails_the_request_with_its_reason(opened, form, error):
    def bearer():
        raise error("no keyring")

    async def bearer_async():
        bearer()

    with web_server(Guarded()) as url:
        with pytest.raises(MCPConnectionError, match=f"headers= or bearer= failed: {error.__name__}: no keyring"):
            async with opened(config=remote(url), bearer=bearer if form == "sync" else bearer_async):
                raise AssertionError("it has no token")


SECRET = "s3cr3t-t0k3n"


@pytest.mark.parametrize(
    "options",
    [
        {"bearer": lambda: f"{SECRET}\n"},
        {"bearer": lambda: f"{SECRET}é"},
        {"bearer": lambda: ""},
        {"bearer": lambda: 7},
        {"headers": lambda: {"X-Key": f"{SECRET}\r\nX: y"}},
        {"headers": lambda: {"X-Key": f"{SECRET}é"}},
        {"headers": lambda: {"X-Key": None}},
        {"headers": lambda: SECRET},
    ],
)
async def test_what_a_function_gives_must_fit_into_a_header_and_is_not_shown(opened, caplog, options):
    [name] = options
    with web_server(Guarded()) as url:
        with pytest.raises(MCPConnectionError, match=f"the request failed: {name}= must give .* in one line") as caught:
            async with opened(config=remote(url), **options):
                raise AssertionError("it has no token")
    assert SECRET not in str(caught.value) + caplog.text


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"config": {"a": {"url": "http://x"}, "b": {"url": "http://y"}}, "bearer": "t"}, "for one server over HTTP"),
        ({"config": {"a": TINY}, "headers": {"a": "b"}}, "for one server over HTTP"),
        ({"server": friend, "bearer": "t"}, "for one server over HTTP"),
        ({"config": {"a": {"url": "http://x"}}, "bearer": "a\nb"}, "bearer must be a token in one line"),
        ({"config": {"a": {"url": "http://x"}}, "headers": {"a": 1.5j}}, "headers must be a dict"),
        ({"config": {"a": {"url": "http://x"}}, "bearer": "${NO_SUCH}"}, "NO_SUCH is not set"),
    ],
)
def test_invalid_tokens_are_refused(options, reason):
    with pytest.raises(InvalidOptionError, match=reason):
        aio.MCPClient(**options)


def test_a_sync_client_sends_a_token():
    with web_server(Guarded()) as url, MCPClient(config=remote(url), bearer=lambda: "right") as client:
        assert client.call_tool("next") == "None"
