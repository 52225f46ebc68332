"""An event loop that ends over streams ends quietly, and neither it nor what belongs to it stays in memory."""

import asyncio
import gc
import itertools
import subprocess
import sys
import weakref
from functools import cache
from pathlib import Path

import anyio
import pytest

from aimu import aio
from aimu._core.loop_end import Nested, first_step, is_keeper, loop_end
from aimu.testing import leak_check, scripted_client
from tests.aio.loops import STATES
from tests.loopback import loopback_server

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def server():
    with loopback_server() as url:
        yield url


CASES = [f"run:{state}" for state in STATES] + ["thread:plain", "thread:paused"]
CLOSED = ["closed:plain", "closed:finished", "closed:entered"]  # loops of asyncio only


@pytest.fixture(scope="module")
def end_loops(server):
    """Runs all cases of a backend in one process; what is returned for a case is what it wrote to both outputs."""

    @cache
    def run(backend):
        cases = CASES + (CLOSED if backend == "asyncio" else [])
        command = [sys.executable, "-m", "tests.aio.loops", server, backend, *cases]
        done = subprocess.run(command, capture_output=True, text=True, timeout=240, cwd=ROOT, check=False)
        return {case: (written(done.stdout, case), written(done.stderr, case)) for case in cases}

    return lambda backend, case: run(backend)[case]


def written(output, case):
    """Return the lines of an output between the name of a case and that of the next one; None if it never began."""
    lines = output.splitlines()
    if case not in lines:
        return None
    own = lines[lines.index(case) + 1 :]
    return "\n".join(itertools.takewhile(lambda line: line not in CASES + CLOSED, own))


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("case", CASES)
def test_a_loop_that_ends_over_a_stream_is_quiet_and_freed(end_loops, backend, case):
    assert end_loops(backend, case) == ("0", "")


@pytest.mark.parametrize("case", CLOSED)
def test_a_loop_that_was_closed_without_ending_its_generators_is_freed_by_the_next_request(end_loops, case):
    assert end_loops("asyncio", case) == ("0", "")


@pytest.mark.parametrize("read", [False, True])
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_results_of_amap_that_somebody_keeps_keep_no_event_loop(backend, read):
    async def main():
        results = aio.amap(aio.Agent(scripted_client("Hello.", repeat=True)), ["a", "b", "c"])
        async with results:
            if read:
                await anext(results)
        kept.append(results)
        return weakref.ref(anyio.lowlevel.current_token().native_token)

    kept = []
    freed = anyio.run(main, backend=backend)
    gc.collect()
    assert freed() is None


def test_a_loop_that_was_closed_without_ending_its_generators_is_freed_at_once_if_it_made_no_request():
    async def main():
        streams.append(scripted_client("Hello there.").chat("Hi", stream=True))
        await anext(streams[-1])
        return weakref.ref(anyio.lowlevel.current_token().native_token)

    streams = []
    loop = asyncio.new_event_loop()
    freed = loop.run_until_complete(main())
    loop.close()
    del loop, streams[:]
    gc.collect()
    assert freed() is None


class Open:
    def __init__(self, order, error=None):
        self.order, self.error = order, error

    async def _end_with_loop(self):
        self.order.append("begun")
        await anyio.lowlevel.checkpoint()
        self.order.append("ended")
        if self.error is not None:
            raise self.error


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_all_that_is_open_ends_with_the_loop_even_if_some_fails(backend, caplog):
    order, rest = [], []
    streams = [Open(order), Open(order, ValueError("broken")), Open(order)]

    class Rest(Open):
        def __init__(self):
            super().__init__(order)

        async def _end_with_loop(self):
            rest.append(len(order))

    async def main():
        for stream in streams:
            loop_end().keep(stream)
        assert loop_end().attached(Rest) is loop_end().attached(Rest)

    anyio.run(main, backend=backend)
    assert order.count("begun") == 3
    assert rest == [len(order)]  # the streams end first
    assert ("failed to close" in caplog.text) == (backend == "asyncio")  # trio cancels each wait at its end


async def test_a_hidden_generator_that_is_dropped_is_still_closed():
    closed = []

    async def numbers():
        try:
            yield 1
        finally:
            closed.append(True)
            await anyio.lowlevel.checkpoint()

    generator = numbers()
    assert await first_step(generator) == 1
    with pytest.warns(ResourceWarning) if "trio" in sys.modules and is_trio() else nothing():
        del generator
        gc.collect()
    for _ in range(5):
        await anyio.lowlevel.checkpoint()
    assert closed


def is_trio():
    return "Trio" in anyio.lowlevel.current_token().backend_class.__name__


class nothing:  # noqa: N801 - as contextlib.nullcontext, which is not an instance of what pytest.warns returns
    def __enter__(self):
        pass

    def __exit__(self, *exc):
        pass


async def test_a_nested_generator_passes_items_errors_and_cancellations():
    async def inner():
        yield 1
        await anyio.sleep_forever()

    async def outer():
        async for item in inner():
            yield item

    async with Nested(outer(), whole=True) as items:
        assert await anext(items) == 1
        with anyio.move_on_after(0) as scope:
            await anext(items)
        assert scope.cancelled_caught

    async def slow_to_start():
        await anyio.sleep_forever()
        yield

    async with Nested(slow_to_start(), whole=True) as items:
        with anyio.move_on_after(0.001) as scope:
            await anext(items)
        assert scope.cancelled_caught


async def test_the_keeper_of_a_loop_is_no_leak():
    async with leak_check():
        async for _ in scripted_client("Hello.").chat("Hi", stream=True):
            pass
    assert any(is_keeper(thing) for thing in gc.get_objects() if type(thing).__name__ == "async_generator")
