"""An answer is its text, with the facts of its run; histories, chunks and prompts hold plain texts."""

import copy
import json
import pickle

import pytest

import aimu
from aimu import aio
from aimu._core.answer import Account
from aimu.aio import AsyncRunner, StreamingContentType
from aimu.evals import LLMJudgeScorer
from aimu.testing import ScriptedProvider, reply
from aimu.tools import tool
from aimu.types import Answer, Reply, StopReason, StreamChunk, Usage
from tests.workflows.models import agent, model, one_tool, read

ONE = Usage(input=3, output=2)


def total(requests):
    return Usage(input=3 * requests, output=2 * requests)


def said(text, **more):
    return reply(text, usage=ONE, **more)


def counted(answers=None):
    """Make a model that reports the same usage for every request."""
    return model({None: said("Plain.")} | {name: said(text) for name, text in (answers or {}).items()})


def odd_texts(value):
    """Yield every text at any depth that is not exactly a str."""
    if isinstance(value, str):
        if type(value) is not str:
            yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from odd_texts(key)
            yield from odd_texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from odd_texts(item)


def check_plain(provider, histories=(), chunks=()):
    assert not [*odd_texts([list(request.messages) for request in provider.requests])]
    assert not [*odd_texts([*dict(histories).values()])]
    assert not [*odd_texts([chunk.content for chunk in chunks])]


class Foreign(AsyncRunner):
    """A user's own runner around an agent, in one of the ways in which it can answer."""

    def __init__(self, inner, how):
        self.inner, self.how, self.name = inner, how, "foreign"

    @property
    def messages(self):
        return self.inner.messages

    async def run(self, task, generate_kwargs=None, stream=False, images=None):
        if self.how == "hands on":
            return await self.inner.run(task, generate_kwargs, stream, images)
        if self.how == "chunks" and stream:
            return self.chunks(task)
        if self.how == "answer":
            return Answer("made", model="mine", usage=ONE)
        return str(await self.inner.run(task))

    async def chunks(self, task):
        async for chunk in self.inner.run(task, stream=True):
            yield chunk


# --- a text ---


def test_an_answer_is_its_text_wherever_a_text_is_expected():
    answer = Answer("Hello", usage=ONE)
    assert isinstance(answer, str)
    assert answer == "Hello"
    assert hash(answer) == hash("Hello")
    assert {answer: 1} == {"Hello": 1}
    assert json.dumps([answer, {answer: answer}]) == '["Hello", {"Hello": "Hello"}]'
    assert repr(answer) == "'Hello'"
    texts = [str(answer), f"{answer}", answer.upper(), answer[:2], answer + "!", "".join([answer]), answer.strip()]
    assert not [*odd_texts(texts)]
    assert Answer() == ""


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickling_keeps_the_facts(protocol):
    part = Answer("a", agent="one", stop_reason=StopReason.MAX_TOKENS)
    answer = Answer("Hello", usage=ONE, cost=0.0, requests=2, parts=(part,), new_messages=[{"role": "user"}])
    again = pickle.loads(pickle.dumps(answer, protocol))
    assert type(again) is Answer
    assert again == "Hello"
    assert vars(again) == vars(answer)
    assert again.parts[0].stop_reason is StopReason.MAX_TOKENS


def test_copies_are_equal_and_keep_the_facts():
    answer = Answer("Hello", usage=ONE, new_messages=[{"role": "user", "content": "Hi"}])
    for again in (copy.copy(answer), copy.deepcopy(answer)):
        assert again == answer
        assert vars(again) == vars(answer)
    assert copy.deepcopy(answer).new_messages[0] is not answer.new_messages[0]


def test_the_same_class_is_at_every_door():
    assert aimu.Answer is aio.Answer is Answer


# --- facts of a turn ---


async def test_a_chat_tells_what_its_turn_took():
    client = aio.client(ScriptedProvider(said("Hello."), said("Again.")))
    answer = await client.chat("Hi")
    assert type(answer) is Answer
    assert answer == "Hello."
    assert (answer.usage, answer.cost, answer.requests, answer.iterations) == (ONE, None, 1, 1)
    assert (answer.stop_reason, answer.model, answer.agent) == (StopReason.END, "scripted", None)
    assert (answer.parts, answer.output) == ((), None)
    assert answer.new_messages == client.messages
    assert all(new is kept for new, kept in zip(answer.new_messages, client.messages, strict=True))
    again = await client.chat("And?")
    assert again.usage == ONE
    assert [message["content"] for message in again.new_messages] == ["And?", "Again."]


async def test_a_generated_answer_has_added_nothing_to_a_history():
    answer = await aio.client(ScriptedProvider(said("Hello."))).generate("Hi")
    assert (answer, answer.usage, answer.requests, answer.new_messages) == ("Hello.", ONE, 1, ())


@pytest.mark.parametrize("how", ["plain", "bare", "entered"])
async def test_an_agent_tells_the_same_however_it_is_run(how):
    @tool
    def look() -> str:
        """Look."""
        return "seen"

    provider = ScriptedProvider(said("", calls=[("look", {})]), said("Found."))
    runner = aio.Agent(aio.client(provider, system="Be brief."), name="finder", tools=[look])
    if how == "plain":
        answer = await runner.run("Look!")
    else:
        stream = runner.run("Look!", stream=True)
        if how == "entered":
            async with stream:
                chunks = await read(stream)
        else:
            chunks = await read(stream)
        answer = stream.result
        assert chunks[-1] == StreamChunk(StreamingContentType.DONE, "Found.", "finder", 1)
        assert stream.usage == answer.usage
        check_plain(provider, runner.messages, chunks)
    assert (answer, answer.agent, answer.iterations, answer.requests) == ("Found.", "finder", 2, 2)
    assert answer.usage == total(2)
    assert answer.new_messages == runner.messages["finder"][1:]
    check_plain(provider, runner.messages)


async def test_the_model_is_the_one_that_the_service_names():
    class Dated:
        spec = ScriptedProvider().spec

        async def complete(self, request):
            return Reply(text="Hello.", model="scripted-2026-11-01")

        async def stream(self, request):
            yield await self.complete(request)

        async def aclose(self):
            pass

    client = aio.client(Dated())
    assert (await client.chat("Hi")).model == "scripted-2026-11-01"
    stream = client.chat("Hi", stream=True)
    await read(stream)
    assert stream.result.model == "scripted-2026-11-01"


def test_the_cost_is_known_only_if_that_of_every_request_is():
    outer = Account()
    account = Account(outer)
    assert account.cost is None
    account.count(ONE, 0.0)
    assert (account.cost, outer.cost) == (0.0, 0.0)
    outer.count(None, None)
    account.count(None, 0.5)
    assert (account.cost, account.requests, account.usage) == (0.5, 2, ONE)
    assert (outer.cost, outer.requests, outer.usage) == (None, 3, ONE)


# --- the whole run ---


async def test_a_chain_tells_the_facts_of_its_last_step_and_the_totals_of_all():
    provider = counted({"one": "1", "two": "2"})
    chain = aio.Chain([agent(provider, "one"), agent(provider, "two")])
    answer = await chain.run("Go.")
    assert (answer, answer.agent, answer.usage, answer.requests, answer.iterations) == ("2", "two", total(2), 2, 1)
    assert answer.new_messages == chain.messages["two"][1:]
    check_plain(provider, chain.messages)


async def test_a_router_tells_the_facts_of_the_handler():
    provider = counted({"sort": "math", "math": "4"})
    router = aio.Router(agent(provider, "sort"), {"math": agent(provider, "math", "sort")})
    answer = await router.run("2 + 2?")
    assert (answer, answer.agent, answer.requests) == ("4", "sort_2", 2)
    assert router.messages[answer.agent][-1]["content"] == "4"
    check_plain(provider, router.messages)


async def test_an_evaluator_optimizer_tells_the_facts_of_the_draft():
    provider = model({"write": said("Draft."), "judge": [said("No."), said("PASS")]})
    runner = aio.EvaluatorOptimizer(agent(provider, "write"), agent(provider, "judge"))
    answer = await runner.run("Write.")
    assert (answer, answer.agent, answer.requests, answer.usage) == ("Draft.", "write", 4, total(4))
    assert answer.stop_reason is StopReason.END
    check_plain(provider, runner.messages)


async def test_a_plan_tells_the_facts_of_the_output_and_counts_the_judge():
    provider = model({"plan": said("1."), "do": said("Done."), "judge": said('{"score": 1, "reason": "good"}')})
    judge = LLMJudgeScorer(aio.client(provider, system="judge"))
    runner = aio.PlanExecuteEvaluator(agent(provider, "plan"), agent(provider, "do"), judge)
    answer = await runner.run("Do it.")
    assert (answer, answer.agent, answer.requests, answer.usage) == ("Done.", "do", 3, total(3))
    check_plain(provider, runner.messages)


async def test_joined_answers_have_parts_with_totals_of_their_own():
    provider = counted({"a": "A", "b": "B", "c": "C"})
    inner = aio.Chain([agent(provider, "a"), agent(provider, "b")])
    runner = aio.Parallel([inner, agent(provider, "c")], separator="|")
    answer = await runner.run("Go.")
    assert (answer, answer.agent, answer.model, answer.requests, answer.usage) == ("B|C", None, None, 3, total(3))
    assert (answer.iterations, answer.new_messages, answer.stop_reason) == (0, (), StopReason.END)
    assert [(part, part.agent, part.requests, part.usage) for part in answer.parts] == [
        ("B", "b", 2, total(2)),
        ("C", "c", 1, ONE),
    ]
    check_plain(provider, runner.messages)


async def test_joined_answers_end_as_the_first_of_them_that_did_not_end_normally():
    provider = model({"a": "A", "b": reply("B", stop_reason=StopReason.MAX_TOKENS)})
    answer = await aio.Parallel([agent(provider, "a"), agent(provider, "b")]).run("Go.")
    assert answer.stop_reason is StopReason.MAX_TOKENS


async def test_an_aggregator_writes_the_answer_of_its_parts():
    provider = counted({"a": "A", "b": "B", "sum": "AB"})
    runner = aio.Parallel([agent(provider, "a"), agent(provider, "b")], aggregator=agent(provider, "sum"))
    answer = await runner.run("Go.")
    assert (answer, answer.agent, answer.requests, answer.parts) == ("AB", "sum", 3, ("A", "B"))
    assert answer.new_messages == runner.messages["sum"][1:]
    check_plain(provider, runner.messages)


async def test_the_winner_of_a_race_is_named():
    provider = counted({"a": "A"})
    race = aio.Parallel([agent(provider, "a"), agent(provider, "a")], first=1, max_concurrency=1)
    answer = await race.run("Go.")
    assert (answer, answer.parts, answer.model) == ("A", ("A",), "scripted")
    assert answer.new_messages == race.messages[answer.agent][1:]
    assert [len(history) for name, history in race.messages.items() if name != answer.agent] == [1]


async def test_an_orchestrator_counts_its_workers():
    call = reply(calls=[("search", {"task": "Look."})])
    provider = model({"lead": [call, "Found."], "look": said("Here.")})
    worker = agent(provider, "look", "search")
    lead = aio.OrchestratorAgent.assemble(aio.client(provider), "lead", workers=[worker])
    answer = await lead.run("Find it.")
    assert (answer, answer.agent, answer.requests, answer.usage) == ("Found.", "orchestrator", 3, ONE)
    check_plain(provider, lead.messages)


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_run_counts_the_runs_of_its_tools(streamed):
    provider = model({"lead": one_tool("ask", "Found."), "look": said("Here.")})
    helper = agent(provider, "look")

    @tool
    async def ask() -> str:
        """Ask."""
        if streamed:
            return [chunk.content async for chunk in helper.run("Look.", stream=True)][-1]
        return await helper.run("Look.")

    lead = agent(provider, "lead", tools=[ask])
    answer = await lead.run("Find it.")
    assert (answer.requests, answer.usage) == (3, ONE)
    assert answer.agent == "lead"
    check_plain(provider, lead.messages | helper.messages)


# --- users' own runners ---


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("how", ["hands on", "chunks", "text", "answer"])
async def test_a_users_own_runner_counts_and_names_itself(how, streamed):
    provider = counted({"in": "Inner.", "out": "Outer."})
    own = Foreign(agent(provider, "in"), how)
    chain = aio.Chain([agent(provider, "out"), own])
    stream = chain.run("Go.", stream=True)
    answer = (await read(stream), stream.result)[1] if streamed else await chain.run("Go.")
    expected = "made" if how == "answer" else "Inner."
    requests = 1 if how == "answer" else 2
    assert (answer, answer.agent, answer.requests, answer.usage) == (expected, "in", requests, total(requests))
    assert answer.model == {"hands on": "scripted", "answer": "mine"}.get(how)
    check_plain(provider, chain.messages)


async def test_the_text_of_a_users_own_runner_alone_becomes_an_answer_in_amap():
    class Echo(AsyncRunner):
        messages = {}  # noqa: RUF012 - it has none

        async def run(self, task, generate_kwargs=None, stream=False, images=None):
            return task

    async with aio.amap(Echo, ["a"]) as results:
        [(index, answer)] = [item async for item in results]
    assert (index, answer, type(answer)) == (0, "a", Answer)


async def test_the_items_of_amap_are_answers():
    provider = counted({"one": "1"})
    async with aio.amap(agent(provider, "one"), ["a", "b"]) as results:
        answers = [answer async for _, answer in results]
    assert [(answer, answer.agent, answer.requests, answer.usage) for answer in answers] == [("1", "one", 1, ONE)] * 2


async def test_answers_in_prompts_system_messages_and_tool_results_become_plain():
    provider = ScriptedProvider(reply(calls=[("give", {})]), "Done.", "Next.")

    @tool
    def give() -> str:
        """Give."""
        return Answer("given", usage=ONE)

    client = aio.client(provider, system=Answer("Be brief."), tools=[give])
    answer = await client.chat(Answer("Hi"))
    await client.chat(answer)
    check_plain(provider, {"": client.messages})


def test_sync_answers_have_the_same_facts():
    provider = counted({"one": "1", "two": "2"})
    client = aimu.client(provider)
    assert type(client.chat("Hi")) is Answer
    chain = aimu.agents.Chain.from_client(client, ["one", "two"])
    answer = chain.run("Go.")
    assert (answer, answer.agent, answer.requests, answer.usage) == ("2", "step_2", 2, total(2))
    with chain.run("Go.", stream=True) as stream:
        chunks = list(stream)
    assert vars(stream.result).keys() == vars(answer).keys()
    assert (stream.result, stream.result.agent, stream.result.requests) == ("2", "step_2", 2)
    check_plain(provider, chain.messages, chunks)


def test_a_sync_run_counts_the_runs_of_its_tools_and_judges():
    provider = model({"lead": one_tool("ask", "Found."), "look": said("Here."), "judge": said('{"score": 1}')})
    helper = aimu.agents.Agent(aimu.client(provider), "look")

    def ask() -> str:
        """Ask."""
        return helper.run("Look.")

    for concurrent in (False, True):
        lead = aimu.agents.Agent(aimu.client(provider), "lead", tools=[ask], concurrent_tool_calls=concurrent)
        assert lead.run("Find it.").requests == 3


@pytest.mark.parametrize("streamed", [False, True])
def test_a_users_own_sync_runner_keeps_the_facts_of_its_answer(streamed):
    provider = counted({"in": "Inner.", "out": "Outer."})
    inner = aimu.agents.Agent(aimu.client(provider), "in", "in")

    class Own(aimu.agents.Runner):
        @property
        def messages(self):
            return inner.messages

        def run(self, task, generate_kwargs=None, stream=False, images=None):
            return inner.run(task, generate_kwargs, stream, images)

    for runner in (
        aimu.agents.Chain([aimu.agents.Agent(aimu.client(provider), "out"), Own()]),
        aimu.agents.Parallel([Own()], aggregator=None),
    ):
        if streamed:
            with runner.run("Go.", stream=True) as stream:
                chunks = list(stream)
            answer = stream.result
            check_plain(provider, runner.messages, chunks)
        else:
            answer = runner.run("Go.")
        asked = 2 if isinstance(runner, aimu.agents.Chain) else 1
        assert (answer, answer.agent, answer.model, answer.requests) == ("Inner.", "in", "scripted", asked)
        assert answer.usage == total(asked)
