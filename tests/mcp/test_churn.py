"""Connects and closes clients while servers are killed: only expected outcomes, and nothing is left.

`AIMU_MCP_CHURN` is the number of connections that each backend makes (default 40; the nox session `servers` makes 200).
"""

import os
import random
import signal
from collections import Counter
from contextlib import suppress

import anyio
import pytest
from anyio.abc import TaskStatus

from aimu import aio
from aimu.errors import MCPConnectionError, MCPTimeoutError
from aimu.testing import leak_check
from tests.mcp.conftest import tiny

ROUNDS = int(os.environ.get("AIMU_MCP_CHURN", "40"))
TOGETHER = 4
DEADLINE = 10.0  # seconds for one connection, whatever is killed


async def one_life(chance, outcomes):
    """Connect in either way, call some tools, close; half of the time, be cancelled at a random moment."""
    config = {
        "a": tiny()["mcpServers"]["tiny"],
        **({"b": tiny()["mcpServers"]["tiny"]} if chance.random() < 0.2 else {}),
    }
    options = {"config": config, "timeout": 5, "reconnect": chance.random() < 0.5}
    prefix = "a_" if "b" in config else ""
    cut = chance.uniform(0, 0.1) if chance.random() < 0.5 else None

    async def calls(client):
        for _ in range(3):
            assert await client.call_tool(f"{prefix}echo", {"text": "hi"}) == "hi"
        with suppress(MCPTimeoutError):
            await client.call_tool(f"{prefix}hang", timeout=chance.uniform(0, 0.05))

    try:
        with anyio.fail_after(DEADLINE), anyio.move_on_after(cut) as scope:
            if chance.random() < 0.5:
                async with aio.MCPClient(**options) as client:
                    await calls(client)
            else:
                client = await aio.MCPClient.connect(**options)
                try:
                    await calls(client)
                finally:
                    await client.aclose()
        outcomes["cancelled" if scope.cancelled_caught else "answered"] += 1
    except (MCPConnectionError, MCPTimeoutError) as exc:
        outcomes[type(exc).__name__] += 1


async def kill_at_random(chance, children, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED):
    task_status.started()
    while True:
        await anyio.sleep(chance.uniform(0, 0.2))
        if victims := children():
            with suppress(ProcessLookupError):
                os.kill(chance.choice(victims).pid, signal.SIGKILL)


@pytest.mark.parametrize("seed", [7])
async def test_connecting_and_closing_under_cancellations_and_kills_leaves_nothing(seed, children):
    chance = random.Random(seed)
    outcomes = Counter()
    async with aio.MCPClient(config=tiny()) as client:  # opens what stays open before the leak check counts
        await client.call_tool("pid")
    async with leak_check():
        lives = iter(range(ROUNDS))

        async def live():
            for _ in lives:
                await one_life(chance, outcomes)

        async with anyio.create_task_group() as killing:
            await killing.start(kill_at_random, chance, children)
            async with anyio.create_task_group() as living:
                for _ in range(TOGETHER):
                    living.start_soon(live)
            killing.cancel_scope.cancel()
    print(dict(outcomes))
    assert outcomes.total() == ROUNDS
    assert outcomes["answered"] >= ROUNDS / 10
    assert outcomes["cancelled"] >= ROUNDS / 10
