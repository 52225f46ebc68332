"""The async surface: clients, agents, workflows and streams, on asyncio and trio.

This is the implementation; `aimu` is its sync twin. Each name is imported on first use.
"""

from typing import TYPE_CHECKING

from aimu._doors import door

if TYPE_CHECKING:
    from aimu._core.answer import Answer
    from aimu._core.chunks import StreamChunk, StreamingContentType
    from aimu.aio._agent import Agent
    from aimu.aio._base_client import AsyncBaseModelClient
    from aimu.aio._factory import AsyncModelClient, chat, client
    from aimu.aio._mcp import MCPClient
    from aimu.aio._orchestrator import OrchestratorAgent
    from aimu.aio._request import Limits
    from aimu.aio._runner import AsyncRunner
    from aimu.aio._skill_agent import SkillAgent
    from aimu.aio._stream import Stream
    from aimu.aio._task_map import amap
    from aimu.aio._workflows import Chain, EvaluatorOptimizer, Parallel, PlanExecuteEvaluator, Router

__all__ = [
    "Agent",
    "Answer",
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
    from aimu.aio._clients import (
        AsyncAnthropicClient,
        AsyncAzureOpenAIClient,
        AsyncCerebrasClient,
        AsyncDashScopeClient,
        AsyncDeepSeekClient,
        AsyncFireworksClient,
        AsyncGeminiClient,
        AsyncGitHubModelsClient,
        AsyncGroqClient,
        AsyncHFOpenAIClient,
        AsyncHuggingFaceClient,
        AsyncLlamaCppClient,
        AsyncLlamaServerClient,
        AsyncLMStudioClient,
        AsyncMistralClient,
        AsyncMoonshotClient,
        AsyncOllamaClient,
        AsyncOllamaOpenAIClient,
        AsyncOpenAIClient,
        AsyncOpenRouterClient,
        AsyncSGLangClient,
        AsyncTogetherClient,
        AsyncVLLMClient,
        AsyncXAIClient,
    )

__all__ += [
    "AsyncAnthropicClient",
    "AsyncAzureOpenAIClient",
    "AsyncCerebrasClient",
    "AsyncDashScopeClient",
    "AsyncDeepSeekClient",
    "AsyncFireworksClient",
    "AsyncGeminiClient",
    "AsyncGitHubModelsClient",
    "AsyncGroqClient",
    "AsyncHFOpenAIClient",
    "AsyncHuggingFaceClient",
    "AsyncLMStudioClient",
    "AsyncLlamaCppClient",
    "AsyncLlamaServerClient",
    "AsyncMistralClient",
    "AsyncMoonshotClient",
    "AsyncOllamaClient",
    "AsyncOllamaOpenAIClient",
    "AsyncOpenAIClient",
    "AsyncOpenRouterClient",
    "AsyncSGLangClient",
    "AsyncTogetherClient",
    "AsyncVLLMClient",
    "AsyncXAIClient",
]
# End of the generated part.

if not TYPE_CHECKING:  # type checkers take the imports above, and see a wrong name as wrong
    _client_names = [name for name in __all__ if name.startswith("Async") and name.endswith("Client")]
    _workflow_names = ["Chain", "EvaluatorOptimizer", "Parallel", "PlanExecuteEvaluator", "Router"]
    __getattr__, __dir__ = door(
        __name__,
        {
            **dict.fromkeys(_client_names, "aimu.aio._clients"),
            **dict.fromkeys(_workflow_names, "aimu.aio._workflows"),
            **dict.fromkeys(["AsyncModelClient", "chat", "client"], "aimu.aio._factory"),
            **dict.fromkeys(["StreamChunk", "StreamingContentType"], "aimu._core.chunks"),
            "Agent": "aimu.aio._agent",
            "Answer": "aimu._core.answer",
            "AsyncBaseModelClient": "aimu.aio._base_client",
            "AsyncRunner": "aimu.aio._runner",
            "Limits": "aimu.aio._request",
            "MCPClient": "aimu.aio._mcp",
            "OrchestratorAgent": "aimu.aio._orchestrator",
            "SkillAgent": "aimu.aio._skill_agent",
            "Stream": "aimu.aio._stream",
            "amap": "aimu.aio._task_map",
        },
    )
