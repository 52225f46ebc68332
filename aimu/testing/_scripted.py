"""Provides a model with scripted answers, so that a test decides every word that an agent gets.

Owns the script: its steps, how they stream, and the record of requests. Never makes up an answer: a request beyond the
script raises AssertionError, and so does a script that is not used up.
"""

from __future__ import annotations

import json
import re
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
from aimu._core.forks import FreshLock
from aimu._core.messages import copy_history
from aimu._core.reply import Delta, Reply, StopReason, ToolCall, Usage
from aimu._doors import public
from aimu.models._spec import ModelSpec
from aimu.providers._base import ReplyStream, Request

if TYPE_CHECKING:
    from aimu.aio import AsyncModelClient

Call: TypeAlias = ToolCall | tuple[str, Mapping[str, Any]]


@public("aimu.testing")
@final
@frozen
class Step:
    """Describe one answer of the model. `reply` is another name of this class.

    Args:
        text: The text of the answer.
        thinking: The thinking before it.
        calls: The tool calls: `("add", {"a": 1})` gets an id from the provider, a ToolCall keeps its own.
        delay: Seconds to wait before the answer, or before each delta of a stream; at least 0.
        error: Exception to raise instead of the reply; a stream raises it after the deltas of `thinking` and `text`.
        stop_reason: Why the answer ends. By default TOOL_CALLS if there are calls, else END.
        usage: The numbers of tokens to report. By default none.
        pieces: Number of deltas that thinking and text are each streamed in, at least 1. By default one for each word.

    Example:
        ScriptedProvider(reply(calls=[("add", {"a": 2, "b": 3})]), reply("The answer is 5.", thinking="Easy."))
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
        """Return the deltas of a stream in order, thinking first."""
        return [
            *(Delta(StreamingContentType.THINKING, piece) for piece in _split(self.thinking, self.pieces)),
            *(Delta(StreamingContentType.GENERATING, piece) for piece in _split(self.text, self.pieces)),
        ]


reply = Step
"""Another name of `Step`, which reads better in a script: `ScriptedProvider(reply(calls=[...]), "Done.")`."""

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


@public("aimu.testing")
@final
class ScriptedProvider:
    """Answer request number n with step number n, for all conversations on this provider, first come first served.

    `requests` holds a copy of each request; `open_streams` is the number of streams that have begun and are neither
    finished nor closed. As a context manager, the provider asserts at the end of the block that the script was used up.
    It may be used from several event loops and threads at once.

    Args:
        *steps: The answers. Each is a text, a Step, an exception to raise, or a function that gets the Request and
            returns one of these.
        name: The id of the model.
        repeat: Whether the script starts over at its end.

    Example:
        with ScriptedProvider("Hello.") as provider:
            assert aimu.client(provider).chat("Hi") == "Hello."
        assert provider.requests[0].messages[-1]["content"] == "Hi"
    """

    def __init__(self, *steps: Scripted, name: str = "scripted", repeat: bool = False) -> None:
        self.spec: ModelSpec = ModelSpec(name, "scripted", tools=True, thinking=True, vision=True)
        self.steps = steps
        self.repeat = repeat
        self.requests: list[Request] = []
        self.open_streams: int = 0
        self.closed: bool = False
        self._calls = 0
        self._lock = FreshLock()

    async def complete(self, request: Request) -> Reply:
        """Answer a request with the next step.

        Args:
            request: The request; a copy is added to `requests`.

        Returns:
            The reply of the step.

        Raises:
            AssertionError: The script has no more steps.
            BaseException: The step is, or has, an exception.
        """
        step, answer = self._take(request)
        await anyio.sleep(step.delay)
        if step.error is not None:
            raise step.error
        return answer

    async def stream(self, request: Request) -> ReplyStream:
        """Yield the deltas of the next step, then its reply; raises as `complete` does.

        Args:
            request: The request; a copy is added to `requests`.
        """
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

    def output_schema(self, schema: Mapping[str, Any], *, tools: bool = False) -> Mapping[str, Any]:
        """Return the schema: for typed output, the script's texts are the JSON."""
        return schema

    async def aclose(self) -> None:
        """Set `closed`; the provider stays usable."""
        self.closed = True

    def assert_used_up(self) -> None:
        """Check that there was exactly one request for each step.

        Raises:
            AssertionError: Steps are left, or there were more requests than steps. The latter repeats the error of the
                request itself, in case some code caught it.
        """
        asked, written = len(self.requests), len(self.steps)
        if asked > written and not self.repeat:
            raise AssertionError(f"{asked} requests were made, but the script has {written} steps")
        if asked < written:
            left = ", ".join(map(repr, self.steps[asked:]))
            raise AssertionError(
                f"{asked} requests were made, and {written - asked} of {written} steps are left: {left}"
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            self.assert_used_up()

    def _take(self, request: Request) -> tuple[Step, Reply]:
        """Record the request, and return its step and its reply."""
        seen = attrs.evolve(
            request,
            messages=copy_history(request.messages),
            tools=deepcopy(request.tools),
            options=dict(request.options),
        )
        with self._lock.lock:
            self.requests.append(seen)
            index = len(self.requests) - 1
        if self.repeat and self.steps:
            index %= len(self.steps)
        if index >= len(self.steps):
            raise AssertionError(
                f"the script has {len(self.steps)} steps, but here is request {index + 1}; add a step for {seen}"
            )
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
        with self._lock.lock:
            self._calls += 1
            return ToolCall(f"call_{self._calls:04}", name, json.dumps(arguments))

    @contextmanager
    def _open_stream(self) -> Generator[None]:
        with self._lock.lock:
            self.open_streams += 1
        try:
            yield
        finally:
            with self._lock.lock:
                self.open_streams -= 1


@public("aimu.testing")
def scripted_client(*steps: Scripted, name: str = "scripted", repeat: bool = False, **options: Any) -> AsyncModelClient:
    """Open an async client on a ScriptedProvider.

    To see the requests, or to assert that the script was used up, make the provider yourself:
    `with ScriptedProvider(...) as provider: client = aio.client(provider)`.

    Args:
        *steps: The answers, as for `ScriptedProvider`.
        name: The id of the model.
        repeat: Whether the script starts over at its end.
        **options: Options of `aio.client`, such as `system` and `tools`.

    Returns:
        The client.

    Raises:
        InvalidOptionError: `aio.client` refuses one of the options.

    Example:
        client = scripted_client("Hello.", system="Be brief.")
        assert await client.chat("Hi") == "Hello."
    """
    from aimu.aio import client

    return client(ScriptedProvider(*steps, name=name, repeat=repeat), **options)
