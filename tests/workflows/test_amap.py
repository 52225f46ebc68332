"""amap: one runner, many tasks."""

import gc
import io
import sys

import anyio
import pytest
from anyio.lowlevel import checkpoint

from aimu import aio
from aimu.aio import Chain
from aimu.errors import InvalidOptionError, StreamClosedError
from aimu.testing import ScriptedProvider, leak_check, reply
from tests.workflows.models import Shout, agent, asked, model


class Gauge:
    """A provider that counts the requests that run at once, and answers once `full` requests run; keeps none."""

    def __init__(self, full=1):
        self.full, self.begun = full, anyio.Event()
        self.spec = ScriptedProvider().spec
        self.running = self.most = self.answered = 0

    async def complete(self, request):
        from aimu._core.reply import Reply

        self.running += 1
        self.most = max(self.most, self.running)
        try:
            if self.running == self.full:
                self.begun.set()
            await self.begun.wait()
            await checkpoint()
        finally:
            self.running -= 1
        self.answered += 1
        return Reply(text=asked(request).upper())

    async def stream(self, request):
        yield await self.complete(request)

    async def aclose(self):
        pass


async def test_every_task_gets_its_index_its_answer_and_its_own_conversation():
    provider = model()
    worker = agent(provider, "w")
    await worker.run("before")
    async with aio.amap(worker, ["a", "b", "c"]) as results:
        assert sorted([pair async for pair in results]) == [(0, "w(a)"), (1, "w(b)"), (2, "w(c)")]
    assert [len(request.messages) for request in provider.requests] == [2] * 4
    assert len(worker.messages["w"]) == 3


def delayed(request):
    return reply(f"{asked(request)}!", delay={"slow": 0.2}.get(asked(request), 0))


@pytest.mark.virtual_time
async def test_results_come_in_the_order_of_completion():
    worker = agent(ScriptedProvider(delayed, repeat=True), "w")
    async with aio.amap(worker, ["slow", "fast"]) as results:
        assert [pair async for pair in results] == [(1, "fast!"), (0, "slow!")]


async def test_workflows_and_user_runners_are_passed_as_factories():
    provider = model()
    async with aio.amap(lambda: Chain([agent(provider, "a"), Shout()]), ["x", "y"]) as results:
        assert sorted([pair async for pair in results]) == [(0, "A(X)"), (1, "A(Y)")]
    with pytest.raises(InvalidOptionError, match="Shout cannot be forked for each task; pass a function"):
        aio.amap(Shout(), ["x"])


async def test_tasks_may_be_an_async_generator_that_is_read_lazily_and_closed():
    taken, closed = [], []

    async def tasks():
        try:
            for n in range(1000):
                await checkpoint()
                taken.append(n)
                yield str(n)
        finally:
            closed.append(True)

    async with aio.amap(agent(model(), "w"), tasks(), max_concurrency=3) as results:
        async for _ in results:
            break
        await anyio.wait_all_tasks_blocked()
        assert len(taken) <= 1 + 3 + 1
    assert closed == [True]


async def test_the_first_failure_cancels_the_rest_and_names_the_task():
    def answer(request):
        return ValueError("no") if asked(request) == "bad" else reply("late", delay=1000)

    worker = agent(ScriptedProvider(answer, repeat=True), "w")
    async with leak_check():
        with pytest.raises(ValueError, match="no") as failed:
            async with aio.amap(worker, ["good", "bad", "good"]) as results:
                async for _ in results:
                    pass
    assert "in task 1 of amap" in failed.value.__notes__


async def test_with_collect_an_exception_is_the_result_of_its_task():
    def answer(request):
        return ValueError("no") if asked(request) == "bad" else "yes"

    worker = agent(ScriptedProvider(answer, repeat=True), "w")
    async with aio.amap(worker, ["good", "bad"], on_error="collect") as results:
        found = dict([pair async for pair in results])
    assert found[0] == "yes"
    assert repr(found[1]) == "ValueError('no')"


async def test_an_error_in_the_iterable_of_tasks_ends_the_map_under_any_policy():
    def tasks():
        yield "one"
        raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        async with aio.amap(agent(model(), "w"), tasks(), on_error="collect") as results:
            async for _ in results:
                pass


@pytest.mark.virtual_time
async def test_the_timeout_applies_to_each_task():
    worker = agent(ScriptedProvider(delayed, repeat=True), "w")
    async with aio.amap(worker, ["slow", "fast"], timeout=0.05, on_error="collect") as results:
        found = dict([pair async for pair in results])
    assert found[1] == "fast!"
    assert isinstance(found[0], TimeoutError)


class Leave(Exception):
    pass


@pytest.mark.parametrize("leave", ["break", "raise", "cancel", "return"])
@pytest.mark.parametrize("after", [0, 1, 7])
async def test_a_map_can_be_left_at_any_point(leave, after):
    gauge = Gauge()

    async def body():
        async with aio.amap(agent(gauge, "w"), (str(n) for n in range(100)), max_concurrency=5) as results:
            seen = 0
            while seen < after:
                await anext(results)
                seen += 1
            if leave == "raise":
                raise Leave
            if leave == "cancel":
                scope.cancel()
                await checkpoint()

    async with leak_check():
        with anyio.CancelScope() as scope:
            try:
                await body()
            except Leave:
                assert leave == "raise"
        assert scope.cancelled_caught == (leave == "cancel")
    assert gauge.running == 0
    before = gauge.answered
    await anyio.wait_all_tasks_blocked()
    assert gauge.answered == before


async def test_ten_thousand_tasks_run_a_hundred_at_a_time_in_constant_memory():
    gauge = Gauge(100)
    worker = agent(gauge, "w")
    total, kept = 0, []
    async with aio.amap(worker, (f"task {n}" for n in range(10_000)), max_concurrency=100) as results:
        async for index, answer in results:
            assert answer == f"TASK {index}"
            total += 1
            if total in (1000, 5000, 9800):
                gc.collect()
                kept.append(sys.getallocatedblocks())
    assert total == 10_000
    assert gauge.most == 100
    print(f"most at once: {gauge.most}; blocks of memory after 1,000, 5,000 and 9,800 tasks: {kept}")
    assert max(kept) - kept[0] < 2000  # if tasks or results were kept, there would be at least 8,800 objects more


async def test_a_map_can_only_be_read_inside_its_block_and_entered_once():
    results = aio.amap(agent(model(), "w"), ["a"])
    with pytest.raises(StreamClosedError, match="only inside their block"):
        async for _ in results:
            pass
    async with results:
        pass
    with pytest.raises(StreamClosedError, match="only inside their block"):
        await anext(results)
    with pytest.raises(StreamClosedError, match="already entered; call amap again"):
        await results.__aenter__()


async def test_a_progress_bar_is_shown_if_asked_for_or_on_a_terminal(monkeypatch):
    pytest.importorskip("tqdm")

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    for progress, shown in ((None, True), (False, False)):
        monkeypatch.setattr(sys, "stderr", Terminal())
        async with aio.amap(agent(model(), "w"), ["a", "b"], progress=progress) as results:
            async for _ in results:
                pass
        assert ("2/2" in sys.stderr.getvalue()) == shown


@pytest.mark.parametrize(
    ("fields", "text"),
    [({"max_concurrency": 0}, "at least 1, got 0"), ({"on_error": "x"}, "on_error must be .*got 'x'")],
)
def test_invalid_options_are_refused(fields, text):
    with pytest.raises(InvalidOptionError, match=text):
        aio.amap(agent(model(), "w"), [], **fields)


def test_a_string_instead_of_tasks_is_refused():
    with pytest.raises(InvalidOptionError, match="tasks must not be a single string; put it into a list of tasks"):
        aio.amap(agent(model(), "w"), "hello")
