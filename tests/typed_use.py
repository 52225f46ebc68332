"""What type checkers make of the library; mypy and pyright read this file in the nox session `types`, nothing runs it.

Each `ignore` stands for an error that an editor must show: without that error the checkers report the comment.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, assert_type

import aimu
from aimu import agents, aio
from aimu.models import OllamaModel
from aimu.tools import MCPClient, Tool, tool
from aimu.types import Answer, Message, StreamChunk


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def plain(text: str) -> str:
    """Return a text."""
    return text


async def on_the_async_surface(server: aio.MCPClient, made: Tool) -> None:
    client = aio.client("openai:gpt-5", api_key="k", tools=[add, plain, made, server], max_retries=3)
    assert_type(client, aio.AsyncModelClient)
    aio.client(OllamaModel.QWEN_3_8B, keep_alive="5m")
    aio.client("openai:gpt-5", api_kee="k")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    aio.client("openai:gpt-5", timeout="5")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    options: dict[str, Any] = {"temperature": 0.5}
    assert_type(await client.chat("Hi.", options), Answer)
    assert_type(client.chat("Hi.", stream=True), aio.Stream)
    async with client.chat("Hi.", stream=True) as stream:
        async for chunk in stream:
            assert_type(chunk, StreamChunk)

    agent = aio.Agent(client, "Be brief.", tools=[add, server])
    agent.tools.append(plain)
    client.tools = [plain, server]
    answer = await agent.run("Go.")
    assert_type(answer, Answer)
    assert_type(answer.upper(), str)
    assert_type(answer.output, None)
    assert_type(answer.parts, tuple[Answer[Any], ...])
    assert_type(stream.result, Answer[Any])
    assert_type(await client.chat("How many?", output_type=int), Answer[int])
    assert_type((await client.generate("How many?", output_type=list[int])).output, list[int])
    assert_type((await agent.run("How many?", output_type=int | None)).output, int | None)
    assert_type(await agent.resume(), Answer)
    assert_type((await agent.resume(output_type=list[int], output_retries=1)).output, list[int])
    assert_type(agent.resume(stream=True, output_type=int), aio.Stream)
    assert_type((await aio.chat("How many?", model="openai:gpt-5", output_type=dict[str, int])).output, dict[str, int])
    async with aio.amap(agent, ["Go."], output_type=int, journal=Path("batch.jsonl")) as numbers:
        async for _, number in numbers:
            assert_type(number.output, int)
    async with aio.amap(agent, ["Go."], output_type=int, on_error="collect") as ends:
        async for end in ends:
            assert_type(end, tuple[int, Answer[int] | Exception])
    async with aio.amap(agent, ["Go."]) as results:
        async for item in results:
            assert_type(item, tuple[int, Answer])
    assert_type(agent.messages, dict[str, list[Message]])
    chain = aio.Chain.from_client(client, ["One.", "Two."])
    assert_type(chain.run("Go.", stream=True), aio.Stream)


class Own(aio.AsyncRunner):
    """A runner written from the reference."""

    @property
    def messages(self) -> dict[str, list[dict[str, Any]]]:
        return {}

    async def run(
        self,
        task: str,
        generate_kwargs: dict[str, Any] | None = None,
        stream: bool = False,
        images: list[Any] | None = None,
    ) -> str:
        return task


def on_the_sync_surface(server: MCPClient) -> None:
    client = aimu.client("openai:gpt-5", api_key="k", tools=[add, server])
    assert_type(client, aimu.ModelClient)
    aimu.client("hf:Qwen/Qwen3-0.6B", batch=4, device="cpu")
    aimu.client("openai:gpt-5", api_kee="k")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    assert_type(client.chat("Hi."), Answer)
    with client.chat("Hi.", stream=True) as stream:
        for chunk in stream:
            assert_type(chunk, StreamChunk)
    agent = agents.Agent(client, tools=[add, server])
    assert_type(agent.run("Go."), Answer)
    assert_type(agent.run("Go.", stream=True), aimu.Stream)
    assert_type(agent.resume(), Answer)
    assert_type(agent.resume(output_type=int | None).output, int | None)
    assert_type(agent.resume(stream=True, output_type=int), aimu.Stream)
