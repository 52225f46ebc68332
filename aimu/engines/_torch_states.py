"""The states of one sequence in a model of transformers: keys, values, recurrent states; and tensors on their way.

Imports torch, so only the other modules `_torch_*` import it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, final

from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from aimu.engines._torch_probe import tensors


class _GrowingLayer(DynamicLayer):  # type: ignore[misc]
    """A layer of the cache with room at its end, so that a new token is written in place and no other is copied."""

    _room: tuple[Any, Any] | None = None

    def update(self, key_states: Any, value_states: Any, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self.keys, self.values = key_states[..., :0, :], value_states[..., :0, :]
        known: Any = self.keys
        start = known.shape[-2]
        end = start + key_states.shape[-2]
        if self._room is None or self._room[0].shape[-2] < end:
            length = end + max(256, end // 4)
            self._room = _roomy(self.keys, length), _roomy(self.values, length)
        keys, values = self._room
        keys[..., start:end, :], values[..., start:end, :] = key_states, value_states
        self.keys, self.values = keys[..., :end, :], values[..., :end, :]
        return self.keys, self.values


def _roomy(states: Any, length: int) -> Any:
    room = states.new_empty(*states.shape[:-2], length, states.shape[-1])
    room[..., : states.shape[-2], :] = states
    return room


class ImagesOfPrompt(Protocol):
    """The images of a request, as a forward pass on its prompt needs them."""

    def step(self, ids: Sequence[int], begin: int, end: int) -> tuple[Sequence[int], dict[str, Any]]:
        """Return the tokens of the step from `begin` to near `end`, as the model knows them, and its other inputs."""
        ...


@final
class KVStates:
    """The cache of one sequence; implements `_prefix_cache.States`."""

    def __init__(self, config: Any, *, continues: bool = True) -> None:
        self._config, self._continues = config, continues
        self.cache: Any = DynamicCache(config=config)
        self.cache.layers = [_GrowingLayer() if type(layer) is DynamicLayer else layer for layer in self.cache.layers]
        self.length = 0  # counted here, since recurrent layers do not count
        self.pictures: ImagesOfPrompt | None = None  # of the request that these states are computed for
        self.shift = 0  # from the number of a token to its position: images may have fewer positions than tokens

    def __len__(self) -> int:
        return self.length

    @property
    def plain(self) -> bool:
        """Whether they are the keys and values of all tokens."""
        return all(type(layer) is _GrowingLayer for layer in self.cache.layers)

    @property
    def shortest(self) -> int:
        return 0 if self.plain else self.length + (not self._continues)

    @property
    def nbytes(self) -> int:
        found = (tensor.untyped_storage() for layer in self.cache.layers for tensor in tensors(layer))
        storages = {storage.data_ptr(): storage.nbytes() for storage in found}
        return sum(storages.values())

    def crop(self, length: int) -> None:
        self.cache.crop(length - self.length)
        self.length = length

    def move_out(self) -> list[tuple[Any, Any]]:
        """Return keys and values of each layer, shape (1, heads, length, width), and drop them here."""
        tensors = [(layer.keys, layer.values) for layer in self.cache.layers]
        self.cache = KVStates(self._config).cache
        return tensors

    def copy(self, length: int) -> KVStates:
        copied = KVStates(self._config)
        copied.length = length
        for index, layer in enumerate(self.cache.layers):
            copied.cache.update(layer.keys[..., :length, :], layer.values[..., :length, :], index)
        return copied


def moved(tensor: Any, device: Any, dtype: Any = None) -> Any:
    """Return a tensor of the CPU on another device; a GPU copies it while the CPU goes on."""
    if device.type == "cuda":
        tensor = tensor.pin_memory()
    return tensor.to(device, dtype, non_blocking=True)
