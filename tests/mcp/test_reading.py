"""Resources and prompts."""

import pytest

from aimu import aio
from aimu.errors import ClosedClientError, InvalidOptionError, MCPError
from aimu.tools import MCPClient
from aimu.types import MCPPrompt, MCPResource
from tests.mcp.conftest import FRIEND, TINY, wild
from tests.mcp.fastmcp_server import server as friend

DOT = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}


@pytest.mark.parametrize("options", [{"server": friend}, {"config": {"friend": FRIEND}}], ids=["memory", "process"])
async def test_resources_and_prompts_are_listed_and_read(opened, options):
    async with opened(**options) as client:
        found = {item.uri: item for item in await client.resources()}
        assert found["notes://today"] == MCPResource(
            server="friend",
            uri="notes://today",
            name="today",
            description="What happened",
            mime_type="text/plain",
            size=found["notes://today"].size,
        )
        assert found["notes://{day}"].template
        assert await client.read("notes://today") == "It rained."
        assert await client.read("notes://monday") == "Nothing on monday."
        assert await client.read("notes://dot") == [DOT]
        [prompt] = await client.prompts()
        assert prompt == MCPPrompt(
            server="friend",
            name="review",
            description="Ask for a review.",
            required=("text",),
            optional=("tone",),
        )
        messages = await client.get_prompt("review", {"text": "a poem"})
        assert messages == [{"role": "user", "content": "Review this, be kind: a poem"}]
        with pytest.raises(MCPError, match="'friend'"):
            await client.read("other://thing")
        with pytest.raises(MCPError, match="'friend'"):
            await client.get_prompt("none")


async def test_of_several_servers_the_one_that_lists_a_thing_is_asked(opened):
    async with opened(config={"plain": TINY, "friend": FRIEND, "other": FRIEND}) as client:
        assert {item.server for item in await client.resources()} == {"friend", "other"}
        with pytest.raises(InvalidOptionError, match="several MCP servers have a resource 'notes://today'"):
            await client.read("notes://today")
        assert await client.read("notes://today", server="other") == "It rained."
        with pytest.raises(InvalidOptionError, match="no MCP server has a resource 'notes://monday'; pass server="):
            await client.read("notes://monday")
        assert (await client.get_prompt("review", {"text": "x"}, server="friend"))[0]["role"] == "user"
        with pytest.raises(InvalidOptionError, match="no MCP server 'freind'; did you mean 'friend'"):
            await client.get_prompt("review", server="freind")


async def test_a_server_without_resources_has_none(opened, caplog):
    async with opened(config={"plain": TINY}) as client:
        assert await client.resources() == await client.prompts() == []
        with pytest.raises(MCPError, match="no method resources/read"):
            await client.read("a://b")
    async with opened(config=wild("cursors")) as client:
        assert await client.resources() == []
        assert "its list of resources does not end" in caplog.text


async def test_a_closed_client_reads_nothing():
    client = await aio.MCPClient.connect(server=friend)
    await client.aclose()
    with pytest.raises(ClosedClientError):
        await client.read("notes://today")


def test_a_sync_client_reads():
    with MCPClient(server=friend) as client:
        assert client.read("notes://today") == "It rained."
        assert client.resources()[0].uri == "notes://today"
        assert client.get_prompt("review", {"text": "x"})[0]["content"] == "Review this, be kind: x"
        assert client.prompts()[0].name == "review"
