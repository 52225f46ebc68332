"""Workflows: runners made of runners."""

from aimu.aio.workflows.chain import Chain
from aimu.aio.workflows.evaluator_optimizer import EvaluatorOptimizer
from aimu.aio.workflows.parallel import Parallel
from aimu.aio.workflows.plan_execute_evaluator import PlanExecuteEvaluator
from aimu.aio.workflows.router import Router

__all__ = ["Chain", "EvaluatorOptimizer", "Parallel", "PlanExecuteEvaluator", "Router"]
