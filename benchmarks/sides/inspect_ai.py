"""inspect-ai: the model and its loop of tool calls, without an evaluation around them."""

from __future__ import annotations

from inspect_ai.model import (
    ChatMessage,
    ChatMessageUser,
    GenerateConfig,
    StreamEvent,
    StreamTextEvent,
    get_model,
)
from inspect_ai.tool import Tool, ToolDef, tool

from benchmarks.sides.works import MODEL, Ask, Function

DISTRIBUTION = "inspect-ai"
IMPORT = "from inspect_ai.model import get_model"


@tool
def double() -> Tool:
    async def execute(number: int) -> str:
        """Double a number.

        Args:
            number: Any number.
        """
        return str(2 * number)

    return execute


class Side:
    def __init__(self, url: str) -> None:
        config = GenerateConfig(max_connections=1000, max_retries=5)
        self.model = get_model(
            f"openai/{MODEL}", base_url=url, api_key="k", config=config, memoize=False, responses_api=False
        )

    async def chat(self, number: int) -> str:
        return (await self.model.generate(str(number))).completion

    async def agent(self, number: int) -> str:
        _, output = await self.model.generate_loop(str(number), tools=[double()])
        return output.completion

    async def stream(self, number: int) -> str:
        pieces: list[str] = []

        async def read(event: StreamEvent) -> None:
            if isinstance(event, StreamTextEvent):
                pieces.append(event.text)

        await self.model.generate(str(number), on_stream=read)
        return "".join(pieces)

    def conversation(self, *tools: Function) -> Ask:
        history = list[ChatMessage]()
        known = [ToolDef(each, name=each.__name__, description=each.__doc__) for each in tools]

        async def ask(task: str) -> str:
            history.append(ChatMessageUser(content=task))
            messages, output = await self.model.generate_loop(history, tools=known)
            history.extend(messages)
            return output.completion

        return ask

    async def aclose(self) -> None:
        await self.model.api.aclose()
