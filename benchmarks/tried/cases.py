"""The cases, and what one library does in each; their docstrings are the heads of the table.

    python -m benchmarks.tried.cases NAME CASE ADDRESS     # prints the outcome

It runs in an environment that has little but the library. Each case has a process of its own, because some libraries
keep things that belong to an event loop. A library without agents, that is without `Side.conversation`, leaves out the
cases about tools.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import urllib.request
from collections.abc import Awaitable, Callable
from importlib import import_module
from importlib.metadata import version
from typing import Any, TypeAlias

import anyio

from benchmarks.sides import works
from benchmarks.tried.server import PART, USE, WHOLE

LIMIT = 20.0  # s for each case
RESULT = "result of the quick tool"
NONE = "keeps no history"

Make: TypeAlias = Callable[[str], Any]
Case: TypeAlias = Callable[[Make, str], Awaitable[str]]


async def on_trio(make: Make, address: str) -> str:
    """on trio"""
    side = make(f"{address}/ok/v1")
    if hasattr(side, "conversation"):
        await side.conversation(quick)(USE)
    else:
        await side.chat("Hello.")
    return "yes"


async def cut_off(make: Make, address: str) -> str:
    """a stream that is cut off is"""
    try:
        text = await make(f"{address}/cut/v1").stream("Hello.")
    except Exception:
        return "an error"
    assert text == PART, text
    return "an answer"


async def redirected(make: Make, address: str) -> str:
    """a redirect to another host gets"""
    _seen(address)
    try:
        await make(f"{address}/moved/v1").chat("Hello.")
    except Exception as error:
        failure: Exception | None = error
    else:
        failure = None
    there = [request for request in _seen(address) if request["host"].startswith("localhost")]
    if there:
        return "conversation and key" if there[0]["key"] else "the conversation"
    assert failure is not None
    return "nothing"


async def cancelled(make: Make, address: str) -> str:
    """after a cancellation in the second of two tools, the next turn"""
    started = anyio.Event()

    async def slow() -> str:
        """Take an hour."""
        started.set()
        await anyio.sleep(3600)
        return "late"

    side = make(f"{address}/ok/v1")
    if not hasattr(side, "conversation"):
        return NONE
    ask = side.conversation(quick, slow)
    await _stopped(ask, started.wait)
    return await _next_turn(ask, address)


async def failed(make: Make, address: str) -> str:
    """if a tool raises"""

    async def fails() -> str:
        """Fail."""
        raise ValueError("the tool failed")

    side = make(f"{address}/ok/v1")
    if not hasattr(side, "conversation"):
        return NONE
    ask = side.conversation(fails)
    try:
        await ask(USE)
    except Exception:
        ended = "the run ends"
    else:
        ended = "the model reads it"
    after = await _next_turn(ask, address)
    return f"{ended}; the next turn {after}" if after == "is refused" else ended


async def in_a_thread(make: Make, address: str) -> str:
    """cancelled in a sync tool, a run ends"""
    started, go_on, ended = threading.Event(), threading.Event(), threading.Event()

    def blocks() -> str:
        """Block."""
        started.set()
        go_on.wait(LIMIT)
        ended.set()
        return "unblocked"

    side = make(f"{address}/ok/v1")
    if not hasattr(side, "conversation"):
        return NONE

    async def begun() -> None:
        await anyio.to_thread.run_sync(started.wait, LIMIT)
        timer = threading.Timer(0.5, go_on.set)
        timer.daemon = True
        timer.start()

    timer = threading.Timer(LIMIT / 2, go_on.set)  # for tools that run in the event loop
    timer.daemon = True
    timer.start()
    try:
        await _stopped(side.conversation(blocks), begun)
    except ExceptionGroup as error:
        if error.split(TypeError)[1] is not None:
            raise
        print(f"{type(side).__module__} awaits what a sync tool returns: {error!r}", file=sys.stderr)
        return "only async tools"
    if ended.is_set():
        return "with its tool"
    go_on.set()
    return "before its tool"


CASES: dict[str, Case] = {
    case.__name__: case for case in (on_trio, cut_off, redirected, cancelled, failed, in_a_thread)
}


async def quick() -> str:
    """End at once."""
    return RESULT


async def _stopped(ask: Callable[[str], Awaitable[str]], begun: Callable[[], Awaitable[Any]]) -> None:
    """Run a task and cancel it a moment after `begun` has returned."""

    async def stop() -> None:
        await begun()
        await anyio.sleep(0.2)
        scope.cancel()

    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as group:
            group.start_soon(stop)
            await ask(USE)
            raise AssertionError("the run was not cancelled")


async def _next_turn(ask: Callable[[str], Awaitable[str]], address: str) -> str:
    _seen(address)
    try:
        answer = await ask("And now?")
    except Exception:
        assert any("And now?" in json.dumps(request["messages"]) for request in _seen(address))
        return "is refused"
    assert answer == WHOLE, answer
    return "has the result" if RESULT in json.dumps(_seen(address)[-1]["messages"]) else "has lost the result"


def _seen(address: str) -> list[dict[str, Any]]:
    """Take the requests that the server has had since the last time."""
    with urllib.request.urlopen(f"{address}/seen") as response:
        found: list[dict[str, Any]] = json.load(response)
    return found


def label(name: str) -> str:
    """Return the library's name, and its version if it has one."""
    distribution = getattr(import_module(f"benchmarks.sides.{name}"), "DISTRIBUTION", None)
    return f"{distribution} {version(distribution)}" if distribution else name


def main(name: str, case: str, address: str) -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the library prints goes to standard error
    outcome = label(name) if case == "label" else _tried(name, CASES[case], address)
    print(outcome, file=answers, flush=True)
    os._exit(0)  # without waiting for threads that a library has left


def _tried(name: str, case: Case, address: str) -> str:
    make = works.load(name)

    async def limited() -> str:
        with anyio.fail_after(LIMIT):
            return await case(make, address)

    try:
        return anyio.run(limited, backend="trio" if case is on_trio else "asyncio")
    except BaseException as error:  # under trio, a library that needs asyncio may raise anything
        if case is not on_trio:
            raise
        print(f"{name} on trio: {error!r}", file=sys.stderr)
        return "no"


if __name__ == "__main__":
    main(*sys.argv[1:])
