"""A model whose answers are written in advance, so that a test of an agent decides every word of it.

Owns the script: its steps, how they stream, what was asked. Refuses to guess: a request beyond the script is an
AssertionError, and so is a script that was not used up.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from itertools import pairwise
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeAlias, final

import anyio
import attrs
from attrs import field, frozen

from aimu._core.chunks import StreamingContentType
from aimu._core.messages import copy_history
from aimu._core.reply import Delta, Reply, StopReason, ToolCall, Usage
from aimu.models._spec import ModelSpec
from aimu.providers._base import ReplyStream, Request

if TYPE_CHECKING:
    from aimu.aio import AsyncModelClient

Call: TypeAlias = ToolCall | tuple[str, Mapping[str, Any]]


@final
@frozen
class Step:
    """One answer of the model.

    `calls` are tool calls: `("add", {"a": 1})` gets an id of the provider's, a ToolCall keeps its own. `delay` is the
    wait before the answer in seconds; streamed, before every piece. `error` is raised instead of the reply; streamed,
    after the pieces of `thinking` and `text`. `pieces` is how many the text is streamed in (None: word by word).
    `stop_reason` is TOOL_CALLS or END when not given.
    """

    text: str = ""
    thinking: str = field(default="", kw_only=True)
    calls: Sequence[Call] = field(default=(), kw_only=True)
    delay: float = field(default=0.0, kw_only=True)
    error: BaseException | None = field(default=None, kw_only=True)
    stop_reason: StopReason | None = field(default=None, kw_only=True)
    usage: Usage | None = field(default=None, kw_only=True)
    pieces: int | None = field(default=None, kw_only=True, validator=attrs.validators.optional(attrs.validators.ge(1)))

    def deltas(self) -> list[Delta]:
        """The pieces in order, thinking first; joined they are the texts."""
        return [
            *(Delta(StreamingContentType.THINKING, piece) for piece in _split(self.thinking, self.pieces)),
            *(Delta(StreamingContentType.GENERATING, piece) for piece in _split(self.text, self.pieces)),
        ]


reply = Step  # reads better in a script: ScriptedProvider(reply(calls=[...]), "Done.")

Scripted: TypeAlias = str | Step | BaseException | Callable[[Request], str | Step | BaseException]


def _split(text: str, pieces: int | None) -> list[str]:
    if pieces is None:
        return re.findall(r"\S+\s*|\s+", text)
    bounds = [len(text) * index // pieces for index in range(pieces + 1)]
    return [text[start:stop] for start, stop in pairwise(bounds) if start < stop]


def _step(scripted: Scripted, request: Request) -> Step:
    if isinstance(scripted, Step):
        return scripted
    if isinstance(scripted, str):
        return Step(scripted)
    if isinstance(scripted, BaseException):
        return Step(error=scripted)
    return _step(scripted(request), request)


@final
class ScriptedProvider:
    """A provider that answers request n with step n, for all conversations on it together, first come first served.

    A step is a text, a Step (`reply(...)`), an exception to raise, or a function of the Request that returns one of
    these; with `repeat` the script starts over at its end. `requests` holds a copy of every request, `open_streams`
    how many streams have begun and are neither finished nor closed. As a context manager it asserts at the block's end
    that the script was used up. It may be used from several event loops and threads at once.
    """

    def __init__(self, *steps: Scripted, name: str = "scripted", repeat: bool = False) -> None:
        self.spec = ModelSpec(name, "scripted", tools=True, thinking=True, vision=True)
        self.steps = steps
        self.repeat = repeat
        self.requests: list[Request] = []
        self.open_streams = 0
        self.closed = False
        self._calls = 0
        self._lock = threading.Lock()

    async def complete(self, request: Request) -> Reply:
        step, answer = self._take(request)
        await anyio.sleep(step.delay)
        if step.error is not None:
            raise step.error
        return answer

    async def stream(self, request: Request) -> ReplyStream:
        step, answer = self._take(request)
        with self._open_stream():
            deltas = step.deltas()
            for delta in deltas:
                await anyio.sleep(step.delay)
                yield delta
            await anyio.sleep(0 if deltas else step.delay)
            if step.error is not None:
                raise step.error
            yield answer

    async def aclose(self) -> None:
        self.closed = True

    def assert_used_up(self) -> None:
        """Raise AssertionError unless every step was asked for, and nothing beyond them.

        The second part repeats the error of the request itself, in case something caught it on its way.
        """
        asked, written = len(self.requests), len(self.steps)
        if asked > written and not self.repeat:
            raise AssertionError(f"{asked} requests were made, the script has {written} steps")
        if asked < written:
            left = ", ".join(map(repr, self.steps[asked:]))
            raise AssertionError(f"{asked} requests were made, {written - asked} of {written} steps are left: {left}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            self.assert_used_up()

    def _take(self, request: Request) -> tuple[Step, Reply]:
        """Record the request; the step that answers it, and the reply that the step makes."""
        seen = attrs.evolve(
            request,
            messages=copy_history(request.messages),
            tools=deepcopy(request.tools),
            options=dict(request.options),
        )
        with self._lock:
            self.requests.append(seen)
            index = len(self.requests) - 1
        if self.repeat and self.steps:
            index %= len(self.steps)
        if index >= len(self.steps):
            raise AssertionError(f"request {index + 1} came, the script has {len(self.steps)} steps; it is {seen}")
        step = _step(self.steps[index], request)
        calls = tuple(self._call(call) for call in step.calls)
        return step, Reply(
            text=step.text,
            thinking=step.thinking,
            calls=calls,
            stop_reason=step.stop_reason or (StopReason.TOOL_CALLS if calls else StopReason.END),
            usage=step.usage,
            model=self.spec.id,
        )

    def _call(self, call: Call) -> ToolCall:
        if isinstance(call, ToolCall):
            return call
        name, arguments = call
        with self._lock:
            self._calls += 1
            return ToolCall(f"call_{self._calls:04}", name, json.dumps(arguments))

    @contextmanager
    def _open_stream(self) -> Generator[None]:
        with self._lock:
            self.open_streams += 1
        try:
            yield
        finally:
            with self._lock:
                self.open_streams -= 1


def scripted_client(*steps: Scripted, name: str = "scripted", repeat: bool = False, **options: Any) -> AsyncModelClient:
    """`aio.client` on a ScriptedProvider of these steps; `options` are the client's own (`system=`, `tools=`, ...).

    To see the requests or to assert that the script was used up, make the provider yourself:
    `with ScriptedProvider(...) as provider: client = aio.client(provider)`.
    """
    from aimu.aio import client

    return client(ScriptedProvider(*steps, name=name, repeat=repeat), **options)
