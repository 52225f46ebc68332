"""litellm, with the loop of an agent written by hand, as it has none."""

from __future__ import annotations

import json
import os
from functools import partial
from typing import Any

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # it would fetch the prices of models from a service
import litellm

from benchmarks.sides.works import MODEL, SCHEMA

DISTRIBUTION = "litellm"
IMPORT = "import litellm"
litellm.REPEATED_STREAMING_CHUNK_LIMIT = 10**9  # all deltas of the server are the same


async def double(number: int) -> str:
    return str(2 * number)


class Side:
    def __init__(self, url: str) -> None:
        self.complete = partial(
            litellm.acompletion, model=f"openai/{MODEL}", api_base=url, api_key="k", max_retries=5, timeout=600
        )

    async def chat(self, number: int) -> str:
        reply = await self.complete(messages=[{"role": "user", "content": str(number)}])
        return reply.choices[0].message.content

    async def agent(self, number: int) -> str:
        messages: list[Any] = [{"role": "user", "content": str(number)}]
        while True:
            message = (await self.complete(messages=messages, tools=[SCHEMA])).choices[0].message
            if not message.tool_calls:
                return message.content
            messages.append(message)
            for call in message.tool_calls:
                result = await double(**json.loads(call.function.arguments))
                messages.append({"role": "tool", "tool_call_id": call.id, "content": result})

    async def stream(self, number: int) -> str:
        text = ""
        async for chunk in await self.complete(messages=[{"role": "user", "content": str(number)}], stream=True):
            text += chunk.choices[0].delta.content or ""
        return text

    async def aclose(self) -> None:
        """Its clients are global."""
