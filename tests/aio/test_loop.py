"""The loop of a turn: requests, tools, limits, and the handling of invalid calls and answers."""

import logging

import anyio
import pytest
from anyio.lowlevel import checkpoint

from aimu import aio
from aimu._core.messages import check_history
from aimu._core.reply import StopReason, ToolCall, Usage
from aimu.errors import InvalidOptionError, RefusedError, ToolNameClashError, TruncatedError
from aimu.testing import ScriptedProvider, reply
from aimu.tools import tool


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def agent_of(provider, **kwargs):
    return aio.Agent(aio.client(provider, system="Be brief."), **({"tools": [add]} | kwargs))


async def test_a_task_that_needs_one_tool_takes_exactly_two_requests():
    with ScriptedProvider(reply(calls=[("add", {"a": 2, "b": 3})]), "It is 5.") as provider:
        assert await agent_of(provider).run("2 + 3?") == "It is 5."
    first, second = provider.requests
    assert [message["role"] for message in first.messages] == ["system", "user"]
    assert [message["role"] for message in second.messages] == ["system", "user", "assistant", "tool"]
    assert second.messages[-1]["content"] == "5"
    assert first.tools == second.tools


async def test_an_agent_at_its_limit_answers_the_calls_and_asks_for_a_final_answer():
    call = reply("Hm.", calls=[("add", {"a": 1, "b": 1})])
    with ScriptedProvider(call, call, "Enough.") as provider:
        agent = agent_of(provider, max_iterations=2)
        assert await agent.run("Go.") == "Enough."
    tools = [message for message in agent.messages["agent"] if message["role"] == "tool"]
    assert [message.get("status") for message in tools] == [None, "not_executed"]
    assert provider.requests[2].options["tool_choice"] == "none"
    assert provider.requests[2].tools == provider.requests[0].tools
    check_history(agent.messages["agent"])


async def test_a_call_in_the_final_answer_gets_a_result_too():
    call = reply("Again!", calls=[("add", {"a": 1, "b": 1})])
    with ScriptedProvider(call, call) as provider:
        agent = agent_of(provider, max_iterations=1)
        assert await agent.run("Go.") == "Again!"
    check_history(agent.messages["agent"])


async def test_an_agent_continues_after_an_empty_reply_and_a_chat_returns_it():
    with ScriptedProvider("", "Now I know.") as provider:
        agent = agent_of(provider, continuation_prompt="Go on!")
        assert await agent.run("Think.") == "Now I know."
    assert provider.requests[1].messages[-1] == {"role": "user", "content": "Go on!"}
    with ScriptedProvider("") as provider:
        assert await aio.client(provider).chat("Think.") == ""


async def test_a_required_tool_is_required_in_the_first_request_only():
    with ScriptedProvider(reply(calls=[("add", {"a": 1, "b": 1})]), "2") as provider:
        await agent_of(provider).run("1 + 1", {"tool_choice": "required"})
    assert provider.requests[0].options["tool_choice"] == "required"
    assert "tool_choice" not in provider.requests[1].options


async def test_the_model_gets_the_reason_for_an_invalid_call():
    calls = [
        ToolCall("c1", "add", '{"a": 1,'),
        ToolCall("c2", "add", '{"a": "one", "b": 2}'),
        ToolCall("c3", "subtract", "{}"),
        ToolCall("c4", "add", '{"a": "3", "b": 4}'),
    ]
    with ScriptedProvider(reply(calls=calls), "Sorry.") as provider:
        agent = agent_of(provider)
        await agent.run("Go.")
    results = [message["content"] for message in agent.messages["agent"] if message["role"] == "tool"]
    assert "JSON" in results[0]
    assert "a: " in results[1]
    assert "subtract" in results[2]
    assert results[3] == "7"


@pytest.mark.parametrize("concurrent", [False, True])
async def test_each_of_two_calls_with_the_same_id_gets_a_result(concurrent):
    calls = [ToolCall("same", "add", '{"a": 1, "b": 1}'), ToolCall("same", "add", '{"a": 2, "b": 2}')]
    with ScriptedProvider(reply(calls=calls), "Done.", reply(calls=calls), "Again.") as provider:
        agent = agent_of(provider, concurrent_tool_calls=concurrent)
        assert await agent.run("Add.") == "Done."
        assert await agent.run("Add again.") == "Again."
    history = agent.messages["agent"]
    check_history(history)
    asked = [call["id"] for call in history[2]["tool_calls"]]
    assert asked[0] == "same" != asked[1]
    assert [(m["tool_call_id"], m["content"]) for m in history[3:5]] == [(asked[0], "2"), (asked[1], "4")]


async def test_the_failure_of_a_tool_is_sent_to_the_model_and_logged(caplog):
    @tool
    def broken(x: int) -> int:
        """Fails."""
        raise OSError("disk on fire")

    with ScriptedProvider(reply(calls=[("broken", {"x": 1})]), "It failed.") as provider:
        agent = agent_of(provider, tools=[broken])
        assert await agent.run("Go.") == "It failed."
    assert "disk on fire" in agent.messages["agent"][-2]["content"]
    assert any(record.levelno == logging.WARNING and record.exc_info for record in caplog.records)


async def test_a_tool_stops_the_run_with_an_exception_that_it_declares():
    @tool(raises=PermissionError)
    async def guarded(x: int) -> int:
        """Fails."""
        raise PermissionError("not you")

    agent = agent_of(ScriptedProvider(reply(calls=[("guarded", {"x": 1})])), tools=[guarded], name="clerk")
    with pytest.raises(PermissionError, match="not you") as caught:
        await agent.run("Go.")
    assert caught.value.__notes__ == ["in tool 'guarded'", "in agent 'clerk', iteration 0"]
    check_history(agent.messages["clerk"])
    assert "not you" in agent.messages["clerk"][-1]["content"]


@pytest.mark.parametrize(("concurrent", "most"), [(False, 1), (True, 4), (2, 2)])
async def test_concurrent_tool_calls_overlap_up_to_the_limit_and_keep_their_order(concurrent, most):
    running = peak = 0

    @tool
    async def square(n: int) -> int:
        """Square."""
        nonlocal running, peak
        running += 1
        peak = max(peak, running)
        for _ in range(10 - n):  # the first call ends last
            await checkpoint()
        running -= 1
        return n * n

    provider = ScriptedProvider(reply(calls=[("square", {"n": n}) for n in (1, 2, 3, 4)]), "Done.")
    agent = agent_of(provider, tools=[square], concurrent_tool_calls=concurrent)
    await agent.run("Go.")
    assert peak == most
    results = [message["content"] for message in agent.messages["agent"] if message["role"] == "tool"]
    assert results == ["1", "4", "9", "16"]


async def test_an_exclusive_tool_overlaps_no_other():
    running = set()

    @tool
    async def free(n: int) -> int:
        """Runs beside others."""
        assert "exclusive" not in running
        running.add(n)
        await checkpoint()
        running.discard(n)
        return n

    @tool(exclusive=True)
    async def alone(n: int) -> int:
        """Runs alone."""
        assert not running
        running.add("exclusive")
        await checkpoint()
        running.discard("exclusive")
        return n

    calls = [("free", {"n": 1}), ("free", {"n": 2}), ("alone", {"n": 3}), ("free", {"n": 4})]
    agent = agent_of(ScriptedProvider(reply(calls=calls), "Done."), tools=[free, alone], concurrent_tool_calls=True)
    await agent.run("Go.")
    results = [message["content"] for message in agent.messages["agent"] if message["role"] == "tool"]
    assert results == ["1", "2", "3", "4"]


async def test_an_exception_that_stops_a_run_beside_another_call_is_raised_without_a_group():
    @tool(raises=LookupError)
    async def fails(n: int) -> int:
        """Fails."""
        await checkpoint()
        raise LookupError(str(n))

    provider = ScriptedProvider(reply(calls=[("fails", {"n": 1}), ("add", {"a": 1, "b": 1})]))
    with pytest.raises(LookupError, match="1"):
        await agent_of(provider, tools=[fails, add], concurrent_tool_calls=True).run("Go.")


async def test_a_truncated_answer_with_text_is_returned_with_a_warning(caplog):
    client = aio.client(ScriptedProvider(reply("Half an ans", stop_reason=StopReason.MAX_TOKENS)))
    assert await client.chat("Go.") == "Half an ans"
    assert client.last_stop_reason is StopReason.MAX_TOKENS
    assert "max_tokens" in caplog.text


@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_truncated_inside_a_call_raises_and_keeps_its_text(stream):
    step = reply("Let me", calls=[("add", {"a": 1})], stop_reason=StopReason.MAX_TOKENS)
    client = aio.client(ScriptedProvider(step, "Fine."))
    with pytest.raises(TruncatedError) as caught:
        if stream:
            async with client.chat("Go.", stream=True) as chunks:
                async for _ in chunks:
                    pass
        else:
            await client.chat("Go.")
    assert caught.value.partial == "Let me"
    assert client.messages[-1] == {
        "role": "assistant",
        "content": "Let me",
        "interrupted": True,
        "stop_reason": "max_tokens",
    }
    assert await client.chat("Again.") == "Fine."


async def test_a_refusal_raises_and_an_empty_turn_is_removed():
    client = aio.client(ScriptedProvider(reply(stop_reason=StopReason.REFUSED), "Fine."))
    with pytest.raises(RefusedError):
        await client.chat("Something bad.")
    assert client.messages == []
    assert await client.chat("Something good.") == "Fine."


async def test_usage_is_summed_over_iterations_turns_and_conversations():
    use = Usage(input=10, output=2)
    call = reply(calls=[("add", {"a": 1, "b": 1})], usage=use)
    provider = ScriptedProvider(call, reply("2", usage=use), reply("Hi.", usage=use), reply("Ho.", usage=use))
    client = aio.client(provider, tools=[add])
    assert client.usage is None
    await client.chat("1 + 1")
    assert client.last_usage == Usage(input=20, output=4)
    await client.chat("Hello")
    assert client.last_usage == use
    assert client.usage == Usage(input=30, output=6)
    fork = client.fork()
    stream = fork.chat("Hello", stream=True)
    async for _ in stream:
        pass
    assert fork.usage == stream.usage == use
    assert client.provider.usage == Usage(input=40, output=8)


async def test_tools_with_the_same_name_are_refused_before_a_request():
    def make():
        @tool
        def add(a: int) -> int:
            """Another."""
            return a

        return add

    provider = ScriptedProvider()
    client = aio.client(provider, tools=[add, make()])
    with pytest.raises(ToolNameClashError, match="'add'"):
        await client.chat("Go.")
    assert not provider.requests
    assert not client.conversation.busy


async def test_the_chunks_of_a_call_show_its_start_and_its_result():
    provider = ScriptedProvider(reply(calls=[("add", {"a": 2, "b": 3})]), "It is 5.")
    chunks = [chunk async for chunk in agent_of(provider, name="clerk").run("2 + 3?", stream=True)]
    started, ended = (chunk.content for chunk in chunks if chunk.is_tool_call())
    assert started == {"id": "call_0001", "name": "add", "arguments": {"a": 2, "b": 3}}
    assert ended == {**started, "response": "5"}
    assert {chunk.agent for chunk in chunks} == {"clerk"}
    assert [chunk.iteration for chunk in chunks] == [0, 0, 1, 1, 1, 1]


async def test_an_agent_run_by_a_tool_shows_its_chunks_in_the_stream_of_the_run():
    inner = agent_of(ScriptedProvider("Inner words.", "Inner words."), name="inner", tools=[])

    @tool
    async def ask(question: str) -> str:
        """Ask the other agent."""
        return await inner.run(question)

    def outer():
        return agent_of(ScriptedProvider(reply(calls=[("ask", {"question": "Well?"})]), "Done."), tools=[ask])

    bare = [chunk async for chunk in outer().run("Go.", stream=True)]
    async with outer().run("Go.", stream=True) as stream:
        entered = [chunk async for chunk in stream]
    for chunks in (bare, entered):
        assert [c.content for c in chunks if c.agent == "inner"] == ["Inner ", "words."]
        assert sum(c.phase is aio.StreamingContentType.DONE for c in chunks) == 1


@pytest.mark.parametrize("number", [0, -1, 1.5, True, "many", None])
async def test_an_invalid_limit_raises_where_it_is_given(number):
    client = aio.client(ScriptedProvider())
    agent = aio.Agent(client)
    for make, holder, name in ((aio.Agent, agent, "max_iterations"), (aio.client, client, "max_tool_rounds")):
        with pytest.raises(InvalidOptionError, match=f"{name} must be an integer of at least 1"):
            make(client if make is aio.Agent else ScriptedProvider(), **{name: number})
        with pytest.raises(InvalidOptionError, match=f"{name} must be an integer of at least 1"):
            setattr(holder, name, number)
        assert getattr(holder, name) == 10


async def test_an_invalid_generate_kwarg_of_a_client_raises_where_it_is_given():
    client = aio.client(ScriptedProvider(), generate_kwargs={"seed": 1})
    for wrong in ({"temprature": 1}, {"temperature": "warm"}):
        with pytest.raises(InvalidOptionError, match=next(iter(wrong))):
            client.generate_kwargs = wrong
        with pytest.raises(InvalidOptionError, match=next(iter(wrong))):
            aio.client(ScriptedProvider(), generate_kwargs=wrong)
    assert client.generate_kwargs == {"seed": 1}


@pytest.mark.virtual_time
async def test_a_run_that_exceeds_its_timeout_raises_timeout_error_and_keeps_the_work_done():
    @tool
    async def slow(n: int) -> int:
        """Slow."""
        if n:
            await anyio.sleep(60)
        return n

    provider = ScriptedProvider(reply(calls=[("slow", {"n": 0})]), reply(calls=[("slow", {"n": 1})]), "Fine.")
    agent = agent_of(provider, tools=[slow])
    with pytest.raises(TimeoutError):
        await agent.run("Go.", timeout=0.05)
    history = agent.messages["agent"]
    check_history(history)
    assert [message.get("status") for message in history if message["role"] == "tool"] == [None, "cancelled"]
    assert await agent.run("Again.") == "Fine."


async def test_the_model_gets_an_error_for_arguments_nested_too_deeply():
    call = ToolCall("c1", "add", '{"a":' * 100_000)
    with ScriptedProvider(reply(calls=[call]), "Sorry.") as provider:
        assert await agent_of(provider).run("Go.") == "Sorry."
    assert "not a valid JSON object" in provider.requests[1].messages[-1]["content"]


@pytest.mark.parametrize("number", [-1, 1.5, None])
async def test_an_invalid_number_of_concurrent_calls_raises_where_it_is_given(number):
    client = aio.client(ScriptedProvider("Hi."))
    agent = aio.Agent(client)
    for holder in (client, agent, agent.model_client):
        with pytest.raises(InvalidOptionError, match="concurrent_tool_calls"):
            holder.concurrent_tool_calls = number
        assert holder.concurrent_tool_calls is False
    with pytest.raises(InvalidOptionError, match="concurrent_tool_calls"):
        aio.client(ScriptedProvider(), concurrent_tool_calls=number)
    if number is not None:  # None keeps the number of the client
        with pytest.raises(InvalidOptionError, match="concurrent_tool_calls"):
            aio.Agent(client, concurrent_tool_calls=number)
    assert await client.chat("Go.") == "Hi."
