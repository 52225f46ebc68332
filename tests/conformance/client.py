"""A client for the conformance suite of MCP, in one of the four forms of `MCPClient`.

    python -m tests.conformance.client FORM URL

FORM is `asyncio`, `trio`, `thread` (connected without a block) or `sync`. The suite names the scenario, the protocol
and more in environment variables: https://github.com/modelcontextprotocol/conformance, README, read on 2026-11-26.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from inspect import isawaitable
from typing import Any, Protocol

import anyio

from aimu import aio
from aimu.errors import AimuError
from aimu.tools import MCPClient
from aimu.types import Elicitation

SCENARIO = os.environ.get("MCP_CONFORMANCE_SCENARIO", "")
REVISION = os.environ.get("MCP_CONFORMANCE_PROTOCOL_VERSION", "2025-11-25")
CONTEXT = json.loads(os.environ.get("MCP_CONFORMANCE_CONTEXT") or "{}")
READS = ("http-standard-headers",)  # the scenarios that want resources and prompts read
VALUES = {"integer": 3, "number": 3.5, "boolean": True, "string": "text", "array": [], "object": {}}


class Asks(Protocol):
    """Calls a method of the client; returns an empty result if it raises an error of the library."""

    async def __call__(self, method: str, *arguments: Any) -> Any: ...


async def act(ask: Asks) -> None:
    """Do what a scenario wants of a client."""
    schemas = {tool["function"]["name"]: tool["function"]["parameters"] for tool in await ask("get_tools")}
    for name, arguments in calls(schemas):
        await ask("call_tool", name, arguments)
    if SCENARIO in READS:
        for resource in await ask("resources"):
            await ask("read", resource.uri)
        for prompt in await ask("prompts"):
            await ask("get_prompt", prompt.name, dict.fromkeys(prompt.required, "text"))


def asking(client: aio.MCPClient | MCPClient) -> Asks:
    """Return what calls a client; with a sync one it never waits for an event loop."""

    async def ask(method: str, *arguments: Any) -> Any:
        try:
            result = getattr(client, method)(*arguments)
            return await result if isawaitable(result) else result
        except AimuError as exc:  # a scenario may want it
            print(type(exc).__name__, exc)
            return ()

    return ask


def calls(schemas: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the calls that the suite names, or one of each tool."""
    if "toolCalls" in CONTEXT:
        yield from ((call["name"], call["arguments"]) for call in CONTEXT["toolCalls"])
    elif SCENARIO == "json-schema-2020-12-preservation":
        (echo,) = (name for name, schema in schemas.items() if "schema" in schema["properties"])
        (rich,) = (schema for name, schema in schemas.items() if name != echo)
        yield echo, {"schema": rich}
    else:
        for name, schema in schemas.items():
            wanted = schema.get("required") or ()
            yield name, {key: VALUES.get(schema["properties"][key].get("type"), "text") for key in wanted}


def defaults(question: Elicitation) -> dict[str, Any]:
    """Answer a question with the defaults of its form."""
    fields = (question.schema or {}).get("properties", {})
    return {name: field["default"] for name, field in fields.items() if "default" in field}


def options(url: str) -> dict[str, Any]:
    protocol = "auto" if REVISION >= "2026" else "legacy"
    return {"config": {"suite": {"type": "http", "url": url}}, "protocol": protocol, "elicit": defaults, "timeout": 20}


async def run(url: str, block: bool) -> None:
    if block:
        async with aio.MCPClient(**options(url)) as client:
            await act(asking(client))
        return
    client = await aio.MCPClient.connect(**options(url))
    try:
        await act(asking(client))
    finally:
        await client.aclose()


def main(form: str, url: str) -> None:
    if form == "sync":
        with MCPClient(**options(url)) as client, suppress(StopIteration):
            act(asking(client)).send(None)
    else:
        anyio.run(run, url, form != "thread", backend="trio" if form == "trio" else "asyncio")


if __name__ == "__main__":
    main(*sys.argv[1:])
