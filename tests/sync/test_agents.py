"""Sync agents and workflows: the same histories as on asyncio and trio, and runners and clients of users."""

import json
import threading
from typing import ClassVar

import anyio
import anyio.lowlevel
import pytest

import aimu
from aimu import agents, aio
from aimu.agents import (
    Agent,
    Chain,
    EvaluatorOptimizer,
    OrchestratorAgent,
    Parallel,
    PlanExecuteEvaluator,
    Router,
    Runner,
)
from aimu.errors import InvalidOptionError
from aimu.evals import Scorer
from aimu.testing._scripted import ScriptedProvider, reply
from aimu.tools import tool
from aimu.types import StreamChunk, StreamingContentType


def answer(request):
    """Answer by the request alone, so that concurrent runs give the same each time."""
    system, last = request.messages[0]["content"], request.messages[-1]
    if "add" in system and last["role"] == "user" and request.tools:
        return reply(calls=[("add", {"a": 2, "b": 3})])
    if "classify" in system:
        return "maths"
    if "review" in system:
        return "PASS" if "again" in str(request.messages) else "FAIL: once more, again"
    if "delegate" in system and last["role"] == "user":
        return reply(calls=[("left", {"task": "l"}), ("right", {"task": "r"})])
    return f"{system}: {last['content']}"


class Length(Scorer):
    def score(self, row):
        return min(1.0, len(row["output"]) / 60), "longer"


@tool
def add(a: int, b: int) -> int:
    """Add."""
    return a + b


def build(surface, client):
    """Make one runner of each kind on a surface."""

    def agent(system, name, **fields):
        return surface.Agent(client, system, name, **fields)

    return {
        "agent": agent("add", "adder", tools=[add]),
        "chain": surface.Chain([agent("one", "a"), agent("add", "b", tools=[add]), agent("three", "c")]),
        "chain of prompts": surface.Chain.from_client(client, ["one", "two"]),
        "router": surface.Router.from_client(client, "classify", {"maths": "calculate", "prose": "write"}),
        "parallel": surface.Parallel.from_client(client, ["one", "two", "three"], aggregator_prompt="merge"),
        "parallel with tools": surface.Parallel([agent("add", f"w{n}", tools=[add]) for n in range(3)]),
        "nested": surface.Chain(
            [surface.Parallel([agent("x", "x"), surface.Chain([agent("y", "y")])]), agent("z", "z")]
        ),
        "evaluator": surface.EvaluatorOptimizer.from_client(client, "write again", "review"),
        "planner": surface.PlanExecuteEvaluator(
            surface.SkillAgent(client, "plan", "planner"), agent("work", "worker"), Length(), max_rounds=2
        ),
        "orchestrator": surface.OrchestratorAgent.assemble(
            client, "delegate", workers=[agent("left side", "left"), agent("right side", "right")]
        ),
    }


def without_ids(histories):
    """Remove the ids of calls: they are numbered by the order of requests, which concurrent workers share."""
    text = json.dumps(histories)
    for number in range(30):
        text = text.replace(f"call_{number:04}", "call")
    return json.loads(text)


def provider():
    return ScriptedProvider(answer, repeat=True)


NAMES = list(build(agents, aimu.client(provider())))


@pytest.fixture(scope="module", params=NAMES)
def scenario(request):
    name = request.param
    outcomes = []
    for stream in (False, True):
        runner = build(agents, aimu.client(provider()))[name]
        if stream:
            with runner.run("Begin.", stream=True) as chunks:
                text = list(chunks)[-1].content
        else:
            text = runner.run("Begin.")
        outcomes.append((text, without_ids(runner.messages)))
    assert outcomes[0] == outcomes[1]
    return name, outcomes[0]


async def test_every_runner_does_the_same_on_both_surfaces(scenario):
    name, (text, histories) = scenario
    runner = build(aio, aio.client(provider()))[name]
    assert await runner.run("Begin.") == text
    assert without_ids(runner.messages) == histories


@pytest.mark.parametrize("name", NAMES)
def test_a_bare_stream_ends_with_the_answer_of_the_plain_run(name):
    plain = build(agents, aimu.client(provider()))[name].run("Begin.")
    chunks = list(build(agents, aimu.client(provider()))[name].run("Begin.", stream=True))
    assert chunks[-1].content == plain
    assert [chunk.phase for chunk in chunks].count("done") == 1


def test_a_sync_runner_has_the_fields_of_its_async_twin():
    client = aimu.client(provider(), tools=[add])
    agent = Agent(client, name="a")
    assert (agent.name, agent.max_iterations, agent.tools) == ("a", 10, [add])
    assert agent.model_client is agent.model_client is not client
    assert isinstance(agent.model_client, aimu.ModelClient)
    agent.tools = []
    assert agent.__aio__.model_client.tools == []
    agent.system_message = "Be brief."
    assert agent.model_client.messages == [{"role": "system", "content": "Be brief."}]
    with pytest.raises(InvalidOptionError):
        agent.max_iterations = "many"
        Agent(client, max_iterations=0)


def test_sub_runners_are_the_given_objects_and_their_lists_can_be_changed():
    client = aimu.client(provider())
    one, two = Agent(client, "one", "one"), Agent(client, "two", "two")
    steps = [one]
    chain = Chain(steps)
    assert chain.agents is steps
    chain.agents.append(two)
    assert chain.run("x") == "two: one: x"
    assert list(chain.messages) == ["one", "two"]
    made = Chain.from_client(client, ["one", "two"])
    assert all(isinstance(step, Agent) for step in made.agents)
    made.agents.pop()
    assert made.run("x") == "one: x"
    router = Router(one, {"one": two})
    assert (router.routing_agent, router.handlers["one"], router.fallback) == (one, two, None)


class Shout(agents.Runner):
    """A user runner."""

    def __init__(self, agent):
        self.agent = agent
        self.threads = []

    @property
    def messages(self):
        return self.agent.messages

    def run(self, task, generate_kwargs=None, stream=False, images=None):
        self.threads.append(threading.current_thread())
        if stream:
            return self.agent.run(task, generate_kwargs, stream=True, images=images)
        return self.agent.run(task, generate_kwargs, images=images).upper()


class Loud(aimu.ModelClient):
    """A user client."""

    def chat(self, user_message, generate_kwargs=None, use_tools=True, stream=False, images=None, include=None, **rest):
        said = super().chat(user_message.upper(), generate_kwargs, use_tools, stream, images, include, **rest)
        return said if stream else said + "!"


def own(system="own", name="own"):
    return Shout(Agent(aimu.client(provider()), system, name))


@pytest.mark.parametrize("stream", [False, True])
def test_a_user_runner_in_a_chain_runs_in_the_callers_thread(stream):
    step = own()
    chain = Chain([step, Agent(aimu.client(provider()), "after", "after")])
    if stream:
        chunks = list(chain.run("x", stream=True))
        assert {chunk.agent for chunk in chunks} == {"own", "after", "chain"}
        assert chunks[-1].content == "after: own: x"
    else:
        assert chain.run("x") == "after: OWN: X"
    assert step.threads == [threading.current_thread()]
    assert list(chain.messages) == ["own", "after"]
    assert chain.agents[0] is step


@pytest.mark.parametrize("stream", [False, True])
def test_parallel_user_runners_run_in_worker_threads(stream):
    workers = [own(name="a"), own(name="b")]
    parallel = Parallel(workers, separator="+")
    if stream:
        with parallel.run("x", stream=True) as chunks:
            seen = list(chunks)
        assert {chunk.agent for chunk in seen} == {"a", "b", "parallel"}
        assert seen[-1].content == "own: x+own: x"
    else:
        assert parallel.run("x") == "OWN: X+OWN: X"
    assert threading.current_thread() not in workers[0].threads + workers[1].threads
    assert list(parallel.messages) == ["a", "b"]


@pytest.mark.parametrize("stream", [False, True])
def test_an_agent_works_on_a_user_client(stream):
    agent = Agent(Loud(provider()), "agent", "a")
    if stream:
        assert list(agent.run("x", stream=True))[-1].content == "agent: X"
    else:
        assert agent.run("x") == "agent: X!"
    assert isinstance(agent.model_client, Loud)
    assert agent.messages["a"][1]["content"] == "X"
    assert agent.fork().run("y").startswith("agent: Y")
    assert len(agent.messages["a"]) == 3


def test_a_workflow_calls_the_run_of_a_user_agent():
    class Twice(Agent):
        def run(self, task, *args, **kwargs):
            return super().run(task * 2, *args, **kwargs)

    agent = Twice(aimu.client(provider()), "t", "t")
    assert Chain([agent]).run("x") == "t: xx"
    fork = agent.fork()
    assert Chain([fork]).run("y") == "t: yy"
    assert [message["content"] for message in fork.messages["t"]] == ["t", "yy", "t: yy"]
    assert len(agent.messages["t"]) == 3


def test_the_sync_surface_refuses_async_runners_and_clients_with_a_hint():
    client = aio.client(provider())
    with pytest.raises(
        InvalidOptionError, match="Agent of aimu.aio cannot be used in the sync surface; .* from aimu.agents"
    ):
        Chain([aio.Agent(client)])
    with pytest.raises(InvalidOptionError, match="aimu.client"):
        Agent(client)

    class Wrong(Shout):
        async def run(self, task, generate_kwargs=None, stream=False, images=None):
            return "never"

    with pytest.raises(InvalidOptionError, match="a run returned coroutine; .* need sync runners"):
        Chain([Wrong(own().agent)]).run("x")


async def test_the_async_surface_refuses_sync_clients_and_runners_with_a_hint():
    with pytest.raises(InvalidOptionError, match="must be an async client, .*aio.client"):
        aio.Agent(aimu.client(provider()))


def test_an_agent_used_as_a_client_runs_its_loop():
    agent = Agent(aimu.client(provider()), "add", "adder", [add])
    client = agent.as_model_client()
    assert client.chat("?") == "add: 5"
    assert client.messages is agent.model_client.messages
    assert Chain([Agent(client, name="outer")]).run("?") == "add: 5"


async def test_the_client_of_a_sync_agent_runs_the_agents_loop_also_in_async_code():
    agent = Agent(aimu.client(provider()), "add", "adder", [add], max_iterations=1)
    client = aio.client(agent.as_model_client())
    await client.chat("?")
    assert [message["role"] for message in agent.messages["adder"]] == [
        "system",
        "user",
        "assistant",
        "tool",
        "assistant",
    ]
    assert agent.messages["adder"][3]["status"] == "not_executed"  # at the agent's limit, not the client's
    fork = client.fork()
    await fork.chat("?")
    assert fork.messages[3]["status"] == "not_executed"
    assert len(agent.messages["adder"]) == 5


def test_the_messages_of_a_user_orchestrator_include_its_workers():
    class Desk(OrchestratorAgent):
        def __init__(self, client):
            self.left = Agent(client, "left side", "left")
            self.more = {"right": own("right side", "right")}

            @tool(name="left")
            def ask_left(task: str) -> str:
                """Ask."""
                return self.left.run(task)

            @tool(name="right")
            def ask_right(task: str) -> str:
                """Ask."""
                return self.more["right"].run(task)

            self._init_orchestrator(client, name="desk", system_message="delegate", tools=[ask_left, ask_right])

    desk = Desk(aimu.client(provider()))
    desk.run("x")
    assert list(desk.messages) == ["desk", "left", "right"]
    assert [message["content"] for message in desk.messages["desk"] if message["role"] == "tool"] == [
        "left side: l",
        "RIGHT SIDE: R",
    ]
    assert desk.agent.name == "desk"
    with pytest.raises(InvalidOptionError, match="_init_orchestrator"):
        type("Empty", (OrchestratorAgent,), {})().run("x")


def test_a_failure_in_parallel_cancels_the_other_workers_and_raises_a_group():
    failing = Agent(aimu.client(ScriptedProvider(ValueError("no"))), name="bad")
    waiting = Agent(aimu.client(ScriptedProvider(reply("late", delay=3600.0))), name="slow")
    with pytest.raises(ExceptionGroup) as caught:
        Parallel([waiting, failing]).run("x")
    assert isinstance(caught.value.exceptions[0], ValueError)
    assert waiting.messages["slow"] == []


@pytest.mark.parametrize("stream", [False, True])
def test_a_sync_call_in_a_cancelled_worker_thread_is_cancelled(stream):
    begun = threading.Event()
    provider = ScriptedProvider(lambda request: begun.set() or reply("late", delay=3600.0))
    slow = Shout(Agent(aimu.client(provider), name="slow"))

    @tool(raises=KeyError)
    def fail() -> str:
        """Fail once the other one works."""
        assert begun.wait(10)
        raise KeyError("no")

    failing = Agent(aimu.client(ScriptedProvider(reply(calls=[("fail", {})]))), name="bad", tools=[fail])
    parallel = Parallel([slow, failing])
    with pytest.raises(ExceptionGroup) as caught:
        if stream:
            with parallel.run("x", stream=True) as chunks:
                list(chunks)
        else:
            parallel.run("x")
    assert isinstance(caught.value.exceptions[0], KeyError)
    assert slow.messages == {"slow": []}


def test_an_entered_parallel_stream_is_live():
    first = threading.Event()

    @tool
    def wait() -> str:
        """Wait until the reader has seen the other worker."""
        assert first.wait(10)
        return "waited"

    slow = Agent(aimu.client(ScriptedProvider(reply(calls=[("wait", {})]), "slow")), name="slow", tools=[wait])
    fast = Agent(aimu.client(ScriptedProvider("fast")), name="fast")
    with Parallel([slow, fast]).run("x", stream=True) as chunks:
        for chunk in chunks:
            if chunk.agent == "fast":
                first.set()
    assert chunks.result == "slow\n\n---\n\nfast"


def test_a_timeout_ends_a_sync_run():
    agent = Agent(aimu.client(ScriptedProvider(reply("late", delay=3600.0))))
    with pytest.raises(TimeoutError):
        agent.run("x", timeout=0.01)


def test_a_map_yields_results_with_their_index():
    agent = Agent(aimu.client(provider()), "m", "m")
    with agents.amap(agent, (f"t{n}" for n in range(50)), max_concurrency=8) as results:
        assert sorted(results) == [(n, f"m: t{n}") for n in range(50)]
    with agents.amap(lambda: own("o"), ["a", "b"], on_error="collect", progress=False) as results:
        assert sorted(results) == [(0, "O: A"), (1, "O: B")]
    with agents.amap(agent, ["a"] * 100) as results:
        next(results)
    assert agent.messages["m"] == [{"role": "system", "content": "m"}]
    with pytest.raises(InvalidOptionError):
        agents.amap(Chain([agent]), ["a"])


def test_evaluator_optimizer_and_plan_execute_evaluator_have_sync_twins():
    client = aimu.client(provider())
    planner = PlanExecuteEvaluator.from_client(client, judge_client=aimu.client(ScriptedProvider("Score: 1")))
    assert (planner.planner.name, planner.executor.name, planner.pass_threshold) == ("planner", "executor", 0.7)
    assert planner.run("x")
    assert EvaluatorOptimizer.from_client(client, "a", "b").generator.name == "generator"


def test_an_mcp_client_serves_sync_agents():
    import fastmcp

    server = fastmcp.FastMCP("sums")
    server.tool(add.__wrapped__ if hasattr(add, "__wrapped__") else lambda a, b: a + b, name="add")
    with aimu.tools.MCPClient(server=server) as mcp:
        assert [entry["function"]["name"] for entry in mcp.get_tools()] == ["add"]
        agent = Agent(aimu.client(provider(), mcp_client=mcp), "add", "adder")
        assert agent.run("?") == "add: 5"
        assert agent.model_client.mcp_client is mcp
    mcp.close()


def test_anyio_is_usable_in_async_tools_of_sync_agents():
    @tool(name="add")
    async def slowly(a: int, b: int) -> int:
        """Add."""
        await anyio.lowlevel.checkpoint()
        return a + b

    assert Agent(aimu.client(provider()), "add", tools=[slowly]).run("?") == "add: 5"


@pytest.mark.parametrize("entered", [False, True])
def test_the_text_stream_is_read_like_the_stream(entered):
    def look():
        """Look."""
        return "seen"

    provider = ScriptedProvider(reply("Let me see. ", thinking="hm", calls=[("look", {})]), "It is here.")
    stream = Agent(aimu.client(provider), tools=[look]).run("Look.", stream=True)
    if entered:
        with stream:
            texts = list(stream.text_stream)
    else:
        texts = [next(stream.text_stream)]
        for text in stream.text_stream:
            texts.append(text)
            break
        texts += stream.text_stream
    assert texts == ["Let ", "me ", "see. ", "It ", "is ", "here."]
    assert stream.result == "It is here."
    assert stream.result.requests == 2


@pytest.mark.parametrize("parallel", [False, True])
@pytest.mark.parametrize("item", [None, "text", StreamChunk(StreamingContentType.GENERATING, b"x")])
def test_a_chunk_of_a_users_runner_that_is_not_right_is_an_error_that_says_so(item, parallel):
    class Yields(Runner):
        messages: ClassVar = {}

        def run(self, task, generate_kwargs=None, stream=False, images=None):
            yield StreamChunk(StreamingContentType.GENERATING, "a")
            yield item

    runner = Parallel([Yields()], on_error="collect") if parallel else Chain([Yields()])
    with pytest.raises(ExceptionGroup if parallel else InvalidOptionError) as caught:
        list(runner.run("Go.", stream=True))
    [error] = caught.value.exceptions if parallel else [caught.value]
    assert "a run yielded" in str(error)
