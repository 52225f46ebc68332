"""A demo that needs neither a key nor the network: agents with tools on the model that comes with aimu.

    python docs/demo.py             # on asyncio, then on trio
    python docs/demo.py --seed 7    # the same numbers and the same weather again
    python docs/demo.py --scripted  # without weights: scripted answers replace the model

The weights are loaded once. Then each backend runs one agent over several tasks, streamed, and four agents at once. The
model answers one request at a time, first come, first served.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import sys
import time
from typing import Any

import anyio

import aimu
from aimu import aio
from aimu.aio import StreamingContentType
from aimu.testing import ScriptedProvider, Step, tiny_model
from aimu.tools import tool

COLOURED = sys.stdout.isatty() or bool(os.environ.get("FORCE_COLOR"))
DIM, BOLD, CYAN, RESET = ("\033[2m", "\033[1m", "\033[36m", "\033[0m") if COLOURED else ("",) * 4


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
            else:
                text = chunk.content.replace("\n", " ")
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
        print(f"{DIM}{name:>14} |{RESET} {a} + {b}: {answer}")
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


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=random.randrange(1000))
    parser.add_argument("--model", default=f"hf:{tiny_model()}", help="a model string; default: the embedded model")
    parser.add_argument("--scripted", action="store_true", help="no weights: scripted answers replace the model")
    options = parser.parse_args()
    began = time.perf_counter()
    with aimu.client(ScriptedProvider(scripted, repeat=True) if options.scripted else options.model) as weights:
        print(f"{weights!r}, loaded in {time.perf_counter() - began:.1f} s; seed {options.seed}")
        for backend in ("asyncio", "trio"):
            anyio.run(main, weights, backend, options.seed, backend=backend)
