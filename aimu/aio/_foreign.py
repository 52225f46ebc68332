"""Runs of users' own runners and clients, as steps. Owns what they may return, and the answer that it makes."""

from __future__ import annotations

from collections.abc import Callable
from inspect import isawaitable
from typing import Any

from aimu._core.answer import AROUND, Answer, AnyAnswer, changed
from aimu._core.chunks import StreamChunk, StreamingContentType
from aimu._core.loop_end import Nested
from aimu.aio._run import Run, Steps
from aimu.errors import InvalidOptionError

DONE = StreamingContentType.DONE


async def foreign_steps(call: Callable[[], Any], run: Run, agent: str | None) -> Steps:
    """Yield the steps of a user's own `run` or `chat`, which `call` calls.

    Runs that the user's code starts count in the account of `run`. An Answer keeps its facts; another text is the
    answer of `agent`.
    """
    outcome = await _outcome(call, run)
    if isinstance(outcome, str):
        yield StreamChunk(DONE, _answer(outcome, run, agent))
        return
    text: list[str] = []
    told: Any = None
    # A user's generator may hold a scope across its yields. So its loop yields nothing if there is a sink, nor if each
    # step of a pulled stream has a scope for its deadline, which must not close before one that it contains.
    held: list[StreamChunk] = []
    hold = run.sink is None and run.state.timed
    failure: Exception | None = None
    try:
        async with Nested(outcome) as chunks:
            while (chunk := await _next(chunks, run)) is not None:
                if chunk.phase is DONE:
                    told = chunk.content
                    continue
                if chunk.is_text():
                    text.append(chunk.content)
                if run.sink is not None:
                    await run.sink(chunk)
                elif hold:
                    held.append(chunk)
                else:
                    yield chunk
    except Exception as exc:
        if not held:
            raise
        failure = exc
    for chunk in held:
        yield chunk
    if failure is not None:
        raise failure
    yield StreamChunk(DONE, _answer(answer_of(outcome, "".join(text) if told is None else told), run, agent))


def answer_of(outcome: object, text: Any) -> Any:
    """Return the Answer of a stream of this library that ended with this text; of anything else, the text."""
    result = getattr(outcome, "result", None)
    return result if isinstance(result, Answer) and result == text else text


def _answer(text: Any, run: Run, agent: str | None) -> AnyAnswer:
    if isinstance(text, Answer):
        return text if text.agent is not None else changed(text, agent=agent)
    return run.account.of(Answer(str(text), agent=agent))


async def _outcome(call: Callable[[], Any], run: Run) -> Any:
    """Return the text or the iterator of chunks that the user's code returns."""
    around = AROUND.set(run.account)
    try:
        pending = call()
        if not isawaitable(pending) and not hasattr(pending, "__aiter__"):
            raise InvalidOptionError(
                f"a run returned {type(pending).__name__}, which cannot be awaited; "
                "aimu.aio needs async runners and clients, so use sync ones in the workflows of aimu.agents"
            )
        outcome = await pending if isawaitable(pending) else pending
    finally:
        AROUND.reset(around)
    if not isinstance(outcome, str) and not hasattr(outcome, "__aiter__"):
        raise InvalidOptionError(
            f"a run returned {type(outcome).__name__}; "
            "return the answer as a str, or with stream=True an async iterator of chunks"
        )
    return outcome


async def _next(chunks: Any, run: Run) -> StreamChunk | None:
    around = AROUND.set(run.account)
    try:
        chunk: StreamChunk | None = await anext(chunks, None)
        return chunk
    finally:
        AROUND.reset(around)
