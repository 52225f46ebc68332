"""pydantic-ai."""

from __future__ import annotations

from pydantic_ai import Agent, ModelMessage, capture_run_messages
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

from benchmarks.sides.works import MODEL, Ask, Function

DISTRIBUTION = "pydantic-ai-slim"
IMPORT = "from pydantic_ai import Agent; from pydantic_ai.models.openai import OpenAIChatModel"


async def double(number: int) -> str:
    """Double a number."""
    return str(2 * number)


class Side:
    def __init__(self, url: str) -> None:
        self.model = OpenAIChatModel(MODEL, provider=OpenAIProvider(base_url=url, api_key="k"))
        self.plain = Agent(self.model)

    async def chat(self, number: int) -> str:
        return (await self.plain.run(str(number))).output

    async def agent(self, number: int) -> str:
        return (await self.idle().run(str(number))).output

    async def stream(self, number: int) -> str:
        async with self.plain.run_stream(str(number)) as run:
            return "".join([delta async for delta in run.stream_text(delta=True, debounce_by=None)])

    def idle(self) -> Agent:
        return Agent(self.model, tools=[double])

    def conversation(self, *tools: Function) -> Ask:
        agent, history = Agent(self.model, tools=tools), list[ModelMessage]()

        async def ask(task: str) -> str:
            with capture_run_messages() as messages:
                try:
                    return (await agent.run(task, message_history=history)).output
                finally:
                    history[:] = messages

        return ask

    async def aclose(self) -> None:
        await self.model.client.close()
