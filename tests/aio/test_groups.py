"""A failure that meets a cancellation leaves as the same exception on every backend, without a group around it."""

from contextlib import nullcontext, suppress
from functools import partial
from typing import ClassVar

import anyio
import pytest
from anyio.lowlevel import checkpoint

from aimu import aio
from aimu._core.groups import single_failure
from aimu.testing import cancel_everywhere, reply, scripted_client
from aimu.tools import tool


class Spilt(Exception):
    """Raised by the clean-up of a tool."""


class BodyError(Exception):
    pass


def model(request):
    if request.messages[-1]["role"] == "tool":
        return "done"
    return reply("Both.", calls=[("messy", {}), ("tidy", {})])


class Tools:
    """Two tools that overlap: the clean-up of one raises, the other is only cancelled."""

    def __init__(self):
        self.running = 0
        self.both = anyio.Event()

    def agent(self, name="worker"):
        @tool(raises=Spilt)
        async def messy() -> str:
            """Wait, and fail when cancelled."""
            try:
                await self.wait()
            except BaseException:
                raise Spilt("in clean-up") from None
            return "never"

        @tool
        async def tidy() -> str:
            """Wait."""
            await self.wait()
            return "never"

        client = scripted_client(model, repeat=True)
        return aio.Agent(client, name=name, tools=[messy, tidy], concurrent_tool_calls=True)

    async def wait(self):
        self.running += 1
        if self.running == 2:
            self.both.set()
        await anyio.sleep_forever()


async def mixed(error=Spilt):
    """A user's own task group that fails in the clean-up of one of two tasks."""

    async def fail():
        try:
            await anyio.sleep_forever()
        finally:
            raise error("in clean-up")

    async with anyio.create_task_group() as group:
        group.start_soon(fail)
        await anyio.sleep_forever()


class OwnGroup(aio.AsyncRunner):
    """A user's runner with a task group of its own."""

    messages: ClassVar = {}

    async def run(self, task, generate_kwargs=None, stream=False, images=None):
        await mixed()


class Answers(aio.AsyncRunner):
    """Answers once `ready` is set, or fails."""

    messages: ClassVar = {}

    def __init__(self, ready, error=None):
        self.ready, self.error = ready, error

    async def run(self, task, generate_kwargs=None, stream=False, images=None):
        await self.ready.wait()
        if self.error is not None:
            raise self.error
        return "good"


async def test_a_reader_that_breaks_gets_no_failure_of_the_clean_up_and_the_log_has_it(caplog):
    tools = Tools()
    async with tools.agent().run("Go.", stream=True) as stream:
        async for _ in stream:
            await tools.both.wait()
            break
    assert "after its reader had left: Spilt('in clean-up')" in caplog.text


async def test_an_error_of_the_block_is_not_replaced():
    tools = Tools()
    with pytest.raises(BodyError):
        async with tools.agent().run("Go.", stream=True) as stream:
            async for _ in stream:
                await tools.both.wait()
                raise BodyError


@pytest.mark.parametrize("make", [Tools.agent, lambda tools: OwnGroup()], ids=["agent", "own group"])
@pytest.mark.parametrize("streamed", [False, True])
async def test_the_first_answer_of_a_parallel_survives_the_clean_up_of_the_others(make, streamed):
    tools = Tools()
    if make is not Tools.agent:
        tools.both.set()
    race = aio.Parallel([make(tools), Answers(tools.both)], first=1)
    if not streamed:
        assert await race.run("Go.") == "good"
        return
    async with race.run("Go.", stream=True) as stream:
        async for _ in stream:
            pass
    assert stream.result == "good"


async def test_a_cancelled_parallel_raises_a_group_of_failures_only():
    raised = []

    async def run():
        try:
            await aio.Parallel([OwnGroup(), Answers(anyio.Event())]).run("Go.")
        except BaseException as exc:
            raised.append(exc)
            raise

    with suppress(ExceptionGroup):
        async with anyio.create_task_group() as group:
            group.start_soon(run)
            await anyio.wait_all_tasks_blocked()
            group.cancel_scope.cancel()
    [error] = raised
    assert type(error) is ExceptionGroup
    assert error.split(Spilt)[1] is None


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_cancelled_run_raises_the_failure_of_its_clean_up_itself(streamed):
    tools = Tools()
    stopper = anyio.CancelScope()

    async def stop():
        await tools.both.wait()
        stopper.cancel()

    async with anyio.create_task_group() as group:
        group.start_soon(stop)
        with pytest.raises(Spilt), stopper:
            if streamed:
                async for _ in tools.agent().run("Go.", stream=True):
                    pass
            else:
                await tools.agent().run("Go.")


async def test_a_reader_that_breaks_gets_no_failure_of_a_users_own_group():
    ready = anyio.Event()
    ready.set()
    async with aio.Chain([Answers(ready), OwnGroup()]).run("Go.", stream=True):
        await anyio.wait_all_tasks_blocked()


@pytest.mark.parametrize("make", [Tools.agent, lambda tools: OwnGroup()], ids=["agent", "own group"])
@pytest.mark.parametrize("on_error", ["raise", "collect"])
async def test_amap_raises_the_failure_of_its_task_not_that_of_a_clean_up(on_error, make):
    tools = Tools()
    runners = [make(tools), Answers(tools.both, BodyError())]
    with pytest.raises(BodyError):
        async with aio.amap(lambda: runners.pop(0), ["one", "two"], on_error=on_error) as results:
            await anyio.wait_all_tasks_blocked()
            tools.both.set()
            async for _, result in results:
                raise result


async def test_a_tools_own_group_that_fails_while_cancelled_becomes_the_result_of_its_call():
    entered = anyio.Event()

    @tool(timeout=0.01)
    async def grouped() -> str:
        """Fail in clean-up."""
        entered.set()
        await mixed()

    replies = iter([reply("", calls=[("grouped", {})]), "done"])
    client = scripted_client(lambda request: next(replies), repeat=True)
    agent = aio.Agent(client, tools=[grouped])
    assert await agent.run("Go.") == "done"
    result = next(m for m in agent.model_client.messages if m["role"] == "tool")
    assert result["content"] == "Error: Spilt: in clean-up"


async def test_a_cancellation_alone_stays_a_cancellation():
    with anyio.CancelScope() as scope:
        with single_failure():
            async with anyio.create_task_group() as group:
                group.start_soon(anyio.sleep_forever)
                group.start_soon(anyio.sleep_forever)
                await checkpoint()
                scope.cancel()
    assert scope.cancelled_caught


async def test_of_several_failures_and_a_cancellation_the_group_of_failures_remains():
    with anyio.CancelScope() as scope:
        with pytest.raises(ExceptionGroup) as caught, single_failure():
            async with anyio.create_task_group() as group:
                group.start_soon(mixed)
                group.start_soon(mixed, BodyError)
                group.start_soon(anyio.sleep_forever)
                await anyio.wait_all_tasks_blocked()
                scope.cancel()
    leaves = caught.value
    assert leaves.split((Spilt, BodyError))[1] is None
    assert type(leaves) is ExceptionGroup


async def test_an_interrupt_outlasts_cancellations():
    with pytest.raises(KeyboardInterrupt), single_failure():
        cancelled = anyio.get_cancelled_exc_class()
        with anyio.CancelScope() as scope:
            scope.cancel()
            try:
                await checkpoint()
            except cancelled as exc:
                raise BaseExceptionGroup("", [exc, BaseExceptionGroup("", [KeyboardInterrupt(), exc])]) from None


class Scenario:
    """The two tools, cancelled at some step: the failure leaves alone, and the conversation can go on."""

    def __init__(self, mode):
        self.mode, self.tools = mode, Tools()
        self.agent = self.tools.agent()

    async def run(self):
        with suppress(Spilt):
            if self.mode == "plain":
                await self.agent.run("Go.")
            elif self.mode == "parallel":
                with suppress(ExceptionGroup):
                    await aio.Parallel([self.agent]).run("Go.")
            else:
                async with self.agent.run("Go.", stream=True) as stream:
                    async for _ in stream:
                        pass

    async def check(self, *, completed):
        assert not self.agent.model_client.conversation.busy


@pytest.mark.parametrize(("backend", "how"), [("asyncio", "scope"), ("trio", "scope")])
@pytest.mark.parametrize("mode", ["plain", "parallel", "entered"])
def test_a_failing_clean_up_leaves_alone_wherever_the_run_is_cancelled(mode, backend, how):
    class Ended(Scenario):
        async def run(self):
            async with anyio.create_task_group() as group:  # so that a run that is not cancelled ends too
                group.start_soon(self.end, group.cancel_scope)
                await super().run()
                group.cancel_scope.cancel()

        async def end(self, scope):
            await self.tools.both.wait()
            for _ in range(10):
                await checkpoint()
            scope.cancel()

    cancel_everywhere(partial(Ended, mode), backend=backend, how=how, minimum=8)


class Halt(BaseException):
    """Ends the program, as KeyboardInterrupt does, which asyncio lets through at once."""


class Halts(aio.AsyncRunner):
    """Raises Halt when another worker runs, and where `cancelled`, only when it is cancelled."""

    messages: ClassVar = {}

    def __init__(self, *, cancelled=False):
        self.cancelled = cancelled

    async def run(self, task, generate_kwargs=None, stream=False, images=None):
        try:
            await (anyio.sleep_forever() if self.cancelled else checkpoint())
        finally:
            raise Halt


PARALLELS = {
    "alone": lambda: aio.Parallel([Halts()]),
    "beside another": lambda: aio.Parallel([Halts(), Answers(anyio.Event())]),
    "collecting": lambda: aio.Parallel([Halts(), Answers(anyio.Event())], on_error="collect"),
    "in a parallel": lambda: aio.Parallel([aio.Parallel([Halts(), Answers(anyio.Event())])]),
    "in a chain": lambda: aio.Chain([aio.Parallel([Halts()])]),
}


@pytest.mark.parametrize("form", ["plain", "bare", "entered", "amap"])
@pytest.mark.parametrize("make", PARALLELS.values(), ids=PARALLELS)
async def test_what_ends_the_program_leaves_a_parallel_without_a_group(make, form):
    with pytest.raises(Halt):
        if form == "plain":
            await make().run("Go.")
        elif form == "amap":
            async with aio.amap(make, ["Go."]) as results:
                async for _ in results:
                    pass
        else:
            async with make().run("Go.", stream=True) if form == "entered" else nullcontext() as stream:
                async for _ in stream or make().run("Go.", stream=True):
                    pass


async def test_what_ends_the_program_in_a_clean_up_leaves_alone_too():
    async def cancel_when_blocked():
        await anyio.wait_all_tasks_blocked()
        scope.cancel()

    async with anyio.create_task_group() as group:
        group.start_soon(cancel_when_blocked)
        with pytest.raises(Halt), anyio.CancelScope() as scope:
            await aio.Parallel([Halts(cancelled=True), Answers(anyio.Event())]).run("Go.")


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_parallel_that_collects_failures_and_is_cancelled_is_cancelled(streamed):
    ready = anyio.Event()
    ready.set()
    tools = Tools()
    runner = aio.Parallel([tools.agent(), Answers(ready, ValueError("before"))], on_error="collect")

    async def stop():
        await tools.both.wait()
        await anyio.wait_all_tasks_blocked()
        scope.cancel()

    async with anyio.create_task_group() as group:
        group.start_soon(stop)
        with anyio.CancelScope() as scope:
            if streamed:
                async for _ in runner.run("Go.", stream=True):
                    pass
            else:
                await runner.run("Go.")
    assert scope.cancelled_caught


class YieldsThenFails(aio.AsyncRunner):
    """A user's runner whose own task group fails in its clean-up, after a chunk."""

    messages: ClassVar = {}

    async def run(self, task, generate_kwargs=None, stream=False, images=None):
        return self.chunks()

    async def chunks(self):
        yield aio.StreamChunk(aio.StreamingContentType.GENERATING, "chunk")
        await mixed()


@pytest.mark.virtual_time
async def test_a_timed_stream_shows_the_chunks_of_a_users_group_that_fails_when_its_time_is_over(caplog):
    got = []
    with pytest.raises(TimeoutError):
        async for chunk in aio.Chain([YieldsThenFails()]).run("Go.", stream=True, timeout=5):
            got.append(chunk.content)
    assert got == ["chunk"]
    assert "a run failed in its clean-up" in caplog.text
    assert "Spilt" in caplog.text
