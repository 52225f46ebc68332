"""Answers in forms that the protocol does not know: read if it is clear what they mean; otherwise their call fails."""

import json

import anyio
import pytest
from mcp_types import jsonrpc_message_adapter

from aimu.aio._mcp.answers import checked_body
from aimu.aio._mcp.messages import read_messages
from aimu.errors import MCPConnectionError, MCPError
from aimu.tools import MCPClient
from tests.mcp.conftest import wild
from tests.mcp.web import EVENTS, INVALID, ODD, PLAIN, UNFINISHED, greeting, text, web_server

pytestmark = UNFINISHED
PAGE = b"<html>Log in to the network of this hotel</html>"


def remote(url):
    return {"mcpServers": {"remote": {"url": url, "type": "http"}}}


def answering(body, kind="json"):
    """Answer calls with a body, in which ID stands for the id of the request."""

    def answer(message, request):
        if greeted := greeting(message, request):
            return greeted
        given = body.replace(b"ID", json.dumps(message["id"]).encode())
        return (200, PLAIN, given) if kind == "json" else (200, EVENTS, b"data: " + given + b"\n\n")

    return answer


@pytest.mark.parametrize(("line", "words"), ODD.items())
@pytest.mark.parametrize("kind", ["json", "events", "stdio"])
async def test_an_answer_in_an_odd_form_is_read(opened, kind, line, words):
    if kind == "stdio":
        async with opened(config=wild("raw")) as client:
            with anyio.fail_after(5):
                assert await client.call_tool("echo", {"text": line}) == words
        return
    with web_server(answering(line.encode(), kind)) as url:
        async with opened(config=remote(url)) as client:
            assert await client.call_tool("next") == words


NO_RESPONSE = [
    *((line.encode(), "") for line in INVALID),
    (b'{"jsonrpc": "2.0",', '{"jsonrpc": "2.0",$'),
    ('{"jsonrpc": "2.0", "id": ID, "result": {"x": "é"}}'.encode("latin-1"), "invalid unicode"),
    (b"[]", r"\[\]$"),
]
NO_BODY = [(b"", "it is empty"), (b'{"jsonrpc": "2.0", "method": "notifications/x"}', "notifications/x")]


@pytest.mark.parametrize(
    ("kind", "body", "reason"),
    [(kind, *case) for kind in ("json", "events") for case in NO_RESPONSE] + [("json", *case) for case in NO_BODY],
)
async def test_an_answer_over_http_that_is_not_valid_ends_its_call_with_the_reason(opened, caplog, kind, body, reason):
    with web_server(answering(body, kind)) as url:
        async with opened(config=remote(url)) as client:
            with pytest.raises(MCPError, match=f"(?s)'remote' violated the protocol: .*{reason}") as caught:
                await client.call_tool("next")
    assert "pydantic" not in str(caught.value)
    assert "Traceback" not in caplog.text


BODIES = [
    '{"jsonrpc": "2.0", "id": 5, "result": VALUE}',
    '{"jsonrpc": "2.0", "id": 5, "result": {"x": VALUE}}',
    '{"jsonrpc": "2.0", "id": 5, "result": {}, "id": VALUE}',
    '{"jsonrpc": "2.0", "id": VALUE, "result": {}}',
    '{"jsonrpc": VALUE, "id": 5, "result": {}}',
    '{"jsonrpc": "2.0", "id": 5, "result": {}, "error": VALUE}',
    '{"jsonrpc": "2.0", "id": 5, "result": {}, "method": VALUE}',
    '{"jsonrpc": "2.0", "id": 5, "error": {"code": 1, "message": "x", "data": VALUE}}',
]
VALUES = [
    *(
        "{}",
        "[]",
        "null",
        "true",
        "5",
        "5.0",
        "6",
        '"5"',
        '"x"',
        "NaN",
        "1e999",
        "01",
        "9" * 6000,
        r'"\ud83d"',
        '"a\tb"',
    ),
    *('"é"', "[" * 190 + "]" * 190, "[" * 999 + "]" * 999, '{"code": 2, "message": "y"}', '{"a": 1, "a": 2,}'),
]


@pytest.mark.parametrize("encoding", ["utf8", "latin-1"])
@pytest.mark.parametrize("body", BODIES)
def test_the_sdk_can_read_each_body_that_is_passed_on_and_finds_the_request(body, encoding):
    for value in VALUES:
        kind, passed = checked_body(body.replace("VALUE", value).encode(encoding), 5, str)
        messages = [passed] if kind == "application/json" else passed.split(b"data: ")[1:]
        assert jsonrpc_message_adapter.validate_json(messages[-1], by_name=False).id == 5, value


@pytest.mark.parametrize("identifier", [None, 9999, "other"])
async def test_the_body_of_an_answer_is_that_of_its_request_whatever_its_id(opened, identifier):
    def answer(message, request):
        return greeting(message, request) or (200, PLAIN, {**text(message, "fine"), "id": identifier})

    def refuse(message, request):
        error = {"jsonrpc": "2.0", "id": identifier, "error": {"code": -32700, "message": "what?"}}
        return greeting(message, request) or (200, PLAIN, error)

    if identifier is not None:
        with web_server(answer) as url:
            async with opened(config=remote(url)) as client:
                assert await client.call_tool("next") == "fine"
    with web_server(refuse) as url:
        async with opened(config=remote(url)) as client:
            with pytest.raises(MCPError, match=r"what\? \(code -32700\)"):
                await client.call_tool("next")


@pytest.mark.parametrize(
    ("status", "headers", "body", "reason"),
    [
        (200, {"Content-Type": "text/html; charset=utf-8"}, PAGE, "answered HTTP 200 OK with text/html: <html>Log in"),
        (200, {"Content-Type": "text/html"}, PAGE * 9999, "answered HTTP 200 OK with text/html"),
        (200, {}, b"fine", "answered HTTP 200 OK with no content type: fine"),
        (202, {}, b"", "answered HTTP 202 Accepted with an empty body"),
        (204, {}, b"", "answered HTTP 204 No Content with an empty body"),
    ],
)
async def test_an_answer_that_is_no_message_is_an_error_that_shows_it(opened, caplog, status, headers, body, reason):
    shut = [False]

    def answer(message, request):
        return (not shut[0] and greeting(message, request)) or (status, headers, body)

    with web_server(answer) as url:
        async with opened(config=remote(url)) as client:
            with pytest.raises(MCPError, match=f"'remote' {reason}.*; .*check its URL") as caught:
                await client.call_tool("next")
            assert not isinstance(caught.value, MCPConnectionError)
        shut[0] = True
        with pytest.raises(MCPConnectionError, match=rf"'remote': it {reason}.*check its URL \(http://127") as caught:
            async with opened(config=remote(url)):
                raise AssertionError("it is a page")
    assert "secret" not in str(caught.value) + caplog.text


async def test_a_body_that_cannot_be_decoded_fails_its_call_only(opened):
    bad = [True]

    def answer(message, request):
        if greeted := greeting(message, request):
            return greeted
        return 200, {**PLAIN, **({"Content-Encoding": "gzip"} if bad[0] else {})}, text(message, "fine")

    with web_server(answer) as url:
        async with opened(config=remote(url)) as client:
            with pytest.raises(MCPConnectionError, match="'remote': the request failed: .*decompressing"):
                await client.call_tool("next")
            bad[0] = False
            assert await client.call_tool("next") == "fine"


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
async def test_an_event_stream_may_have_any_line_ends_comments_and_a_name(opened, end):
    def answer(message, request):
        lines = [": ping", "", "retry: 10", "", "id: 5", "event: message"]
        lines += [f"data: {line}" for line in json.dumps(text(message, "fine"), indent=1).split("\n")]
        return greeting(message, request) or (200, EVENTS, end.join([*lines, "", ""]).encode())

    with web_server(answer) as url:
        async with opened(config=remote(url)) as client:
            assert await client.call_tool("next") == "fine"


async def test_a_handshake_without_required_fields_is_told_in_a_line(opened):
    def answer(message, request):
        status, headers, body = greeting(message, request)
        if message["method"] == "initialize":
            del body["result"]["serverInfo"]
        return status, headers, body

    with web_server(answer) as url:
        with pytest.raises(
            MCPConnectionError, match="it violated the protocol in the handshake: serverInfo: Field req"
        ):
            async with opened(config=remote(url)):
                raise AssertionError("it is refused")


async def test_half_an_answer_of_a_dead_process_does_not_hide_how_it_ended(opened):
    async with opened(config=wild("half")) as client:
        with pytest.raises(MCPConnectionError, match="'wild': it exited with status 9"):
            await client.call_tool("echo")


def test_a_sync_client_is_told_the_same():
    with MCPClient(config=wild("raw")) as client:
        with pytest.raises(MCPError, match="error.code: Input should be a valid integer"):
            client.call_tool("echo", {"text": '{"jsonrpc": "2.0", "id": ID, "error": {"code": "E1", "message": "x"}}'})


@pytest.mark.parametrize("line", [b"hello", b"[1, 2]", b"null", b'{"level": "info", "id": 3.5}', b"\xff\xfe", b'"'])
def test_what_is_not_about_the_protocol_is_no_message(line):
    assert read_messages(line) == []
