"""aimu."""

from __future__ import annotations

from aimu import aio
from aimu.models import ModelSpec
from aimu.providers import make_provider
from aimu.tools import tool
from benchmarks.sides.works import MODEL, Ask, Function

IMPORT = "from aimu.aio import Agent, client"


@tool
async def double(number: int) -> str:
    """Double a number."""
    return str(2 * number)


class Side:
    def __init__(self, url: str) -> None:
        self.client = aio.client(make_provider(ModelSpec(MODEL, "openai"), base_url=url, api_key="k"), max_retries=5)

    async def chat(self, number: int) -> str:
        return await self.client.generate(str(number))

    async def agent(self, number: int) -> str:
        return await self.idle().run(str(number))

    async def stream(self, number: int) -> str:
        pieces = [chunk.content async for chunk in self.client.generate(str(number), stream=True) if chunk.is_text()]
        return "".join(pieces)

    async def entered(self, number: int) -> str:
        async with self.client.generate(str(number), stream=True) as stream:
            return "".join([chunk.content async for chunk in stream if chunk.is_text()])

    def idle(self) -> aio.Agent:
        return aio.Agent(self.client, tools=[double])

    def conversation(self, *tools: Function) -> Ask:
        return aio.Agent(self.client, tools=tools).run

    async def aclose(self) -> None:
        await self.client.aclose()
