"""Which requests a served program answers over HTTP. The ASGI application runs here, on asyncio and on trio."""

import httpx2
import pytest

from aimu.tools import serve_mcp

LIST = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "tools/list",
    "params": {
        "_meta": {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
            "io.modelcontextprotocol/clientCapabilities": {},
        }
    },
}
HEADERS = {
    "Accept": "application/json, text/event-stream",
    "MCP-Protocol-Version": "2026-07-28",
    "Mcp-Method": "tools/list",
}
OWN, PUBLIC = "127.0.0.1:8000", "10.1.2.3:8000"


def add(a: int, b: int) -> int:
    """Add."""
    return a + b


async def status(server, address, headers, **options):
    """Return the status of a request that lists the tools, to an address of the server."""
    app = server.http_app(**options)
    transport = httpx2.ASGITransport(app)
    async with app.lifespan(app), httpx2.AsyncClient(transport=transport, base_url=f"http://{address}") as client:
        response = await client.post("/mcp", json=LIST, headers={**HEADERS, **headers})
        assert response.status_code != 200 or '"add"' in response.text
        return response.status_code


@pytest.mark.parametrize(
    ("address", "headers", "allowed", "expected"),
    [
        (OWN, {}, (), 200),
        (OWN, {"Host": "localhost:8000"}, (), 200),
        (OWN, {"Host": "[::1]:8000"}, (), 200),
        (OWN, {"Origin": "http://localhost:3000"}, (), 200),
        (OWN, {"Host": "evil.example"}, (), 421),
        (OWN, {"Host": "127.0.0.1.evil.example"}, (), 421),
        (OWN, {"Origin": "http://evil.example"}, (), 403),
        (OWN, {"Origin": "null"}, (), 403),
        (OWN, {"Host": "evil.example", "Origin": "http://evil.example"}, (), 421),
        (OWN, {"Host": "mcp.example.org"}, (), 421),
        (OWN, {"Host": "mcp.example.org"}, ["mcp.example.org"], 200),
        (OWN, {"Host": "mcp.example.org", "Origin": "https://mcp.example.org"}, ["mcp.example.org"], 200),
        (OWN, {"Host": "mcp.example.org", "Origin": "https://evil.example"}, ["mcp.example.org"], 403),
        (OWN, {"Host": "evil.example"}, ["mcp.example.org"], 421),
        (PUBLIC, {"Host": "any.example"}, (), 200),
        (PUBLIC, {"Host": "any.example"}, ["mcp.example.org"], 421),
        (PUBLIC, {"Host": "mcp.example.org"}, ["mcp.example.org"], 200),
    ],
)
async def test_host_and_origin_are_checked_on_loopback_and_wherever_hosts_are_given(
    address, headers, allowed, expected
):
    assert await status(serve_mcp(add, allowed_hosts=allowed), address, headers) == expected


async def test_who_runs_the_server_may_decide_otherwise():
    server = serve_mcp(add, allowed_hosts=["mcp.example.org"])
    evil = {"Host": "evil.example", "Origin": "http://evil.example"}
    assert await status(server, OWN, evil, host_origin_protection=False) == 200
    assert await status(server, OWN, {"Host": "other.example"}, allowed_hosts=["other.example"]) == 200
    assert await status(server, OWN, {"Host": "mcp.example.org"}, allowed_hosts=["other.example"]) == 421
    other = {"Host": "mcp.example.org", "Origin": "https://app.example"}
    assert await status(server, OWN, other, allowed_origins=["https://app.example"]) == 200
