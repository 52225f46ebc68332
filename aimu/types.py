"""The values that cross the surface: messages, what a model replies, what a stream gives, and how much it took.

Use these names in your annotations, and to write a provider or a runner of your own.
"""

from aimu._core.answer import Answer
from aimu._core.chunks import Include, StreamChunk, StreamingContentType
from aimu._core.messages import Message
from aimu._core.reply import Delta, Reply, StopReason, ToolCall, Usage
from aimu.aio._mcp.options import Elicitation, MCPOptions
from aimu.aio._mcp.reading import MCPPrompt, MCPResource
from aimu.aio._options import ClientOptions
from aimu.aio._runner import MessageHistory
from aimu.tools._like import ToolLike, ToolServer

__all__ = [
    "Answer",
    "ClientOptions",
    "Delta",
    "Elicitation",
    "Include",
    "MCPOptions",
    "MCPPrompt",
    "MCPResource",
    "Message",
    "MessageHistory",
    "Reply",
    "StopReason",
    "StreamChunk",
    "StreamingContentType",
    "ToolCall",
    "ToolLike",
    "ToolServer",
    "Usage",
]
