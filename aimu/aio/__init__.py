"""The async surface: clients, agents, workflows and streams, on asyncio and trio alike.

This is the implementation; `aimu` is its sync twin.
"""

from aimu.aio.agent import Agent
from aimu.aio.client import AsyncBaseModelClient
from aimu.aio.factory import AsyncModelClient, chat, client
from aimu.aio.mcp import MCPClient
from aimu.aio.request import Limits
from aimu.aio.runner import AsyncRunner
from aimu.aio.stream import Stream
from aimu.core.chunks import StreamChunk, StreamingContentType

__all__ = [
    "Agent",
    "AsyncBaseModelClient",
    "AsyncModelClient",
    "AsyncRunner",
    "Limits",
    "MCPClient",
    "Stream",
    "StreamChunk",
    "StreamingContentType",
    "chat",
    "client",
]
