"""The openai SDK, with the loop of an agent written by hand, and the timeouts that aimu sets."""

from __future__ import annotations

import json
from typing import Any

import openai

from benchmarks.sides.works import MODEL, SCHEMA

DISTRIBUTION = "openai"
IMPORT = "from openai import AsyncOpenAI"
TIMEOUT = openai.Timeout(600, connect=60, pool=None)


async def double(number: int) -> str:
    return str(2 * number)


class Side:
    def __init__(self, url: str) -> None:
        http = openai.DefaultAsyncHttpxClient(timeout=TIMEOUT)
        self.sdk = openai.AsyncOpenAI(api_key="k", base_url=url, http_client=http, timeout=TIMEOUT, max_retries=5)

    async def chat(self, number: int) -> str:
        messages: list[Any] = [{"role": "user", "content": str(number)}]
        return (await self.sdk.chat.completions.create(model=MODEL, messages=messages)).choices[0].message.content or ""

    async def agent(self, number: int) -> str:
        messages: list[Any] = [{"role": "user", "content": str(number)}]
        tools: list[Any] = [SCHEMA]
        while True:
            reply = await self.sdk.chat.completions.create(model=MODEL, messages=messages, tools=tools)
            message = reply.choices[0].message
            if not message.tool_calls:
                return message.content or ""
            messages.append(message)
            for call in message.tool_calls:
                result = await double(**json.loads(call.function.arguments))
                messages.append({"role": "tool", "tool_call_id": call.id, "content": result})

    async def stream(self, number: int) -> str:
        messages: list[Any] = [{"role": "user", "content": str(number)}]
        text = ""
        async with await self.sdk.chat.completions.create(
            model=MODEL, messages=messages, stream=True, stream_options={"include_usage": True}
        ) as stream:
            async for chunk in stream:
                if chunk.choices:
                    text += chunk.choices[0].delta.content or ""
        return text

    entered = stream

    async def aclose(self) -> None:
        await self.sdk.close()
