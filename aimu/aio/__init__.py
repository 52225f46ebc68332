"""The async surface: clients, agents, workflows and streams, on asyncio and trio alike.

This is the implementation; `aimu` is its sync twin. Each name is imported when it is first used.
"""

from typing import TYPE_CHECKING

from aimu._doors import door

if TYPE_CHECKING:
    from aimu.aio.agent import Agent
    from aimu.aio.base_client import AsyncBaseModelClient
    from aimu.aio.factory import AsyncModelClient, chat, client
    from aimu.aio.mcp import MCPClient
    from aimu.aio.orchestrator import OrchestratorAgent
    from aimu.aio.request import Limits
    from aimu.aio.runner import AsyncRunner
    from aimu.aio.skill_agent import SkillAgent
    from aimu.aio.stream import Stream
    from aimu.aio.task_map import amap
    from aimu.aio.workflows import Chain, EvaluatorOptimizer, Parallel, PlanExecuteEvaluator, Router
    from aimu.core.chunks import StreamChunk, StreamingContentType

__all__ = [
    "Agent",
    "AsyncBaseModelClient",
    "AsyncModelClient",
    "AsyncRunner",
    "Chain",
    "EvaluatorOptimizer",
    "Limits",
    "MCPClient",
    "OrchestratorAgent",
    "Parallel",
    "PlanExecuteEvaluator",
    "Router",
    "SkillAgent",
    "Stream",
    "StreamChunk",
    "StreamingContentType",
    "amap",
    "chat",
    "client",
]

# Generated from the table of providers by `python -m aimu._tools.generate`: do not edit.
if TYPE_CHECKING:
    from aimu.aio.clients import (
        AsyncAnthropicClient,
        AsyncGeminiClient,
        AsyncHFOpenAIClient,
        AsyncHuggingFaceClient,
        AsyncLlamaCppClient,
        AsyncLlamaServerClient,
        AsyncLMStudioClient,
        AsyncOllamaClient,
        AsyncOllamaOpenAIClient,
        AsyncOpenAIClient,
        AsyncSGLangClient,
        AsyncVLLMClient,
    )

__all__ += [
    "AsyncAnthropicClient",
    "AsyncGeminiClient",
    "AsyncHFOpenAIClient",
    "AsyncHuggingFaceClient",
    "AsyncLMStudioClient",
    "AsyncLlamaCppClient",
    "AsyncLlamaServerClient",
    "AsyncOllamaClient",
    "AsyncOllamaOpenAIClient",
    "AsyncOpenAIClient",
    "AsyncSGLangClient",
    "AsyncVLLMClient",
]
# End of the generated part.

if not TYPE_CHECKING:  # type checkers take the imports above, and see a wrong name as wrong
    _clients = [name for name in __all__ if name.startswith("Async") and name.endswith("Client")]
    _workflows = ["Chain", "EvaluatorOptimizer", "Parallel", "PlanExecuteEvaluator", "Router"]
    __getattr__, __dir__ = door(
        __name__,
        {
            **dict.fromkeys(_clients, "aimu.aio.clients"),
            **dict.fromkeys(_workflows, "aimu.aio.workflows"),
            **dict.fromkeys(["AsyncModelClient", "chat", "client"], "aimu.aio.factory"),
            **dict.fromkeys(["StreamChunk", "StreamingContentType"], "aimu.core.chunks"),
            "Agent": "aimu.aio.agent",
            "AsyncBaseModelClient": "aimu.aio.base_client",
            "AsyncRunner": "aimu.aio.runner",
            "Limits": "aimu.aio.request",
            "MCPClient": "aimu.aio.mcp",
            "OrchestratorAgent": "aimu.aio.orchestrator",
            "SkillAgent": "aimu.aio.skill_agent",
            "Stream": "aimu.aio.stream",
            "amap": "aimu.aio.task_map",
        },
    )
