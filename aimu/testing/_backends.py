"""The two backends by name: the one door to `_asyncio` and `_trio`, each imported when it is asked for.

Owns `virtual_time`. anyio is what runs the loops; the options made here only change them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, Protocol, TypeAlias

from aimu.errors import InvalidOptionError

Backend: TypeAlias = Literal["asyncio", "trio"]


class _Border(Protocol):
    """What `_asyncio` and `_trio` both have; each function returns backend options of `anyio.run`."""

    def stepping(self, after_step: Callable[[], None]) -> dict[str, Any]: ...

    def virtual(self, idle: float) -> dict[str, Any]: ...


def _border(backend: Backend) -> _Border:
    if backend == "asyncio":
        from aimu.testing import _asyncio

        return _asyncio
    if backend == "trio":
        from aimu.testing import _trio

        return _trio
    raise InvalidOptionError(f"backend={backend!r}; use 'asyncio' or 'trio'")


def virtual_time(backend: Backend, *, idle: float = 0.0) -> dict[str, Any]:
    """Backend options for `anyio.run` under which sleeping costs no time: the clock starts at 0 and jumps.

    It jumps to the next deadline as soon as every task has waited for `idle` real seconds. Work in threads is not seen:
    give `idle` more than it takes. With pytest: `def anyio_backend(): return "trio", virtual_time("trio")`.
    """
    return _border(backend).virtual(idle)


def stepping(backend: Backend, after_step: Callable[[], None]) -> dict[str, Any]:
    """Backend options for `anyio.run` under which `after_step` is called when any task has made a step."""
    return _border(backend).stepping(after_step)
