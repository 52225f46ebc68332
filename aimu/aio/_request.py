"""A provider as clients share it: caps on concurrency, retries within the deadline, usage, and who keeps it open.

The wire formats are in `aimu.providers`, the weights in `aimu.engines`.
"""

from __future__ import annotations

import logging
import random
import weakref
from collections.abc import AsyncGenerator, Iterable, Mapping
from itertools import count
from typing import Any, final

import anyio

from aimu._core.escaping import escaping
from aimu._core.forks import FreshLock
from aimu._core.loop_end import Nested
from aimu._core.processes import stays_in_its_process
from aimu._core.reply import Delta, Reply, Usage
from aimu._core.slots import Slots
from aimu._doors import public
from aimu.aio._border import Border
from aimu.errors import ClosedClientError, InvalidOptionError, ProviderError
from aimu.models._resolve import IN_PROCESS
from aimu.models._spec import ModelSpec
from aimu.providers._base import Provider, Request

log = escaping(logging.getLogger("aimu.aio"))

FIRST_PAUSE = 0.5  # s; doubled with each attempt, up to LONGEST_PAUSE, then jittered down by up to half
LONGEST_PAUSE = 30.0
LONGEST_WAIT = 600.0  # s; if a service asks for a longer pause (for a daily quota, say), the request fails at once


@public("aimu.aio")
@final
@stays_in_its_process("Limits", "they hold in one process: make them in each")
class Limits:
    """Cap the requests in flight of several clients together.

    Pass the same object to each client as `limits=`. Requests are served first come, first served, across all async
    tasks, event loops and threads.

    Args:
        max_concurrency: The number of requests that may be in flight at once, at least 1.

    Raises:
        InvalidOptionError: `max_concurrency` is less than 1.

    Example:
        limits = aio.Limits(8)
        fast = aio.client("openai:gpt-5.4-mini", limits=limits)
        strong = aio.client("openai:gpt-5.2", limits=limits)
    """

    def __init__(self, max_concurrency: int) -> None:
        self._slots = slots(max_concurrency)

    def __repr__(self) -> str:
        return f"<Limits {self._slots.capacity - self._slots.free} of {self._slots.capacity} in use>"


def slots(max_concurrency: int) -> Slots:
    if max_concurrency < 1:
        raise InvalidOptionError(f"max_concurrency must be at least 1, got {max_concurrency!r}")
    return Slots(max_concurrency)


@final
@stays_in_its_process("the provider of a client", "make a client in each process")
class SharedProvider:
    """A provider as several conversations share it.

    `usage` is the sum over all of them. A request holds a slot only while it is in flight, never while a retry sleeps,
    so that agents inside agents cannot deadlock. A stream holds its slot until it has ended or is closed. `max_retries`
    counts the attempts after the first one. A stream is not retried after its first delta.
    """

    def __init__(
        self,
        provider: Provider,
        *,
        max_retries: int = 2,
        max_concurrency: int | None = None,
        limits: Limits | None = None,
    ) -> None:
        self.provider = provider
        self.max_retries = max_retries
        self.usage: Usage | None = None
        self.cost: float | None = 0.0 if provider.spec.provider in IN_PROCESS else None  # of one request
        self._counting = FreshLock()  # conversations may run in several threads
        self._slots: list[Slots] = [slots(max_concurrency)] if max_concurrency is not None else []
        if limits is not None:
            self._slots.append(limits._slots)
        self._keepers: weakref.WeakSet[object] = weakref.WeakSet()
        self._closed_client: str | None = None  # its `repr`

    @property
    def spec(self) -> ModelSpec:
        return self.provider.spec

    def __repr__(self) -> str:
        return f"<SharedProvider {self.spec}>"

    def output_schema(self, schema: Mapping[str, Any], *, tools: bool) -> Mapping[str, Any]:
        """Return a JSON Schema as requests for this provider need it, which perhaps offer tools too.

        Raises:
            ValueError: The provider cannot hold a model to it; the text says why.
        """
        own = getattr(self.provider, "output_schema", None)
        if own is None:
            raise ValueError(f"{self.spec.provider} has no mode for JSON Schemas")
        held: Mapping[str, Any] = own(schema, tools=tools)
        return held

    @property
    def holds_grammars(self) -> bool:
        """Whether the provider can decode against a grammar."""
        own = getattr(self.provider, "holds_grammars", None)
        return own is not None and bool(own())

    def forces_tools(self, options: Mapping[str, Any]) -> bool:
        """Return whether the provider can make the model call a tool, with these options."""
        own = getattr(self.provider, "forces_tools", None)
        return own is not None and bool(own(options))

    def keep(self, keeper: object) -> None:
        """Keep the provider open until `keeper`, a client, lets go of it or is garbage-collected."""
        self._keepers.add(keeper)

    async def let_go(self, keeper: object, who: str) -> None:
        """Release the provider for `keeper`, and close it if no other client keeps it open.

        Errors about later use call the closed client `who`.
        """
        self._keepers.discard(keeper)
        if not self._keepers and self._closed_client is None:
            self._closed_client = who
            await self.provider.aclose()

    async def complete(self, request: Request) -> Reply:
        for attempt in count(1):
            try:
                async with self._slot():
                    border = Border(request, self.spec)
                    reply = border.whole(await border.pending(self.provider.complete(request)))
            except ProviderError as exc:
                await self._pause(exc, attempt)
            else:
                self._used(reply)
                return reply
        raise AssertionError("unreachable")

    async def stream(self, request: Request) -> AsyncGenerator[Delta | Reply, None]:
        for attempt in count(1):
            begun = False
            border = Border(request, self.spec)
            reply: Reply | None = None
            slot = self._slot()
            await slot.__aenter__()
            try:
                async with Nested(border.opened(self.provider.stream(request))) as deltas:
                    async for delta in deltas:
                        begun = True
                        if reply is not None:
                            border.late(delta)
                        if type(delta) is not Reply:
                            shown = border.delta(delta)
                            if type(shown) is Delta:
                                yield shown
                            else:
                                for piece in shown:
                                    yield piece
                            continue
                        missing, reply = border.end(delta)
                        self._used(reply)
                        for piece in missing:
                            yield piece
                        yield reply
                return
            except ProviderError as exc:
                if begun:
                    raise
                failure = exc
            finally:
                slot.release()
            await self._pause(failure, attempt)

    def _slot(self) -> _Slot:
        if self._closed_client is not None:
            error = ClosedClientError(self._closed_client)
            error.add_note(
                "agents and further handles use the provider of the client that they were made from: "
                "keep that client or a fork() of it open while they run"
            )
            raise error
        return _Slot(self._slots)

    def _used(self, reply: Reply) -> None:
        if reply.usage is not None:
            with self._counting.lock:
                self.usage = reply.usage if self.usage is None else self.usage + reply.usage

    async def _pause(self, failure: ProviderError, attempt: int) -> None:
        """Sleep before the next attempt, or raise `failure` if there must not be one."""
        if not failure.retryable or attempt > self.max_retries:
            raise failure
        pause = failure.retry_after
        if pause is None or not pause >= 0:  # a provider of the user's may say NaN
            pause = min(FIRST_PAUSE * 2 ** (attempt - 1), LONGEST_PAUSE) * random.uniform(0.5, 1)
        if pause > LONGEST_WAIT:
            failure.add_note(f"not retried: the service asked for a pause of {pause:.0f} s")
            raise failure
        if anyio.current_time() + pause >= anyio.current_effective_deadline():
            failure.add_note(f"not retried: the pause of {pause:.1f} s would pass the deadline")
            raise failure
        log.info("%s: retry %d of %d in %.2f s after %r", self.spec, attempt, self.max_retries, pause, failure)
        await anyio.sleep(pause)


class _Slot:
    """One slot of each cap, acquired in order and released together; releasing does not await."""

    def __init__(self, caps: Iterable[Slots]) -> None:
        self._caps = caps
        self._held: list[tuple[Slots, int]] = []

    async def __aenter__(self) -> None:
        try:
            for cap in self._caps:
                await cap.acquire()
                self._held.append((cap, cap.epoch))
        except BaseException:
            self.release()
            raise

    async def __aexit__(self, *exc: object) -> None:
        self.release()

    def release(self) -> None:
        while self._held:
            cap, epoch = self._held.pop()
            if epoch == cap.epoch:
                cap.release()
