"""Agents and workflows, sync: the twins of those of `aimu.aio`."""

from aimu._sync.agents import Agent, OrchestratorAgent, SkillAgent
from aimu._sync.amap import amap
from aimu._sync.runner import Runner
from aimu._sync.workflows import Chain, EvaluatorOptimizer, Parallel, PlanExecuteEvaluator, Router

__all__ = [
    "Agent",
    "Chain",
    "EvaluatorOptimizer",
    "OrchestratorAgent",
    "Parallel",
    "PlanExecuteEvaluator",
    "Router",
    "Runner",
    "SkillAgent",
    "amap",
]
