"""Flows: how a sequential workflow is written, as an async generator that asks runners one after another.

Forwards the chunks of the runners. A flow decides what to ask next and sees only whole texts; it must hold no scope
open across an `Ask`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import TypeAlias, final

from attrs import frozen

from aimu._core.answer import AnyAnswer
from aimu._core.chunks import StreamChunk
from aimu._core.loop_end import Nested
from aimu.aio._run import Run, Steps, Task
from aimu.aio._runner import DONE, AsyncRunner, steps_of


@final
@frozen
class Ask:
    """Yielded to run `runner` on `task` as step number `step`; the `yield` returns its answer."""

    runner: AsyncRunner
    task: Task
    step: int = 0


Flow: TypeAlias = AsyncGenerator[Ask | AnyAnswer, AnyAnswer]
"""Yields each Ask, then the workflow's answer: one that it got, so that it has the facts of its writer."""


async def follow(flow: Flow, name: str, run: Run) -> Steps:
    """Yield the steps of the workflow `name`, which asks runners as `flow` decides."""
    step = 0
    async with Nested(flow) as asks:
        try:
            asked = await anext(asks)
            while isinstance(asked, Ask):
                step, answer = asked.step, None
                async with Nested(steps_of(asked.runner, asked.task, run)) as steps:
                    async for chunk in steps:
                        if chunk.phase is DONE:
                            answer = chunk.content
                        else:
                            yield chunk
                assert answer is not None, "steps must end with a `done`"
                asked = await flow.asend(answer)
        except Exception as exc:
            exc.add_note(f"in {name!r}, step {step}")
            raise
    yield StreamChunk(DONE, run.account.of(asked), name, step)
