"""A misspelt attribute of a client, an agent or a workflow is an error, and users' own classes have their own."""

import copy

import attrs
import pytest

import aimu
from aimu import agents, aio
from aimu.skills import SkillManager
from aimu.testing import ScriptedProvider
from aimu.tools import MCPClient

ROOMS = pytest.mark.parametrize(("clients", "runners"), [(aio, aio), (aimu, agents)], ids=["async", "sync"])


def made(clients, runners):
    client = clients.client(ScriptedProvider())
    agent = runners.Agent(client, name="a")
    return {
        "client": client,
        "agent": agent,
        "skill agent": runners.SkillAgent(client, skill_manager=SkillManager([])),
        "orchestrator": runners.OrchestratorAgent.assemble(client, "Lead.", workers=[agent]),
        "chain": runners.Chain([agent]),
        "router": runners.Router(agent, {"one": agent}),
        "parallel": runners.Parallel([agent]),
        "evaluator": runners.EvaluatorOptimizer(agent, agent),
        "planner": runners.PlanExecuteEvaluator.from_client(client, judge_client=client),
        "its client": agent.model_client,
        "as client": agent.as_model_client(),
        "fork": agent.fork(),
        "copy": copy.copy(agent),
    }


@ROOMS
@pytest.mark.parametrize("name", made(aio, aio))
def test_a_misspelt_attribute_is_an_error_that_suggests_the_right_one(clients, runners, name):
    thing = made(clients, runners)[name]
    kind = type(thing).__name__
    with pytest.raises(AttributeError, match=rf"^{kind} has no attribute 'mesages'; did you mean 'messages'\? For an"):
        thing.mesages = []
    with pytest.raises(AttributeError, match=rf"^{kind} has no attribute 'zzz'; for an attribute of your own, write a"):
        thing.zzz = 1
    assert not hasattr(thing, "mesages")


@ROOMS
@pytest.mark.parametrize(
    ("name", "wrong", "right"),
    [
        ("agent", "max_iteration", "max_iterations"),
        ("agent", "tool", "tools"),
        ("agent", "Name", "name"),
        ("client", "generate_kwarg", "generate_kwargs"),
        ("client", "system", "system_message"),
        ("router", "handler", "handlers"),
        ("parallel", "agregator", "aggregator"),
        ("chain", "agent", "agents"),
    ],
)
def test_settings_are_suggested(clients, runners, name, wrong, right):
    with pytest.raises(AttributeError, match=f"has no attribute '{wrong}'; did you mean '{right}'"):
        setattr(made(clients, runners)[name], wrong, None)


@ROOMS
def test_what_there_is_can_be_set_and_methods_can_be_replaced(clients, runners):
    things = made(clients, runners)
    agent, client = things["agent"], things["client"]
    agent.name, agent.tools, agent.max_iterations, agent.messages = "b", [], 3, {"b": []}
    client.tools, client.generate_kwargs, client.messages = [], {"seed": 1}, []
    things["parallel"].separator = things["parallel"].name = "-"
    agent.run = client.chat = things["chain"].run = print
    agent._mine = client._mine = things["chain"]._mine = 1
    assert (agent.name, agent.max_iterations, agent.run) == ("b", 3, print)


@ROOMS
def test_classes_of_users_have_attributes_of_their_own(clients, runners):
    @attrs.define(eq=False, slots=False)
    class Sized(runners.Parallel):
        size: int = 3

    class Named(runners.Agent):
        def __init__(self, client):
            super().__init__(client)
            self.tag = "mine"

    class Lead(runners.OrchestratorAgent):
        def __init__(self, client):
            self.worker = Named(client)
            self._init_orchestrator(client, name="lead", system_message="Lead.", tools=[])
            self.later = 1

    client = clients.client(ScriptedProvider())
    for thing in (Named(client), Named(client).fork(), Lead(client), Sized([Named(client)])):
        thing.anything = 2
        assert thing.anything == 2
    assert Named(client).fork().tag == "mine"


@ROOMS
def test_a_client_class_of_the_users_own_too(clients, runners):
    base = type(clients.client(ScriptedProvider())).__mro__[1]

    class Counted(base):
        def __init__(self, *given):
            super().__init__(*given)
            self.count = 0

    given = clients.client(ScriptedProvider())
    client = Counted(given.conversation)
    client.more = 1
    assert (client.count, client.more) == (0, 1)


def test_an_mcp_client_refuses_them_too():
    for kind in (MCPClient, aio.MCPClient):
        client = kind(config={"mcpServers": {"x": {"command": "true"}}})
        with pytest.raises(AttributeError, match="MCPClient has no attribute 'get_tool'; did you mean 'get_tools'"):
            client.get_tool = 1
