"""The tool calls of one iteration: which of them overlap, where they run, and the chunks that report them.

The turn keeps the results. `aimu.tools` defines what a tool is and how one call of it runs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import anyio

from aimu._core.answer import AROUND
from aimu._core.chunks import StreamChunk, StreamingContentType
from aimu._core.groups import single_failure
from aimu._core.json_text import read_json
from aimu._core.reply import ToolCall
from aimu.aio._place import Subtasks
from aimu.aio._run import ENCLOSING, Run, Sink, Steps
from aimu.aio._turn import Turn
from aimu.tools._current import CALL, CurrentCall, current_listener
from aimu.tools._toolbox import Toolbox


async def run_calls(
    turn: Turn, calls: Sequence[ToolCall], toolbox: Toolbox, run: Run, concurrent: bool | int, label: str | None
) -> Steps:
    """Run the calls of one iteration. Yield a chunk when each starts and when it ends; pass the results to the turn."""

    def chunk(call: ToolCall, **more: Any) -> StreamChunk:
        content = {"id": call.id, "name": call.name, "arguments": _parsed(call.arguments), **more}
        return StreamChunk(StreamingContentType.TOOL_CALLING, content, label, turn.iteration)

    async def perform(call: ToolCall, run: Run) -> StreamChunk:
        current = CurrentCall(
            call.id, call.name, label, turn.iteration, run.account.context, turn.messages, current_listener()
        )
        tokens = ENCLOSING.set(run), AROUND.set(run.account), CALL.set(current)
        try:
            await toolbox.call(
                call,
                on_start=lambda: turn.start(call),
                on_end=lambda content: turn.finish(call, content),
                in_thread=run.in_thread,
            )
        except Exception as exc:
            exc.add_note(f"in tool {call.name!r}")
            raise
        finally:
            ENCLOSING.reset(tokens[0])
            AROUND.reset(tokens[1])
            CALL.reset(tokens[2])
        return chunk(call, response=turn.result(call)["content"])

    held: list[StreamChunk] = []

    async def hold(item: StreamChunk) -> None:
        held.append(item)

    sink = run.sink or hold
    for batch in _batches(calls, toolbox, concurrent):
        for call in batch:
            yield chunk(call)
        failure: Exception | None = None
        try:
            if len(batch) == 1:
                held.append(await perform(batch[0], run.with_sink(sink)))
            else:
                await _together(batch, perform, run.branch(sink), sink, concurrent)
        except Exception as exc:  # noqa: BLE001 - raised again below, after the chunks of the calls that have ended
            failure = exc
        for item in held:
            yield item
        try:
            if failure is not None:
                raise failure
        finally:
            del failure  # its traceback holds this frame
        held.clear()


async def _together(
    calls: Sequence[ToolCall], perform: Callable[[ToolCall, Run], Any], run: Run, sink: Sink, concurrent: bool | int
) -> None:
    limiter = anyio.Semaphore(len(calls) if concurrent is True else concurrent)

    async def one(call: ToolCall) -> None:
        tasks.join()
        async with limiter:
            await sink(await perform(call, run))

    with Subtasks() as tasks, single_failure():
        async with anyio.create_task_group() as group:
            for call in calls:
                group.start_soon(one, call)


def _batches(calls: Sequence[ToolCall], toolbox: Toolbox, concurrent: bool | int) -> list[list[ToolCall]]:
    """Return the calls in order, in batches that may overlap; an exclusive tool is alone in its batch."""
    batches: list[list[ToolCall]] = []
    joinable = False
    for call in calls:
        found = toolbox.get(call.name)
        alone = not concurrent or (found is not None and found.exclusive)
        if joinable and not alone:
            batches[-1].append(call)
        else:
            batches.append([call])
        joinable = not alone
    return batches


def _parsed(arguments: str) -> Any:
    try:
        return read_json(arguments) if arguments else {}
    except ValueError:
        return arguments
