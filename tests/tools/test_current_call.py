"""What a running tool learns about its call, wherever and however it runs."""

import asyncio
import os
import sys
import threading
import time
from math import inf

import anyio
import anyio.lowlevel
import pytest

import aimu
from aimu import agents, aio
from aimu.aio import AsyncRunner
from aimu.errors import NoCurrentCallError
from aimu.testing import ScriptedProvider, reply
from aimu.tools import Tool, current_call, serve_mcp, tool
from tests.workflows.models import agent, model, one_tool, read

SESSION = object()


class Seen:
    """Tools that record what they learn: `look` is sync, `wait` async, `here` runs on the event loop."""

    def __init__(self):
        self.calls, self.threads = [], []

        @tool
        def look() -> str:
            """Look."""
            return self.note()

        @tool
        async def wait() -> str:
            """Wait."""
            await anyio.lowlevel.checkpoint()
            return self.note()

        @tool(on_event_loop=True)
        def here() -> str:
            """Look here."""
            return self.note()

        self.tools = [look, wait, here]

    def note(self):
        call = current_call()
        assert current_call() is call
        self.calls.append((call, call.deadline - time.monotonic(), call.history))
        self.threads.append(threading.get_ident())
        return f"seen {call.name}"

    @property
    def only(self):
        [(call, _, _)] = self.calls
        return call

    @property
    def left(self):
        [(_, left, _)] = self.calls
        return left


def asking(*names, then="Done."):
    return ScriptedProvider(reply(calls=[(name, {}) for name in names]), then, repeat=True)


def test_outside_a_tool_there_is_no_call():
    with pytest.raises(NoCurrentCallError, match="no tool is running here"):
        current_call()


@pytest.mark.parametrize("name", ["look", "wait", "here"])
@pytest.mark.parametrize("how", ["plain", "bare", "entered"])
async def test_a_tool_learns_about_its_call(name, how):
    seen = Seen()
    clerk = aio.Agent(aio.client(asking(name), system="Be brief."), name="clerk", tools=seen.tools)
    if how == "plain":
        await clerk.run("Look.", context=SESSION)
    else:
        stream = clerk.run("Look.", stream=True, context=SESSION)
        if how == "entered":
            async with stream:
                await read(stream)
        else:
            await read(stream)
    [(call, left, history)] = seen.calls
    assert call.context is SESSION
    assert (call.agent, call.name, call.iteration) == ("clerk", name, 0)
    assert call.id == clerk.history[2]["tool_calls"][0]["id"]
    assert history == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Look."}]
    history[0]["content"] = "changed"
    assert clerk.history[0]["content"] == "Be brief."
    assert left == inf
    assert (seen.threads == [threading.get_ident()]) == (name != "look")
    with pytest.raises(NoCurrentCallError):
        current_call()


async def test_the_history_is_what_the_model_saw():
    seen = Seen()
    provider = ScriptedProvider(reply(calls=[("look", {})]), reply("Hm.", calls=[("wait", {})]), "Done.")
    clerk = aio.Agent(aio.client(provider), tools=seen.tools)
    await clerk.run("Look.")
    for (call, _, history), request in zip(seen.calls, provider.requests, strict=False):
        assert history == request.messages
        assert call.iteration == len(history) // 2
    assert len(seen.calls) == 2


async def test_concurrent_calls_learn_each_about_itself():
    seen = Seen()
    provider = asking("look", "wait", "look", "wait")
    clerk = aio.Agent(aio.client(provider), tools=seen.tools, concurrent_tool_calls=True)
    await clerk.run("Look.", context=SESSION)
    ids = {call["id"]: call["function"]["name"] for call in clerk.history[1]["tool_calls"]}
    assert {call.id: call.name for call, _, _ in seen.calls} == ids
    assert len(ids) == 4
    assert {call.context for call, _, _ in seen.calls} == {SESSION}


async def test_equal_names_are_the_keys_of_messages():
    seen = Seen()
    team = aio.Parallel([agent(model({None: ""} | {"a": one_tool("wait", "A")}), "a", tools=seen.tools)])
    both = aio.Chain([team, agent(model({"b": one_tool("look", "B")}), "b", "a", tools=seen.tools)])
    await both.run("Go.", context=SESSION)
    assert [call.agent for call, _, _ in seen.calls] == ["a", "a_2"]
    assert {call.context for call, _, _ in seen.calls} == {SESSION}


async def test_a_chat_has_no_agent():
    seen = Seen()
    await aio.client(asking("look"), tools=seen.tools).chat("Look.", context=SESSION)
    assert (seen.only.agent, seen.only.context) == (None, SESSION)


# --- the context of runs in runs ---


@pytest.mark.parametrize("given", [None, "own"])
@pytest.mark.parametrize("streamed", [False, True])
async def test_a_run_that_a_tool_starts_has_the_context_of_the_run_around_it(given, streamed):
    seen = Seen()
    inner = agent(model({"in": one_tool("look", "Inner.")}), "in", tools=seen.tools)

    @tool
    async def ask() -> str:
        """Ask."""
        if streamed:
            return [chunk.content async for chunk in inner.run("Go.", stream=True, context=given)][-1]
        answer = await inner.run("Go.", context=given)
        assert current_call().name == "ask"
        return answer

    outer = agent(model({"out": one_tool("ask", "Outer.")}), "out", tools=[ask])
    assert await outer.run("Go.", context=SESSION) == "Outer."
    assert seen.only.context is (given or SESSION)
    assert seen.only.agent == "in"


async def test_workers_and_users_own_runners_have_the_context_of_their_run():
    seen = Seen()
    worker = agent(model({"look": one_tool("look", "Here.")}), "look", tools=seen.tools)

    class Own(AsyncRunner):
        messages = {}  # noqa: RUF012 - it has none

        async def run(self, task, generate_kwargs=None, stream=False, images=None):
            return await worker.run(task)

    await aio.Chain([Own(), worker]).run("Go.", context=SESSION)
    call = reply(calls=[("look", {"task": "Look."})])
    lead = aio.OrchestratorAgent.assemble(aio.client(model({"lead": [call, "Done."]})), "lead", workers=[worker])
    await lead.run("Go.", context=SESSION)
    assert [call.context for call, _, _ in seen.calls] == [SESSION] * 3


async def test_amap_and_resume_pass_a_context_on():
    seen = Seen()
    clerk = agent(model({"look": one_tool("look", "Here.")}), "look", tools=seen.tools)

    class Own(AsyncRunner):
        messages = {}  # noqa: RUF012 - it has none

        async def run(self, task, generate_kwargs=None, stream=False, images=None):
            return await clerk.fork().run(task)

    for runner in (clerk, Own):
        async with aio.amap(runner, ["a", "b"], context=SESSION) as results:
            assert [answer async for _, answer in results] == ["Here."] * 2
    clerk.history = [{"role": "user", "content": "Go."}]
    await clerk.resume(context=SESSION)
    await clerk.fork().run("Go.")
    assert [call.context for call, _, _ in seen.calls] == [SESSION] * 5 + [None]


# --- deadlines ---


@pytest.mark.parametrize("name", ["look", "wait", "here"])
async def test_the_deadline_is_the_earliest_around_the_call(name):
    seen = Seen()
    clerk = aio.Agent(aio.client(asking(name)), tools=seen.tools)
    await clerk.run("Look.", timeout=50)
    assert 40 < seen.left <= 50
    seen.calls.clear()
    with anyio.fail_after(30):
        await clerk.run("Look.", timeout=50)
    assert 20 < seen.left <= 30
    seen.calls.clear()
    timed = [Tool(name=name, function=seen.note, timeout=20)] if name != "wait" else seen.tools
    clerk.tools = timed
    with anyio.fail_after(19 if name == "wait" else 30):
        await clerk.run("Look.")
    assert 10 < seen.left <= 20


# --- the sync surface ---


@pytest.mark.parametrize("concurrent", [False, True])
@pytest.mark.parametrize("streamed", [False, True])
def test_sync_runs_tell_their_tools_the_same(concurrent, streamed):
    seen = Seen()
    provider = asking("look", "wait")
    clerk = agents.Agent(aimu.client(provider), name="clerk", tools=seen.tools, concurrent_tool_calls=concurrent)
    if streamed:
        with clerk.run("Look.", stream=True, timeout=50, context=SESSION) as stream:
            list(stream)
    else:
        clerk.run("Look.", timeout=50, context=SESSION)
    assert {(call.agent, call.name) for call, _, _ in seen.calls} == {("clerk", "look"), ("clerk", "wait")}
    for call, left, history in seen.calls:
        assert call.context is SESSION
        assert 40 < left <= 50
        assert history == [{"role": "user", "content": "Look."}]


def test_sync_agents_in_tools_have_the_context_of_the_run_around_them():
    seen = Seen()
    inner = agents.Agent(aimu.client(asking("look")), name="in", tools=seen.tools)

    def ask() -> str:
        """Ask."""
        return inner.run("Go.")

    async def ask_from_a_loop() -> str:
        """Ask."""
        return inner.run("Go.", timeout=50)

    for own in (ask, ask_from_a_loop):
        outer = agents.Agent(aimu.client(asking(own.__name__)), name="out", tools=[own])
        outer.run("Go.", context=SESSION)
    with agents.amap(lambda: outer.fork(), ["a"], context=SESSION) as results:
        assert [answer for _, answer in results] == ["Done."]
    assert [(call.agent, call.context) for call, _, _ in seen.calls] == [("in", SESSION)] * 3
    lefts = [left for _, left, _ in seen.calls]
    assert lefts[0] == inf
    assert 40 < lefts[1] <= 50


def test_a_sync_agent_in_a_running_loop_tells_its_tools_the_deadline_of_its_own_run():
    seen = Seen()
    clerk = agents.Agent(aimu.client(asking("look")), tools=seen.tools)

    async def notebook():
        async with asyncio.timeout(500):
            await asyncio.sleep(0)
            clerk.run("Look.", timeout=50, context=SESSION)

    asyncio.run(notebook())
    assert 40 < seen.left <= 50
    assert seen.only.context is SESSION


def test_a_users_own_sync_runner_passes_the_context_of_its_run_on():
    seen = Seen()
    clerk = agents.Agent(aimu.client(asking("look")), tools=seen.tools)

    class Own(agents.Runner):
        messages = {}  # noqa: RUF012 - it has none

        def run(self, task, generate_kwargs=None, stream=False, images=None):
            return clerk.run(task)

    agents.Chain([Own()]).run("Go.", context=SESSION)
    agents.Parallel([Own()]).run("Go.", context=SESSION)
    assert [call.context for call, _, _ in seen.calls] == [SESSION] * 2


# --- over MCP ---


@pytest.mark.parametrize("context", [None, SESSION])
async def test_a_tool_served_over_mcp_learns_about_its_call(context):
    seen = Seen()
    inner = agent(model({"in": one_tool("look", "Inner.")}), "in", tools=seen.tools)

    @tool
    async def ask() -> str:
        """Ask."""
        return await inner.run("Go.")

    async with aio.MCPClient(server=serve_mcp([*seen.tools, ask], context=context)) as mcp:
        for name in ("look", "wait", "here"):
            assert await mcp.call_tool(name, {}) == f"seen {name}"
        lead = agent(model({"lead": one_tool("ask", "Done.")}), "lead", tools=[mcp])
        assert await lead.run("Go.", context="of the caller") == "Done."
    calls = [call for call, _, _ in seen.calls]
    assert [call.name for call in calls] == ["look", "wait", "here", "look"]
    assert [call.agent for call in calls] == [None, None, None, "in"]
    assert [call.context for call in calls] == [context] * 3 + [context or "of the caller"]
    assert len({call.id for call in calls}) == 4
    assert [history for _, _, history in seen.calls[:3]] == [[]] * 3


async def test_the_tools_of_a_served_agent_learn_about_their_calls():
    seen = Seen()
    clerk = agent(model({"in": one_tool("wait", "Done.")}), "in", tools=seen.tools)
    async with aio.MCPClient(server=serve_mcp(clerk, context=SESSION)) as mcp:
        assert await mcp.call_tool("run", {"task": "Go."}) == "Done."
    assert (seen.only.agent, seen.only.context) == ("in", SESSION)


@pytest.mark.parametrize("context", [None, SESSION])
async def test_an_agent_of_the_same_process_tells_a_served_tool_its_call(context):
    seen = Seen()
    async with aio.MCPClient(server=serve_mcp(seen.tools, context=context)) as mcp:
        lead = agent(model({"lead": one_tool("look", "Done.")}), "lead", tools=[mcp])
        await lead.run("Go.", context="of the caller")
    [(call, _, history)] = seen.calls
    assert (call.agent, call.name, call.context) == ("lead", "look", context or "of the caller")
    assert call.id == lead.history[2]["tool_calls"][0]["id"]
    assert history == lead.history[:2]


SERVER = """
from aimu.tools import current_call, serve_mcp

def who() -> str:
    "Say what is known."
    call = current_call()
    return f"{call.name} {call.agent} {call.context} {call.history}"

serve_mcp([who], context="of the server").run(show_banner=False)
"""


async def test_a_tool_served_to_another_process_has_the_context_of_its_server(tmp_path):
    program = tmp_path / "server.py"
    program.write_text(SERVER, "utf8")
    server = {"command": sys.executable, "args": [str(program)], "env": {"PYTHONPATH": os.pathsep.join(sys.path)}}
    async with aio.MCPClient(config={"mcpServers": {"own": server}}) as mcp:
        lead = agent(model({"lead": one_tool("who", "Done.")}), "lead", tools=[mcp])
        await lead.run("Go.", context="of the caller")
    assert lead.history[3]["content"] == "who None of the server []"
