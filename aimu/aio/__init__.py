"""The async surface: clients, agents, workflows and streams, on asyncio and trio alike.

This is the implementation; `aimu` is its sync twin.
"""

from aimu.aio.agent import Agent
from aimu.aio.amap import amap
from aimu.aio.client import AsyncBaseModelClient
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
from aimu.aio.factory import AsyncModelClient, chat, client
from aimu.aio.mcp import MCPClient
from aimu.aio.orchestrator import OrchestratorAgent
from aimu.aio.request import Limits
from aimu.aio.runner import AsyncRunner
from aimu.aio.skill_agent import SkillAgent
from aimu.aio.stream import Stream
from aimu.aio.workflows.chain import Chain
from aimu.aio.workflows.evaluator_optimizer import EvaluatorOptimizer
from aimu.aio.workflows.parallel import Parallel
from aimu.aio.workflows.plan_execute_evaluator import PlanExecuteEvaluator
from aimu.aio.workflows.router import Router
from aimu.core.chunks import StreamChunk, StreamingContentType

__all__ = [
    "Agent",
    "AsyncAnthropicClient",
    "AsyncBaseModelClient",
    "AsyncGeminiClient",
    "AsyncHFOpenAIClient",
    "AsyncHuggingFaceClient",
    "AsyncLMStudioClient",
    "AsyncLlamaCppClient",
    "AsyncLlamaServerClient",
    "AsyncModelClient",
    "AsyncOllamaClient",
    "AsyncOllamaOpenAIClient",
    "AsyncOpenAIClient",
    "AsyncRunner",
    "AsyncSGLangClient",
    "AsyncVLLMClient",
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
