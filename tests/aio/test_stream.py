"""Streams: pulled and entered ones show the same and leave nothing behind."""

from contextlib import AsyncExitStack, aclosing
from itertools import chain

import anyio
import pytest
from anyio.lowlevel import checkpoint

from aimu import aio
from aimu.aio import StreamingContentType
from aimu.errors import InvalidImageError, InvalidOptionError, StreamClosedError
from aimu.testing import ScriptedProvider, reply
from aimu.tools import Tool, tool

PHASES = ["thinking", "generating", "done"]


def client_of(*steps):
    return aio.client(ScriptedProvider(*steps))


async def contents(stream):
    return [(str(chunk.phase), chunk.content) async for chunk in stream]


async def test_plain_pulled_and_entered_runs_give_the_same():
    step = reply("One two.", thinking="hm")
    plain = client_of(step)
    pulled, entered = client_of(step), client_of(step)
    text = await plain.chat("Go.")
    shown = await contents(pulled.chat("Go.", stream=True))
    async with await entered.chat("Go.", stream=True) as stream:
        assert await contents(stream) == shown
    assert shown == [("thinking", "hm"), ("generating", "One "), ("generating", "two."), ("done", "One two.")]
    assert stream.result == text == "One two."
    assert plain.messages == pulled.messages == entered.messages


async def test_text_arrives_as_the_model_produces_it():
    gate = anyio.Event()

    class Gated:
        spec = ScriptedProvider().spec

        async def complete(self, request):
            raise AssertionError("streamed")

        async def stream(self, request):
            async for item in ScriptedProvider("One two.").stream(request):
                yield item
                await gate.wait()

        async def aclose(self):
            pass

    async with aio.client(Gated()).chat("Go.", stream=True) as stream:
        assert (await anext(stream)).content == "One "
        gate.set()
        assert [chunk.content async for chunk in stream] == ["two.", "One two."]
    gate = anyio.Event()
    stream = aio.client(Gated()).chat("Go.", stream=True)
    assert (await anext(stream)).content == "One "
    gate.set()
    assert [chunk.content async for chunk in stream] == ["two.", "One two."]


async def test_include_filters_by_phase_and_refuses_a_wrong_name():
    step = reply("One two.", thinking="hm")
    for entered in (False, True):
        stream = client_of(step).chat("Go.", stream=True, include=["generating"])
        if entered:
            async with stream:
                shown = await contents(stream)
        else:
            shown = await contents(stream)
        assert shown == [("generating", "One "), ("generating", "two.")]
        assert stream.result == "One two."
    with pytest.raises(InvalidOptionError, match="'thinkin'"):
        client_of(step).chat("Go.", stream=True, include=["thinkin"])
    with pytest.raises(ValueError, match="must be a list, not the string 'thinking'"):
        client_of(step).chat("Go.", stream=True, include="thinking")


async def test_a_task_refused_before_the_first_request_ends_the_stream():
    stream = client_of().chat("Look.", images=[b"no image"], stream=True)
    with pytest.raises(InvalidImageError):
        await anext(stream)
    assert await contents(stream) == []
    await stream.aclose()


async def test_the_reader_may_chat_again_inside_the_block_after_done():
    client = client_of("One.", "Two.")
    async for chunk in client.chat("Go.", stream=True):
        if chunk.phase is StreamingContentType.DONE:
            assert await client.chat("Next") == "Two."
    assert len(client.messages) == 4


async def test_an_exception_in_the_block_is_raised_without_a_group():
    client = client_of("One two three.", "Fine.")
    with pytest.raises(KeyError):
        async with client.chat("Go.", stream=True) as stream:
            async for _ in stream:
                raise KeyError("mine")
    assert client.messages[1]["interrupted"]
    assert await client.chat("Next") == "Fine."


async def test_a_base_exception_of_a_tool_leaves_the_block_without_a_group():
    class Halt(BaseException):
        pass

    async def halt() -> str:
        raise Halt

    client = aio.client(ScriptedProvider(reply(calls=[("halt", {})])), tools=[halt])
    with pytest.raises(Halt):
        async with client.chat("Go.", stream=True) as stream:
            async for _ in stream:
                pass
    assert [message.get("status") for message in client.messages] == [None, None, "cancelled"]


@pytest.mark.parametrize("waiting", [False, True])
async def test_a_run_that_a_tool_left_in_the_background_continues_after_the_stream_ends(waiting):
    gate = anyio.Event()
    answers = []

    class Gated:
        spec = ScriptedProvider().spec

        async def complete(self, request):
            raise AssertionError("streamed")

        async def stream(self, request):
            if not waiting:
                await gate.wait()
            async for item in ScriptedProvider("word " * 40).stream(request):
                yield item

        async def aclose(self):
            pass

    behind = aio.Agent(aio.client(Gated()), name="behind")
    async with anyio.create_task_group() as group:

        async def go_on() -> None:
            answers.append(await behind.run("Go on."))

        def leave_behind() -> str:
            group.start_soon(go_on)
            return "Begun."

        script = ScriptedProvider(reply(calls=[("leave_behind", {})]), "Done.")
        client = aio.client(script, tools=[Tool(name="leave_behind", function=leave_behind, on_event_loop=True)])
        async with client.chat("Go.", stream=True) as stream:
            if waiting:
                await anyio.wait_all_tasks_blocked()  # with a full buffer
            else:
                assert (await contents(stream))[-1] == ("done", "Done.")
        gate.set()
    assert answers == ["word " * 40]


async def test_the_reader_gets_an_error_of_the_run_after_the_chunks_before_it():
    client = client_of(reply("One two", error=ConnectionError("cable")))
    seen = []
    with pytest.raises(ConnectionError, match="cable"):
        async with client.chat("Go.", stream=True) as stream:
            async for chunk in stream:
                seen.append(chunk.content)
    assert seen == ["One ", "two"]


@pytest.mark.virtual_time
async def test_a_cancelled_reader_gets_the_cancellation_and_no_other_error():
    client = client_of(reply("One two", delay=60))
    with anyio.move_on_after(0.05) as scope:
        async with client.chat("Go.", stream=True) as stream:
            async for _ in stream:
                pass
    assert scope.cancelled_caught
    assert client.messages == []


@pytest.mark.virtual_time
@pytest.mark.parametrize("entered", [False, True])
async def test_a_timeout_raises_timeout_error_and_keeps_the_text(entered):
    client = client_of(reply("One two three.", delay=0.04), "Fine.")
    stream = client.chat("Go.", stream=True, timeout=0.06)
    with pytest.raises(TimeoutError):
        if entered:
            async with stream:
                await contents(stream)
        else:
            await contents(stream)
    assert client.messages[1] == {
        "role": "assistant",
        "content": "One ",
        "interrupted": True,
        "stop_reason": "interrupted",
    }
    assert await client.chat("Next") == "Fine."


async def test_a_timeout_also_stops_a_pulled_stream_that_never_waits():
    class Endless:
        spec = ScriptedProvider().spec

        async def stream(self, request):
            from aimu._core.reply import Delta

            while True:
                yield Delta(StreamingContentType.GENERATING, "x")

        async def complete(self, request):
            raise AssertionError("streamed")

        async def aclose(self):
            pass

    stream = aio.client(Endless()).chat("Go.", stream=True, timeout=0.05)
    with pytest.raises(TimeoutError):
        async for _ in stream:
            pass


async def test_closing_stops_the_run_from_inside_and_outside_the_block():
    client = client_of("One two three.", "Four five six.", "Fine.")
    async with client.chat("Go.", stream=True) as stream:
        await anext(stream)
        await stream.aclose()
        assert client.messages[-1]["interrupted"]
    stream = client.chat("Go.", stream=True)
    await anext(stream)
    await stream.aclose()
    await stream.aclose()
    assert client.messages[-1]["interrupted"]
    assert await contents(stream) == []
    assert await client.chat("Next") == "Fine."


@pytest.mark.parametrize("steps", [0, 1, 9])
async def test_an_exit_stack_that_was_given_a_bare_stream_closes_it(steps):
    client = client_of("One two three.", "Fine.")
    async with AsyncExitStack() as stack:
        stream = client.chat("Go.", stream=True)
        stack.push_async_exit(stream)
        async for _ in stream:
            steps -= 1
            if steps <= 0:
                break
    assert not client.conversation.busy
    assert await contents(stream) == []
    assert await client.chat("Next") == "Fine."
    results = aio.amap(aio.Agent(client), ["a"])
    async with AsyncExitStack() as stack:
        stack.push_async_exit(results)


async def test_a_bare_stream_cannot_be_left_while_it_is_read():
    @tool(raises=anyio.BusyResourceError)
    async def leave() -> str:
        """Leave the stream of this run."""
        await stream.__aexit__(None, None, None)

    client = aio.client(ScriptedProvider(reply(calls=[("leave", {})]), "Fine."), tools=[leave])
    stream = client.chat("Go.", stream=True)
    with pytest.raises(anyio.BusyResourceError):
        await contents(stream)
    assert not client.conversation.busy
    assert await client.chat("Next") == "Fine."


async def test_closing_while_another_task_reads_is_refused():
    client = client_of(reply("One two three.", delay=0.02))
    stream = client.chat("Go.", stream=True)
    async with anyio.create_task_group() as group:
        group.start_soon(contents, stream)
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(anyio.BusyResourceError):
            await stream.aclose()
        with pytest.raises(anyio.BusyResourceError):
            await anext(stream)
    assert stream.result == "One two three."


async def test_a_stream_is_entered_once_and_before_it_is_read():
    stream = client_of("One two.").chat("Go.", stream=True)
    await anext(stream)
    with pytest.raises(StreamClosedError, match="enter it once, before reading"):
        async with stream:
            pass
    with pytest.raises(StreamClosedError, match="no result yet; read it to its end"):
        _ = stream.result
    await stream.aclose()


async def test_a_slow_reader_slows_the_run():
    produced = 0

    class Counting:
        spec = ScriptedProvider().spec

        async def complete(self, request):
            raise AssertionError("streamed")

        async def stream(self, request):
            nonlocal produced
            async with aclosing(ScriptedProvider(" ".join("abcdefgh" * 20)).stream(request)) as items:
                async for item in items:
                    produced += 1
                    yield item

        async def aclose(self):
            pass

    async with aio.client(Counting()).chat("Go.", stream=True) as stream:
        await anext(stream)
        for _ in range(200):
            await checkpoint()
        assert produced <= 19  # 16 in the buffer, one read, one waiting for room, one being made


async def test_tasks_that_read_one_entered_stream_share_its_chunks_and_all_end():
    class Slow(ScriptedProvider):
        async def stream(self, request):
            async for item in super().stream(request):
                await anyio.sleep(0.001)  # until then, all of them wait
                yield item

    shares = [[], [], []]

    async def read(share):
        async for chunk in stream:
            share.append(chunk.content)

    with anyio.fail_after(30):
        client = aio.client(Slow("One two three four."))
        async with client.chat("Go.", stream=True) as stream, anyio.create_task_group() as group:
            for share in shares:
                group.start_soon(read, share)
    assert sorted(chain(*shares)) == sorted(["One ", "two ", "three ", "four.", "One two three four."])


async def test_a_cancelled_wait_for_a_chunk_loses_none():
    gate = anyio.Event()

    class Gated(ScriptedProvider):
        async def stream(self, request):
            await gate.wait()
            async for item in super().stream(request):
                yield item

    async with aio.client(Gated("One two.")).chat("Go.", stream=True) as stream:
        for _ in range(3):
            with anyio.move_on_after(0.001):
                await anext(stream)
        gate.set()
        with anyio.fail_after(30):
            assert [chunk.content async for chunk in stream] == ["One ", "two.", "One two."]


async def test_a_pulled_stream_sees_the_context_variables_of_its_reader():
    from contextvars import ContextVar

    variable = ContextVar("variable", default="unset")
    seen = []

    class Looking:
        spec = ScriptedProvider().spec

        async def complete(self, request):
            raise AssertionError("streamed")

        async def stream(self, request):
            async for item in ScriptedProvider("a b").stream(request):
                seen.append(variable.get())
                yield item

        async def aclose(self):
            pass

    async for _ in aio.client(Looking()).chat("Go.", stream=True):
        variable.set("reader's")
    assert seen == ["unset", "reader's", "reader's"]
