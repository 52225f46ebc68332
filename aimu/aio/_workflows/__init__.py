"""Workflows: runners made of runners."""

from aimu.aio._workflows.chain import Chain
from aimu.aio._workflows.evaluator_optimizer import EvaluatorOptimizer
from aimu.aio._workflows.parallel import Parallel
from aimu.aio._workflows.plan_execute_evaluator import PlanExecuteEvaluator
from aimu.aio._workflows.router import Router

__all__ = ["Chain", "EvaluatorOptimizer", "Parallel", "PlanExecuteEvaluator", "Router"]
