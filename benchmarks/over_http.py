"""Compares model requests over HTTP with plain use of the openai SDK: CPU time of the client, memory per agent.

    python benchmarks/over_http.py              # asyncio, the backend of the published ratios
    python benchmarks/over_http.py --backend trio

One loopback server in its own process answers both sides, which take turns; the results are medians. The plain side is
`AsyncOpenAI.chat.completions.create` in an agent loop written by hand, with the same timeouts and connection limits.
Memory is the growth of the peak resident size over a warm process; each side has its own process.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import median
from typing import Any

import anyio
import openai

from aimu import aio
from aimu.errors import AimuError
from aimu.models import ModelSpec
from aimu.providers import make_provider
from aimu.providers._lanes import timeouts
from aimu.tools import tool

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.loopback import loopback_server

DELTAS = 500
MODEL = str(DELTAS)
SCHEMA = {
    "type": "function",
    "function": {
        "name": "double",
        "description": "Double a number.",
        "parameters": {"type": "object", "properties": {"number": {"type": "integer"}}, "required": ["number"]},
    },
}


@tool
async def double(number: int) -> str:
    """Double a number."""
    return str(2 * number)


class Plain:
    """The openai SDK as its documentation uses it."""

    def __init__(self, url: str) -> None:
        http = openai.DefaultAsyncHttpxClient(timeout=timeouts())
        self.sdk = openai.AsyncOpenAI(api_key="k", base_url=url, http_client=http, timeout=timeouts(), max_retries=5)

    async def chat(self, number: int) -> str:
        messages: list[Any] = [{"role": "user", "content": str(number)}]
        return (await self.sdk.chat.completions.create(model=MODEL, messages=messages)).choices[0].message.content or ""

    async def agent(self, number: int) -> str:
        messages: list[Any] = [{"role": "user", "content": str(number)}]
        tools: list[Any] = [SCHEMA]
        while True:
            reply = await self.sdk.chat.completions.create(model=MODEL, messages=messages, tools=tools)
            message = reply.choices[0].message
            if not message.tool_calls:
                return message.content or ""
            messages.append(message)
            for call in message.tool_calls:
                result = await double(**json.loads(call.function.arguments))
                messages.append({"role": "tool", "tool_call_id": call.id, "content": result})

    async def pulled(self, number: int) -> str:
        messages: list[Any] = [{"role": "user", "content": str(number)}]
        text = ""
        async with await self.sdk.chat.completions.create(
            model=MODEL, messages=messages, stream=True, stream_options={"include_usage": True}
        ) as stream:
            async for chunk in stream:
                if chunk.choices:
                    text += chunk.choices[0].delta.content or ""
        return text

    entered = pulled

    async def aclose(self) -> None:
        await self.sdk.close()


class Ours:
    def __init__(self, url: str) -> None:
        self.client = aio.client(make_provider(ModelSpec(MODEL, "openai"), base_url=url, api_key="k"), max_retries=5)

    async def chat(self, number: int) -> str:
        return await self.client.generate(str(number))

    async def agent(self, number: int) -> str:
        return await aio.Agent(self.client, tools=[double]).run(str(number))

    async def pulled(self, number: int) -> str:
        text = ""
        async for chunk in self.client.generate(str(number), stream=True):
            if chunk.is_text():
                text += chunk.content
        return text

    async def entered(self, number: int) -> str:
        text = ""
        async with self.client.generate(str(number), stream=True) as stream:
            async for chunk in stream:
                if chunk.is_text():
                    text += chunk.content
        return text

    async def aclose(self) -> None:
        await self.client.aclose()


Side = type[Plain] | type[Ours]
SIDES: dict[str, Side] = {"sdk": Plain, "aimu": Ours}


async def one_by_one(ask: Callable[[int], Awaitable[str]], count: int) -> None:
    for number in range(count):
        await ask(number)


async def at_once(ask: Callable[[int], Awaitable[str]], count: int) -> int:
    """Start `count` agents together; return how many give the right answer."""
    right = 0

    async def one(number: int) -> None:
        nonlocal right
        try:
            answer = await ask(number)
            right += answer == str(2 * number)
        except (openai.OpenAIError, AimuError) as exc:
            print(f"agent {number}: {exc!r}")

    async with anyio.create_task_group() as group:
        for number in range(count):
            group.start_soon(one, number)
    return right


async def cost(side: Side, url: str, work: str, together: bool, count: int) -> float:
    """Return the CPU seconds of one operation, after a few that do not count."""
    client = side(url)
    ask = getattr(client, work)
    await one_by_one(ask, 2)
    gc.collect()
    begun = time.process_time()
    if together:
        assert await at_once(ask, count) == count, "not every agent gave the right answer"
    else:
        await one_by_one(ask, count)
    spent = time.process_time() - begun
    await client.aclose()
    return spent / count


# Name, path, method, whether all run at once, calls in a round, operations in a call, target ratio.
ROWS = [
    ("one-shot chat", "ok", "chat", False, 100, 1, "0.55"),
    ("agent with one tool", "ok", "agent", False, 50, 1, "0.50"),
    ("streamed delta, pulled", "ok", "pulled", False, 8, DELTAS, "0.13"),
    ("streamed delta, entered", "ok", "entered", False, 8, DELTAS, "0.13"),
    ("one delta a ms, pulled", "paced", "pulled", False, 1, DELTAS, "-"),
    ("one delta a ms, entered", "paced", "entered", False, 1, DELTAS, "-"),
    ("200 agents at once", "ok", "agent", True, 200, 1, "0.70"),
]


def compare(address: str, backend: str, rounds: int) -> None:
    print(f"{'us of CPU (' + backend + ')':28}{'sdk':>9}{'aimu':>9}{'ratio':>8}{'target':>8}")
    for name, path, work, together, count, parts, target in ROWS:
        url = f"{address}/{path}/v1"
        seen: dict[str, list[float]] = {side: [] for side in SIDES}
        for _ in range(rounds):
            for side, make in SIDES.items():
                took = anyio.run(cost, make, url, work, together, count, backend=backend)
                seen[side].append(took / parts * 1e6)
        sdk, aimu = median(seen["sdk"]), median(seen["aimu"])
        ratio = median(b / a for a, b in zip(seen["sdk"], seen["aimu"], strict=True))
        print(f"{name:28}{sdk:9.0f}{aimu:9.0f}{ratio:8.2f}{target:>8}", flush=True)


def count_peak_from_here() -> None:
    Path("/proc/self/clear_refs").write_text("5")  # proc_pid_clear_refs(5)


def resident(field: str) -> int:
    """Return a size of this process in KiB: VmRSS is the current one, VmHWM the peak. See proc_pid_status(5)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field))


async def crowd(side: Side, url: str, agents: int) -> str:
    """Run many agents at once; report how many answered correctly, and the memory and CPU time of each."""
    client = side(url)
    await at_once(client.agent, 20)
    gc.collect()
    count_peak_from_here()
    before, begun = resident("VmRSS"), time.process_time()
    right = await at_once(client.agent, agents)
    spent, grown = time.process_time() - begun, resident("VmHWM") - before
    await client.aclose()
    return f"{right:6} right {grown / agents:8.1f} KiB and {spent / agents * 1e3:6.2f} ms of CPU each"


def crowds(address: str, backend: str, agents: int) -> None:
    """Run both sides in their own processes, without faults and with one request in twenty failing."""
    for faults in ("ok", "5"):
        print(f"{agents} agents at once, {'no' if faults == 'ok' else '5 %'} faults:", flush=True)
        for side in SIDES:
            command = [sys.executable, __file__, "--backend", backend, "--agents", str(agents)]
            subprocess.run([*command, "--crowd", side, f"{address}/{faults}/v1"], check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--agents", type=int, default=1000, help="number of agents in the measurement of memory")
    parser.add_argument("--backend", default="asyncio", choices=["asyncio", "trio"])
    parser.add_argument("--crowd", nargs=2, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.crowd:
        side, url = chosen.crowd
        print(f"  {side:6}{anyio.run(crowd, SIDES[side], url, chosen.agents, backend=chosen.backend)}")
        return
    with loopback_server() as address:
        compare(address, chosen.backend, chosen.rounds)
        crowds(address, chosen.backend, chosen.agents)
    print("load of this machine, 1 and 5 minutes: {:.1f} {:.1f}".format(*os.getloadavg()))


if __name__ == "__main__":
    main()
