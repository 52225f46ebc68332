"""One call from start to end: threads, context, failures, and the conversion of its result."""

from __future__ import annotations

import contextvars
import datetime as dt
import functools
import logging
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from aimu._core.threads import run_in_thread
from aimu.errors import EngineError
from aimu.tools import tool
from tests.tools.record import Record, at_once, failing, whoami, whoami_async
from tests.tools.samples import Color, Item, Point, Tree


async def test_a_sync_tool_starts_runs_and_ends_in_one_worker_thread():
    record = Record()
    start, result = await record.run(whoami, '{"n": "1"}')
    assert start == "start"
    assert record.threads == [int(result)] * 2 != [threading.get_ident()] * 2


async def test_async_inline_and_event_loop_tools_run_on_this_thread():
    here = tool(name="here", on_event_loop=True)(lambda: threading.get_ident())
    for events in (
        await Record().run(whoami_async),
        await Record().run(whoami, in_thread=at_once),
        await Record().run(here),
    ):
        assert events == ["start", str(threading.get_ident())]


async def test_tools_see_the_context_variables_of_the_task():
    variable = contextvars.ContextVar("variable")
    variable.set("seen")
    for in_thread in (at_once, run_in_thread):
        assert (await Record().run(tool(name="get")(lambda: variable.get()), in_thread=in_thread))[1] == "seen"


@pytest.mark.parametrize("kind", [0, 1], ids=["sync", "async"])
async def test_an_exception_is_the_result_and_its_traceback_is_logged(kind, caplog):
    events = await Record().run(failing(KeyError("row"))[kind])
    assert events == ["start", "Error: KeyError: 'row'"]
    (entry,) = caplog.records
    assert (entry.name, entry.levelno) == ("aimu.tools", logging.WARNING)
    assert entry.exc_info[1].__traceback__ is not None


async def test_an_error_of_the_library_is_logged_in_a_line(caplog):
    assert (await Record().run(failing(EngineError("gone"))[1]))[1] == "Error: EngineError: gone"
    (entry,) = caplog.records
    assert (entry.getMessage(), entry.exc_info) == ("tool 'fail_async' failed: gone", None)


async def test_the_model_gets_the_single_exception_of_a_group():
    async def fan() -> None:
        async with anyio.create_task_group() as outer, anyio.create_task_group():
            outer.start_soon(failing(OSError("down"))[1])
            await anyio.sleep_forever()

    assert (await Record().run(fan))[1] == "Error: OSError: down"


@pytest.mark.parametrize("kind", [0, 1], ids=["sync", "async"])
@pytest.mark.parametrize("grouped", [False, True])
async def test_an_exception_named_in_raises_is_recorded_and_ends_the_run(kind, grouped):
    record, error = Record(), PermissionError("no")
    function = failing(ExceptionGroup("one", [error]) if grouped else error)[kind]
    with pytest.raises(PermissionError) as caught:
        await record.run(tool(raises=OSError)(function))
    assert caught.value is error
    assert record.events == ["start", "Error: PermissionError: no"]


@pytest.mark.parametrize("kind", [0, 1], ids=["sync", "async"])
async def test_a_base_exception_is_raised_and_does_not_become_the_result(kind):
    class Stop(BaseException):
        pass

    record = Record()
    with pytest.raises(Stop):
        await record.run(failing(Stop())[kind])
    assert record.events == ["start"]


async def test_an_awaitable_returned_by_a_sync_function_is_awaited():
    @tool
    def indirect(n: int) -> Any:
        return whoami_async(n)

    assert await Record().run(indirect, '{"n": 1}') == ["start", str(threading.get_ident())]
    partial = functools.partial(whoami_async, n=1)
    assert (await Record().run(partial))[0] == "start"


async def test_the_result_of_a_sync_or_async_generator_is_a_list():
    closed = []

    @tool
    def count(n: int) -> Iterator[int]:
        yield from range(n)

    @tool
    async def count_async(n: int) -> AsyncIterator[int]:
        try:
            for i in range(n):
                await checkpoint()
                yield i
        finally:
            closed.append(threading.get_ident())

    for function in (count, count_async):
        assert await Record().run(function, '{"n": 3}') == ["start", "[0, 1, 2]"]
    assert closed == [threading.get_ident()]


PARTS = [{"type": "text", "text": "hi"}, {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}]


class Plain:
    def __str__(self):
        return "plain"


@pytest.mark.parametrize(
    ("result", "content"),
    [
        ("text", "text"),
        ("", ""),
        (None, "null"),
        (True, "true"),
        (1.5, "1.5"),
        ([], "[]"),
        ({"ä": (1, {2})}, '{"ä": [1, [2]]}'),
        (Color.RED, "red"),
        ([Color.RED], '["red"]'),
        (dt.date(2026, 1, 2), "2026-01-02"),
        (Point(1.0, Tree("t")), '{"x": 1.0, "tree": {"name": "t", "children": [], "_depth": 0}, "tags": []}'),
        (Item(sku="a"), '{"sku": "a", "amount": 1}'),
        (Plain(), "plain"),
        ([Plain()], '["plain"]'),
        (PARTS, PARTS),
        ([{"type": "text"}], '[{"type": "text"}]'),
        ([{"type": "text", "text": 1}], '[{"type": "text", "text": 1}]'),
        ([{"type": "image_url", "image_url": {}}], '[{"type": "image_url", "image_url": {}}]'),
    ],
)
async def test_a_result_is_text_or_content_parts(result, content):
    assert await Record().run(tool(name="give")(lambda: result), in_thread=at_once) == ["start", content]
