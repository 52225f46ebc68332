"""The loop of a turn: ask, run the tools that the model asks for, ask again, until it answers.

The one decision code for plain, pulled and entered runs, for a client's `chat` and for agents.
"""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from typing import Any, Literal, Protocol, final

import anyio
from attrs import Attribute, field, frozen

from aimu.aio.conversation import Conversation, Turn
from aimu.aio.run import ENCLOSING, Run, Steps
from aimu.core.chunks import StreamChunk, StreamingContentType
from aimu.core.messages import Message, user_message
from aimu.core.reply import Delta, Reply, StopReason, ToolCall
from aimu.errors import InvalidOptionError, RefusedError, TruncatedError, TruncatedStreamError
from aimu.providers.base import Request
from aimu.tools.toolbox import Toolbox

log = logging.getLogger("aimu.aio")

THINKING, TOOL_CALLING, GENERATING, DONE = StreamingContentType


class Asker(Protocol):
    """What the loop needs of a client."""

    @property
    def conversation(self) -> Conversation: ...
    async def toolbox(self) -> Toolbox: ...
    def complete(self, request: Request) -> Coroutine[Any, Any, Reply]: ...
    def stream(self, request: Request) -> AsyncGenerator[Delta | Reply, None]: ...


def _is_number_of_calls(instance: object, attribute: Attribute[Any], value: Any) -> None:
    if not isinstance(value, int) or value < 0:
        raise InvalidOptionError(f"concurrent_tool_calls is True, False or how many at once, not {value!r}")


@final
@frozen(kw_only=True)
class Policy:
    """How a turn goes on.

    `limit` is the number of iterations, at least 1; `continuation` is sent when the model's turn came back empty (None:
    an empty answer is an answer); `concurrent` overlaps the calls of a round (a number: at most so many at once);
    `reset` empties the history first.
    """

    name: str | None = None
    limit: int = 10
    continuation: str | None = None
    concurrent: bool | int = field(default=False, validator=_is_number_of_calls)
    reset: bool = False


@final
@frozen(kw_only=True)
class Question:
    """A turn's beginning, ready to be sent."""

    message: Message
    options: Mapping[str, Any]
    use_tools: bool = True
    kind: Literal["chat", "generate"] = "chat"


async def turn_steps(client: Asker, question: Question, run: Run, policy: Policy, label: str | None) -> Steps:
    """The chunks of one turn; the last is `done`, yielded after the turn is settled."""
    # Long, since it is one generator: each further one that deltas pass through costs them time, and the one `finally`
    # has to see every way out.
    turn, stale = client.conversation.begin(question.message, run, reset=policy.reset)
    iteration, text = 0, ""
    try:
        if stale is not None:
            await stale.aclose()
        toolbox = await client.toolbox() if question.use_tools else Toolbox(())
        for iteration in range(policy.limit + 1):
            last = iteration == policy.limit
            request = Request(
                messages=turn.history(),
                tools=toolbox.schemas,
                options=_options(question.options, bool(toolbox.schemas), iteration, last),
                kind=question.kind,
            )
            reply: Reply | None = None
            if run.streaming:
                async with aclosing(client.stream(request)) as deltas:
                    async for delta in deltas:
                        if type(delta) is Reply:
                            reply = delta
                            continue
                        turn.feed(delta.text, delta.phase is THINKING)
                        yield StreamChunk(delta.phase, delta.text, label, iteration)
                if reply is None:
                    raise TruncatedStreamError("the provider's stream ended without a reply")
            else:
                reply = await client.complete(request)
            turn.check()
            _refuse_half_answers(turn, reply)
            calls, text = turn.receive(reply), reply.text
            if calls:
                if iteration + 1 < policy.limit:
                    async with aclosing(_tool_steps(turn, calls, toolbox, run, policy, label, iteration)) as steps:
                        async for chunk in steps:
                            yield chunk
                turn.check()
                turn.flush()
            elif reply.stop_reason is StopReason.PAUSED:
                turn.flush()
            elif text.strip() or policy.continuation is None:
                break
            else:
                turn.drop_reply(user_message(policy.continuation))
            if last:
                break
    except Exception as exc:
        exc.add_note(f"in {f'agent {label!r}' if label else 'a chat'}, iteration {iteration}")
        raise
    finally:
        turn.settle()
    yield StreamChunk(DONE, text, label, iteration)


def _options(options: Mapping[str, Any], tools: bool, iteration: int, last: bool) -> Mapping[str, Any]:
    """Options of one request: a demanded tool is demanded once, and at the limit none may be called."""
    if tools and last:
        return {**options, "tool_choice": "none"}
    if iteration and options.get("tool_choice", "auto") not in ("auto", "none"):
        return {key: value for key, value in options.items() if key != "tool_choice"}
    return options


def _refuse_half_answers(turn: Turn, reply: Reply) -> None:
    """Raise for a reply that is no answer; what text it has stays in the history, marked."""
    if reply.stop_reason is StopReason.REFUSED:
        turn.cut(reply)
        said = f": {reply.text}" if reply.text else ""
        raise RefusedError(f"the model declined to answer{said}", partial=reply.text, request_id=reply.request_id)
    if reply.stop_reason is StopReason.MAX_TOKENS:
        if reply.calls or not reply.text.strip():
            turn.cut(reply)
            where = "inside a tool call" if reply.calls else "before any text"
            raise TruncatedError(
                f"max_tokens ended the turn {where}; raise max_tokens", partial=reply.text, request_id=reply.request_id
            )
        log.warning("an answer was cut off by max_tokens; last_stop_reason says so")


async def _tool_steps(
    turn: Turn,
    calls: Sequence[ToolCall],
    toolbox: Toolbox,
    run: Run,
    policy: Policy,
    label: str | None,
    iteration: int,
) -> Steps:
    """Run one round of calls: chunks when each starts and has ended, results into the turn."""

    def chunk(call: ToolCall, **more: Any) -> StreamChunk:
        content = {"id": call.id, "name": call.name, "arguments": _parsed(call.arguments), **more}
        return StreamChunk(TOOL_CALLING, content, label, iteration)

    async def perform(call: ToolCall, run: Run) -> StreamChunk:
        token = ENCLOSING.set(run)
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
            ENCLOSING.reset(token)
        return chunk(call, response=turn.result(call)["content"])

    held: list[StreamChunk] = []

    async def hold(item: StreamChunk) -> None:
        held.append(item)

    sink = run.sink or hold
    for batch in _batches(calls, toolbox, policy.concurrent):
        for call in batch:
            yield chunk(call)
        turn.check()
        failure: Exception | None = None
        try:
            if len(batch) == 1:
                held.append(await perform(batch[0], run.with_sink(sink)))
            else:
                await _together(batch, perform, run.branch(sink), sink, policy.concurrent)
        except Exception as exc:  # noqa: BLE001 - raised again below, once what had ended is shown
            failure = exc
        for item in held:
            yield item
        if failure is not None:
            raise failure
        held.clear()


async def _together(
    calls: Sequence[ToolCall],
    perform: Callable[[ToolCall, Run], Any],
    run: Run,
    sink: Callable[[StreamChunk], Any],
    concurrent: bool | int,
) -> None:
    limiter = anyio.Semaphore(len(calls) if concurrent is True else concurrent)

    async def one(call: ToolCall) -> None:
        async with limiter:
            await sink(await perform(call, run))

    with single_failure():
        async with anyio.create_task_group() as group:
            for call in calls:
                group.start_soon(one, call)


def _batches(calls: Sequence[ToolCall], toolbox: Toolbox, concurrent: bool | int) -> list[list[ToolCall]]:
    """Calls that may overlap, in order; an exclusive tool is alone in its batch."""
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


@contextmanager
def single_failure() -> Generator[None, None, None]:
    """A task group around which a single failure is that failure, not a group."""
    try:
        yield
    except BaseExceptionGroup as group:
        leaf: BaseException = group
        while isinstance(leaf, BaseExceptionGroup) and len(leaf.exceptions) == 1:
            leaf = leaf.exceptions[0]
        if leaf is group:
            raise
        raise leaf from leaf.__cause__


def _parsed(arguments: str) -> Any:
    try:
        return json.loads(arguments) if arguments else {}
    except (ValueError, RecursionError):
        return arguments
