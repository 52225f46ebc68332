"""Runs whose answer must have a type: retries, tools beside it, workflows, foreign runners, streams."""

import json
import typing
from functools import partial

import anyio
import pytest
from anyio.lowlevel import checkpoint

import aimu
from aimu import aio
from aimu._core.messages import check_history
from aimu.aio import StreamingContentType
from aimu.errors import InvalidOptionError, OutputError, RateLimitError, TruncatedError
from aimu.testing import ScriptedProvider, cancel_everywhere, reply
from aimu.types import Answer, StopReason
from tests.output.kinds import KINDS, Cat, Tree

CAT, DOG = '{"kind": "cat", "lives": 3}', '{"kind": "dog"}'
WRONG = "The answer does not fit:\n- kind: Input should be 'cat' (got 'dog')\nGive the whole answer again, corrected."


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def agent_of(*steps, **options):
    provider = ScriptedProvider(*steps)
    return aio.Agent(aio.client(provider), tools=[add], **options), provider


async def plain(runner, task="Go.", **options):
    return await runner.run(task, **options)


async def pulled(runner, task="Go.", **options):
    stream = runner.run(task, stream=True, **options)
    async for _ in stream:
        pass
    return stream.result


async def entered(runner, task="Go.", **options):
    async with runner.run(task, stream=True, **options) as stream:
        async for _ in stream:
            pass
        return stream.result


WAYS = pytest.mark.parametrize("way", [plain, pulled, entered])
MODES = pytest.mark.parametrize("mode", ["auto", "schema", "tool", "prompt"])


@WAYS
@MODES
@pytest.mark.parametrize("name", ["model", "list", "attrs", "recursive", "optional", "dict"])
async def test_an_answer_has_its_value_and_is_its_text(way, mode, name):
    kind, texts = KINDS[name]
    for text, value in texts.items():
        agent, provider = agent_of(text)
        answer = await way(agent, output_type=kind, output_mode=mode)
        assert (answer.output, str(answer), type(answer)) == (value, text, Answer)
        assert agent.history[-1] == {"role": "assistant", "content": text}
        assert (provider.requests[0].output is None) == (mode == "prompt")


@WAYS
async def test_an_answer_that_does_not_fit_goes_back_with_the_reasons(way):
    agent, provider = agent_of(DOG, CAT)
    answer = await way(agent, output_type=Cat)
    assert (answer.output, answer.requests, answer.iterations) == (Cat(kind="cat", lives=3), 2, 1)
    assert [message["content"] for message in agent.history] == ["Go.", DOG, WRONG, CAT]
    assert provider.requests[1].messages[-1]["content"] == WRONG
    assert agent.model_client.last_stop_reason is StopReason.END


@WAYS
async def test_the_last_retry_ends_with_all_reasons_and_the_history_stays(way):
    agent, _ = agent_of("no", DOG, "{}", CAT)
    with pytest.raises(OutputError, match="3 answers do not fit") as caught:
        await way(agent, output_type=Cat)
    assert (caught.value.reasons, caught.value.text) == (("kind: required, but missing",), "{}")
    assert agent.history[-1] == {"role": "assistant", "content": "{}", "stop_reason": "invalid_output"}
    check_history(agent.history)
    assert await agent.run("Once more.", output_type=Cat) == CAT


async def test_no_retry_means_one_answer():
    agent, _ = agent_of(DOG)
    with pytest.raises(OutputError, match="the answer does not fit") as caught:
        await agent.run("Go.", output_type=Cat, output_retries=0)
    assert caught.value.attempts == 1


@WAYS
@MODES
async def test_tools_run_before_the_answer(way, mode):
    agent, provider = agent_of(reply(calls=[("add", {"a": 1, "b": 2})]), CAT)
    answer = await way(agent, output_type=Cat, output_mode=mode)
    assert answer.output == Cat(kind="cat", lives=3)
    assert [message["role"] for message in agent.history] == ["user", "assistant", "tool", "assistant"]
    offered = [[tool["function"]["name"] for tool in request.tools] for request in provider.requests]
    assert offered == [["add", "final_answer"] if mode == "tool" else ["add"]] * 2


@WAYS
async def test_the_answer_as_a_tool_call_is_published_as_text_after_the_other_calls(way):
    agent, _ = agent_of(reply(calls=[("final_answer", {"kind": "cat", "lives": 3}), ("add", {"a": 1, "b": 2})]))
    answer = await way(agent, output_type=Cat, output_mode="tool")
    assert answer == CAT
    assert [message["role"] for message in agent.history] == ["user", "assistant", "tool", "assistant"]
    assert (agent.history[2]["content"], agent.history[3]["content"]) == ("3", CAT)
    assert [call["function"]["name"] for call in agent.history[1]["tool_calls"]] == ["add"]


async def test_a_wrong_answer_as_a_tool_call_is_tried_again():
    wrong = reply(calls=[("final_answer", {"kind": "dog"})])
    agent, _ = agent_of(wrong, reply(calls=[("final_answer", {"kind": "cat", "lives": 3})]))
    answer = await agent.run("Go.", output_type=Cat, output_mode="tool")
    assert answer == CAT
    assert [message["content"] for message in agent.history] == ["Go.", DOG, WRONG, CAT]


@pytest.mark.parametrize("mode", ["schema", "tool"])
async def test_retries_are_no_iterations_and_the_last_request_only_asks_for_the_answer(mode):
    call = reply(calls=[("add", {"a": 1, "b": 2})])
    agent, provider = agent_of(DOG, call, call, DOG, CAT, max_iterations=2)
    answer = await agent.run("Go.", output_type=Cat, output_mode=mode)
    assert (answer.output.lives, answer.iterations, answer.requests) == (3, 2, 5)
    assert answer.stop_reason is StopReason.ITERATION_LIMIT
    last = provider.requests[-1]
    names = [tool["function"]["name"] for tool in last.tools]
    assert (names, last.options.get("tool_choice")) == (
        (["final_answer"], None) if mode == "tool" else (["add"], "none")
    )


async def test_calls_beside_the_answer_at_the_limit_are_not_executed():
    both = reply(calls=[("add", {"a": 1, "b": 2}), ("final_answer", {"kind": "cat", "lives": 3})])
    agent, _ = agent_of(both, max_iterations=1)
    answer = await agent.run("Go.", output_type=Cat, output_mode="tool")
    assert answer == CAT
    assert agent.history[2]["status"] == "not_executed"
    check_history(agent.history)


async def test_an_answer_cut_by_max_tokens_is_an_error():
    agent, _ = agent_of(reply('{"kind": "cat"', stop_reason=StopReason.MAX_TOKENS), CAT)
    with pytest.raises(TruncatedError, match="inside the answer"):
        await agent.run("Go.", output_type=Cat)
    assert agent.history[-1]["stop_reason"] == "max_tokens"
    assert (await agent.run("Go.", output_type=Cat)).output.lives == 3


async def test_tools_that_the_user_forbids_do_not_forbid_the_answer():
    agent, provider = agent_of(reply(calls=[("final_answer", {"kind": "cat", "lives": 3})]))
    options = {"tool_choice": "none"}
    answer = await agent.run("Go.", options, output_type=Cat, output_mode="tool")
    assert answer.output == Cat(kind="cat", lives=3)
    [request] = provider.requests
    assert ([tool["function"]["name"] for tool in request.tools], request.options) == (["final_answer"], {})


async def test_the_prompt_mode_adds_the_schema_to_the_message():
    agent, provider = agent_of(f"Here it is:\n```json\n{CAT}\n```")
    answer = await agent.run("Go.", output_type=Cat, output_mode="prompt")
    assert answer.output == Cat(kind="cat", lives=3)
    assert agent.history[0]["content"].startswith("Go.\n\nAnswer with JSON alone")
    assert provider.requests[0].output is None
    image = "data:image/png;base64,iVBORw0KGgo="
    agent, _ = agent_of(CAT)
    await agent.run("Go.", images=[image], output_type=Cat, output_mode="prompt")
    assert [part["type"] for part in agent.history[0]["content"]] == ["text", "image_url", "text"]


async def test_a_client_holds_chat_and_generate_to_a_type():
    client = aio.client(ScriptedProvider(CAT, DOG, CAT))
    assert (await client.chat("Go.", output_type=Cat)).output.lives == 3
    messages = list(client.messages)
    assert (await client.generate("Go.", output_type=Cat)).output.lives == 3
    assert client.messages == messages


async def test_an_agent_as_a_client_is_held_too():
    agent, provider = agent_of(CAT)
    answer = await agent.as_model_client().chat("Go.", output_type=Cat)
    assert answer.output.lives == 3
    assert provider.requests[0].output.name == "Cat"


async def test_partial_data_appears_before_the_end_and_goes_at_a_retry():
    agent, _ = agent_of(DOG, reply('{"name": "root", "children": [{"name": "leaf"}]}', pieces=12))
    stream = agent.run("Go.", stream=True, output_type=Tree)
    assert stream.partial is None
    seen = []
    async for chunk in stream:
        if chunk.phase is StreamingContentType.GENERATING:
            seen.append((chunk.iteration, stream.partial))
    assert [data for iteration, data in seen if iteration == 0][-1] == {"kind": "dog"}
    second = [data for iteration, data in seen if iteration == 1]
    assert second[0] != {"kind": "dog"}
    assert {"name": "root"} in second
    assert stream.partial == {"name": "root", "children": [{"name": "leaf"}]}
    untyped = agent_of("{}")[0].run("Go.", stream=True)
    async for _ in untyped:
        assert untyped.partial is None


# Workflows: the runner that writes the answer is held to the type, and no other.


def typed_and_untyped(provider):
    return [request.output is not None for request in provider.requests]


@WAYS
async def test_the_last_step_of_a_chain(way):
    provider = ScriptedProvider("an outline", CAT)
    chain = aio.Chain.from_client(aio.client(provider), ["One.", "Two."])
    answer = await way(chain, output_type=Cat)
    assert answer.output == Cat(kind="cat", lives=3)
    assert typed_and_untyped(provider) == [False, True]


async def test_a_chain_of_one_agent_twice():
    provider = ScriptedProvider("an outline", CAT)
    agent = aio.Agent(aio.client(provider))
    assert (await aio.Chain([agent, agent]).run("Go.", output_type=Cat)).output.lives == 3
    assert typed_and_untyped(provider) == [False, True]


@WAYS
async def test_the_handler_of_a_router(way):
    provider = ScriptedProvider("b", CAT)
    router = aio.Router.from_client(aio.client(provider), "a or b", {"a": "A.", "b": "B."})
    assert (await way(router, output_type=Cat)).output.lives == 3
    assert typed_and_untyped(provider) == [False, True]


@WAYS
async def test_the_generator_of_an_evaluator_optimizer(way):
    provider = ScriptedProvider(CAT, "more lives", '{"kind": "cat"}', "PASS")
    workflow = aio.EvaluatorOptimizer.from_client(aio.client(provider), "Write.", "Judge.")
    assert (await way(workflow, output_type=Cat)).output.lives == 9
    assert typed_and_untyped(provider) == [True, False, True, False]


@WAYS
async def test_the_aggregator_of_a_parallel(way):
    provider = ScriptedProvider("one", "two", CAT)
    parallel = aio.Parallel.from_client(aio.client(provider), ["A.", "B."], aggregator_prompt="Join.")
    answer = await way(parallel, output_type=Cat)
    assert (answer.output.lives, len(answer.parts)) == (3, 2)
    assert typed_and_untyped(provider) == [False, False, True]


async def test_the_executor_of_a_planner():
    provider = ScriptedProvider("a plan", CAT, '{"score": 1, "reason": "good"}')
    workflow = aio.PlanExecuteEvaluator.from_client(aio.client(provider), criteria="It is a cat.")
    assert (await workflow.run("Go.", output_type=Cat)).output.lives == 3
    assert typed_and_untyped(provider) == [False, True, False]


async def test_an_orchestrator_itself():
    provider = ScriptedProvider(reply(calls=[("clerk", {"task": "look"})]), "found", CAT)
    client = aio.client(provider)
    team = aio.OrchestratorAgent.assemble(client, "Lead.", workers=[aio.Agent(client, "Work.", name="clerk")])
    assert (await team.run("Go.", output_type=Cat)).output.lives == 3
    assert typed_and_untyped(provider) == [True, False, True]


@pytest.mark.parametrize("wrap", [lambda p: p, lambda p: aio.Chain([p]), lambda p: aio.Router(p, {"a": p})])
async def test_joined_answers_have_no_type(wrap):
    agent, provider = agent_of()
    with pytest.raises(InvalidOptionError, match="needs an aggregator in 'parallel'"):
        wrap(aio.Parallel([agent, agent])).run("Go.", output_type=Cat)
    assert not provider.requests


class Own(aio.AsyncRunner):
    messages: typing.ClassVar = {}

    def __init__(self, text):
        self.text = text
        self.runs = 0

    async def run(self, task, generate_kwargs=None, stream=False, images=None):
        self.runs += 1
        return self.text


async def test_the_text_of_a_foreign_runner_is_checked_and_not_asked_again():
    own = Own(CAT)
    assert (await aio.Chain([Own("x"), own]).run("Go.", output_type=Cat)).output == Cat(kind="cat", lives=3)
    wrong = Own(DOG)
    with pytest.raises(OutputError, match="should be 'cat'"):
        await aio.Chain([wrong]).run("Go.", output_type=Cat)
    assert wrong.runs == 1


async def test_a_map_gives_values():
    agent, _ = agent_of(*[f'{{"kind": "cat", "lives": {n}}}' for n in range(5)])
    async with aio.amap(agent, ["Go."] * 5, max_concurrency=1, output_type=Cat) as results:
        assert {index: answer.output.lives async for index, answer in results} == dict(enumerate(range(5)))
    own = Own(DOG)
    async with aio.amap(lambda: own, ["Go."], on_error="collect", output_type=Cat) as results:
        assert [type(answer) async for _, answer in results] == [OutputError]


async def test_options_of_the_output_are_checked_at_the_call():
    agent, _ = agent_of()
    with pytest.raises(InvalidOptionError, match="output_mode needs output_type"):
        agent.run("Go.", output_mode="tool")
    with pytest.raises(InvalidOptionError, match="output_mode must be one of"):
        agent.model_client.chat("Go.", output_type=Cat, output_mode="json")
    with pytest.raises(InvalidOptionError, match="no JSON Schema"):
        aio.amap(agent, ["x"], output_type=Own)


async def test_a_failing_service_is_no_wrong_answer():
    agent, _ = agent_of(DOG, RateLimitError("no", retryable=False))
    with pytest.raises(RateLimitError):
        await agent.run("Go.", output_type=Cat)
    assert [message["content"] for message in agent.history] == ["Go.", DOG]
    check_history(agent.history)


def test_the_sync_surface_gives_the_same():
    provider = ScriptedProvider(reply(calls=[("add", {"a": 1, "b": 2})]), DOG, CAT)
    agent = aimu.agents.Agent(aimu.client(provider), tools=[add])
    thread = []
    answer = agent.run("Go.", output_type=Cat, output_validator=thread.append)
    assert answer.output == thread[0] == Cat(kind="cat", lives=3)
    histories = []
    for backend in ("asyncio", "trio"):
        twin, _ = agent_of(reply(calls=[("add", {"a": 1, "b": 2})]), DOG, CAT)
        anyio.run(partial(twin.run, "Go.", output_type=Cat), backend=backend)
        histories.append(json.dumps(twin.history))
    assert histories == [json.dumps(agent.messages["agent"])] * 2
    stream = agent.fork().run("Go.", stream=True, output_type=Cat)
    assert stream.partial is None


class Stopped:
    """A typed run with a tool, a wrong answer, a slow validator and a right answer."""

    def __init__(self, mode, *, stream):
        both = [("add", {"a": 1, "b": 2}), ("final_answer", {"kind": "dog"})] if mode == "tool" else DOG
        wrong = reply(calls=both) if mode == "tool" else both
        steps = [reply("One moment.", calls=[("add", {"a": 1, "b": 2})]), wrong, CAT]
        self.provider = ScriptedProvider(*steps, *[CAT] * 3)
        self.agent = aio.Agent(aio.client(self.provider), tools=[add])
        self.options = {"output_type": Cat, "output_mode": mode, "output_validator": self.validator}
        self.stream = stream

    async def validator(self, cat):
        await checkpoint()
        await checkpoint()

    async def run(self):
        if self.stream:
            async with self.agent.run("Go.", stream=True, **self.options) as stream:
                async for _ in stream:
                    pass
        else:
            await self.agent.run("Go.", **self.options)

    async def check(self, *, completed):
        history = self.agent.history
        check_history(history)
        assert not self.agent.model_client.conversation.busy
        asked = sum(message["content"] == WRONG for message in history)
        wrong = sum(message["content"] == DOG for message in history)
        assert asked <= wrong <= 1
        if history and not completed:
            done = history[-1]["content"] == CAT and "stop_reason" not in history[-1]
            assert done or history[-1]["stop_reason"] == "interrupted"
        self.provider.steps = [*self.provider.steps[: len(self.provider.requests)], CAT]
        assert (await self.agent.run("Again.", output_type=Cat)).output.lives == 3


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("mode", ["schema", "tool"])
@pytest.mark.parametrize("stream", [False, True])
def test_cancelled_everywhere(backend, mode, stream):
    cancel_everywhere(lambda: Stopped(mode, stream=stream), backend=backend, minimum=8)
