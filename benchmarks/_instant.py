"""A model that answers at once and keeps nothing, so that what a program measures is the library."""

from __future__ import annotations

from collections.abc import AsyncIterator

import anyio.lowlevel

from aimu.models import ModelSpec
from aimu.providers import Request
from aimu.tools import tool
from aimu.types import Delta, Reply, StopReason, StreamingContentType, ToolCall


@tool
async def double(number: int) -> str:
    """Double a number."""
    return str(2 * number)


class Instant:
    """Calls the first tool once, with the arguments `arguments`, then repeats the last message.

    A stream has `deltas` deltas.
    """

    spec = ModelSpec("instant", "benchmarks", tools=True)

    def __init__(self, arguments: str = '{"number": 21}', deltas: int = 1) -> None:
        self.arguments = arguments
        self.deltas = deltas

    async def complete(self, request: Request) -> Reply:
        await anyio.lowlevel.checkpoint()
        last = request.messages[-1]
        if request.tools and last["role"] != "tool":
            call = ToolCall("call_1", request.tools[0]["function"]["name"], self.arguments)
            return Reply(calls=(call,), stop_reason=StopReason.TOOL_CALLS)
        return Reply(text=str(last["content"]))

    async def stream(self, request: Request) -> AsyncIterator[Delta | Reply]:
        reply = await self.complete(request)
        if reply.calls:
            yield reply
            return
        for _ in range(self.deltas):
            yield Delta(StreamingContentType.GENERATING, "word ")
        yield Reply(text="word " * self.deltas)

    async def aclose(self) -> None:
        """Nothing is open."""
