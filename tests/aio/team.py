"""A team of five nested runners, saved in one process and loaded in another: `python -m tests.aio.team < saved`."""

import json
import sys

import anyio

from aimu import aio
from aimu._core.messages import check_history
from aimu.testing import reply
from tests.workflows.models import agent, model


def team(provider):
    """A chain of a router over a parallel, an evaluator with an orchestrator as generator, and an agent."""
    search, write = agent(provider, "search"), agent(provider, "write")
    lead = aio.OrchestratorAgent.assemble(aio.client(provider), "lead", workers=[search, write], name="lead")
    panel = aio.Parallel([agent(provider, "for", "voice"), agent(provider, "against", "voice")])
    router = aio.Router(agent(provider, "sort"), {"panel": panel, "other": agent(provider, "other", "voice")})
    review = aio.EvaluatorOptimizer(lead, agent(provider, "judge"), max_rounds=2)
    return aio.Chain([router, review, agent(provider, "last")])


def answers():
    def leading(request):
        if request.messages[-1]["role"] == "tool":
            return "The report."
        return reply(calls=[("search", {"task": "one"}), ("search", {"task": "two"}), ("write", {"task": "all"})])

    return {"sort": "panel", "lead": leading, "judge": "PASS"}


async def loaded(saved):
    """Load what another process saved, resume the agent that was cut off, and run the whole team again."""
    runner = team(model(answers() | {"last": "Resumed."}))
    assert all(len(history) == 1 for history in runner.messages.values())
    runner.messages = saved
    assert runner.messages == saved
    last = runner.agents[-1]
    assert await last.resume() == "Resumed."
    assert last.history[:-1] == saved["last"]
    for history in runner.messages.values():
        check_history(history)
    assert (await runner.run("Again.")).requests == 10
    assert runner.messages["sort"][: len(saved["sort"])] == saved["sort"]
    return len(saved)


if __name__ == "__main__":
    print(anyio.run(loaded, json.load(sys.stdin)))
