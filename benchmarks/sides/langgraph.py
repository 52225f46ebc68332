"""langchain, whose agents run on langgraph."""

from __future__ import annotations

from typing import Any

import openai
from langchain.agents import create_agent
from langchain.tools import tool
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver

from benchmarks.sides.works import MODEL, Ask, Function

DISTRIBUTION = "langgraph"
IMPORT = "from langchain.agents import create_agent; from langchain_openai import ChatOpenAI"


@tool
async def double(number: int) -> str:
    """Double a number."""
    return str(2 * number)


class Side:
    def __init__(self, url: str) -> None:
        self.http = openai.DefaultAsyncHttpxClient(timeout=600)  # the usual one is shared by all event loops
        self.model = ChatOpenAI(
            model=MODEL, base_url=url, api_key="k", max_retries=5, stream_usage=True, http_async_client=self.http
        )

    async def chat(self, number: int) -> str:
        return str((await self.model.ainvoke(str(number))).content)

    async def agent(self, number: int) -> str:
        question = {"messages": [{"role": "user", "content": str(number)}]}
        return str((await self.idle().ainvoke(question))["messages"][-1].content)

    async def stream(self, number: int) -> str:
        return "".join([str(chunk.content) async for chunk in self.model.astream(str(number))])

    def idle(self) -> Any:
        return create_agent(self.model, [double])

    def conversation(self, *tools: Function) -> Ask:
        agent = create_agent(self.model, [tool(each) for each in tools], checkpointer=InMemorySaver())

        async def ask(task: str) -> str:
            question = {"messages": [{"role": "user", "content": task}]}
            state = await agent.ainvoke(question, {"configurable": {"thread_id": "one"}})
            return str(state["messages"][-1].content)

        return ask

    async def aclose(self) -> None:
        await self.http.aclose()
