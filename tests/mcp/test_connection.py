"""One connection by itself: how it ends when it fails and is cancelled at the same time."""

from contextlib import asynccontextmanager

import anyio
import pytest

from aimu.aio._mcp.config import ProcessSpec
from aimu.aio._mcp.connection import Connection
from aimu.aio._mcp.options import Settings
from aimu.aio._mcp.unasked import Unasked

SPEC = ProcessSpec(name="frail", command="frail")


class Frail:
    """A transport that never answers, and whose clean-up fails."""

    def __init__(self):
        self.begun = anyio.Event()

    @asynccontextmanager
    async def streams(self, attempt, end):
        to_session, incoming = anyio.create_memory_object_stream(0)
        outgoing, from_session = anyio.create_memory_object_stream(0)
        with to_session, incoming, outgoing, from_session:
            async with anyio.create_task_group() as group:
                group.start_soon(self._fail)
                yield incoming, outgoing

    async def _fail(self):
        try:
            self.begun.set()
            await anyio.sleep_forever()
        finally:
            raise OSError("broken")


@pytest.mark.parametrize("how", ["group", "drop"])
async def test_a_connection_whose_clean_up_fails_when_it_is_cancelled_raises_nothing_and_keeps_the_failure(
    monkeypatch, how
):
    settings, transport = Settings(), Frail()
    connection = Connection(SPEC, settings, Unasked("frail", settings))
    monkeypatch.setattr(connection, "_transport", transport.streams)
    async with anyio.create_task_group() as group:
        group.start_soon(connection.run)
        await transport.begun.wait()
        if how == "group":
            group.cancel_scope.cancel()
        else:
            connection.drop()
    assert connection.closed.is_set()
    assert isinstance(connection.failure, OSError)
