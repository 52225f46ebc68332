"""The names of tools: each reachable, none confused, in `call_tool` and for the model."""

import re

import pytest
from fastmcp import FastMCP
from hypothesis import given
from hypothesis import strategies as st

from aimu import aio
from aimu.aio._mcp.names import Names, Naming
from aimu.errors import InvalidOptionError
from aimu.testing import reply, scripted_client
from aimu.tools import MCPClient
from tests.mcp.conftest import TINY, tiny, wild

LONG = "n" * 70


def naming(*servers, **options):
    """Return the names of `(server, [tools])`."""
    names = Names([server for server, _ in servers], Naming(**options))
    for index, (_, tools) in enumerate(servers):
        names.learn(index, tools)
    return names


@pytest.mark.parametrize(
    "servers",
    [
        [("s", ["a.b", "a_b", "a b"])],
        [("s", ["a_b", "a.b"])],
        [("s", [LONG + "1", LONG + "2", LONG[:64]])],
        [("a", ["b_x"]), ("a_b", ["x"])],
        [("a_b", ["x"]), ("a", ["b_x"])],
        [("a", ["x"]), ("a", ["x"])],
        [("s", ["ø", "å", "_"])],
        [("s", ["", "日本", "中文", "a/b", "a:b"])],
    ],
)
def test_each_tool_has_a_name_of_its_own(servers):
    names = naming(*servers)
    shown = {}
    for index, (_, tools) in enumerate(servers):
        for own in tools:
            name = names.shown(index, own)
            assert re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name)
            assert names.find(name) == (index, own)
            shown[name] = own
    assert len(shown) == sum(len(tools) for _, tools in servers)


def test_a_name_that_services_accept_is_kept_whatever_the_order():
    for tools in (["a.b", "a_b"], ["a_b", "a.b"]):
        names = naming(("s", tools))
        assert names.shown(0, "a_b") == "a_b"
        assert names.find("a.b") == (0, "a.b")
        assert names.shown(0, "a.b") == "a_b_407e8e"


TEXT = st.text("ab._-ø", max_size=4) | st.sampled_from([LONG, LONG + "x", LONG[:64]])


@given(st.lists(st.tuples(TEXT, st.lists(TEXT, unique=True, max_size=6)), min_size=1, max_size=4))
def test_no_two_tools_are_confused(servers):
    names = naming(*servers)
    tools = [(index, own) for index, (_, listed) in enumerate(servers) for own in listed]
    assert [names.find(names.shown(*tool)) for tool in tools] == tools
    again = naming(*servers)
    assert [again.shown(*tool) for tool in tools] == [names.shown(*tool) for tool in tools]


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        ({}, ["one_read", "one_write", "two_read"]),
        ({"prefix": False}, ["read", "write", "read_236bb9"]),
        ({"prefix": True}, ["one_read", "one_write", "two_read"]),
        ({"prefix": "my_"}, ["my_one_read", "my_one_write", "my_two_read"]),
        ({"rename": {"write": "put", "two_read": "get"}}, ["one_read", "put", "get"]),
        ({"include": ["read"]}, ["one_read", None, "two_read"]),
        ({"include": ["one_*"]}, ["one_read", "one_write", None]),
        ({"exclude": ["*_read"]}, [None, "one_write", None]),
        ({"include": ["*"], "exclude": ["two_read"]}, ["one_read", "one_write", None]),
    ],
)
def test_options_choose_the_names_and_the_tools(options, shown):
    names = naming(("one", ["read", "write"]), ("two", ["read"]), **options)
    assert [names.shown(0, "read"), names.shown(0, "write"), names.shown(1, "read")] == shown


def test_a_name_that_fits_no_tool_is_refused_with_the_nearest():
    names = naming(("one", ["read"]), ("two", ["read"]))
    with pytest.raises(InvalidOptionError, match="no MCP server has a tool 'one_raed'; did you mean 'one_read'"):
        names.find("one_raed")
    with pytest.raises(InvalidOptionError, match="no MCP server has a tool 'write'"):
        naming(("one", ["read", "write"]), exclude=["write"]).find("write")


def test_an_option_that_names_no_tool_is_warned_about_once(caplog):
    names = naming(("one", ["read"]), rename={"raed": "x"}, include=["read", "wr*"])
    names.learn(0, ["read"])
    assert caplog.messages == ["no MCP tool is named 'raed'; did you mean 'read'?", "no MCP tool is named 'wr*'"]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"prefix": "my prefix"}, "prefix must be True, False or 1 to 64 letters"),
        ({"rename": {"a": "b.c"}}, "rename must give names of 1 to 64 letters, digits, '_' and '-', got 'b.c'"),
        ({"rename": {"a": "c", "b": "c"}}, "rename gives two tools the name 'c'"),
        ({"include": "read"}, "include must be a list of names, got 'read'"),
        ({"exclude": [1]}, "exclude must be a list of names"),
    ],
)
def test_invalid_options_are_refused(options, reason):
    with pytest.raises(InvalidOptionError) as caught:
        aio.MCPClient(config=tiny(), **options)
    assert reason in str(caught.value)


async def test_servers_whose_names_run_together_are_not_confused(opened):
    config = {"a": TINY, "a_b": TINY}
    async with opened(config=config, rename={"a_echo": "b_echo"}) as client:
        await client.call_tool("a_pid")  # lists first
        assert await client.call_tool("b_echo", {"text": "hi"}) == "hi"
        assert await client.call_tool("a_pid") != await client.call_tool("a_b_pid")


async def test_a_model_calls_both_of_two_tools_with_like_names(opened):
    server = FastMCP("alike")
    server.tool(lambda: "dot", name="a.b")
    server.tool(lambda: "line", name="a_b")
    async with opened(server=server) as mcp:
        assert await mcp.call_tool("a_b") == "line"
        assert await mcp.call_tool("a.b") == "dot"
        dotted, plain = [tool["function"]["name"] for tool in await mcp.get_tools()]
        async with scripted_client(reply(calls=[(dotted, {}), (plain, {})]), "done", tools=[mcp]) as client:
            await client.chat("go")
            assert [item["content"] for item in client.messages if item["role"] == "tool"] == ["dot", "line"]


async def test_two_clients_with_the_same_tools_are_told_apart_by_a_prefix(opened):
    async with opened(config=wild("ok"), prefix="one_") as one, opened(config=wild("ok"), prefix="two_") as two:
        replies = [reply(calls=[("one_echo", {"text": "1"}), ("two_echo", {"text": "2"})]), "done"]
        async with scripted_client(*replies, tools=[one, two]) as client:
            await client.chat("go")
            assert [item["content"] for item in client.messages if item["role"] == "tool"] == ["1", "2"]


async def test_a_tool_that_a_server_does_not_list_can_be_called(opened):
    async with opened(config=wild("ok")) as client:
        assert await client.call_tool("unlisted") == "unlisted"


def test_a_sync_client_names_tools_alike():
    with MCPClient(config=tiny(), prefix=True, include=["e*", "odd*"], rename={"echo": "say"}) as client:
        assert sorted(tool["function"]["name"] for tool in client.get_tools()) == [
            "say",
            "tiny_environ",
            "tiny_odd_name",
        ]
        assert client.call_tool("say", {"text": "hi"}) == "hi"
        with pytest.raises(InvalidOptionError, match="no MCP server has a tool 'pid'"):
            client.call_tool("pid")
