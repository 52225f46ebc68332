"""The works that every side does, and how they are measured; answers are checked. Imports no library that is a side."""

from __future__ import annotations

import resource
import sys
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol, TypeAlias

import anyio

from benchmarks.harness.clock import Clock
from tests.loopback import loopback_server

DELTAS = 250
MODEL = str(DELTAS)  # the server streams as many deltas as the model's name says
SCHEMA: dict[str, Any] = {  # of the tool `double`, for libraries that take it as JSON
    "type": "function",
    "function": {
        "name": "double",
        "description": "Double a number.",
        "parameters": {"type": "object", "properties": {"number": {"type": "integer"}}, "required": ["number"]},
    },
}


Function: TypeAlias = Callable[[], Any]
Ask: TypeAlias = Callable[[str], Awaitable[str]]


@dataclass(frozen=True)
class Work:
    """One after the other: the path at the server, the method of a side, and how many calls of how many parts."""

    name: str
    path: str
    method: str
    count: int
    parts: int = 1

    @property
    def operation(self) -> str:
        return "delta" if self.parts > 1 else "call"


WORKS = (
    Work("one-shot chat", "ok", "chat", 100),
    Work("agent, one tool call", "ok", "agent", 50),
    Work("agent, eight tool calls", "8calls", "agent", 25),
    Work("delta", "ok", "stream", 8, DELTAS),
    Work("delta every 2 ms", "2ms", "stream", 1, DELTAS),
)


class Side(Protocol):
    """One library: a client of the server at a URL."""

    def __init__(self, url: str) -> None: ...

    async def chat(self, number: int) -> str:
        """Ask once, without tools; the answer is the question."""

    async def agent(self, number: int) -> str:
        """Make an agent with the tool `double` and run it; the answer is what the tool returned last."""

    async def stream(self, number: int) -> str:
        """Read a stream of `DELTAS` deltas and return its text."""

    def idle(self) -> object:
        """Make an agent that has not run; a library without agents leaves this method out."""

    def conversation(self, *tools: Function) -> Ask:
        """Make an agent with these tools that remembers, for `benchmarks.tried`; a library without agents has none."""

    async def aclose(self) -> None: ...


def _answer(work: str, number: int) -> str:
    return {"chat": str(number), "agent": str(2 * number)}.get(work, " word" * DELTAS)


async def one_by_one(side: Side, work: str, count: int) -> None:
    ask: Callable[[int], Awaitable[str]] = getattr(side, work)
    for number in range(count):
        answer = await ask(number)
        assert answer == _answer(work, number), f"{work} {number} answered {answer!r}"


async def at_once(side: Side, work: str, count: int) -> None:
    """Start all together."""
    ask: Callable[[int], Awaitable[str]] = getattr(side, work)
    right = 0

    async def one(number: int) -> None:
        nonlocal right
        try:
            answer = await ask(number)
        except Exception as error:  # a library that loses agents is told how many
            print(f"agent {number}: {error!r}", file=sys.stderr)
        else:
            right += answer == _answer(work, number)

    async with anyio.create_task_group() as group:
        for number in range(count):
            group.start_soon(one, number)
    assert right == count, f"{right} of {count} agents gave the right answer"


async def sequence(clock: Clock, make: type[Side], url: str, work: str, count: int, parts: int = 1) -> None:
    """Measure calls one after the other, each of several parts, after two that do not count."""
    side = make(url)
    await one_by_one(side, work, 2)
    with clock.over(count * parts):
        await one_by_one(side, work, count)
    await side.aclose()


async def crowd(clock: Clock, make: type[Side], url: str, count: int, memory: bool = False) -> None:
    """Measure agents that run at once, after a few that do not count."""
    side = make(url)
    await at_once(side, "agent", min(count, 20))
    with clock.over(count, memory=memory):
        await at_once(side, "agent", count)
    await side.aclose()


async def idle(clock: Clock, make: type[Side], url: str, count: int) -> None:
    """Measure the memory of agents that exist and do nothing."""
    side = make(url)
    await one_by_one(side, "agent", 2)
    kept: list[Any] = [side.idle()]
    with clock.over(count, memory=True):
        kept += [side.idle() for _ in range(count)]
    await side.aclose()


def load(name: str) -> type[Side]:
    """Import the side of that name."""
    side: type[Side] = import_module(f"benchmarks.sides.{name}").Side
    return side


def server() -> AbstractContextManager[str]:
    """The loopback server in a process of its own: a context manager that gives its address."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # each connection is an open file, here and in the server
    return loopback_server()
