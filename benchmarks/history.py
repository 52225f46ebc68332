"""A turn at the end of a long history: the cost for each message that is sent, compared with writing the JSON once.

The library should look at each message at most once for each request: then the curves are flat.
"""

from __future__ import annotations

import json
from functools import partial
from typing import Any

from aimu import aio
from benchmarks._instant import Instant
from benchmarks.harness import Bench, Clock
from benchmarks.sides import aimu, openai
from benchmarks.sides.works import MODEL, server

SECONDS = (60, 15)
TURNS = 4
TEXT = "Twenty words or so, since a message of a conversation is seldom long, and seldom as short as this one is. "


def history(length: int) -> list[dict[str, Any]]:
    """Make a history in which every second turn called a tool."""
    messages: list[dict[str, Any]] = []
    while len(messages) < length:
        number = f"call_{len(messages)}"
        call = {"id": number, "type": "function", "function": {"name": "double", "arguments": '{"number": 21}'}}
        messages += [
            {"role": "user", "content": TEXT},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": number, "content": "42"},
            {"role": "assistant", "content": TEXT},
        ]
    return messages[: length - length % 4]


def as_json(clock: Clock, length: int) -> None:
    messages = history(length)
    with clock.over(TURNS * length):
        for _ in range(TURNS):
            json.dumps(messages)


async def turns(clock: Clock, length: int, client: aio.AsyncBaseModelClient) -> None:
    await client.chat("first")
    client.messages = history(length)
    with clock.over(TURNS * length):
        for _ in range(TURNS):
            assert await client.chat("x") == "x"
    await client.aclose()


async def in_process(clock: Clock, length: int) -> None:
    await turns(clock, length, aio.client(Instant()))


async def over_http(clock: Clock, length: int, url: str) -> None:
    await turns(clock, length, aimu.Side(url).client)


async def by_the_sdk(clock: Clock, length: int, url: str) -> None:
    side = openai.Side(url)
    await side.chat(1)
    messages = [*history(length), {"role": "user", "content": "x"}]
    with clock.over(TURNS * length):
        for _ in range(TURNS):
            reply = await side.sdk.chat.completions.create(model=MODEL, messages=messages)
            assert reply.choices[0].message.content == "x"
    await side.aclose()


def measure(bench: Bench) -> None:
    sizes = bench.pick(full=[12, 100, 1_000, 10_000], quick=[12, 100, 1_000])
    with server() as address:
        ways = {
            "json.dumps": as_json,
            "aimu, model in this process": in_process,
            "aimu, over HTTP": partial(over_http, url=f"{address}/ok/v1"),
            "openai SDK": partial(by_the_sdk, url=f"{address}/ok/v1"),
        }
        bench.grow("turn", sizes, ways, along="messages in the history", against="json.dumps", operation="message")
