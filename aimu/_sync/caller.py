"""What a coroutine of the sync surface gets from its caller, and gives back: its context, and its outcome.

Sync tools that the coroutine calls see what the caller's own code would see: above all, no async library, so that they
may run one.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar, copy_context
from typing import Any, Generic, TypeAlias, TypeVar, final

from anyio import get_cancelled_exc_class

from aimu._core.threads import InThread
from aimu.aio._place import STEPPER, Stepper, this_thread
from aimu.aio._run import ENCLOSING, IN_THREAD

T = TypeVar("T")
Names: TypeAlias = tuple[str | None, str | None]  # of async libraries


def context_for(in_thread: InThread, step: Callable[[Coroutine[Any, Any, None]], None]) -> Context:
    """Return the context for the coroutine: a copy of the caller's, for a new run.

    Its sync tools use `in_thread`; `step` runs a further coroutine on the same loop.
    """
    context = copy_context()
    context.run(_prepare, in_thread, step)
    return context


def _prepare(in_thread: InThread, step: Callable[[Coroutine[Any, Any, None]], None]) -> None:
    IN_THREAD.set(in_thread)
    STEPPER.set(Stepper(this_thread(), step))
    ENCLOSING.set(None)
    set_library("asyncio")  # a context copied under trio would name trio as the library


def inside_trio() -> bool:
    """Return whether this thread runs a trio loop."""
    trio = sys.modules.get("trio")
    return trio is not None and bool(trio.lowlevel.in_trio_run())


def library() -> str | None:
    """Return the async library that the current context names."""
    variable = _variable()
    return None if variable is None else variable.get()


def set_library(name: str | None) -> None:
    """Name the async library of the current context, which AnyIO believes more than what really runs."""
    variable = _variable()
    if variable is not None:
        variable.set(name)


def names() -> Names:
    """Return the async libraries that the current context and the current thread name."""
    return library(), getattr(_of_thread(), "name", None)


def set_names(given: Names) -> None:
    """Name the async libraries of the current context and of the current thread, which outweighs it under trio."""
    name, of_thread = given
    set_library(name)
    if (thread := _of_thread()) is not None:
        thread.name = of_thread


def _of_thread() -> Any:
    return getattr(sys.modules.get("sniffio"), "thread_local", None)  # trio needs a version that has it


def _variable() -> ContextVar[str | None] | None:
    sniffio = sys.modules.get("sniffio")
    return None if sniffio is None else sniffio.current_async_library_cvar


@final
class Outcome(Generic[T]):
    """What a coroutine or function returned or raised; to be got once, in another frame or thread.

    An asyncio task keeps its exception, whose traceback keeps the frames that hold the task: such a cycle would keep
    dropped streams open until a garbage collection.
    """

    def __init__(self) -> None:
        self._results: list[T] = []
        self._failure: BaseException | None = None

    async def of(self, coroutine: Coroutine[Any, Any, T]) -> None:
        try:
            self._results.append(await coroutine)
        except BaseException as exc:  # noqa: BLE001 - get() raises it
            self._failure = exc

    def of_call(self, func: Callable[[], T]) -> None:
        """Call `func`; raise only what is not an Exception."""
        try:
            self._results.append(func())
        except Exception as exc:  # noqa: BLE001 - get() raises it
            self._failure = exc

    def replace(self, failure: BaseException | None) -> None:
        """If there is a failure, let get() raise it, whatever the coroutine did."""
        if failure is not None:
            self._failure = failure

    def get(self) -> T:
        """Return the result or raise the exception; if there is neither, the coroutine was cancelled."""
        failure, self._failure = self._failure, None
        try:
            if failure is not None:
                raise failure
            if not self._results:
                raise get_cancelled_exc_class()
            return self._results.pop()
        finally:
            del failure
