"""Whatever is raised in the worker's thread ends those requests that it concerns, with that error, and no other."""

import logging
from contextlib import aclosing

import anyio
import pytest

from aimu.engines._rounds import QueuedRequest, RequestQueue, Shared
from aimu.engines._worker import Worker
from tests.holding import until

ERRORS = [ArithmeticError, MemoryError, RuntimeError, KeyboardInterrupt, SystemExit, GeneratorExit]
raised = pytest.mark.parametrize("error", ERRORS)


@pytest.fixture
def worker():
    """Runs four jobs side by side, and is at work to the end of the test."""
    worker = Worker("failing worker", share=4)
    yield worker
    assert worker.run_sync(lambda: "still at work") == "still at work"
    assert (worker.running, worker.waiting) == (0, 0)
    worker.close()


class Steps:
    """Jobs in steps whose `call` raises in its round number `fails`; `inside` are those that have not been left."""

    def __init__(self, error=None, fails=None):
        self.error, self.fails = error, fails
        self.rounds, self.inside = 0, 0

    def call(self):
        self.rounds += 1
        if self.rounds == self.fails:
            raise self.error("no luck")

    def job(self, rounds, *, patient=False):
        def begin(emit, stopped):
            self.inside += 1
            try:
                for _ in range(rounds):
                    try:
                        yield self.call
                    except BaseException as exc:
                        if not patient:
                            raise
                        emit(type(exc))
                    emit("step")
                return "end"
            finally:
                self.inside -= 1

        return Shared(begin)


async def read(worker, job, said=None):
    said = [] if said is None else said
    async with aclosing(worker.stream(job)) as items:
        async for item in items:
            said.append(item)
    return said


def plain(error, *, emits=0):
    def job(emit, stopped):
        for _ in range(emits):
            emit("step")
        raise error("no luck")

    return job


@raised
async def test_what_a_plain_job_raises_ends_its_request(worker, error):
    with pytest.raises(error, match="no luck"):
        await worker.run(plain(error))
    said = []
    with pytest.raises(error, match="no luck"):
        await read(worker, plain(error, emits=3), said)
    assert said == ["step"] * 3
    with pytest.raises(error, match="no luck"):
        worker.run_sync(lambda: plain(error)(None, None))


@raised
async def test_what_a_shared_call_raises_ends_those_who_asked_for_it_and_nobody_else(worker, error):
    failing, good, found = Steps(error, fails=3), Steps(), {}

    async def one(name, job):
        try:
            found[name] = await read(worker, job)
        except BaseException as exc:
            found[name] = (type(exc), str(exc))

    async with anyio.create_task_group() as group:
        for name, job in {"a": failing.job(9), "b": failing.job(9), "c": good.job(9), "d": good.job(9)}.items():
            group.start_soon(one, name, job)
    assert found == {
        "a": (error, "no luck"),
        "b": (error, "no luck"),
        "c": ["step"] * 9 + ["end"],
        "d": ["step"] * 9 + ["end"],
    }
    assert failing.inside == good.inside == 0
    assert await read(worker, failing.job(2)) == ["step", "step", "end"]


@pytest.mark.parametrize("error", [ArithmeticError, MemoryError, SystemExit])
async def test_a_job_may_handle_what_its_call_raised_and_go_on(worker, error):
    steps = Steps(error, fails=2)
    assert await read(worker, steps.job(3, patient=True)) == ["step", error, "step", "step", "end"]


@pytest.mark.parametrize("wrong", [[], 7], ids=["no key of a dict", "no function"])
async def test_a_job_that_asks_for_what_cannot_be_called_fails_alone(worker, wrong):
    def begin(emit, stopped):
        yield wrong

    good, found = Steps(), []

    async def failing():
        with pytest.raises(TypeError):
            await worker.run(Shared(begin))

    async def others():
        found.append(await read(worker, good.job(5)))

    async with anyio.create_task_group() as group:
        group.start_soon(others)
        group.start_soon(failing)
    assert found == [["step"] * 5 + ["end"]]


@raised
async def test_a_reader_that_cannot_be_notified_holds_nobody_up(worker, error, caplog):
    def notify():
        raise error("nobody there")

    lost = QueuedRequest(lambda emit, stopped: "never read", notify)
    worker._queue.put(lost)
    assert await read(worker, Steps().job(2)) == ["step", "step", "end"]
    assert lost.returned == "never read"
    (record,) = caplog.records
    assert "could not be notified" in record.getMessage()
    assert record.exc_info[0] is error


class Broken(logging.Handler):
    def emit(self, record):
        raise SystemExit("the disk is full")


async def test_a_log_handler_that_raises_does_not_end_the_thread(worker, caplog):
    begun = []

    def job(emit, stopped):
        begun.append(1)
        while not stopped():
            pass
        raise LookupError("too late")

    logger, broken = logging.getLogger("aimu.engines"), Broken()
    logger.addHandler(broken)
    try:
        async with anyio.create_task_group() as group:
            group.start_soon(worker.run, job)
            await until(lambda: begun)
            group.cancel_scope.cancel()
        assert await read(worker, Steps().job(2)) == ["step", "step", "end"]
    finally:
        logger.removeHandler(broken)


@raised
async def test_what_is_raised_between_the_requests_ends_all_that_run_and_not_the_thread(worker, monkeypatch, error):
    fill, fails = RequestQueue._fill, iter([False, False, True])

    def failing(queue, share):
        if next(fails, False):
            raise error("no luck")
        fill(queue, share)

    monkeypatch.setattr(RequestQueue, "_fill", failing)
    steps = Steps()
    with pytest.raises(error, match="no luck"):
        await read(worker, steps.job(9))
    assert steps.inside == 0
    assert await read(worker, Steps().job(2)) == ["step", "step", "end"]


@raised
async def test_weights_that_cannot_be_freed_do_not_keep_whoever_closes(error, caplog):
    def free():
        raise error("no luck")

    worker = Worker("closing worker")
    await worker.aclose(free)
    assert not worker._thread.is_alive()
    assert "could not be freed" in caplog.records[0].getMessage()
    assert caplog.records[0].exc_info[0] is error
