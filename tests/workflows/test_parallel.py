"""Parallel: one task, many workers, one answer."""

import logging
import threading

import anyio
import pytest
from anyio.lowlevel import checkpoint

from aimu import aio
from aimu._core.messages import check_history
from aimu.aio import AsyncRunner, Parallel, StreamChunk, StreamingContentType
from aimu.aio._run import IN_THREAD
from aimu.errors import InvalidOptionError, RateLimitError
from aimu.testing import leak_check, reply, virtual_time
from aimu.tools import tool
from tests.workflows.models import Shout, agent, live, model, one_tool, read, requests_of, text_by


class Worker(AsyncRunner):
    """Waits for its event, then answers or fails; records whether it was cancelled."""

    messages = {}  # noqa: RUF012 - it has none

    def __init__(self, name, *, go=None, error=None):
        self.name, self.go, self.error, self.outcome = name, go, error, None

    async def run(self, task, generate_kwargs=None, stream=False, images=None):
        self.outcome = "begun"
        try:
            await checkpoint()
            if self.go is not None:
                await self.go.wait()
        except BaseException:
            self.outcome = "cancelled"
            raise
        self.outcome = "ended"
        if self.error is not None:
            raise self.error
        return self.name


async def test_answers_are_joined_in_the_order_of_the_workers():
    first = anyio.Event()
    workers = [Worker("a", go=first), Worker("b")]

    class Last(Worker):
        async def run(self, *args, **kwargs):
            answer = await super().run(*args, **kwargs)
            first.set()
            return answer

    assert await Parallel([*workers, Last("c")], separator="|").run("task") == "a|b|c"


async def test_the_aggregator_gets_the_joined_answers():
    provider = model()
    parallel = Parallel.from_client(aio.client(provider), ["x", "y"], aggregator_prompt="sum")
    assert await parallel.run("t") == "sum(x(t)\n\n---\n\ny(t))"
    assert list(parallel.messages) == ["worker_1", "worker_2", "aggregator"]


async def test_workers_made_from_one_client_that_call_tools_never_see_each_others_messages():
    @tool
    async def look() -> str:
        """Look."""
        await checkpoint()
        return "seen"

    prompts = [f"worker {n}" for n in range(8)]
    provider = model({prompt: one_tool("look", f"answer of {prompt}") for prompt in prompts})
    client = aio.client(provider, system="boss", tools=[look])
    await client.chat("private")
    provider.requests.clear()
    parallel = Parallel.from_client(client, prompts, separator="|")
    assert await parallel.run("task") == "|".join(f"answer of {prompt}" for prompt in prompts)
    for prompt in prompts:
        first, second = requests_of(provider, prompt)
        assert [message["role"] for message in first.messages] == ["system", "user"]
        assert [message["role"] for message in second.messages] == ["system", "user", "assistant", "tool"]
    assert len(client.messages) == 3


async def test_the_first_failure_of_fifty_workers_cancels_the_rest_and_names_the_worker():
    never = anyio.Event()
    workers = [Worker(f"w{n}", go=never) for n in range(50)]
    workers[17] = Worker("w17", error=ValueError("broken"))
    async with leak_check():
        with pytest.raises(ExceptionGroup) as failed:
            await Parallel(workers, "crowd").run("task")
    (leaf,) = failed.value.exceptions
    assert repr(leaf) == "ValueError('broken')"
    assert leaf.__notes__ == ["in worker 18 ('w17') of 'crowd'"]
    assert {worker.outcome for worker in workers if worker is not workers[17]} == {"cancelled"}


@pytest.mark.parametrize("way", [read, live])
async def test_a_stream_raises_a_failure_as_a_group_after_the_chunks_before_it(way):
    provider = model({"good": "fine words", "bad": reply("half", error=RateLimitError("no", retryable=False))})
    parallel = Parallel([agent(provider, "bad")])
    with pytest.raises(ExceptionGroup) as failed:
        await way(parallel.run("task", stream=True))
    assert "in worker 1 ('bad') of 'parallel'" in failed.value.exceptions[0].__notes__
    assert parallel.messages["bad"][-1] == {
        "role": "assistant",
        "content": "half",
        "interrupted": True,
        "stop_reason": "interrupted",
    }


async def test_with_collect_the_others_continue_and_the_successful_answers_are_joined(caplog):
    workers = [Worker("a"), Worker("b", error=ValueError("broken")), Worker("c")]
    with caplog.at_level(logging.WARNING, "aimu"):
        assert await Parallel(workers, separator="|", on_error="collect").run("task") == "a|c"
    assert "worker 2 ('b') of 'parallel' failed: ValueError('broken')" in caplog.text


async def test_with_collect_it_raises_if_all_workers_failed():
    workers = [Worker(name, error=ValueError(name)) for name in "abc"]
    with pytest.raises(ExceptionGroup, match="3 of 3 workers failed") as failed:
        await Parallel(workers, on_error="collect").run("task")
    assert sorted(map(str, failed.value.exceptions)) == ["a", "b", "c"]


async def test_after_the_first_n_answers_the_rest_is_cancelled_and_the_order_of_workers_kept():
    never = anyio.Event()
    workers = [Worker("a", go=never), Worker("b"), Worker("c", go=never), Worker("d")]
    assert await Parallel(workers, separator="|", first=2).run("task") == "b|d"
    assert [worker.outcome for worker in workers] == ["cancelled", "ended", "cancelled", "ended"]


async def test_no_more_than_first_answers_are_taken_if_many_come_at_once():
    go = anyio.Event()
    race = Parallel([Worker(str(n), go=go) for n in range(20)], separator="|", first=3)
    answers = []

    async def run():
        answers.extend((await race.run("task")).split("|"))

    async with anyio.create_task_group() as group:
        group.start_soon(run)
        await anyio.wait_all_tasks_blocked()
        go.set()  # all wake in one step of the loop, and do not wait again
    assert len(answers) == 3


async def test_first_with_collect_ignores_failures_and_raises_if_too_few_answers_are_left():
    workers = [Worker("a", error=ValueError("x")), Worker("b")]
    assert await Parallel(workers, first=1, on_error="collect").run("task") == "b"
    with pytest.raises(ExceptionGroup, match="1 of 2 workers failed"):
        await Parallel(workers, first=2, on_error="collect").run("task")


async def test_cancelled_agents_keep_valid_histories():
    provider = model({"fast": "done", "slow": reply("never", delay=1000)})
    race = Parallel([agent(provider, "slow"), agent(provider, "fast")], first=1)
    assert await race.run("task") == "done"
    assert race.messages["slow"] == [{"role": "system", "content": "slow"}]
    assert text_by(await live(race.run("again", stream=True))) == {"fast": "done"}
    for history in race.messages.values():
        check_history(history)


async def test_no_more_than_max_concurrency_workers_run_at_once():
    running = most = 0

    class Counted(Worker):
        async def run(self, *args, **kwargs):
            nonlocal running, most
            running += 1
            most = max(most, running)
            answer = await super().run(*args, **kwargs)
            running -= 1
            return answer

    names = [str(n) for n in range(20)]
    assert await Parallel([Counted(name) for name in names], separator=" ", max_concurrency=3).run("t") == " ".join(
        names
    )
    assert most == 3


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"on_error": "ignore"}, "on_error must be 'cancel' or 'collect', got 'ignore'"),
        ({"first": 3}, r"first must be between 1 and the number of workers \(2\), got 3"),
        ({"first": 0}, "first must be an integer of at least 1, got 0"),
        ({"max_concurrency": 0}, "max_concurrency must be an integer of at least 1, got 0"),
    ],
)
def test_invalid_policies_are_refused(fields, text):
    with pytest.raises(InvalidOptionError, match=text):
        Parallel([Worker("a"), Worker("b")], **fields)
    parallel = Parallel([Worker("a"), Worker("b")])
    ((name, value),) = fields.items()
    before = getattr(parallel, name)
    with pytest.raises(InvalidOptionError, match=text):
        setattr(parallel, name, value)
    assert getattr(parallel, name) == before


def test_the_first_chunk_of_a_fast_worker_comes_before_that_of_a_slow_one(anyio_backend):
    async def main():
        provider = model({"slow": reply("late words", delay=100), "fast": reply("soon enough", delay=1)})
        parallel = Parallel([agent(provider, "slow"), agent(provider, "fast")])
        async with parallel.run("task", stream=True) as stream:
            times = [(chunk.agent, chunk.content, anyio.current_time()) async for chunk in stream]
        assert [(name, text) for name, text, _ in times[:4]] == [
            ("fast", "soon "),
            ("fast", "enough"),
            ("slow", "late "),
            ("slow", "words"),
        ]
        begun = times[0][2] - 1
        assert [round(time - begun) for *_, time in times[:4]] == [1, 2, 100, 200]

    anyio.run(main, backend=anyio_backend, backend_options=virtual_time(anyio_backend))


@pytest.mark.parametrize("depth", [1, 3])
async def test_workers_stop_at_the_buffer_size_if_the_reader_stops(depth):
    made = 0

    class Talker(Worker):
        async def run(self, task, generate_kwargs=None, stream=False, images=None):
            return self.talk()

        async def talk(self):
            nonlocal made
            for _ in range(1000):
                made += 1
                yield StreamChunk(StreamingContentType.GENERATING, "word ", self.name)
                await checkpoint()
            yield StreamChunk(StreamingContentType.DONE, "end", self.name)

    workers = 4
    runner = Parallel([Talker(f"t{n}") for n in range(workers)])
    for _ in range(depth - 1):
        runner = Parallel([runner])
    async with runner.run("task", stream=True) as stream:
        await anext(stream)
        await anyio.wait_all_tasks_blocked()
        await anyio.wait_all_tasks_blocked()
        print(f"depth {depth}: {made - 1} chunks ahead of the reader, with {workers} workers")
        assert made - 1 <= 16 + workers  # those in the buffer, and one that each worker tries to send
        for _ in range(50):
            await anext(stream)
        await anyio.wait_all_tasks_blocked()
        assert made - 51 <= 16 + workers


async def test_a_bare_stream_runs_all_workers_to_the_end_in_one_step():
    provider = model({"a": "one two", "b": "three four"})
    parallel = Parallel([agent(provider, "a"), agent(provider, "b")])
    async with leak_check():
        stream = parallel.run("task", stream=True)
        await anext(stream)
        assert provider.open_streams == 0
        assert [len(history) for history in parallel.messages.values()] == [3, 3]
        await stream.aclose()


async def test_a_user_runner_can_be_worker_and_aggregator():
    parallel = Parallel([Shout(), agent(model(), "a")], aggregator=Shout(), separator="+")
    assert await parallel.run("x") == "X+A(X)"
    assert text_by(await live(parallel.run("x", stream=True)))["shout"] == "X X+A(X) "


async def test_sync_tools_of_concurrent_workers_run_in_worker_threads_also_below_user_runners():
    threads = []

    @tool
    def look() -> str:
        """Look."""
        threads.append(threading.get_ident())
        return "seen"

    async def here(function, *args):
        return function(*args)

    looker = agent(model({"a": one_tool("look", "looked")}), "a", tools=[look])

    class Mine(Worker):
        async def run(self, task, *args, **kwargs):
            return await looker.fork().run(task)

    token = IN_THREAD.set(here)  # as the sync surface does
    try:
        await looker.run("alone")
        assert threads.pop() == threading.get_ident()
        await Parallel([looker, Mine("mine")]).run("together")
        async with aio.amap(looker, ["more"]) as results:
            await anext(results)
    finally:
        IN_THREAD.reset(token)
    assert len(threads) == 3
    assert threading.get_ident() not in threads


@pytest.mark.virtual_time
async def test_a_timeout_stops_all_workers_and_keeps_their_work():
    provider = model({"fast": "done", "slow": reply("never", delay=1000)})
    parallel = Parallel([agent(provider, "slow"), agent(provider, "fast")])
    with pytest.raises(TimeoutError):
        await parallel.run("task", timeout=0.05)
    assert [len(history) for history in parallel.messages.values()] == [1, 3]
    with pytest.raises(TimeoutError):
        await live(parallel.run("task", stream=True, timeout=0.05))
    with pytest.raises(TimeoutError):
        await read(parallel.run("task", stream=True, timeout=0.05))
    assert [len(history) for history in parallel.messages.values()] == [1, 7]
    for history in parallel.messages.values():
        check_history(history)
