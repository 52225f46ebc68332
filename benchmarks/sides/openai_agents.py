"""openai-agents, without tracing, which would call a service."""

from __future__ import annotations

from agents import (
    Agent,
    OpenAIChatCompletionsModel,
    Runner,
    SQLiteSession,
    function_tool,
    set_tracing_disabled,
)
from openai import AsyncOpenAI
from openai.types.responses import ResponseTextDeltaEvent

from benchmarks.sides.works import MODEL, Ask, Function

DISTRIBUTION = "openai-agents"
IMPORT = "from agents import Agent, Runner, OpenAIChatCompletionsModel"


@function_tool
async def double(number: int) -> str:
    """Double a number."""
    return str(2 * number)


class Side:
    def __init__(self, url: str) -> None:
        set_tracing_disabled(True)
        self.sdk = AsyncOpenAI(base_url=url, api_key="k", timeout=600, max_retries=5)
        self.model = OpenAIChatCompletionsModel(MODEL, self.sdk)
        self.plain = Agent("plain", model=self.model)

    async def chat(self, number: int) -> str:
        return (await Runner.run(self.plain, str(number))).final_output

    async def agent(self, number: int) -> str:
        return (await Runner.run(self.idle(), str(number))).final_output

    async def stream(self, number: int) -> str:
        run = Runner.run_streamed(self.plain, str(number))
        return "".join(
            [
                event.data.delta
                async for event in run.stream_events()
                if event.type == "raw_response_event" and isinstance(event.data, ResponseTextDeltaEvent)
            ]
        )

    def idle(self) -> Agent:
        return Agent("doubling", model=self.model, tools=[double])

    def conversation(self, *tools: Function) -> Ask:
        agent = Agent("clerk", model=self.model, tools=[function_tool(tool) for tool in tools])
        session = SQLiteSession("one")  # in memory

        async def ask(task: str) -> str:
            return str((await Runner.run(agent, task, session=session)).final_output)

        return ask

    async def aclose(self) -> None:
        await self.sdk.close()
