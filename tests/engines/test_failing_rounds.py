"""An exception in the worker's thread fails the requests that it concerns, and no others."""

import logging
from contextlib import aclosing

import anyio
import pytest

from aimu.engines._rounds import QueuedRequest, RequestQueue, Shared
from aimu.engines._worker import Worker
from tests.holding import until, wait_in_thread

ERRORS = [ArithmeticError, MemoryError, RuntimeError, KeyboardInterrupt, SystemExit, GeneratorExit]
raised = pytest.mark.parametrize("error", ERRORS)


@pytest.fixture
def worker():
    """A worker that runs four jobs side by side; checks that it still works at the end of the test."""
    worker = Worker("failing worker", share=4)
    yield worker
    assert worker.run_sync(lambda: "still working") == "still working"
    assert (worker.running, worker.waiting) == (0, 0)
    worker.close()


class Steps:
    """Makes shared jobs whose function raises in round number `fails`; `inside` counts the running ones.

    The first round waits until `seated()`.
    """

    def __init__(self, error=None, fails=None, seated=lambda: True):
        self.error, self.fails, self.seated = error, fails, seated
        self.rounds, self.inside = 0, 0

    def call(self):
        self.rounds += 1
        if self.rounds == 1:
            wait_in_thread(self.seated)
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
async def test_an_exception_in_a_plain_job_fails_its_request(worker, error):
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
    def seated():
        return worker.running + worker.waiting == 4

    failing, good, found = Steps(error, 3, seated), Steps(seated=seated), {}

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
async def test_a_job_may_catch_the_exception_of_its_function_and_continue(worker, error):
    steps = Steps(error, fails=2)
    assert await read(worker, steps.job(3, patient=True)) == ["step", error, "step", "step", "end"]


@pytest.mark.parametrize("wrong", [[], 7], ids=["no key of a dict", "no function"])
async def test_a_job_that_yields_an_invalid_value_fails_alone(worker, wrong):
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
async def test_a_reader_that_cannot_be_notified_does_not_delay_others(worker, error, caplog):
    def notify():
        raise error("nobody there")

    lost = QueuedRequest(lambda emit, stopped: "never read", notify)
    worker._queue.put(lost)
    assert await read(worker, Steps().job(2)) == ["step", "step", "end"]
    assert lost.returned == "never read"
    (record,) = caplog.records
    assert record.getMessage() == "cannot notify the reader of a request"
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
@pytest.mark.parametrize("where", ["_fill", "_dismiss", "_admit"])
async def test_an_exception_between_steps_fails_all_running_requests_but_not_the_thread(
    worker, monkeypatch, where, error
):
    original, failed = getattr(RequestQueue, where), []

    def failing(queue, *args):
        if failed:
            return original(queue, *args)
        if where == "_admit":
            args[0].claim()
        failed.append(1)
        raise error("no luck")

    monkeypatch.setattr(RequestQueue, where, failing)
    steps = Steps()
    with pytest.raises(error, match="no luck"):
        await worker.run(steps.job(9))
    assert steps.inside == 0
    assert await read(worker, Steps().job(2)) == ["step", "step", "end"]


@raised
async def test_closing_returns_even_if_weights_cannot_be_freed(error, caplog):
    def free():
        raise error("no luck")

    worker = Worker("closing worker")
    await worker.aclose(free)
    assert not worker._thread.is_alive()
    assert caplog.records[0].getMessage() == "cannot free the weights of an engine"
    assert caplog.records[0].exc_info[0] is error
