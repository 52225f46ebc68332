"""The one place around a provider: slots, retries within the deadline, usage, and who keeps it open."""

from __future__ import annotations

import logging
import random
import weakref
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from itertools import count
from threading import Lock
from typing import final

import anyio

from aimu._core.reply import Delta, Reply, Usage
from aimu._core.slots import Slots
from aimu.errors import ClosedClientError, InvalidOptionError, ProviderError
from aimu.models._spec import ModelSpec
from aimu.providers._base import Provider, Request

log = logging.getLogger("aimu.aio")

FIRST_PAUSE = 0.5  # s; doubled with each attempt, up to LONGEST_PAUSE, then jittered down by up to half
LONGEST_PAUSE = 30.0
LONGEST_WAIT = 600.0  # s; a service that asks for more (a daily quota, say) is not waited for


@final
class Limits:
    """A cap on requests in flight that several clients share: give it to each as `limits=`.

    First come, first served, over all tasks, event loops and threads.

    Args:
        max_concurrency: How many requests may be in flight at once, at least 1.
    """

    def __init__(self, max_concurrency: int) -> None:
        self._slots = slots(max_concurrency)

    def __repr__(self) -> str:
        return f"<Limits {self._slots.capacity - self._slots.free} of {self._slots.capacity} in use>"


def slots(max_concurrency: int) -> Slots:
    if max_concurrency < 1:
        raise InvalidOptionError(f"max_concurrency is a number of requests from 1 up, not {max_concurrency!r}")
    return Slots(max_concurrency)


@final
class SharedProvider:
    """A provider as conversations share it.

    `usage` sums over all of them. A slot is held around the provider's request only, never while a retry sleeps, so
    that agents inside agents cannot deadlock; a stream holds it until it ended or was closed. `max_retries` counts the
    attempts after the first; nothing is retried once a stream has given its first delta.
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
        self._counting = Lock()  # conversations may be in several threads
        self._slots: list[Slots] = [slots(max_concurrency)] if max_concurrency is not None else []
        if limits is not None:
            self._slots.append(limits._slots)
        self._keepers: weakref.WeakSet[object] = weakref.WeakSet()
        self._closed_client: str | None = None  # as its `repr` shows it

    @property
    def spec(self) -> ModelSpec:
        return self.provider.spec

    def __repr__(self) -> str:
        return f"<SharedProvider {self.spec}>"

    def keep(self, keeper: object) -> None:
        """`keeper` (a client) holds the provider open until it lets go or is gone."""
        self._keepers.add(keeper)

    async def let_go(self, keeper: object, who: str) -> None:
        """Close the provider when nobody else keeps it; `who` is what errors call the keeper from then on."""
        self._keepers.discard(keeper)
        if not self._keepers and self._closed_client is None:
            self._closed_client = who
            await self.provider.aclose()

    async def complete(self, request: Request) -> Reply:
        for attempt in count(1):
            try:
                async with self._slot():
                    reply = await self.provider.complete(request)
            except ProviderError as exc:
                await self._pause(exc, attempt)
            else:
                self._used(reply)
                return reply
        raise AssertionError("unreachable")

    async def stream(self, request: Request) -> AsyncGenerator[Delta | Reply, None]:
        for attempt in count(1):
            begun = False
            slot = self._slot()
            await slot.__aenter__()
            try:
                async with aclosing(self.provider.stream(request)) as deltas:
                    async for delta in deltas:
                        begun = True
                        if type(delta) is Reply:
                            self._used(delta)
                        yield delta
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
                "agents and second handles borrow the provider of the client that they were made of: "
                "keep that client open while they run, or one that fork() gave"
            )
            raise error
        return _Slot(self._slots)

    def _used(self, reply: Reply) -> None:
        if reply.usage is not None:
            with self._counting:
                self.usage = reply.usage if self.usage is None else self.usage + reply.usage

    async def _pause(self, failure: ProviderError, attempt: int) -> None:
        """Sleep before the next attempt, or raise `failure` where there is to be none."""
        if not failure.retryable or attempt > self.max_retries:
            raise failure
        pause = failure.retry_after
        if pause is None:
            pause = min(FIRST_PAUSE * 2 ** (attempt - 1), LONGEST_PAUSE) * random.uniform(0.5, 1)
        if pause > LONGEST_WAIT:
            failure.add_note(f"not retried: the service asks to wait for {pause:.0f} s")
            raise failure
        if anyio.current_time() + pause >= anyio.current_effective_deadline():
            failure.add_note(f"not retried: the deadline comes before the pause of {pause:.1f} s")
            raise failure
        log.info("%s: retry %d of %d in %.2f s after %r", self.spec, attempt, self.max_retries, pause, failure)
        await anyio.sleep(pause)


class _Slot:
    """One slot of each cap, taken in order and given back together; giving back awaits nothing."""

    def __init__(self, caps: Iterable[Slots]) -> None:
        self._caps = caps
        self._held: list[Slots] = []

    async def __aenter__(self) -> None:
        try:
            for cap in self._caps:
                await cap.acquire()
                self._held.append(cap)
        except BaseException:
            self.release()
            raise

    async def __aexit__(self, *exc: object) -> None:
        self.release()

    def release(self) -> None:
        while self._held:
            self._held.pop().release()
