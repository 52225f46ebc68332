"""One served tool: the call that the tool learns about, its result with structured content, and its errors."""

from __future__ import annotations

import json
import logging
from functools import lru_cache
from typing import Any, final

import anyio
from attrs import evolve

from aimu._core.answer import AROUND, account_within
from aimu._core.escaping import escaping
from aimu._core.groups import single_failure
from aimu._core.reply import ToolCall, new_call_id
from aimu.aio._serve.blocks import blocks_of, text_block
from aimu.aio._serve.output import Output
from aimu.aio._serve.reports import Reports
from aimu.tools._current import CALL, CurrentCall, Listener
from aimu.tools._definition import Tool
from aimu.tools._toolbox import Toolbox, plain_data, text_of

log = escaping(logging.getLogger("aimu.aio"))

GONE = "aimu.gone"  # in the ASGI scope of a request: an event that is set when its client has hung up


@final
class Caller:
    """Calls one tool for clients.

    Args:
        tool: The tool.
        context: What the tool gets as `current_call().context`.
    """

    def __init__(self, tool: Tool, context: Any) -> None:
        self._tool = tool
        self._context = context
        self._toolbox = Toolbox([tool])
        self.output = Output.of(tool.function)

    async def call(self, arguments: dict[str, Any]) -> Any:
        """Call the tool, and return its `ToolResult`; an error is one too, with a text that a model can read."""
        from fastmcp.server.dependencies import get_context

        context = get_context()
        reports = Reports(context)
        listener = None if context.request_context is None else reports  # None: the program calls its own server
        results: list[Any] = []
        with single_failure(levels=2):
            async with anyio.create_task_group() as watching:
                if (gone := _gone(context)) is not None:
                    watching.start_soon(_cancel_when, gone, watching.cancel_scope)
                async with anyio.create_task_group() as sending:
                    sending.start_soon(reports.send)
                    results.append(await self._called(arguments, listener))
                    reports.close()
                watching.cancel_scope.cancel()
        return results[0] if results else _failed("the client is gone")

    async def _called(self, arguments: dict[str, Any], listener: Listener | None) -> Any:
        account, name = account_within(self._context), self._tool.name
        outer = CALL.get() or CurrentCall(new_call_id(), name)  # there is one if an agent of this process calls
        current = evolve(outer, name=name, context=account.context, listener=listener)
        outcome: list[Any] = []
        tokens = CALL.set(current), AROUND.set(account)
        try:
            await self._toolbox.execute(
                ToolCall(current.id, name, json.dumps(arguments)),
                on_start=lambda: None,
                on_result=lambda result: outcome.append(self._result(result)),
                on_failure=lambda reason: outcome.append(_failed(reason)),
            )
        except self._tool.raises:  # for a client it is one more error
            if not outcome:
                raise
        except SystemExit as exc:  # as of argparse: it would end the server for all clients
            log.warning("tool %r would have ended the program", name, exc_info=True)
            outcome.append(_failed(f"SystemExit: {exc}"))
        finally:
            CALL.reset(tokens[0])
            AROUND.reset(tokens[1])
        return outcome[-1]

    def _result(self, result: Any) -> Any:
        from fastmcp.tools.base import ToolResult

        if self.output is None:
            return ToolResult(content=blocks_of(result))
        data = plain_data(result)
        return ToolResult(content=[text_block(text_of(data))], structured_content=self.output.structured(data))


def _failed(reason: str) -> Any:
    from fastmcp.tools.base import ToolResult

    return ToolResult(content=[text_block(reason)], is_error=True)


def _gone(context: Any) -> anyio.Event | None:
    request = getattr(context.request_context, "request", None)
    event: anyio.Event | None = None if request is None else request.scope.get(GONE)
    return event


async def _cancel_when(event: anyio.Event, scope: anyio.CancelScope) -> None:
    await event.wait()
    scope.cancel()


@lru_cache(maxsize=1)
def served_tool() -> Any:
    """Return the class of a FastMCP tool that uses the schema and the validation of an aimu tool."""
    from fastmcp.tools.base import Tool as FastMCPTool

    class Served(FastMCPTool):  # type: ignore[misc,unused-ignore]
        """A FastMCP tool that a `Caller` calls."""

        call: Any

        async def run(self, arguments: dict[str, Any]) -> Any:
            return await self.call(arguments)

    return Served
