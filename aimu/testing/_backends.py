"""Selects a backend by name, and imports `_asyncio` or `_trio` on first use.

Owns `virtual_time`. anyio runs the loops; the options that this module makes only adjust them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, Protocol, TypeAlias

from aimu._doors import public
from aimu.errors import InvalidOptionError

Backend: TypeAlias = Literal["asyncio", "trio"]
"""The event loop that a test runs on, by its name in AnyIO."""


class _Border(Protocol):
    """The interface of `_asyncio` and `_trio`; each function returns backend options for `anyio.run`."""

    def stepping(self, after_step: Callable[[], None]) -> dict[str, Any]: ...

    def virtual(self, idle: float) -> dict[str, Any]: ...


def _border(backend: Backend) -> _Border:
    if backend == "asyncio":
        from aimu.testing import _asyncio

        return _asyncio
    if backend == "trio":
        from aimu.testing import _trio

        return _trio
    raise InvalidOptionError(f"unknown backend {backend!r}; use 'asyncio' or 'trio'")


@public("aimu.testing")
def virtual_time(backend: Backend, *, idle: float = 0.0) -> dict[str, Any]:
    """Return backend options for `anyio.run` that make sleeping take no real time.

    The clock starts at 0. It jumps to the next deadline as soon as all tasks have waited for `idle` real seconds. With
    pytest, return `"trio", virtual_time("trio")` from a fixture `anyio_backend`.

    Args:
        backend: "asyncio" or "trio".
        idle: Real seconds without work before the clock jumps, at least 0. Work in threads does not count as work, so
            choose more than it takes.

    Returns:
        Options to pass as `backend_options`.

    Raises:
        InvalidOptionError: `backend` is unknown.

    Example:
        anyio.run(anyio.sleep, 3600, backend="trio", backend_options=virtual_time("trio"))
    """
    return _border(backend).virtual(idle)


def stepping(backend: Backend, after_step: Callable[[], None]) -> dict[str, Any]:
    """Return backend options for `anyio.run` that call `after_step` after each step of any task."""
    return _border(backend).stepping(after_step)
