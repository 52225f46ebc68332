"""mirascope, with its loop of tool calls as its documentation writes it."""

from __future__ import annotations

import itertools
from typing import Any

from mirascope import llm

from benchmarks.sides.works import MODEL, Ask, Function

DISTRIBUTION = "mirascope"
IMPORT = "from mirascope import llm"
NUMBERS = itertools.count()


@llm.tool
async def double(number: int) -> str:
    """Double a number."""
    return str(2 * number)


class Side:
    def __init__(self, url: str) -> None:
        # It keeps a client for each key, and a client belongs to one event loop.
        llm.register_provider("openai:completions", scope="openai/", base_url=url, api_key=f"k{next(NUMBERS)}")
        self.model = llm.Model(f"openai/{MODEL}:completions")

    async def chat(self, number: int) -> str:
        return (await self.model.call_async(str(number))).text()

    async def agent(self, number: int) -> str:
        response = await self.model.call_async(str(number), tools=[double])
        while response.tool_calls:
            response = await response.resume(await response.execute_tools())
        return response.text()

    async def stream(self, number: int) -> str:
        response = await self.model.stream_async(str(number))
        return "".join([text async for text in response.text_stream(sep="")])

    def conversation(self, *tools: Function) -> Ask:
        known, last = [llm.tool(each) for each in tools], list[Any]()

        async def ask(task: str) -> str:
            last[:] = [await (last[0].resume(task) if last else self.model.call_async(task, tools=known))]
            while last[0].tool_calls:
                last[:] = [await last[0].resume(await last[0].execute_tools())]
            return str(last[0].text())

        return ask

    async def aclose(self) -> None:
        """It has nothing to close."""
