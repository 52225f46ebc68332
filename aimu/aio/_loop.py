"""The loop that drives a turn: send a request, run the tool calls that the model asks for, repeat until it answers.

The one driver of `aimu.aio._turn`, for plain, pulled and entered runs, for a client's `chat` and for agents. All
decisions are in the turn.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Literal

from aimu._core.answer import Answer, AnyAnswer
from aimu._core.chunks import StreamChunk, StreamingContentType
from aimu._core.loop_end import Nested
from aimu._core.messages import Message, user_message
from aimu._core.reply import Reply
from aimu.aio._calls import run_calls
from aimu.aio._conversation import Conversation
from aimu.aio._images import image_parts
from aimu.aio._means import means_for
from aimu.aio._outcome import CheckOutput, Finished, Outcome, RunTools, Terms
from aimu.aio._output_check import check
from aimu.aio._run import Run, Steps, Task
from aimu.aio._turn import Turn
from aimu.errors import InvalidImageError
from aimu.models import _options as options
from aimu.models._table import TABLE
from aimu.tools._toolbox import Toolbox


async def turn_steps(
    conversation: Conversation,
    task: Task,
    run: Run,
    *,
    terms: Terms,
    label: str | None = None,
    use_tools: bool = True,
    kind: Literal["chat", "generate"] = "chat",
) -> Steps:
    """Yield the chunks of one turn; the last is `done`, yielded after the turn is settled."""
    # A single generator, because every further generator slows each delta down, and because one `finally` must cover
    # every way out.
    provider = conversation.provider
    merged = options.merge(provider.spec.generate_kwargs, conversation.generate_kwargs, task.generate_kwargs)
    message = None if terms.resume else await _message(conversation, task)
    turn, stale = conversation.begin(message, run, terms, merged, kind, label)
    try:
        if stale is not None:
            await stale.close(run.in_thread)
        toolbox = await conversation.toolbox() if use_tools else Toolbox()
        turn.tools = await toolbox.offered()
        if task.expected is not None:
            turn.hold(means_for(task.expected, provider, merged, toolbox.names))
            run.state.typed = turn
        outcome: Outcome | None = None
        while not isinstance(outcome, Finished):
            request, reply = turn.next_request(), None
            iteration = turn.iteration
            if run.streaming:
                async with Nested(provider.stream(request)) as deltas:
                    async for delta in deltas:
                        if type(delta) is Reply:
                            reply = delta
                            continue
                        turn.feed(delta)
                        yield StreamChunk(delta.phase, delta.text, label, iteration)
            else:
                reply = await provider.complete(request)
            if reply is not None:
                run.account.count(reply.usage, provider.cost)
            outcome = turn.receive(reply)
            if isinstance(outcome, RunTools):
                concurrent = conversation.concurrent_tool_calls
                async with Nested(run_calls(turn, outcome.calls, toolbox, run, concurrent, label)) as steps:
                    async for chunk in steps:
                        yield chunk
                outcome = turn.end_iteration()
                if use_tools and (changed := await conversation.toolbox(toolbox)) is not toolbox:
                    toolbox = changed
                    turn.tools = await toolbox.offered()
            if isinstance(outcome, CheckOutput) and task.expected is not None:
                outcome = await check(turn, task.expected, outcome.text, run)
    except Exception as exc:
        exc.add_note(f"in {f'agent {label!r}' if label else 'a chat'}, iteration {max(turn.iteration, 0)}")
        raise
    finally:
        turn.settle()
    answer = _answer(turn, outcome, run, turn.model or provider.spec.id, label)
    yield StreamChunk(StreamingContentType.DONE, answer, label, turn.iteration)


def _answer(turn: Turn, end: Finished, run: Run, model: str, label: str | None) -> AnyAnswer:
    account = run.account
    return Answer(
        end.text,
        usage=account.usage,
        cost=account.cost,
        stop_reason=turn.stop_reason,
        model=model,
        agent=label,
        iterations=min(turn.iteration + 1 - turn.retried, turn.terms.max_iterations),
        requests=account.requests,
        new_messages=turn.published if turn.kind == "chat" else (),
        output=end.output,
    )


async def _message(conversation: Conversation, task: Task) -> Message:
    images = task.images
    if not images:
        return user_message(task.text)
    spec = conversation.provider.spec
    if isinstance(images, str | bytes | bytearray | os.PathLike | Mapping):
        raise InvalidImageError(f"images= must be a list, got {type(images).__name__}; put a single image in a list")
    row = TABLE.get(spec.provider)
    if row is not None and row.sightless:
        raise InvalidImageError(f"{spec} cannot see images: {row.sightless}")
    if spec.vision is False:
        raise InvalidImageError(f"{spec} has no vision; omit images= or choose a model with vision")
    accepted = row.images if row is not None and not row.in_process else None
    return user_message(task.text, await image_parts(images, accepted, str(spec)))
