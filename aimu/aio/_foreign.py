"""Runs of users' own runners and clients, as steps. Owns what they may return, and the answer that it makes."""

from __future__ import annotations

import logging
from collections.abc import Callable
from inspect import isawaitable
from typing import Any

from aimu._core.answer import AROUND, Answer, AnyAnswer, changed
from aimu._core.chunks import StreamChunk, StreamingContentType
from aimu._core.escaping import escaping
from aimu._core.groups import single_failure
from aimu._core.loop_end import Nested
from aimu._output._expected import Expected
from aimu.aio._output_check import typed
from aimu.aio._run import Run, Steps
from aimu.errors import InvalidOptionError

log = escaping(logging.getLogger("aimu.aio"))

DONE = StreamingContentType.DONE
_TEXTS = (StreamingContentType.THINKING, StreamingContentType.GENERATING)
END = object()  # None would be a chunk that is wrong


async def foreign_steps(
    call: Callable[[], Any], run: Run, agent: str | None, expected: Expected | None = None
) -> Steps:
    """Yield the steps of a user's own `run` or `chat`, which `call` calls.

    Runs that the user's code starts count in the account of `run`. An Answer keeps its facts; another text is the
    answer of `agent`. A text without the expected type is an error.
    """
    outcome = await _outcome(call, run)
    if isinstance(outcome, str):
        answer = _answer(outcome, run, agent)
        yield StreamChunk(DONE, answer if expected is None else await typed(answer, expected, run))
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
            while (item := await _next(chunks, run)) is not END:
                chunk = checked_chunk(item)
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
    try:
        for chunk in held:
            yield chunk
    except GeneratorExit:
        if failure is not None:
            log.warning("a run failed in its clean-up, after its time was over or its reader had left: %r", failure)
        raise
    if failure is not None:
        raise failure
    answer = _answer(answer_of(outcome, "".join(text) if told is None else told), run, agent)
    yield StreamChunk(DONE, answer if expected is None else await typed(answer, expected, run))


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
        with single_failure(levels=0):
            outcome = await pending if isawaitable(pending) else pending
    finally:
        AROUND.reset(around)
    if not isinstance(outcome, str) and not hasattr(outcome, "__aiter__"):
        raise InvalidOptionError(
            f"a run returned {type(outcome).__name__}; "
            "return the answer as a str, or with stream=True an async iterator of chunks"
        )
    return outcome


async def _next(chunks: Any, run: Run) -> Any:
    around = AROUND.set(run.account)
    try:
        with single_failure(levels=0):
            return await anext(chunks, END)
    finally:
        AROUND.reset(around)


def checked_chunk(item: Any) -> StreamChunk:
    """Return a copy of a chunk of a user's own run, which may use it again; its phase may be the word for one."""
    if not isinstance(item, StreamChunk):
        raise InvalidOptionError(f"a run yielded {type(item).__name__}; yield StreamChunk objects")
    phase, content = item.phase, item.content
    if type(phase) is not StreamingContentType:
        if phase not in list(StreamingContentType):
            raise InvalidOptionError(f"a run yielded a chunk with phase {phase!r}; use a StreamingContentType")
        phase = StreamingContentType(phase)
    if phase in _TEXTS and not isinstance(content, str):
        raise InvalidOptionError(
            f"a run yielded a {phase.value} chunk with {type(content).__name__} content; its content must be a str"
        )
    return StreamChunk(phase, content, item.agent, item.iteration)
