"""How a sync object and its async twin find each other.

A facade holds its async twin as `__aio__` and makes no decisions. `aio_of` and `sync_of` translate arguments and
results; `@twin_of` pairs the classes. The facades themselves are generated.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Self, TypeVar, final, overload
from weakref import WeakValueDictionary

from attrs import NOTHING

from aimu._core.known import with_known_attributes
from aimu.aio._base_client import AsyncBaseModelClient
from aimu.aio._runner import AsyncRunner
from aimu.errors import InvalidOptionError

C = TypeVar("C", bound="Facade")

# The default of a field whose async twin creates a new object per instance; `inspect` shows the same for both.
FACTORY: Any = NOTHING

_CLASSES: dict[type, type[Facade]] = {}  # async class -> facade
_TWINS: set[type] = set()  # the facades in _CLASSES
# By the id of the async object, which the facade keeps alive.
_FACADES: WeakValueDictionary[int, Facade] = WeakValueDictionary()


@with_known_attributes
class Facade:
    """Base of the sync twins."""

    __aio__: Any

    def _hold(self, aio: Any) -> None:
        self.__aio__ = aio
        _FACADES[id(aio)] = self

    def _like(self, aio: Any) -> Self:
        """Return a facade of the same class, with the same attributes, over another async object."""
        twin = copy.copy(self)
        twin._hold(aio)
        return twin

    @classmethod
    def _of(cls, aio: Any) -> Self:
        facade = cls.__new__(cls)
        facade._hold(aio)
        return facade

    def _as_aio(self) -> Any:
        """Return the object that async code uses for this one: an adapter if a subclass has its own `run` or `chat`."""
        return self.__aio__

    def __repr__(self) -> str:
        return repr(self.__aio__).replace(type(self.__aio__).__name__, type(self).__name__, 1)


def twin_of(aio: type) -> Callable[[type[C]], type[C]]:
    """Return a decorator that declares a facade as the twin of an async class."""

    def declare(facade: type[C]) -> type[C]:
        _CLASSES[aio] = facade
        _TWINS.add(facade)
        return facade

    return declare


def aio_of(value: Any) -> Any:
    """Return `value` for async code: sync clients and runners, also in a list or dict, become their async twins.

    Anything else is returned unchanged.

    Raises:
        InvalidOptionError: `value` is an async client or runner.
    """
    if isinstance(value, list | tuple):
        return _AioSequence(value)
    if isinstance(value, Mapping):
        return _AioMapping(value)
    if isinstance(value, AsyncRunner | AsyncBaseModelClient):
        raise InvalidOptionError(
            f"{type(value).__name__} of aimu.aio cannot be used in the sync surface; "
            "use its twin of the same name from aimu.agents, or aimu.client(...)"
        )
    as_aio: Callable[[], Any] | None = getattr(value, "_as_aio", None)
    return value if as_aio is None else as_aio()


@final
class _AioSequence(Sequence[Any]):
    """A live view of a user's list for async code; the user may change the list between runs."""

    def __init__(self, given: Sequence[Any]) -> None:
        self.given = given
        list(self)  # raises for async items

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> list[Any]: ...
    def __getitem__(self, index: int | slice) -> Any:
        found = self.given[index]
        return [*map(aio_of, found)] if isinstance(index, slice) else aio_of(found)

    def __len__(self) -> int:
        return len(self.given)


@final
class _AioMapping(Mapping[Any, Any]):
    """A live view of a user's mapping for async code."""

    def __init__(self, given: Mapping[Any, Any]) -> None:
        self.given = given
        list(self.values())

    def __getitem__(self, key: Any) -> Any:
        return aio_of(self.given[key])

    def __iter__(self) -> Iterator[Any]:
        return iter(self.given)

    def __len__(self) -> int:
        return len(self.given)


def sync_of(value: Any) -> Any:
    """Return the sync object for an async one; always the same, as long as it is referenced."""
    if isinstance(value, _AioSequence | _AioMapping):
        return value.given
    if isinstance(value, list | tuple):
        return [sync_of(item) for item in value]
    if isinstance(value, Mapping):
        return {key: sync_of(item) for key, item in value.items()}
    given: Any = getattr(getattr(value, "_responder", value), "__sync__", None)  # of an adapter of user code
    if given is not None:
        return given
    found = _FACADES.get(id(value))
    if found is not None and found.__aio__ is value:
        return found
    facade = next((_CLASSES[kind] for kind in type(value).__mro__ if kind in _CLASSES), None)
    return value if facade is None else facade._of(value)


def field_of(aio: Any, name: str) -> Any:
    """Return a field of an async object with its clients and runners as sync ones."""
    value = getattr(aio, name)
    given = sync_of(value)
    # From now on the async object reads `given`, which the user may change in place.
    if isinstance(value, list | tuple | dict):
        setattr(aio, name, aio_of(given))
    return given


def overridden(facade: object, *names: str) -> bool:
    """Return whether a user's class, not one of the library, defines one of these methods."""
    owners = (next(kind for kind in type(facade).__mro__ if name in vars(kind)) for name in names)
    return any(kind not in _TWINS for kind in owners)
