"""What an MCP server is given to log in is in no error of the library, however the server repeats it."""

import logging
import sys
from urllib.parse import quote

import pytest

from aimu.errors import MCPConnectionError, MCPError
from tests.mcp.web import PLAIN, UNFINISHED, greeting, text, web_server

pytestmark = UNFINISHED
KEY = "sk-live-0123456789abcdefghijklmnop"


def texts(error):
    """All texts of an error and its causes."""
    seen, left = {}, [error]
    while left:
        one = left.pop()
        if one is not None and id(one) not in seen:
            seen[id(one)] = one
            left += [one.__cause__, one.__context__]
    return "\n".join(f"{one} {one!r} {vars(one)} {getattr(one, '__notes__', '')}" for one in seen.values())


def login(form, url):
    """The config and options that give the server the key in one of the forms."""
    own = url.replace("user:secret@", "").replace("key=secret", f"token={KEY}" if form == "query" else "")
    server = {"url": own, **({"headers": {"X-Key": KEY}} if form == "config" else {})}
    options = {"bearer": {"bearer": KEY}, "function": {"bearer": lambda: KEY}, "headers": {"headers": {"X-Key": KEY}}}
    return {"config": {"r": server}, **options.get(form, {})}


def repeats(request):
    return f"{request.headers.get('Authorization')} {request.headers.get('X-Key')} {request.path}"


def refused(message, request):
    return 401, PLAIN, {"key": repeats(request)}


def challenged(message, request):
    return 401, {**PLAIN, "WWW-Authenticate": f"Bearer {repeats(request)}"}, {}


def cut(message, request):
    return 500, {"Content-Type": "text/plain"}, ("x" * 270 + repeats(request)).encode()


def encoded(message, request):
    return 403, {"Content-Type": "text/plain"}, quote(repeats(request)).encode()


def error(message, request):
    return greeting(message, request) or (
        200,
        PLAIN,
        {"jsonrpc": "2.0", "id": message["id"], "error": {"code": -1, "message": f"bad {repeats(request)}"}},
    )


def moved(message, request):
    return 307, {"Location": f"http://127.0.0.1:1/{quote(repeats(request))}"}, {}


@pytest.mark.parametrize("form", ["bearer", "function", "headers", "config", "query"])
@pytest.mark.parametrize("way", [refused, challenged, cut, encoded, error, moved])
async def test_no_error_shows_what_a_server_was_given_to_log_in(opened, caplog, way, form):
    caplog.set_level(logging.DEBUG)  # of httpx2 and mcp, too
    with web_server(way) as url, pytest.raises(MCPError) as caught:
        async with opened(**login(form, url)) as client:
            await client.call_tool("next")
    shown = texts(caught.value) + caplog.text
    assert "***" in str(caught.value)
    assert KEY[:8] not in shown


@pytest.mark.parametrize("arguments", [[], [f"--api-key={KEY}"], ["--token", KEY], [KEY]])
async def test_no_error_shows_the_key_of_a_child_process(opened, arguments, caplog):
    caplog.set_level(logging.DEBUG)
    code = "import os, sys; sys.exit(f'bad key {sys.argv[1:] or os.environ[\"API_KEY\"]} of ' + os.environ['NAME'])"
    env = {"NAME": "a-long-enough-name", **({} if arguments else {"API_KEY": KEY})}
    server = {"command": sys.executable, "args": ["-c", code, *arguments], "env": env}
    with pytest.raises(MCPConnectionError) as caught:
        async with opened(config={"p": server}):
            raise AssertionError
    shown = [word.replace(KEY, "***") for word in arguments] or "***"
    assert f"bad key {shown} of a-long-enough-name" in str(caught.value)
    assert "***" in caught.value.stderr
    assert KEY[:8] not in texts(caught.value) + caplog.text


async def test_a_redirect_within_the_origin_is_followed(opened):
    def answer(message, request):
        if request.path != "/there":
            return 308, {"Location": "/there"}, {}
        return greeting(message, request) or (200, PLAIN, text(message, "fine"))

    with web_server(answer) as url:
        async with opened(config={"r": {"url": url}}) as client:
            assert await client.call_tool("next") == "fine"
