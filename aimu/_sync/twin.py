"""How a sync object and its async twin find each other, and how fields are mirrored.

A facade holds its async twin as `__aio__` and nothing else. `aio_of` and `sync_of` translate values that go in and
come out; which class belongs to which is told by `@twin_of`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, Self, TypeVar, overload
from weakref import WeakValueDictionary

T = TypeVar("T")
C = TypeVar("C", bound="Facade")

_CLASSES: dict[type, type[Facade]] = {}  # async class -> facade
_FACADES: WeakValueDictionary[int, Facade] = WeakValueDictionary()  # by id of the async object, which they keep alive


class Facade:
    """Base of the sync twins."""

    __aio__: Any

    def _hold(self, aio: Any) -> None:
        self.__aio__ = aio
        _FACADES[id(aio)] = self

    def __repr__(self) -> str:
        return repr(self.__aio__).replace(type(self.__aio__).__name__, type(self).__name__, 1)


def twin_of(aio: type) -> Callable[[type[C]], type[C]]:
    """Declare a facade as the twin of an async class."""

    def declare(facade: type[C]) -> type[C]:
        _CLASSES[aio] = facade
        return facade

    return declare


def aio_of(value: Any) -> Any:
    """The async twin of a facade, inside lists and dicts too; anything else as it is."""
    if isinstance(value, list):
        return [aio_of(item) for item in value]
    if isinstance(value, dict):
        return {key: aio_of(item) for key, item in value.items()}
    return getattr(value, "__aio__", value)


def sync_of(value: Any) -> Any:
    """The facade of an async object; the same one as long as somebody holds it."""
    found = _FACADES.get(id(value))
    if found is not None and found.__aio__ is value:
        return found
    for kind in type(value).__mro__:
        if kind in _CLASSES:
            facade = _CLASSES[kind].__new__(_CLASSES[kind])
            facade._hold(value)
            return facade
    return value


class Mirror(Generic[T]):
    """A field of a facade that is the field of the same name of its async twin."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, facade: None, owner: type) -> Self: ...
    @overload
    def __get__(self, facade: Facade, owner: type) -> T: ...
    def __get__(self, facade: Facade | None, owner: type) -> Self | T:
        if facade is None:
            return self
        value: T = sync_of(getattr(facade.__aio__, self._name))
        return value

    def __set__(self, facade: Facade, value: T) -> None:
        setattr(facade.__aio__, self._name, aio_of(value))
