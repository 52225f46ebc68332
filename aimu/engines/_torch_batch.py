"""Computes several sequences of a Hugging Face model in the same forward passes, each at its own position.

Owns their keys and values; `_batch` decides what is computed when. Refuses models that keep more than plain keys and
values.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeAlias, final

import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from aimu.engines import _torch_model as torch_model
from aimu.engines._batch import BatchSequence
from aimu.engines._rounds import StopFlag
from aimu.engines._torch_model import NO_ODDS, Sampler, TorchModel
from aimu.engines._torch_states import KVStates

_DIFFERENCE = 0.01
"""Tolerance of float32 logits in a batch against the sequence alone, as a fraction of the greatest logit."""

_Sequence: TypeAlias = BatchSequence[KVStates]


class _RowsLayer(DynamicLayer):  # type: ignore[misc]
    """Keys and values of one layer in `room`, each of shape (rows, heads, room, width), zero behind the end of a row.

    Zeros, since a mask makes the weight 0, but 0 times infinity is NaN.
    """

    def __init__(self, like: tuple[Any, Any]) -> None:
        super().__init__()
        self.room = [states.new_zeros((0, *states.shape[1:])) for states in like]
        self.place: Any = None

    def update(self, key_states: Any, value_states: Any, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
        """Write the new token of each row at its position; return all rows, up to the length of the longest."""
        rows, positions, span = self.place
        keys, values = self.room
        rows, positions = rows.to(keys.device), positions.to(keys.device)
        keys[rows, :, positions] = key_states[:, :, 0]
        values[rows, :, positions] = value_states[:, :, 0]
        return keys[: len(rows), :, :span], values[: len(rows), :, :span]

    def resize(self, rows: int, length: int) -> None:
        for index, states in enumerate(self.room):
            room = states.new_zeros(rows, states.shape[1], length, states.shape[-1])
            kept = states[:rows, :, :length]
            room[: kept.shape[0], :, : kept.shape[2]] = kept
            self.room[index] = room


@final
class _RoomForRows:
    """Keys and values of the rows of a batch; `states` of no tokens define the shapes."""

    def __init__(self, states: KVStates) -> None:
        self.cache: Any = DynamicCache()
        self.layers = self.cache.layers = [_RowsLayer(like) for like in states.move_out()]

    def fit(self, rows: int, length: int) -> None:
        """Make room for `rows` rows of up to `length` tokens; shrink it if it is far too large."""
        have_rows, _, have_length, _ = self.layers[-1].room[-1].shape  # the tensor that is resized last
        enough = 1 << max(0, rows - 1).bit_length(), length + max(256, length // 4)
        if rows > have_rows or length > have_length or have_rows * have_length > 4 * enough[0] * enough[1]:
            for layer in self.layers:
                layer.resize(*enough)

    def join(self, row: int, states: KVStates) -> None:
        """Move the states of a sequence into a row."""
        for layer, tensors in zip(self.layers, states.move_out(), strict=True):
            for room, own in zip(layer.room, tensors, strict=True):
                if own is not None:  # a prompt of one token has no states yet
                    room[row, :, : own.shape[2]] = own[0]

    def copy(self, row: int, length: int, states: KVStates) -> None:
        """Copy the first `length` tokens of a row into `states`."""
        states.move_out()
        for index, layer in enumerate(self.layers):
            states.cache.update(*(room[row : row + 1, :, :length] for room in layer.room), index)
        states.length = length

    def leave(self, row: int, last: int, states: KVStates) -> None:
        """Copy the states of a row into `states`, and move the last row to its place."""
        try:
            self.copy(row, len(states), states)
        finally:
            for layer in self.layers:
                for room in layer.room:
                    if row != last:
                        room[row] = room[last]
                    room[last] = 0

    def place(self, rows: Any, positions: Any, span: int) -> Any:
        """Set where the next forward pass writes the token of each row; all positions are below `span`.

        Returns the attention mask to add to the scores of each row, shape (rows, 1, 1, span).
        """
        for layer in self.layers:
            layer.place = rows, positions, span
        mask = torch.zeros((len(rows), span), dtype=self.layers[0].room[0].dtype, device=positions.device)
        hidden = torch.arange(span, device=positions.device) > positions[:, None]
        return mask.masked_fill_(hidden, torch.finfo(mask.dtype).min)[:, None, None]


@final
class TorchRows:
    """Implements `_batch.Rows`; raises ValueError if sequences of the model cannot be computed together."""

    def __init__(self, model: TorchModel) -> None:
        self._model = model
        if reason := _obstacle(model):
            raise ValueError(f"batch: requests cannot share the forward passes of this model, {reason}; use batch=1")
        with torch.inference_mode():
            self._room = _RoomForRows(self._check())

    @property
    def slice_length(self) -> int:
        return torch_model.PREFILL_SLICE

    def inference(self) -> AbstractContextManager[Any]:
        return self._model.inference()

    def picking(self, sampler: Sampler, ids: list[int]) -> AbstractContextManager[Callable[[Any], Any]]:
        sampler.start(self._model.real(ids), self._model.model.device)
        return nullcontext(sampler)

    def adopt(self, row: int, length: int, states: KVStates) -> None:
        self._room.copy(row, length, states)

    def enter(self, states: KVStates) -> None:
        pass

    def extend(self, ids: list[int], states: KVStates, end: int, stopped: StopFlag) -> None:
        self._model.advance(ids, states, end)

    def join(self, sequences: Sequence[_Sequence]) -> None:
        self._room.fit(len(sequences), max(len(sequence.states) for sequence in sequences) + 1)
        self._room.join(len(sequences) - 1, sequences[-1].states)

    def leave(self, row: int, last: int, states: KVStates) -> None:
        self._room.leave(row, last, states)

    def step(self, sequences: Sequence[_Sequence]) -> None:
        logits = self._forward(sequences)
        picked = [(sequence.pick(logits[row : row + 1]), sequence) for row, sequence in enumerate(sequences)]
        good = [(token, sequence) for token, sequence in picked if token is not None]
        if good:
            tokens = torch.cat([token for token, _ in good]).tolist()  # one transfer from the device for all rows
            for (_, sequence), (token,) in zip(good, tokens, strict=True):
                if token < 0:
                    sequence.error = ValueError(NO_ODDS)
                else:
                    sequence.token = token

    def _forward(self, sequences: Sequence[_Sequence]) -> Any:
        """Append the last token of each row to its states; return the logits after it, shape (rows, vocabulary)."""
        lengths = [len(sequence.states) for sequence in sequences]
        span = max(lengths) + 1
        self._room.fit(len(lengths), span)
        last = [sequence.ids[-1] for sequence in sequences]
        shifts = [sequence.states.shift for sequence in sequences]
        tokens, places, rows, shift = self._model.tensor([last, lengths, range(len(lengths)), shifts])
        mask = self._room.place(rows, places, span)
        logits = self._model.forward(
            tokens[:, None], self._room.cache, position_ids=(places + shift)[:, None], attention_mask=mask
        )
        for sequence in sequences:
            sequence.states.length += 1
        return logits

    def _check(self) -> KVStates:
        """Check that two sequences of different lengths compute the same together as alone; return empty states."""
        model, sampler = self._model, self._model.sampler(self._model.settings())
        alone: list[Any] = []
        rows: list[_Sequence] = []
        for ids in ([1, 2, 3, 4, 5], [3, 2, 1]):
            states = model.new_states()
            model.extend(model.tensor([ids[:-1]]), states)
            empty = states.copy(0)
            if not rows:
                self._room = _RoomForRows(states.copy(0))
            rows.append(BatchSequence(ids, states.copy(len(states)), sampler, StopFlag()))
            self.join(rows)
            alone.append(model.extend(model.tensor([ids[-1:]]), states))
        logits = torch.cat(alone)
        together = self._forward(rows)
        allowed = max(_DIFFERENCE, torch.finfo(logits.dtype).eps ** 0.5) * logits.abs().max()
        if not (together - logits).abs().max() <= allowed:
            raise ValueError("batch: this model computes other results when requests share forward passes; use batch=1")
        return empty


def _obstacle(model: TorchModel) -> str | None:
    """Say why sequences of `model` cannot be rows of a batch, as far as its configuration shows."""
    attention = getattr(model.model.config.get_text_config(), "_attn_implementation", None)
    if attention not in ("sdpa", "eager"):
        return f"whose attention is {attention!r}: only 'sdpa' and 'eager' take a mask for each row"
    if "position_ids" not in model.takes or "attention_mask" not in model.takes:
        return "which takes no positions or no mask"
    if "local" in getattr(model.model.config, "attention_layers", ()):
        return "which counts the tokens of its local layers back from the end of the longest row"
    if not model.new_states().plain:
        return "which keeps more than the keys and values of all tokens (sliding windows, recurrent layers)"
    return None
