"""A record of one call, and tools that report where they run."""

from __future__ import annotations

import threading

import anyio

from aimu._core.reply import ToolCall
from aimu.tools import Tool, Toolbox, as_tool, tool


class Record:
    """Records one call as its caller does, and the threads."""

    def __init__(self):
        self.events = []
        self.threads = []

    def on_start(self):
        self.events.append("start")
        self.threads.append(threading.get_ident())

    def on_end(self, content):
        self.events.append(content)
        self.threads.append(threading.get_ident())

    async def run(self, function, arguments="{}", **options):
        made = function if isinstance(function, Tool) else as_tool(function)
        call = ToolCall("1", made.name, arguments)
        await Toolbox([made]).call(call, on_start=self.on_start, on_end=self.on_end, **options)
        return self.events


async def at_once(func):
    return func()


@tool
def whoami(n: int = 0) -> str:
    return f"{threading.get_ident()}"


@tool
async def whoami_async(n: int = 0) -> str:
    await anyio.lowlevel.checkpoint()
    return f"{threading.get_ident()}"


def failing(error):
    def fail() -> str:
        raise error

    async def fail_async() -> str:
        raise error

    return [fail, fail_async]
