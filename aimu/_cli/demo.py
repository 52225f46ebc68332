"""The demo: agents with tools on the embedded model, without a key or the network.

The weights are loaded once. Then each backend runs one agent over several tasks, streamed, and four agents at once. The
model answers one request at a time, first come, first served.
"""

from __future__ import annotations

import random
import re
import sys
import time
from importlib.util import find_spec
from typing import Any

import anyio

import aimu
from aimu import aio
from aimu._cli.safe import has_colour, line_of, shown
from aimu.aio import StreamingContentType
from aimu.testing import ScriptedProvider, Step
from aimu.tools import tool

DIM, BOLD, CYAN, RESET = ("\033[2m", "\033[1m", "\033[36m", "\033[0m") if has_colour(sys.stdout) else ("",) * 4


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@tool
async def get_weather(city: str) -> str:
    """Get the weather in a city."""
    await anyio.sleep(0.05)  # a slow service
    return f"{random.choice(['sunny', 'rainy', 'windy'])}, {random.randint(0, 30)} C"


async def show(agent: aio.Agent, question: str) -> None:
    """Run a task and print the chunks of every phase as they come."""
    print(f"{BOLD}? {question}{RESET}")
    phase = None
    async with await agent.run(question, stream=True) as stream:
        async for chunk in stream:
            if chunk.phase is StreamingContentType.DONE:
                break
            if chunk.is_tool_call():
                call = chunk.content
                text = f"-> {call['response']}" if "response" in call else f"{call['name']}({call['arguments']})"
                text = line_of(text)
            else:
                text = shown(chunk.content.replace("\n", " "))
            if chunk.phase is not phase or chunk.is_tool_call():
                print(f"{'' if phase is None else chr(10)}{DIM}{chunk.phase:>14} |{RESET} ", end="")
            phase = chunk.phase
            print(f"{CYAN}{text}{RESET}" if chunk.is_tool_call() else text, end="", flush=True)
    print()


async def crowd(client: aio.AsyncModelClient) -> None:
    """Run four agents at once on one model."""

    async def one(name: str) -> None:
        a, b = random.randint(10, 99), random.randint(10, 99)
        agent = aio.Agent(client, "You are a helpful assistant.", name=name, tools=[add, get_weather])
        answer = await agent.run(f"What is {a} plus {b}?")
        print(f"{DIM}{name:>14} |{RESET} {a} + {b}: {line_of(answer)}")
        assert answer == f"The answer is {a + b}.", answer

    print(f"{BOLD}? four agents at once{RESET}")
    async with anyio.create_task_group() as group:
        for name in ("ada", "barbara", "grace", "hedy"):
            group.start_soon(one, name)


async def main(sync_client: aimu.ModelClient, backend: str, seed: int) -> None:
    random.seed(f"{seed} {backend}")  # the weather, too
    print(f"\n{BOLD}== {backend} =={RESET}")
    client = aio.client(sync_client)
    agent = aio.Agent(client, "You are a careful agent. Use tools.", name="clerk", tools=[add, get_weather])
    a, b = random.randint(100, 999), random.randint(10, 99)
    for question in (f"What is {a} plus {b}?", "What is the weather in Oslo and Lima?", "Is 7 a prime number?"):
        await show(agent, question)
    await crowd(client)


def scripted(request: Any) -> Step:
    """Answer as the embedded model would, for machines on which no engine can be installed."""
    question = next(message["content"] for message in reversed(request.messages) if message["role"] == "user")
    numbers = [int(number) for number in re.findall(r"\d+", question)]
    if request.messages[-1]["role"] == "tool":
        results = [message["content"] for message in request.messages if message["role"] == "tool"]
        return Step(f"The answer is {results[-1]}." if "plus" in question else "; ".join(results[-2:]) + ".")
    if "plus" in question:
        return Step(thinking="I will add.", calls=[("add", {"a": numbers[0], "b": numbers[1]})])
    if "weather" in question:
        return Step(calls=[("get_weather", {"city": "Oslo"}), ("get_weather", {"city": "Lima"})])
    return Step("Yes.", thinking="7 has no divisor but 1 and itself.")


def demo(model: str, *, seed: int, scripted_answers: bool) -> None:
    """Run the demo on asyncio, then on trio if it is installed.

    Args:
        model: A model string.
        seed: What the numbers in the tasks and the weather are made from.
        scripted_answers: Whether scripted answers replace the model.
    """
    began = time.perf_counter()
    with aimu.client(ScriptedProvider(scripted, repeat=True) if scripted_answers else model) as weights:
        print(f"{weights!r}, loaded in {time.perf_counter() - began:.1f} s; seed {seed}", flush=True)
        for backend in ("asyncio", "trio"):
            if find_spec(backend) is None:
                print(f"\n{backend} is not installed; `pip install {backend}` runs the demo on it, too")
            else:
                anyio.run(main, weights, backend, seed, backend=backend)
