"""Shared jobs: a worker with a share runs several side by side, and calls the function that they yield once a round."""

from contextlib import aclosing

import anyio
import pytest

from aimu.engines._rounds import Idle, Shared
from aimu.engines._worker import Worker
from aimu.errors import ClosedClientError
from tests.holding import Hold, until


@pytest.fixture
def sharing():
    """A worker that runs three jobs side by side."""
    worker = Worker("sharing worker", share=3)
    yield worker
    worker.close()
    assert not worker._thread.is_alive()


class Table:
    """Makes shared jobs that emit how many jobs run, for some rounds or until they are stopped."""

    def __init__(self, worker):
        self.worker, self.rounds, self.sitting = worker, 0, 0
        self.holds = {}

    def turn(self):
        if self.rounds in self.holds:
            self.holds[self.rounds]()
        self.rounds += 1

    def job(self, rounds, fails=False):
        def begin(emit, stopped):
            self.sitting += 1
            try:
                for _ in range(rounds):
                    yield self.turn
                    if stopped():
                        return "stopped"
                    emit(self.sitting)
                if fails:
                    raise LookupError("no such thing")
                return "end"
            finally:
                self.sitting -= 1

        return Shared(begin)

    def hold(self, number):
        """Hold the thread in round `number`."""
        return self.holds.setdefault(number, Hold())


async def seat(worker, group, *jobs):
    """Start jobs in order; return a list that gets `(n, result)` as each ends."""
    ended = []

    async def one(n, job):
        try:
            ended.append((n, await worker.run(job)))
        except LookupError as exc:
            ended.append((n, exc))

    for n, job in enumerate(jobs):
        before = worker.requests
        group.start_soon(one, n, job)
        await until(lambda before=before: worker.requests > before)
    return ended


async def test_shared_jobs_run_side_by_side_and_their_function_is_called_once_a_round(sharing):
    table = Table(sharing)
    async with anyio.create_task_group() as group:
        with table.hold(0):
            ended = await seat(sharing, group, *(table.job(n) for n in (10, 20, 30)))
    assert sorted(ended) == [(0, "end"), (1, "end"), (2, "end")]
    assert table.rounds <= 31
    assert sharing.running == 0


async def test_without_a_share_jobs_run_one_after_the_other():
    worker = Worker("worker of one")
    table = Table(worker)
    async with anyio.create_task_group() as group:
        await seat(worker, group, *(table.job(5) for _ in range(4)))
        async with aclosing(worker.stream(table.job(3))) as items:
            assert [item async for item in items] == [1, 1, 1, "end"]
    assert table.rounds == 23
    await worker.aclose()


async def test_a_fourth_job_waits_until_one_of_three_fails(sharing):
    table = Table(sharing)
    async with anyio.create_task_group() as group:
        with table.hold(1) as second, table.hold(0) as first:
            jobs = table.job(50), table.job(50), table.job(4, fails=True), table.job(5)
            ended = await seat(sharing, group, *jobs)
            first.released.set()
            await until(second.reached.is_set)
            assert (sharing.running, sharing.waiting) == (3, 1)
    results = dict(ended)
    assert isinstance(results.pop(2), LookupError)
    assert results == {0: "end", 1: "end", 3: "end"}
    assert table.rounds <= 52


async def test_a_job_that_does_not_share_runs_alone_in_its_turn(sharing):
    table, seen = Table(sharing), []
    async with anyio.create_task_group() as group:
        with table.hold(0):
            jobs = table.job(5), (lambda emit, stopped: seen.append((table.sitting, table.rounds))), table.job(5)
            ended = await seat(sharing, group, *jobs)
    assert len(ended) == 3
    assert seen == [(0, 5)]
    assert table.rounds == 10


async def test_a_job_withdrawn_at_the_head_of_the_queue_does_not_block_the_others(sharing):
    table = Table(sharing)
    async with anyio.create_task_group() as group:
        with table.hold(1) as hold:
            ended = await seat(sharing, group, table.job(10**9))
            await until(hold.reached.is_set)
            with anyio.CancelScope() as scope:
                async with anyio.create_task_group() as inner:
                    await seat(sharing, inner, lambda emit, stopped: "alone")
                    scope.cancel()
            late = await seat(sharing, group, table.job(3))
        await until(lambda: late)
        assert not ended
        group.cancel_scope.cancel()
    assert late == [(0, "end")]


async def test_a_cancelled_job_ends_at_the_next_round_and_the_others_continue(sharing):
    table = Table(sharing)

    async def let_go():
        await anyio.wait_all_tasks_blocked()
        hold.released.set()

    async with anyio.create_task_group() as group:
        with table.hold(3) as hold, table.hold(0) as first:
            ended = await seat(sharing, group, table.job(9), table.job(9))
            async with anyio.create_task_group() as inner:
                await seat(sharing, inner, table.job(1000))
                first.released.set()
                await until(hold.reached.is_set)
                assert sharing.running == 3
                group.start_soon(let_go)
                inner.cancel_scope.cancel()
    assert sorted(ended) == [(0, "end"), (1, "end")]
    assert table.rounds <= 12


async def test_closing_stops_all_jobs_that_run_side_by_side(sharing):
    table, refused = Table(sharing), []

    async def ask():
        with pytest.raises(ClosedClientError):
            await sharing.run(table.job(10**9))
        refused.append(1)

    async with anyio.create_task_group() as group:
        with table.hold(3) as hold, table.hold(0) as first:
            for _ in range(5):
                group.start_soon(ask)
            await until(lambda: sharing.requests == 5)
            first.released.set()
            await until(hold.reached.is_set)
            assert (sharing.running, sharing.waiting) == (3, 2)
        await sharing.aclose()
    assert len(refused) == 5
    assert (table.sitting, sharing.running, sharing.waiting) == (0, 0, 0)


async def test_a_job_that_waits_for_another_thread_does_not_hold_up_those_that_compute(sharing):
    table, waits, done = Table(sharing), [], []

    def wait(seconds):
        waits.append((seconds, table.sitting))

    def begin(emit, stopped):
        while not (done or stopped()):
            yield Idle(wait)
        return "end"

    async with anyio.create_task_group() as group:
        ended = await seat(sharing, group, Shared(begin), Shared(begin))
        await until(lambda: waits)
        assert await sharing.run(table.job(20)) == "end"
        assert table.rounds == 20
        count = len(waits)
        await until(lambda: len(waits) > count)
        done.append(True)
    assert len(ended) == 2
    assert {sitting for _, sitting in waits} == {0}
    assert all(0 < seconds < 1 for seconds, _ in waits)
